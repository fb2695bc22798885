"""`headstart serve`: the answers of predict, several models, new ones without a gap, an end that finishes what it accepted."""

import csv
import json
import re
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from conftest import PATIENCE_SECONDS, SavedRun, wait_until

from apps.conftest import Result, assert_explained
from apps.serving.conftest import Running
from headstart.apps.http.server import is_public
from headstart.apps.serving.application import AnswerModel
from headstart.apps.serving.models import named_models
from headstart.artifact.bundle import MANIFEST
from headstart.errors import SettingsError
from headstart.storage import sha256_of_file

Serve = Callable[..., Running]


def probabilities(run: SavedRun) -> dict[str, dict[str, float]]:
    """Path -> class -> probability, as training wrote them."""
    with (run.run / "predictions.csv").open(encoding="utf-8", newline="") as lines:
        return {
            row["path"]: {name[2:]: float(cell) for name, cell in row.items() if name.startswith("p:")}
            for row in csv.DictReader(lines)
        }


def test_one_image(server: Running, saved_run: SavedRun) -> None:
    """The body is the image; the answer is that of training, and says which model gave it."""
    for path, expected in probabilities(saved_run).items():
        response = server.predict(Path(path).read_bytes())
        assert response.status_code == 200
        answer = response.json()
        AnswerModel.model_validate(answer)  # what OpenAPI says, and no key more
        assert answer["digest"] == sha256_of_file(saved_run.model / MANIFEST)
        (prediction,) = answer["predictions"]
        assert prediction["probabilities"] == pytest.approx(expected, abs=1e-4)
        assert prediction["predicted"] == max(expected, key=lambda name: expected[name])
        assert prediction["unfamiliar"] in (True, False)


def test_many_images(server: Running, saved_run: SavedRun) -> None:
    """A form with files is answered in its order; what cannot be read among them has its reason in place of an answer."""
    expected = probabilities(saved_run)
    files = [("images", (Path(path).name, Path(path).read_bytes())) for path in expected]
    files.insert(2, ("images", ("notes.txt", b"no image")))
    response = server.client.post("/predict", files=files)
    assert response.status_code == 200
    predictions = response.json()["predictions"]
    assert [prediction["path"] for prediction in predictions] == [file[0] for _, file in files]
    assert "text file" in predictions.pop(2)["error"]
    for prediction, wanted in zip(predictions, expected.values(), strict=True):
        assert prediction["probabilities"] == pytest.approx(wanted, abs=1e-4)


def test_curl_needs_no_header(server: Running, photo: bytes) -> None:
    """`curl --data-binary @photo.jpg` says that it sends a web form; the content says otherwise."""
    assert server.predict(photo, **{"Content-Type": "application/x-www-form-urlencoded"}).status_code == 200


def test_many_at_once(server: Running, saved_run: SavedRun) -> None:
    """Requests side by side get their own answers."""
    expected = probabilities(saved_run)
    paths = list(expected) * 8

    def ask(path: str) -> dict[str, float]:
        found: dict[str, float] = server.predict(Path(path).read_bytes()).json()["predictions"][0]["probabilities"]
        return found

    with ThreadPoolExecutor(16) as pool:
        for path, found in zip(paths, pool.map(ask, paths), strict=True):
            assert found == pytest.approx(expected[path], abs=1e-4)


def test_what_is_known_of_the_model(server: Running, saved_run: SavedRun) -> None:
    """GET /model has digest, classes, evaluation and card; /models lists; OpenAPI describes; nobody else's page may ask."""
    model = server.client.get("/model").json()
    assert model["digest"] == sha256_of_file(saved_run.model / MANIFEST)
    assert model["classes"] == ["circles", "squares", "triangles"]
    assert model["evaluation"]["n"] == len(saved_run.labels)
    assert model["card"] == (saved_run.model / "README.md").read_text(encoding="utf-8")
    (entry,) = server.client.get("/models").json()
    assert entry["name"] == model["name"] == "run"
    assert server.client.get("/models/run").json() == model
    paths = server.client.get("/openapi.json").json()["paths"]
    assert {"/predict", "/models/{name}/predict", "/model", "/healthz", "/readyz", "/metrics", "/reload"} <= set(paths)
    assert "multipart/form-data" in paths["/predict"]["post"]["requestBody"]["content"]
    docs = server.client.get("/docs")
    files = re.findall(r'(?:src|href)="([^"]+)"', docs.text)
    assert len(files) == 3 and not any("//" in file for file in files)
    assert all(server.client.get(f"/{file}").status_code == 200 for file in files)
    assert (
        "access-control-allow-origin" not in server.client.get("/model", headers={"Origin": "http://elsewhere.example"}).headers
    )


def test_metrics(serve: Serve, saved_run: SavedRun, photo: bytes) -> None:
    """Requests by endpoint and status, images by outcome and class, and the process's memory."""
    server = serve(saved_run.run)
    assert (server.predict(photo).status_code, server.predict(b"no image").status_code) == (200, 415)
    text = server.client.get("/metrics").text
    for line in (
        'headstart_requests_total{endpoint="/predict",status="200"} 1.0',
        'headstart_requests_total{endpoint="/predict",status="415"} 1.0',
        'headstart_images_total{model="run",outcome="answered"} 1.0',
        'headstart_images_total{model="run",outcome="unreadable"} 1.0',
        "headstart_waiting_images 0.0",
        "headstart_waiting_bytes 0.0",
        "headstart_batch_images_count 2.0",
        "process_resident_memory_bytes",
    ):
        assert line in text, text
    assert 'headstart_predicted_total{class="' in text


def test_several_models(serve: Serve, saved_run: SavedRun, own_run: Path, photo: bytes) -> None:
    """Each has its place under /models; a request that names none is told which there are."""
    server = serve(f"one={saved_run.run}", f"two={own_run}")
    assert [model["name"] for model in server.client.get("/models").json()] == ["one", "two"]
    for name in ("one", "two"):
        answer = server.client.post(f"/models/{name}/predict", content=photo)
        assert (answer.status_code, answer.json()["model"]) == (200, name)
    for place in ("/predict", "/models/three/predict"):
        answer = server.client.post(place, content=photo)
        assert answer.status_code == 404 and "/models/one, /models/two" in answer.json()["hint"]


def test_token(serve: Serve, saved_run: SavedRun, photo: bytes) -> None:
    """With a token nothing of the model is answered without it; that the process lives may be asked by anyone."""
    server = serve(saved_run.run, token="s3cret")
    for response in (server.predict(photo), server.predict(photo, Authorization="Bearer wrong"), server.client.get("/model")):
        assert response.status_code == 401 and response.headers["www-authenticate"] == "Bearer"
        assert response.json()["hint"] == "send the header Authorization: Bearer TOKEN"
    assert server.predict(photo, Authorization="Bearer s3cret").status_code == 200
    for place in ("/healthz", "/readyz", "/"):
        assert server.client.get(place).status_code == 200


def test_reload_needs_a_token(server: Running) -> None:
    """Nobody who merely reaches the server makes it read models."""
    assert server.client.post("/reload").status_code == 403


def other_model(run: Path) -> None:
    """Changes a run's model into another: its first two classes change their names, wherever the manifest has them."""
    manifest = run / "model" / MANIFEST
    values = json.loads(manifest.read_text(encoding="utf-8"))
    values.pop("manifest_sha256", None)
    first, second = (json.dumps(name) for name in values["classes"][:2])
    swapped = json.dumps(values).replace(first, "FIRST").replace(second, first).replace("FIRST", second)
    manifest.write_text(swapped, encoding="utf-8")


@pytest.mark.parametrize("way", ["signal", "request"])
def test_a_new_model_takes_the_place_of_the_old(serve: Serve, own_run: Path, photo: bytes, way: str) -> None:
    """While requests go on, the folder is replaced and read anew: no request fails, each is answered by one of the two."""
    server = serve(own_run, token="s3cret")
    bearer = {"Authorization": "Bearer s3cret"}
    before = server.predict(photo, **bearer).json()
    ended, answers = threading.Event(), []

    def ask_on() -> None:
        while not ended.is_set():
            answers.append(server.predict(photo, **bearer))

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask_on) for _ in range(2)]
        try:
            other_model(own_run)
            if way == "signal":
                server.process.send_signal(signal.SIGHUP)
            else:
                (model,) = server.client.post("/reload", headers=bearer).json()["models"]
                assert model["changed"] is True
            wait_until(lambda: server.client.get("/model", headers=bearer).json()["digest"] != before["digest"])
            after = server.predict(photo, **bearer).json()
        finally:
            ended.set()
        for task in asking:
            task.result()
    assert len(answers) > 4 and {answer.status_code for answer in answers} == {200}
    for answer in (answer.json() for answer in answers):
        assert answer in (before, after)
    if way == "signal":
        server.process.terminate()
        assert server.process.stderr is not None
        assert f"INFO own-run replaced: {after['digest'][:12]}" in server.process.stderr.read()
    assert before["predictions"][0]["predicted"] != after["predictions"][0]["predicted"]


def test_a_broken_model_does_not_replace_a_good_one(serve: Serve, own_run: Path, photo: bytes) -> None:
    """The answer to /reload says what is wrong; the old model goes on."""
    server = serve(own_run, token="s3cret")
    before = server.predict(photo, Authorization="Bearer s3cret").json()
    (own_run / "model" / MANIFEST).write_text("{", encoding="utf-8")
    answer = server.client.post("/reload", headers={"Authorization": "Bearer s3cret"})
    assert answer.status_code == 409 and "stays as it was" in answer.json()["error"]
    assert server.predict(photo, Authorization="Bearer s3cret").json() == before


def test_the_end_finishes_what_was_accepted(serve: Serve, saved_run: SavedRun, photo: bytes) -> None:
    """SIGTERM while many wait: every request that was read is answered, and the process ends with 0."""
    server = serve(saved_run.run)
    files = [("images", ("a.png", photo))] * 64

    def ask() -> int:
        with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS, trust_env=False) as client:
            return client.post("/predict", files=files).status_code

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        wait_until(lambda: "headstart_batch_images_count 0.0" not in server.client.get("/metrics").text)
        server.process.terminate()
        assert [task.result() for task in asking] == [200, 200]
    assert server.process.wait(timeout=PATIENCE_SECONDS) == 0


def test_other_pages_on_request(serve: Serve, saved_run: SavedRun) -> None:
    """--cors names the origins whose pages may ask."""
    server = serve(saved_run.run, "--cors", "http://shop.example")
    asked = server.client.get("/model", headers={"Origin": "http://shop.example"})
    assert asked.headers["access-control-allow-origin"] == "http://shop.example"
    assert "access-control-allow-origin" not in server.client.get("/model", headers={"Origin": "http://other.example"}).headers


def test_a_public_address_without_a_token_is_worth_a_note(serve: Serve, saved_run: SavedRun) -> None:
    """0.0.0.0 is everyone's; 127.0.0.1 is not."""
    server = serve(saved_run.run, "--host", "0.0.0.0")
    server.process.terminate()
    assert server.process.stderr is not None and "needs no token" in server.process.stderr.read()
    assert [is_public(address) for address in ("0.0.0.0", "::", "10.0.0.7")] == [True] * 3
    assert [is_public(address) for address in ("127.0.0.1", "127.0.1.1", "::1")] == [False] * 3


def test_a_port_that_is_taken(headstart: Callable[..., Result], server: Running, saved_run: SavedRun) -> None:
    """One sentence and a hint, at once."""
    port = server.url.rpartition(":")[2]
    assert_explained(headstart("serve", saved_run.run, "--port", port), port, "choose another --port")


def test_a_model_that_is_none(headstart: Callable[..., Result], tmp_path: Path) -> None:
    """One sentence and a hint."""
    assert_explained(headstart("serve", tmp_path / "nothing", "--port", 0), "there is no")


def test_an_empty_token(headstart: Callable[..., Result], saved_run: SavedRun, tmp_path: Path) -> None:
    """A token file without a token would let everyone in, so it is refused."""
    (tmp_path / "token").write_text("\n")
    assert_explained(headstart("serve", saved_run.run, "--token-file", tmp_path / "token"), "does not contain a token")


def test_names_of_models(tmp_path: Path) -> None:
    """NAME=FOLDER, or the folder's own name; a path that exists is a path, whatever it holds."""
    odd = tmp_path / "a=b"
    odd.mkdir()
    assert named_models(["ants=runs/1", str(odd)]) == {"ants": Path("runs/1"), "a-b": odd}
    assert list(named_models(["runs/photos-probe-1/model"])) == ["photos-probe-1"]
    for given in (["x=1", "x=2"], ["a/b=1"], ["=1"], ["..=1"]):
        with pytest.raises(SettingsError):
            named_models(given)


def test_an_export_is_served(serve: Serve, headstart: Callable[..., Result], saved_run: SavedRun, tmp_path: Path) -> None:
    """The same answers from the exported file, by a machine that has what `headstart[serve]` brings and no more."""
    assert headstart("export", saved_run.run, "--output", tmp_path / "out").code == 0
    path, expected = next(iter(probabilities(saved_run).items()))
    training = "torch,torchvision,timm,sklearn,scipy,pyarrow,matplotlib,jinja2,onnx,onnxscript,openvino,cleanlab"
    answer = serve(tmp_path / "out", without=training).predict(Path(path).read_bytes()).json()
    assert answer["predictions"][0]["probabilities"] == pytest.approx(expected, abs=1e-4)

"""An export for the browser answers there as the model does in Python, or is not kept."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeOnce, SavedRun

from artifact.conftest import edit
from artifact.odd_web_files import answered, refused
from headstart.artifact import web_browser, web_export
from headstart.artifact.bundle import FAMILIARITY
from headstart.artifact.predictor import Predictor
from headstart.artifact.web_browser import find_browser, page_in_browser
from headstart.artifact.web_export import TOLERANCE, export_web
from headstart.artifact.web_runtime import NOTICES, PARTS, VERSION
from headstart.data.odd_images import odd_images
from headstart.errors import BundleError, SettingsError
from headstart.model.head import Head

BROWSER = find_browser()
with_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here: install the system's package chromium")


@pytest.fixture(scope="module")
def page(made_once: MakeOnce, saved_run: SavedRun, npm_package: Path) -> Path:
    """An export for the browser, made without a proof."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(web_export, "find_browser", lambda: None)
            export_web(saved_run.run, folder / "out", runtime=npm_package)

    return made_once("page", make) / "out"


@pytest.mark.slow
@with_browser
def test_it_is_proven_before_it_is_kept(saved_run: SavedRun, npm_package: Path, tmp_path: Path) -> None:
    """All images of the run and the generated ones get the same label, but for two that the page says it cannot answer."""
    exported = export_web(saved_run.run, tmp_path / "out", runtime=npm_package)
    proof = exported.proof
    assert proof is not None and not exported.unproven
    assert (proof.images, proof.odd_images, proof.refused) == (len(saved_run.labels), len(odd_images()), 2)
    assert proof.same_label == 1 and proof.max_difference <= TOLERANCE
    written = json.loads((tmp_path / "out" / "model.json").read_text(encoding="utf-8"))
    assert written["proof"] == proof.as_json()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
@with_browser
@pytest.mark.parametrize("which", ["saved_run", "run_of_views"])
def test_odd_files_get_the_same_answers(
    which: str, request: pytest.FixtureRequest, npm_package: Path, tmp_path: Path, without_browser: None
) -> None:
    """Colours, orientations, transparency, chroma, shapes: the same label and probabilities within 0.01, also of all views."""
    run = request.getfixturevalue(which)
    model = run if isinstance(run, Path) else run.run
    folder, predictor = export_web(model, tmp_path / "out", runtime=npm_package).folder, Predictor.load(model)
    assert BROWSER is not None
    worst: dict[str, float] = {}
    with page_in_browser(BROWSER, folder) as ask:
        for name, data in answered():
            said, own = ask(data), predictor.predict_bytes([(name, data)])[0]
            assert own.probabilities is not None and "probabilities" in said, (name, said)
            worst[name] = float(np.abs(np.array(said["probabilities"]) - own.probabilities).max())
            assert int(np.argmax(said["probabilities"])) == int(own.probabilities.argmax()), name
            assert own.distance is not None and abs(said["distance"] - own.distance) < TOLERANCE, name
    assert len(worst) >= 30 and max(worst.values()) < TOLERANCE, worst


@pytest.mark.slow
@with_browser
def test_what_browsers_read_differently_is_refused(page: Path) -> None:
    """With the reason, whatever the browser would make of it."""
    assert BROWSER is not None
    with page_in_browser(BROWSER, page) as ask:
        for name, data, word in refused():
            said = ask(data)
            assert word in said.get("refused", ""), (name, said)


def test_what_is_in_the_folder(page: Path, saved_run: SavedRun) -> None:
    """Page, model, runtime and licences, each file with its digest in the service worker; nothing about the training images."""
    own = {path.name for path in web_browser.PAGE.iterdir()} - set(web_browser.PROOF_PAGE)
    expected = own | {"model.json", "model.onnx", FAMILIARITY} | set(PARTS.values()) | set(NOTICES.values())
    assert {path.name for path in page.iterdir()} == expected
    worker = (page / "sw.js").read_text(encoding="utf-8")
    kept = set(re.findall(r'^  "(.+)": "sha256-', worker, re.MULTILINE))
    assert kept == expected - {"sw.js"} - set(NOTICES.values())
    about = json.loads((page / "model.json").read_text(encoding="utf-8"))
    assert about["classes"] == sorted(set(saved_run.labels.values())) and about["proof"] is None
    assert VERSION in about["about"]["runs in"]
    assert not re.search(r"[0-9a-f]{64}|train/|val/", json.dumps(about))


def test_the_page_names_no_other_address() -> None:
    """Its own files ask nobody: no address is in them but names of formats."""
    for file in web_browser.PAGE.iterdir():
        for address in re.findall(r"https?://[^\s\"'`)]+", file.read_text(encoding="utf-8")):
            assert address in ("http://ns.adobe.com/xap/1.0/", "http://www.w3.org/2000/svg"), (file.name, address)


@pytest.mark.slow
@with_browser
def test_an_export_that_answers_otherwise_is_not_kept(
    saved_run: SavedRun, npm_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong last layer and other pixels are noticed, the image is named, and no folder is left."""
    right = web_export.write_graph

    def turned(bundle: Any, predictor: Predictor, *rest: Any) -> None:
        head = Head(predictor.head.weight[::-1].copy(), predictor.head.bias[::-1].copy())
        right(bundle, Predictor(predictor.classes, predictor.preprocess, predictor.extractor, head), *rest)

    monkeypatch.setattr(web_export, "write_graph", turned)
    with pytest.raises(BundleError, match=r"in the browser .* gets another answer"):
        export_web(saved_run.run, tmp_path / "out", runtime=npm_package)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@with_browser
def test_a_page_that_cannot_run_is_not_kept(
    saved_run: SavedRun, npm_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph that onnxruntime-web does not take is a reason, not a page that fails later."""
    monkeypatch.setattr(web_export, "write_graph", lambda bundle, predictor, file, progress: file.write_bytes(b"no graph"))
    with pytest.raises(BundleError, match="the page fails on"):
        export_web(saved_run.run, tmp_path / "out", runtime=npm_package)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("why", ["none", "ends", "is no program"])
def test_without_a_browser_it_is_kept_unproven(
    why: str, saved_run: SavedRun, npm_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says why: there is none, or it ends by itself."""
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\nexit 7\n" if why == "ends" else "nothing to run")
    program.chmod(0o755 if why == "ends" else 0o644)
    monkeypatch.setattr(web_export, "find_browser", lambda: None if why == "none" else program)
    exported = export_web(saved_run.run, tmp_path / "out", runtime=npm_package)
    assert exported.proof is None and exported.unproven
    assert (exported.folder / "index.html").is_file()


def test_what_is_there_is_replaced_only_on_request(
    saved_run: SavedRun, npm_package: Path, tmp_path: Path, without_browser: None
) -> None:
    """A page gives way to --overwrite, anything else to nothing."""
    export_web(saved_run.run, tmp_path / "out", runtime=npm_package)
    with pytest.raises(SettingsError, match="exists"):
        export_web(saved_run.run, tmp_path / "out", runtime=npm_package)
    export_web(saved_run.run, tmp_path / "out", runtime=npm_package, overwrite=True)
    shutil.copytree(saved_run.model, tmp_path / "model")
    with pytest.raises(SettingsError, match="is not an export"):
        export_web(saved_run.run, tmp_path / "model", runtime=npm_package, overwrite=True)


def test_a_model_of_the_first_way_of_decoding_is_refused(npm_package: Path, tmp_path: Path) -> None:
    """Its pixels are not those that the page makes."""
    model = Path(__file__).parents[1] / "kept" / "format-1" / "first"
    with pytest.raises(BundleError, match="as the first versions"):
        export_web(model, tmp_path / "out", runtime=npm_package)


def test_a_model_of_stacks_is_refused(model: Path, npm_package: Path, tmp_path: Path) -> None:
    """A browser has no planes to choose from."""
    edit(model, lambda values: values["preprocess"].update(channels="c=1+z=1"))
    with pytest.raises(BundleError, match="--channels c=1\\+z=1"):
        export_web(model, tmp_path / "out", runtime=npm_package)
    assert not (tmp_path / "out").exists()


def test_all_that_the_page_needs_is_asked_for_at_once(page: Path) -> None:
    """Modules, the runtime and the network are named in index.html, so that none waits until another one asks for it."""
    text = (page / "index.html").read_text(encoding="utf-8")
    modules = set(re.findall(r'<link rel="modulepreload" href="([^"]+)">', text))
    assert modules == {path.name for path in page.glob("*.js")} - {"main.js", "sw.js"}
    parts = set(re.findall(r'<link rel="preload" href="([^"]+)" as="fetch" crossorigin>', text))
    assert parts == {"model.json", "model.onnx", "ort-wasm-simd-threaded.wasm"} and all(
        (page / name).is_file() for name in parts
    )

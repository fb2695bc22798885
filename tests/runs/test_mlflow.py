"""Runs in MLflow: beside the run, and on a real server, which may fail."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import MakeOnce
from mlflow_server import mlflow_environment, mlflow_server
from object_storage import faulty_way

import headstart
from headstart.errors import HeadstartWarning
from headstart.settings import TrainSettings
from runs.conftest import breaks_at_epoch, metrics_of, rows_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(made_once: MakeOnce, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server answers."""
    with mlflow_server(mlflow_environment(made_once), tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture(autouse=True)
def quick_failures(tracker_environment: pytest.MonkeyPatch) -> None:
    """One more try, after a request that took a second."""
    tracker_environment.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    tracker_environment.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")


def test_a_server_has_all_of_a_run(address, split_shapes, settings, tmp_path, tracker_environment):
    """Settings and plan, tags, each epoch, the numbers with the bounds of their intervals, and the files byte for byte."""
    from mlflow.tracking import MlflowClient

    tracker_environment.setenv("MLFLOW_TRACKING_URI", address)
    tracker_environment.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # nothing fails here, but the machine may be busy
    tracker_environment.setenv("MLFLOW_EXPERIMENT_NAME", "shapes")
    run, told = tmp_path / "run", []
    headstart.train(split_shapes, settings(strategy="finetune", epochs=2), output=run, log=["mlflow"], tell=told.append)
    assert f"mlflow: at {address}" in told
    client = MlflowClient(address)
    (found,) = client.search_runs([client.get_experiment_by_name("shapes").experiment_id])
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    data, metrics = found.data, metrics_of(run)
    assert {"epochs": "2", "image_size": "48", "seed": "0", "plan/epochs": "2"}.items() <= data.params.items()
    assert float(data.params["plan/learning_rate"]) > 0
    assert {"strategy": "finetune", "classes": "circles, squares, triangles", "data": "split"}.items() <= data.tags.items()
    for column in ("lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"):
        points = [(one.step, one.value) for one in client.get_metric_history(found.info.run_id, column)]
        assert points == [(int(row["epoch"]), float(row[column])) for row in rows_of(run / "history.csv")]
    reported, on_val = metrics["evaluation"], metrics["other_evaluations"][0]
    assert data.metrics["evaluation/images"] == reported["n"] and data.metrics["images/train"] == metrics["images"]["train"]
    for number in ("accuracy", "macro_f1", "log_loss", "ece"):
        assert data.metrics[f"evaluation/{number}"] == reported[number]
        assert data.metrics[f"evaluation_on_val/{number}"] == on_val[number]
    assert [data.metrics[f"evaluation/accuracy_{bound}"] for bound in ("low", "high")] == reported["accuracy_ci95"]
    assert data.tags["mlflow.note.content"].startswith(f"{reported['accuracy']:.1%} of {reported['n']} test images")
    stored = Path(client.download_artifacts(found.info.run_id, "", str(tmp_path)))
    sent = {file.relative_to(stored).as_posix() for file in stored.rglob("*") if file.is_file()} & {
        file.relative_to(run).as_posix() for file in run.rglob("*") if file.is_file()
    }
    assert {"report.html", "metrics.json", "history.csv", "figures/confusion.png", "model/weights.safetensors"} <= sent
    assert all((stored / name).read_bytes() == (run / name).read_bytes() for name in sent)


def test_without_a_server_the_store_is_beside_the_run(split_shapes, settings, tmp_path):
    """Without MLFLOW_TRACKING_URI runs are below `mlruns`, which is told."""
    from mlflow.tracking import MlflowClient

    told = []
    headstart.train(split_shapes, settings(strategy="probe"), output=tmp_path / "out" / "run", log=["mlflow"], tell=told.append)
    assert any("mlruns, as MLFLOW_TRACKING_URI is not set" in sentence for sentence in told)
    client = MlflowClient((tmp_path / "out" / "mlruns").as_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("headstart").experiment_id])
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert found.data.metrics["evaluation/accuracy"] == metrics_of(tmp_path / "out" / "run")["evaluation"]["accuracy"]


@pytest.mark.parametrize("fault", ["503", "403", "reset", "late"])
def test_a_server_that_fails_never_costs_the_run(
    address: str,
    split_shapes: Path,
    settings: Callable[..., TrainSettings],
    tmp_path: Path,
    fault: str,
) -> None:
    """From the first epoch on the server is overloaded, refuses the token, drops connections, or never answers: one warning."""
    with faulty_way(address, 0.0, [fault], variable="MLFLOW_TRACKING_URI") as way:

        def breaks() -> None:
            way.share = 1.0

        with pytest.warns(HeadstartWarning, match="^mlflow failed, and gets nothing more of this run: ") as warned:
            headstart.train(
                split_shapes,
                settings(strategy="finetune", epochs=2),
                output=tmp_path / "run",
                log=["mlflow"],
                progress=breaks_at_epoch(1, breaks),
            )
    assert len([one for one in warned if "mlflow" in str(one.message)]) == 1
    assert len(rows_of(tmp_path / "run" / "history.csv")) == 3 and len(metrics_of(tmp_path / "run")["classes"]) == 3
    assert 1 <= len(way.faults) <= 2  # it is asked once more at most, and then never again


def test_a_full_disk_never_costs_the_run(split_shapes, settings, tmp_path, small_disk, tracker_environment):
    """A store that has no room for the model."""
    tracker_environment.setenv("MLFLOW_TRACKING_URI", small_disk.as_uri())
    tracker_environment.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with pytest.warns(HeadstartWarning, match=r"^mlflow failed.*No space left on device"):
        headstart.train(split_shapes, settings(strategy="probe"), output=tmp_path / "run", log=["mlflow"])
    assert (tmp_path / "run" / "metrics.json").is_file()

"""Runs in TensorBoard: event files that its own reader and its own plugins read."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import headstart
from headstart.settings import TrainSettings
from runs.conftest import metrics_of, rows_of

pytestmark = pytest.mark.slow
pytest.importorskip("tensorboard")


@pytest.fixture
def run(split_shapes: Path, settings: Callable[..., TrainSettings], tmp_path: Path) -> Path:
    """A fine-tuned run that was recorded."""
    values = settings(strategy="finetune", epochs=2)
    headstart.train(split_shapes, values, output=tmp_path / "runs" / "run", log=["tensorboard"])
    return tmp_path / "runs" / "run"


def test_the_event_file_has_all_of_a_run(run):
    """Each epoch, the evaluation with the bounds of its interval, the figures byte for byte, summary and plan as text."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = (run / "tensorboard").iterdir()
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0}).Reload()
    assert events.FirstEventTimestamp() == pytest.approx(file.stat().st_mtime, abs=3600)
    rows, metrics = rows_of(run / "history.csv"), metrics_of(run)
    for column in ("lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"):
        read = [(event.step, event.value) for event in events.Scalars(column)]
        assert read == [(int(row["epoch"]), pytest.approx(float(row[column]))) for row in rows]
    reported = metrics["evaluation"]
    expected = {"accuracy": reported["accuracy"], "macro_f1": reported["macro_f1"], "log_loss": reported["log_loss"]}
    expected |= dict(zip(("accuracy_low", "accuracy_high"), reported["accuracy_ci95"], strict=True))
    for name, value in expected.items():
        (event,) = events.Scalars(f"evaluation/{name}")
        assert event.value == pytest.approx(value) and event.step == int(rows[-1]["epoch"])
    for file in (run / "figures").glob("*.png"):
        (image,) = events.Images(f"figures/{file.stem}")
        assert image.encoded_image_string == file.read_bytes() and image.width > 100
    (summary,) = events.Tensors("summary")
    assert f"of {reported['n']} test images" in summary.tensor_proto.string_val[0].decode()
    assert events.Tensors("plan/epochs")[0].tensor_proto.string_val[0] == b"2"


def test_the_table_of_hyperparameters_has_the_run(run):
    """The plugin finds settings and tags of the run, that it has ended well, and the columns that it can be compared by."""
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(run.parent)).Reload()
    provider = MultiplexerDataProvider(multiplexer, str(run.parent))
    assert list(multiplexer.Runs()) == ["run/tensorboard"]
    context = backend_context.Context(SimpleNamespace(data_provider=provider))
    request, place = RequestContext(), str(run.parent)
    tags = context.hparams_metadata(request, place)
    experiment: Any = context.experiment_from_metadata(
        request, place, include_metrics=True, hparams_run_to_tag_to_content=tags, data_provider_hparams=[], hparams_limit=None
    )
    assert {"epochs", "image_size", "strategy", "seed"} <= {column.name for column in experiment.hparam_infos}
    asked = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=[api_pb2.STATUS_SUCCESS], start_index=0, slice_size=10, include_metrics=True
    )
    asked.col_params.add(metric=api_pb2.MetricName(group="tensorboard", tag="evaluation/accuracy"))
    groups = list_session_groups.Handler(request, context, place, asked).run().session_groups
    assert [group.name for group in groups] == ["run"]
    assert groups[0].hparams["strategy"].string_value == "finetune" and groups[0].hparams["epochs"].number_value == 2

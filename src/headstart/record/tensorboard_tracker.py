"""Runs in TensorBoard: event files in the run folder, written without TensorFlow or torch."""

import os
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.plugins.text.metadata import create_summary_metadata
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

from headstart.model.history import Epoch
from headstart.record.tracked import BegunRun, CompleteRun, Outcome, epoch_numbers

FOLDER = "tensorboard"  # in the run folder
VERSION = "brain.Event:2"  # of event files, which begin with it
RGBA = 4  # TensorBoard's number for the colours of a picture
STATUS = {
    "finished": api_pb2.STATUS_SUCCESS,
    "interrupted": api_pb2.STATUS_UNKNOWN,
    "failed": api_pb2.STATUS_FAILURE,
}


class TensorBoardTracker:
    """A Tracker. A resumed run has one more file in the same folder, which TensorBoard shows as one run."""

    place = f"event files in the run folder, below {FOLDER}"

    def __init__(self) -> None:
        self._file: Path | None = None

    def begin(self, run: BegunRun, identity: str | None) -> str:
        """Begins a file; the settings and tags are what its table of hyperparameters shows."""
        folder = run.folder / FOLDER
        folder.mkdir(exist_ok=True)
        # Not by TensorBoard's own EventFileWriter: a thread of it writes, whose errors are tracebacks, and the name of the file
        # would be that of the machine.
        self._file = folder / f"events.out.tfevents.{int(time.time()):010d}.{os.getpid()}"
        self._add(Event(wall_time=time.time(), file_version=VERSION))
        self._write(_session_start(run))
        return FOLDER

    def epoch(self, row: Epoch) -> None:
        """Records the numbers of an epoch."""
        self._write(_scalars(epoch_numbers(row)), row.epoch)

    def report(self, run: CompleteRun) -> None:
        """Records numbers, pictures, and the accuracy in words."""
        self._write(_scalars(run.numbers), run.step)
        self._write(Summary(value=[_text("summary", run.summary)]), run.step)
        self._write(Summary(value=[_text(name, str(value)) for name, value in run.plan.items()]), run.step)
        self._write(Summary(value=_pictures(run.figures())), run.step)

    def end(self, outcome: Outcome) -> None:
        """Records how the run ended."""
        end = SessionEndInfo(status=STATUS[outcome], end_time_secs=time.time())
        self._write(_of_session(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end)))

    def leave(self) -> None:
        """Nothing is held: the file is not kept open."""

    def _write(self, summary: Summary, step: int = 0) -> None:
        self._add(Event(wall_time=time.time(), step=step, summary=summary))

    def _add(self, event: Event) -> None:
        if self._file is not None:
            with self._file.open("ab") as file:  # not kept open: Windows moves no folder with an open file
                RecordWriter(file).write(event.SerializeToString())


def _session_start(run: BegunRun) -> Summary:
    """What `session_start_pb` makes, whose module imports TensorFlow."""
    start = SessionStartInfo(group_name=run.name, start_time_secs=time.time())
    for name, value in {**run.settings, **run.tags}.items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    return _of_session(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))


def _of_session(tag: str, data: HParamsPluginData) -> Summary:
    shown = metadata.create_summary_metadata(data)
    return Summary(value=[Summary.Value(tag=tag, metadata=shown, tensor=metadata.NULL_TENSOR)])


def _scalars(numbers: dict[str, float]) -> Summary:
    return Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()])


def _text(name: str, text: str) -> Summary.Value:
    return Summary.Value(tag=name, metadata=create_summary_metadata(name, ""), tensor=make_tensor_proto([text]))


def _pictures(files: Sequence[Path]) -> list[Summary.Value]:
    values = []
    for file in files:
        data = file.read_bytes()
        width, height = struct.unpack(">II", data[16:24])  # of a PNG
        picture = Summary.Image(width=width, height=height, colorspace=RGBA, encoded_image_string=data)
        values.append(Summary.Value(tag=f"figures/{file.stem}", image=picture))
    return values

"""How long a network takes for an image on this machine: measured when it is first used, and kept in home()."""

import json
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from headstart.channels import COLOURS
from headstart.model.engines import Compute, load_engine
from headstart.model.extractor import ONNX_RUNTIME, Frozen
from headstart.model.frozen import compile_network
from headstart.model.specs import BackboneSpec
from headstart.progress import Progress, silent
from headstart.schema import Name, Positive, Schema, parse_json
from headstart.storage import home, sha256_of_bytes, write_json
from headstart.threads import cores, map_in_threads

IMAGES_PER_THREAD = 2  # in a round
AT_FIRST_USE, ON_REQUEST = (8, 0.15), (100, 3.0)  # rounds, and seconds after which no other begins


class Speed(Schema):
    """The time that a network takes for an image, without decoding: as many images at a time as there are cores."""

    format: Literal[1] = 1
    timm_name: Name
    size_px: Positive
    cores: Positive  # that the process could use; on another number it is measured again
    milliseconds: Annotated[float, Field(gt=0)]


def known_speed(timm_name: str, size_px: int) -> float | None:
    """Milliseconds per image as measured before, with this many cores; None if it was not, or the file cannot be read."""
    try:
        speed = Speed.from_json(parse_json(_file(timm_name, size_px).read_text(encoding="utf-8")))
    except (OSError, ValueError):  # not measured, or damaged: it is measured again
        return None
    return speed.milliseconds if (speed.timm_name, speed.size_px) == (timm_name, size_px) else None


def speed_of(frozen: Frozen) -> float | None:
    """Milliseconds per image of a backbone in its compiled form, measured now if they are not known.

    None for other engines, and for images of more than three channels.
    """
    timm_name, size_px = frozen.spec.timm_name, frozen.preprocess.size_px
    if frozen.extractor.engine != ONNX_RUNTIME or frozen.preprocess.n_channels > COLOURS:  # it is kept for photographs
        return None
    return known_speed(timm_name, size_px) or keep_speed(
        timm_name, size_px, measure(frozen.extractor.compute, size_px, *AT_FIRST_USE)
    )


def keep_speed(timm_name: str, size_px: int, milliseconds: float) -> float:
    """Keeps a measured speed for this number of cores, where home() can be written to; returns the milliseconds."""
    speed = Speed(timm_name=timm_name, size_px=size_px, cores=cores(), milliseconds=round(milliseconds, 3))
    with suppress(OSError):  # compiling has said that home() cannot be written to; it is measured again
        write_json(_file(timm_name, size_px), speed.as_json())
    return milliseconds


def measure_untrained(spec: BackboneSpec, progress: Progress = silent) -> float:
    """Milliseconds per image of a backbone with random weights, which take as long as trained ones and need no download.

    Raises HeadstartError.
    """
    from headstart.model.backbones import untrained_network

    network = untrained_network(spec)
    with TemporaryDirectory(prefix="headstart-") as folder:
        compiled = compile_network(network, Path(folder) / "compiled", progress=progress)
        compute = load_engine(ONNX_RUNTIME, compiled.graph, cores())
        size_px = network.preprocess.size_px
        return keep_speed(spec.timm_name, size_px, measure(compute, size_px, *ON_REQUEST))


def measure(compute: Compute, size_px: int, most_rounds: int, enough_seconds: float) -> float:
    """Milliseconds per image, one image to a thread: the best of some rounds, as other work only ever adds to them."""
    view = np.random.default_rng(0).integers(0, 256, (1, size_px, size_px, 3), dtype=np.uint8)
    n_threads = cores()
    views = [view] * (n_threads * IMAGES_PER_THREAD)
    list(map_in_threads(compute, views[:n_threads], n_threads))  # the first call of a session prepares it
    began = time.perf_counter()
    rounds: list[float] = []
    while not rounds or (len(rounds) < most_rounds and time.perf_counter() - began < enough_seconds):
        start = time.perf_counter()
        list(map_in_threads(compute, views, n_threads))
        rounds.append(time.perf_counter() - start)
    return 1000 * min(rounds) / len(views)


def _file(timm_name: str, size_px: int) -> Path:
    identity = json.dumps([timm_name, size_px, cores()]).encode()
    return home() / "speeds" / f"{sha256_of_bytes(identity)[:32]}.json"

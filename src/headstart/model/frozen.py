"""The pretrained backbone for a probe: features from the compiled form, and the tensors to save with a new head.

Torch is loaded only to compile a backbone the first time it is used on this machine; for an EfficientNet-Lite not even then.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors
import safetensors.numpy

from headstart.data.preprocess import Preprocess
from headstart.errors import BackboneError, SettingsError, first_line
from headstart.model.compiled import GRAPH, STATE, Compiled, CompiledRecord, build_compiled, compiled_folder, find_compiled
from headstart.model.engines import OPENING, Compute, load_engine
from headstart.model.extractor import ONNX_RUNTIME, Engine, Extractor, Frozen, Model, NetworkId
from headstart.model.head import Head
from headstart.model.lite_graph import n_features, write_lite_graph
from headstart.model.lite_networks import LAST_LAYER, LITES, N_FEATURES, read_lite_state, read_pretrained_state, tensor_shapes
from headstart.model.specs import BackboneSpec
from headstart.model.weights import WeightsFile, check_shapes
from headstart.progress import Progress, silent
from headstart.storage import atomic_write
from headstart.threads import cores

if TYPE_CHECKING:
    from headstart.model.backbones import Network

TOLERANCE = 1e-3  # largest difference between compiled form and torch, relative to the spread of a feature. Observed: 1e-5
TRIAL_IMAGES = 8


class NotCompilable(BackboneError):  # noqa: N818 - a fact about a network
    """The network has no compiled form that reproduces its features."""


def frozen_backbone(
    spec: BackboneSpec,
    weights: WeightsFile,
    *,
    image_size: int | None = None,
    engine: Engine = ONNX_RUNTIME,
    progress: Progress = silent,
) -> Frozen:
    """The backbone in its compiled form, which is built if this machine does not have it yet. Raises HeadstartError."""
    folder = compiled_folder(
        spec.timm_name, weights.sha256, image_size, with_stages=spec.takes_stages, n_channels=spec.n_channels
    )
    compiled = find_compiled(folder)
    wanted_px = image_size or (spec.preprocess.size_px if spec.preprocess else None)
    if (
        compiled is None
        or not compiled.state.is_file()
        or wanted_px not in (None, compiled.record.preprocess.size_px)  # an earlier version's own size was another
    ):
        compiled = _compile_backbone(spec, weights, image_size, folder, progress)
    record = compiled.record  # its spec was completed by timm during compilation
    preprocess = record.preprocess.newest()  # an earlier version may have compiled it
    extractor = compiled_extractor(compiled, engine, NetworkId(record.spec.timm_name, weights.sha256, record.spec.known_stages))

    def with_head(head: Head) -> Model:
        def save(file: Path) -> None:
            tensors = safetensors.numpy.load_file(compiled.state)
            tensors |= {f"{record.last_layer}.weight": head.weight, f"{record.last_layer}.bias": head.bias}
            _save(tensors, file)

        return Model(record.spec, preprocess, extractor, head, save, engine)

    return Frozen(record.spec, preprocess, extractor, record.n_features, record.n_last, with_head)


def with_engine(frozen: Frozen, engine: Engine, compute: Compute, batch_images: int) -> Frozen:
    """The same backbone with features from another engine, which also runs the models made from it."""
    extractor = replace(frozen.extractor, compute=compute, engine=engine, batch_images=batch_images)

    def with_head(head: Head) -> Model:
        return replace(frozen.with_head(head), extractor=extractor, answers_with=engine)

    return replace(frozen, extractor=extractor, with_head=with_head)


def with_preprocess(frozen: Frozen, preprocess: Preprocess) -> Frozen:
    """The same backbone for other views, of the same size."""

    def with_head(head: Head) -> Model:
        return replace(frozen.with_head(head), preprocess=preprocess)

    return replace(frozen, preprocess=preprocess, with_head=with_head)


def compiled_extractor(compiled: Compiled, engine: Engine, kept_as: NetworkId | None = None) -> Extractor:
    """An extractor from a compiled form; the engine is loaded on first use."""
    return Extractor(Deferred(engine, compiled.graph), engine, kept_as=kept_as, graph=compiled.graph)


def _save(tensors: dict[str, np.ndarray], file: Path) -> None:
    with atomic_write(file) as aside:
        safetensors.numpy.save_file(tensors, aside)


def read_head(file: Path, compiled: Compiled) -> Head:
    """The last layer in a file of a network's tensors.

    Raises BackboneError, also if another tensor is missing or has the wrong shape.
    """
    record = compiled.record
    names = f"{record.last_layer}.weight", f"{record.last_layer}.bias"
    try:
        with safetensors.safe_open(file, framework="numpy") as tensors:
            found = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118 - no dict
            n_classes = found.get(names[1], (0,))[0]
            check_shapes(found, record.tensors | {names[0]: (n_classes, record.n_features), names[1]: (n_classes,)}, file)
            weight, bias = (np.asarray(tensors.get_tensor(name), np.float32) for name in names)
    except safetensors.SafetensorError as error:
        raise BackboneError(f"{file} cannot be read: {error}", hint="is the copy complete?") from error
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise BackboneError(f"the last layer in {file} contains values that are not finite", hint="train the model again")
    return Head(weight, bias)


class Deferred:
    """An engine that is loaded once, on the first call."""

    def __init__(self, engine: Engine, graph: Path) -> None:
        self._wanted = (engine, graph)
        self._compute: Compute | None = None

    def __call__(self, views: np.ndarray) -> np.ndarray:
        """(n, size, size, n_channels) uint8 -> (n, n_features) float32."""
        if self._compute is None:
            with OPENING:
                if self._compute is None:
                    self._compute = load_engine(*self._wanted, threads=cores())
        return self._compute(views)


def compile_network(network: "Network", folder: Path, *, with_state: bool = False, progress: Progress = silent) -> Compiled:
    """Builds the compiled form of a torch network in `folder`, after checking that it reproduces torch's features.

    Raises NotCompilable if the features differ, or if the network cannot be exported.
    """
    return build_compiled(folder, partial(_compile, network, with_state), progress)


def compile_lite(
    spec: BackboneSpec,
    preprocess: Preprocess,
    weights: Path,
    folder: Path,
    *,
    with_state: bool = False,
    progress: Progress = silent,
) -> Compiled:
    """Builds the same of an EfficientNet-Lite without torch, whose import and exporter take most of a first run's time.

    With `with_state` the weights are pretrained ones, whose first layer is for red, green and blue; others are of a bundle.
    Raises BackboneError if the weights do not fit.
    """
    return build_compiled(folder, partial(_compile_lite, spec, preprocess, weights, with_state), progress)


def _compile(network: "Network", with_state: bool, new: Path) -> CompiledRecord:
    head = network.last_layer_name
    try:
        network.export_graph(new / GRAPH)
        compute = load_engine(ONNX_RUNTIME, new / GRAPH, cores())
        _check_agreement(network, compute)
    except (NotCompilable, OSError):  # a full disk is no fault of the network
        raise
    except Exception as error:  # the exporter and the engine raise all kinds of errors
        reason = first_line(error)
        raise NotCompilable(f"{network.spec.name} cannot be compiled ({reason})", hint="use another backbone") from error
    if with_state:
        network.save(new / STATE)
    tensors = {name: shape for name, shape in network.shapes().items() if not name.startswith(f"{head}.")}
    return CompiledRecord(
        spec=network.spec,
        preprocess=network.preprocess,
        last_layer=head,
        tensors=tensors,
        n_features=network.n_features,
        n_last=network.n_last,
    )


def _compile_lite(spec: BackboneSpec, preprocess: Preprocess, weights: Path, with_state: bool, new: Path) -> CompiledRecord:
    lite = LITES[spec.name].with_channels(spec.n_channels)
    state = (read_pretrained_state if with_state else read_lite_state)(weights, lite)
    stages = spec.known_stages
    write_lite_graph(lite, state, preprocess, new / GRAPH, stages)
    # Whether such a graph agrees with torch does not depend on the weights, and is tested for each network of the family on its
    # real ones. Here remains what depends on this machine: that its engine runs the graph.
    width = n_features(lite, stages)
    found = load_engine(ONNX_RUNTIME, new / GRAPH, cores())(np.zeros((1, *preprocess.view_shape), np.uint8))
    if found.shape != (1, width) or not np.isfinite(found).all():
        raise NotCompilable(f"the compiled form of {spec.name} gives no features", hint="use another backbone")
    if with_state:
        _save(state, new / STATE)
    tensors = {name: shape for name, shape in tensor_shapes(lite).items() if not name.startswith(f"{LAST_LAYER}.")}
    return CompiledRecord(
        spec=spec, preprocess=preprocess, last_layer=LAST_LAYER, tensors=tensors, n_features=width, n_last=N_FEATURES
    )


def _compile_backbone(
    spec: BackboneSpec, weights: WeightsFile, image_size: int | None, folder: Path, progress: Progress
) -> Compiled:
    if spec.name in LITES:
        assert spec.preprocess is not None  # every named backbone has one
        preprocess = spec.preprocess if image_size is None else spec.preprocess.at_size(image_size)
        return compile_lite(spec, preprocess, weights.path, folder, with_state=True, progress=progress)
    from headstart.model.backbones import pretrained_network

    network = pretrained_network(spec, weights)
    if image_size is not None:
        network.preprocess = network.preprocess.at_size(image_size)
        check_image_size(network)
    return compile_network(network, folder, with_state=True, progress=progress)


def check_image_size(network: "Network") -> None:
    """Raises SettingsError if the network cannot process images of its preprocessing's size."""
    size = network.preprocess.size_px
    try:
        network.features(np.zeros((1, *network.preprocess.view_shape), np.uint8))
    except (AssertionError, RuntimeError, ValueError, BackboneError) as error:
        raise SettingsError(
            f"{network.spec.name} cannot take images of {size} px: {error}", hint="leave out --image-size"
        ) from error


def _check_agreement(network: "Network", compute: Compute) -> None:
    """Raises NotCompilable if the compiled form differs from torch on fine or coarse noise."""
    size, _, n_channels = network.preprocess.view_shape
    rng = np.random.default_rng(0)
    fine = rng.integers(0, 256, (TRIAL_IMAGES // 2, size, size, n_channels), dtype=np.uint8)
    coarse = rng.integers(0, 256, (TRIAL_IMAGES // 2, 8, 8, n_channels), dtype=np.uint8)
    spread = -(-size // 8)
    coarse = coarse.repeat(spread, axis=1).repeat(spread, axis=2)[:, :size, :size]
    views = np.concatenate([fine, np.ascontiguousarray(coarse)])
    expected, found = network.features(views), np.concatenate([compute(view[None]) for view in views])
    allowed = TOLERANCE * max(float(expected.std()), 1e-6)
    if found.shape != expected.shape or not np.abs(found - expected).max() <= allowed:
        raise NotCompilable(f"the compiled form of {network.spec.name} does not agree with torch", hint="use another backbone")

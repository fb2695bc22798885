"""The backbone of a run: its weights, its preprocessing and the engine that computes its features."""

import warnings
from dataclasses import dataclass, replace

import numpy as np

from headstart.channels import channels_of
from headstart.data.preprocess import Preprocess
from headstart.errors import HeadstartWarning, SettingsError
from headstart.machine import has_cuda
from headstart.model.compiled import compiled_folder, find_compiled
from headstart.model.engines import engine_for
from headstart.model.extractor import GPU_BATCH, ON_GPU, Engine, Frozen
from headstart.model.frozen import NotCompilable, check_image_size, frozen_backbone, with_engine, with_preprocess
from headstart.model.licences import restriction
from headstart.model.specs import BackboneSpec, find_backbone
from headstart.model.speed import speed_of
from headstart.model.weights import WeightsFile, locate_weights
from headstart.progress import Progress
from headstart.settings import TrainSettings

TUTORIAL_RESIZE_PX, TUTORIAL_SIZE_PX = 256, 224


@dataclass(frozen=True, slots=True)
class Backbone:
    """A pretrained network before training."""

    spec: BackboneSpec
    weights: WeightsFile
    preprocess: Preprocess  # of this run
    frozen: Frozen | None  # None for the tutorial recipe, which does not use features

    def seen_as(self, view: str) -> "Backbone":
        """The same network with other views of the images."""
        preprocess = self.preprocess.seen_as(view)
        return replace(self, preprocess=preprocess, frozen=self.frozen and with_preprocess(self.frozen, preprocess))

    def choosing(self, channels: str) -> "Backbone":
        """The same network with what is chosen of stacks."""
        preprocess = self.preprocess.choosing(channels)
        return replace(self, preprocess=preprocess, frozen=self.frozen and with_preprocess(self.frozen, preprocess))


def open_backbone(settings: TrainSettings, progress: Progress) -> Backbone:
    """The backbone that the settings name. Torch is loaded only for a GPU or if nothing is compiled yet.

    Warns if the licence of its weights restricts what may be done with models made from them. Raises HeadstartError.
    """
    backbone = _open(settings, progress)
    restricted = restriction(backbone.spec.name, backbone.spec.licence)
    if restricted:
        warnings.warn(restricted, HeadstartWarning, stacklevel=2)
    return backbone


def weights_for(settings: TrainSettings, progress: Progress) -> tuple[BackboneSpec, WeightsFile]:
    """The backbone that the settings name, as wide as their channels ask, and its weights, downloaded if necessary.

    Raises BackboneError.
    """
    spec = find_backbone(settings.backbone)
    if not settings.stages or settings.recipe == "tutorial":
        spec = spec.model_copy(update={"stages": ()})
    if settings.image_size is not None:
        spec = spec.at_size(settings.image_size)
    spec = spec.with_channels(channels_of(settings.channels or "").n_channels)
    if spec.preprocess is None and settings.weights is None:  # only timm knows where the weights are
        from headstart.model.backbones import complete_spec

        spec = complete_spec(spec)
    return spec, locate_weights(spec, given=settings.weights, offline=settings.offline, progress=progress)


def _open(settings: TrainSettings, progress: Progress) -> Backbone:
    spec, weights = weights_for(settings, progress)
    if settings.recipe == "tutorial":
        if settings.view is not None:
            raise SettingsError("--recipe tutorial has its own view of the images", hint="leave out --view")
        from headstart.model.backbones import pretrained_network

        network = pretrained_network(spec, weights)
        network.preprocess = preprocess_for(settings, network.preprocess)
        check_image_size(network)
        return Backbone(network.spec, weights, network.preprocess, None)
    frozen = _frozen_on_gpu(spec, weights, settings) or _frozen_on_cpu(spec, weights, settings, progress)
    backbone = Backbone(frozen.spec, weights, frozen.preprocess, frozen)
    return backbone if settings.view is None else backbone.seen_as(settings.view)


def _frozen_on_gpu(spec: BackboneSpec, weights: WeightsFile, settings: TrainSettings) -> Frozen | None:
    """The network in torch on a device other than the CPU, if one is requested or "auto" finds a GPU; otherwise None.

    If a compiled form already describes the network, torch is loaded only for the first image that is not in the store.
    """
    if settings.device == "cpu" or (settings.device == "auto" and not has_cuda()):
        return None
    folder = compiled_folder(
        spec.timm_name, weights.sha256, settings.image_size, with_stages=spec.takes_stages, n_channels=spec.n_channels
    )
    compiled = find_compiled(folder)
    on_cuda = settings.device.split(":")[0] in ("auto", "cuda")
    if on_cuda and settings.precision == "fp32" and compiled is not None and compiled.state.is_file():
        frozen = frozen_backbone(spec, weights, image_size=settings.image_size)
        return with_engine(frozen, Engine(name=ON_GPU), _Late(spec, weights, settings), GPU_BATCH)
    from headstart.model.hardware import find_hardware

    device = find_hardware(settings.device).device
    return None if device == "cpu" else _frozen_in_torch(spec, weights, settings, device)


class _Late:
    """A network on a GPU that is built once, on the first call."""

    def __init__(self, spec: BackboneSpec, weights: WeightsFile, settings: TrainSettings) -> None:
        self._wanted = (spec, weights, settings)
        self._frozen: Frozen | None = None

    def __call__(self, views: np.ndarray) -> np.ndarray:
        """(n, size, size, n_channels) uint8 -> (n, n_features) float32."""
        if self._frozen is None:  # no lock: extractors that take batches are called by one thread
            from headstart.model.hardware import find_hardware

            spec, weights, settings = self._wanted
            self._frozen = _frozen_in_torch(spec, weights, settings, find_hardware(settings.device).device)
        return self._frozen.extractor.compute(views)


def _frozen_on_cpu(spec: BackboneSpec, weights: WeightsFile, settings: TrainSettings, progress: Progress) -> Frozen:
    try:
        frozen = frozen_backbone(spec, weights, image_size=settings.image_size, engine=engine_for(settings), progress=progress)
    except NotCompilable as error:
        warnings.warn(f"{error.message}: it runs in torch, which is slower", HeadstartWarning, stacklevel=2)
        return _frozen_in_torch(spec, weights, settings, "cpu")
    speed_of(frozen)  # measured at first use, for `headstart backbones`
    return frozen


def _frozen_in_torch(spec: BackboneSpec, weights: WeightsFile, settings: TrainSettings, device: str) -> Frozen:
    from headstart.model.backbones import pretrained_network

    if settings.precision != "fp32":
        raise SettingsError(f"--precision {settings.precision} applies only to features on a CPU", hint="leave it out")
    network = pretrained_network(spec, weights, device)
    if settings.image_size is not None:
        network.preprocess = network.preprocess.at_size(settings.image_size)
        check_image_size(network)
    return network.frozen(weights.sha256)


def preprocess_for(settings: TrainSettings, own: Preprocess) -> Preprocess:
    """The preprocessing of a run: the backbone's or the tutorial recipe's, at another size if requested."""
    if settings.recipe == "tutorial":
        own = own.model_copy(
            update={
                "size_px": TUTORIAL_SIZE_PX,
                "resize_px": TUTORIAL_RESIZE_PX,
                "interpolation": "bilinear",
                "cuts": ("crop",),
                "mirrored": False,
                "decode_margin": 0.0,
            }
        )
    return own if settings.image_size is None else own.at_size(settings.image_size)

"""Builds torch networks of backbones and loads their weights, checking all names and shapes. The only timm import."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import timm
import torch
from timm.data.config import resolve_data_config
from timm.models import get_pretrained_cfg, group_parameters

from headstart.data.preprocess import Preprocess
from headstart.errors import BackboneError, SettingsError, did_you_mean
from headstart.forks import forks, was_loaded_at_fork
from headstart.model.engines import INPUT, OUTPUT
from headstart.model.extractor import GPU_BATCH, ONNX_RUNTIME, TORCH_BATCH, Engine, Extractor, Frozen, Model, NetworkId
from headstart.model.folding import Folded, fold_batch_norms, unfold
from headstart.model.head import Head
from headstart.model.precision import full_float32
from headstart.model.specs import BackboneSpec, find_backbone
from headstart.model.stages import StagedNetwork, reported_stages
from headstart.model.states import check_state, read_state
from headstart.model.tensor_names import to_timm_names
from headstart.model.timm_networks import as_timm_loads, fit_input_size, give_linear_head, widen_input
from headstart.model.weights import WeightsFile
from headstart.recipes import channels_last_pays
from headstart.storage import atomic_write


class Network:
    """A pretrained network and its last layer, with numpy inputs and outputs. It is always in eval mode here."""

    def __init__(self, spec: BackboneSpec, module: torch.nn.Module, preprocess: Preprocess, device: str = "cpu") -> None:
        self.spec = spec
        self._n_features: int | None = None
        # How many features, the first, are the last pooled layer's: what its own classifier takes.
        self.n_last = _last_layer(module, spec.name).in_features
        self.device, self._fork = torch.device(device), forks()
        self.module = module.to(device=self.device).eval()
        self.set_channels_last(channels_last_pays(device, n_views=0))
        self.preprocess = preprocess
        self.classifier = StagedNetwork(self.module, spec.known_stages, self.last_layer_name)  # shares the module's parameters

    def set_channels_last(self, channels_last: bool) -> None:
        """Whether weights and views have their channels last in memory. It changes speed, and no answer but by rounding."""
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.module.to(memory_format=self._memory_format)

    @property
    def preprocess(self) -> Preprocess:
        """How images are prepared for this network; can be replaced by a Preprocess of another size."""
        return self._preprocess

    @preprocess.setter
    def preprocess(self, preprocess: Preprocess) -> None:
        fit_input_size(self.module, preprocess.size_px, self.spec.name)
        self._preprocess = preprocess
        # Copied to the device once, not with every batch.
        parts = (torch.from_numpy(part).to(self.device).view(1, -1, 1, 1) for part in preprocess.scale_and_shift())
        self._scale, self._shift = parts

    @property
    def last_layer(self) -> torch.nn.Linear:
        """The linear layer that turns features into one logit per class."""
        return _last_layer(self.module, self.spec.name)

    @property
    def last_layer_name(self) -> str:
        """The prefix of the last layer's tensors, such as `classifier`."""
        return next(name for name, module in self.module.named_modules() if module is self.last_layer)

    @property
    def n_features(self) -> int:
        """Length of a feature vector."""
        if self._n_features is None:
            blank = np.zeros((1, *self.preprocess.view_shape), np.uint8)
            self._n_features = self.features(blank).shape[1] if self.spec.known_stages else self.last_layer.in_features
        return self._n_features

    @torch.inference_mode()
    def features(self, views: np.ndarray) -> np.ndarray:
        """(n, size, size, n_channels) uint8 views -> (n, n_features) float32: the last pooled layer, the mean of each stage."""
        self._survive_fork()
        self.module.eval()
        with full_float32():
            return self.classifier.features(self.to_input(views)).float().cpu().numpy()

    def extractor(self, kept_as: NetworkId | None = None) -> Extractor:
        """The network in its current state without its last layer, in torch and full precision."""
        batch = TORCH_BATCH if self.device.type == "cpu" else GPU_BATCH
        return Extractor(self.features, Engine(name=f"torch-{self.device.type}"), batch, kept_as)

    def model(self, answers_with: Engine = ONNX_RUNTIME) -> Model:
        """The network as a classifier in memory; once saved, it runs in its compiled form unless another engine is named."""
        return Model(self.spec, self.preprocess, self.extractor(), self.head(), self.save, answers_with)

    def frozen(self, weights_sha256: str) -> Frozen:
        """The network as a frozen backbone to which a head can be added."""

        def with_head(head: Head) -> Model:
            self.set_head(head)
            return self.model(extractor.engine)

        extractor = self.extractor(NetworkId(self.spec.timm_name, weights_sha256, self.spec.known_stages))
        return Frozen(self.spec, self.preprocess, extractor, self.n_features, self.n_last, with_head)

    def head(self) -> Head:
        """A copy of the last layer."""
        layer = self.last_layer
        return Head(layer.weight.detach().cpu().numpy().copy(), layer.bias.detach().cpu().numpy().copy())

    def export_graph(self, file: Path) -> None:
        """Writes the network without its last layer as ONNX, from uint8 views to features, for any number of images."""
        example = torch.zeros((2, *self.preprocess.view_shape), dtype=torch.uint8)
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")  # the exporter warns about its own deprecations
            program = torch.onnx.export(
                _Body(self).eval(),
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("n")},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
        assert program is not None  # always returned with dynamo
        program.save(file)

    @torch.inference_mode()
    def forward(self, views: np.ndarray) -> torch.Tensor:
        """(n, size, size, n_channels) uint8 views -> (n, n_classes) float32 logits, on the device."""
        self._survive_fork()
        self.module.eval()
        with full_float32():
            logits: torch.Tensor = self.classifier(self.to_input(views)).float()
            return logits

    def logits(self, views: np.ndarray) -> np.ndarray:
        """(n, size, size, n_channels) uint8 views -> (n, n_classes) float32."""
        return self.forward(views).cpu().numpy()

    def to_input(self, views: np.ndarray) -> torch.Tensor:
        """(n, size, size, n_channels) uint8 -> (n, n_channels, size, size) float32, normalised, laid out as the weights are."""
        pixels = self.on_device(views).permute(0, 3, 1, 2).float().contiguous(memory_format=self._memory_format)
        return pixels.mul_(self._scale).add_(self._shift)

    def _survive_fork(self) -> None:
        """Makes this process ready to compute with it. Raises SettingsError on a GPU, whose state a forked process lacks."""
        if self.device.type != "cpu" and self._fork != forks():
            raise SettingsError(
                f"a network on {self.device} cannot be used in a forked process",
                hint="load the model in the new process, and start it with multiprocessing's method spawn",
            )
        _compute_alone_if_forked()

    def on_device(self, values: np.ndarray) -> torch.Tensor:
        """An array as a tensor on the device; copies to a GPU do not block the thread."""
        tensor = torch.from_numpy(values)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor.to(self.device)

    def set_head(self, head: Head) -> None:
        """Replaces the last layer by a fitted head."""
        layer = torch.nn.utils.skip_init(torch.nn.Linear, head.weight.shape[1], head.weight.shape[0])  # draws no random numbers
        layer.load_state_dict({"weight": torch.from_numpy(head.weight), "bias": torch.from_numpy(head.bias)})
        self._replace_last_layer(layer)

    def set_random_head(self, n_classes: int, seed: int) -> None:
        """Replaces the last layer by a new one with torch's default random weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layer = torch.nn.Linear(self.n_features, n_classes)
        self._replace_last_layer(layer)

    def _replace_last_layer(self, layer: torch.nn.Linear) -> None:
        parent, _, name = self.last_layer_name.rpartition(".")
        setattr(self.module.get_submodule(parent), name, layer.to(self.device))

    def fold(self) -> list[Folded]:
        """Folds the batch norms into the convolutions, for frozen statistics; `unfold` restores them."""
        noise = np.random.default_rng(0).integers(0, 256, (2, *self.preprocess.view_shape), dtype=np.uint8)
        return fold_batch_norms(self.module, partial(self.classifier, self.to_input(noise)))

    @contextmanager
    def folded(self) -> Iterator[None]:
        """In the block the network computes in less than half of the time on a CPU; afterwards it is as before to the bit."""
        trained = [name for name, parameter in self.module.named_parameters() if parameter.requires_grad]
        self.module.requires_grad_(False)  # what is not trained is restored from a copy
        folded = self.fold()
        try:
            yield
        finally:
            unfold(folded)
            for name in trained:
                self.module.get_parameter(name).requires_grad_(True)

    def blocks(self) -> list[list[str]]:
        """Parameter names in order from input to output: the stem, then each block, without the last layer."""
        module: Any = self.module
        groups = group_parameters(module, module.group_matcher(coarse=True))
        own = {f"{self.last_layer_name}.weight", f"{self.last_layer_name}.bias"}
        ordered = ([name for name in groups[key] if name not in own] for key in sorted(groups))
        return [names for names in ordered if names]

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of every tensor of the network in contiguous layout on the CPU, by timm's names."""
        copies = {name: tensor.detach().cpu() for name, tensor in self.module.state_dict().items()}
        return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in copies.items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's name and shape."""
        return {name: tuple(tensor.shape) for name, tensor in self.module.state_dict().items()}

    def save(self, file: Path) -> None:
        """Writes every tensor, including the last layer, as safetensors; the write is atomic."""
        with atomic_write(file) as aside:
            safetensors.torch.save_file(self.state(), aside)


class _Body(torch.nn.Module):
    """The exported part: normalisation and the network up to its last layer."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.classifier = network.classifier
        for name, part in zip(("scale", "shift"), network.preprocess.scale_and_shift(), strict=True):
            self.register_buffer(name, torch.from_numpy(part).view(1, -1, 1, 1))

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        scale, shift = self.get_buffer("scale"), self.get_buffer("shift")
        inputs = views.permute(0, 3, 1, 2).float() * scale + shift
        return self.classifier.features(inputs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses what the exporter logs and prints; it is of no use to users."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def pretrained_network(spec: BackboneSpec, weights: WeightsFile, device: str = "cpu") -> Network:
    """The network with its pretrained weights and ImageNet head. Raises BackboneError if the file does not fit."""
    spec = complete_spec(spec)
    module = _build(spec)
    head = _last_layer_prefix(module)
    state = as_timm_loads(to_timm_names(read_state(weights.path), module.state_dict()), module, head)
    check_state(module, state, head, weights.path)
    _load_body_and_head(module, state)
    preprocess = _preprocess_of(spec, module)
    if spec.stages is None:
        spec = spec.model_copy(
            update={"stages": reported_stages(module, resolve_data_config({}, model=module)["input_size"][-1])}
        )
    widen_input(module, spec.n_channels, spec.name)
    return Network(spec, module, preprocess, device)


def untrained_network(spec: BackboneSpec) -> Network:
    """The network with random weights, to measure it. Raises BackboneError."""
    spec = complete_spec(spec)
    module = _build(spec)
    return Network(spec, module, _preprocess_of(spec, module))


def bundled_network(spec: BackboneSpec, preprocess: Preprocess, n_classes: int, weights: Path, device: str = "cpu") -> Network:
    """The network of a bundle, with every tensor from the bundle's weights file. Raises BackboneError."""
    module = _build(spec)
    widen_input(module, spec.n_channels, spec.name)
    prefix = _last_layer_prefix(module)
    network = Network(spec, module, preprocess, device)
    network.set_random_head(n_classes, seed=0)
    state = read_state(weights)
    check_state(network.module, state, prefix, weights, head_must_fit=True)
    network.module.load_state_dict(state)
    return network


def complete_spec(spec: BackboneSpec) -> BackboneSpec:
    """The spec, for `timm/<name>` completed with timm's licence and location of the weights. Raises BackboneError."""
    if not spec.name.startswith("timm/"):
        return spec
    plain = spec.timm_name.split(".")[0]
    if not timm.is_model(plain):
        near = get_close_matches(plain, timm.list_models(), n=1)
        raise BackboneError(
            f"timm has no model called {plain!r}",
            hint=f"did you mean timm/{near[0]}?" if near else "timm.list_models() lists all models",
        )
    try:
        known = get_pretrained_cfg(spec.timm_name)
    except RuntimeError as error:
        raise BackboneError(
            f"timm has no weights called {spec.timm_name!r}",
            hint=did_you_mean(spec.timm_name, timm.list_models(plain, pretrained=True)),
        ) from error
    if known is None:
        return spec.model_copy(update={"licence": "unknown"})
    url = known.url if isinstance(known.url, str) else ""
    return spec.model_copy(update={"licence": known.license or "unknown", "hf_repo": known.hf_hub_id or "", "url": url})


def named_or_timm(name: str) -> BackboneSpec:
    """The complete spec of any backbone name. Raises BackboneError."""
    return complete_spec(find_backbone(name))


def _compute_alone_if_forked() -> None:
    """In a forked process torch computes in the calling thread: it would wait for the threads that it had before the fork."""
    if was_loaded_at_fork("torch"):
        torch.set_num_threads(1)


def _build(spec: BackboneSpec) -> torch.nn.Module:
    _compute_alone_if_forked()
    try:
        with torch.random.fork_rng(devices=[]):  # the weights are drawn, and replaced: the caller's random numbers stay his
            module: torch.nn.Module = timm.create_model(spec.timm_name, pretrained=False)
            give_linear_head(module, spec.name)
    except RuntimeError as error:
        raise BackboneError(f"timm cannot build {spec.timm_name!r}: {error}", hint="timm.list_models() lists all") from error
    return module


def _last_layer(module: torch.nn.Module, name: str) -> torch.nn.Linear:
    layer = module.get_classifier()  # type: ignore[operator]
    if not isinstance(layer, torch.nn.Linear):
        raise BackboneError(f"{name} has a head that is not a single linear layer", hint="use another backbone")
    return layer


def _last_layer_prefix(module: torch.nn.Module) -> str:
    layer = _last_layer(module, "the network")
    return next(name for name, part in module.named_modules() if part is layer)


def _load_body_and_head(module: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Loads the tensors that fit. A last layer of another shape keeps its random weights; it is replaced before use."""
    wanted = module.state_dict()
    module.load_state_dict({n: t for n, t in state.items() if n in wanted and t.shape == wanted[n].shape}, strict=False)


def _preprocess_of(spec: BackboneSpec, module: torch.nn.Module) -> Preprocess:
    if spec.preprocess is not None:
        return spec.preprocess
    wanted = resolve_data_config({}, model=module)
    crop, interpolation = wanted["crop_mode"], wanted["interpolation"]
    if crop not in ("center", "squash") or interpolation not in ("bilinear", "bicubic"):
        raise BackboneError(
            f"{spec.name} needs {interpolation} resizing and {crop} cropping, which is not supported",
            hint="use another backbone",
        )
    size = wanted["input_size"][-1]
    return Preprocess(
        size_px=size,
        resize_px=int(size / wanted["crop_pct"]),
        interpolation=interpolation,
        mean=wanted["mean"],
        std=wanted["std"],
        cuts=("crop" if crop == "center" else "whole",),
    ).with_channels(spec.n_channels)

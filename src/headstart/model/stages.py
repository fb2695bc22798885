"""The outputs of a network's later stages, averaged over the picture: features besides the last pooled layer.

What the last layer has thrown away, because the ImageNet classes do not need it, is often what other images are told apart by
(Evci et al. 2022, Head2Toe).
"""

import threading
from collections.abc import Sequence
from typing import Any

import torch

from headstart.errors import BackboneError

N_STAGES = 4  # the last ones of those that timm reports, as in the linear probes of DINOv2 (Oquab et al. 2023)


def reported_stages(module: torch.nn.Module, size_px: int) -> tuple[str, ...]:
    """The names of the last stages that a timm network's `feature_info` reports; () if it reports none that can be used.

    They are tried on a blank image of `size_px`, which the network takes as it is: each must be called once and put out a
    feature map or tokens.
    """
    parts = dict(module.named_modules())
    reported = [entry for entry in _feature_info(module) if entry.get("module") in parts][-N_STAGES:]
    if not reported:
        return ()
    outputs: dict[str, list[Any]] = {entry["module"]: [] for entry in reported}
    hooks = [
        parts[name].register_forward_hook(lambda _part, _inputs, output, taken=taken: taken.append(output))
        for name, taken in outputs.items()
    ]
    try:
        with torch.inference_mode():
            module.eval()(torch.zeros(1, 3, size_px, size_px))
    finally:
        for hook in hooks:
            hook.remove()
    usable = [_is_map(outputs[entry["module"]], entry.get("num_chs")) for entry in reported]
    return tuple(outputs) if all(usable) and len(outputs) == len(reported) else ()


def _is_map(outputs: list[Any], n_channels: int | None) -> bool:
    """Whether a part was called once and put out a feature map or tokens with this many channels."""
    if len(outputs) != 1 or not isinstance(outputs[0], torch.Tensor):
        return False
    shape = outputs[0].shape
    return (len(shape) == 3 and shape[2] == n_channels) or (len(shape) == 4 and n_channels in (shape[1], shape[3]))


class StagedNetwork(torch.nn.Module):
    """A timm network as headstart uses it: features are its last pooled layer and the means of its stages; then a last layer.

    The last layer sees as many of the features as it has inputs, so one on the last pooled layer alone also works. Raises
    BackboneError for stages that the network does not have.
    """

    def __init__(self, network: torch.nn.Module, stages: Sequence[str], last_layer: str) -> None:
        super().__init__()
        self.network, self.stages, self.last_layer = network, tuple(stages), last_layer
        self._taken = threading.local()  # threads may run the network at the same time
        channels = {entry.get("module"): entry.get("num_chs") for entry in _feature_info(network)}
        parts = dict(network.named_modules())
        for name in self.stages:
            if name not in parts:
                raise BackboneError(f"the network has no stage {name!r}", hint="is this the file of this backbone?")
            parts[name].register_forward_hook(self._taking(name, channels.get(name)))

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, n_channels, size, size) -> (n, n_features)."""
        network: Any = self.network
        self._taken.means = {}
        try:
            last: torch.Tensor = network.forward_head(network.forward_features(inputs), pre_logits=True)
            return torch.cat([last, *(self._taken.means[name] for name in self.stages)], dim=1) if self.stages else last
        finally:
            self._taken.means = None  # they would keep the last batch, and its gradients, in memory

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, n_channels, size, size) -> (n, n_classes) logits."""
        layer: Any = self.network.get_submodule(self.last_layer)
        logits: torch.Tensor = layer(self.features(inputs)[:, : layer.in_features])
        return logits

    def _taking(self, name: str, n_channels: int | None) -> Any:
        n_prefix = getattr(self.network, "num_prefix_tokens", 0)
        channels_last = getattr(self.network, "output_fmt", "NCHW") == "NHWC"

        def take(_module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            means = getattr(self._taken, "means", None)
            if means is None:  # the network itself was called
                return
            if not isinstance(output, torch.Tensor) or output.ndim not in (3, 4):
                raise BackboneError(f"stage {name!r} gives no feature map", hint="use --no-stages")
            if output.ndim == 3:  # tokens; those for the whole picture come first
                means[name] = output[:, n_prefix:].mean(dim=1)
            else:
                fits = output.shape[1] == n_channels, output.shape[-1] == n_channels
                last = fits == (False, True) or (fits[0] == fits[1] and channels_last)
                means[name] = output.mean(dim=(1, 2) if last else (2, 3))

        return take


def _feature_info(module: torch.nn.Module) -> list[dict[str, Any]]:
    found: Any = getattr(module, "feature_info", [])
    return list(getattr(found, "info", found))

"""The network of a bundle, ready to answer: what runs it, and its last layer."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.artifact.bundle import Bundle
from headstart.errors import BundleError, HeadstartWarning
from headstart.machine import has_cuda
from headstart.model.compiled import Compiled, compiled_folder, find_compiled
from headstart.model.engines import OUTPUT, is_installed
from headstart.model.exported import FILES, HEAD, exported_engine, read_exported_head
from headstart.model.extractor import ONNX_RUNTIME, Engine, Extractor, NetworkId
from headstart.model.frozen import NotCompilable, compile_lite, compile_network, compiled_extractor, read_head
from headstart.model.head import Head
from headstart.model.lite_networks import LITES
from headstart.model.specs import find_backbone
from headstart.progress import Progress, silent

if TYPE_CHECKING:
    from headstart.model.backbones import Network


def parts_of(bundle: Bundle, device: str, progress: Progress) -> tuple[Extractor, Head]:
    """The extractor that runs a bundle's network on a device, and its last layer. Raises HeadstartError."""
    if bundle.manifest.export is not None:
        return _exported_parts(bundle, bundle.manifest.export.file, device)
    if device != "cpu" and not (device == "auto" and not has_cuda()):
        network = _network_of(bundle, device)
        return network.extractor(), network.head()
    try:
        compiled, kept_as = compiled_form(bundle, progress)
    except NotCompilable as error:
        warnings.warn(f"{error.message}: using torch instead, which is slower", HeadstartWarning, stacklevel=2)
        network = _network_of(bundle, "cpu")
        return network.extractor(), network.head()
    head = read_head(bundle.weights, compiled)
    _check_classes(head, bundle, bundle.weights)
    return compiled_extractor(compiled, engine_here(bundle.manifest.engine), kept_as), head


def engine_here(wanted: Engine) -> Engine:
    """The engine that runs a compiled network on this machine: the wanted one, else ONNX Runtime, which agrees within 1e-4.

    Warns if OpenVINO is wanted but not installed. Reduced precision has no other engine: loading it says what to install.
    """
    if wanted.name == "onnxruntime" or wanted.precision != "fp32":
        return wanted
    if wanted.name == "openvino" and is_installed("openvino"):
        return wanted
    if wanted.name == "openvino":
        message = "the model was made with OpenVINO, which is not installed: using ONNX Runtime, within 0.0001 in probability"
        warnings.warn(message, HeadstartWarning, stacklevel=2)
    return ONNX_RUNTIME


def compiled_form(bundle: Bundle, progress: Progress = silent) -> tuple[Compiled, NetworkId | None]:
    """The compiled form of a bundle's network, compiled first if necessary, and the id that its features are stored under.

    A probe uses the form compiled from the backbone that it names, if this machine has it. Otherwise the bundle's own weights
    are compiled under their own digest, and the features are not stored: a foreign bundle may name any backbone.
    Raises HeadstartError, including NotCompilable.
    """
    manifest = bundle.manifest
    n_channels = manifest.preprocess.n_channels
    spec, stages = find_backbone(manifest.backbone.name).with_channels(n_channels), manifest.backbone.stages
    timm_name = spec.timm_name
    if manifest.has_pretrained_body:
        pretrained = manifest.backbone.weights_sha256
        for with_stages in (True, False):
            shared = find_compiled(
                compiled_folder(
                    timm_name, pretrained, manifest.settings.image_size, with_stages=with_stages, n_channels=n_channels
                )
            )
            if shared is not None and shared.record.fits(manifest.preprocess, stages):
                return shared, NetworkId(timm_name, pretrained, stages)
    folder = compiled_folder(timm_name, manifest.weights_sha256, manifest.preprocess.digest(), with_stages=bool(stages))
    compiled = find_compiled(folder)
    if compiled is None and spec.name in LITES:
        spec = spec.model_copy(update={"stages": stages})
        compiled = compile_lite(spec, manifest.preprocess, bundle.weights, folder, progress=progress)
    return compiled or compile_network(_network_of(bundle, "cpu"), folder, progress=progress), None


def _exported_parts(bundle: Bundle, file: str, device: str) -> tuple[Extractor, Head]:
    if device not in ("cpu", "auto"):
        raise BundleError(f"an exported model runs on the CPU, not on {device}", hint="use the model it was made from")
    head = read_exported_head(bundle.folder / HEAD)
    _check_classes(head, bundle, bundle.folder / HEAD)
    compute = exported_engine(bundle.folder / file, OUTPUT, bundle.manifest.preprocess, head.weight.shape[1])
    names = {FILES["onnx"]: "onnxruntime", FILES["openvino"]: "openvino", FILES["litert"]: "litert"}
    return Extractor(compute, Engine(name=names[file]), joins_views=True), head


def _check_classes(head: Head, bundle: Bundle, file: Path) -> None:
    if len(head.bias) != len(bundle.manifest.classes):
        raise BundleError(
            f"{file} does not fit the manifest: it has {len(head.bias)} classes, not {len(bundle.manifest.classes)}",
            hint="is the copy complete?",
        )


def _network_of(bundle: Bundle, device: str) -> "Network":
    from headstart.model.backbones import bundled_network, named_or_timm
    from headstart.model.hardware import find_hardware

    manifest = bundle.manifest
    spec = named_or_timm(manifest.backbone.name).with_channels(manifest.preprocess.n_channels)
    spec = spec.model_copy(update={"stages": manifest.backbone.stages})
    return bundled_network(spec, manifest.preprocess, len(manifest.classes), bundle.weights, find_hardware(device).device)

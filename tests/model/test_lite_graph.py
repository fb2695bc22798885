"""An EfficientNet-Lite's graph, written without torch, gives the features of timm's network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch
import timm
import torch

from headstart.data.preprocess import Preprocess
from headstart.errors import BackboneError
from headstart.model.backbones import Network, pretrained_network
from headstart.model.engines import onnxruntime_engine, openvino_engine
from headstart.model.frozen import TOLERANCE, compile_lite
from headstart.model.lite_graph import n_features, write_lite_graph
from headstart.model.lite_networks import LAST_LAYER, LITES, read_lite_state, tensor_shapes
from headstart.model.specs import NAMED, BackboneSpec
from headstart.model.weights import WeightsFile, find_local_weights
from headstart.storage import sha256_of_file

STAGES = ("blocks.3", "blocks.4", "blocks.5", "blocks.6")
LITE0 = "efficientnet_lite0"
DIFFERENCE = TOLERANCE / 10  # of the features' spread. Observed: 3e-5


def preprocess_of(name: str, size_px: int) -> Preprocess:
    own = NAMED[name].preprocess
    assert own is not None
    return own.at_size(size_px)


def views(size: int, n: int = 3) -> np.ndarray:
    """Fine and coarse noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8).repeat(-(-size // 8), axis=1).repeat(-(-size // 8), axis=2)
    return np.concatenate([rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8), coarse[:, :size, :size]])


@pytest.fixture(scope="module")
def drawn_weights(tmp_path_factory: pytest.TempPathFactory) -> WeightsFile:
    """Random weights of the smallest network, with batch norms that all differ."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = timm.create_model(NAMED[LITE0].timm_name)
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(part.weight, 0.5, 2)
                torch.nn.init.normal_(part.bias)
                torch.nn.init.normal_(part.running_mean)  # type: ignore[arg-type]
                torch.nn.init.uniform_(part.running_var, 0.5, 2)  # type: ignore[arg-type]
    file = tmp_path_factory.mktemp("lite") / "w.safetensors"
    safetensors.torch.save_file(module.state_dict(), file)
    return WeightsFile(file, sha256_of_file(file), "test")


def torchs_features(network: Network, views: np.ndarray, stages: Sequence[str]) -> list[np.ndarray]:
    """The last pooled layer, then the spatial mean of each stage's output, seen by hooks on timm's modules."""
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        network.module.get_submodule(stage).register_forward_hook(
            lambda _module, _inputs, output, stage=stage: seen.__setitem__(stage, output.mean((2, 3)))
        )
        for stage in stages
    ]
    last = network.features(views)[:, : network.n_last]
    for hook in hooks:
        hook.remove()
    return [last, *(seen[stage].numpy() for stage in stages)]


def assert_agrees(name: str, weights: WeightsFile, sizes: Sequence[int], folder: Path, **options: Any) -> None:
    network, lite = pretrained_network(NAMED[name], weights), LITES[name]
    for size in sizes:
        network.preprocess = preprocess_of(name, size)
        for stages in ((), STAGES, ("blocks.6", "blocks.0")):
            write_lite_graph(
                lite, read_lite_state(weights.path, lite), network.preprocess, folder / "w.onnx", stages, **options
            )
            found = onnxruntime_engine(folder / "w.onnx")(views(size))
            expected = torchs_features(network, views(size), stages)
            parts = np.split(found, np.cumsum([part.shape[1] for part in expected])[:-1], axis=1)
            assert found.shape == (len(views(size)), n_features(lite, stages))
            for part, wanted in zip(parts, expected, strict=True):
                np.testing.assert_allclose(part, wanted, rtol=0, atol=DIFFERENCE * wanted.std())


@pytest.mark.parametrize("size", [64, 33])  # strides of 2 pad on one side or on both
def test_the_features_are_timms(size: int, drawn_weights: WeightsFile, tmp_path: Path) -> None:
    """With random weights, with and without stages, at even and odd sizes."""
    assert_agrees(LITE0, drawn_weights, [size], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", LITES)
def test_the_real_networks(name: str, tmp_path: Path) -> None:
    """Each network of the family with its own weights, at its own size and others."""
    found = find_local_weights(NAMED[name])
    if found is None:
        pytest.skip(f"the weights of {name} are not here")
    own = NAMED[name].preprocess
    assert own is not None
    assert_agrees(name, found, sorted({own.size_px, 224, 160}), tmp_path)


def test_any_size(drawn_weights: WeightsFile, tmp_path: Path) -> None:
    """A graph for any size gives at each the bits of the graph for this size alone, for squares and others."""
    lite = LITES[LITE0]
    state, file = read_lite_state(drawn_weights.path, lite), tmp_path / "w.onnx"
    write_lite_graph(lite, state, preprocess_of(LITE0, 64), file, STAGES, any_size=True)
    free = onnxruntime_engine(file)
    for size in (64, 33):
        write_lite_graph(lite, state, preprocess_of(LITE0, size), file, STAGES)
        assert np.array_equal(free(views(size)), onnxruntime_engine(file)(views(size)))
    assert free(views(64)[:, :40]).shape == (6, n_features(lite, STAGES))


def test_openvino(drawn_weights: WeightsFile, tmp_path: Path) -> None:
    """The second engine reads the graph, and agrees."""
    pytest.importorskip("openvino")
    lite, file = LITES[LITE0], tmp_path / "w.onnx"
    write_lite_graph(lite, read_lite_state(drawn_weights.path, lite), preprocess_of(LITE0, 64), file, STAGES)
    expected = onnxruntime_engine(file)(views(64))
    found = openvino_engine(file, "fp32", 1, keep=False)(views(64))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * expected.std())


def test_the_graph_is_valid(drawn_weights: WeightsFile, tmp_path: Path) -> None:
    """ONNX's own checker finds nothing, and the input and output have their names and shapes."""
    lite, file = LITES[LITE0], tmp_path / "w.onnx"
    write_lite_graph(lite, read_lite_state(drawn_weights.path, lite), preprocess_of(LITE0, 64), file, STAGES)
    onnx.checker.check_model(str(file), full_check=True)
    graph = onnx.load(str(file)).graph
    described = [
        [part.name, *(d.dim_param or d.dim_value for d in part.type.tensor_type.shape.dim)]
        for part in (*graph.input, *graph.output)
    ]
    assert described == [["views", "n", 64, 64, 3], ["features", "n", 1984]]


@pytest.mark.parametrize("name", LITES)
def test_the_tensors_are_timms(name: str) -> None:
    """The architecture written here has timm's tensors, in its order."""
    module = timm.create_model(NAMED[name].timm_name)
    assert tensor_shapes(LITES[name]) == {n: tuple(t.shape) for n, t in module.state_dict().items()}
    assert list(tensor_shapes(LITES[name])) == list(module.state_dict())


@pytest.mark.parametrize("stages", [("blocks.7",), ("blocks.3", "3"), ("blocks.1.0",), ("",)])
def test_a_stage_that_is_none(stages: tuple[str, ...], drawn_weights: WeightsFile, tmp_path: Path) -> None:
    """An unknown stage is refused, with those that there are."""
    lite = LITES[LITE0]
    with pytest.raises(BackboneError, match="the network has no stage") as caught:
        write_lite_graph(lite, {}, preprocess_of(LITE0, 64), tmp_path / "w.onnx", stages)
    assert "blocks.0, blocks.1" in caught.value.hint


# Its weights


def changed(weights: WeightsFile, folder: Path, change: dict[str, torch.Tensor | None]) -> Path:
    """A file with some tensors replaced, or removed by None."""
    state: dict[str, Any] = safetensors.torch.load_file(weights.path) | change
    safetensors.torch.save_file({n: t for n, t in state.items() if t is not None}, folder / "w.safetensors")
    return folder / "w.safetensors"


def compiled_state(spec: BackboneSpec, weights: Path, folder: Path) -> dict[str, torch.Tensor]:
    compiled = compile_lite(spec, preprocess_of(LITE0, 32), weights, folder / "compiled", with_state=True)
    assert compiled.record.tensors.keys() == {n for n in tensor_shapes(LITES[LITE0]) if not n.startswith(LAST_LAYER)}
    return safetensors.torch.load_file(compiled.state)


def test_the_state_is_kept_as_torch_keeps_it(drawn_weights: WeightsFile, tmp_path: Path) -> None:
    """The tensors beside the graph are those of the torch network."""
    found = compiled_state(NAMED[LITE0], drawn_weights.path, tmp_path)
    expected = pretrained_network(NAMED[LITE0], drawn_weights).state()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in expected.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision(dtype: torch.dtype, drawn_weights: WeightsFile, tmp_path: Path) -> None:
    """Weights saved in another precision are used in float32, as torch uses them."""
    state = safetensors.torch.load_file(drawn_weights.path)
    other = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    file = changed(drawn_weights, tmp_path, other)
    found = compiled_state(NAMED[LITE0], file, tmp_path)
    expected = pretrained_network(NAMED[LITE0], WeightsFile(file, "", "test")).state()
    assert all(torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in expected.items())


def test_what_a_file_may_lack(drawn_weights: WeightsFile, tmp_path: Path) -> None:
    """The last layer may be missing or another's, and counters may be missing; nothing else."""
    counters = dict.fromkeys((n for n in tensor_shapes(LITES[LITE0]) if n.endswith("num_batches_tracked")), None)
    others = {f"{LAST_LAYER}.weight": torch.zeros(7, 1280), f"{LAST_LAYER}.bias": None}
    state = compiled_state(NAMED[LITE0], changed(drawn_weights, tmp_path, counters | others), tmp_path)
    assert not any(name.startswith(LAST_LAYER) for name in state)
    assert all(torch.equal(state[name], torch.tensor(0)) for name in counters)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"conv_stem.weight": None}, "1 tensors are missing, the first is conv_stem.weight"),
        ({"bn1.bias": torch.zeros(3)}, "bn1.bias is (3,), not (32,)"),
        ({"blocks.7.0.conv_pw.weight": torch.zeros(3)}, "1 are unknown, the first is blocks.7.0.conv_pw.weight"),
        ({"bn1.bias": torch.full((32,), torch.nan)}, "conv_stem has values that are not finite"),
        ({"bn1.running_var": torch.full((32,), -1.0)}, "conv_stem has values that are not finite"),
        ({"conv_head.weight": torch.full((1280, 320, 1, 1), torch.inf)}, "conv_head has values that are not finite"),
    ],
)
def test_weights_that_do_not_fit(
    change: dict[str, torch.Tensor | None], words: str, drawn_weights: WeightsFile, tmp_path: Path
) -> None:
    """Tensors that are missing, unknown, misshapen or no numbers are named, and no compiled form is left."""
    file = changed(drawn_weights, tmp_path, change)
    with pytest.raises(BackboneError) as caught:
        compiled_state(NAMED[LITE0], file, tmp_path)
    assert words in caught.value.message
    assert not (tmp_path / "compiled").exists()

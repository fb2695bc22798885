"""Which parts of a view speak for a class."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import TINY
from onnx import TensorProto, helper

from headstart.errors import SettingsError
from headstart.model.activation_maps import ActivationMaps
from headstart.model.engines import INPUT, OUTPUT
from headstart.model.pretrained import open_backbone
from headstart.progress import silent
from headstart.settings import TrainSettings


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "grid"), [("efficientnet_lite0", 14), (TINY, 40)])
def test_shares_add_up_to_the_logit(backbone: str, grid: int, own_home: Path, tiny_weights: Path) -> None:
    """The places add up to what the head says of the features of all stages, in a graph written here and in one by torch."""
    weights = tiny_weights if backbone == TINY else None
    opened = open_backbone(TrainSettings.of(device="cpu", backbone=backbone, weights=weights), silent)
    assert opened.frozen is not None and opened.frozen.extractor.graph is not None
    rng = np.random.default_rng(0)
    size = opened.preprocess.size_px
    view = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    features = opened.frozen.extractor.compute(view[None])[0]
    weight = rng.normal(size=len(features)).astype(np.float32)
    shares = ActivationMaps.of(opened.frozen.extractor.graph).shares(view, weight)
    assert shares.sum() == pytest.approx(float(features @ weight), rel=1e-3, abs=1e-3)
    assert shares.shape == (grid, grid)  # of the first of its stages that count


def two_stage_graph(file: Path, *, pooled: bool = True) -> Path:
    """Features of a 4 x 4 view: the means of its channels, then those of a map that is twice as coarse."""
    views = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["n", 4, 4, 3])
    features = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", 6])
    nodes = [
        helper.make_node("Cast", [INPUT], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["fine"], perm=[0, 3, 1, 2]),
        helper.make_node("MaxPool", ["fine"], ["coarse"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["fine"], ["a"]),
        helper.make_node("GlobalAveragePool", ["coarse"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["both"], axis=1),
        helper.make_node("Flatten", ["both"], [OUTPUT if pooled else "flat"], axis=1),
    ]
    if not pooled:
        nodes.append(helper.make_node("Relu", ["flat"], [OUTPUT]))
    graph = helper.make_graph(nodes, "two stages", [views], [features])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(file))
    return file


def test_a_bright_corner_speaks(tmp_path: Path) -> None:
    """The only bright place of a view has the whole logit, in the maps of its own stage and of a coarser one."""
    view = np.zeros((4, 4, 3), np.uint8)
    view[0, 3] = 160
    shares = ActivationMaps.of(two_stage_graph(tmp_path / "graph.onnx")).shares(view, np.array([1, 0, 0, 0, 0, 2], np.float32))
    assert shares.sum() == pytest.approx(160 / 16 + 2 * 160 / 4)
    assert shares[:2, 2:].sum() == pytest.approx(float(shares.sum()))  # the coarse place that holds it
    assert shares[0, 3] == pytest.approx(160 / 16 + 2 * 160 / 16)


def test_what_has_no_maps(tmp_path: Path) -> None:
    """Features that are computed after the means have no places, and a head of another network does not fit: both are told."""
    with pytest.raises(SettingsError, match="not means of maps"):
        ActivationMaps.of(two_stage_graph(tmp_path / "after.onnx", pooled=False))
    with pytest.raises(SettingsError, match="does not fit"):
        ActivationMaps.of(two_stage_graph(tmp_path / "graph.onnx")).shares(
            np.zeros((4, 4, 3), np.uint8), np.ones(5, np.float32)
        )

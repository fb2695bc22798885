"""Which parts of a view speak for a class: the exact shares of a linear head on features that are means of maps.

A logit of such a head is its bias plus the sum of weight times feature, and a feature is the mean of a map. So the logit is a
sum over places (class activation maps, Zhou et al. 2016), also for features of several stages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.errors import SettingsError
from headstart.model.engines import OUTPUT, onnxruntime_outputs

# Nodes between the means and the features; torch's exporter puts a Gather there that changes nothing.
PASSED_ON = {"Concat", "Flatten", "Squeeze", "Reshape", "Identity", "Gather"}
TOLERANCE = 1e-3  # largest difference between the means of the maps and the features, relative to the largest feature
MEANS = {"GlobalAveragePool", "ReduceMean"}


@dataclass(frozen=True, slots=True)
class ActivationMaps:
    """The maps behind the features of a compiled network."""

    compute: Callable[[np.ndarray], list[np.ndarray]]  # views -> (n, n_channels, height, width) float32 each

    @classmethod
    def of(cls, graph: Path) -> "ActivationMaps":
        """The maps of the network in a compiled graph. Raises SettingsError if its features are no means of maps."""
        import onnx

        model = onnx.load(str(graph))
        node_of = {output: node for node in model.graph.node for output in node.output}
        names = _means_behind(OUTPUT, node_of)
        view = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]]
        for name in dict.fromkeys(names):
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
        compute = onnxruntime_outputs(model.SerializeToString(), [*names, OUTPUT])
        # What lies between was judged by the kinds of nodes: whether it changes nothing is tried.
        *maps, features = compute(np.random.default_rng(0).integers(0, 256, (1, *view), dtype=np.uint8))
        means = np.concatenate([one.mean(axis=(2, 3)) for one in maps], axis=1)
        if means.shape != features.shape or np.abs(means - features).max() > TOLERANCE * np.abs(features).max():
            raise _no_places()
        return cls(lambda views: compute(views)[:-1])

    def shares(self, view: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """(height, width) float32: what each place of a (size, size, n_channels) uint8 view adds to a logit.

        `weight` (n_features,) is the class's row of the head; with its bias, the sum is the logit of this view. The grid is
        that of the finest maps.
        """
        maps = [found[0] for found in self.compute(view[None])]
        if sum(len(one) for one in maps) != len(weight):
            raise SettingsError("the head does not fit the network's features", hint="give the model of this network")
        height, width = (max(one.shape[axis] for one in maps) for axis in (1, 2))
        shares = np.zeros((height, width), np.float32)
        begin = 0
        for one in maps:
            of_place = np.tensordot(weight[begin : begin + len(one)], one, axes=1) / (one.shape[1] * one.shape[2])
            shares += _spread(of_place, height, width)
            begin += len(one)
        return shares


def _spread(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width): a coarser grid's values, each shared out among the places that lie in it; the sum stays the same."""
    rows = np.arange(height) * values.shape[0] // height
    columns = np.arange(width) * values.shape[1] // width
    per_row, per_column = np.bincount(rows)[rows], np.bincount(columns)[columns]
    spread: np.ndarray = values[np.ix_(rows, columns)] / np.outer(per_row, per_column)
    return spread


def _means_behind(output: str, node_of: dict[str, object]) -> Sequence[str]:
    """The names of the maps whose means are the features, in their order. Raises SettingsError."""
    node = node_of.get(output)
    kind = getattr(node, "op_type", "")
    if kind in MEANS:
        return [node.input[0]]  # type: ignore[attr-defined]
    if kind not in PASSED_ON:
        raise _no_places()
    inputs = list(node.input) if kind == "Concat" else [node.input[0]]  # type: ignore[attr-defined]
    return [name for one in inputs for name in _means_behind(one, node_of)]


def _no_places() -> SettingsError:
    return SettingsError(
        "this network's features are not means of maps, so no place speaks for a class",
        hint="use a convolutional backbone such as efficientnet_lite0",
    )

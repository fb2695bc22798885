"""A graph of ONNX on its way to LiteRT: what of it is constant, and which tensors have the values of those operators that are
written already. Feature maps have their channels last in LiteRT.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart.errors import SettingsError
from headstart.model.litert_file import LitertFile

LAST = (0, 2, 3, 1)  # from (n, channels, height, width) to channels last
FIRST = (0, 3, 1, 2)  # and back


@dataclass(frozen=True, slots=True)
class GraphNode:
    """An operator of an ONNX graph."""

    kind: str
    inputs: tuple[str, ...]  # "": left out
    output: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Placed:
    """What an operator of ONNX gives, as it is in the LiteRT file."""

    tensor: int
    shape: tuple[int, ...]  # as ONNX has it
    channels_last: bool = False  # whether the tensor has LAST of that shape
    dtype: Any = np.float32


@dataclass(slots=True)
class LitertGraph:
    """Writes the operators one after the other; `placed` has what they give."""

    file: LitertFile
    constants: Mapping[str, np.ndarray]
    shapes: Mapping[str, tuple[int, ...]]
    placed: dict[str, Placed] = field(default_factory=dict)

    def given(self, name: str) -> int:
        """The tensor of the graph's input."""
        shape = self.shapes[name]
        self.placed[name] = Placed(self.file.tensor(name, shape, np.uint8), shape, dtype=np.uint8)
        return self.placed[name].tensor

    def result(self, name: str) -> int:
        """The tensor of an output."""
        return self._plain(self.value(name)).tensor

    def add(
        self,
        node: GraphNode,
        kind: str,
        inputs: Sequence[int],
        *,
        channels_last: bool = False,
        shape: Sequence[int] | None = None,
        is_last_step: bool = True,
        dtype: Any = np.float32,
        options: str = "",
        **values: Any,
    ) -> Placed:
        """Adds an operator that computes the node's output, or with `is_last_step` false a `shape` on the way to it."""
        shape = self.shapes[node.output] if shape is None else tuple(shape)
        stored = [shape[axis] for axis in LAST] if channels_last else shape
        name = node.output if is_last_step else f"{node.output}, {kind.lower()}"
        found = Placed(self.file.tensor(name, stored, dtype), tuple(shape), channels_last, dtype)
        self.file.operator(kind, inputs, found.tensor, options=options, **values)
        if is_last_step:
            self.placed[node.output] = found
        return found

    def number(self, name: str, default: float | None = None) -> float | None:
        """A constant that is one number; `default` if it is left out."""
        return float(self.constant(name).reshape(())) if name else default

    def constant(self, name: str) -> np.ndarray:
        """A constant's values. Raises SettingsError if it is computed."""
        if name not in self.constants:
            raise SettingsError(f"LiteRT needs {name} of the network to be constant, which it is not", hint="use --format onnx")
        return self.constants[name]

    def integers(self, values: Sequence[int] | np.ndarray, what: str) -> int:
        """A tensor of integers, such as axes or a shape."""
        return self.file.constant(what, np.array(values, np.int32))

    def weight(self, name: str, values: np.ndarray) -> int:
        """A tensor of weights."""
        return self.file.constant(name, values.astype(np.float32), is_weight=values.size > 1)

    def value(self, name: str) -> Placed:
        """What an operator gives, or a constant."""
        if name not in self.placed:
            values = self.constant(name)
            self.placed[name] = Placed(self.file.constant(name, values), values.shape, dtype=values.dtype)
        return self.placed[name]

    def plain(self, name: str) -> Placed:
        """A value in the order that ONNX has."""
        return self._plain(self.value(name))

    def map(self, name: str) -> Placed:
        """A feature map with channels last."""
        value = self.value(name)
        if value.channels_last or len(value.shape) != 4:
            if not value.channels_last:
                raise SettingsError(
                    "LiteRT exports are of networks on feature maps, which this is not", hint="use --format onnx"
                )
            return value
        return self._turned(value, LAST, channels_last=True)

    def _plain(self, value: Placed) -> Placed:
        return self._turned(value, FIRST, channels_last=False) if value.channels_last else value

    def _turned(self, value: Placed, order: Sequence[int], *, channels_last: bool) -> Placed:
        n, channels, height, width = value.shape
        shape = (n, height, width, channels) if channels_last else value.shape
        if height == width == 1:  # the same values in the same order
            tensor = self.file.tensor("reshaped", shape, value.dtype)
            self.file.operator("RESHAPE", [value.tensor, self.integers(shape, "shape")], tensor)
        else:
            tensor = self.file.tensor("turned", shape, value.dtype)
            self.file.operator("TRANSPOSE", [value.tensor, self.integers(order, "order")], tensor)
        return Placed(tensor, value.shape, channels_last, value.dtype)

"""A LiteRT file (TensorFlow Lite, `.tflite`) as it is put together: tensors, operators, and the flatbuffer of both.

The schema of these files comes with the interpreter, the package ai-edge-litert (Apache-2.0).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.storage import atomic_write

VERSION, IDENTIFIER = 3, b"TFL3"  # of the schema
ALIGNMENT_BYTES = 16  # of each tensor's values in the file: the interpreter uses them where they are
SIGNATURE = "serving_default"


class LitertFile:
    """Collects the tensors and operators of a graph. With `half`, weights are kept in float16 and become float32 on loading."""

    def __init__(self, *, half: bool = False) -> None:
        from ai_edge_litert import schema_py_generated

        self._schema: Any = schema_py_generated
        self._half = half
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [self._schema.BufferT()]  # the first one is empty: that of tensors without a value
        self._operators: list[Any] = []
        self._codes: dict[tuple[int, int], int] = {}

    def tensor(self, name: str, shape: Sequence[int], dtype: Any = np.float32) -> int:
        """The number of a new tensor that an operator computes, or that is given."""
        return self._tensor(name, shape, dtype, 0)

    def constant(self, name: str, values: np.ndarray, *, is_weight: bool = False) -> int:
        """The number of a new tensor with these values."""
        halved = self._half and is_weight
        stored = np.ascontiguousarray(values.astype(np.float16) if halved else values)
        self._buffers.append(_aligned_buffer(self._schema, stored))
        number = self._tensor(name, values.shape, stored.dtype, len(self._buffers) - 1)
        if not halved:
            return number
        whole = self.tensor(f"{name} in float32", values.shape)
        self.operator("DEQUANTIZE", [number], whole, version=3)
        return whole

    def operator(
        self, kind: str, inputs: Sequence[int], output: int, *, options: str = "", version: int = 1, **values: Any
    ) -> None:
        """Adds an operator; `options` is the schema's name of the table that holds `values`."""
        code = getattr(self._schema.BuiltinOperator, kind)
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault((code, version), len(self._codes))
        operator.inputs, operator.outputs = list(inputs), [output]
        if options:
            operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(self._schema, f"{options}T")()
            for name, value in values.items():
                setattr(operator.builtinOptions, name, value)
        self._operators.append(operator)

    def save(self, file: Path, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> None:
        """Writes the file, whose inputs and outputs have these names."""
        import flatbuffers

        schema, graph = self._schema, self._schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = "classifier", self._tensors, self._operators
        graph.inputs, graph.outputs = list(inputs.values()), list(outputs.values())
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs = [self._named(name, number) for name, number in inputs.items()]
        signature.outputs = [self._named(name, number) for name, number in outputs.items()]
        model = schema.ModelT()
        model.version, model.description = VERSION, "image classifier"
        model.subgraphs, model.buffers, model.signatureDefs = [graph], self._buffers, [signature]
        model.operatorCodes = [self._code(code, version) for code, version in self._codes]
        builder = flatbuffers.Builder(sum(len(buffer.data) for buffer in self._buffers[1:]) + (1 << 20))
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
        with atomic_write(file) as aside:
            aside.write_bytes(builder.Output())

    def _tensor(self, name: str, shape: Sequence[int], dtype: Any, buffer: int) -> int:
        tensor, types = self._schema.TensorT(), self._schema.TensorType
        tensor.name, tensor.shape, tensor.buffer = name, [int(length) for length in shape], buffer
        tensor.type = getattr(types, np.dtype(dtype).name.upper())
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _named(self, name: str, number: int) -> Any:
        named = self._schema.TensorMapT()
        named.name, named.tensorIndex = name, number
        return named

    def _code(self, code: int, version: int) -> Any:
        known = self._schema.OperatorCodeT()
        known.builtinCode, known.version = code, version
        known.deprecatedBuiltinCode = min(code, self._schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
        return known


def _aligned_buffer(schema: Any, values: np.ndarray) -> Any:
    """A buffer whose values begin at a multiple of 16 bytes in the file; the generated code would begin anywhere."""

    class Aligned(schema.BufferT):  # type: ignore[misc]
        def Pack(self, builder: Any) -> Any:  # noqa: N802
            builder.StartVector(1, len(self.data), ALIGNMENT_BYTES)
            builder.head = builder.Head() - len(self.data)
            builder.Bytes[builder.Head() : builder.Head() + len(self.data)] = self.data
            vector = builder.EndVector()
            schema.BufferStart(builder)
            schema.BufferAddData(builder, vector)
            return schema.BufferEnd(builder)

    buffer = Aligned()
    buffer.data = values.tobytes()
    return buffer

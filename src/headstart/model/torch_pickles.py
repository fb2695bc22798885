"""What the pickle in a torch file says of tensors, found without unpickling it.

`pickle` would run what the file tells it to. Here pickletools only lists the opcodes, and the few that plain tensors need are
interpreted: a name in the file becomes a Name, never an object of Python. Everything else is refused.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

import numpy as np

MOST_OPCODES = 2_000_000  # a network of 1,000 tensors takes 150,000
MARK = object()  # on the stack: where a tuple or a list of items begins

DTYPES = {  # numpy has no bfloat16: it is read as 16 bits, and becomes float32
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
ORDERED_DICT, TENSOR, PARAMETER = (
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
)


class RefusedError(ValueError):
    """The file holds something else than plain tensors."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name of Python that the pickle mentions."""

    text: str  # module and name with a space between


@dataclass(frozen=True, slots=True)
class Storage:
    """The bytes that one or more tensors lie in, by their key in the file."""

    key: str
    dtype: str
    n_elements: int

    @property
    def n_bytes(self) -> int:
        """Its size in the file."""
        return self.n_elements * np.dtype("<u2" if self.dtype == "bfloat16" else self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as the pickle describes it; counted in elements of its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Machine:
    """Interprets the opcodes that torch writes for dicts and lists of tensors, numbers and text.

    `storages` are those that the pickle mentions, by their keys.
    """

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, stream: IO[bytes]) -> Any:
        """What the next pickle in the stream describes. Raises RefusedError, or what an invalid one makes of numbers."""
        for opcode, argument, _ in islice(pickletools.genops(stream), MOST_OPCODES):
            if opcode.name == "STOP":
                return self._stack.pop()
            if opcode.name in PUSHED:
                self._stack.append(PUSHED[opcode.name](argument))
            elif opcode.name in MEMORY:
                self._memorise(opcode.name, argument)
            elif opcode.name != "PROTO":
                self._combine(opcode.name)
        raise RefusedError("it does not end")

    def _memorise(self, opcode: str, index: Any) -> None:
        if opcode.endswith("PUT"):
            self._memo[index] = self._stack[-1]
        else:
            self._stack.append(self._memo[index])

    def _combine(self, opcode: str) -> None:
        """The opcodes that make something of what is on the stack."""
        stack = self._stack
        match opcode:
            case "TUPLE":
                stack.append(tuple(self._since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                parts = [stack.pop() for _ in range(int(opcode[-1]))]
                stack.append(tuple(parts[::-1]))
            case "APPEND" | "APPENDS":
                items = self._since_mark() if opcode == "APPENDS" else [stack.pop()]
                _only(list, stack[-1]).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self._since_mark() if opcode == "SETITEMS" else [stack.pop(-2), stack.pop()]
                for key, value in zip(items[::2], items[1::2], strict=True):
                    # The hash of nested tuples takes forever, and no state dict has keys of other kinds.
                    _only(dict, stack[-1])[_only((str, int), key)] = value
            case "BUILD":  # the attribute of a state dict that holds the versions of its modules
                _only(dict, stack.pop())
                _only(dict, stack[-1])
            case "REDUCE":
                arguments, name = stack.pop(), stack.pop()
                stack.append(_made(name, *_only(tuple, arguments)))
            case "BINPERSID":
                stack.append(self._storage(*stack.pop()))
            case _:
                raise RefusedError(f"it has opcode {opcode}")

    def _since_mark(self) -> list[Any]:
        items = []
        while (item := self._stack.pop()) is not MARK:
            items.append(item)
        return items[::-1]

    def _storage(self, kind: str, name: Name, key: str, location: str, n_elements: int, view: None = None) -> Storage:
        """A reference to a storage; `location` is the device that it was on."""
        module, _, dtype = _only(Name, name).text.partition(" ")
        if (kind, module, view) != ("storage", "torch", None) or type(n_elements) is not int or n_elements < 0:
            raise RefusedError("it refers to something that is no storage")
        storage = Storage(_only(str, key), DTYPES[dtype], n_elements)
        if self.storages.setdefault(key, storage) != storage:
            raise RefusedError("a storage is of two kinds")
        return storage


def _only(kind: Any, value: Any) -> Any:
    """The value, if it is of this kind."""
    if not isinstance(value, kind):
        raise RefusedError(f"it has a {type(value).__name__} in a wrong place")
    return value


def _made(name: Any, *arguments: Any) -> Any:
    """What a call in the pickle stands for: an empty dict, a tensor, or the tensor of a parameter."""
    if name == Name(ORDERED_DICT) and not arguments:
        return {}
    if name == Name(TENSOR):
        storage, offset, shape, strides = arguments[:4]
        return StoredTensor(_only(Storage, storage), offset, _only(tuple, shape), _only(tuple, strides))
    if name == Name(PARAMETER):
        return _only(StoredTensor, arguments[0])
    raise RefusedError("it calls something else")


MEMORY = ("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET")
PUSHED: dict[str, Callable[[Any], Any]] = {  # opcode -> what it puts on the stack, from its argument
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"), lambda argument: argument),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_TUPLE": lambda _: (),
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "MARK": lambda _: MARK,
    "GLOBAL": Name,
}

"""The pickle inside a torch file, interpreted without running it.

Python's unpickler calls whatever the file names. This one calls nothing: it knows the opcodes of protocols 2 to 5 that
build lists, tuples and dicts with strings as keys, and replaces each call by what the call is known to return: a
description of a tensor, a dict, a shape. A call of anything else is written down, and the file is refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from graphlab.checkpoint.dtypes import SUPPORTED

MAX_PICKLE = 32 * 2**20
MAX_OPCODES = 5_000_000

_DTYPES = {str(dtype): dtype for dtype in SUPPORTED}
_STORAGES: dict[str, torch.dtype | None] = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
    "torch.ComplexFloatStorage": torch.complex64,
    "torch.ComplexDoubleStorage": torch.complex128,
    "torch.UntypedStorage": None,
    "torch.storage.UntypedStorage": None,
}


class Storage(NamedTuple):
    """A record of the archive: its key, its type of element (None: bytes), and the elements it declares."""

    key: str
    dtype: torch.dtype | None
    numel: int


class StoredTensor(NamedTuple):
    """A strided view of a storage, as the file describes it: nothing is checked yet."""

    storage: Storage
    dtype: torch.dtype
    offset: Any
    shape: Any
    stride: Any


class Inert(NamedTuple):
    """A value that is of no use here: what the harmless or refused call of `name` would have returned."""

    name: str


class Callee(NamedTuple):
    """A class or function that the file names; never imported."""

    name: str


class Interpreted(NamedTuple):
    """The value of a pickle, and the names it would have had to call that are not known to be harmless."""

    value: Any
    refused: list[str]


class PickleFlaw(Exception):
    """The pickle is damaged or asks for something that no weight file needs."""


def interpret(data: bytes) -> Interpreted:
    """Returns what the pickle `data` describes, calling nothing that it names.

    Raises:
        PickleFlaw: the pickle is damaged, too long, or uses opcodes that torch does not write.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count >= MAX_OPCODES:
                raise PickleFlaw(f"more than {MAX_OPCODES} opcodes")
            machine.step(opcode.name, argument)
        return Interpreted(machine.stack.pop(), list(machine.refused))
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise PickleFlaw(f"{type(error).__name__}: {error}") from error


class _Machine:
    """The stack machine of the pickle format, with closed sets of opcodes and of calls."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.refused: dict[str, None] = {}
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        stack = self.stack
        match opcode:
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "LONG4" | "BINFLOAT":
                stack.append(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8":
                argument.encode()
                stack.append(argument)
            case (
                "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "BYTEARRAY8" | "BINSTRING" | "SHORT_BINSTRING" | "STRING"
            ):
                stack.append(Inert("bytes"))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode])
            case "MARK":
                self._marks.append(len(stack))
            case "EMPTY_TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}[opcode]
                stack.append(tuple(self._pop(size)))
            case "TUPLE":
                stack.append(tuple(self._pop_to_mark()))
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_SET":
                stack.append(Inert("set"))
            case "FROZENSET":
                self._pop_to_mark()
                stack.append(Inert("frozenset"))
            case "SETITEM":
                self._set_items(self._pop(2))
            case "SETITEMS":
                self._set_items(self._pop_to_mark())
            case "APPEND":
                self._append(self._pop(1))
            case "APPENDS":
                self._append(self._pop_to_mark())
            case "ADDITEMS":
                self._pop_to_mark()
            case "GLOBAL":
                self._push_global(*argument.split(" "))
            case "STACK_GLOBAL":
                self._push_global(*self._pop(2))
            case "REDUCE" | "NEWOBJ":
                self._reduce(*self._pop(2))
            case "NEWOBJ_EX":
                callee, arguments, _ = self._pop(3)
                self._reduce(callee, arguments)
            case "BUILD":
                stack.pop()  # attributes such as a state dict's `_metadata`
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "POP":
                stack.pop()
            case "POP_MARK":
                self._pop_to_mark()
            case "PROTO" | "FRAME" | "STOP":
                pass
            case _:
                raise PickleFlaw(f"the opcode {opcode} has no place in a weight file")

    def _pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise IndexError("the stack is too short")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def _pop_to_mark(self) -> list[Any]:
        return self._pop(max(len(self.stack) - self._marks.pop(), 0))

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if len(items) % 2:
            raise ValueError("a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(target, dict) and isinstance(key, str):  # numbers could be chosen to collide
                target[key] = value

    def _append(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def _push_global(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a global must be named by two strings")
        full = f"{module}.{name}"
        if full not in _CALLS and full not in _STORAGES and full not in _DTYPES and full not in _HARMLESS:
            self.refused[full] = None
        self.stack.append(_DTYPES.get(full, Callee(full)))

    def _reduce(self, callee: Any, arguments: Any) -> None:
        if not isinstance(callee, Callee | Inert) or not isinstance(arguments, tuple):
            raise TypeError("a call needs a function and a tuple")
        call = _CALLS.get(callee.name) if isinstance(callee, Callee) else None
        self.stack.append(Inert(callee.name) if call is None else call(arguments))


def _storage(identity: Any) -> Storage:
    """Reads the persistent id ``("storage", class, key, device, elements)``."""
    match identity:
        case ("storage", Callee(name), str(key), str(_), int(numel)) if name in _STORAGES:
            return Storage(key, _STORAGES[name], numel)
    raise PickleFlaw("a reference to a storage is not as torch writes it")


def _rebuild_tensor(arguments: tuple[Any, ...]) -> StoredTensor:
    storage, offset, shape, stride, *_ = arguments
    if not isinstance(storage, Storage) or storage.dtype is None:
        raise PickleFlaw("a tensor does not refer to a typed storage")
    return StoredTensor(storage, storage.dtype, offset, shape, stride)


def _rebuild_tensor_with_dtype(arguments: tuple[Any, ...]) -> StoredTensor:
    storage, offset, shape, stride, _, _, dtype, *_ = arguments
    if not isinstance(storage, Storage) or not isinstance(dtype, torch.dtype):
        raise PickleFlaw("a tensor does not refer to a storage and a dtype")
    return StoredTensor(storage, dtype, offset, shape, stride)


def _rebuild_parameter(arguments: tuple[Any, ...]) -> Any:
    return arguments[0]


def _rebuild_with_attributes(arguments: tuple[Any, ...]) -> Any:
    function, _, inner, *_ = arguments
    if not isinstance(function, Callee) or function.name not in _TENSORS or not isinstance(inner, tuple):
        raise PickleFlaw("a tensor with attributes is not as torch writes it")
    return _TENSORS[function.name](inner)


def _mapping(_: tuple[Any, ...]) -> dict[str, Any]:
    """An empty dict: from protocol 2 on, the items follow one by one."""
    return {}


def _shape(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    (sizes,) = arguments
    return tuple(sizes)


_TENSORS: dict[str, Callable[[tuple[Any, ...]], StoredTensor]] = {
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_with_dtype,
}
_CALLS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    **_TENSORS,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch._tensor._rebuild_from_type_v2": _rebuild_with_attributes,
    "torch.Size": _shape,
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _mapping,
}

_HARMLESS = {
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "torch.device",
    "torch.serialization._get_layout",
    "collections.Counter",
    "_codecs.encode",
    *(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in (
            "bool",
            "bytearray",
            "bytes",
            "complex",
            "dict",
            "float",
            "frozenset",
            "int",
            "list",
            "set",
            "slice",
        )
    ),
}

"""What loops that numba compiles have in common: tensors as arrays, the compiler's liberties, vector registers.

Written in plain numba, ``y[i, c] += x[j, c]`` stores and loads the sum again for each edge, since the compiler cannot
know that ``x`` and ``y`` are different memory. ``Lanes`` are ``WIDTH`` numbers that stay in registers for all edges of
a row: that alone makes sums over in-edges up to twice as fast.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.extending import models, register_model
from torch import Tensor

from graphlab.ops.adjacency import Adjacency
from graphlab.ops.library import accumulated

FAST = {"contract", "reassoc", "nsz", "arcp"}
"""Liberties of the compiler: none that would lose NaN or infinity."""
intrinsic: Any = extending.intrinsic

WIDTH = 16
"""Numbers of :class:`Lanes`."""
_NOTHING = np.empty((0, 0), np.float32)
_EMPTY = _NOTHING.ravel()


def on_cpu(adj: Adjacency, *tensors: Any) -> bool:
    """Whether all tensors are in this machine's memory."""
    return adj.col.is_cpu and all(tensor.is_cpu for tensor in tensors if isinstance(tensor, Tensor))


def array(tensor: Tensor | None) -> Any:
    """The memory of a tensor, in the dtype in which it is summed; an empty array for ``None``."""
    return _NOTHING if tensor is None else accumulated(tensor.detach()).contiguous().numpy()


def vector(tensor: Tensor | None) -> Any:
    """As :func:`array`, of one axis."""
    return _EMPTY if tensor is None else array(tensor)


def permutation(adj: Adjacency) -> Any:
    """The edge at each place; empty if they are in order."""
    return adj.col.numpy()[:0] if adj.perm is None else adj.perm.numpy()


class Lanes(types.Type):
    """The type of ``WIDTH`` numbers of a dtype in vector registers."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            manager, kind, ir.VectorType(manager[kind.dtype].get_value_type(), WIDTH)
        )


def _address(target: Any, builder: Any, signature: Any, arguments: Any) -> tuple[Any, int]:
    """Where ``array[row, column]`` is, as the address of lanes, and its alignment."""
    array = signature.args[0]
    data = target.make_array(array)(target, builder, arguments[0])
    row, column = (target.cast(builder, arguments[k], signature.args[k], types.intp) for k in (1, 2))
    strides = cgutils.unpack_tuple(builder, data.strides)  # type: ignore[no-untyped-call]
    start = builder.bitcast(data.data, ir.IntType(8).as_pointer())
    number = target.get_data_type(array.dtype)
    start = builder.bitcast(builder.gep(start, [builder.mul(row, strides[0])]), number.as_pointer())
    lanes = ir.VectorType(number, WIDTH).as_pointer()
    return builder.bitcast(builder.gep(start, [column]), lanes), target.get_abi_sizeof(number)


def _splat(builder: Any, number: Any) -> Any:
    vector = ir.VectorType(number.type, WIDTH)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(
        first, ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    )


_FLAGS = tuple(FAST)


@intrinsic
def load(context, array, row, column):  # type: ignore[no-untyped-def]
    """``array[row, column : column + WIDTH]`` of an array whose rows are contiguous."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        address, align = _address(target, builder, signature, arguments)
        return builder.load(address, align=align)

    return Lanes(array.dtype)(array, row, column), generate


@intrinsic
def store(context, array, row, column, lanes):  # type: ignore[no-untyped-def]
    """Write lanes where :func:`load` would read them."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        address, align = _address(target, builder, signature, arguments)
        builder.store(arguments[3], address, align=align)
        return target.get_dummy_value()

    return types.void(array, row, column, lanes), generate


@intrinsic
def fetch(context, array, row, column):  # type: ignore[no-untyped-def]
    """Ask for what :func:`load` will read, so that it is in the cache by then."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        address, _ = _address(target, builder, signature, arguments)
        builder.call(prefetch, [builder.bitcast(address, byte), number(0), number(3), number(1)])  # to read, keep, data
        return target.get_dummy_value()

    return types.void(array, row, column), generate


@intrinsic
def fill(context, array, number):  # type: ignore[no-untyped-def]
    """A number in all lanes, of the dtype of an array."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return _splat(builder, target.cast(builder, arguments[1], number, array.dtype))

    return Lanes(array.dtype)(array, number), generate


@intrinsic
def add(context, a, b):  # type: ignore[no-untyped-def]
    """``a + b``."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.fadd(*arguments, flags=_FLAGS)

    return a(a, b), generate


@intrinsic
def times(context, a, b):  # type: ignore[no-untyped-def]
    """``a * b``."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.fmul(*arguments, flags=_FLAGS)

    return a(a, b), generate


@intrinsic
def select_larger(context, best, value, there, here):  # type: ignore[no-untyped-def]
    """``here`` in the lanes in which ``value`` is larger than ``best``, else ``there``; the first NaN is largest."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        present, new, keep, take = arguments
        first_nan = builder.and_(builder.fcmp_unordered("uno", new, new), builder.fcmp_ordered("ord", present, present))
        return builder.select(builder.or_(builder.fcmp_ordered(">", new, present), first_nan), take, keep)

    return there(best, value, there, here), generate

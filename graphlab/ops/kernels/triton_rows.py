"""What the Triton kernels have in common: when they run, how they are launched, and rows in pieces of bounded length.

A program of a kernel reduces a few rows at once, and takes as long as the longest of them. Rows of more than ``PIECE``
entries, the hubs of a power law, are therefore cut: each piece leaves a partial result, and the partial results of a
row are the entries of a row of a second, much smaller problem, cut again if need be. Nothing is added atomically, so
that results are the same each time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphlab.ops.adjacency import Adjacency, remembered
from graphlab.ops.dispatch import ON_REQUEST

PIECE = 128
"""The entries of a row that one program reduces."""
WIDTH = 256
"""The channels, of all heads, that one program holds."""
INTERPRETED = triton.knobs.runtime.interpret
"""Whether Triton was imported with ``TRITON_INTERPRET=1``: kernels then run, slowly, on the CPU."""
if not (INTERPRETED or torch.cuda.is_available()):
    raise ImportError("Triton's kernels need a GPU, or TRITON_INTERPRET=1")
if INTERPRETED:
    ON_REQUEST.add("triton")


def on_gpu(adj: Adjacency, *tensors: Any) -> bool:
    """Whether the arguments are on a GPU, or Triton is interpreted."""
    return INTERPRETED or (adj.col.is_cuda and all(part.is_cuda for part in tensors if isinstance(part, Tensor)))


class Pieces(NamedTuple):
    """Rows cut into pieces.

    Attributes:
        start: ``[pieces + 1]``: where the entries of each piece begin.
        row: ``[pieces]``: the row that it belongs to; ``None`` if each row is one piece.
        slot: ``[pieces]``: where its partial result goes; -1 for a row of one piece, whose result is final.
        partial: How many partial results there are.
    """

    start: Tensor
    row: Tensor | None
    slot: Tensor | None
    partial: int

    @property
    def number(self) -> int:
        return self.start.numel() - 1


def pieces(rowptr: Tensor, limit: int | None = None) -> list[Pieces]:
    """The pieces of the rows, those of the rows of partial results, and so on until a row is one piece.

    Computed once for each ``rowptr``, since it waits for the GPU.
    """
    size = PIECE if limit is None else limit
    cut = remembered(rowptr, ("pieces", size), lambda: _cut(rowptr, size))
    return cut or [Pieces(rowptr, None, None, 0)]


def _cut(rowptr: Tensor, limit: int) -> list[Pieces]:
    """Empty if no row needs to be cut."""
    found: list[Pieces] = []
    start = rowptr.long()
    rows: Tensor = torch.arange(rowptr.numel() - 1, device=rowptr.device)
    while True:
        count = ((start.diff() + limit - 1) // limit).clamp(min=1)
        whole = count == 1
        if bool(whole.all()):
            return [*found, Pieces(start, rows, torch.full_like(rows, -1), 0)] if found else []
        first = count.cumsum(0) - count
        of = torch.repeat_interleave(count)
        begin = start[of] + (torch.arange(of.numel(), device=of.device) - first[of]) * limit
        apart = ~whole[of]
        slot = torch.where(apart, apart.cumsum(0) - 1, -1)
        found.append(Pieces(torch.cat([begin, start[-1:]]), rows[of], slot, int(count[~whole].sum())))
        rows, parts = rows[~whole], count[~whole]
        start = torch.cat([parts.new_zeros(1), parts.cumsum(0)])


def tile(heads: int, channels: int, width: int = WIDTH) -> dict[str, int]:
    """Powers of two: the heads ``H`` and the channels of each ``C`` that one program holds."""
    c = min(triton.next_power_of_2(max(channels, 1)), width)
    return {"H": min(triton.next_power_of_2(max(heads, 1)), width // c), "C": c}


def blocks(heads: int, channels: int, tiles: dict[str, int]) -> int:
    """How many programs cover all heads and channels."""
    return int(triton.cdiv(heads, tiles["H"]) * triton.cdiv(channels, tiles["C"]))


def jit(function: Callable[..., Any]) -> Any:
    """``triton.jit``, with a type."""
    return triton.jit(function)


def tuned(*key: str, area: int = 4096) -> Callable[[Callable[..., Any]], Any]:
    """A kernel that chooses by measurement how many entries it reads at a time, once for each value of arguments.

    Args:
        key: The names of these arguments.
        area: Values that a program holds in registers, ``R`` rows of ``E`` entries. Kernels that keep many of them set
            it lower, lest they spill.
    """
    shapes = [(area, 8, 4), (area // 2, 4, 4), (area, 16, 4), (area // 2, 8, 2), (2 * area, 8, 8)]
    configs = [triton.Config({"AREA": size, "E": entries}, num_warps=warps) for size, entries, warps in shapes]
    measure = triton.autotune(configs[:1] if INTERPRETED else configs, key=list(key))
    rows = triton.heuristics({"R": lambda given: rows_at_once(given)})
    return lambda function: measure(rows(triton.jit(function)))


def rows_at_once(meta: dict[str, Any]) -> int:
    rows = meta["AREA"] // (meta["E"] * meta["H"] * max(meta["C"], meta.get("D", 1)))
    return int(min(max(rows, 1), 32))


def launch(kernel: Any, pieces: int, parts: int, *arguments: Any, **constants: Any) -> None:
    """Run a kernel over pieces of rows, and over parts of their heads and channels, on the GPU of its tensors."""
    if pieces == 0 or parts == 0:
        return
    device = next(argument.device for argument in arguments if isinstance(argument, Tensor))
    if not INTERPRETED:
        constants["enable_fp_fusion"] = True
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        kernel[lambda meta: (triton.cdiv(pieces, rows_at_once(meta)), parts)](*arguments, **constants)


def accumulator(x: Tensor) -> Any:
    """Triton's name of the dtype in which values are added up."""
    return tl.float64 if x.dtype == torch.float64 else tl.float32


# ---- in kernels ---------------------------------------------------------------------------------------------------


@jit
def piece(start, row, slot, pieces, R: tl.constexpr):  # type: ignore[no-untyped-def]
    """``[R]`` of each: whether there is such a piece, where it begins and ends, its row, and its slot."""
    s = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)
    live = s < pieces
    begin = tl.load(start + s, mask=live, other=0).to(tl.int64)
    end = tl.load(start + s + 1, mask=live, other=0).to(tl.int64)
    of, to = s, tl.full([R], -1, tl.int64)
    if row is not None:
        of = tl.load(row + s, mask=live, other=0)
        to = tl.load(slot + s, mask=live, other=0)
    return live, begin, end, of, to


@jit
def columns(block, heads, channels, H: tl.constexpr, C: tl.constexpr):  # type: ignore[no-untyped-def]
    """``[H]``, the heads of a block; ``[H, C]``, where their channels are in a row, and whether they exist."""
    across = tl.cdiv(channels, C)
    h = block // across * H + tl.arange(0, H)
    c = block % across * C + tl.arange(0, C)
    return h, h[:, None] * channels + c[None, :], (h < heads)[:, None] & (c < channels)[None, :]


@jit
def keep(value, y, partial, live, row, slot, width, offset, inside):  # type: ignore[no-untyped-def]
    """Write ``[R, H, C]`` to the results, or to the partial results where rows are cut."""
    final = (live & (slot < 0))[:, None, None] & inside[None, :, :]
    tl.store(y + row[:, None, None] * width + offset[None, :, :], value.to(y.dtype.element_ty), mask=final)
    if partial is not None:
        apart = (live & (slot >= 0))[:, None, None] & inside[None, :, :]
        tl.store(partial + slot[:, None, None] * width + offset[None, :, :], value, mask=apart)

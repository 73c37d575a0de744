"""Registering operators with ``torch.library``: shapes for the compiler, gradients, and one kernel that dispatches.

The way through ``torch.library`` and back costs about 100 us, more than the work on a small graph.
What :func:`define` returns takes it only where somebody looks on (the compiler, ``torch.export``, fake tensors,
transforms of ``torch.func``) and is otherwise an ordinary ``torch.autograd.Function`` of the same kernel and gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphlab.ops.adjacency import Adjacency, identity, pointer, remembered
from graphlab.ops.dispatch import run

ADJACENCY = "Tensor rowptr, Tensor col, Tensor? perm, Tensor? t_rowptr, Tensor? t_col, Tensor? t_perm"
"""The first six arguments of every operator on an adjacency, as its schema names them."""


def define(
    name: str,
    schema: str,
    fake: Callable[..., Any],
    save: Callable[..., None] | None = None,
    backward: Callable[..., Any] | None = None,
    composed: Callable[..., Any] | None = None,
    on_adjacency: bool = True,
) -> Callable[..., Any]:
    """Register ``graphlab::NAME``, by default on an adjacency.

    Args:
        name: Under which implementations are registered with the dispatcher; these are called with an
            :class:`Adjacency` in place of its six tensors.
        schema: Of arguments and results, such as ``"(ADJACENCY, Tensor x) -> Tensor"`` written out.
        fake: The results' shapes, from all arguments.
        save: ``setup_context`` of the gradient.
        backward: The gradient: one value an argument.
        composed: For an operator that is made of others and has no implementations of its own: what computes it, called
            as these are.
        on_adjacency: Whether the first six arguments are an adjacency.

    Returns:
        The operator, to be called.
    """
    qualified = f"graphlab::{name}"
    torch.library.define(qualified, schema)

    def kernel(*arguments: Any) -> Any:
        if not on_adjacency:
            return run(name, *arguments)
        adj = Adjacency(*arguments[:6])
        return composed(adj, *arguments[6:]) if composed else run(name, adj, *arguments[6:])

    torch.library.impl(qualified, "default", kernel)
    torch.library.register_fake(qualified, fake)
    if backward is not None:
        torch.library.register_autograd(qualified, backward, setup_context=save)
    operator: Callable[..., Any] = getattr(torch.ops.graphlab, name).default
    function = None if backward is None or "[]" in schema else _function(kernel, save, backward)

    def call(*arguments: Any) -> Any:
        if torch.compiler.is_compiling() or _observed(arguments):
            return operator(*arguments)
        if backward is None or not (torch.is_grad_enabled() and any(_requires_grad(value) for value in arguments)):
            return kernel(*arguments)
        return operator(*arguments) if function is None else function.apply(*arguments)

    return call


def _function(kernel: Callable[..., Any], save: Callable[..., None] | None, backward: Callable[..., Any]) -> Any:
    """The operator as eager code runs it: its kernel and its gradient, without the dispatcher of ``torch.library``."""

    def forward(ctx: Any, *arguments: Any) -> Any:
        output = kernel(*arguments)
        if save is not None:
            save(ctx=ctx, inputs=arguments, output=output)
        return output

    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("GraphlabBackward", (torch.autograd.Function,), methods)


def _requires_grad(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _observed(arguments: tuple[Any, ...]) -> bool:
    """Whether a call must go through the dispatcher: under a mode, a trace or a transform, or with special tensors."""
    return (
        torch._C._len_torch_dispatch_stack() > 0
        or torch._C._are_functorch_transforms_active()
        or torch._C._get_tracing_state() is not None
        or not all(type(value) in _ORDINARY for value in arguments)
    )


_ORDINARY = (Tensor, type(None), bool, int, float, str, torch.nn.Parameter)


def accumulated(x: Tensor) -> Tensor:
    """``x`` in the dtype in which it is summed: float32 for half precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def transposed(adj: Adjacency, num_sources: int) -> Adjacency:
    """The transpose, computed if need be, and outside of compiled code once for each ``col``."""
    if adj.t_rowptr is None or adj.t_col is None:
        if torch.compiler.is_compiling() or _observed(tuple(adj)):
            adj = Adjacency(*adj[:3], *_transpose(*adj, num_sources))
        else:
            given, key = adj, ("transpose", num_sources, identity(adj))
            rowptr, perm, *turned = remembered(
                adj.col, key, lambda: (given.rowptr, given.perm, *_transpose_kernel(*given, num_sources))
            )
            adj = Adjacency(rowptr, adj.col, perm, *turned)
    return adj.transposed


def _transpose_fake(
    rowptr: Tensor, col: Tensor, perm: Any, t_rowptr: Any, t_col: Any, t_perm: Any, num_sources: int
) -> tuple[Tensor, Tensor, Tensor]:
    return rowptr.new_empty(num_sources + 1), torch.empty_like(col), torch.empty_like(col)


def _transpose_kernel(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    adj, num_sources = Adjacency(*arguments[:6]), arguments[6]
    rows = torch.repeat_interleave(adj.rowptr.diff().long(), output_size=adj.num_edges)
    place = adj.col.argsort(stable=True)
    edge = place if adj.perm is None else adj.perm[place]
    return pointer(adj.col, num_sources).to(adj.col.dtype), rows[place].to(adj.col.dtype), edge.to(adj.col.dtype)


torch.library.define("graphlab::transpose", f"({ADJACENCY}, SymInt num_sources) -> (Tensor, Tensor, Tensor)")
torch.library.impl("graphlab::transpose", "default", _transpose_kernel)
torch.library.register_fake("graphlab::transpose", _transpose_fake)
_transpose = torch.ops.graphlab.transpose.default

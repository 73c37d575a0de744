"""Fused attention."""

from __future__ import annotations

from graphlab.weightgraph.atoms import Axis
from graphlab.weightgraph.registry import rule
from graphlab.weightgraph.tracer import Traced, Tracer


@rule("aten.scaled_dot_product_attention")
def scaled_dot_product_attention(
    trace: Tracer,
    query: Traced,
    key: Traced,
    value: Traced,
    attn_mask: Traced | None = None,
    is_causal: bool = False,
    enable_gqa: bool = False,
) -> list[Axis]:
    """``softmax(Q K^T / sqrt(d) + mask) V`` with Q ``[..., h, t, d]``, K ``[..., h, s, d]``, V ``[..., h, s, e]``.

    With ``enable_gqa`` K and V have ``k`` heads, each shared by ``h / k`` consecutive query heads: ``h = k . shared``.
    """
    trace.same(query[-1], key[-1])
    trace.same(key[-2], value[-2])
    if enable_gqa and query[-3].size != key[-3].size:
        trace.same(key[-3], value[-3])
        heads = trace.join(key[-3], trace.new(query[-3].size // key[-3].size))
        trace.same(query[-3], heads)
        batch = trace.broadcast(*(Traced(tensor.axes[:-3]) for tensor in (query, key, value)))
        batch.append(query[-3])
    else:
        batch = trace.broadcast(*(Traced(tensor.axes[:-2]) for tensor in (query, key, value)))
    if attn_mask is not None:
        trace.broadcast(Traced([*batch, query[-2], key[-2]]), attn_mask)
    if is_causal:
        trace.fix([query[-2], key[-2]], "causal order")
    trace.mix(query, -1)
    trace.mix(key, -2, -1)
    trace.mix(value, -2)
    if len(query) > 3:
        trace.role(query[-3], "heads")
    for tensor in (query, key):
        trace.passes(tensor, "attention")
    return [*batch, query[-2], value[-1]]

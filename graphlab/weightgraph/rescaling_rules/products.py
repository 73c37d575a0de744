"""Operators that contract axes: linear maps, matrix products, attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from graphlab.capture import Operation, Value
from graphlab.weightgraph.rescaling_rules.registry import elementwise, rescaling_rule
from graphlab.weightgraph.rescaling_system import Place, System, Term


@rescaling_rule("linear")
def linear(system: System, output: Value, input: Value, weight: Value, bias: Value | None = None) -> None:
    """``y[..., o] = sum_i x[..., i] W[o, i] + b[o]``."""
    lead = [Place((dim,), dim) for dim in range(len(input.shape) - 1)]
    out = [Place((dim,), "o") for dim in range(len(weight.shape) - 1)]
    system.relate(
        Term(input, [*lead, Place((len(lead),), "i")]),
        Term(weight, [*out, Place((len(out),), "i")]),
        Term(output, [*lead, *(Place((len(lead),), "o") for _ in out)], -1),
    )
    if bias is not None:
        elementwise(system, output, (bias, 1))


@rescaling_rule("matmul", "mm", "bmm", "mv", "dot", "vdot", "addmm", "baddbmm", "addmv")
def matmul(system: System, output: Value, operation: Operation) -> None:
    """``y[..., m, n] = sum_k a[..., m, k] b[..., k, n]`` (plus a tensor); vectors as in ``torch.matmul``."""
    *added, a, b = operation.inputs
    labels = ["m", "k"] if len(a.shape) > 1 else ["k"], ["k", "n"] if len(b.shape) > 1 else ["k"]
    result = [label for label in (*labels[0], *labels[1]) if label != "k"]
    terms = [Term(v, _batched(v, own)) for v, own in zip((a, b), labels, strict=True)]
    system.relate(*terms, Term(output, _batched(output, result), -1))
    for tensor in added:
        elementwise(system, output, (tensor, 1))


def _batched(value: Value, labels: Sequence[str]) -> list[Place]:
    """The last axes as labelled, the others counted from the last of them."""
    lead = len(value.shape) - len(labels)
    own = [Place((lead + dim,), label) for dim, label in enumerate(labels)]
    return [*(Place((dim,), dim - lead) for dim in range(lead) if value.shape[dim] != 1), *own]


@rescaling_rule("einsum")
def einsum(system: System, output: Value, operation: Operation, equation: str, tensors: list[Value]) -> None:
    inputs, arrow, result = equation.replace(" ", "").partition("->")
    if not arrow or "." in equation:
        system.zero(output, *operation.inputs)
        return
    spelt = [(tensor, term, 1) for tensor, term in zip(tensors, inputs.split(","), strict=True)]
    system.relate(
        *(
            Term(value, [Place((dim,), letter) for dim, letter in enumerate(term) if value.shape[dim] != 1], degree)
            for value, term, degree in [*spelt, (output, result, -1)]
        )
    )


@rescaling_rule("bilinear")
def bilinear(
    system: System, output: Value, input1: Value, input2: Value, weight: Value, bias: Value | None = None
) -> None:
    """``y[..., o] = sum_ij x1[..., i] W[o, i, j] x2[..., j] + b[o]``."""
    terms = [Term(v, _batched(v, [own])) for v, own in ((input1, "i"), (input2, "j"))]
    places = [Place((dim,), label) for dim, label in enumerate("oij")]
    system.relate(*terms, Term(weight, places), Term(output, _batched(output, ["o"]), -1))
    if bias is not None:
        elementwise(system, output, (bias, 1))


@rescaling_rule("outer", "ger")
def outer(system: System, output: Value, input: Value, vec2: Value) -> None:
    places = [Place((0,), "m"), Place((1,), "n")]
    system.relate(Term(input, places[:1]), Term(vec2, [Place((0,), "n")]), Term(output, places, -1))


@rescaling_rule("scaled_dot_product_attention")
def attention(
    system: System,
    output: Value,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value | None = None,
    enable_gqa: bool = False,
) -> None:
    """``softmax(Q K^T / sqrt(d) + mask) V``: no factor reaches the scores ``[..., t, s]``."""
    shared = query.shape[-3] // key.shape[-3] if enable_gqa else 1

    def places(tensor: Value, last: str, repeated: int = 1) -> list[Place]:
        found = [place for place in _batched(tensor, ["token", last]) if place.label != "token"]
        if repeated > 1:
            head = len(tensor.shape) - 3
            positions = torch.arange(query.shape[-3]) // repeated
            found = [Place((head,), -1, positions), *(place for place in found if place.dims != (head,))]
        return found

    if attn_mask is not None:
        system.zero(attn_mask)
    system.relate(Term(query, places(query, "d")), Term(key, places(key, "d", shared)))
    system.relate(Term(value, places(value, "e", shared)), Term(output, places(output, "e"), -1))

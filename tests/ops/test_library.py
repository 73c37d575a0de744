"""The rules that ``torch.library`` sets operators: schemas, fake tensors, gradients, tracing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from graphlab.ops import Adjacency, adjacency
from graphlab.ops.gated_hops import gated_hops  # noqa: F401 - which registers it
from tests.ops.graphs import GRAPHS, features

EDGE_INDEX, (NODES, _) = GRAPHS["random"]
EDGES = EDGE_INDEX.shape[1]
ADJ = adjacency(EDGE_INDEX, NODES)
PAIRS = torch.randint(NODES, (2, 12), generator=torch.Generator().manual_seed(0))


def _x(*shape: int, seed: int = 0) -> Tensor:
    return features(shape, torch.float32, seed).requires_grad_()


def _arguments() -> dict[str, tuple[Any, ...]]:
    """By name of an operator and what is special about it, what follows the six tensors of the adjacency."""
    place = torch.zeros(NODES, 2, 3, dtype=torch.int32)
    q, k, v, att, bias = _x(NODES, 2, 3), _x(NODES, 2, 3, seed=1), _x(NODES, 2, 4), _x(2, 3), _x(EDGES, 2)
    keep = torch.ones(EDGES, 2)
    y, norm = features((NODES, 2, 4), torch.float32, 3), torch.ones(NODES, 2)
    plain, wanted = features((NODES, 3), torch.float32), [1, 2, 3, 5]
    few, coefficients = place[:, 0], _x(4)
    stats = (plain, plain.unsqueeze(1).expand(-1, 4, -1).contiguous(), plain.clone(), few, few.clone())
    return {
        "spmm": (None, _x(NODES, 2, 3), None, True),
        "spmm weighted": (bias, _x(NODES, 2, 3), torch.ones(NODES), False),
        "spmm_extremum": (None, _x(NODES, 2, 3), True),
        "spmm_extremum weighted": (bias, _x(NODES, 2, 3), False),
        "spmm_extremum_gradient": (bias.detach(), features((NODES, 2, 3), torch.float32), place, y[..., :3].clone()),
        "sddmm": (q, k),
        "softmax": (_x(EDGES, 2),),
        "softmax_gradient": (torch.rand(EDGES, 2), torch.rand(EDGES, 2)),
        "stats": (_x(NODES, 3), wanted),
        "stats_gradient": (*stats, features((NODES, 4, 3), torch.float32, 1), wanted),
        "attention": (q, k, v, None, bias, keep, 1.0),
        "attention scored": (q, k, v, att, None, None, 0.2),
        "attention_gradient": (*(part.detach() for part in (q, k, v, att, bias)), keep, 0.2, y, norm, y.clone()),
        "overlap_counts": (PAIRS,),
        "overlap_pool": (PAIRS, _x(NODES, 3), 0),
        "overlap_pool_gradient": (PAIRS, _x(12, 3), NODES, 1),
        "propagate": (torch.rand(EDGES), _x(NODES, 3), coefficients),
        "propagate_products": (None, plain, coefficients.detach(), plain.clone()),
        "gated_hops": (None, _x(NODES, 16), _x(16), _x(1), 2, True),
        "transpose": (NODES,),
    }


@pytest.mark.parametrize("turned", [True, False], ids=["with the transpose", "without"])
@pytest.mark.parametrize("case", _arguments())
def test_operators_keep_the_rules(case: str, turned: bool) -> None:
    name = case.split()[0]
    adj = ADJ
    if not turned and name not in ("stats_gradient", "attention_gradient"):  # these are given the transpose
        adj = Adjacency(*ADJ[:3], None, None, None)
    if case.startswith("softmax"):  # entries of a segment are in their order
        adj = Adjacency(*adj[:2], None, *adj[3:])
    torch.library.opcheck(getattr(torch.ops.graphlab, name).default, (*adj, *_arguments()[case]))


def test_lists_of_unknown_length_keep_the_rules() -> None:
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")  # no graph of a length that is not known
    torch.library.opcheck(torch.ops.graphlab.overlap_lists.default, (*ADJ, PAIRS), test_utils=tests)


def test_every_operator_on_an_adjacency_is_checked() -> None:
    checked = {name.split()[0] for name in _arguments()} | {"overlap_lists"}
    schemas = [schema for schema in torch._C._jit_get_all_schemas() if schema.name.startswith("graphlab::")]
    on_adjacency = {schema.name.split("::")[1] for schema in schemas if schema.arguments[0].name == "rowptr"}
    assert on_adjacency - {"gated_hops_gradient"} == checked

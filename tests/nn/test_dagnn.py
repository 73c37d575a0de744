"""DAGNN: against its formula, on every small graph, with sparse features, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from graphlab.nn.features import SparseFeatures, dropout, sparse_features
from graphlab.nn.models.dagnn import DAGNN


def matrix(edge_index: Tensor, size: int) -> Tensor:
    edges, weight = gcn_norm(edge_index, None, size, dtype=torch.float64)
    return torch.zeros(size, size, dtype=torch.float64).index_put((edges[1], edges[0]), weight, accumulate=True)


def by_formula(model: DAGNN, x: Tensor, edge_index: Tensor) -> Tensor:
    h = [model.lin2((x @ model.lin1.weight.t() + model.lin1.bias).relu())]
    for _ in range(model.prop.K):
        h.append(matrix(edge_index, len(x)) @ h[-1])
    return sum(model.prop.proj(hop).sigmoid() * hop for hop in h)


@given(
    st.integers(1, 9), st.integers(0, 20), st.integers(1, 4), st.integers(0, 4), st.integers(0, 2**31), st.booleans()
)
@settings(max_examples=60, deadline=None)
def test_it_is_the_formula(size: int, edges: int, classes: int, K: int, seed: int, sparse: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(size, (2, edges), generator=generator)
    x = torch.randn(size, 30, dtype=torch.float64, generator=generator)
    if sparse:
        x = x * (torch.rand(x.shape, generator=generator) < 0.05)
    model = DAGNN(30, 5, classes, K, 0.5).double().eval()
    out, expected = model(x, edge_index), by_formula(model, x, edge_index)
    assert out.shape == (size, classes)
    torch.testing.assert_close(out, expected)
    parameters, dy = list(model.parameters()), torch.randn_like(out)
    for own, plain in zip(
        torch.autograd.grad(out, parameters, dy), torch.autograd.grad(expected, parameters, dy), strict=True
    ):
        torch.testing.assert_close(own, plain)


def test_published_names_and_number_of_parameters() -> None:
    shapes = {name: tuple(value.shape) for name, value in DAGNN(1433, 64, 7, 10).state_dict().items()}
    assert shapes == {
        "lin1.weight": (64, 1433),
        "lin1.bias": (64,),
        "lin2.weight": (7, 64),
        "lin2.bias": (7,),
        "prop.proj.weight": (1, 7),
        "prop.proj.bias": (1,),
    }
    arxiv = DAGNN(128, 256, 40, 16, batch_norm=True)
    assert sum(p.numel() for p in arxiv.parameters()) == 43_857
    assert [name for name in arxiv.state_dict() if name.startswith("bn.")] == [
        f"bn.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    ]


def test_readouts() -> None:
    edge_index, x = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), torch.randn(4, 6, dtype=torch.float64)
    models = {name: DAGNN(6, 5, 3, 2, readout=name).double() for name in ("gate", "last", "mean")}
    shared = {name: value for name, value in models["gate"].state_dict().items() if "proj" not in name}
    for name in ("last", "mean"):
        models[name].load_state_dict(shared)
    z, a = models["gate"].transform(x), matrix(edge_index, 4)
    torch.testing.assert_close(models["last"](x, edge_index), a @ a @ z)
    torch.testing.assert_close(models["mean"](x, edge_index), (z + a @ z + a @ a @ z) / 3)
    assert DAGNN(6, 5, 3, 0, readout="mean").double()(x, edge_index).shape == (4, 3)
    with pytest.raises(ValueError, match="no gates with readout='last'"):
        models["last"].gates(x, edge_index)


def test_gates_of_each_node_and_hop() -> None:
    edge_index, x = torch.tensor([[0, 1], [1, 0]]), torch.randn(3, 4, dtype=torch.float64)
    model = DAGNN(4, 5, 2, 3, gate_bias=False).double()
    assert model.prop.proj.bias is None
    gates, z = model.gates(x, edge_index), model.transform(x)
    assert gates.shape == (3, 4)
    torch.testing.assert_close(gates[:, 0], model.prop.proj(z).sigmoid().squeeze(1))
    torch.testing.assert_close(gates[2], gates[2, :1].expand(4))  # an isolated node is the same at each hop


def test_sparse_features_are_as_dense_ones_and_dropped_out_alike() -> None:
    torch.manual_seed(0)
    x = torch.rand(400, 50) * (torch.rand(400, 50) < 0.05)
    given = sparse_features(x)
    assert isinstance(given, SparseFeatures)
    assert sparse_features(x) is given
    for layout in (x.to_sparse(), x.to_sparse().coalesce()):
        other = sparse_features(layout)
        assert isinstance(other, SparseFeatures)
        assert torch.equal(other.value, given.value)
    assert dropout(given, 0.8, training=False) is given
    for before, after in ((given.value, dropout(given, 0.8, training=True).value), (x + 1, dropout(x + 1, 0.8, True))):
        kept = after != 0
        torch.testing.assert_close(after[kept], before[kept] * 5)
        assert 0.15 < kept.float().mean() < 0.25
    assert sparse_features(torch.ones(3, 3)).layout is torch.strided
    assert sparse_features(x.clone().requires_grad_()).requires_grad


def test_features_learn_when_asked() -> None:
    x = torch.zeros(3, 30, dtype=torch.float64, requires_grad=True)
    model = DAGNN(30, 4, 2, 1).double()
    model(x, torch.tensor([[0], [1]])).sum().backward()
    assert x.grad is not None
    with pytest.raises(ValueError, match="sparse features are constants"):
        model(x.detach().to_sparse().requires_grad_(), torch.tensor([[0], [1]]))


def test_nothing_to_propagate_on() -> None:
    model = DAGNN(3, 4, 1, 5)
    assert model(torch.randn(1, 3), torch.empty(2, 0, dtype=torch.int64)).shape == (1, 1)


def test_parameters_are_drawn_layer_by_layer() -> None:
    torch.manual_seed(3)
    model = DAGNN(7, 6, 5, 2)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(3)
    model.reset_parameters()
    assert all(torch.equal(value, first[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((0, 4, 2, 1), {}, "at least 1, got 0, 4, 2"),
        ((3, 0, 2, 1), {}, "at least 1, got 3, 0, 2"),
        ((3, 4, 0, 1), {}, "at least 1, got 3, 4, 0"),
        ((3, 4, 2, -1), {}, "K >= 0, got channels=2, K=-1"),
        ((3, 4, 2, 1, 1.0), {}, "dropout: expected 0 <= dropout < 1, got 1.0"),
        ((3, 4, 2, 1), {"readout": "max"}, "readout: expected one of gate, last, mean, got 'max'"),
    ],
)
def test_what_is_refused(sizes: tuple[int, ...], options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DAGNN(*sizes, **options)


def test_features_and_graphs_that_are_refused() -> None:
    model = DAGNN(3, 4, 2, 1)
    with pytest.raises(ValueError, match=r"a node must lie in 0 \.\. 1, found 2"):
        model(torch.randn(2, 3), torch.tensor([[0], [2]]))
    with pytest.raises(ValueError, match="degrees of 1 nodes are negative"):
        model(torch.randn(2, 3), torch.tensor([[0], [1]]), torch.tensor([-3.0]))
    with pytest.raises(ValueError, match="x: expected floating"):
        model(torch.ones(2, 3, dtype=torch.int64), torch.tensor([[0], [1]]))

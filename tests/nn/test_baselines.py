"""The models that tables compare with: PyG's layers, our operators, features that stay sparse; each kept in a folder."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric import nn

from graphlab.nn.features import SparseFeatures, sparse_features
from graphlab.nn.models.baselines import APPNP, GAT, GCN, MLP
from graphlab.nn.models.dagnn import DAGNN
from graphlab.nn.pretrained import Pretrained

BASELINES = [MLP, GCN, GAT, APPNP]
EDGES = torch.tensor([[0, 1, 1, 2, 3, 3], [1, 0, 2, 1, 3, 0]])


def features() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(5, 40, dtype=torch.float64, generator=generator)
    return x * (torch.rand(5, 40, generator=generator) < 0.08)


def pygs_own(model: Pretrained) -> Pretrained:
    """A copy whose layers are PyG's."""
    swapped = copy.deepcopy(model)
    for module in swapped.modules():
        if isinstance(module, nn.MessagePassing):
            module.__class__ = type(module).__mro__[1]
    return swapped


def plain(model: Pretrained, x: Tensor) -> Tensor:
    """The scores of dense features, written out."""
    if isinstance(model, APPNP):
        return model.prop(plain(model.mlp, x), EDGES)
    if isinstance(model, MLP):
        return model.lin2(functional.relu(model.lin1(x)))
    nonlinearity = functional.relu if isinstance(model, GCN) else functional.elu
    return model.conv2(nonlinearity(model.conv1(x, EDGES)), EDGES)


@pytest.mark.parametrize("baseline", BASELINES)
def test_they_are_pygs_layers_and_keep_features_sparse(baseline: type[Pretrained]) -> None:
    torch.manual_seed(0)
    model, x = baseline(40, 4, 3).double().eval(), features()
    assert isinstance(sparse_features(x), SparseFeatures)
    swapped = pygs_own(model)
    scores, expected = model(x, EDGES), plain(swapped, x)
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(model(x.to_sparse(), EDGES), expected)
    torch.testing.assert_close(model(x.clone().requires_grad_(), EDGES), expected)  # which is dense
    own = torch.autograd.grad(scores.square().sum(), list(model.parameters()))
    theirs = torch.autograd.grad(expected.square().sum(), list(swapped.parameters()))
    for gradient, other in zip(own, theirs, strict=True):
        torch.testing.assert_close(gradient, other)


@pytest.mark.parametrize("baseline", BASELINES)
def test_dropout_is_drawn_in_training_alone(baseline: type[Pretrained]) -> None:
    model, x = baseline(40, 4, 3).double(), features()
    assert not torch.equal(model(x, EDGES), model(x, EDGES))
    model.eval()
    assert torch.equal(model(x, EDGES), model(x, EDGES))


@pytest.mark.parametrize("residual", [False, True])
def test_sparse_features_where_pygs_own_layer_runs(residual: bool) -> None:
    from graphlab.nn.conv import GATConv, GCNConv

    x = features()
    for layer in (GATConv(40, 3, residual=residual), GCNConv(40, 3, flow="target_to_source")):
        layer.double()
        torch.testing.assert_close(layer(sparse_features(x), EDGES), layer(x, EDGES))


@pytest.mark.parametrize("model", [*BASELINES, DAGNN])
def test_every_model_is_kept_in_a_folder(model: type[Pretrained], tmp_path: Path) -> None:
    more = {"K": 3, "readout": "mean", "batch_norm": True} if model is DAGNN else {}
    first = model(40, 4, 3, **more).eval()
    first.save_pretrained(tmp_path)
    again = model.from_pretrained(tmp_path)
    x = features().float()
    assert torch.equal(again(x, EDGES), first(x, EDGES))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]

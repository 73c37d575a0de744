"""Parameter graphs of torch modules: what is read off them, and what cannot be drawn is refused by name."""

from __future__ import annotations

import pytest
from torch import nn

from graphlab.weightgraph.layouts.parameter_graph import (
    Conv,
    Layer,
    Linear,
    Norm,
    ResidualAttention,
    ResidualConv,
    ResidualFFN,
    TriplanarGrid,
    parameter_graph,
    read_layers,
)
from graphlab.weightgraph.wiring import WiringError


class Feedforward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(3, 8), nn.Linear(8, 3)


def test_layers_are_read_off_modules() -> None:
    relu = nn.ReLU()
    modules = [
        nn.Sequential(nn.Conv3d(1, 3, (1, 2, 3)), nn.InstanceNorm3d(3), relu),
        nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.LayerNorm(3, bias=False), relu),
        Feedforward(),
        Linear("head", 3, 2),
    ]
    layers = read_layers(modules, readers={Feedforward: lambda name, _: ResidualFFN(name, 3, 8)})
    assert layers == [
        Conv("0.0", 1, 3, (1, 2, 3)),
        Norm("1.1", "ln", 3, bias=False),
        ResidualFFN("2", 3, 8),
        Linear("head", 3, 2),
    ]
    named = nn.Sequential()
    named.add_module("norm", nn.InstanceNorm1d(3, affine=True))
    assert read_layers(named) == [Norm("norm", "in", 3)]
    assert read_layers(nn.ModuleList([nn.GroupNorm(1, 3)])) == [Norm("0", "gn", 3)]


def tied() -> list[nn.Module]:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    return [first, nn.ReLU(), second]


REFUSED = {
    "unknown": ([nn.Linear(2, 2), nn.PReLU()], r"1 \(PReLU\) has parameters"),
    "transposed": ([nn.ConvTranspose1d(2, 2, 3)], r"0 \(ConvTranspose1d\) has parameters"),
    "nested": (nn.Sequential(nn.Sequential(nn.Embedding(3, 2))), r"0\.0 \(Embedding\) has parameters"),
    "one's own": ([Feedforward()], r"0 \(Feedforward\) has parameters"),
    "no sequence": (Feedforward(), "expected a sequence of modules, got Feedforward"),
    "grouped": ([nn.Conv2d(4, 4, 3, groups=4)], r"0 \(Conv2d\): convolutions of 4 groups"),
    "several axes": ([nn.LayerNorm([3, 4])], r"0 \(LayerNorm\): a norm over several axes \[3, 4\]"),
    "weight norm": ([nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))], "has parameters, but"),
    "tied": (tied(), r"2\.weight is the same parameter as 0\.weight"),
    "twice": ([nn.Linear(2, 2)] * 2, r"1\.weight is the same parameter as 0\.weight"),
    "width": ([nn.Linear(2, 3), nn.Linear(4, 1)], "1: reads 4 activations, but the layers before it make 3"),
    "norm's width": ([nn.Linear(2, 3), nn.LayerNorm(4)], "1: reads 4 activations"),
    "flattened map": ([nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(27, 1)], "pooled to one position"),
    "empty": ([nn.ReLU()], "no module has parameters"),
    "late grid": ([Linear("0", 2, 3), TriplanarGrid("1", (1, 3, 2, 2))], "1: a triplanar grid must be the first"),
    "same name": ([Linear("0", 2, 3), Linear("0", 3, 3)], "two ranges of nodes are called 0"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_drawn_is_refused_by_name(what: str) -> None:
    modules, reason = REFUSED[what]
    with pytest.raises(WiringError, match=reason):
        parameter_graph(modules)  # type: ignore[arg-type]


def test_declarations_that_do_not_hold_are_refused() -> None:
    with pytest.raises(WiringError, match=r"0: expected a kernel of one to three axes, got \(\)"):
        Conv("0", 1, 1, ())
    with pytest.raises(WiringError, match="0: a shortcut from 2 to 3 channels must be projected"):
        ResidualConv("0", 2, 3)
    with pytest.raises(WiringError, match=r"0: expected a grid \[1, 3 features, size, size\], got \[1, 4, 2, 2\]"):
        TriplanarGrid("0", (1, 4, 2, 2))
    with pytest.raises(WiringError, match=r"0 \(Feedforward\) has the parameters .*, its declaration Linear has"):
        read_layers([Feedforward()], readers={Feedforward: lambda name, _: Linear(name, 3, 3)})


@pytest.mark.parametrize("layer", [ResidualAttention("block", 3), ResidualConv("block", 3, 3)])
def test_self_loops_are_refused_where_they_are_not_defined(layer: Layer) -> None:
    with pytest.raises(WiringError, match=r"block: Residual\w+ has no drawing with self loops"):
        parameter_graph([layer], selfloop=True)

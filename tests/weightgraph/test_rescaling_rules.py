"""Each rule of rescalings, by small networks that are run."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from tests.weightgraph.test_rescaling import case


class Between(nn.Module):
    """``W2 f(W1 x)``."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.first = nn.Linear(3, 8)
        self.second = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.function(self.first(x)))


@pytest.mark.parametrize(
    ("function", "scale", "sign"),
    [
        (F.relu, [-1], []),
        (F.leaky_relu, [-1], []),
        (lambda x: x.clone().relu_(), [-1], []),
        (lambda x: x.clamp(min=0), [-1], []),
        (lambda x: torch.maximum(x, 0.1 * x), [-1], []),
        (lambda x: torch.where(x.detach() * 0 == 0, x, 0.0), [], []),
        (lambda x: F.max_pool1d(x.unsqueeze(0).transpose(1, 2), 2).transpose(1, 2), [-1], []),
        (lambda x: F.avg_pool1d(x.unsqueeze(0).transpose(1, 2), 2).transpose(1, 2), [-1], [1]),
        (lambda x: 3 * x / 2 - x, [-1], [1]),
        (torch.square, [-2], [0]),
        (lambda x: x**3, [-3], [1]),
        (lambda x: x.abs().sqrt(), [Fraction(-1, 2)], [0]),
        (lambda x: x.abs() ** -0.5, [Fraction(1, 2)], [0]),
        (lambda x: x * x * x, [-3], [1]),
        (torch.sign, [0], [1]),
        (lambda x: x / x.abs().amax(0, keepdim=True), [0], [1]),
        (lambda x: x / x.norm(dim=0), [0], [1]),
        (lambda x: x / x.std(0), [0], []),
        (lambda x: x / x.norm(dim=1, keepdim=True), [], [1]),
        (torch.cos, [], [0]),
        (lambda x: torch.erf(torch.sinh(x)), [], [1]),
        (F.hardtanh, [], [1]),
        (F.relu6, [], []),
        (lambda x: x.clamp(-0.2, 0.3), [], []),
        (F.gelu, [], []),
        (F.silu, [], []),
        (lambda x: x + 1, [], []),
        (lambda x: x.sum(-1, keepdim=True) + x, [], []),
        (lambda x: x.softmax(0), [], []),
        (lambda x: x.sort(0).values, [], []),
        (lambda x: F.pad(x, (0, 0, 1, 0)), [-1], [1]),
        (lambda x: F.pad(x, (0, 0, 1, 0), value=1.0), [], []),
        (lambda x: torch.cat([x, x.relu()]), [-1], []),
        (lambda x: x.to(torch.int64).to(x.dtype), [], []),
    ],
)
def test_functions_between_two_layers(
    function: Callable[[Tensor], Tensor], scale: list[Fraction | int], sign: list[int]
) -> None:
    """What multiplies the columns of the second matrix when the rows of the first are multiplied by ``c``."""
    found = case(Between(function), torch.randn(6, 3))
    found.check()
    for kind, expected in (("scale", scale), ("sign", sign)):
        exponents = [r.exponents for r in found.rescalings if r.kind == kind]
        assert [Fraction(e.get("second.weight", (0,))[0], e["first.weight"][0]) for e in exponents] == expected
        assert all(e["first.weight"] == e["first.bias"] for e in exponents)


class Product(nn.Module):
    """Operators that contract, group and look up, before a ReLU network's last layer."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        self.first = nn.Linear(3, 8)
        self.other = nn.Linear(3, 8)
        self.matrix = nn.Parameter(torch.randn(8, 8))
        self.bilinear = nn.Bilinear(8, 8, 6)
        self.normed = parametrizations.weight_norm(nn.Linear(8, 7))
        self.grouped = nn.Conv1d(8, 12, 3, padding=1, groups=2)
        self.transposed = nn.ConvTranspose1d(8, 12, 2, groups=4)
        self.table = nn.Embedding(5, 8)
        self.head = nn.LazyLinear(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.first(x), x))

    def middle(self, a: Tensor, x: Tensor) -> Tensor:
        match self.kind:
            case "einsum":
                return torch.einsum("ni,ij,nj->nj", a, self.matrix, self.other(x))
            case "outer":
                return (a.unsqueeze(-1) * self.other(x).unsqueeze(-2)).flatten(1)
            case "bmm":
                return torch.bmm(a.unsqueeze(-1), self.other(x).unsqueeze(-2)).flatten(1)
            case "addmm":
                return torch.addmm(self.other(x), a, self.matrix)
            case "bilinear":
                return self.bilinear(a, self.other(x))
            case "weight norm":
                return self.normed(a.relu()).relu()
            case "grouped":
                return self.grouped(a.relu().t()[None])[0].t()
            case "transposed":
                return self.transposed(a.relu().t()[None])[0].t()
            case "stack":
                return torch.stack([a, self.other(x)], -1).sum(-1).relu()
            case "repeat":
                return torch.cat([a.repeat(1, 2), self.other(x).repeat_interleave(2, 1)], 1)
            case "lookup":
                return (a + self.table(torch.tensor([0, 3, 1, 1, 4, 2]))).relu()
            case "gather rows":
                return a.relu().index_select(0, torch.tensor([1, 0]))[torch.tensor([0, 1, 1])]
            case "shared heads":
                b = self.other(x)
                query, key, value = (t.view(1, 6, -1, 2).transpose(1, 2) for t in (a, b[:, :4], b[:, 4:]))
                return F.scaled_dot_product_attention(query, key, value, enable_gqa=True).transpose(1, 2).flatten(2)
            case "written":
                out = torch.zeros_like(a)
                out[:, :] = a.relu()
                return out
            case "padded":
                return F.pad(a.relu(), (1, 2), value=1.0)
        raise AssertionError(self.kind)


@pytest.mark.parametrize(
    ("kind", "scales", "signs"),
    [
        ("einsum", 3, 3),
        ("outer", 2, 2),
        ("bmm", 2, 2),
        ("addmm", 2, 2),
        ("bilinear", 3, 3),
        ("weight norm", 2, 1),
        ("grouped", 4, 2),
        ("transposed", 4, 2),
        ("stack", 1, 0),
        ("repeat", 2, 2),
        ("lookup", 1, 0),
        ("gather rows", 1, 0),
        ("shared heads", 4, 4),
        ("written", 1, 0),
        ("padded", 0, 0),
    ],
)
def test_operators(kind: str, scales: int, signs: int) -> None:
    module = Product(kind)
    x = torch.randn(6, 3)
    module(x)  # makes the head
    found = case(module, x)
    found.check()
    counts = [sum(rescaling.kind == k for rescaling in found.rescalings) for k in ("scale", "sign")]
    assert counts == [scales, signs], found.rescalings

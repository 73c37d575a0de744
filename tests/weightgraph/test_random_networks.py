"""Networks put together at random: whatever the tracer claims of them must hold when they are run."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from graphlab.weightgraph import verify
from graphlab.weightgraph.verify import FLOOR

BATCH, TOKENS, INPUTS = 2, 5, 3
WIDTHS = [4, 6, 8, 12]
ACTIVATIONS = [torch.relu, torch.tanh, F.gelu, torch.sin, F.silu, F.softplus]


class Random(nn.Module):
    """Steps drawn one by one; each reads tensors ``[batch, tokens, width]`` made before and makes another."""

    def __init__(self, draw: st.DrawFn) -> None:
        super().__init__()
        self.draw = draw
        self.steps: list[tuple[str, list[int], dict[str, object]]] = []
        self.parts = nn.ModuleList()
        self.free = nn.ParameterList()
        self.widths = [INPUTS]
        self.step("linear", [0], self.pick(WIDTHS))
        for _ in range(draw(st.integers(2, 9))):
            self.grow()
        last = range(max(1, len(self.widths) - 2), len(self.widths))
        self.head = nn.ModuleList(nn.Linear(self.widths[i], 3) for i in last)
        self.read = list(last)

    def pick(self, options: list) -> object:  # type: ignore[type-arg]
        return options[self.draw(st.integers(0, len(options) - 1))]

    def step(self, kind: str, sources: list[int], width: int, **settings: object) -> None:
        inside = self.widths[sources[0]]
        parts: dict[str, nn.Module] = {}
        if kind == "linear":
            parts = {"a": nn.Linear(inside, width, bias=bool(self.pick([True, False])))}
        elif kind == "gated":
            parts = {"a": nn.Linear(inside, 2 * width), "b": nn.Linear(width, width)}
        elif kind == "norm":
            parts = {"a": self.pick([nn.LayerNorm, nn.RMSNorm])(inside)}  # type: ignore[operator]
        elif kind == "group_norm":
            parts = {"a": nn.GroupNorm(2, inside)}
        elif kind == "conv":
            groups = self.pick([g for g in (1, 2, inside) if inside % g == 0 and width % g == 0])
            parts = {"a": nn.Conv1d(inside, width, 3, padding=1, groups=groups)}  # type: ignore[arg-type]
        elif kind == "attention":
            parts = {"a": nn.Linear(inside, 3 * width), "b": nn.Linear(width, width)}
        elif kind == "heads":
            parts = {"a": nn.Linear(width // 2, width // 2, bias=False)}
        elif kind == "position":
            self.free.append(nn.Parameter(torch.randn(TOKENS, width)))
            settings["free"] = len(self.free) - 1
        settings["part"] = len(self.parts)
        self.parts.append(nn.ModuleDict(parts))
        self.steps.append((kind, sources, settings))
        self.widths.append(width)

    def grow(self) -> None:
        source = self.draw(st.integers(1, len(self.widths) - 1))
        width = self.widths[source]
        kinds = ["linear", "gated", "norm", "activation", "conv", "position", "cat", "add", "multiply", "flip"]
        kinds += ["group_norm", "split", "heads", "regroup", "swap", "attention"] if width % 2 == 0 else []
        kind = self.pick(kinds)
        if kind in ("add", "multiply", "cat"):
            same = [i for i, w in enumerate(self.widths) if i and (kind == "cat" or w == width)]
            other = self.pick(same)
            self.step(kind, [source, other], width + self.widths[other] if kind == "cat" else width)  # type: ignore
        elif kind in ("linear", "conv", "attention"):
            target = self.pick(WIDTHS)
            self.step(kind, [source], target, heads=2, pick=self.pick([0, 1]))  # type: ignore[arg-type]
        elif kind == "split":
            cut = self.draw(st.integers(1, width - 1))
            self.step(kind, [source], cut, cut=cut)
        else:
            self.step(kind, [source], width, function=self.pick(ACTIVATIONS), factor=self.pick([2, width // 2 or 1]))  # type: ignore

    def forward(self, x: Tensor) -> Tensor:
        made = [x]
        for kind, sources, settings in self.steps:
            made.append(self.run(kind, [made[i] for i in sources], settings))
        return torch.stack([head(made[i]).mean(1) for head, i in zip(self.head, self.read, strict=True)]).sum(0)

    def run(self, kind: str, inputs: list[Tensor], settings: dict) -> Tensor:  # type: ignore[type-arg]
        x, part = inputs[0], self.parts[settings["part"]]
        if kind in ("linear", "norm"):
            return part["a"](x)
        if kind == "gated":
            first, second = part["a"](x).chunk(2, -1)
            return part["b"](first * torch.sigmoid(second))
        if kind in ("conv", "group_norm"):
            return part["a"](x.transpose(1, 2)).transpose(1, 2)
        if kind == "activation":
            return settings["function"](x)
        if kind == "position":
            return x + self.free[settings["free"]]
        if kind == "cat":
            return torch.cat(inputs, -1)
        if kind == "add":
            return inputs[0] + inputs[1]
        if kind == "multiply":
            return inputs[0] * inputs[1]
        if kind == "flip":
            return x.flip(1)
        if kind == "split":
            return x.split([settings["cut"], x.shape[-1] - settings["cut"]], -1)[0]
        if kind == "heads":
            return part["a"](x.unflatten(-1, (2, -1))).flatten(2)
        if kind == "regroup":
            grouped = x.reshape(BATCH, TOKENS, settings["factor"], -1)
            return (grouped - grouped.amax(-2, keepdim=True)).reshape(x.shape)
        if kind == "swap":
            return x.reshape(BATCH, TOKENS, settings["factor"], -1).transpose(-1, -2).reshape(x.shape)
        assert kind == "attention"
        qkv = part["a"](x).reshape(BATCH, TOKENS, 3, settings["heads"], -1).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        if settings["pick"]:
            scores = (query @ key.transpose(-1, -2)).softmax(-1)
            out = scores @ value
        else:
            out = F.scaled_dot_product_attention(query, key, value)
        return part["b"](out.transpose(1, 2).flatten(2))


@st.composite
def networks(draw: st.DrawFn) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw(st.integers(0, 2**16)))
        module = Random(draw)
    del module.draw
    return module


@budget(max_examples=60, deadline=None, derandomize=True)
@given(networks())
def test_what_is_claimed_holds(module: nn.Module) -> None:
    x = torch.randn(BATCH, TOKENS, INPUTS, generator=torch.Generator().manual_seed(0))
    result = verify(module, (x,))
    broken = [check for check in result.checks if check.difference is not None and check.difference > FLOOR]
    assert not broken, f"{broken}\n{result.structure}\n{module.steps}"
    assert not result.structure.without_rule

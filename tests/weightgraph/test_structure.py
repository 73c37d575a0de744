"""What the structure says of special cases, and how operators are taught to it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphlab.capture import capture
from graphlab.weightgraph import Structure, Traced, Tracer, rule, trace, verify
from graphlab.weightgraph.registry import RULES

TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])


def structure_of(module: nn.Module, *args: Tensor, outputs: list[str] | None = None) -> Structure:
    return trace(capture(module.eval(), args), outputs)


@torch.library.custom_op("graphlab_test::shuffle", mutates_args=())
def shuffle(x: Tensor) -> Tensor:
    """Rolls channels by one: something that only a rule can know the order matters for."""
    return x.roll(1, -1)


@shuffle.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class Shuffled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 6)
        self.inner = nn.Linear(6, 5)
        self.last = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.inner(torch.ops.graphlab_test.shuffle(self.first(x)))))


def test_an_operator_without_a_rule_fixes_what_it_touches_and_is_reported() -> None:
    module = Shuffled()
    result = verify(module, (torch.randn(4, 3),))
    structure = result.structure
    assert structure.groups["first"].reason == "no rule for graphlab_test.shuffle"
    assert structure.groups["inner"].reason == "no rule for graphlab_test.shuffle" or structure.groups["inner"].free
    assert structure.without_rule["graphlab_test.shuffle"] == ("first.weight", "first.bias", "inner.weight")
    assert "no rule for graphlab_test.shuffle" in repr(structure)
    assert result.passed


def test_a_rule_is_five_lines_and_a_wrong_one_is_found_out() -> None:
    @rule("graphlab_test.shuffle")
    def elementwise(trace: Tracer, x: Traced) -> list:  # type: ignore[type-arg]
        return x.axes

    try:
        result = verify(Shuffled(), (torch.randn(4, 3),))
        assert result.structure.groups["first"].free
        assert not result.structure.without_rule
        assert result.worst > 1e-3
        assert not result.passed
    finally:
        del RULES["graphlab_test.shuffle"]


def test_a_rule_that_does_not_fit_counts_as_none() -> None:
    @rule("graphlab_test.shuffle")
    def wrong_rank(trace: Tracer, x: Traced) -> list:  # type: ignore[type-arg]
        return x.axes[:1]

    try:
        structure = structure_of(Shuffled(), torch.randn(4, 3))
        assert "graphlab_test.shuffle" in structure.without_rule
        assert not structure.groups["first"].free
    finally:
        del RULES["graphlab_test.shuffle"]


class Two(nn.Module):
    """Two heads on one body."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = torch.tanh(self.body(x))
        return {"features": features, "score": self.head(features)}


def test_only_outputs_that_count_pin() -> None:
    x = torch.randn(4, 3)
    assert not structure_of(Two(), x).groups["output:features"].free
    structure = structure_of(Two(), x, outputs=["score"])
    assert structure.groups["body"].free
    assert str(structure.outputs["features"][1]) == "body"
    assert verify(Two(), (x,), outputs=["score"]).passed
    assert structure_of(Two(), x, outputs=[]).groups["head"].free
    with pytest.raises(ValueError, match="no output logits: this program has features, score"):
        structure_of(Two(), x, outputs=["logits"])


class Constants(nn.Module):
    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.first = nn.Linear(3, 6)
        self.last = nn.Linear(6, 2)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x)) * self.scale)


def test_a_constant_pins_the_axis_along_which_it_varies() -> None:
    x = torch.randn(4, 3)
    assert structure_of(Constants(torch.full((6,), 2.0)), x).groups["first"].free
    varying = structure_of(Constants(torch.arange(6.0)), x).groups["first"]
    assert varying.reason == "a constant that varies along it"


class Sliced(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 10)
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.last(x[:, 1:5] + x[:, 6:10])


def test_slices_split_a_group() -> None:
    structure = structure_of(Sliced(), torch.randn(4, 3))
    assert str(structure.axes["first.weight"][0]) == "1 + first + 1 + first"
    assert structure.groups["first"].size == 4
    assert verify(Sliced(), (torch.randn(4, 3),)).passed


class Routed(nn.Module):
    """Experts chosen by the largest router score, one way or two different ways for the same rows."""

    def __init__(self, twice: bool) -> None:
        super().__init__()
        self.router = nn.Linear(3, 4)
        self.up = nn.Parameter(torch.randn(4, 6, 3))
        self.down = nn.Parameter(torch.randn(4, 2, 6))
        self.twice = twice

    def forward(self, x: Tensor) -> Tensor:
        scores = self.router(x)
        best, worst = scores.argmax(-1), scores.argmin(-1)
        hidden = torch.relu(torch.einsum("nhi,ni->nh", self.up[best], x))
        return torch.einsum("noh,nh->no", self.down[worst if self.twice else best], hidden)


def test_neurons_of_an_expert_are_its_own_only_if_it_is_chosen_one_way() -> None:
    x = torch.randn(16, 3)
    own, shared = (structure_of(Routed(twice), x) for twice in (False, True))
    experts, hidden, _ = own.axes["up"]
    assert (experts.size, hidden.size) == (4, 6)
    assert own.axes["router.bias"] == (experts,)
    assert hidden.within == (experts.name,)
    assert shared.axes["up"][1].within == ()
    for twice in (False, True):
        assert verify(Routed(twice), (x,)).passed


class Numbers(nn.Module):
    """The place of the largest score used as a number: the scores are no longer interchangeable."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(3, 5)
        self.last = nn.Linear(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.score(x).argmax(-1, keepdim=True).float())


def test_places_used_as_numbers_pin_their_axis() -> None:
    assert "places used as numbers" in (structure_of(Numbers(), torch.randn(6, 3)).groups["score"].reason or "")


class Written(nn.Module):
    """A tensor of zeros that is written into: its axes are those of what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(3, 4)
        self.last = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.zeros(x.shape[0], 8)
        joined[:, :4] = self.first(x)
        joined[:, 4:] = self.second(x)
        return self.last(torch.tanh(joined))


def test_writing_into_a_tensor_couples_it() -> None:
    structure = structure_of(Written(), torch.randn(5, 3))
    assert str(structure.axes["last.weight"][1]) == "first + second"
    assert verify(Written(), (torch.randn(5, 3),)).passed


class Unfinished(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.idle = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).mean(-1)


def test_unused_parameters_are_kept_and_reported() -> None:
    structure = structure_of(Unfinished(), torch.randn(5, 3))
    assert structure.unused == ("idle.weight", "idle.bias")
    assert list(map(str, structure.axes["idle.weight"])) == ["5", "4"]
    assert structure.groups["layer"].free
    assert "not read by forward: idle.weight, idle.bias" in repr(structure)


def test_frozen_weight_normed_and_parametrised_modules() -> None:
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 6)), nn.ReLU(), nn.Linear(6, 2))
    module.requires_grad_(False)
    result = verify(module, (torch.randn(4, 3),))
    assert [group.size for group in result.structure.free] == [6]
    assert result.worst <= 1e-9


class PixelShuffled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Conv2d(3, 20, 3, padding=1)
        self.last = nn.Conv2d(5, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(F.pixel_shuffle(self.up(x), 2), scale_factor=2, mode="nearest")
        return self.last(x)


def test_channels_that_become_pixels() -> None:
    result = verify(PixelShuffled(), (torch.randn(2, 3, 4, 4),))
    assert str(result.structure.axes["up.weight"][0]) == "groups . 4"
    assert result.passed
    assert not result.structure.without_rule


class LearnedState(nn.Module):
    """An LSTM with a learned initial state: the neurons of both layers share its axis, so they go together."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, 2, batch_first=True)
        self.start = nn.Parameter(torch.randn(2, 1, 4))

    def forward(self, x: Tensor) -> Tensor:
        start = self.start.expand(-1, x.shape[0], -1).contiguous()
        _, (last, _) = self.rnn(x, (start, torch.zeros_like(start)))
        return last[-1].sum(-1)


@pytest.mark.skipif(TORCH < (2, 13), reason="older releases export the last state of an LSTM with a wrong shape")
def test_a_learned_initial_state_ties_the_layers() -> None:
    result = verify(LearnedState(), (torch.randn(3, 5, 3),))
    assert [group.size for group in result.structure.free] == [4]
    assert result.worst <= 1e-9


class ComplexRotary(nn.Module):
    """Rotary embeddings as products of complex numbers: pairs of neighbours turn by their own frequency."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(3, 12, bias=False)
        self.key = nn.Linear(3, 12, bias=False)
        angles = torch.outer(torch.arange(5.0), torch.tensor([1.0, 0.5, 0.25]))
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles), persistent=False)

    def turned(self, x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.reshape(2, 5, 2, 3, 2))
        return torch.view_as_real(pairs * self.turns[:, None]).flatten(3)

    def forward(self, x: Tensor) -> Tensor:
        query, key = self.turned(self.query(x)), self.turned(self.key(x))
        return torch.einsum("bthd,bshd->bts", query, key)


def test_complex_rotary_embeddings_leave_the_heads_free() -> None:
    result = verify(ComplexRotary(), (torch.randn(2, 5, 3),))
    assert str(result.structure.axes["query.weight"][0]) == "heads . shared . query.inside"
    assert [group.name for group in result.structure.free] == ["heads"]
    assert not result.structure.without_rule
    assert result.passed

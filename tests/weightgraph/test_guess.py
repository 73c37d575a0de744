"""Structures guessed from names and shapes: how well they agree with traced ones, and that they hold together."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from functools import cache
from types import FrameType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphlab.capture import capture
from graphlab.weightgraph import Structure, WeightGraph, axes, equal_bytes, trace
from graphlab.weightgraph.data import from_data, to_data
from graphlab.weightgraph.guess import guess, is_guess
from graphlab.weightgraph.layouts.exact import exact
from tests.architectures import ARCHITECTURES

Shapes = dict[str, tuple[int, ...]]

# Measured 2026-11: precision and recall in module order, then in the order of the alphabet, rounded down.
FLOORS = {
    "mlp": (1.0, 1.0, 1.0, 1.0),
    "glu_mlp": (1.0, 0.5, 1.0, 0.5),
    "vgg": (1.0, 1.0, 1.0, 1.0),
    "resnet": (1.0, 1.0, 1.0, 1.0),
    "depthwise_separable": (0.85, 1.0, 0.85, 1.0),
    "unet": (1.0, 1.0, 0.8, 0.85),
    "resnext_block": (0.95, 0.7, 0.95, 0.65),
    "conv3d_net": (1.0, 1.0, 1.0, 1.0),
    "bilstm": (1.0, 1.0, 1.0, 1.0),
    "gru": (1.0, 1.0, 1.0, 1.0),
    "transformer_encoder": (1.0, 1.0, 1.0, 1.0),
    "mha_cross": (1.0, 0.45, 0.9, 0.4),
    "vit": (1.0, 1.0, 1.0, 1.0),
    "convnext": (1.0, 1.0, 1.0, 1.0),
    "swin": (1.0, 0.9, 1.0, 0.9),
    "bert": (1.0, 1.0, 1.0, 1.0),
    "gpt2": (1.0, 1.0, 1.0, 1.0),
    "gpt_neox": (1.0, 1.0, 1.0, 1.0),
    "llama": (1.0, 1.0, 1.0, 1.0),
    "mixtral": (1.0, 1.0, 1.0, 1.0),
    "t5": (1.0, 1.0, 1.0, 1.0),
    "whisper": (0.95, 0.95, 0.95, 0.95),
    "clip": (1.0, 0.95, 1.0, 0.95),
}


@cache
def traced(name: str) -> Structure:
    example = ARCHITECTURES[name]()
    outputs = [example.output] if isinstance(example.output, str) else None
    return trace(capture(example.module, example.args, example.kwargs), outputs)


def floating(tensors: dict[str, torch.Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items() if tensor.is_floating_point()}


def agreement(truth: Structure, guessed: Structure) -> tuple[float, float]:
    """Precision and recall over pairs of axes of parameters, of which a structure says "the same groups of neurons"."""
    places = [(n, d) for n in guessed.axes for d, axis in enumerate(truth.axes[n]) if named(axis)]

    def label(structure: Structure, place: tuple[str, int]) -> Hashable:
        return named(structure.axes[place[0]][place[1]]) or place

    ours = [label(guessed, place) for place in places]
    theirs = [label(truth, place) for place in places]
    both = pairs(zip(ours, theirs, strict=True))
    return both / pairs(ours), both / pairs(theirs)


def named(axis: axes.Axis) -> frozenset[str]:
    return frozenset(group.name for group in axes.groups(axis) if group.name)


def pairs(labels: Iterable[Hashable]) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(labels).values())


@pytest.mark.parametrize("name", FLOORS)
def test_the_guess_agrees_with_the_traced_structure(name: str) -> None:
    truth = traced(name)
    shapes = {n: s for n, s in floating(ARCHITECTURES[name]().module.state_dict()).items() if n in truth.axes}
    for order, floors in ((shapes, FLOORS[name][:2]), (dict(sorted(shapes.items())), FLOORS[name][2:])):
        guessed = guess(order)
        assert all(found >= floor for found, floor in zip(agreement(truth, guessed), floors, strict=True))
        assert not guessed.free


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_guess_is_drawn_saved_and_read_back_bit_for_bit(name: str, tmp_path: Any) -> None:
    tensors = {key: tensor.detach() for key, tensor in ARCHITECTURES[name]().module.state_dict().items()}
    graph = WeightGraph(guess(floating(tensors)), tensors)
    wiring = exact(graph.structure, graph.tensors)
    blank = {n: torch.full_like(t, 7) if t.is_floating_point() else t for n, t in tensors.items()}
    assert equal_bytes(from_data(wiring, to_data(wiring, graph.tensors), blank), tensors)
    graph.save(tmp_path / "graph.safetensors")
    loaded = WeightGraph.load(tmp_path / "graph.safetensors")
    assert loaded.structure == graph.structure
    assert is_guess(loaded.structure)
    assert equal_bytes(loaded.state_dict(), tensors)


def test_nothing_is_permuted_on_a_guess() -> None:
    tensors = {"0.weight": torch.randn(4, 3), "0.bias": torch.randn(4), "2.weight": torch.randn(2, 4)}
    graph = WeightGraph(guess(floating(tensors)), tensors)
    assert {str(axis) for axis in graph.structure.axes["2.weight"]} == {"0", "2"}
    with pytest.raises(ValueError, match="a guess from names and shapes"):
        graph.permute({"0": torch.tensor([1, 0, 2, 3])})
    assert not is_guess(traced("mlp"))


def expressions(shapes: Shapes) -> dict[str, list[str]]:
    return {name: [str(axis) for axis in own] for name, own in guess(shapes).axes.items()}


def test_layers_in_the_order_of_their_numbers() -> None:
    chain = {f"{i}.weight": (i + 3, i + 2) for i in range(12)}
    assert expressions(dict(sorted(chain.items())))["10.weight"] == ["10", "9"]


def test_transposed_weights_are_told_by_the_bias() -> None:
    found = expressions({"0.weight": (3, 5), "0.bias": (5,), "1.weight": (5, 5), "1.bias": (5,), "2.weight": (2, 5)})
    assert found["0.weight"] == ["0.input", "0"]
    assert found["1.weight"] == ["0", "1"], "square ones as most of the others"
    assert found["2.weight"] == ["2", "1"], "no bias, no sign of being transposed"


def test_a_flattened_image_and_a_joined_skip() -> None:
    found = expressions(
        {"1.weight": (8, 3, 3, 3), "2.weight": (6, 8, 3, 3), "3.weight": (9, 14, 3, 3), "4.weight": (5, 36)}
    )
    assert found["3.weight"] == ["3", "1 + 2", "3", "3"]
    assert found["4.weight"] == ["4", "3 . 4"]


def test_a_name_for_memory_that_is_shared() -> None:
    structure = guess({"embed.weight": (50, 8), "head.weight": (50, 8)}, {"head.weight": "embed.weight"})
    assert structure.axes.keys() == {"embed.weight"}
    tensors = dict.fromkeys(("embed.weight", "head.weight"), torch.randn(50, 8))
    assert equal_bytes(WeightGraph(structure, tensors).state_dict(), tensors)


def test_nothing_scalars_and_empty_tensors() -> None:
    assert not guess({}).groups
    assert not is_guess(guess({"scale": (), "weight": (1, 1), "none.weight": (0, 1)}))
    found = guess({"weight_hh_l0": (10**12, 1), "qkv.weight": (0, 0), "a.weight": (0, 5), "a.bias": (0,)})
    assert [axis.size for axis in found.axes["weight_hh_l0"]] == [10**12, 1]
    assert [axis.size for axis in found.axes["qkv.weight"]] == [0, 0]


def test_names_that_could_be_mistaken() -> None:
    tensors = {
        name: torch.randn(2, 3)
        for name in ("", ".", "weight", "a . b.weight", "a.weight", "b.weight", "unit of c.bias", "*", "+", "\n", "$x$")
    } | {"c.bias": torch.randn(2)}
    structure = guess(floating(tensors))
    assert Structure.from_json(structure.to_json()) == structure
    wiring = exact(structure, tensors)
    assert equal_bytes(wiring.read_back(wiring.edge_values(tensors), tensors), tensors)


PARTS = (
    "layers 0 1 2 10 attn q_proj k_proj v_proj qkv o_proj gate up down experts embed token router head conv norm "
    "encoder decoder encoder_attn in_proj x\ty é $ a_b"
)
LEAVES = (
    "weight bias running_mean in_proj_weight weight_ih_l0 weight_hh_l0 weight_ih_l0_reverse weight_hh_l1 bias_ih_l0 "
    "cls_token pos_embed gate_up_proj scale"
)
NAMES = st.builds(
    lambda parts, leaf: ".".join([*parts, leaf]),
    st.lists(st.sampled_from(PARTS.split(" ")), max_size=4),
    st.sampled_from(LEAVES.split()),
)
SIZES = st.sampled_from([0, 1, 2, 3, 4, 6, 8, 12])


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES | st.text(max_size=5), st.lists(SIZES, max_size=4).map(tuple), max_size=25))
def test_any_names_and_shapes_hold_together(shapes: Shapes) -> None:
    structure = guess(shapes)
    assert {name: tuple(axis.size for axis in own) for name, own in structure.axes.items()} == shapes
    assert structure.reads.keys() == shapes.keys()
    assert not structure.free
    assert Structure.from_json(structure.to_json()) == structure
    tensors = {name: torch.arange(float(torch.Size(shape).numel())).view(shape) for name, shape in shapes.items()}
    graph = WeightGraph(structure, tensors)
    wiring = exact(structure, graph.tensors)
    assert equal_bytes(wiring.read_back(wiring.edge_values(tensors), tensors), tensors)
    repr(structure)


def calls(function: Callable[[], object]) -> int:
    """How many Python functions are called."""
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "name",
    [
        "layers.{}.weight",
        "layers.{}.attn.q_proj.weight",
        "{}.experts.gate.weight",
        "same{:>9}.weight",
        "x.weight_ih_l{}",
    ],
)
def test_work_grows_with_the_number_of_tensors(name: str) -> None:
    small, large = ({name.format(i): (8, 8) for i in range(count)} for count in (1_000, 10_000))
    assert calls(lambda: guess(large)) < 12 * calls(lambda: guess(small))
    assert len(guess(large).axes) == 10_000

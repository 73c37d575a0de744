"""Rescalings: derived from the operators, proved by running, compared with all that a derivative allows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from torch import Tensor, nn

from graphlab.capture import Program, capture
from graphlab.weightgraph import WeightGraph, trace
from graphlab.weightgraph.rescaling import Rescaling, random_factors, rescale, rescalings
from graphlab.weightgraph.rescaling_system import Kind, neurons_of
from tests.architectures import ARCHITECTURES, Example
from tests.weightgraph.test_random_networks import BATCH, INPUTS, TOKENS, networks

KINDS: tuple[Kind, ...] = ("scale", "sign")
Found = dict[tuple[str, str], list[dict[str, tuple[int, ...]]]]


class Case:
    """A network in float64, what it gives, and its rescalings."""

    def __init__(self, example: Example) -> None:
        self.example = example
        self.program: Program = capture(example.module, example.args, example.kwargs)
        structure = trace(self.program, [example.output] if isinstance(example.output, str) else None)
        state = example.module.state_dict()
        self.graph = WeightGraph(structure, {n: t.double() if t.is_floating_point() else t for n, t in state.items()})
        self.rescalings = rescalings(self.program, structure)
        self.before = self.run(self.graph)

    @torch.no_grad()
    def run(self, graph: WeightGraph) -> list[Tensor]:
        given = self.example.args, self.example.kwargs
        found = self.program.run(graph.state_dict(), *given, torch.float64)
        return [found[name] for name in graph.structure.counted]

    def change(self, rescaling: Rescaling, factors: Tensor) -> float:
        """Relative to the largest entry of the output."""
        after = self.run(rescale(self.graph, rescaling, factors))
        return max(
            float((new - old).abs().max() / old.abs().max()) for old, new in zip(self.before, after, strict=True)
        )

    def check(self) -> None:
        """Every rescaling keeps the function; acting on one of its tensors only does not."""
        generator = torch.Generator().manual_seed(0)
        for rescaling in self.rescalings:
            factors = random_factors(self.graph.structure, rescaling, generator)
            if rescaling.kind == "sign":
                factors.view(-1)[0] = -1  # of two heads, both may have got 1
            assert self.change(rescaling, factors) < 1e-9, rescaling
            if len(rescaling.exponents) > 1:
                alone = (Rescaling(rescaling.group, rescaling.kind, {n: e}) for n, e in rescaling.exponents.items())
                assert any(self.change(one, factors) > 1e-6 for one in alone), rescaling

    def found(self) -> Found:
        found: Found = {}
        for rescaling in self.rescalings:
            found.setdefault((rescaling.group, rescaling.kind), []).append(dict(rescaling.exponents))
        return found


def case(module: nn.Module, *args: Tensor) -> Case:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return Case(Example(module.eval(), args))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_rescalings_keep_the_function(name: str) -> None:
    Case(ARCHITECTURES[name]()).check()


@budget(max_examples=40, deadline=None, derandomize=True)
@given(networks())
def test_rescalings_of_random_networks_keep_the_function(module: nn.Module) -> None:
    x = torch.randn(BATCH, TOKENS, INPUTS, generator=torch.Generator().manual_seed(0))
    found = Case(Example(module.eval(), (x,)))
    for rescaling in found.rescalings:
        factors = random_factors(found.graph.structure, rescaling, torch.Generator().manual_seed(1))
        assert found.change(rescaling, factors) < 1e-9, rescaling


@pytest.mark.parametrize(
    "name",
    [*("mlp", "siren", "glu_mlp", "vgg", "resnet", "unet", "lstm", "gru", "mha_cross", "vit_timm_style", "swin"),
     *("bert_eager", "gpt2", "llama_tied", "qwen3", "mixtral", "t5", "clip")],
)  # fmt: skip
def test_no_scale_is_missed(name: str) -> None:
    """If ``c^e`` keeps the function, ``sum_a e_a <grad, theta>_{a, n} = 0`` for every neuron ``n``.

    The sum is over the appearances of the group in the parameters. So the null space of these rows has at least as many
    dimensions as there are rescalings; it has no more.
    """
    found = Case(ARCHITECTURES[name]())
    structure = found.graph.structure
    learned = [n for n, _ in found.example.module.named_parameters() if n in structure.axes]
    state = {n: t.clone().requires_grad_(n in learned) for n, t in found.graph.tensors.items()}
    copies = {n: t.clone() for n, t in state.items()}
    given = found.example.args, found.example.kwargs
    output = found.program.run(copies, *given, torch.float64)[structure.counted[0]]
    generator = torch.Generator().manual_seed(0)
    slopes = [
        torch.autograd.grad(
            (output * torch.randn(output.shape, generator=generator, dtype=torch.float64)).sum(),
            [state[n] for n in learned],
            retain_graph=True,
            materialize_grads=True,
            allow_unused=True,
        )
        for _ in range(6)
    ]
    for group in structure.free:
        columns = []
        for position, parameter in enumerate(learned):
            for dim, axis in enumerate(structure.axes[parameter]):
                for neurons in (neurons for leaf, neurons in neurons_of(axis) if leaf == group):
                    products = [(s[position] * state[parameter].detach()).movedim(dim, 0) for s in slopes]
                    column = torch.zeros(len(slopes), group.size + 1, dtype=torch.float64)
                    column.index_add_(
                        1, neurons + 1, torch.stack([p.reshape(len(neurons), -1).sum(1) for p in products])
                    )
                    columns.append(column[:, 1:].flatten())
        matrix = torch.stack(columns, 1)
        singular = torch.linalg.svdvals(matrix / matrix.norm(dim=0))
        scales = [r for r in found.rescalings if r.group == group.name and r.kind == "scale"]
        assert len(scales) == int((singular < 1e-9).sum()), group


# ---- what is expected -----------------------------------------------------------------------------------------------


def test_layers_in_a_chain() -> None:
    assert Case(ARCHITECTURES["mlp"]()).found() == {
        ("0", "scale"): [{"0.weight": (1,), "0.bias": (1,), "2.weight": (-1,)}],
        ("2", "scale"): [{"2.weight": (1,), "2.bias": (1,), "4.weight": (-1,)}],
    }
    assert Case(ARCHITECTURES["siren"]()).found() == {
        ("layers.0", "sign"): [{"layers.0.weight": (1,), "layers.0.bias": (1,), "layers.1.weight": (1,)}],
        ("layers.1", "sign"): [{"layers.1.weight": (1,), "layers.1.bias": (1,), "layers.2.weight": (1,)}],
    }


def test_batch_norm_before_relu() -> None:
    """After it any scale; before it only signs, which its weight takes back."""
    module = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    assert case(module, torch.randn(4, 3)).found() == {
        ("0", "scale"): [{"1.weight": (1,), "1.bias": (1,), "3.weight": (-1,)}],
        ("0", "sign"): [{"0.weight": (1,), "0.bias": (1,), "1.weight": (1,), "1.running_mean": (1,)}],
    }


def test_gates_and_heads_of_llama() -> None:
    found = Case(ARCHITECTURES["llama"]()).found()
    mlp, attention = "model.layers.0.mlp", "model.layers.0.self_attn"
    values = {f"{attention}.v_proj.weight": (1,), f"{attention}.o_proj.weight": (-1,)}
    assert found[f"{mlp}.gate_proj", "scale"] == [{f"{mlp}.up_proj.weight": (1,), f"{mlp}.down_proj.weight": (-1,)}]
    assert found[f"{attention}.v_proj.inside", "scale"] == [values]
    # Rotary positions tell the neurons inside apart, so queries and keys are scaled by heads.
    queries = {f"{attention}.q_proj.weight": (1,), f"{attention}.k_proj.weight": (-1,)}
    assert found[f"{attention}.heads", "scale"] == [queries, values]
    # RMS norms let the signs of the stream through, and no scale but that of their own weight.
    embedded = {kind: [own for own in found["residual", kind] if "model.embed_tokens.weight" in own] for kind in KINDS}
    assert (len(embedded["scale"]), len(embedded["sign"])) == (0, 1)


def test_queries_and_keys_without_positions() -> None:
    """In a fused projection each of the three has an exponent of its own."""
    found = Case(ARCHITECTURES["vit_timm_style"]()).found()
    qkv, proj = "blocks.0.attn.qkv", "blocks.0.attn.proj.weight"
    assert found[f"{qkv}.inside", "scale"] == [{f"{qkv}.weight": (1, -1), f"{qkv}.bias": (1, -1)}]
    assert found[f"{qkv}.inside.2", "scale"] == [{f"{qkv}.weight": (1,), f"{qkv}.bias": (1,), proj: (-1,)}]
    assert ("blocks.0.mlp.0", "scale") not in found  # GELU
    assert found["residual", "scale"][0] == {
        "blocks.0.norm1.weight": (1,),
        "blocks.0.norm1.bias": (1,),
        f"{qkv}.weight": (-1,),
    }


def test_recurrent_states_change_sign_with_the_gate_they_are_made_of() -> None:
    found = Case(ARCHITECTURES["gru"]()).found()
    gates = {f"recurrent.{name}_l1": (0, 0, 1) for name in ("weight_ih", "bias_ih", "bias_hh")}
    assert found["recurrent.2", "sign"] == [gates | {"recurrent.weight_hh_l1": (0, 0, 1, 1), "head.weight": (1,)}]
    torch.manual_seed(0)
    relu = case(nn.RNN(3, 6, nonlinearity="relu"), torch.randn(5, 2, 3))
    relu.check()
    assert relu.rescalings == ()  # the states are what comes out


# ---- factors --------------------------------------------------------------------------------------------------------


def test_factors_go_to_their_neurons_and_other_tensors_are_shared() -> None:
    found = Case(ARCHITECTURES["mlp"]())
    rescaling = found.rescalings[0]
    factors = torch.arange(1.0, 25.0)
    scaled = rescale(found.graph, rescaling, factors).tensors
    tensors = found.graph.tensors
    torch.testing.assert_close(scaled["0.weight"], tensors["0.weight"] * factors[:, None].double())
    torch.testing.assert_close(scaled["2.weight"], tensors["2.weight"] / factors.double())
    assert {name for name in tensors if scaled[name] is tensors[name]} == set(tensors) - set(rescaling.exponents)
    assert repr(rescaling) == "Rescaling(scale of 0: 0.weight +1; 0.bias +1; 2.weight -1)"


def test_each_head_has_factors_of_its_own() -> None:
    found = Case(ARCHITECTURES["vit_timm_style"]())
    (rescaling,) = (r for r in found.rescalings if r.group == "blocks.0.attn.qkv.inside" and r.kind == "scale")
    factors = random_factors(found.graph.structure, rescaling, torch.Generator().manual_seed(0))
    assert factors.shape == (4, 6)
    scaled = rescale(found.graph, rescaling, factors).tensors["blocks.0.attn.qkv.bias"].view(3, 4, 6)
    before = found.graph.tensors["blocks.0.attn.qkv.bias"].view(3, 4, 6)
    torch.testing.assert_close(scaled, before * torch.stack([factors, 1 / factors, torch.ones(4, 6)]))


def test_what_does_not_fit_is_refused() -> None:
    found = Case(ARCHITECTURES["mlp"]())
    scale = found.rescalings[0]
    for factors, message in (
        (torch.ones(7), r"0: expected floating-point factors \(24,\), got \(7,\)"),
        (torch.ones(24, dtype=torch.int64), "int64"),
        (torch.zeros(24), "positive and finite"),
        (-torch.ones(24), "positive and finite"),
        (torch.full((24,), torch.inf), "positive and finite"),
    ):
        with pytest.raises(ValueError, match=message):
            rescale(found.graph, scale, factors)
    with pytest.raises(ValueError, match="1 and -1"):
        rescale(found.graph, Rescaling("0", "sign", scale.exponents), torch.full((24,), 2.0))
    with pytest.raises(ValueError, match="free group"):
        rescale(found.graph, Rescaling("output:0", "scale", {}), torch.ones(5))
    with pytest.raises(ValueError, match=r"4.weight: expected 0 in its axes 1 times, found it 0 times"):
        rescale(found.graph, Rescaling("0", "scale", {"4.weight": (1,)}), torch.ones(24))
    with pytest.raises(ValueError, match="not that of this program"):
        rescalings(found.program, Case(ARCHITECTURES["siren"]()).graph.structure)

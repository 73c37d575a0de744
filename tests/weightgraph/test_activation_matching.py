"""Activation matching: shuffled networks are put back, what is not shown is matched by weights, barriers fall."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from graphlab.capture import CaptureError, capture
from graphlab.weightgraph import WeightGraph, equal_bytes
from graphlab.weightgraph.activation_matching import align_activations
from graphlab.weightgraph.align import Alignment
from graphlab.weightgraph.barrier import interpolation_barrier
from tests.architectures import ARCHITECTURES
from tests.weightgraph.test_align import another, graph_of, shuffled


def aligned(name: str, a: WeightGraph, b: WeightGraph, examples: int = 12) -> Alignment:
    """Aligned on random inputs: token ids as they are, numbers by the dozen."""
    example = ARCHITECTURES[name]()
    generator = torch.Generator().manual_seed(0)

    def more(tensor: Tensor) -> Tensor:
        shape = (examples, *tensor.shape[1:])
        return torch.randn(shape, generator=generator) if tensor.is_floating_point() else tensor

    args, kwargs = tuple(map(more, example.args)), {key: more(value) for key, value in example.kwargs.items()}
    return align_activations(a, b, capture(example.module, args, kwargs), args, kwargs)


@pytest.mark.parametrize(
    "name", ["mlp", "siren", "glu_mlp", "vgg", "resnet", "unet", "vit_timm_style", "swin", "bert_mlm", "gpt2", "llama"]
)
def test_a_shuffled_network_is_put_back_exactly(name: str) -> None:
    a = graph_of(ARCHITECTURES[name]())
    b = shuffled(a)
    result = aligned(name, a, b)
    assert equal_bytes(result.graph.state_dict(), a.state_dict())
    assert result.by_weights == ()
    assert result.distance_before > result.distance_after == 0
    assert result.objectives[-1] > result.objectives[0]


@pytest.mark.parametrize(
    ("name", "unseen"),
    [("lstm", {"recurrent"}), ("mixtral", {"model.layers.0.mlp.experts", "model.layers.1.mlp.experts"})],
)
def test_neurons_that_no_tensor_shows_are_matched_by_weights(name: str, unseen: set[str]) -> None:
    a = graph_of(ARCHITECTURES[name]())
    result = aligned(name, a, shuffled(a))
    assert set(result.by_weights) == unseen
    assert equal_bytes(result.graph.state_dict(), a.state_dict())


@pytest.mark.parametrize("name", ["resnet", "vit_timm_style", "mixtral"])
def test_an_unrelated_network_computes_what_it_did(name: str) -> None:
    example = ARCHITECTURES[name]()
    a = graph_of(example)
    b = another(a)
    result = aligned(name, a, b)
    assert equal_bytes(result.graph.state_dict(), b.permute(result.permutations).state_dict())
    program = capture(example.module, example.args, example.kwargs)
    with torch.no_grad():
        before, after = (
            program.run(graph.state_dict(), example.args, example.kwargs, torch.float64) for graph in (b, result.graph)
        )
    for counted in a.structure.counted:
        torch.testing.assert_close(after[counted], before[counted], rtol=1e-10, atol=1e-10)


def test_scales_and_signs_of_neurons_do_not_matter() -> None:
    """Correlations see through the scale of a ReLU neuron; weights would not."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 3))
    x = torch.randn(64, 4)
    a = WeightGraph.from_module(module, (x,))
    factors = torch.logspace(-2, 2, 32)
    scaled = {"0.weight": factors[:, None], "0.bias": factors, "2.weight": 1 / factors, "2.bias": torch.ones(3)}
    b = shuffled(WeightGraph(a.structure, {name: t * scaled[name] for name, t in a.tensors.items()}))
    found = align_activations(a, b, capture(module, (x,)), (x,)).graph.tensors["0.weight"]
    torch.testing.assert_close(found, a.tensors["0.weight"] * factors[:, None])


def test_the_barrier_of_networks_trained_apart_falls() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 6, generator=generator)
    target = torch.sin(x @ torch.randn(6, 2, generator=generator))

    def trained(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Linear(6, 128), nn.ReLU(), nn.Linear(128, 2))
        optimizer = torch.optim.Adam(module.parameters(), 1e-2)
        for _ in range(150):
            optimizer.zero_grad()
            F.mse_loss(module(x), target).backward()
            optimizer.step()
        return module

    modules = trained(1), trained(2)
    a, b = (WeightGraph.from_module(module, (x,)) for module in modules)
    result = align_activations(a, b, capture(modules[0], (x,)), (x,))

    def loss(state: dict[str, Tensor]) -> float:
        return float(F.mse_loss(functional_call(modules[0], state, (x,)), target))

    found = interpolation_barrier(a, b, loss, 11, aligned=result.graph)
    assert found.after.barrier < 0.7 * found.before.barrier


def test_what_cannot_be_aligned_is_refused() -> None:
    example = ARCHITECTURES["mlp"]()
    a, other = graph_of(example), graph_of(ARCHITECTURES["resnet"]())
    program = capture(example.module, example.args)
    with pytest.raises(ValueError, match="the structures differ"):
        align_activations(a, other, program, example.args)
    with pytest.raises(ValueError, match="not that of this program"):
        align_activations(other, other, program, example.args)
    with pytest.raises(CaptureError, match="expected a tensor of shape"):
        align_activations(a, a, program, (torch.randn(3, 11),))

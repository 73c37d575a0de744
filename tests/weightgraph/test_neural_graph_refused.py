"""What neural graphs refuse, and in what words; the published format of stacked weights."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from graphlab.weightgraph.layouts.layers import Conv, Layer, Linear, ResidualAttention, SetLinear
from graphlab.weightgraph.layouts.neural_graph import input_first, mlp_layers, neural_graph
from graphlab.weightgraph.wiring import WiringError

CONVS = [Conv("a", 1, 2, (3, 3)), Conv("b", 2, 2, (3, 3)), Conv("c", 2, 2, (3, 3))]

REFUSED: dict[str, tuple[list[Layer], dict[str, object], str]] = {
    "kernel": (
        CONVS,
        {"max_kernel": (1, 3)},
        r"a.weight: its kernel \[3, 3\] does not fit into the \[1, 3\] of an edge",
    ),
    "axes": (CONVS, {"max_kernel": (9,)}, r"its kernel \[3, 3\] does not fit into the \[9\]"),
    "mixed axes": ([*CONVS, Conv("d", 2, 2, (3,))], {}, "c and d are convolutions over different numbers of axes"),
    "forward": (
        CONVS,
        {"residuals": (-1, 2, -1)},
        "b: the residual of convolution 1 must come from an earlier one.*got 2",
    ),
    "self": (CONVS, {"residuals": (-1, -1, 2)}, "c: the residual of convolution 2"),
    "unknown": (CONVS, {"residuals": (-1, -1, 7)}, "c: the residual of convolution 2"),
    "negative": (CONVS, {"residuals": (-1, -1, -2)}, "c: the residual of convolution 2"),
    "preceding": (CONVS, {"residuals": (-1, -1, 1)}, "c: a residual from b, which it reads already"),
    "count": (CONVS, {"residuals": (-1, 0)}, r"for each of 3 convolutions, got \[-1, 0\]"),
    "width": ([Linear("a", 2, 3), Linear("b", 4, 1)], {}, "b: reads 4 activations, but the layers before it make 3"),
    "flattened": ([*CONVS, Linear("d", 8, 1)], {}, "d: reads 8 .* make 2; to draw a flattened map, say in which order"),
    "name": ([Linear("a", 2, 3), Linear("a", 3, 1)], {}, "two layers are called a"),
    "set": ([SetLinear("a", 2, 3)], {}, "a: SetLinear has no drawing as a neural graph"),
    "empty": ([], {}, "nothing to draw"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_drawn_is_refused_by_name(what: str) -> None:
    layers, options, reason = REFUSED[what]
    with pytest.raises(WiringError, match=reason):
        neural_graph(layers, **options)  # type: ignore[arg-type]


def test_unsupported_modules_are_named() -> None:
    with pytest.raises(WiringError, match=r"1 \(ConvTranspose2d\) has parameters"):
        neural_graph(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ConvTranspose2d(2, 1, 3)))
    with pytest.raises(WiringError, match="4 neurons cannot be divided among 3 heads"):
        ResidualAttention("0", 4, num_heads=3)


def stacked(*sizes: int) -> tuple[list[Tensor], list[Tensor]]:
    pairs = list(pairwise(sizes))
    return [torch.randn(3, *pair, 1) for pair in pairs], [torch.randn(3, pair[1], 1) for pair in pairs]


def test_the_published_format_is_that_of_torch_transposed() -> None:
    weights, biases = stacked(2, 5, 4, 1)
    tensors = input_first((2, 5, 4, 1), weights, [biases[0], None, biases[2]])
    assert torch.equal(tensors["1.weight"], weights[1].squeeze(-1).mT)
    assert tensors["1.weight"].data_ptr() == weights[1].data_ptr(), "a view"
    assert not tensors["1.bias"].any()
    wiring = neural_graph(mlp_layers((2, 5, 4, 1)))
    flat = torch.cat([weight.flatten(1) for weight in weights], dim=1)
    assert torch.equal(wiring.edge_values(tensors).squeeze(-1), flat)
    empty = {name: tensor[:0] for name, tensor in tensors.items()}
    assert wiring.edge_values(empty).shape == (0, wiring.num_edges, 1)


def test_weights_of_another_layout_are_refused() -> None:
    weights, biases = stacked(2, 5, 4, 1)
    with pytest.raises(WiringError, match=r"weight of layer 0: expected the shape \[3, 2, 4, 1\], got \[3, 2, 5, 1\]"):
        input_first((2, 4, 5, 1), weights, biases)
    turned = [weights[0], weights[1].transpose(1, 2), weights[2]]
    with pytest.raises(WiringError, match=r"weight of layer 1: .*torch's weights \[out, in\] must be transposed"):
        input_first((2, 5, 4, 1), turned, biases)
    with pytest.raises(WiringError, match=r"bias of layer 2: expected the shape \[3, 1, 1\], got \[2, 1, 1\]"):
        input_first((2, 5, 4, 1), weights, [*biases[:2], biases[2][:2]])
    with pytest.raises(WiringError, match="has 3 layers, got 3 weights and 2 biases"):
        input_first((2, 5, 4, 1), weights, biases[:2])
    tensors = input_first((2, 5, 4, 1), weights, biases)
    with pytest.raises(WiringError, match=r"0\.bias: what is drawn with the shape \[4\]"):
        neural_graph(mlp_layers((2, 4, 5, 1))).node_values(tensors)
    with pytest.raises(WiringError, match=r"0\.weight: what is drawn with the shape \[2, 4, 1\]"):
        neural_graph(mlp_layers((2, 4, 5, 1))).edge_values(tensors)


def test_batches_and_values_that_do_not_fit_are_refused() -> None:
    wiring = neural_graph(mlp_layers((2, 3, 1)))
    tensors = {"0.weight": torch.ones(4, 3, 2), "0.bias": torch.ones(4, 3), "1.weight": torch.ones(5, 1, 3)}
    tensors["1.bias"] = torch.ones(5, 1)
    with pytest.raises(WiringError, match=r"1\.weight: expected a batch of \[4\] networks, got \[5\]"):
        wiring.edge_values(tensors)
    with pytest.raises(WiringError, match=r"0\.weight: expected a tensor of 2 axes, got \[6\]"):
        wiring.edge_values({"0.weight": torch.ones(6), "1.weight": torch.ones(1, 3)})
    one = {name: tensor[0] for name, tensor in tensors.items()}
    edges = wiring.edge_values(one)
    with pytest.raises(WiringError, match=r"the values of 6 nodes, \[..., 6, 1\], got None"):
        wiring.read_back(edges, one)
    with pytest.raises(WiringError, match=r"the values of 6 nodes, .* got \(5, 1\)"):
        wiring.read_back(edges, one, torch.ones(5, 1))

"""Statistics of a data set applied to neural graphs, and the search for numbers that are none."""

from __future__ import annotations

import pytest
import torch

from graphlab.nn.models.neural_graphs import Statistics, check_finite
from graphlab.nn.models.wild_park import WildParkCNN
from graphlab.weightgraph.layouts.neural_graph import mlp_layers, neural_graph


def test_statistics_are_those_of_the_layer_and_leave_alone_what_is_no_parameter() -> None:
    net = WildParkCNN((1, 2, 2, 2), (3, 1, 1), 2, residual=(-1, -1, 0)).double()
    wiring, tensors = neural_graph(net.declare(), max_kernel=(3, 3), residuals=net.residual), net.state_dict()
    numbers = [1.0, 2.0, 3.0, 4.0]
    statistics = Statistics(numbers, [10.0, 20.0, 30.0, 40.0], numbers, [0.1, 0.2, 0.3, 0.4])
    nodes, edges = wiring.node_values(tensors), wiring.edge_values(tensors)
    kept = (nodes.clone(), edges.clone())
    scaled = statistics.apply(wiring, nodes, edges)
    assert torch.equal(nodes, kept[0])
    assert torch.equal(edges, kept[1]), "inputs are not written"
    by_hand = {}
    for number, name in enumerate(("layers.0", "layers.1", "layers.2", "fc")):
        by_hand[f"{name}.weight"] = (tensors[f"{name}.weight"] - numbers[number]) / statistics.weights_std[number]
        by_hand[f"{name}.bias"] = (tensors[f"{name}.bias"] - numbers[number]) / statistics.biases_std[number]
    assert torch.equal(scaled[0], wiring.node_values(by_hand))
    assert torch.equal(scaled[1], wiring.edge_values(by_hand)), "residual edges and the rim of kernels as they are"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"weights_std": [1.0, 0.0]}, "weights_std of layer 1: expected positive and finite, got 0.0"),
        ({"biases_std": [-1.0, 1.0]}, "biases_std of layer 0: expected positive"),
        ({"biases_mean": [float("nan"), 0.0]}, "biases_mean of layer 0: expected finite, got nan"),
        ({"weights_mean": [0.0]}, "as many numbers of each kind"),
    ],
)
def test_statistics_that_are_none_are_refused(change: dict[str, list[float]], reason: str) -> None:
    good = {"weights_mean": [0.0, 0.0], "weights_std": [1.0, 1.0], "biases_mean": [0.0, 0.0], "biases_std": [1.0, 1.0]}
    with pytest.raises(ValueError, match=reason):
        Statistics(**{**good, **change})
    wiring = neural_graph(mlp_layers((2, 3)))
    with pytest.raises(ValueError, match="expected statistics of 1 layers, got those of 2"):
        Statistics(**good).apply(wiring, torch.zeros(5, 1), torch.zeros(6, 1))


def test_numbers_that_are_none_are_named_by_network_and_layer() -> None:
    tensors = {"0.weight": torch.randn(3, 3, 2), "0.bias": torch.randn(3, 3), "1.weight": torch.randn(3, 1, 3)}
    networks = [{name: tensor[number] for name, tensor in tensors.items()} for number in range(3)]
    check_finite(tensors)
    check_finite(networks)
    tensors["1.weight"][2, 0, 1] = torch.nan  # views of it are in the list
    for own in (tensors, networks):
        with pytest.raises(ValueError, match=r"network 2: 1\.weight holds NaN or infinity"):
            check_finite(own)

"""Graph metanetworks in block form against the plain formulation on explicit edges."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.harness import Row

HIDDEN, LAYERS = 64, 4
GOAL = 5.0


def _resnet() -> nn.Sequential:
    """The published ResNet of width 32: 203 nodes, 34 730 edges."""
    from graphlab.nn.models.gmn.networks import ResidualConvBlock

    width = 32
    return nn.Sequential(
        nn.Conv2d(3, width, 5),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        ResidualConvBlock(width, width),
        ResidualConvBlock(width, width - 8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width - 8, 10),
    )


def _siren() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 32), nn.Linear(32, 32), nn.Linear(32, 1))


NETWORKS: dict[str, tuple[Callable[[], nn.Sequential], int]] = {
    "ResNet, 31k edges": (_resnet, 1),
    "16 MLPs 2-32-32-1": (_siren, 16),
}


def row(name: str, network: str) -> Row:
    """Inputs: the values of all edges, by network."""
    from torch_geometric.data import Batch

    from graphlab.nn.models.gmn import GMN, explicit
    from graphlab.nn.models.gmn.networks import READERS
    from graphlab.weightgraph import WeightGraphBatch
    from graphlab.weightgraph.layouts.parameter_graph import parameter_graph

    build, count = NETWORKS[network]
    torch.manual_seed(0)
    nets = [build() for _ in range(count)]
    wiring = parameter_graph(nets[0], readers=READERS)
    batch = WeightGraphBatch([(wiring, net.state_dict()) for net in nets])
    data = Batch.from_data_list([explicit(wiring, net.state_dict()) for net in nets])
    model = GMN(HIDDEN, LAYERS, 1, undirected=True)
    parameters = list(model.parameters())

    def ours(*_: Tensor) -> Tensor:
        return model(batch)

    def plain(*_: Tensor) -> Tensor:
        return _plain(model, data.x.float(), data.edge_index, data.edge_attr, data.batch, count)

    edges = data.num_edges * HIDDEN * 2 * 4e-9
    return Row(name, ours, {"explicit edges": plain}, tuple(parameters), edges * LAYERS, goals={"explicit edges": GOAL})


def _plain(model: Any, x: Tensor, index: Tensor, attr: Tensor, owner: Tensor, count: int) -> Tensor:
    """The model as its equations are written: gathers, concatenations, scatters."""
    from torch_geometric.utils import scatter

    encoder, gnn, readout = model.pre_encoder, model.gnn_w_readout.gnn, model.gnn_w_readout.readout
    parts = [
        encoder.node_layer_encoder(x[:, :1]),
        encoder.neuron_num_encoder(x[:, 1:2]),
        encoder.node_type_encoder(x[:, 2].long()),
    ]
    nodes = encoder.x_proj(torch.cat(parts, dim=1))
    parts = [
        encoder.weight_encoder(attr[:, :1]),
        encoder.edge_layer_encoder(attr[:, 1:2]),
        encoder.edge_type_encoder(attr[:, 2].long()),
        encoder.conv_pos_encoder(attr[:, 3:]),
    ]
    edges = encoder.edge_attr_proj(torch.cat(parts, dim=1))
    edges, index = torch.cat([edges, edges]), torch.cat([index, index.flip(0)], dim=1)
    source, target = index
    nodes, edges = gnn.node_embed(nodes), gnn.edge_embed(edges)
    for block in gnn.convs:
        x = nodes if block.node_norm is None else block.node_norm(nodes)
        e = block.conv.edge_model.edge_mlp(torch.cat([x[source], x[target], block.edge_norm(edges)], dim=1))
        if block.conv.node_model is not None:
            message = block.conv.node_model.node_mlp_1(torch.cat([x[source], e], dim=1))
            received = scatter(message, target, dim_size=len(x), reduce="mean")
            new = block.conv.node_model.node_mlp_2(torch.cat([x, received], dim=1))
            nodes = nodes + block.node_mlp(new)
        edges = edges + block.edge_mlp(e)
    edges = readout.pre_pool(gnn.final_layer(edges))
    result: Tensor = readout.post_pool(scatter(edges, owner[source], dim_size=count, reduce="mean"))
    return result


ROWS: dict[str, Callable[[], Row]] = {
    f"GMN, {network}": functools.partial(row, f"GMN, {network}", network) for network in NETWORKS
}

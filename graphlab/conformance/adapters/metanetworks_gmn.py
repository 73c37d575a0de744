"""Answers to the golden cases of graph metanetworks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.data import Data

from graphlab.conformance import Case, Results, adapter
from graphlab.nn.models.gmn import GMN, MPNN, Graph
from graphlab.nn.models.gmn.passes import started, value_map


@adapter("metanetworks", "gmn_forward")
def gmn_forward(case: Case) -> Results:
    model, data = _model(case).eval(), _data(case)
    graph = model.read(data)
    x, start = model.encode(graph)
    gnn_x, gnn_edge = model.gnn_w_readout.gnn(model.messages(graph), x, start)
    logits = model(data)
    return Results(
        {
            "encoded_x": x,
            "encoded_edge": torch.cat(started(graph, start)),
            "gnn_x": gnn_x,
            "gnn_edge": torch.cat(gnn_edge),
            "logits": logits,
            "out": logits.sigmoid(),
        }
    )


@adapter("metanetworks", "gmn_train")
def gmn_train(case: Case) -> Results:
    model, data, targets = _model(case).train(), _data(case), case.inputs["y"]
    optimizer = torch.optim.Adam(model.parameters(), lr=case.config["lr"])
    losses, results = [], {}
    for step in range(case.config["steps"]):
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(model(data), targets)
        loss.backward()
        if step == 0:
            results = {f"grad0/{name}": own.grad.clone() for name, own in model.named_parameters() if own.grad is not None}
        losses.append(loss.detach())
        optimizer.step()
    return Results(results | {"losses": torch.stack(losses), "final_out": model(data).sigmoid()})


@adapter("metanetworks", "gmn_plain_mpnn")
def gmn_plain_mpnn(case: Case) -> Results:
    config, data = case.config, _data(case)
    sizes = (config[name] for name in ("node_in", "edge_in", "hidden", "node_out", "edge_out", "layers"))
    model = MPNN(*sizes, batch_norm=config["batch_norm"], aggregation=config["reduce"]).to(data.x.dtype).eval()
    model.load_state_dict(case.params)
    x, (edge_attr,) = model(Graph.of_list(data.x, data.edge_index, data.edge_attr), data.x, value_map)
    return Results({"x": x, "edge_attr": edge_attr})


def _model(case: Case) -> GMN:
    config = case.config
    options = {name: config[name] for name in _OPTIONS if name in config}
    model = GMN(config["hidden_dim"], config["num_gnn_layers"], config["out_dim"], **options)
    model.to(case.inputs["edge_attr"].dtype).load_state_dict(case.params)
    return model


_OPTIONS = (
    "gnn_type",
    "num_heads",
    "undirected",
    "pool_type",
    "readout_layers",
    "pre_encoder",
    "pre_encoder_norms",
    "pre_encoder_post_activation",
    "pre_encoder_ff",
)


def _data(case: Case) -> Data:
    inputs: dict[str, Any] = {name: case.inputs[name] for name in ("x", "edge_index", "edge_attr", "batch") if name in case.inputs}
    return Data(**inputs)

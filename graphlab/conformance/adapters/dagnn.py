"""Answers to the golden cases of DAGNN."""

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional
from torch_geometric.data import Data

from graphlab.conformance import Case, Results, adapter
from graphlab.datasets import coauthor_split, load, planetoid_split
from graphlab.engine.rules import first_to_stop
from graphlab.nn.models.dagnn import DAGNN, AdaptivePropagation
from graphlab.ops.normalization import normalized_adjacency, symmetric_normalization
from graphlab.ops.propagate import hops
from graphlab.protocols.node_classification import NodeClassification, NodeClassificationConfig


@adapter("dagnn", "forward")
def forward(case: Case) -> Results:
    x, edge_index, nodes = case.inputs["x"], case.inputs["edge_index"], case.inputs["mask"].bool()
    model = _model(case, x.shape[1], case.config["num_classes"]).eval()
    z, log_probs = model.transform(x), model(x, edge_index).log_softmax(dim=-1)
    loss = functional.nll_loss(log_probs[nodes], case.inputs["y"][nodes])
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    norm_edge_index, norm = symmetric_normalization(edge_index, len(x), dtype=x.dtype)
    adj, weight = normalized_adjacency(edge_index, len(x), dtype=x.dtype)
    results = {
        "mlp_out": z,
        "norm_edge_index": norm_edge_index,
        "norm": norm,
        "hops": hops(adj, z, model.prop.K, weight).transpose(0, 1),
        "scores": model.gates(x, edge_index),
        "prop_out": model(x, edge_index),
        "log_probs": log_probs,
        "loss": loss,
    }
    return Results(
        results
        | {f"grad/{name}": gradient for (name, _), gradient in zip(model.named_parameters(), gradients, strict=True)}
    )


@adapter("dagnn", "propagation")
def propagation(case: Case) -> Results:
    x, edge_index, edge_weight = (case.inputs[name] for name in ("x", "edge_index", "edge_weight"))
    prop = AdaptivePropagation(x.shape[1], case.config["K"], gate_bias="proj.bias" in case.params).to(x.dtype)
    prop.load_state_dict(case.params)
    norm_edge_index, norm = symmetric_normalization(edge_index, len(x), edge_weight)
    out = prop(x, edge_index, edge_weight)
    return Results({"norm_edge_index": norm_edge_index, "norm": norm, "prop_out": out})


@adapter("dagnn", "train_trace")
def train_trace(case: Case) -> Results:
    masks = {name: mask.bool() for name, mask in case.inputs.items() if name.endswith("_mask")}
    results = _trace(case, Data(case.inputs["x"], case.inputs["edge_index"], y=case.inputs["y"], **masks), False)
    return Results(results | {"final_log_probs": results["log_probs_final"]})


@adapter("dagnn", "forward_train")
def forward_train(case: Case) -> Results:
    return Results(_trace(case, load(case.config["dataset"]), True))


@adapter("dagnn", "arxiv_variant_bn")
def arxiv_variant_bn(case: Case) -> Results:
    x, nodes = case.inputs["x"], torch.arange(len(case.inputs["x"]))
    train = torch.isin(nodes, case.inputs["train_idx"])
    val, test = nodes[~train].tensor_split(2)  # which the case does not look at
    graph = Data(x, case.inputs["edge_index"], y=case.inputs["y"], train_mask=train, val_mask=val, test_mask=test)
    return Results(_trace(case, graph, False, batch_norm=True))


def _trace(case: Case, graph: Data, normalize: bool, **options: Any) -> dict[str, Tensor]:
    """What the protocol's own steps give, from the case's parameters on."""

    class Given(NodeClassification):
        def load_graph(self) -> Data:
            return graph

    config = NodeClassificationConfig(
        case.name, normalize_features=normalize, lr=case.config["lr"], weight_decay=case.config["weight_decay"]
    )
    protocol = Given(config, lambda **sizes: _model(case, **sizes, **options), Fabric(accelerator="cpu", devices=1))
    protocol.setup(seed=0)
    protocol.optimizer.param_groups[0].update({key: case.config[key] for key in ("betas", "eps") if key in case.config})
    results, steps = {"log_probs_initial": _log_probs(protocol)}, []
    for _ in range(case.config["steps"]):
        protocol.model.train()
        step = protocol.train_epoch()
        protocol.model.eval()
        steps.append({**step, **{f"eval_{name}": value for name, value in protocol.evaluate().items()}})
    results |= {name: torch.tensor([step[name] for step in steps], dtype=torch.float64) for name in steps[0]}
    results |= {f"final_param/{name}": value for name, value in protocol.model.state_dict().items()}
    return results | {"log_probs_final": _log_probs(protocol)}


def _log_probs(protocol: NodeClassification) -> Tensor:
    scores: Tensor = protocol.model.eval()(protocol.x, protocol.edge_index)
    return scores.log_softmax(dim=-1)


def _model(case: Case, in_channels: int, out_channels: int, **options: Any) -> DAGNN:
    config = case.config
    options["gate_bias"] = "prop.proj.bias" in case.params
    model = DAGNN(in_channels, config["hidden"], out_channels, config["K"], config.get("dropout", 0.0), **options)
    if model.bn is not None:
        model.bn.momentum, model.bn.eps = config.get("bn_momentum", 0.1), config.get("bn_eps", 1e-5)
    model.to(case.params["lin1.weight"].dtype).load_state_dict(case.params)
    return model


@adapter("dagnn", "random_splits")
def random_splits(case: Case) -> Results:
    y, seed = case.inputs["y"], torch.Generator().manual_seed
    results: dict[str, Tensor] = {}
    for rule, split in {
        "planetoid": planetoid_split(y, seed(case.config["manual_seed_planetoid"])),
        "coauthor_amazon": coauthor_split(y, seed(case.config["manual_seed_coauthor_amazon"])),
        "lcc_reference": coauthor_split(
            y, seed(case.config["manual_seed_lcc"]), nodes=case.inputs["lcc_nodes"], compat=True
        ),
    }.items():
        results |= {f"{rule}/{name}_mask": mask for name, mask in split._asdict().items()}
    return Results(results)


@adapter("dagnn", "early_stopping")
def early_stopping(case: Case) -> Results:
    config = NodeClassificationConfig(case.name, epochs=case.config["epochs"], stop_after=case.config["early_stopping"])
    rules, selection = config.stopping_rules("val_loss"), NodeClassification.selection
    best_loss, best_epoch = None, 0
    for epoch, loss in enumerate(case.inputs["val_loss"].tolist(), start=1):
        if selection.improves(loss, best_loss):
            best_loss, best_epoch = loss, epoch
        if first_to_stop(rules, epoch, {"val_loss": loss}):
            break
    results = {"last_epoch": epoch, "best_epoch": best_epoch}
    reported = case.inputs["test_acc"][best_epoch - 1]
    return Results({name: torch.tensor(value) for name, value in results.items()} | {"reported_test_acc": reported})

"""Answers to the golden cases of metanetworks: DWSNets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from graphlab.conformance import Case, Results, adapter
from graphlab.nn.info_nce import info_nce_logits
from graphlab.nn.models.dws import DWSClassifier, DWSLayer, DWSNet, InvariantHead, NaiveInvariantHead
from graphlab.weightgraph.mlp_weights import MLPWeights

_OPTIONS = ("reduction", "set_layer", "num_heads", "n_fc_layers", "diagonal")
_NETWORK = ("hidden_dim", "n_hidden", "add_skip", "add_layer_skip", "input_dim_downsample", *_OPTIONS)


@adapter("metanetworks", "dws_classifier")
def classifier(case: Case) -> Results:
    model, x = _classifier(case).eval(), networks(case)
    results = {f"equiv.{name}": value for name, value in model.layers(x).named().items()}
    return Results({**results, "logits": model(x), "logits_permuted_input": model(_permuted(case))})


@adapter("metanetworks", "dws_train")
def train(case: Case) -> Results:
    model, x, losses = _classifier(case).train(), networks(case), []
    optimizer = torch.optim.AdamW(
        model.parameters(), case.config["lr"], weight_decay=case.config["weight_decay"], amsgrad=True
    )
    for _ in range(case.config["steps"]):
        loss = F.cross_entropy(model(x), case.inputs["y"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return Results({"losses": torch.stack(losses), "eval_logits": model.eval()(x)})


@adapter("metanetworks", "dws_equivariant")
@adapter("metanetworks", "dws_diagonal")
@adapter("metanetworks", "dws_downsample")
def equivariant(case: Case) -> Results:
    config = case.config
    model = DWSNet(config["dims"], config["input_features"], **_given(config, _NETWORK), **_widths(config))
    _load(model, case)
    model.eval()
    permuted = {f"permuted.{name}": value for name, value in model(_permuted(case)).named().items()}
    return Results({**model(networks(case)).named(), **permuted})


@adapter("metanetworks", "dws_layer_blocks")
def layer_blocks(case: Case) -> Results:
    config, x = case.config, networks(case)
    options = {**_given(config, _OPTIONS), "add_layer_skip": config.get("add_skip", False)}
    layer = DWSLayer(config["dims"], config["in_features"], config["out_features"], **options)
    _load(layer, case)
    results = {f"layer.{name}": value for name, value in layer(x).named().items()}
    for own, part in layer.parts(x).items():
        total = f"{own.block}.{own.target.index}"
        results[f"{own.block}.part.{own.name}"] = part
        results[total] = results[total] + part if total in results else part
    return Results(results)


@adapter("metanetworks", "dws_heads")
def heads(case: Case) -> Results:
    config, x, results = case.config, networks(case), {}
    for name, kind in (("invariant", InvariantHead), ("naive_invariant", NaiveInvariantHead)):
        options = _given(config, ("reduction", "n_fc_layers"))
        head = kind(config["dims"], config["in_features"], config["out_features"], **options)
        _load(head, case, f"{name}/")
        results[name] = head(x)
    return Results(results)


@adapter("metanetworks", "dws_info_nce")
def info_nce(case: Case) -> Results:
    logits, labels = info_nce_logits(case.inputs["features"], case.config["temperature"])
    return Results({"logits": logits, "labels": labels, "loss": F.cross_entropy(logits, labels)})


def networks(case: Case, prefix: str = "") -> MLPWeights:
    """The networks that a case holds."""
    layers = range(len(case.config["dims"]) - 1)
    weights, biases = ([case.inputs[f"{prefix}{kind}.{i}"] for i in layers] for kind in ("weights", "biases"))
    return MLPWeights.of(weights, biases)


def _permuted(case: Case) -> MLPWeights:
    x = networks(case)
    return x.permute([case.inputs[f"perm.{layer}"] for layer in range(x.num_layers - 1)])


def _classifier(case: Case) -> DWSClassifier:
    config = case.config
    options = _given(config, (*_NETWORK, "n_out_fc", "equiv_out_features"))
    bn = config.get("bn", False)
    model = DWSClassifier(config["dims"], config["n_classes"], config["input_features"], bn=bn, **options)
    _load(model, case)
    return model


def _widths(config: dict[str, Any]) -> dict[str, Any]:
    return {"out_features": config.get("output_features"), "bn": config.get("bn", False)}


def _given(config: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: config[name] for name in names if name in config}


def _load(model: torch.nn.Module, case: Case, prefix: str = "") -> None:
    state: dict[str, Tensor] = {
        name.removeprefix(prefix): value for name, value in case.params.items() if name.startswith(prefix)
    }
    model.to(case.inputs["weights.0"].dtype).load_state_dict(state)

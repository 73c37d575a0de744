"""Answers to the golden cases of metanetworks: augmentations, and images in the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphlab.conformance import Case, Results, adapter
from graphlab.conformance.adapters.metanetworks_dws import networks
from graphlab.engine.warmup import linear_warmup
from graphlab.nn.models.siren import pixel_grid, sirens
from graphlab.weightgraph import augment
from graphlab.weightgraph.augment import Mixed
from graphlab.weightgraph.mlp_weights import MLPWeights


@adapter("metanetworks", "aug_single")
def single(case: Case) -> Results:
    config, inputs, x = case.config, case.inputs, networks(case)
    results = {"function": _function(case, x)}
    for name, made in _augmented(case, x).items():
        results |= _named(name, made)
        results[f"function_{name}"] = _function(case, made)
    results["quantile/threshold"] = augment.quantile_threshold(x, inputs["quantile/q"])
    results["label_smoothing"] = augment.label_smoothing(
        inputs["label_smoothing/label"], config["classes"], config["smoothing"], x.weights[0].dtype
    )
    return Results(results)


def _augmented(case: Case, x: MLPWeights) -> dict[str, MLPWeights]:
    """What each augmentation makes of the networks, given its draws."""
    config, inputs = case.config, case.inputs
    hidden = range(x.num_layers - 1)
    made = {
        "dropout": augment.dropout(x, config["drop_rate"], keep=networks(case, "dropout/keep.")),
        "translate": augment.translate(x, shift=inputs["translate/shift"], depth=inputs["translate/depth"]),
        "gaussian_noise": augment.gaussian_noise(
            x, config["noise_scale"], normal=networks(case, "gaussian_noise/standard_normal.")
        ),
        "scale": augment.scale(x, config["resize_scale"], u=inputs["scale/uniform"]),
        "quantile": augment.quantile(x, q=inputs["quantile/q"]),
        "siren_negation": augment.siren_negation(x, negate=[inputs[f"siren_negation/negate.{i}"] for i in hidden]),
        "siren_bias": augment.siren_bias(x, w0=config.get("w0", 30), k=[inputs[f"siren_bias/k.{i}"] for i in hidden]),
    }
    if "rotate/angle_degrees" in inputs:
        made["rotate"] = augment.rotate(x, angle=inputs["rotate/angle_degrees"])
    return made


@adapter("metanetworks", "aug_mixup")
def mixup(case: Case) -> Results:
    inputs, a, b = case.inputs, networks(case, "a."), networks(case, "b.")
    alphas = {name: inputs[f"{name}/alpha"] for name in ("direct", "weights_only", "permuted", "aligned")}
    permutations = [inputs[f"permuted/perm.{layer}"] for layer in range(a.num_layers - 1)]
    orders = inputs["aligned/visit_order"]
    made: dict[str, Mixed] = {
        "direct": augment.mixup(a, b, alpha=alphas["direct"]),
        "weights_only": augment.mixup_weights_only(a, b, alpha=alphas["weights_only"]),
        "permuted": augment.mixup_permuted(a, b, alpha=alphas["permuted"], permutations=permutations),
        "aligned": augment.mixup_aligned(a, b, alpha=alphas["aligned"], orders=orders),
    }
    results: dict[str, Tensor] = {}
    for name, mixed in made.items():
        results |= {**_named(name, mixed.x), f"{name}/alpha": mixed.weight}
    aligned = made["aligned"].alignment
    assert aligned is not None
    results |= {f"aligned/perm.{layer}": order[0] for layer, order in enumerate(aligned.permutations)}
    found = {"last_iteration": aligned.last_sweep, "objective_before": aligned.before, "objective_after": aligned.after}
    return Results(results | {f"aligned/{name}": value[0] for name, value in found.items()})


@adapter("metanetworks", "dws_legacy_augment")
def legacy(case: Case) -> Results:
    inputs, drawn = case.inputs, {"rotation_degree": "rotation_angle_degrees", "pos_scale": "positive_scale.0"}
    stacked = {name: value[None, ..., None] for name, value in inputs.items()}
    layers = range(sum(name.startswith("weights.") for name in inputs))
    weights, biases = ([stacked[f"{kind}.{i}"] for i in layers] for kind in ("weights", "biases"))
    scales = {name: case.config[name] for name in ("noise_scale", "resize_scale")}
    x = augment.legacy_augment(
        MLPWeights.of(weights, biases),
        **scales,
        **{scale: 0.0 for scale, draw in drawn.items() if draw not in inputs},  # nothing drawn: nothing done
        shift=stacked["translation"],
        depth=inputs["translation_depth"],
        angle=inputs.get("rotation_angle_degrees"),
        u=inputs["resize_uniform"],
        factors=[stacked[f"positive_scale.{i}"] for i in layers[:-1]] if "positive_scale.0" in inputs else None,
    )
    return Results({name: value[0, ..., 0] for name, value in x.named().items()})


@adapter("metanetworks", "aug_warmup_lr")
def warmup(case: Case) -> Results:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], case.inputs["base_lr"].item())
    schedule, rates = linear_warmup(optimizer, case.config["warmup_steps"]), []
    for _ in range(case.config["steps"]):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return Results({"lr": torch.tensor(rates, dtype=torch.float64)})


@adapter("metanetworks", "inr_image")
def image(case: Case) -> Results:
    x, shape = networks(case), case.config["shape"]
    coords = pixel_grid(*reversed(shape)).to(x.weights[0])  # the reference misreads the grid of an image not square
    values = sirens(x.stacked(), coords)[0]
    return Results({"coords": coords, "values": values, "image": values.t().unflatten(1, shape)})


def _named(name: str, x: MLPWeights) -> dict[str, Tensor]:
    return {f"{name}/{key}": value for key, value in x.named().items()}


def _function(case: Case, x: MLPWeights) -> Tensor:
    """What the first network answers."""
    options: dict[str, Any] = {"w0": case.config.get("w0", 30.0)}
    return sirens(x.stacked(), case.inputs["coords"], **options)[0]

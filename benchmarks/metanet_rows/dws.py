"""DWSNets against their plain formulation: each map pools for itself, and its result is added at full size."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.harness import Row
from graphlab.nn.models.dws import DWSClassifier, DWSLayer
from graphlab.nn.models.dws.places import REDUCTIONS
from graphlab.nn.models.dws.pointwise import BatchNorm, ReLU
from graphlab.nn.models.dws.sets import Attention, DeepSets, SelfAttention, SetLayer
from graphlab.weightgraph.mlp_weights import MLPWeights

CASES: dict[str, dict[str, Any]] = {
    "2-32-32-1, attention, max": {"dims": (2, 32, 32, 1), "set_layer": "sab", "reduction": "max"},
    "2-32-32-1, DeepSets, mean": {"dims": (2, 32, 32, 1), "set_layer": "ds", "reduction": "mean"},
    "2-32-32-32-32-1, attention, max": {"dims": (2, 32, 32, 32, 32, 1), "set_layer": "sab", "reduction": "max"},
}
BATCH = 64
GOAL = 10.0


def row(name: str, dims: Sequence[int], **options: Any) -> Row:
    """A step without its optimiser: forward and backward, from 64 networks to scores.

    Outputs are equal to 1e-5, and gradients in float64 to 1e-9. In float32 a maximum, or a ReLU, may decide otherwise
    by the last bit of a sum, so that gradients differ in the fourth decimal, the more so with the statistics of a
    batch: batch normalisation has fixed ones. Inputs are the model's parameters, then weights and biases.
    """
    torch.manual_seed(0)
    model = DWSClassifier(dims, 10, **options)
    parameters = dict(model.named_parameters())
    weights = [torch.randn(BATCH, *sizes, 1) for sizes in pairwise(dims)]
    biases = [torch.randn(BATCH, width, 1) for width in dims[1:]]
    model(MLPWeights.of(weights, biases))
    model.eval()
    check(model, MLPWeights.of([own[:4] for own in weights], [own[:4] for own in biases]))

    def call(function: Callable[[DWSClassifier, MLPWeights], Tensor], *inputs: Tensor) -> Tensor:
        given, networks = inputs[: len(parameters)], inputs[len(parameters) :]
        x = MLPWeights(networks[: len(weights)], networks[len(weights) :])
        state = dict(zip(parameters, given, strict=True))
        answer: Tensor = torch.func.functional_call(
            _Call(model, function), {f"model.{n}": p for n, p in state.items()}, (x,)
        )
        return answer

    inputs = (*(own.detach().requires_grad_() for own in parameters.values()), *weights, *biases)
    ours, plain = (functools.partial(call, function) for function in (_ours, plain_classifier))
    size = sum(own.numel() for own in weights) * model.clf.layer[0].in_features * 4e-9
    return Row(
        name, ours, {"plain": plain}, inputs, size, tolerance=1e-3, goals={"plain": GOAL}, memory={"plain": 0.25}
    )


def check(model: DWSClassifier, x: MLPWeights) -> None:
    """That the plain formulation is the model."""
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-9)):
        model, x = copy.deepcopy(model).to(dtype), x.map(lambda own: own.to(dtype))  # noqa: B023
        results = []
        for function in (_ours, plain_classifier):
            answer = function(model, x)
            exact = dtype == torch.float64
            found = torch.autograd.grad(answer.square().sum(), list(model.parameters())) if exact else ()
            results.append((answer.detach(), *found))
        for ours, theirs in zip(*results, strict=True):
            assert float((ours - theirs).abs().max()) <= tolerance * float(theirs.abs().max() + 1)


class _Call(nn.Module):
    def __init__(self, model: DWSClassifier, function: Callable[[DWSClassifier, MLPWeights], Tensor]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, x: MLPWeights) -> Tensor:
        return self.function(self.model, x)


def _ours(model: DWSClassifier, x: MLPWeights) -> Tensor:
    return model(x)


def plain_classifier(model: DWSClassifier, x: MLPWeights) -> Tensor:
    """The model's answers, by its parameters."""
    for module in model.layers.layers:
        match module:
            case DWSLayer():
                x = plain_layer(module, x)
            case BatchNorm():
                norms = (*module.weights_bn, *module.biases_bn)
                made = [
                    norm(own.flatten(1, -2).transpose(1, 2)).transpose(1, 2).reshape(own.shape)
                    for norm, own in zip(norms, x.tensors(), strict=True)
                ]
                x = MLPWeights(tuple(made[: x.num_layers]), tuple(made[x.num_layers :]))
            case ReLU():
                x = x.map(F.relu)
    return model.clf(x.map(F.relu))


def plain_layer(layer: DWSLayer, x: MLPWeights) -> MLPWeights:
    """Map by map, from its own pooled input to the whole target."""
    totals: dict[tuple[str, int], Tensor] = {}
    for own, over, module, share in layer.terms:
        source = x.weights[own.source.index] if own.source.kind == "weight" else x.biases[own.source.index]
        part = share * _applied(module, own.source.pooled(own.source.as_set(source), over, layer.reduction))
        key = own.target.kind, own.target.index
        shape = (len(x), *(layer.dims[at] for at in own.target.axes), layer.out_features)
        part = own.target.as_tensor(part, over, own.whole).expand(shape).contiguous()
        totals[key] = totals[key] + part if key in totals else part
    count = x.num_layers
    made = [totals[kind, index] / (2 * count) for kind in ("weight", "bias") for index in range(count)]
    return MLPWeights(tuple(made[:count]), tuple(made[count:]))


def _applied(module: nn.Module, x: Tensor) -> Tensor:
    match module:
        case SetLayer(set_layer=DeepSets() as sets):
            return sets.Gamma(x) - sets.Lambda(REDUCTIONS[sets.reduction](x, 1, keepdim=True))
        case SetLayer(set_layer=SelfAttention(mab=Attention() as block)):
            width = block.fc_o.in_features
            size = width // block.num_heads
            q, k, v = (torch.cat(fc(x).split(size, 2)) for fc in (block.fc_q, block.fc_k, block.fc_v))
            attended = q + ((q @ k.transpose(1, 2)) / sqrt(width)).softmax(2) @ v
            o = torch.cat(attended.split(len(x)), 2)
            return o + block.fc_o(o).relu()
    result: Tensor = module(x)
    return result


ROWS: dict[str, Callable[[], Row]] = {
    f"DWSNet {name}": functools.partial(row, f"DWSNet {name}", **options) for name, options in CASES.items()
}

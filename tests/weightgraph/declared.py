"""Networks as declared layers, and tensors for their parameters."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from graphlab.weightgraph.layouts.layers import (
    Conv,
    Layer,
    Linear,
    Norm,
    ResidualAttention,
    ResidualConv,
    ResidualFFN,
)


@st.composite
def networks(draw: st.DrawFn) -> list[Layer]:
    """Convolutions, norms and residual blocks, then perceptrons, norms, attention."""
    size, layers = st.integers(1, 4), list[Layer]()
    width = draw(size)
    for number in range(draw(st.integers(0, 3))):
        made, bias = draw(size), draw(st.booleans())
        match draw(st.sampled_from(["conv", "block", "norm"])):
            case "conv":
                kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
                layers.append(Conv(f"c{number}", width, made, kernel, bias))
                width = made
            case "block":
                layers.append(ResidualConv(f"c{number}", width, made, projected=True))
                width = made
            case "norm":
                layers.append(Norm(f"c{number}", "bn", width, weight=draw(st.booleans())))
    if layers:
        width *= draw(st.integers(1, 3))
    for number in range(draw(st.integers(1, 3))):
        made, bias = draw(size), draw(st.booleans())
        match draw(st.sampled_from(["linear", "norm", "attention", "ffn"])) if number else "linear":
            case "linear":
                layers.append(Linear(f"l{number}", width, made, bias))
                width = made
            case "norm":
                layers.append(Norm(f"l{number}", "ln", width, bias=bias))
            case "attention":
                layers.append(ResidualAttention(f"l{number}", width, bias, num_heads=width if bias else 1))
            case "ffn":
                layers.append(ResidualFFN(f"l{number}", width, made))
    return layers


def shapes(layers: list[Layer]) -> dict[str, tuple[int, ...]]:
    """Of the parameters of layers."""
    found: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        match layer:
            case Linear():
                found[f"{layer.name}.weight"] = (layer.out_features, layer.in_features)
                found[f"{layer.name}.bias"] = (layer.out_features,)
            case Conv():
                found[f"{layer.name}.weight"] = (layer.out_channels, layer.in_channels, *layer.kernel)
                found[f"{layer.name}.bias"] = (layer.out_channels,)
            case Norm():
                found |= dict.fromkeys(layer.parameters, (layer.features,))
            case ResidualConv():
                pairs = (*layer.branch, *((layer.shortcut,) if layer.shortcut else ()))
                found |= shapes([own for pair in pairs for own in pair])
            case ResidualAttention():
                weight, bias = layer.packed
                found |= {weight: (3 * layer.embed_dim, layer.embed_dim), bias: (3 * layer.embed_dim,)}
                found |= shapes([layer.out])
            case ResidualFFN():
                found |= shapes(list(layer.branch))
            case _:
                raise NotImplementedError
    names = {name for layer in layers for name in layer.parameters}
    return {name: shape for name, shape in found.items() if name in names}


def ones(layers: list[Layer]) -> dict[str, Tensor]:
    return {name: torch.ones(shape) for name, shape in shapes(layers).items()}


def random(layers: list[Layer], batch: tuple[int, ...] = ()) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(*batch, *shape, generator=generator) for name, shape in shapes(layers).items()}


def blank(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.full_like(tensor, torch.nan) for name, tensor in tensors.items()}

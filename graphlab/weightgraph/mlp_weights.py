"""``MLPWeights``: the weights and biases of many multilayer perceptrons of one layout, stacked, the input unit first.

>>> x = MLPWeights.of(weights, biases)  # [B, d_i, d_{i+1}, f] and [B, d_{i+1}, f]
>>> x.dims
(2, 32, 32, 1)
>>> x.permute([torch.randperm(32), torch.randperm(32)])  # the same functions

This is the format of the published data of implicit representations, the transpose of what ``torch.nn.Linear`` holds,
with ``f`` features an entry: 1 for parameters themselves, more inside of a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class MLPWeights(NamedTuple):
    """Stacked weights ``[B, d_i, d_{i+1}, f]`` and biases ``[B, d_{i+1}, f]`` for i = 0, ..., L-1."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    @classmethod
    def of(cls, weights: Iterable[Tensor], biases: Iterable[Tensor]) -> MLPWeights:
        """From lists.

        Raises:
            ValueError: naming the tensor, if there is no layer, or shapes, dtypes or devices do not fit together.
        """
        found = cls(tuple(weights), tuple(biases))
        if not found.weights or len(found.weights) != len(found.biases):
            raise ValueError(
                f"expected as many weights as biases, at least one, got {len(found.weights)} and {len(found.biases)}"
            )
        first = found.weights[0]
        if first.dim() != 4:
            raise ValueError(f"weights.0: expected [batch, d_0, d_1, features], got {list(first.shape)}")
        batch, width, _, features = first.shape
        for layer, (weight, bias) in enumerate(zip(found.weights, found.biases, strict=True)):
            n_out = weight.shape[2] if weight.dim() == 4 else 0
            _check(f"weights.{layer}", weight, (batch, width, n_out, features), first)
            _check(f"biases.{layer}", bias, (batch, n_out, features), first)
            width = n_out
        return found

    @classmethod
    def of_stacked(cls, tensors: Mapping[str, Tensor]) -> MLPWeights:
        """From ``l.weight`` ``[B, d_{l+1}, d_l]`` and ``l.bias`` ``[B, d_{l+1}]``, l = 0, 1, ..., as torch has them.

        The tensors are views. A missing bias is zero.

        Raises:
            ValueError: for other names, or shapes that do not fit together.
        """
        depth = sum(name.endswith(".weight") for name in tensors)
        unknown = set(tensors) - {f"{layer}.{kind}" for layer in range(depth) for kind in ("weight", "bias")}
        if unknown or any(f"{layer}.weight" not in tensors for layer in range(depth)):
            raise ValueError(f"expected 0.weight, 0.bias, 1.weight, ..., got {', '.join(tensors)}")
        weights = [tensors[f"{layer}.weight"].transpose(-1, -2).unsqueeze(-1) for layer in range(depth)]
        biases = [
            tensors[f"{layer}.bias"].unsqueeze(-1)
            if f"{layer}.bias" in tensors
            else weight.new_zeros(weight.shape[0], *weight.shape[2:])
            for layer, weight in enumerate(weights)
        ]
        return cls.of(weights, biases)

    def stacked(self) -> dict[str, Tensor]:
        """The inverse of :meth:`of_stacked`; views.

        Raises:
            ValueError: if entries have more than one feature.
        """
        if self.features != 1:
            raise ValueError(f"expected parameters, 1 feature an entry, got {self.features}")
        found = {}
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            found[f"{layer}.weight"] = weight.squeeze(-1).transpose(1, 2)
            found[f"{layer}.bias"] = bias.squeeze(-1)
        return found

    @property
    def dims(self) -> tuple[int, ...]:
        """``(d_0, ..., d_L)``."""
        return (self.weights[0].shape[1], *(weight.shape[2] for weight in self.weights))

    @property
    def num_layers(self) -> int:
        """L."""
        return len(self.weights)

    @property
    def features(self) -> int:
        return self.weights[0].shape[-1]

    def __len__(self) -> int:
        """Networks in the batch."""
        return len(self.weights[0])

    def tensors(self) -> tuple[Tensor, ...]:
        """The weights, then the biases."""
        return (*self.weights, *self.biases)

    def named(self) -> dict[str, Tensor]:
        """``weights.i`` and ``biases.i``."""
        return {
            f"{kind}.{layer}": tensor
            for kind, tensors in zip(("weights", "biases"), (self.weights, self.biases), strict=True)
            for layer, tensor in enumerate(tensors)
        }

    def map(self, function: Callable[..., Tensor], *others: MLPWeights) -> MLPWeights:
        """What a function makes of each tensor, and of the tensors in the same place of others."""
        made = [function(*own) for own in zip(self.tensors(), *(other.tensors() for other in others), strict=True)]
        return MLPWeights(tuple(made[: self.num_layers]), tuple(made[self.num_layers :]))

    def permute(self, permutations: Sequence[Tensor]) -> MLPWeights:
        """The hidden neurons in another order: new neuron j of hidden layer k is old neuron ``permutations[k][j]``.

        Args:
            permutations: For each of the L-1 hidden layers, int64 ``[d_{k+1}]``, or ``[B, d_{k+1}]`` for an order of
                each network's own.

        Raises:
            ValueError: naming the layer, for what is no permutation of its neurons.
        """
        self._check_permutations(permutations)
        weights, biases = list(self.weights), list(self.biases)
        for layer, order in enumerate(permutations):
            weights[layer] = taken(weights[layer], order, 2)
            biases[layer] = taken(biases[layer], order, 1)
            weights[layer + 1] = taken(weights[layer + 1], order, 1)
        return MLPWeights(tuple(weights), tuple(biases))

    def random_permutations(self, generator: torch.Generator | None = None) -> list[Tensor]:
        """int64 ``[B, d_k]`` for each hidden layer: a uniformly random order of each network's own."""
        device = self.weights[0].device
        return [
            torch.rand(len(self), width, generator=generator, device=device).argsort(dim=-1)
            for width in self.dims[1:-1]
        ]

    def _check_permutations(self, permutations: Sequence[Tensor]) -> None:
        hidden = self.dims[1:-1]
        if len(permutations) != len(hidden):
            raise ValueError(f"expected permutations of {len(hidden)} hidden layers, got {len(permutations)}")
        for layer, (order, width) in enumerate(zip(permutations, hidden, strict=True)):
            shapes = ((width,), (len(self), width))
            places = torch.arange(width, device=order.device)
            if tuple(order.shape) not in shapes or not torch.equal(order.sort(-1).values, places.expand(order.shape)):
                raise ValueError(
                    f"hidden layer {layer}: expected permutations of {width} neurons, {list(shapes[0])} or "
                    f"{list(shapes[1])}, got {list(order.shape)}"
                )


def dims_of(dims: Sequence[int]) -> tuple[int, ...]:
    """``(d_0, ..., d_L)``, checked.

    Raises:
        ValueError: for fewer than two sizes, or one that is not positive.
    """
    if len(dims) < 2 or min(dims) < 1:
        raise ValueError(f"expected the sizes d_0, ..., d_L of one layer or more, all positive, got {list(dims)}")
    return tuple(dims)


def taken(tensor: Tensor, order: Tensor, axis: int) -> Tensor:
    """Entries along an axis in another order, ``[size]``, or ``[B, size]`` for one of each row's own."""
    if order.dim() == 1:
        return tensor.index_select(axis, order)
    shape = [1] * tensor.dim()
    shape[0], shape[axis] = order.shape
    return tensor.take_along_dim(order.view(shape), axis)


def _check(name: str, tensor: Tensor, shape: tuple[int, ...], first: Tensor) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name}: expected the shape {list(shape)}, got {list(tensor.shape)}")
    if tensor.dtype != first.dtype or tensor.device != first.device:
        raise ValueError(
            f"{name}: expected {first.dtype} on {first.device} as weights.0, got {tensor.dtype} on {tensor.device}"
        )

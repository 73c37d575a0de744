"""Permuting neurons: what a permutation of node groups does to a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import torch
from torch import Tensor

from graphlab.weightgraph.axes import Axis, Group, Product, groups
from graphlab.weightgraph.structure import Structure

Permutations = Mapping[str, Tensor]
"""Group name -> int64 ``[*sizes of the groups around it, size]``: the old index at each new one, last axis a
permutation."""


def random_permutations(
    structure: Structure, names: Sequence[str] | None = None, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """A uniformly random permutation of each free group named (default: all), drawn apart for each set of neurons."""
    chosen = [structure.groups[name] for name in names] if names is not None else structure.free
    return {
        group.name: torch.rand(table_shape(structure, group), generator=generator).argsort(dim=-1) for group in chosen
    }


def table_shape(structure: Structure, group: Group) -> tuple[int, ...]:
    """Shape of a permutation of the group: the sizes of the groups that it is inside of, then its own."""
    return (*(structure.groups[name].size for name in group.within), group.size)


def check_permutations(structure: Structure, permutations: Permutations) -> None:
    """Raises ``ValueError``, naming every permutation that does not fit the structure."""
    wrong = []
    for name, table in permutations.items():
        group = structure.groups.get(name)
        if group is None:
            wrong.append(f"{name}: no such group")
        elif not group.free:
            wrong.append(f"{name}: its neurons are fixed ({group.reason})")
        elif tuple(table.shape) != table_shape(structure, group) or table.is_floating_point():
            wrong.append(
                f"{name}: expected integers {table_shape(structure, group)}, got {tuple(table.shape)} {table.dtype}"
            )
        elif not torch.equal(table.sort(dim=-1).values, torch.arange(group.size).expand(table.shape)):
            wrong.append(f"{name}: not a permutation of {group.size} neurons")
    if wrong:
        raise ValueError("permutations that do not fit the structure:\n  " + "\n  ".join(wrong))


def permute_tensor(tensor: Tensor, axes: Sequence[Axis], permutations: Permutations) -> Tensor:
    """``new[i, j, ...] = old[p(i), q(j), ...]`` along the axes given; ``tensor`` itself if untouched."""
    touched = [dim for dim, axis in enumerate(axes) if any(group.name in permutations for group in groups(axis))]
    if not touched:
        return tensor
    around = {dim: _groups_around(axes, dim, permutations) for dim in touched}
    if not any(around.values()):
        for dim in touched:
            index = _old_positions(axes[dim], {}, permutations, ())
            tensor = tensor.index_select(dim, index.to(tensor.device))
        return tensor
    indices = []
    for dim, axis in enumerate(axes):
        outer = {name: other for name, other in around.get(dim, {}).items() if other != dim}
        others = sorted(set(outer.values()))
        lead = tuple(axes[other].size for other in others)
        context = {}
        for name, other in outer.items():
            shape = [1] * len(others)
            shape[others.index(other)] = -1
            context[name] = _index_of(axes[other], name).view(shape)
        index = _old_positions(axis, context, permutations, lead) if dim in around else torch.arange(axis.size)
        shape = [axes[d].size if d in others or d == dim else 1 for d in range(len(axes))]
        order = sorted(range(len(others) + 1), key=lambda position: [*others, dim][position])
        indices.append(index.permute(order).reshape(shape).to(tensor.device))
    return tensor[tuple(indices)]


def neuron_at(axis: Axis, name: str) -> Tensor:
    """int64 ``[axis.size]``: which neuron of the group stands at each position, -1 where none does."""
    if isinstance(axis, Group):
        return torch.arange(axis.size) if axis.name == name else torch.full((axis.size,), -1)
    if isinstance(axis, Product):
        found = torch.full((1,), -1)
        for factor in axis.factors:
            inner = neuron_at(factor, name)
            found = torch.where(inner < 0, found.unsqueeze(-1), inner).flatten()
        return found
    return torch.cat([neuron_at(term, name) for term in axis.terms])


def _groups_around(axes: Sequence[Axis], dim: int, permutations: Permutations) -> dict[str, int]:
    """The groups on other axes on whose index a permutation of ``axes[dim]`` depends -> the axis they are on."""
    found = {}
    for group in groups(axes[dim]):
        if group.name in permutations:
            own = {other.name for other in groups(axes[dim])}
            for name in group.within:
                if name not in own:
                    found[name] = next(
                        other
                        for other, axis in enumerate(axes)
                        if other != dim and name in {g.name for g in groups(axis)}
                    )
    return found


def _index_of(axis: Axis, name: str) -> Tensor:
    """For each position on a product axis, the index of its factor ``name``."""
    factors = axis.factors if isinstance(axis, Product) else (axis,)
    place = next(p for p, factor in enumerate(factors) if isinstance(factor, Group) and factor.name == name)
    inner = prod(factor.size for factor in factors[place + 1 :])
    return torch.arange(axis.size) // inner % factors[place].size


def _old_positions(axis: Axis, context: dict[str, Tensor], permutations: Permutations, lead: tuple[int, ...]) -> Tensor:
    """int64 ``[*lead, axis.size]``: the old position at each new one, given the new indices of the groups around."""
    if isinstance(axis, Group):
        table = permutations.get(axis.name)
        if table is None:
            return torch.arange(axis.size).expand(*lead, axis.size)
        if not axis.within:
            return table.expand(*lead, axis.size)
        return table[tuple(context[name].expand(lead) for name in axis.within)]
    if isinstance(axis, Product):
        if not axis.factors:
            return torch.zeros(*lead, 1, dtype=torch.int64)
        first, rest = axis.factors[0], Product(axis.factors[1:])
        outer = _old_positions(first, context, permutations, lead)
        inner_context = {name: index.unsqueeze(-1) for name, index in context.items()}
        if isinstance(first, Group):
            inner_context[first.name] = torch.arange(first.size)
        inner = _old_positions(rest, inner_context, permutations, (*lead, first.size))
        return (outer.unsqueeze(-1) * rest.size + inner).flatten(-2)
    parts, offset = [], 0
    for term in axis.terms:
        parts.append(_old_positions(term, context, permutations, lead) + offset)
        offset += term.size
    return torch.cat(parts, dim=-1)

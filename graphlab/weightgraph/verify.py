"""Proof by execution: permuting a group must leave the captured program's outputs as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphlab.capture import capture
from graphlab.weightgraph.axes import Axis, Group, Product, Sum, groups, positions
from graphlab.weightgraph.reading import trace
from graphlab.weightgraph.structure import Structure
from graphlab.weightgraph.symmetry import neuron_at, permute_tensor, random_permutations, table_shape

FLOOR = 1e-9
"""A permutation that changes the output by more than this, relative to its largest entry, is no symmetry."""
CONTROL = 1e-3
"""A transposition that breaks the structure must change the output by more than this."""


@dataclass(frozen=True)
class Check:
    """One group: ``difference`` under a random permutation (``None`` if fixed), ``control`` under a wrong one."""

    group: str
    size: int
    difference: float | None
    control: float | None


@dataclass(frozen=True)
class Verification:
    """The result of :func:`verify`.

    Attributes:
        checks: One a group.
        structure: What was checked.
        perturbed: Parameters that held one value along a permuted axis and were given noise for the check.
    """

    checks: tuple[Check, ...]
    structure: Structure
    perturbed: tuple[str, ...]

    @property
    def worst(self) -> float:
        """The largest change that a permutation claimed to be a symmetry made."""
        return max((check.difference for check in self.checks if check.difference is not None), default=0.0)

    @property
    def weakest_control(self) -> float:
        """The smallest change that a wrong permutation made."""
        return min((check.control for check in self.checks if check.control is not None), default=float("inf"))

    @property
    def passed(self) -> bool:
        return self.worst <= FLOOR and self.weakest_control > CONTROL


def verify(
    module: nn.Module,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    outputs: Sequence[str] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Permute every free group at random and run the captured program before and after, in float64.

    Every cast inside the program is lifted to float64 too. Outputs whose axes carry the group are permuted back. The
    difference is relative to the largest entry of the output. Tensors that hold a single value (norms at their
    initialisation) would not feel a permutation: they are given noise first.

    The negative control transposes two neurons of a group on *one* of its parameter axes only, as if that axis were
    indexed by another group; that must change the output. One backward pass picks the axis and the neurons that matter
    most. It is ``None`` for a free group that lies on one axis only, where there is nothing to contradict.

    Args:
        module, args, kwargs, outputs: As for :func:`graphlab.capture.capture` and :func:`~graphlab.weightgraph.trace`.
        seed: Of the permutations and the noise.
        progress: Called with (groups done, groups in all).
    """
    program = capture(module, args, kwargs)
    structure = trace(program, outputs)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        state, perturbed = _felt(structure, {n: module.state_dict()[n] for n in structure.axes}, generator)

        def run(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return program.run(tensors, args, kwargs, dtype=torch.float64)

        before = run(state)
        learned = {name for name, _ in module.named_parameters(remove_duplicate=False)} & structure.axes.keys()
        sensitivity = _sensitivity(structure, state, learned, run, generator)
        checks = []
        for done, group in enumerate(structure.groups.values()):
            difference = None
            if group.free:
                table = random_permutations(structure, [group.name], generator)
                after = run({n: permute_tensor(t, structure.axes[n], table) for n, t in state.items()})
                difference = max(
                    _change(permute_tensor(before[name], structure.outputs[name], table), after[name])
                    for name in before
                )
            control = _control(structure, group, state, sensitivity, before, run)
            checks.append(Check(group.name, group.size, difference, control))
            if progress:
                progress(done + 1, len(structure.groups))
    return Verification(tuple(checks), structure, perturbed)


def _change(before: Tensor, after: Tensor) -> float:
    """``max |after - before| / max |before|``."""
    if not before.numel():
        return 0.0
    before, after = before.double(), after.double()
    same = (before == after) | (before.isnan() & after.isnan())
    difference = torch.where(same, 0.0, after - before).abs().max()
    scale = before[before.isfinite()].abs().max() if before.isfinite().any() else difference
    return float(difference / scale) if difference > 0 else 0.0


def _felt(
    structure: Structure, state: dict[str, Tensor], generator: torch.Generator
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state in float64, with noise on tensors that are constant along an axis, and the names of those."""
    perturbed = []
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        state[name] = tensor = tensor.detach().to("cpu", torch.float64)
        constant = any(s > 1 and bool((tensor == tensor.narrow(d, 0, 1)).all()) for d, s in enumerate(tensor.shape))
        if constant and name not in structure.unused:
            noise = 0.1 * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            state[name] = torch.where(tensor == 0, noise, tensor * (1 + noise))
            perturbed.append(name)
    return state, tuple(perturbed)


def _sensitivity(
    structure: Structure,
    state: Mapping[str, Tensor],
    learned: Iterable[str],
    run: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """The gradient of a random projection of the outputs that count, for every learned tensor.

    Where an operator has no derivative, the tensors themselves: large entries are then taken to matter most.
    """
    leaves = {name: state[name].detach().requires_grad_() for name in learned if state[name].is_floating_point()}
    with torch.enable_grad():
        outputs = run({**state, **leaves})
        counted = [outputs[name] for name in structure.counted if outputs[name].requires_grad]
        projected = [(output * torch.randn(output.shape, generator=generator)).sum() for output in counted]
        try:
            total = torch.stack(projected).sum()
            gradients = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
        except RuntimeError:
            gradients = tuple(leaf.detach() for leaf in leaves.values())
    return dict(zip(leaves, gradients, strict=True))


def _control(
    structure: Structure,
    group: Group,
    state: Mapping[str, Tensor],
    sensitivity: Mapping[str, Tensor],
    before: Mapping[str, Tensor],
    run: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
) -> float | None:
    """The change made by transposing two neurons on one axis: the best of the few that promise most to first order."""
    places = [
        (name, dim)
        for name in structure.parameters_of(group.name)
        for dim, axis in enumerate(structure.axes[name])
        if name in sensitivity and name not in structure.unused and any(g.name == group.name for g in groups(axis))
    ]
    if group.size < 2 or not places or (group.free and len(places) < 2):
        return None
    trials = []
    for name, dim in places:
        tensor, gradient, axes = state[name], sensitivity[name], structure.axes[name]
        others = [axis if d == dim else _forget(axis, group.name) for d, axis in enumerate(axes)]
        felt = (tensor * gradient).abs().transpose(0, dim).flatten(1).sum(1) if tensor.dim() > 1 else gradient.abs()
        neuron = neuron_at(axes[dim], group.name)
        weight = torch.zeros(group.size, dtype=torch.float64).index_add_(0, neuron[neuron >= 0], felt[neuron >= 0])
        order = weight.argsort(descending=True).tolist()
        for second in {order[1], order[-1]}:
            table = torch.arange(group.size).repeat(*table_shape(structure, group)[:-1], 1)
            table[..., [order[0], second]] = table[..., [second, order[0]]]
            swapped = permute_tensor(tensor, others, {group.name: table.view(table_shape(structure, group))})
            trials.append((abs(float((gradient * (swapped - tensor)).sum())), name, swapped))
    best = 0.0
    for _, name, swapped in sorted(trials, key=lambda trial: -trial[0])[:6]:
        after = run({**state, name: swapped})
        best = max(best, *(_change(before[output], after[output]) for output in structure.counted))
        if best > 10 * CONTROL:
            break
    return best


def _forget(axis: Axis, name: str) -> Axis:
    """The axis with one group turned into mere positions."""
    if isinstance(axis, Group):
        return positions(axis.size) if axis.name == name else axis
    parts = tuple(_forget(part, name) for part in (axis.factors if isinstance(axis, Product) else axis.terms))
    return Product(parts) if isinstance(axis, Product) else Sum(parts)

"""Proof by execution: permuting a group must leave the captured program's outputs as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphlab.capture import capture
from graphlab.weightgraph.axes import Group, groups
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

    @property
    def verdict(self) -> str:
        """``symmetry``, ``fixed``, ``not a symmetry`` (it changes the output), or ``control not felt``."""
        if self.difference is not None and self.difference > FLOOR:
            return "not a symmetry"
        if self.control is not None and self.control <= CONTROL:
            return "control not felt"
        return "fixed" if self.difference is None else "symmetry"


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
        return all(check.verdict in ("symmetry", "fixed") for check in self.checks)


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
    learned = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    with torch.no_grad():
        tensors = module.state_dict()
        state, perturbed = _felt(structure, {name: tensors[name] for name in structure.axes}, generator)
        experiment = _Experiment(
            structure, state, lambda tensors: program.run(tensors, args, kwargs, torch.float64), learned, generator
        )
        checks = []
        for done, group in enumerate(structure.groups.values()):
            difference = experiment.symmetry(group) if group.free else None
            checks.append(Check(group.name, group.size, difference, experiment.control(group)))
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


class _Experiment:
    """A network in float64, what it gives, and what it gives when neurons change places."""

    def __init__(
        self,
        structure: Structure,
        state: Mapping[str, Tensor],
        run: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
        learned: Set[str],
        generator: torch.Generator,
    ) -> None:
        self.structure = structure
        self.state = state
        self.run = run
        self.generator = generator
        self.before = run(state)
        self.sensitivity = self._sensitivity(learned)

    def symmetry(self, group: Group) -> float:
        """The change made by a random permutation of the group on all its axes; outputs are permuted back."""
        axes = self.structure.axes
        table = random_permutations(self.structure, [group.name], self.generator)
        after = self.run({name: permute_tensor(t, axes[name], table) for name, t in self.state.items()})
        return max(
            _change(permute_tensor(self.before[name], own, table), after[name])
            for name, own in self.structure.outputs.items()
        )

    def control(self, group: Group) -> float | None:
        """The change made by transposing two neurons on one axis: the most of the few that promise most."""
        places = [
            (name, dim)
            for name in self.structure.parameters_of(group.name)
            for dim, axis in enumerate(self.structure.axes[name])
            if name in self.sensitivity and group.name in {other.name for other in groups(axis)}
        ]
        if group.size < 2 or not places or (group.free and len(places) < 2):
            return None
        trials = [trial for name, dim in places for trial in self._trials(group, name, dim)]
        best = 0.0
        for _, name, dim, first, second in sorted(trials, key=lambda trial: -trial[0])[:6]:
            neuron = neuron_at(self.structure.axes[name][dim], group.name)
            order = torch.arange(len(neuron))
            order[neuron == first], order[neuron == second] = order[neuron == second], order[neuron == first]
            after = self.run({**self.state, name: self.state[name].index_select(dim, order)})
            table = torch.arange(group.size).repeat(*table_shape(self.structure, group)[:-1], 1)
            table[..., [first, second]] = table[..., [second, first]]
            everywhere = {group.name: table.view(table_shape(self.structure, group))}
            for output, axes in self.structure.outputs.items():
                change = _change(self.before[output], after[output])
                if group.free:
                    change = min(change, _change(permute_tensor(self.before[output], axes, everywhere), after[output]))
                best = max(best, change)
            if best > 10 * CONTROL:
                break
        return best

    def _trials(self, group: Group, name: str, dim: int) -> list[tuple[float, str, int, int, int]]:
        """(first-order change of the output, tensor, axis, neuron, other neuron) for two promising pairs."""
        found = self.state[name], self.sensitivity[name]
        tensor, gradient = (t.movedim(dim, 0).reshape(t.shape[dim], -1) for t in found)
        neuron = neuron_at(self.structure.axes[name][dim], group.name)
        here = neuron >= 0
        weight = torch.zeros(group.size, dtype=torch.float64)
        weight.index_add_(0, neuron[here], (tensor * gradient).abs().sum(1)[here])
        first, runner_up, *_, last = *weight.argsort(descending=True).tolist(), int(weight.argmin())
        trials = []
        for second in {runner_up, last}:
            difference = tensor[neuron == second] - tensor[neuron == first]
            slope = gradient[neuron == first] - gradient[neuron == second]
            trials.append((abs(float((slope * difference).sum())), name, dim, first, second))
        return trials

    def _sensitivity(self, learned: Set[str]) -> dict[str, Tensor]:
        """The gradient of a random projection of the outputs, for every learned tensor that forward reads.

        Where an operator has no derivative, the tensors themselves: large entries are then taken to matter most.
        """
        names = [name for name in self.state if name in learned and name not in self.structure.unused]
        leaves = {name: self.state[name].detach().requires_grad_() for name in names}
        with torch.enable_grad():
            try:
                copies = {name: leaf.clone() for name, leaf in leaves.items()}  # a program may write into its state
                outputs = [output for output in self.run({**self.state, **copies}).values() if output.requires_grad]
                total = sum((output * torch.randn(output.shape, generator=self.generator)).sum() for output in outputs)
                gradients = torch.autograd.grad(
                    torch.as_tensor(total), list(leaves.values()), allow_unused=True, materialize_grads=True
                )
            except RuntimeError:
                gradients = tuple(leaf.detach() for leaf in leaves.values())
        return dict(zip(leaves, gradients, strict=True))

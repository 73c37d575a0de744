"""Which tensor of a checkpoint belongs to which parameter of a module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch

from graphlab.checkpoint.checkpoint import Checkpoint
from graphlab.checkpoint.errors import CheckpointError, show
from graphlab.checkpoint.prefix import unwrapped

Shape = tuple[int, ...]

_MAX_HEADS = 8


@dataclass
class Match:
    """How the names of a state meet those of a module.

    Attributes:
        names: for each of the module's names that is met, in its shape or another, the name in the state. A tied
            parameter is met by the tensor of any of its names.
        missing: names of the module that the state lacks.
        extra: names of the state that the module lacks.
        misshaped: for a name of the module, the shape that it has there and the shape that came.
        duplicates: for a name of the module, all names of the state that stand for it.
        unsaved: for a buffer that the module keeps out of its state dict, the name in the state that holds it after
            all (older versions of a module often saved what newer ones compute).
    """

    names: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    misshaped: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    duplicates: dict[str, list[str]] = field(default_factory=dict)
    unsaved: dict[str, str] = field(default_factory=dict)

    def flaws(self) -> list[str]:
        """Returns a line for each reason why the state does not fit the module exactly."""
        return [
            *(f"missing: {show(name)}" for name in self.missing),
            *(f"not in the module: {show(name)}" for name in self.extra),
            *(
                f"shape of {show(name)}: expected {list(expected)}, got {list(came)}"
                for name, (expected, came) in self.misshaped.items()
            ),
            *(
                f"several tensors for {show(name)}: {', '.join(map(show, sources))}"
                for name, sources in self.duplicates.items()
            ),
        ]


def match_module(state: Mapping[str, torch.Tensor], module: torch.nn.Module) -> Match:
    """Finds the tensor of `state` for each parameter and persistent buffer of `module`.

    Names are taken as they are, without the prefixes of wrappers, without their first component
    (``bert.encoder.weight`` for a module with ``encoder.weight``), or with one of the module's put before them. Of
    these, the one way that fits the most tensors is used for all names.

    Args:
        state: a checkpoint, of which no tensor is read, or a state dict.
        module: may be on the meta device.
    """
    ours = {name: tuple(tensor.shape) for name, tensor in _state(module).items()}
    theirs = _shapes(state)
    best = max(_renamings(theirs, ours), key=lambda rename: _fit(rename, theirs, ours))
    sources: dict[str, list[str]] = {}
    match = Match()
    unsaved = {name: tuple(buffer.shape) for name, buffer in module.named_buffers() if name not in ours}
    for name in theirs:
        candidates = (best(name), best(unwrapped(name)))
        target = next((target for target in candidates if target in ours), None)
        buffer = next((target for target in candidates if unsaved.get(target) == theirs[name]), None)
        if target is not None:
            sources.setdefault(target, []).append(name)
        elif buffer is not None:
            match.unsaved[buffer] = name
        else:
            match.extra.append(name)
    match.names = {target: names[0] for target, names in sources.items()}
    match.duplicates = {target: names for target, names in sources.items() if len(names) > 1}
    _meet_aliases(match.names, module)
    match.missing = [name for name in ours if name not in match.names]
    for target, source in match.names.items():
        if ours[target] != theirs[source]:
            match.misshaped[target] = (ours[target], theirs[source])
    return match


def check_module(state: Mapping[str, torch.Tensor], module: torch.nn.Module) -> Match:
    """Returns which tensor of `state` is which of `module`, if they fit exactly.

    To load without a copy::

        names = check_module(checkpoint, module).names
        module.load_state_dict({ours: checkpoint[theirs] for ours, theirs in names.items()}, assign=True)

    Args:
        state: a checkpoint, of which no tensor is read, or a state dict. Dtypes may differ from the module's.
        module: may be on the meta device.

    Raises:
        CheckpointError: lists every missing, extra and misshaped tensor, and all that stand for the same parameter.
    """
    match = match_module(state, module)
    flaws = match.flaws()
    if flaws:
        source = state.path if isinstance(state, Checkpoint) else "state dict"
        raise CheckpointError(source, f"does not fit {type(module).__name__}:\n  " + "\n  ".join(flaws))
    return match


def _state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    state = module.state_dict(keep_vars=True)  # keeps the identity of tied parameters
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, Shape]:
    if isinstance(state, Checkpoint):
        return {name: spec.shape for name, spec in state.specs.items()}
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _renamings(theirs: Iterable[str], ours: Iterable[str]) -> Iterable[Callable[[str], str]]:
    """Yields the ways to rename, the plainest first: of equally good ways the first is taken."""
    yield str
    yield unwrapped
    yield from (partial(_without_head, head) for head in _heads(map(unwrapped, theirs)))
    yield from (partial(_with_head, head) for head in _heads(ours))


def _without_head(head: str, name: str) -> str:
    return unwrapped(name).removeprefix(head)


def _with_head(head: str, name: str) -> str:
    return head + unwrapped(name)


def _heads(names: Iterable[str]) -> list[str]:
    """Returns the most common first components of dotted names, dots included."""
    counts = Counter(name[: name.index(".") + 1] for name in names if "." in name)
    return [head for head, _ in counts.most_common(_MAX_HEADS)]


def _fit(rename: Callable[[str], str], theirs: dict[str, Shape], ours: dict[str, Shape]) -> tuple[int, int]:
    """Returns how many of the module's names are met in their shape, and how many at all."""
    met = {rename(name): shape for name, shape in theirs.items()}
    return sum(ours.get(name) == shape for name, shape in met.items()), sum(name in ours for name in met)


def _meet_aliases(names: dict[str, str], module: torch.nn.Module) -> None:
    """Lets the names of a tied parameter that the state lacks be met by one that it has."""
    groups: dict[int, list[str]] = {}
    for name, tensor in _state(module).items():
        groups.setdefault(id(tensor), []).append(name)
    for group in groups.values():
        source = next((names[name] for name in group if name in names), None)
        if source is not None:
            for name in group:
                names.setdefault(name, source)

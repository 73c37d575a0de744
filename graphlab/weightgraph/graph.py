"""``WeightGraph``: a structure and the tensors of one network that has it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graphlab import checkpoint
from graphlab.capture import capture
from graphlab.checkpoint import CheckpointError, check_module
from graphlab.weightgraph.layouts import wire
from graphlab.weightgraph.reading import trace
from graphlab.weightgraph.structure import Structure
from graphlab.weightgraph.symmetry import Permutations, check_permutations, permute_tensor
from graphlab.weightgraph.wiring import Wiring

if TYPE_CHECKING:
    from torch_geometric.data import Data

STRUCTURE_KEY = "graphlab.structure"
"""Metadata key under which a saved weight-graph keeps its structure (JSON)."""


class WeightGraph:
    """A trained network as a graph: neurons are nodes, and the tensors, unchanged, hold its edges.

    The tensors are those of the module or checkpoint, never copies; nothing here writes into them.

    Args:
        structure: What indexes what.
        tensors: A tensor for each name in ``structure.axes`` (a dict, or a lazily read checkpoint). Further ones that
            are no parameters of the structure (buffers that the module computes but an old file holds) are carried
            along as they are.

    Raises:
        CheckpointError: if names are missing or shapes do not fit, all listed.
    """

    def __init__(self, structure: Structure, tensors: Mapping[str, Tensor], module: nn.Module | None = None) -> None:
        wrong = []
        for name, axes in structure.axes.items():
            expected = tuple(axis.size for axis in axes)
            found = tuple(tensors[name].shape) if name in tensors else None
            if found != expected:
                wrong.append(f"{name}: expected shape {expected}, got {found or 'nothing' if found is None else found}")
        if wrong:
            source = getattr(tensors, "path", "tensors")
            raise CheckpointError(source, "does not fit the structure:\n  " + "\n  ".join(wrong))
        self.structure = structure
        self.module = module
        self.tensors: Mapping[str, Tensor] = {name: tensors[name] for name in tensors if name not in structure.tied}

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> WeightGraph:
        """Capture a module on example inputs and trace it; ``outputs`` names the outputs that count."""
        structure = trace(capture(module, args, kwargs), outputs)
        return cls(structure, {name: tensor.detach() for name, tensor in module.state_dict().items()}, module)

    @classmethod
    def from_checkpoint(
        cls,
        opened: Mapping[str, Tensor],
        module: nn.Module,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> WeightGraph:
        """Attach a checkpoint to the structure of its module, which may be on the meta device.

        Raises:
            CheckpointError: lists every tensor that is missing, extra or of another shape than the module's.
        """
        match = check_module(opened, module)
        structure = trace(capture(module, args, kwargs), outputs)
        names = match.names | match.unsaved
        return cls(structure, {ours: opened[theirs] for ours, theirs in names.items()}, module)

    def state_dict(self) -> dict[str, Tensor]:
        """Every parameter and persistent buffer under every name it has, the very tensors that came in."""
        own = dict(self.tensors)
        return own | {name: own[target] for name, target in self.structure.tied.items()}

    def load_into(self, module: nn.Module) -> None:
        """Copy the tensors into a module of this structure.

        Raises:
            CheckpointError: if names or shapes differ; the module is then untouched.
        """
        state = self.state_dict()
        names = check_module(state, module).names
        module.load_state_dict({ours: state[theirs] for ours, theirs in names.items()})

    def permute(self, permutations: Permutations) -> WeightGraph:
        """The same function with its neurons in another order; tensors that no permutation touches are shared.

        Args:
            permutations: Group name -> int64 ``[*sizes of the groups around it, size]``, the old neuron at each place.

        Raises:
            ValueError: for unknown or fixed groups and for what is no permutation.
        """
        check_permutations(self.structure, permutations)
        axes = self.structure.axes
        return WeightGraph(
            self.structure,
            {name: permute_tensor(t, axes.get(name, ()), permutations) for name, t in self.tensors.items()},
            self.module,
        )

    def wiring(self, layout: str = "exact", **options: Any) -> Wiring:
        """How a layout draws the network; :func:`~graphlab.weightgraph.layouts.layouts` lists them and their options.

        Raises:
            WiringError: for an unknown layout or option, and if the layout cannot hold the network, saying why.
        """
        return wire(layout, self, **options)

    def to_data(
        self, layout: str = "exact", positions: int = 0, dtype: torch.dtype | None = None, **options: Any
    ) -> Data:
        """The network as an explicit graph: every edge of its drawing.

        Args:
            layout, options: As :meth:`wiring`.
            positions: How many Laplacian positions ``lpe`` to give each node.
            dtype: Of the edges' values; default one that holds every parameter drawn.
        """
        from graphlab.weightgraph.data import to_data

        return to_data(self.wiring(layout, **options), self.tensors, positions, dtype)

    def with_data(self, data: Data, layout: str = "exact", **options: Any) -> WeightGraph:
        """The network with the weights of an explicit graph, edited or predicted: the inverse of :meth:`to_data`.

        Raises:
            WiringError: if the graph is not one of this network in this layout.
        """
        from graphlab.weightgraph.data import from_data

        own = self.wiring(layout, **options)
        return WeightGraph(self.structure, from_data(own, data, self.tensors), self.module)

    def save(self, path: str | PathLike[str]) -> None:
        """Write one safetensors file that holds the tensors and, in its metadata, the structure."""
        checkpoint.save(self.tensors, path, {STRUCTURE_KEY: json.dumps(self.structure.to_json())})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> WeightGraph:
        """Open what :meth:`save` wrote; the tensors are views of the mapped file.

        Raises:
            CheckpointError: if the file is no weight-graph.
        """
        opened = checkpoint.open(path)
        text = opened.metadata.get(STRUCTURE_KEY)
        if text is None:
            raise CheckpointError(
                opened.path, "a checkpoint without a structure; `graphlab convert` makes a weight-graph"
            )
        try:
            structure = Structure.from_json(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise CheckpointError(opened.path, f"its structure cannot be read: {error}") from error
        return cls(structure, opened)

    @property
    def num_parameters(self) -> int:
        """The number of weights: elements of floating-point tensors, buffers included."""
        return sum(tensor.numel() for tensor in self.tensors.values() if tensor.is_floating_point())

    def __repr__(self) -> str:
        dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in self.tensors.values()})
        nodes = sum(group.size * self.structure.copies(group) for group in self.structure.groups.values())
        return (
            f"WeightGraph: {self.num_parameters:,} parameters ({', '.join(dtypes)}), {nodes:,} neurons\n"
            f"{self.structure!r}"
        )


def equal_bytes(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether two state dicts have the same names and, bit for bit, the same tensors (NaN included)."""

    def raw(tensor: Tensor) -> Tensor:
        return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)

    return first.keys() == second.keys() and all(
        first[n].dtype == second[n].dtype
        and first[n].shape == second[n].shape
        and torch.equal(raw(first[n]), raw(second[n]))
        for n in first
    )

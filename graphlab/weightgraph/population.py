"""Many networks of any mix of architectures side by side: a description of each, a map, and who is like whom.

>>> population = Population.of({path.name: path for path in checkpoint.find("models")})
>>> population.neighbours(3)["gpt2"]
>>> population.map("tsne")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from graphlab import checkpoint
from graphlab.checkpoint import Checkpoint, CheckpointError
from graphlab.weightgraph.guess import guess
from graphlab.weightgraph.layouts.exact import exact
from graphlab.weightgraph.weight_statistics import weight_statistics
from graphlab.weightgraph.wiring import WiringError

MAPS = ("pca", "tsne")
_PERPLEXITY = 30.0


class Neighbour(NamedTuple):
    """Another network and how far it is, in deviations over the population."""

    name: str
    distance: float


@dataclass(frozen=True, eq=False)
class Population:
    """Networks and their descriptions.

    Attributes:
        names: Of the networks.
        embeddings: float64 ``[networks, numbers]``, an embedding each.
        parameters: How many each network has.
        skipped: What could not be opened, and why.
    """

    names: tuple[str, ...]
    embeddings: Tensor
    parameters: tuple[int, ...]
    skipped: Mapping[str, str]

    @classmethod
    def of(cls, paths: Mapping[str, Path], progress: Callable[[int, int], None] | None = None) -> Population:
        """The checkpoints at some paths, by name; those that are damaged or hold NaN are skipped.

        Each is drawn as its structure, guessed from names and shapes, says, and described by
        :func:`~graphlab.weightgraph.weight_statistics.weight_statistics`.

        Args:
            paths: What :func:`graphlab.checkpoint.open` opens, by the name to give it.
            progress: If given, called with how many are done, and of how many.

        Raises:
            CheckpointError: none of them can be had; the message says why.
        """
        found: dict[str, tuple[Tensor, int]] = {}
        skipped: dict[str, str] = {}
        for done, (name, path) in enumerate(paths.items()):
            try:
                opened = checkpoint.open(path)
                found[name] = (embed(opened), opened.num_parameters)
            except CheckpointError as error:
                skipped[name] = str(error)
            except (WiringError, ValueError) as error:
                skipped[name] = f"{path}: {error}"
            if progress is not None:
                progress(done + 1, len(paths))
        if not found:
            reasons = "".join(f"\n  {reason}" for reason in skipped.values())
            raise CheckpointError("checkpoints", f"none can be described{reasons or ': there are none'}")
        embeddings = torch.stack([own for own, _ in found.values()])
        return cls(tuple(found), embeddings, tuple(count for _, count in found.values()), skipped)

    def standardised(self) -> Tensor:
        """float64 ``[networks, numbers]``: each number with mean 0 and deviation 1 over the networks that have it.

        A number that a network does not have, and one in which no two networks differ, is 0.
        """
        have = ~self.embeddings.isnan()
        count = have.sum(0).clamp(min=1)
        known = self.embeddings.nan_to_num()
        mean = known.sum(0) / count
        apart = torch.where(have, self.embeddings - mean, 0)
        std = (apart.square().sum(0) / count).sqrt()
        return torch.where(std > 1e-9 * known.abs().amax(0), apart / std.clamp(min=1e-300), 0)

    def map(self, method: Literal["pca", "tsne"] = "pca", seed: int = 0) -> Tensor:
        """float64 ``[networks, 2]``: the networks in the plane, by scikit-learn.

        Args:
            method: ``pca``, along the two directions in which they differ most; ``tsne``, neighbours near each other.
            seed: Of t-SNE.

        Raises:
            ValueError: for another method, and for fewer than two networks (three for t-SNE).
        """
        rows = self.standardised().numpy()
        if method not in MAPS:
            raise ValueError(f"expected {' or '.join(MAPS)}, got {method!r}")
        needed = {"pca": 2, "tsne": 3}[method]
        if len(rows) < needed:
            raise ValueError(f"a map by {method} needs {needed} networks or more, got {len(rows)}")
        if method == "pca":
            from sklearn.decomposition import PCA

            return torch.from_numpy(PCA(2, svd_solver="full").fit_transform(rows))
        from sklearn.manifold import TSNE

        perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
        placed = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(rows)
        return torch.from_numpy(placed).double()

    def neighbours(self, count: int = 5) -> dict[str, list[Neighbour]]:
        """The networks nearest to each, nearest first, at most ``count``: Euclidean distance, standardised."""
        from sklearn.neighbors import NearestNeighbors

        others = min(count, len(self.names) - 1)
        if others < 1:
            return {name: [] for name in self.names}
        rows = self.standardised().numpy()
        distances, places = NearestNeighbors(n_neighbors=others).fit(rows).kneighbors()
        return {
            name: [Neighbour(self.names[place], float(distance)) for place, distance in zip(*pair, strict=True)]
            for name, pair in zip(self.names, zip(places, distances, strict=True), strict=True)
        }


def embed(opened: Checkpoint) -> Tensor:
    """float64 ``[numbers]``: the description of a network from its tensors alone, NaN where there is nothing.

    Raises:
        CheckpointError: naming the tensor, if it holds NaN or infinity; if there are no weights.
    """
    shapes = {name: spec.shape for name, spec in opened.specs.items() if spec.dtype.is_floating_point and spec.numel}
    if not shapes:
        raise CheckpointError(opened.path, "it holds no weights")
    for name in opened.nonfinite():
        raise CheckpointError(opened.path, "it holds NaN or infinity", name)
    tied = {name: names[0] for names in opened.tied for name in names[1:] if name in shapes}
    structure = guess(shapes, tied)
    wiring = exact(structure, {name: opened[name] for name in structure.axes})
    return weight_statistics(wiring, opened).flatten()

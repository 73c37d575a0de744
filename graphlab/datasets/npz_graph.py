"""Graphs in the files of the heterophilous suite."""

from __future__ import annotations

import numpy as np
import torch
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.utils import coalesce, to_undirected


class NpzGraph(InMemoryDataset):  # type: ignore[misc]
    """A graph with ten splits in the file ``raw/NAME.npz``: those for which PyG's ``HeterophilousGraphDataset`` has no
    name, such as the filtered Wikipedia graphs (Platonov et al., "A critical look at the evaluation of GNNs under
    heterophily", ICLR 2023).

    Args:
        root: With ``raw/``; ``processed/`` is written beside it.
        name: Of the file.
        undirected: Whether to add each edge turned round.
    """

    url = "https://github.com/yandex-research/heterophilous-graphs/raw/main/data"

    def __init__(self, root: str, name: str, undirected: bool = True) -> None:
        self.name = name
        self.undirected = undirected
        super().__init__(root)
        self.load(self.processed_paths[0])

    @property
    def raw_file_names(self) -> str:
        return f"{self.name}.npz"

    @property
    def processed_file_names(self) -> str:
        return "data.pt"

    def download(self) -> None:
        from torch_geometric.data import download_url

        download_url(f"{self.url}/{self.name}.npz", self.raw_dir)

    def process(self) -> None:
        with np.load(self.raw_paths[0]) as raw:
            parts = {name: torch.from_numpy(raw[name]) for name in raw.files}
        edge_index, num_nodes = parts["edges"].t().contiguous(), len(parts["node_labels"])
        masks = {f"{part}_mask": parts[f"{part}_masks"].t().contiguous() for part in ("train", "val", "test")}
        edge_index = to_undirected(edge_index, num_nodes=num_nodes) if self.undirected else coalesce(edge_index)
        self.save(
            [Data(x=parts["node_features"], y=parts["node_labels"], edge_index=edge_index, **masks)],
            self.processed_paths[0],
        )

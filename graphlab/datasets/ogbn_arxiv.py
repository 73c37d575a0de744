"""ogbn-arxiv from its published raw files, which need no pickles and no package of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

PARTS = {"train": "train", "val": "valid", "test": "test"}


class OgbnArxiv(InMemoryDataset):  # type: ignore[misc]
    """Citations among 169,343 computer science papers of arXiv, 40 classes; directed, with the split by year
    (Hu et al., "Open Graph Benchmark", NeurIPS 2020).

    Args:
        root: With ``raw/`` as in the published archive: ``edge``, ``node-feat``, ``node-label`` and, beside them,
            ``train``, ``valid`` and ``test``, each ``.csv.gz``. ``processed/`` is written beside it.
    """

    url = "http://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip"

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.load(self.processed_paths[0])

    @property
    def raw_file_names(self) -> list[str]:
        return [f"{name}.csv.gz" for name in ("edge", "node-feat", "node-label", *PARTS.values())]

    @property
    def processed_file_names(self) -> str:
        return "data.pt"

    def download(self) -> None:
        from torch_geometric.data import download_url, extract_zip

        archive = download_url(self.url, self.root)
        extract_zip(archive, self.root)
        Path(archive).unlink()
        for folder in ("raw", "split/time"):
            for name in self.raw_file_names:
                found = Path(self.root) / "arxiv" / folder / name
                if found.exists():
                    shutil.move(found, self.raw_dir)
        shutil.rmtree(Path(self.root) / "arxiv")

    def process(self) -> None:
        edges, x, y, *parts = (self._table(path) for path in self.raw_paths)
        masks = {
            f"{name}_mask": torch.zeros(len(x), dtype=torch.bool).index_fill_(0, part.view(-1).long(), True)
            for name, part in zip(PARTS, parts, strict=True)
        }
        data = Data(x=x.float(), y=y.view(-1).long(), edge_index=edges.t().long().contiguous(), **masks)
        self.save([data], self.processed_paths[0])

    @staticmethod
    def _table(path: str) -> Tensor:
        return torch.from_numpy(np.loadtxt(path, delimiter=",", ndmin=2))

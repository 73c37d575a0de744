"""Graphs by name: from local copies, which are only read, and what is said where there is none."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from graphlab.datasets import NAMES, DatasetError, load
from graphlab.datasets.local import data_folder
from graphlab.datasets.transforms import rows_to_one

LOCAL = data_folder()
needs_data = pytest.mark.skipif(not (LOCAL / "planetoid").exists(), reason=f"no data in {LOCAL}")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAPHLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("fsspec.implementations.http.HTTPFileSystem.__init__", refuse)


@needs_data
@pytest.mark.parametrize(
    ("name", "nodes", "edges", "features", "classes", "train"),
    [
        ("cora", 2708, 10556, 1433, 7, 140),
        ("CiteSeer", 3327, 9104, 3703, 6, 120),
        ("texas", 183, 325, 1703, 5, 87),
        ("wisconsin", 251, 515, 1703, 5, 120),
        ("cornell", 183, 554, 1703, 5, 87),
        ("chameleon_filtered", 890, 17708, 2325, 5, 409),
        ("minesweeper", 10000, 78804, 7, 2, 5000),
    ],
)
def test_local_copies(
    name: str, nodes: int, edges: int, features: int, classes: int, train: int, offline: None
) -> None:
    data = load(name)
    assert data.x.shape == (nodes, features)
    assert data.edge_index.shape == (2, edges)
    assert int(data.y.max()) + 1 == classes
    mask = data.train_mask if data.train_mask.dim() == 1 else data.train_mask[:, 0]
    assert int(mask.sum()) == train
    again = load(name)
    assert torch.equal(again.x, data.x)


@needs_data
def test_ten_splits_of_a_planetoid_graph(offline: None) -> None:
    data = load("cora-geom-gcn")
    assert data.train_mask.shape == (2708, 10)
    assert not (data.train_mask & data.test_mask).any()


@needs_data
def test_the_local_copy_is_not_written_to(cache: Path, offline: None) -> None:
    def listed() -> list[str]:
        return sorted(os.path.join(folder, file) for folder, _, files in os.walk(LOCAL / "planetoid") for file in files)

    before = listed()
    load("cora")
    assert listed() == before
    assert list(cache.rglob("processed/data.pt"))


@needs_data
def test_what_pubmed_lacks(offline: None) -> None:
    with pytest.raises(DatasetError, match=r"PubMed_partial lacks ind.pubmed.allx, the features of 18717 of the 19717"):
        load("pubmed")


@pytest.mark.parametrize("name", [name for name in NAMES if "pubmed" not in name])
def test_no_copy_and_no_network(name: str, tmp_path: Path, offline: None) -> None:
    with pytest.raises(
        DatasetError, match=f"^{name}: no local copy: in .*nowhere there is no .* download into .* failed"
    ):
        load(name, tmp_path / "nowhere")


def test_unknown_names() -> None:
    with pytest.raises(DatasetError, match="no data set 'korea'; there are cora, citeseer"):
        load("korea")


def test_ogbn_arxiv_from_raw_files(tmp_path: Path, offline: None) -> None:
    tables = {
        "raw/edge": [[0, 1], [2, 0], [3, 1]],
        "raw/node-feat": np.arange(8).reshape(4, 2) / 2,
        "raw/node-label": [[1], [0], [39], [2]],
        "split/time/train": [[0], [3]],
        "split/time/valid": [[1]],
        "split/time/test": [[2]],
    }
    for name, rows in tables.items():
        path = tmp_path / "ogb" / "ogbn_arxiv" / f"{name}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(path, "wt") as file:
            np.savetxt(file, np.asarray(rows), delimiter=",", fmt="%g")
    data = load("ogbn-arxiv", tmp_path)
    assert data.edge_index.tolist() == [[0, 2, 3], [1, 0, 1]]
    assert data.x.tolist() == [[0, 0.5], [1, 1.5], [2, 2.5], [3, 3.5]]
    assert data.x.dtype == torch.float32
    assert data.y.tolist() == [1, 0, 39, 2]
    assert data.train_mask.tolist() == [True, False, False, True]
    assert data.val_mask.tolist() == [False, True, False, False]
    assert data.test_mask.tolist() == [False, False, True, False]


def test_a_changed_copy_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "heterophilous" / "cornell" / "raw" / "cornell.npz"
    path.parent.mkdir(parents=True)
    for value in (1.0, 2.0):
        masks = {f"{part}_masks": np.ones((10, 2), bool) for part in ("train", "val", "test")}
        arrays = {"node_features": np.full((2, 3), value, np.float32), "node_labels": np.array([0, 1])}
        np.savez(path, edges=np.array([[0, 1]]), **arrays, **masks)
        os.utime(path, ns=(int(value), int(value)))
        data = load("cornell", tmp_path)
        assert data.x[0, 0] == value
        assert data.edge_index.tolist() == [[0, 1], [1, 0]]


def test_rows_of_zeros_stay() -> None:
    assert rows_to_one(torch.tensor([[1.0, 3.0], [0.0, 0.0]])).tolist() == [[0.25, 0.75], [0, 0]]

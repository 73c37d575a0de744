"""Graphs whose nodes are classified, by name."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphlab.datasets.errors import DatasetError
from graphlab.datasets.local import RawFile, cache_folder, data_folder, missing, process_copy

if TYPE_CHECKING:
    from torch_geometric.data import Data

Reader = Callable[[str], Any]
PYG = "torch_geometric.datasets"
OWN = "graphlab.datasets"


def _reader(module: str, cls: str, **options: Any) -> Reader:
    """A data set's class, imported when it is called with a root: PyG brings many packages with it."""
    return lambda root: getattr(importlib.import_module(module), cls)(root, **options)


@dataclass(frozen=True)
class _Source:
    """How a data set is read: ``local`` from copies of ``files``, else ``download`` with PyG's own download.

    ``hint`` names a file beside which an incomplete copy lies, and says what it lacks.
    """

    download: Reader
    files: tuple[RawFile, ...]
    local: Reader | None = None
    hint: tuple[str, str] | None = None


def _planetoid(name: str) -> _Source:
    parts = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
    files = [f"{name}/raw/ind.{name.lower()}.{part}" for part in parts]
    hint = None
    if name == "PubMed":
        folder = "planetoid/PubMed_partial"
        hint = (
            f"{folder}/ind.pubmed.graph",
            f"{folder} lacks ind.pubmed.allx, the features of 18717 of the 19717 nodes: only the graph, the labels and "
            "the public split are there",
        )
    return _Source(
        _reader(PYG, "Planetoid", name=name), tuple((f"planetoid/{file}", file) for file in files), hint=hint
    )


def _planetoid_ten(name: str) -> _Source:
    low, raw = name.lower(), f"{name}/geom-gcn/raw"
    files = [(source, f"{raw}/{Path(source).name}") for source, _ in _planetoid(name).files]
    masks = [f"{low}_split_0.6_0.2_{number}.npz" for number in range(10)]
    files += [(f"geom_gcn_splits/{mask}", f"{raw}/{mask}") for mask in masks]
    return _Source(_reader(PYG, "Planetoid", name=name, split="geom-gcn"), tuple(files), hint=_planetoid(name).hint)


def _geom_gcn(folder: str, root: str, splits: str, download: Reader) -> _Source:
    files = ["out1_node_feature_label.txt", "out1_graph_edges.txt"]
    files += [f"{splits}_split_0.6_0.2_{number}.npz" for number in range(10)]
    return _Source(download, tuple((f"geom_gcn_splits/{folder}/raw/{file}", f"{root}raw/{file}") for file in files))


def _npz(name: str, undirected: bool = True, download: Reader | None = None) -> _Source:
    read = _reader(f"{OWN}.npz_graph", "NpzGraph", name=name, undirected=undirected)
    return _Source(download or read, ((f"heterophilous/{name}/raw/{name}.npz", f"raw/{name}.npz"),), read)


def _heterophilous(name: str) -> _Source:
    file = f"{name}/raw/{name}.npz"
    return _Source(_reader(PYG, "HeterophilousGraphDataset", name=name), ((f"heterophilous/{file}", file),))


def _shchur(cls: str, name: str, file: str) -> _Source:
    folder = f"{cls.lower()}/{name}/raw/{file}"
    return _Source(_reader(PYG, cls, name=name), ((folder, f"{name}/raw/{file}"),))


_SOURCES: dict[str, _Source] = {
    "cora": _planetoid("Cora"),
    "citeseer": _planetoid("CiteSeer"),
    "pubmed": _planetoid("PubMed"),
    "cora-geom-gcn": _planetoid_ten("Cora"),
    "citeseer-geom-gcn": _planetoid_ten("CiteSeer"),
    "pubmed-geom-gcn": _planetoid_ten("PubMed"),
    "texas": _geom_gcn("webkb/texas", "texas/", "texas", _reader(PYG, "WebKB", name="texas")),
    "wisconsin": _geom_gcn("webkb/wisconsin", "wisconsin/", "wisconsin", _reader(PYG, "WebKB", name="wisconsin")),
    "cornell": _npz("cornell"),  # the text files that PyG downloads hold the features and labels of Texas
    "actor": _geom_gcn("actor", "", "film", _reader(PYG, "Actor")),
    "chameleon": _npz("chameleon_directed", False, _reader(PYG, "WikipediaNetwork", name="chameleon")),
    "squirrel": _npz("squirrel_directed", False, _reader(PYG, "WikipediaNetwork", name="squirrel")),
    "chameleon-filtered": _npz("chameleon_filtered"),
    "squirrel-filtered": _npz("squirrel_filtered"),
    "roman-empire": _heterophilous("roman_empire"),
    "amazon-ratings": _heterophilous("amazon_ratings"),
    "minesweeper": _heterophilous("minesweeper"),
    "tolokers": _heterophilous("tolokers"),
    "questions": _heterophilous("questions"),
    "coauthor-cs": _shchur("Coauthor", "CS", "ms_academic_cs.npz"),
    "coauthor-physics": _shchur("Coauthor", "Physics", "ms_academic_phy.npz"),
    "amazon-computers": _shchur("Amazon", "Computers", "amazon_electronics_computers.npz"),
    "amazon-photo": _shchur("Amazon", "Photo", "amazon_electronics_photo.npz"),
    "ogbn-arxiv": _Source(
        _reader(f"{OWN}.ogbn_arxiv", "OgbnArxiv"),
        tuple(
            (f"ogb/ogbn_arxiv/{folder}/{name}.csv.gz", f"raw/{name}.csv.gz")
            for folder, names in (
                ("raw", ("edge", "node-feat", "node-label")),
                ("split/time", ("train", "valid", "test")),
            )
            for name in names
        ),
    ),
}

NAMES = tuple(_SOURCES)
"""All graphs that :func:`load` knows."""


def load(name: str, data_dir: str | Path | None = None) -> Data:
    """A graph as published: from a local copy without any network, else by PyG's download into the cache.

    Args:
        name: One of :data:`NAMES`; capitals and underscores do not matter. ``-geom-gcn`` are the Planetoid graphs with
            the ten splits of Geom-GCN.
        data_dir: The folder of local copies; default ``$GRAPHLAB_DATA``, else ``shared/data`` beside the checkout.

    Returns:
        ``x`` float32 ``[num_nodes, num_features]``, ``y`` int64 ``[num_nodes]``, ``edge_index`` and, where splits are
        published, ``train_mask``, ``val_mask`` and ``test_mask``: ``[num_nodes]``, or ``[num_nodes, 10]`` of ten.

    Raises:
        DatasetError: the name is unknown, or there is neither a complete local copy nor a download.
    """
    wanted = re.sub(r"[_ ]", "-", name.lower())
    if wanted not in _SOURCES:
        raise DatasetError(f"no data set {name!r}; there are {', '.join(NAMES)}")
    source, folder = _SOURCES[wanted], data_folder(data_dir)
    absent = missing(folder, source.files)
    if not absent:
        data: Data = process_copy(folder, source.files, source.local or source.download)[0]
        return data
    root = cache_folder() / "downloaded" / wanted
    try:
        data = source.download(str(root))[0]
    except OSError as error:
        raise DatasetError(
            f"{wanted}: {_why(source, folder, absent)}; PyG's download into {root} failed: {error}"
        ) from error
    return data


def _why(source: _Source, folder: Path, absent: list[str]) -> str:
    if source.hint is not None and (folder / source.hint[0]).exists():
        return f"no complete local copy: in {folder}, {source.hint[1]}"
    more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
    return (
        f"no local copy: in {folder} there is no {absent[0]}{more} (--data-dir or $GRAPHLAB_DATA names another folder)"
    )

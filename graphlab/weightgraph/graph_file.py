"""Explicit graphs in files: safetensors, so that nothing in them is ever executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from typing import Any

from torch import Tensor
from torch_geometric.data import Data

from graphlab import checkpoint
from graphlab.checkpoint import CheckpointError

GRAPH_KEY = "graphlab.graph"
"""Metadata key under which a saved graph says how it was drawn (JSON)."""


def save_graph(data: Data, path: str | PathLike[str], layout: str, options: Mapping[str, Any]) -> None:
    """Write the tensors of a graph and the layout that drew it.

    Args:
        data: As :meth:`~graphlab.weightgraph.WeightGraph.to_data` gives it.
        path: The file to write.
        layout, options: That it was drawn by; the options as JSON can hold them.
    """
    tensors = {name: value for name, value in data if isinstance(value, Tensor)}
    about = {"layout": layout, "options": dict(options), "num_nodes": data.num_nodes}
    checkpoint.save(tensors, path, {GRAPH_KEY: json.dumps(about)})


def load_graph(path: str | PathLike[str]) -> tuple[Data, str, dict[str, Any]]:
    """A graph, its layout and the layout's options, as :func:`save_graph` wrote them; tensors are views of the file.

    Raises:
        CheckpointError: if the file is no explicit graph.
    """
    opened = checkpoint.open(path)
    text = opened.metadata.get(GRAPH_KEY)
    if text is None:
        raise CheckpointError(opened.path, "no explicit graph; `graphlab convert --layout` makes one of a checkpoint")
    try:
        about = json.loads(text)
        layout, options, num_nodes = about["layout"], about["options"], about["num_nodes"]
        data = Data(num_nodes=int(num_nodes), **opened)
        data.validate()
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(opened.path, f"its graph cannot be read: {error}") from error
    return data, str(layout), dict(options)

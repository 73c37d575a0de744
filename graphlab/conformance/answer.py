"""Results, as an adapter returns them and as they are dumped and compared."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from torch import Tensor


@dataclass(frozen=True)
class Results:
    """What an adapter computed.

    Args:
        tensors: by their names in the schema, without ``output/``: ``{"log_probs": ..., "grad/lin1.weight": ...}``.
        document: the expected JSON values, at the keys and depth they have in the case:
            ``{"networks": [{"node_names": [...]}, ...]}``.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """One side of a comparison: tensors by full name (``output/log_probs``), and a document of plain JSON values."""

    tensors: Mapping[str, Tensor]
    document: Mapping[str, Any]

    @classmethod
    def from_results(cls, results: Results, given: Mapping[str, Tensor]) -> Self:
        """The answer that a dump of ``results`` holds; outputs that were ``given`` to the adapter need not be repeated.

        Raises:
            TypeError: if a result is neither a tensor nor, in the document, a JSON value.
        """
        tensors = {f"output/{name}": value for name, value in {**given, **results.tensors}.items()}
        for name, value in tensors.items():
            if not isinstance(value, Tensor):
                raise TypeError(f"{name}: expected a Tensor, got {type(value).__name__}")
        # Two results may share memory (a parameter and its alias); a safetensors file holds each on its own.
        tensors = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        return cls(tensors, json.loads(json.dumps(results.document)))

"""The layers that a weight file seems to have: its parameters by the module that they belong to, in running order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

Shape = tuple[int, ...]

DEPTH = 32
"""Parts of a name that are looked at; the rest counts as one part."""

_ROLE = re.compile(r"(?:^|_)(?:weight|bias|running_mean|running_var|gamma|beta|kernel)(?=_|$)")
_NUMBER = re.compile(r"\d+")
_FIRST = re.compile(
    r"embed(?!_out)|^wte$|^wpe$|^shared$|stem|encoder$|attn|attention|^self$|qkv|(^|_)(q|k|v|query|key|value)(_|$)",
    re.I,
)
_LAST = re.compile(
    r"^decoder|^out(put)?$|^o$|^(o|c|out)_proj$|out_lin|^proj$|projection$|downsample|reduction|head|classifier|^fc$|^score$"
    r"|embed_out",
    re.I,
)
_TABLE = re.compile(r"embed(?!_out)|^wte$|^wpe$|token|position|^pos_|^shared$|^relative_", re.I)
_READS_ATTENTION = re.compile(r"(?:^|_)(?:q|k|v|query|key|value)(?:_proj|_lin)?$", re.I)
_VALUE = re.compile(r"(?:^|_)v(?:alue)?(?:_proj|_lin)?$", re.I)
_FUSED = re.compile(r"qkv|query_key_value|c_attn|in_proj", re.I)
_CROSS = re.compile(r"encoder_attn|encdec|cross", re.I)
_QUERY = re.compile(r"(?:^|_)q(?:uery)?(?:_proj|_lin)?$", re.I)
_ROUTER = re.compile(r"^(gate|router)$", re.I)


@dataclass(frozen=True)
class Layer:
    """The parameters of one module.

    Attributes:
        key: Name of the module.
        parameters: Name -> shape; the matrix, if there is one, comes first.
        into, out: The axes of the matrix that are its inputs and outputs; ``None`` without a matrix.
        block: Name of the repeated block that it is in (``layers.3``), or ``None``.
    """

    key: str
    parameters: dict[str, Shape]
    into: int | None = None
    out: int | None = None
    block: str | None = None

    @property
    def shape(self) -> Shape:
        """Of the matrix, or of the first parameter."""
        return next(iter(self.parameters.values()))

    @property
    def inputs(self) -> int:
        return 0 if self.into is None else self.shape[self.into]

    @property
    def outputs(self) -> int:
        return 0 if self.out is None else self.shape[self.out]

    @property
    def parent(self) -> str:
        return self.key.rpartition(".")[0]

    @property
    def last_part(self) -> str:
        return self.key.rpartition(".")[2]

    @property
    def is_matrix(self) -> bool:
        return len(self.shape) >= 2 and not self.is_table

    @property
    def is_table(self) -> bool:
        """Rows that are looked up or added, each as wide as what it is added to."""
        if len(self.parameters) > 1:
            return False
        if len(self.shape) == 3:
            return self.shape[0] == 1 and self.key in self.parameters
        return len(self.shape) in (1, 2) and _TABLE.search(self.last_part) is not None

    @property
    def has_experts(self) -> bool:
        """Whether its matrix is one for each expert, one after the other."""
        return len(self.shape) == 3 and "expert" in self.key.lower()

    @property
    def reads_attention(self) -> bool:
        """Whether it makes queries, keys or values."""
        return _READS_ATTENTION.search(self.last_part) is not None or self.is_fused_attention

    @property
    def reads_encoder(self) -> bool:
        """Whether it makes the keys or values of a cross-attention."""
        return self.reads_attention and bool(_CROSS.search(self.key)) and not _QUERY.search(self.last_part)

    @property
    def is_value(self) -> bool:
        return _VALUE.search(self.last_part) is not None

    @property
    def is_fused_attention(self) -> bool:
        """Whether it makes queries, keys and values at once."""
        return _FUSED.search(self.last_part) is not None and self.outputs == 3 * self.inputs

    @property
    def is_router(self) -> bool:
        return _ROUTER.search(self.last_part) is not None


def layers(shapes: Mapping[str, Shape]) -> list[Layer]:
    """The layers of a file in the order in which they seem to run.

    That is the order of the file, unless its matrices are in the order of the alphabet (safetensors): then numbers
    count as numbers, and words for what usually comes first (embedding, encoder, attention, query) and last (output,
    projection, head) are put there.
    """
    found: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        found.setdefault(_module(name), {})[name] = shape
    result = [Layer(key, dict(sorted(own.items(), key=lambda item: -len(item[1])))) for key, own in found.items()]
    matrices = [name for name, shape in shapes.items() if len(shape) >= 2]
    if matrices == sorted(matrices):
        result.sort(key=_running_order)
    return _oriented(_in_blocks(result))


def _module(name: str) -> str:
    """A name without the word for the part that a parameter plays in its module."""
    module, _, leaf = name.rpartition(".")
    rest = _ROLE.sub("", leaf)
    return f"{module}.{rest}" if module and rest else module or rest


def _running_order(layer: Layer) -> list[tuple[int, bool, int, str, int, str]]:
    """Part by part: telling words, numbers, matrices (those with more outputs than inputs first), vectors, words."""
    parts = layer.key.split(".", DEPTH)
    shape = layer.shape
    kind = 2 if len(shape) < 2 else 1 if shape[-2] < shape[-1] else 0
    order = []
    for depth, part in enumerate(parts, 1):
        numbers = _NUMBER.findall(part)
        digits = numbers[-1].lstrip("0") if numbers else ""
        rank = 1 if _LAST.search(part) else -1 if _FIRST.search(part) else 0
        order.append((rank, not numbers, len(digits), digits, kind if depth == len(parts) else 3, part))
    return order


def _in_blocks(found: list[Layer]) -> list[Layer]:
    """Each layer with the smallest numbered module around it that has two matrices or more and is there repeatedly."""
    around = {layer.key: list(_numbered(layer.key)) for layer in found}
    matrices = Counter(outer for layer in found if layer.is_matrix for outer in around[layer.key])
    repeats = Counter(_NUMBER.sub("#", outer) for outer, count in matrices.items() if count > 1)

    def block(layer: Layer) -> str | None:
        blocks = (o for o in around[layer.key] if matrices[o] > 1 and repeats[_NUMBER.sub("#", o)] > 1)
        return next(blocks, None)

    return [replace(layer, block=block(layer)) for layer in found]


def _numbered(key: str) -> Iterator[str]:
    """The modules around a module whose own name is a number, from the innermost."""
    parts = key.split(".", DEPTH)
    for end in range(len(parts) - 1, 0, -1):
        if parts[end - 1].isdigit():
            yield ".".join(parts[:end])


def _oriented(found: list[Layer]) -> list[Layer]:
    """Each matrix with its output axis: the first, or the second where the length of the bias says so.

    Square matrices with a bias are stored as most of those that tell.
    """
    told = {layer.key: _transposed(layer) for layer in found if layer.is_matrix}
    votes = Counter(told[layer.key] for layer in found if len(layer.shape) == 2 and layer.key in told)
    mostly = votes[True] > votes[False]
    result = []
    for layer in found:
        if layer.key not in told:
            result.append(layer)
            continue
        lead = 1 if layer.has_experts else 0
        square = len(layer.shape) == 2 and len(layer.parameters) > 1 and told[layer.key] is None
        turned = not lead and (told[layer.key] or (square and mostly))
        into, out = (lead, lead + 1) if turned else (lead + 1, lead)
        result.append(replace(layer, into=into, out=out))
    return result


def _transposed(layer: Layer) -> bool | None:
    """Whether the vectors beside a matrix are as long as its second axis (True), its first (False), or do not tell."""
    first, second = layer.shape[:2]
    lengths = {shape[0] for shape in layer.parameters.values() if len(shape) == 1}
    if first == second or len(lengths & {first, second}) != 1:
        return None
    return second in lengths

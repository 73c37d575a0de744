"""The structure of every architecture: as the table says, proved by execution, and lossless."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
import torch

from graphlab.capture import capture
from graphlab.weightgraph import Structure, WeightGraph, equal_bytes, random_permutations, trace, verify
from graphlab.weightgraph.verify import CONTROL, FLOOR
from tests.architectures import ARCHITECTURES, Example
from tests.weightgraph.expected import EXPECTED, matching


@cache
def _traced(name: str) -> tuple[Example, Structure]:
    example = ARCHITECTURES[name]()
    return example, trace(capture(example.module, example.args, example.kwargs), _counted(example))


def _counted(example: Example) -> list[str] | None:
    return [example.output] if isinstance(example.output, str) else None


def test_every_architecture_has_a_table() -> None:
    assert EXPECTED.keys() == ARCHITECTURES.keys()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_groups_are_those_of_the_table(name: str) -> None:
    example, structure = _traced(name)
    rows = EXPECTED[name](example.module)
    sizes = {row.what: row.size for row in rows}
    names = list(structure.axes)
    expected = Counter(
        (tuple(sorted(matching(row.on, names))), row.size, row.fixed, (sizes[row.within],) if row.within else ())
        for row in rows
    )
    found = Counter(
        (
            tuple(sorted(structure.parameters_of(group.name))),
            group.size,
            not group.free,
            tuple(structure.groups[outer].size for outer in group.within),
        )
        for group in structure.groups.values()
    )
    assert found - expected == Counter(), "groups that the table lacks"
    assert expected - found == Counter(), "groups that were not found"
    assert not structure.without_rule


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_symmetry_holds_and_every_control_fires(name: str) -> None:
    example, structure = _traced(name)
    result = verify(example.module, example.args, example.kwargs, _counted(example))
    checked = {check.group: check for check in result.checks}
    assert checked.keys() == structure.groups.keys()
    for group in structure.groups.values():
        check = checked[group.name]
        assert (check.difference is not None) == group.free
        assert check.difference is None or check.difference <= FLOOR, group
        assert check.control is not None, f"no control for {group}"
        assert check.control > CONTROL, f"control of {group}: {check.control}"
    assert result.passed


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_round_trips_bit_for_bit(name: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    example, structure = _traced(name)
    original = {key: tensor.detach() for key, tensor in example.module.state_dict().items()}
    graph = WeightGraph(structure, original)
    assert equal_bytes(graph.state_dict(), original)
    graph.save(tmp_path / "graph.safetensors")
    loaded = WeightGraph.load(tmp_path / "graph.safetensors")
    assert loaded.structure == structure
    assert equal_bytes(loaded.state_dict(), original)

    permutations = random_permutations(structure, generator=torch.Generator().manual_seed(1))
    permuted = loaded.permute(permutations)
    assert not equal_bytes(permuted.state_dict(), original)
    inverse = {key: table.argsort(-1) for key, table in permutations.items()}
    for group in structure.free:
        if group.within:
            inverse[group.name] = _inverse_inside(structure, group.name, permutations)
    assert equal_bytes(permuted.permute(inverse).state_dict(), original)


def _inverse_inside(structure: Structure, name: str, permutations: dict[str, torch.Tensor]) -> torch.Tensor:
    """The inverse of neurons permuted inside others, which are permuted themselves: the outer indices move too."""
    table = permutations[name].argsort(-1)
    for dim, outer in enumerate(structure.groups[name].within):
        if outer in permutations and not structure.groups[outer].within:
            table = table.index_select(dim, permutations[outer].argsort(-1))
    return table

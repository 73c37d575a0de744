"""Batches of drawings: parameters come back from them; dtypes, devices, gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphlab import checkpoint
from graphlab.weightgraph import WeightGraphBatch, equal_bytes
from tests.weightgraph.batches import DIVISION, MEMBERS, batched, member


@given(kinds=MEMBERS, large=DIVISION, data=st.data())
@settings(deadline=None, max_examples=40)
def test_state_dicts_come_back_bit_for_bit(kinds: list[str], large: int, data: st.DataObject) -> None:
    dtypes = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])
    pairs = []
    for seed, kind in enumerate(kinds):
        wiring, tensors = member(kind, seed)
        pairs.append((wiring, {name: tensor.to(data.draw(dtypes)) for name, tensor in tensors.items()}))
    batch = batched(pairs, large)
    assert all(equal_bytes(own, dict(tensors)) for own, (_, tensors) in zip(batch.state_dicts(), pairs, strict=True))
    padded = batch.edge_map(lambda edges: edges.values)
    assert all(equal_bytes(own, dict(tensors)) for own, (_, tensors) in zip(padded.state_dicts(), pairs, strict=True))


@given(kinds=MEMBERS, large=DIVISION)
@settings(deadline=None, max_examples=40)
def test_edited_values_arrive_where_they_do_in_one_network(kinds: list[str], large: int) -> None:
    pairs = [member(kind, seed) for seed, kind in enumerate(kinds)]
    batch = batched(pairs, large)
    generator = torch.Generator().manual_seed(1)
    values = [torch.randn(part.values.shape, generator=generator) for part in batch.parts]
    x = torch.randn(batch.num_nodes, 1, generator=generator)
    edited = batch.with_values(values, x)
    order = batch.order.tolist()
    edges = edited.to_data().edge_attr.split([pairs[place][0].num_edges for place in order])
    found = edited.state_dicts()
    for place, own, start, stop in zip(order, edges, batch.ptr[:-1], batch.ptr[1:], strict=True):
        wiring, tensors = pairs[place]
        assert equal_bytes(found[place], wiring.read_back(own[:, : wiring.slots], tensors, x[start:stop]))
        assert all(found[place][name] is tensors[name] for name in tensors if name == "undrawn")
    assert all(equal_bytes(own, dict(pair[1])) for own, pair in zip(batch.state_dicts(), pairs, strict=True))


@pytest.mark.parametrize("large", [1, 10**9])
def test_gradients_flow_in_and_out(large: int) -> None:
    pairs = [
        (wiring, {n: t.requires_grad_() for n, t in own.items()})
        for wiring, own in (member("kinds", 0), member("thin", 1))
    ]
    batch = batched(pairs, large)
    edited = batch.with_values([3 * part.values for part in batch.parts], None if batch.x is None else 3 * batch.x)
    for own, (_, tensors) in zip(edited.state_dicts(), pairs, strict=True):
        drawn = [name for name in own if name != "undrawn"]
        sum(own[name].sum() for name in drawn).backward(retain_graph=True)  # type: ignore[union-attr]
        assert all(tensors[name].grad is not None for name in drawn)
    assert torch.equal(pairs[1][1]["0.weight"].grad, torch.full((4, 2), 3.0))  # type: ignore[arg-type]


def test_dtypes_and_devices() -> None:
    wiring, tensors = member("thin", 0)
    half = {name: tensor.bfloat16() for name, tensor in tensors.items()}
    batch = WeightGraphBatch([(wiring, half), (wiring, half | {"1.weight": tensors["1.weight"]})])
    assert batch.dtype == torch.float32
    assert {part.values.dtype for part in batch.parts} == {torch.float32}
    assert WeightGraphBatch([(wiring, half)]).dtype == torch.bfloat16
    double = batch.to(dtype=torch.float64)
    assert (double.dtype, double.parts[0].source.dtype) == (torch.float64, torch.int64)
    assert equal_bytes(double.state_dicts()[0], half)
    assert batch.to("meta").device.type == "meta"
    assert batch.device.type == "cpu"


@pytest.mark.parametrize("large", [1, 30, 10**9])
def test_everything_is_on_the_device_of_the_members_or_where_it_was_moved(large: int) -> None:
    pairs = [member(kind, seed) for seed, kind in enumerate(["kinds", "conv", "neural", "kinds"])]
    there = [(wiring, {name: tensor.to("meta") for name, tensor in tensors.items()}) for wiring, tensors in pairs]
    for batch in (batched(there, large), batched(pairs, large).to("meta")):
        parts = [tensor for part in batch.parts for tensor in (part.source, part.target, part.type, part.layer)]
        found = [*parts, *(part.values for part in batch.parts), batch.x, batch.order, batch.ptr, batch.batch]
        found += [value for name, value in batch.to_data() if name != "num_nodes"]
        found += [own[name] for own in batch.state_dicts() for name in own if name != "undrawn"]
        assert all(tensor.is_meta for tensor in found)


def test_state_dicts_can_be_saved(tmp_path: Path) -> None:
    batch = WeightGraphBatch([member("conv", seed) for seed in range(30)])
    own = batch.state_dicts()[7]
    checkpoint.save(own, tmp_path / "one.safetensors")
    assert equal_bytes(dict(checkpoint.open(tmp_path / "one.safetensors")), own)
    assert (tmp_path / "one.safetensors").stat().st_size < 3000, "one member, not the stack"

"""The safetensors format: what is read, what is refused, and that reading is lazy."""

from __future__ import annotations

import json
import resource
import time

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphlab.checkpoint as checkpoints
from graphlab.checkpoint.dtypes import SAFETENSORS_NAMES
from graphlab.checkpoint.strict_json import MAX_JSON_FILE


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_reads_what_the_library_writes(tmp_path, state):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(state, path, {"format": "pt"})
    checkpoint = checkpoints.open(path)
    assert checkpoint.metadata == {"format": "pt"}
    assert checkpoint.format == "safetensors"
    assert set(checkpoint) == set(state)
    for name, tensor in state.items():
        assert torch.equal(checkpoint[name], tensor)
        assert checkpoint.specs[name].shape == tensor.shape
        assert checkpoint.specs[name].dtype == tensor.dtype
        assert checkpoint.specs[name].nbytes == tensor.nbytes
        assert checkpoint.specs[name].file == path
    assert checkpoint.num_parameters == sum(tensor.numel() for tensor in state.values())
    assert checkpoint.nbytes == sum(tensor.nbytes for tensor in state.values())


def test_tensors_are_views_that_never_write_the_file(tmp_path, state):
    path = tmp_path / "model.safetensors"
    checkpoints.save(state, path)
    before = path.read_bytes()
    checkpoint = checkpoints.open(path)
    assert checkpoint["0.weight"].data_ptr() == checkpoint["0.weight"].data_ptr()
    checkpoint["0.weight"].fill_(7)
    assert bool((checkpoint["0.weight"] == 7).all())
    assert path.read_bytes() == before
    assert torch.equal(checkpoints.open(path)["0.weight"], state["0.weight"])


def test_a_tensor_outlives_its_checkpoint(tmp_path, state):
    checkpoints.save(state, tmp_path / "m.safetensors")
    tensor = checkpoints.open(tmp_path / "m.safetensors")["0.weight"]
    (tmp_path / "m.safetensors").unlink()
    assert torch.equal(tensor, state["0.weight"])


def test_opening_a_file_larger_than_memory_reads_its_header_only(tmp_path):
    size = 2**37
    text = json.dumps({"first": entry(shape=(size // 4,), offsets=(0, size))}).encode()
    text += b" " * (-len(text) % 8)
    path = tmp_path / "sparse.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + size)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    checkpoint = checkpoints.open(path)
    assert checkpoint.specs["first"].numel == size // 4
    assert checkpoint["first"][-3:].tolist() == [0, 0, 0]
    assert time.perf_counter() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 2**14


def test_misaligned_tensors_are_copied(write_header):
    text = json.dumps({"x": entry()}).encode()
    text += b" " * (1 - len(text) % 8)
    checkpoint = checkpoints.open(write_header(text, 8))
    assert checkpoint.specs["x"].offset % 4
    assert checkpoint["x"].data_ptr() % 4 == 0
    assert checkpoint["x"].tolist() == [0, 0]


def test_names_in_the_header_keep_their_order(write_header):
    header = {"b": entry(offsets=(8, 16)), "a": entry(offsets=(0, 8)), "empty": entry(shape=(0, 5), offsets=(8, 8))}
    assert list(checkpoints.open(write_header(header, 16))) == ["b", "a", "empty"]


@pytest.mark.parametrize(
    ("header", "data", "expected"),
    [
        ({"x": entry(shape=(3,))}, 8, "F32 of shape [3] needs 12 bytes; it has 8"),
        ({"x": entry(shape=(2**62, 4))}, 8, "number of elements does not fit"),
        ({"x": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}, 0, "number of elements does not fit"),
        ({"x": entry(shape=(-2,))}, 8, "expected non-negative 64-bit integers; got [-2]"),
        ({"x": entry(shape=(2.0,))}, 8, "expected non-negative 64-bit integers"),
        ({"x": entry(shape=(True, 2))}, 8, "expected non-negative 64-bit integers"),
        ({"x": entry(shape=(1,) * 65)}, 8, "at most 64"),
        ({"x": entry(dtype="F33")}, 8, "expected a dtype of F64"),
        ({"x": entry(dtype=["F32"])}, 8, "expected a dtype of F64"),
        ({"x": entry(offsets=(0, 16))}, 8, "lead out of the file's 8 bytes"),
        ({"x": entry(offsets=(8, 0))}, 8, "lead out of the file's 8 bytes"),
        ({"x": entry(offsets=(-8, 0))}, 8, "lead out of the file's 8 bytes"),
        ({"x": entry(offsets=(0, 10**5000 // 10**4000))}, 8, "an integer of"),
        ({"x": entry(offsets=(0, 8, 8))}, 8, "data_offsets must be two integers"),
        ({"x": entry(offsets=(0, 8.0))}, 8, "data_offsets must be two integers"),
        ({"x": {"dtype": "F32", "shape": [2]}}, 8, "expected the keys dtype, shape and data_offsets"),
        ({"x": 3}, 8, "expected the keys dtype, shape and data_offsets; got 3"),
        ({"x": entry(), "y": entry()}, 8, "overlaps the tensor before it"),
        ({"x": entry(), "y": entry(offsets=(4, 12))}, 12, "overlaps the tensor before it"),
        ({"x": entry(), "y": entry(offsets=(12, 20))}, 20, "leaves a hole before it"),
        ({"x": entry(offsets=(4, 12))}, 12, "leaves a hole before it"),
        ({"x": entry()}, 12, "the tensors end at byte"),
        ({"__metadata__": {"a": 1}}, 0, "__metadata__ must map strings to strings"),
        ({"__metadata__": []}, 0, "__metadata__ must map strings to strings"),
        ({"__metadata__": {"graphlab.aliases": '{"y": "z"}'}, "x": entry()}, 8, "ties it to 'z'"),
        ({"__metadata__": {"graphlab.aliases": '{"x": "x"}'}, "x": entry()}, 8, "ties it to 'x'"),
        ({"__metadata__": {"graphlab.aliases": "["}, "x": entry()}, 8, "not valid JSON"),
        (b"[]", 0, "must be a JSON object; it is []"),
        (b"{", 0, "not valid JSON"),
        (b'{"a":' * 100_000, 0, "not valid JSON"),
        (b'{"x":{"dtype":"F32","dtype":"F32"}}', 0, "'dtype' occurs twice"),
        (b'{"\\ud800": 1}', 0, "not valid JSON"),
        (b'{"x": ' + b"9" * 5000 + b"}", 0, "not valid JSON"),
        (b'{"\xff": 1}', 0, "not valid JSON"),
    ],
)
def test_refuses_a_bad_header(write_header, refusal, header, data, expected):
    message = refusal(write_header(header, data))
    assert expected in message
    if isinstance(header, dict) and "x" in header and "end at byte" not in message and "JSON" not in message:
        assert "tensor '" in message


@pytest.mark.parametrize("length", [100, 100_000_001, 2**63, 2**64 - 1])
def test_refuses_a_header_longer_than_the_file(write_header, refusal, length):
    assert f"declares {length} bytes" in refusal(write_header({}, length=length))


def test_refuses_a_header_over_the_limit(tmp_path, refusal):
    path = tmp_path / "long.safetensors"
    with path.open("wb") as file:
        file.write((100_000_001).to_bytes(8, "little") + b"{")
        file.truncate(200_000_000)
    assert "at most 100000000 are accepted" in refusal(path)


def test_refuses_a_short_file(tmp_path, refusal):
    (tmp_path / "m.safetensors").write_bytes(b"1234")
    assert "too short for safetensors: 4 bytes" in refusal(tmp_path / "m.safetensors")


def test_refuses_a_huge_index(tmp_path, refusal):
    with (tmp_path / "model.safetensors.index.json").open("wb") as file:
        file.truncate(MAX_JSON_FILE + 1)
    assert "at most" in refusal(tmp_path / "model.safetensors.index.json")


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(list(SAFETENSORS_NAMES)), st.lists(st.integers(0, 4), max_size=4)),
        max_size=6,
    ),
    metadata=st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")), max_size=3),
)
def test_what_is_saved_comes_back_bit_for_bit(tmp_path_factory, shapes, metadata):
    path = tmp_path_factory.mktemp("round") / "m.safetensors"
    tensors = {
        name: torch.randint(0, 2, (*shape, dtype.itemsize), dtype=torch.uint8).view(dtype).reshape(shape)
        for name, (dtype, shape) in shapes.items()
    }
    checkpoints.save(tensors, path, metadata)
    checkpoint = checkpoints.open(path)
    assert list(checkpoint) == list(tensors)
    assert checkpoint.metadata == metadata
    reference = safetensors.torch.load_file(path)
    for name, tensor in tensors.items():
        for came in (checkpoint[name], reference[name]):
            assert came.dtype == tensor.dtype
            assert came.shape == tensor.shape
            assert torch.equal(came.reshape(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8))
        assert checkpoint.specs[name].offset % tensor.dtype.itemsize == 0

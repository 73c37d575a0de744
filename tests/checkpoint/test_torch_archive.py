"""Damaged and hostile torch archives, and other files that are recognised for what they are."""

from __future__ import annotations

import struct
import zipfile

import pytest
import torch

import graphlab.checkpoint as checkpoints
from graphlab.checkpoint import torch_format, weights_pickle, zip_directory


def test_compressed_records_are_refused(saved, refusal, rewrite):
    path = rewrite(saved({"w": torch.zeros(10**6)}), lambda _: None, zipfile.ZIP_DEFLATED)
    assert "is compressed" in refusal(path)


def test_a_storage_beyond_its_record_is_refused(saved, refusal, rewrite):
    def cut(records):
        name = "data/0"
        records[name] = records[name][:-4]

    assert "tensor 'w': its storage declares 40 bytes; the archive has 36" in refusal(
        rewrite(saved({"w": torch.ones(10)}), cut)
    )


def test_a_missing_storage_is_refused(saved, refusal, rewrite):
    path = rewrite(saved({"w": torch.ones(10)}), lambda records: records.pop("data/0"))
    assert "tensor 'w': its storage '0' is missing" in refusal(path)


def test_a_foreign_byte_order_is_refused(saved, refusal, rewrite):
    path = rewrite(saved({"w": torch.ones(10)}), lambda records: records.update({"byteorder": b"big"}))
    assert "byte order 'big'" in refusal(path)


def hand_made(path, offset=0, shape=(2, 3), stride=(3, 1), numel=6):
    """A torch file whose one tensor is described by hand."""
    tuples = {"shape": shape, "stride": stride}
    opcodes = {name: b"(" + b"".join(map(integer, value)) + b"t" for name, value in tuples.items()}
    pickled = (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n("
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + integer(numel) + b"tQ" + integer(offset) + opcodes["shape"] + opcodes["stride"] + b"\x89NtRs."
    )  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", pickled)
        archive.writestr("m/data/0", struct.pack("<6f", *range(6)))
    return path


def integer(value):
    return b"\x8a\x0a" + value.to_bytes(10, "little", signed=True)


def test_the_hand_made_file_is_valid(tmp_path):
    assert checkpoints.open(hand_made(tmp_path / "m.pt"))["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"offset": 1}, "lead out of its storage of 6 elements"),
        ({"stride": (4, 1)}, "lead out of its storage of 6 elements"),
        ({"shape": (3, 3)}, "lead out of its storage of 6 elements"),
        ({"offset": -1}, "offset: expected non-negative"),
        ({"stride": (-3, 1)}, "stride: expected non-negative"),
        ({"stride": (1,)}, "differ in length"),
        ({"shape": (2**62, 8), "stride": (0, 0)}, "number of elements does not fit"),
        ({"shape": (2**40,), "stride": (0,)}, "an expanded view of 1099511627776 elements"),
        ({"numel": 7}, "its storage declares 28 bytes; the archive has 24"),
        ({"numel": -1}, "its storage declares -4 bytes"),
    ],
)
def test_a_view_leading_out_of_its_storage_is_refused(tmp_path, refusal, changes, expected):
    message = refusal(hand_made(tmp_path / "m.pt", **changes))
    assert "tensor 'w'" in message
    assert expected in message


@pytest.mark.parametrize("length", [3, 30, 500, -1, -22, -30, -100])
def test_cut_archives_are_refused(saved, refusal, length):
    path = saved({"w": torch.ones(10)})
    path.write_bytes(path.read_bytes()[:length])
    assert refusal(path)


def test_bytes_after_the_archive_are_refused(saved, refusal):
    path = saved({"w": torch.ones(10)})
    path.write_bytes(path.read_bytes() + b"x")
    assert "bytes follow" in refusal(path)


def test_too_many_records_and_long_pickles_are_refused(saved, refusal, state, monkeypatch):
    path = saved(state)
    monkeypatch.setattr(zip_directory, "MAX_RECORDS", 3)
    assert "at most 3 are accepted" in refusal(path)
    monkeypatch.undo()
    monkeypatch.setattr(torch_format, "MAX_PICKLE", 10)
    assert "at most 10 are accepted" in refusal(path)
    monkeypatch.undo()
    monkeypatch.setattr(weights_pickle, "MAX_OPCODES", 10)
    assert "more than 10 opcodes" in refusal(path)


def write_large(path, records):
    """Writes a zip archive whose directory has 64-bit sizes only; a record given as a number is that many zeros."""
    directory = b""
    with path.open("wb") as file:
        for name, data in records.items():
            size, start = (data, file.tell()) if isinstance(data, int) else (len(data), file.tell())
            wide, full = struct.pack("<HHQQQ", 1, 24, size, size, start), 0xFFFFFFFF
            file.write(struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 0, 0, full, full, len(name), 0) + name.encode())
            _ = file.seek(size, 1) if isinstance(data, int) else file.write(data)
            directory += struct.pack(
                "<4s6H3L5H2L", b"PK\1\2", 45, 45, 0, 0, 0, 0, 0, full, full, len(name), len(wide), 0, 0, 0, 0, full
            )
            directory += name.encode() + wide
        start, count = file.tell(), len(records)
        end = start + len(directory)
        file.write(directory + struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, end - start, start))
        file.write(struct.pack("<4sLQL", b"PK\6\7", 0, end, 1))
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))


def test_archives_over_4_gigabytes_have_64_bit_offsets(tmp_path):
    path = hand_made(tmp_path / "small.pt")
    with zipfile.ZipFile(path) as archive:
        records = {"m/data/1": 5 * 2**30, **{info.filename: archive.read(info) for info in archive.infolist()}}
    write_large(tmp_path / "large.pt", records)
    with zipfile.ZipFile(tmp_path / "large.pt") as archive:
        assert archive.namelist() == list(records)
    checkpoint = checkpoints.open(tmp_path / "large.pt")
    assert checkpoint.specs["w"].offset > 5 * 2**30
    assert checkpoint["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_deep_nesting_and_cycles_end(saved, refusal, rewrite):
    cycle = {}
    cycle["model"] = cycle
    assert "no state dict" in refusal(saved(cycle))
    deep = b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b"."
    path = rewrite(saved({}), lambda records: records.update({"data.pkl": deep}))
    assert "found [a list]" in refusal(path)


@pytest.mark.parametrize(
    ("name", "start", "expected"),
    [
        ("m.gguf", b"GGUF\x03\0\0\0", "GGUF"),
        ("m.h5", b"\x89HDF\r\n\x1a\n", "HDF5"),
        ("m.npy", b"\x93NUMPY", "numpy.load"),
        ("m.bin", b"\x80\x04\x95", "bare Python pickle"),
        ("m.bin", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("m.bin", b"<!DOCTYPE html>", "web page"),
        ("m.pt.gz", b"\x1f\x8b\x08", "gzip"),
        ("m.tar", bytes(257) + b"ustar", "tar archive"),
        ("model.ckpt.data-00000-of-00001", b"abc", "TensorFlow checkpoint"),
        ("m.onnx", b"\x08\x07", "ONNX"),
        ("m.msgpack", b"\x82", "Flax"),
        ("m.bin", b"hello", "neither safetensors nor a torch zip file"),
    ],
)
def test_other_formats_are_recognised(tmp_path, refusal, name, start, expected):
    (tmp_path / name).write_bytes(start)
    assert expected in refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("record", "expected"),
    [("w.npy", "numpy.load"), ("model.weights.h5", "Keras"), ("readme.txt", "no data.pkl among 'readme.txt'")],
)
def test_other_zip_archives_are_recognised(tmp_path, refusal, record, expected):
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr(record, b"x")
    assert expected in refusal(tmp_path / "m.zip")

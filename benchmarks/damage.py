"""Valid weight files of every format, and the mutations that damage them for `benchmarks.fuzz_checkpoint`."""

from __future__ import annotations

import io
import json
import pickletools
import random
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import graphlab.checkpoint as checkpoints

_INTEGERS = (0, 1, 2, 7, 8, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
_STRINGS = ("", "F32", "BF16", "I8", "../x", "/etc/passwd", "\ud800")
_VALUES: tuple[Any, ...] = (*_INTEGERS, *_STRINGS, -1, 10**30, 1.5, True, None, [], {}, [[]], [0, 2**62])


@dataclass(frozen=True)
class Sample:
    """A valid checkpoint: its files, the ones to damage, and the path to open relative to their folder."""

    name: str
    files: dict[str, bytes]
    targets: tuple[str, ...]
    path: str = "."


def samples() -> list[Sample]:
    """Returns a small valid checkpoint of every format."""
    generator = torch.Generator().manual_seed(0)
    weights = {
        "embed.weight": torch.randn(6, 4, generator=generator),
        "layer.weight": torch.randn(4, 4, generator=generator).bfloat16(),
        "layer.bias": torch.randn(4, generator=generator).half(),
        "mask": torch.tensor([True, False, True]),
        "steps": torch.tensor(7),
        "codes": torch.randn(5, generator=generator).to(torch.float8_e4m3fn),
        "phase": torch.randn(2, generator=generator, dtype=torch.complex64),
        "none": torch.empty(0, 3),
    }
    tied = {**weights, "head.weight": weights["embed.weight"], "turned": weights["embed.weight"].t()}
    lightning = {
        "epoch": 3,
        "state_dict": {f"model.{name}": tensor for name, tensor in tied.items()},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}],
    }
    first = {name: weights[name] for name in list(weights)[:4]}
    second = {name: weights[name] for name in list(weights)[4:]}
    adapter = {f"base_model.model.layer.lora_{part}.weight": torch.ones(2, 4) for part in "AB"}
    whole, one, two = _safetensors(tied), _safetensors(first), _safetensors(second)
    return [
        Sample("safetensors", {"m.safetensors": whole}, ("m.safetensors",), "m.safetensors"),
        Sample("torch", {"m.pt": _torch(tied)}, ("m.pt",), "m.pt"),
        Sample("lightning", {"m.ckpt": _torch(lightning)}, ("m.ckpt",), "m.ckpt"),
        Sample("protocol 4", {"m.pth": _torch(tied, 4)}, ("m.pth",), "m.pth"),
        _sharded("sharded safetensors", "model.safetensors", one, two, first, second),
        _sharded("sharded torch", "pytorch_model.bin", _torch(first), _torch(second), first, second),
        _configured("model folder", "config.json", {"model_type": "x"}, "model.safetensors", whole),
        _configured(
            "adapter folder", "adapter_config.json", {"peft_type": "LORA"}, "adapter_model.bin", _torch(adapter)
        ),
    ]


def _configured(name: str, config: str, values: dict[str, str], weights: str, data: bytes) -> Sample:
    return Sample(name, {config: _json(values), weights: data}, (config, weights))


def _safetensors(tensors: dict[str, torch.Tensor]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        checkpoints.save(tensors, Path(folder, "m"), {"format": "pt"})
        return Path(folder, "m").read_bytes()


def _torch(value: object, protocol: int = 2) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, pickle_protocol=protocol)
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _sharded(
    name: str, base: str, one: bytes, two: bytes, first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]
) -> Sample:
    stem, suffix = base.split(".")
    shards = [f"{stem}-0000{number}-of-00002.{suffix}" for number in (1, 2)]
    index = _json({"metadata": {}, "weight_map": dict.fromkeys(first, shards[0]) | dict.fromkeys(second, shards[1])})
    files = {f"{base}.index.json": index, shards[0]: one, shards[1]: two}
    return Sample(name, files, (f"{base}.index.json", shards[0]))


# mutations: each takes the bytes of a valid file and returns damaged ones


def flip(data: bytes, rng: random.Random) -> bytes:
    """Flips one to eight bits anywhere."""
    return _flip_within(data, 0, len(data), rng)


def flip_payload(data: bytes, rng: random.Random) -> bytes:
    """Flips bits in the tensors' bytes, which leaves a valid file."""
    return _flip_within(data, *_payload(data), rng)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """Cuts the file off anywhere."""
    return data[: rng.randrange(len(data))]


def splice(data: bytes, rng: random.Random) -> bytes:
    """Deletes, repeats or moves a run of bytes."""
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    to = rng.randrange(len(data) + 1)
    return rng.choice([data[:start] + data[end:], data[:end] + data[start:], data[:to] + data[start:end] + data[to:]])


def structure(data: bytes, rng: random.Random) -> bytes:
    """Changes what the header says while it stays a header: JSON values, zip fields or pickle opcodes."""
    if data[:2] == b"PK":
        return _mutate_directory(data, rng) if rng.randrange(3) == 0 else _mutate_pickle(data, rng)
    if data[8:9] == b"{":
        length = int.from_bytes(data[:8], "little")
        header = _mutate_json(data[8 : 8 + length], rng)
        return len(header).to_bytes(8, "little") + header + data[8 + length :]
    return _mutate_json(data, rng)


MUTATIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flip": flip,
    "payload": flip_payload,
    "truncate": truncate,
    "splice": splice,
    "structure": structure,
}


def _flip_within(data: bytes, start: int, end: int, rng: random.Random) -> bytes:
    result = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        result[rng.randrange(start, end)] ^= 1 << rng.randrange(8)
    return bytes(result)


def _payload(data: bytes) -> tuple[int, int]:
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            info = max(
                (info for info in archive.infolist() if "/data/" in info.filename), key=lambda info: info.file_size
            )
        lengths = struct.unpack_from("<HH", data, info.header_offset + 26)
        start = info.header_offset + 30 + sum(lengths)
        return start, start + info.file_size
    if data[8:9] == b"{":
        return 8 + int.from_bytes(data[:8], "little"), len(data)
    return 0, len(data)


def _mutate_json(text: bytes, rng: random.Random) -> bytes:
    kind = rng.randrange(12)
    if kind == 0:
        return b'{"a":' * rng.choice([10, 100_000])
    if kind == 1:
        return text.replace(b":", rng.choice([b":{},", b":" + b"9" * 5000 + b",", b":NaN,"]), 1)
    value = json.loads(text)
    for _ in range(rng.randint(1, 3)):
        parent, key = rng.choice(list(_slots(value)))
        action = rng.randrange(5)
        if action == 0:
            del parent[key]
        elif action == 1 and isinstance(parent, dict):
            parent[rng.choice([f"{key}x", "module.a", "__metadata__", "graphlab.aliases"])] = parent.pop(key)
        elif action == 2 and isinstance(parent[key], int):
            parent[key] += rng.choice([-1, 1, 2, 8])
        elif action == 3:
            other, other_key = rng.choice(list(_slots(value)))
            parent[key] = json.loads(json.dumps(other[other_key]))
        else:
            parent[key] = json.loads(json.dumps(rng.choice(_VALUES)))
        if not list(_slots(value)):
            break
    return json.dumps(value).encode()


def _slots(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _slots(value[key])


def _mutate_directory(data: bytes, rng: random.Random) -> bytes:
    """Sets one field of a central entry, a local header or the two directory ends."""
    fields: dict[bytes, list[tuple[int, int]]] = {
        b"PK\x01\x02": [(8, 2), (10, 2), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (42, 4), (46, 4)],
        b"PK\x03\x04": [(8, 2), (18, 4), (22, 4), (26, 2), (28, 2), (30, 4)],
        b"PK\x05\x06": [(8, 2), (10, 2), (12, 4), (16, 4), (20, 2)],
        b"PK\x06\x06": [(24, 8), (32, 8), (40, 8), (48, 8)],
        b"PK\x06\x07": [(0, 4), (8, 8)],
    }
    signature = rng.choice(list(fields))
    places = [place for place in range(len(data)) if data.startswith(signature, place)]
    offset, width = rng.choice(fields[signature])
    place = rng.choice(places) + offset
    old = int.from_bytes(data[place : place + width], "little")
    new = rng.choice([*_INTEGERS, old + 1, old - 1, old + 64, old * 2]) % (1 << 8 * width)
    return data[:place] + new.to_bytes(width, "little") + data[place + width :]


def _mutate_pickle(data: bytes, rng: random.Random) -> bytes:
    """Deletes, repeats, swaps or rewrites opcodes of the pickle, or makes it call a function."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    name = next(name for name in records if name.endswith("/data.pkl"))
    pickle = records[name]
    starts = [position for _, _, position in pickletools.genops(pickle) if position is not None]
    opcodes = [pickle[start:end] for start, end in zip(starts, [*starts[1:], len(pickle)], strict=True)]
    for _ in range(rng.randint(1, 2)):
        at, other = rng.randrange(1, len(opcodes) - 1), rng.randrange(1, len(opcodes) - 1)
        action = rng.randrange(7)
        if action == 0:
            del opcodes[at]
        elif action == 1:
            opcodes.insert(at, opcodes[other])
        elif action == 2:
            opcodes[at], opcodes[other] = opcodes[other], opcodes[at]
        elif action == 3:
            call = rng.choice([b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch\nload\n", b"cargparse\nNamespace\n"])
            opcodes.insert(at, call + b"(X\x0c\x00\x00\x00touch canarytR" + rng.choice([b"0", b""]))
        else:
            integers = [index for index, opcode in enumerate(opcodes) if opcode[:1] in (b"K", b"M", b"J")]
            value = rng.choice([*_INTEGERS, -1, rng.randrange(16)])
            opcodes[rng.choice(integers)] = b"\x8a\x09" + value.to_bytes(9, "little", signed=True)
        if len(opcodes) < 4:
            break
    records[name] = b"".join(opcodes)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for record, content in records.items():
            archive.writestr(record, content)
    return buffer.getvalue()

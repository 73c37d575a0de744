"""The directory of a zip archive such as `torch.save` writes.

Read here rather than by `zipfile` because records are mapped, not extracted: what counts is where each one's bytes
lie, that they lie inside the file, and that no size is believed before it is checked.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from graphlab.checkpoint.errors import CheckpointError, show
from graphlab.checkpoint.mapped import MappedFile

MAX_RECORDS = 250_000

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_COMMENT = 0xFFFF
_FULL32 = 0xFFFFFFFF
_ZIP64_EXTRA = 1
_ENCRYPTED = 1


class Record(NamedTuple):
    """The place of one record's bytes in the file, and whether they are the record as it is."""

    offset: int
    size: int
    compressed: bool


class _Entry(NamedTuple):
    """What the directory says of one record."""

    name: bytes
    flags: int
    method: int
    stored: int
    size: int
    header: int


def read_directory(file: MappedFile) -> dict[str, Record]:
    """Returns the records of a zip archive by name.

    Raises:
        CheckpointError: the directory is damaged or too long, or a record is encrypted, repeated, overlaps another,
            or leads out of the file.
    """
    try:
        records = _read_records(file)
    except (struct.error, UnicodeDecodeError) as error:
        raise CheckpointError(file.path, f"the zip directory is damaged: {error}") from error
    reached = 0
    for name, record in sorted(records.items(), key=lambda item: item[1]):
        if record.offset < reached:
            raise CheckpointError(file.path, f"the zip record {show(name)} overlaps another")
        reached = record.offset + record.size
    return records


def _read_records(file: MappedFile) -> dict[str, Record]:
    count, start, end = _locate_directory(file)
    records: dict[str, Record] = {}
    directory = file.read(start, end - start)
    position = 0
    for _ in range(count):
        entry, position = _read_entry(directory, position, file)
        name = entry.name.decode("utf-8")
        if name in records:
            raise CheckpointError(file.path, f"the zip record {show(name)} occurs twice")
        if entry.flags & _ENCRYPTED:
            raise CheckpointError(file.path, f"the zip record {show(name)} is encrypted")
        offset = _data_offset(entry, file)
        if offset + entry.stored > start:
            raise CheckpointError(
                file.path,
                f"the zip record {show(name)} declares {entry.stored} bytes; {max(start - offset, 0)} are left",
            )
        records[name] = Record(offset, entry.stored, entry.method != 0 or entry.stored != entry.size)
    return records


def _locate_directory(file: MappedFile) -> tuple[int, int, int]:
    """Returns the number of entries and the directory's first and last byte + 1."""
    at = file.rfind(b"PK\x05\x06", file.size - _END.size - _MAX_COMMENT)
    if at < 0:
        raise CheckpointError(file.path, "the zip archive is cut off: its directory is missing")
    _, _, _, _, count, size, start, comment = _END.unpack(file.read(at, _END.size))
    if at + _END.size + comment != file.size:
        raise CheckpointError(file.path, "bytes follow the zip archive's end")
    end = at
    locator = file.read(max(at - _END64_LOCATOR.size, 0), _END64_LOCATOR.size)
    if locator.startswith(b"PK\x06\x07"):
        end = _END64_LOCATOR.unpack(locator)[2]
        fields = _END64.unpack(file.read(end, _END64.size))
        if fields[0] != b"PK\x06\x06":
            raise CheckpointError(file.path, "the zip archive's 64-bit directory end is missing")
        count, size, start = fields[7:]
    if start + size != end or end > at:
        raise CheckpointError(
            file.path, f"the zip directory must end at byte {end}; it declares {size} bytes from {start}"
        )
    if count > MAX_RECORDS:
        raise CheckpointError(file.path, f"the zip archive lists {count} records; at most {MAX_RECORDS} are accepted")
    return count, start, end


def _read_entry(directory: bytes, position: int, file: MappedFile) -> tuple[_Entry, int]:
    fields = _ENTRY.unpack_from(directory, position)
    if fields[0] != b"PK\x01\x02":
        raise CheckpointError(file.path, "the zip directory is damaged: an entry does not start as one")
    flags, method = fields[3:5]
    stored, size, name_length, extra_length, comment_length = fields[8:13]
    header = fields[16]
    start = position + _ENTRY.size
    name = directory[start : start + name_length]
    extra = directory[start + name_length : start + name_length + extra_length]
    # 64-bit values stand in the extra field, in this order, for those of the three that are full
    wide = iter(_zip64_values(extra))
    try:
        size = next(wide) if size == _FULL32 else size
        stored = next(wide) if stored == _FULL32 else stored
        header = next(wide) if header == _FULL32 else header
    except StopIteration:
        raise CheckpointError(file.path, f"the zip record {name!r} lacks its 64-bit sizes") from None
    return _Entry(name, flags, method, stored, size, header), start + name_length + extra_length + comment_length


def _zip64_values(extra: bytes) -> tuple[int, ...]:
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == _ZIP64_EXTRA:
            values = extra[position + 4 : position + 4 + length]
            return struct.unpack(f"<{len(values) // 8}Q", values[: len(values) // 8 * 8])
        position += 4 + length
    return ()


def _data_offset(entry: _Entry, file: MappedFile) -> int:
    """Returns where the record's bytes start: after its local header, whose length the directory does not tell."""
    if entry.header + _LOCAL.size > file.size:
        raise CheckpointError(file.path, f"the zip record {entry.name!r} starts outside the file")
    fields = _LOCAL.unpack(file.read(entry.header, _LOCAL.size))
    name_length, extra_length = fields[9:]
    start = entry.header + _LOCAL.size
    if fields[0] != b"PK\x03\x04" or file.read(start, name_length) != entry.name:
        raise CheckpointError(file.path, f"the zip record {entry.name!r} and its local header disagree")
    return int(start + name_length + extra_length)

"""The mappings that a perf.data file tells: PERF_RECORD_MMAP and _MMAP2.

Source: perf_event_open(2).
"""

import struct
from collections.abc import Iterator

import numpy as np

from . import perf_samples as ps  # type: ignore[attr-defined]
from .perf_compressed import Unpacked
from .perf_header import sample_bytes
from .perf_records import TRACING_DATA, bytes_at
from .window import Window

_HEADER = struct.Struct("<IHH")
_BODY = struct.Struct("<iiQQQ")
_MMAP, _MMAP2 = 1, 10
#: Where the name is: after process, thread, address, length and offset; MMAP2 has the
#: file's device and inode, or its build id, and protection and flags as well.
_NAME_AT = {_MMAP: 32, _MMAP2: 64}

#: (process, first byte, byte behind the last, name).
Row = tuple[int | None, int, int, str]


def mappings(window: Window) -> Iterator[Row]:
    """Yield the mappings of a file, in its order; ``window`` is at its start.

    It ends at the first record that is not whole.
    """
    place, end = sample_bytes(window)
    unpacked = Unpacked(window.path)
    while end is None or place < end:
        header = bytes_at(window, place, _HEADER.size)
        if len(header) < _HEADER.size:
            return
        kind, _, size = _HEADER.unpack(header)
        if size < _HEADER.size:
            return
        if kind in (ps.COMPRESSED_RECORD, ps.COMPRESSED2_RECORD):
            record = bytes_at(window, place, size)
            unpacked.add(np.frombuffer(record, np.uint8))
            yield from _unpacked(unpacked)
        elif kind in _NAME_AT:
            yield from _row(kind, bytes_at(window, place, size))
        elif kind == TRACING_DATA:
            more = int.from_bytes(bytes_at(window, place, 12)[8:], "little")
            place += (more + 7) // 8 * 8
        place += size


def _unpacked(unpacked: Unpacked) -> Iterator[Row]:
    done = 0
    for kind, at, size in _records(unpacked.data, 0):
        done = at + size
        if kind in _NAME_AT:
            yield from _row(kind, unpacked.data[at : at + size].tobytes())
    unpacked.drop(done)


def _records(data: np.ndarray, at: int) -> Iterator[tuple[int, int, int]]:
    """Yield (kind, where, size) of the whole records from ``at`` on."""
    view = data.data
    while at + _HEADER.size <= len(view):
        kind, _, size = _HEADER.unpack_from(view, at)
        if size < _HEADER.size or at + size > len(view):
            return
        yield kind, at, size
        at += size


def _row(kind: int, record: bytes) -> Iterator[Row]:
    body = record[_HEADER.size :]
    if len(body) <= _NAME_AT[kind]:
        return
    process, _, first, length, _ = _BODY.unpack_from(body)
    name = body[_NAME_AT[kind] :].split(b"\0")[0].decode("utf-8", "replace")
    yield process, first, first + length, name

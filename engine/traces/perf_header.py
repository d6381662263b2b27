"""The header of a perf.data file: its events, and where samples have their fields.

Sources: tools/perf/Documentation/perf.data-file-format.txt and perf_event_open(2).
"""

import struct
from typing import NamedTuple

import numpy as np

from ..errors import BadTrace
from . import perf_samples as ps  # type: ignore[attr-defined]
from .window import Window

MAGIC = b"PERFILE2"
#: As a big-endian machine writes it.
SWAPPED = MAGIC[::-1]
#: Bytes of what stands before the samples, at most: many events on many CPUs.
_HEAD_MOST = 1 << 26
_FILE_HEADER = struct.Struct("<8sQQQQQQ")
_PIPE_HEADER_SIZE = 16
_ATTR = struct.Struct("<IIQQQQQ")
_SECTION = struct.Struct("<QQ")
_FEATURES_AT, _EVENT_DESC = 72, 12

# PERF_SAMPLE_*.
_IDENTIFIER, _IP, _TID, _TIME, _ADDR = 1 << 16, 1, 2, 4, 8
_ID, _STREAM_ID, _CPU, _PERIOD, _RAW = 1 << 6, 1 << 9, 1 << 7, 1 << 8, 1 << 10
_READ, _CALLCHAIN, _BRANCH_STACK = 1 << 4, 1 << 5, 1 << 11
_REGS_USER, _STACK_USER = 1 << 12, 1 << 13
_WEIGHT, _WEIGHT_STRUCT, _DATA_SRC = 1 << 14, 1 << 24, 1 << 15
#: Fields of 8 bytes, in the order in which a sample has them; then one of any size.
_FIXED = (_IDENTIFIER, _IP, _TID, _TIME, _ADDR, _ID, _STREAM_ID, _CPU, _PERIOD)
_VARIABLE = _READ | _CALLCHAIN | _RAW | _BRANCH_STACK | _REGS_USER | _STACK_USER

_HARDWARE, _SOFTWARE, _TRACEPOINT = 0, 1, 2
#: PERF_COUNT_SW_PAGE_FAULTS, _MIN and _MAJ.
_PAGE_FAULTS = (2, 5, 6)
_EXCEPTIONS = ("exceptions:page_fault_user", "exceptions:page_fault_kernel")
#: Where the raw data of these tracepoints have the address and the error code: after
#: their size, and 8 bytes that every tracepoint has (its ``format`` file in tracefs).
_RAW_ADDRESS, _RAW_CODE = 4 + 8, 4 + 24
_HOW = "record with perf record -e page-faults -c 1 -d --sample-cpu"


class _Event(NamedTuple):
    """One event of a file: type, config and sample_type of its perf_event_attr."""

    kind: int
    config: int
    sample_type: int
    ids: tuple[int, ...]
    name: str


class Recording:
    """What a perf.data file says of its events and of where its samples are.

    Raises BadTrace if that cannot be read, or no event has what is needed.
    """

    def __init__(self, window: Window) -> None:
        self.path = window.path
        head = _Head(window)
        self.start, self.end = head.data, head.end
        events = head.events()
        if any(event.kind == _TRACEPOINT for event in events):
            names = _names(window, head) if not window.packed else {}
            events = [one._replace(name=names.get(one.ids, "")) for one in events]
        self.events, self.ids = self._layout(events)
        used = self.events[self.events[:, ps.KIND] != ps.OTHER]
        self.has_time = bool((used[:, ps.TIME_AT] >= 0).all())

    def _layout(self, events: list[_Event]) -> tuple[np.ndarray, np.ndarray]:
        """Return ``events`` and ``ids`` as ``perf_samples.parse`` takes them."""
        rows = [_row(event) for event in events]
        if all(row[ps.KIND] == ps.OTHER for row in rows):
            lacks = "; ".join(_lack(event) for event in events)
            raise BadTrace(
                f"trace must have page faults with their addresses ({_HOW}), got"
                f" {lacks}: {self.path}"
            )
        table = np.array(rows, np.int64)
        if len(events) == 1:
            return table, np.empty((0, 2), np.int64)
        if len(set(table[:, ps.ID_AT])) > 1 or table[0, ps.ID_AT] < 0:
            raise BadTrace(
                "trace of several events must have their identifiers in one place of"
                f" each sample, got none: {self.path}"
            )
        pairs = [(one, row) for row, event in enumerate(events) for one in event.ids]
        if not pairs:
            raise BadTrace(
                f"trace of several events must have identifiers, got none: {self.path}"
            )
        ids = np.array(pairs, np.uint64).reshape(-1, 2).view(np.int64)
        return table, np.ascontiguousarray(ids[np.argsort(ids[:, 0])])


class _Head:
    """The header of a file and what stands before its samples."""

    def __init__(self, window: Window) -> None:
        self.path = window.path
        start = window.data[: window.size].tobytes()
        if start[:8] == SWAPPED:
            raise self._refusal("of a little-endian machine", "a big-endian one")
        size = int.from_bytes(start[8:16], "little")
        if size == _PIPE_HEADER_SIZE:
            got = "what perf record wrote to a pipe"
            raise self._refusal("a file of perf record -o FILE", got)
        if len(start) < _FILE_HEADER.size or size < _FEATURES_AT:
            raise self._refusal("whole", f"a header of {size} bytes")
        values = _FILE_HEADER.unpack_from(start)
        _, _, self.attr_size, self.attrs, self.attrs_size, self.data, data_size = values
        self.end = self.data + data_size if data_size else None
        if not size <= self.data <= _HEAD_MOST:
            raise self._refusal("whole", f"samples at byte {self.data}")
        self.features = int.from_bytes(
            start[_FEATURES_AT : _FEATURES_AT + 32], "little"
        )
        self._bytes = _take(window, self.data)

    def _refusal(self, wanted: str, got: str) -> BadTrace:
        return BadTrace(f"perf.data must be {wanted}, got {got}: {self.path}")

    def _section(self, at: int, size: int) -> bytes:
        if at + size > len(self._bytes):
            raise self._refusal("whole", f"{size} bytes at {at} after its samples")
        return self._bytes[at : at + size]

    def events(self) -> list[_Event]:
        """Return the events, without names."""
        step, section = self.attr_size, self._section(self.attrs, self.attrs_size)
        if step < _ATTR.size + _SECTION.size or not section or len(section) % step:
            raise self._refusal("whole", f"{len(section)} bytes of attributes")
        return [
            self._event(section[at : at + step]) for at in range(0, len(section), step)
        ]

    def _event(self, attr: bytes) -> _Event:
        kind, _, config, _, sample_type, _, _ = _ATTR.unpack_from(attr)
        at, size = _SECTION.unpack_from(attr, len(attr) - _SECTION.size)
        ids = struct.unpack(f"<{size // 8}Q", self._section(at, size // 8 * 8))
        return _Event(kind, config, sample_type, ids, "")


def _take(window: Window, size: int) -> bytes:
    """Return the first ``size`` bytes of a file, or all if it has fewer."""
    parts: list[bytes] = []
    left = size
    while True:
        here = min(left, window.size)
        if left <= here or window.last:
            return b"".join([*parts, window.data[:here].tobytes()])
        parts.append(window.data[:here].tobytes())
        left -= here
        window.fill(here)


def _names(window: Window, head: _Head) -> dict[tuple[int, ...], str]:
    """Return the events' names by their identifiers, as far as the file has them."""
    if not head.features >> _EVENT_DESC & 1 or head.end is None or not window.regular:
        return {}
    before = (head.features & ((1 << _EVENT_DESC) - 1)).bit_count()
    try:
        with open(head.path, "rb") as file:
            file.seek(head.end + before * _SECTION.size)
            at, size = _SECTION.unpack(file.read(_SECTION.size))
            file.seek(at)
            return _described(file.read(min(size, _HEAD_MOST)))
    except (OSError, OverflowError, ValueError, struct.error):
        return {}


def _described(text: bytes) -> dict[tuple[int, ...], str]:
    """Return what HEADER_EVENT_DESC says; raises struct.error if it is cut."""
    events, attr_size = struct.unpack_from("<II", text)
    names, at = {}, 8
    for _ in range(events):
        count, length = struct.unpack_from("<II", text, at + attr_size)
        at += attr_size + 8
        name = text[at : at + length].split(b"\0")[0].decode("ascii", "replace")
        at += length
        names[struct.unpack_from(f"<{count}Q", text, at)] = name
        at += 8 * count
    return names


def _row(event: _Event) -> list[int]:
    """Return an event's row, of ``perf_samples.EVENT`` items."""
    at = _offsets(event.sample_type)
    row = [0] * ps.EVENT
    row[ps.KIND] = _kind(event, at)
    row[ps.TID_AT], row[ps.TIME_AT] = at.get(_TID, -1), at.get(_TIME, -1)
    row[ps.ADDRESS_AT], row[ps.CPU_AT] = at.get(_ADDR, -1), at.get(_CPU, -1)
    row[ps.ACCESS_AT] = at.get(_DATA_SRC, -1)
    row[ps.ID_AT] = at.get(_IDENTIFIER, at.get(_ID, -1))
    if row[ps.KIND] == ps.EXCEPTION:
        row[ps.ADDRESS_AT] = at[_RAW] + _RAW_ADDRESS
        row[ps.ACCESS_AT] = at[_RAW] + _RAW_CODE
    row[ps.ENOUGH] = 8 + max(row[ps.TID_AT : ps.EVENT])
    return row


def _offsets(sample_type: int) -> dict[int, int]:
    """Return where a sample has its fields, those after one of any size left out."""
    present = [bit for bit in _FIXED if sample_type & bit]
    at = {bit: 8 + 8 * i for i, bit in enumerate(present)}
    after = 8 + 8 * len(present)
    if sample_type & _RAW and not sample_type & (_READ | _CALLCHAIN):
        at[_RAW] = after
    if sample_type & _DATA_SRC and not sample_type & _VARIABLE:
        at[_DATA_SRC] = after + 8 * bool(sample_type & (_WEIGHT | _WEIGHT_STRUCT))
    return at


def _kind(event: _Event, at: dict[int, int]) -> int:
    """Return what an event's samples are, as far as they have what is needed."""
    if _TID not in at:
        return ps.OTHER
    if event.name in _EXCEPTIONS and _RAW in at:
        return ps.EXCEPTION
    if event.kind in (_HARDWARE, _TRACEPOINT) or _ADDR not in at:
        return ps.OTHER
    if event.kind == _SOFTWARE:
        return ps.FAULT if event.config in _PAGE_FAULTS else ps.OTHER
    return ps.MEMORY if _DATA_SRC in at else ps.OTHER


def _lack(event: _Event) -> str:
    """Return why an event is of no use."""
    what = event.name or f"an event of type {event.kind}, config {event.config:#x}"
    if not event.sample_type & _TID:
        return f"{what} without process numbers"
    if event.name in _EXCEPTIONS:
        return f"{what} with call chains before its data"
    if event.kind == _TRACEPOINT and not event.name:
        return f"{what}, a tracepoint whose name only a plain file has, at its end"
    if not event.sample_type & _ADDR:
        return f"{what} without addresses"
    return what

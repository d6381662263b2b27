"""The header of a perf.data file: its events, and where its samples begin.

A file of ``perf record -o FILE`` has them in sections.  One that perf wrote to a pipe
has them as records before the samples (``perf_records.py``).

Source: tools/perf/Documentation/perf.data-file-format.txt.
"""

import re
import struct

import numpy as np

from ..errors import BadTrace
from . import perf_events
from . import perf_samples as ps  # type: ignore[attr-defined]
from .perf_records import Head as PipeHead
from .window import READ_ERRORS, Window, open_unpacked

MAGIC = b"PERFILE2"
#: As a big-endian machine writes it.
SWAPPED = MAGIC[::-1]
#: Bytes of what stands before the samples, at most: many events on many CPUs.
_HEAD_MOST = 1 << 26
_FILE_HEADER = struct.Struct("<8sQQQQQQ")
_PIPE_HEADER_SIZE = 16
_SECTION = struct.Struct("<QQ")
_FEATURES_AT = 72
_TRACING_DATA, _ARCH, _EVENT_DESC = 1, 6, 12
#: Where user space ends on machines of 32 bits, as they are mostly built.
_END_OF_32_BITS = 0xC000_0000
_ARCH_32 = re.compile(r"i[3-6]86|armv[4-7]\S*")
_TRACEPOINT_FORMAT = re.compile(rb"name: (page_fault_(?:user|kernel))\nID: (\d+)\n")


class Recording:
    """What a perf.data file says of its events and of where its samples are.

    Raises BadTrace if that cannot be read, or no event has what is needed.

    kernel_from  where the kernel's addresses begin, 0: those with the top bit set
    """

    def __init__(self, window: Window) -> None:
        self.path = window.path
        head = _head(window)
        self.start, self.end, self.records = head.data, head.end, head.records
        events = _named(head)
        arch = _text(head.feature(_ARCH))
        self.kernel_from = _END_OF_32_BITS if _ARCH_32.fullmatch(arch) else 0
        rows = [perf_events.row(one, arch.startswith("riscv")) for one in events]
        self.events, self.ids = self._layout(events, rows, head.searched)
        used = self.events[self.events[:, ps.KIND] != ps.OTHER]
        self.has_time = bool((used[:, ps.TIME_AT] >= 0).all())
        #: The name of the first event of no use, "" if all are.
        unused = [one for one, row in zip(events, rows, strict=True) if not row[0]]
        self.other = (unused[0].name or "another event") if unused else ""

    def _layout(
        self, events: list[perf_events.Event], rows: list[list[int]], searched: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return ``events`` and ``ids`` as ``perf_samples.parse`` takes them."""
        if all(row[ps.KIND] == ps.OTHER for row in rows):
            lacks = dict.fromkeys(perf_events.lack(one, searched) for one in events)
            raise BadTrace(
                f"trace must have page faults with their addresses ({perf_events.HOW}),"
                f" got {'; '.join(lacks)}: {self.path}"
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


def sample_bytes(window: Window) -> tuple[int, int | None]:
    """Return where the records of a file begin, and end if it says so.

    ``window`` goes on to where they begin.  Raises BadTrace as ``Recording`` does.
    """
    size = int.from_bytes(window.data[8:16].tobytes(), "little")
    if size == _PIPE_HEADER_SIZE:
        return size, None
    head = _head(window)
    while window.offset + window.size < head.data and not window.last:
        window.fill(window.size)
    return head.data, head.end


def _head(window: Window) -> "_Head | PipeHead":
    start = window.data[: window.size].tobytes()
    if start[:8] == SWAPPED:
        raise _refusal(window, "of a little-endian machine", "a big-endian one")
    size = int.from_bytes(start[8:16], "little")
    if size == _PIPE_HEADER_SIZE:
        return PipeHead(window, _PIPE_HEADER_SIZE)
    if len(start) < _FILE_HEADER.size or size < _FEATURES_AT:
        raise _refusal(window, "whole", f"a header of {size} bytes")
    head = _Head(window, start)
    if head.attrs_size:
        return head
    return PipeHead(window, head.data)


def _refusal(window: Window, wanted: str, got: str) -> BadTrace:
    return BadTrace(f"perf.data must be {wanted}, got {got}: {window.path}")


class _Head:
    """The header of a file and what stands before its samples.

    records   whether its events are records, too: they are not
    searched  whether what comes after the samples can be read
    """

    records = False

    def __init__(self, window: Window, start: bytes) -> None:
        self._window, self.searched = window, window.regular
        values = _FILE_HEADER.unpack_from(start)
        size, self._attr_size, self._attrs, self.attrs_size, self.data, data_size = (
            values[1:]
        )
        self.end = self.data + data_size if data_size else None
        if not size <= self.data <= _HEAD_MOST:
            raise _refusal(window, "whole", f"samples at byte {self.data}")
        self._features = int.from_bytes(
            start[_FEATURES_AT : _FEATURES_AT + 32], "little"
        )
        self._bytes = _take(window, self.data) if self.attrs_size else b""

    def _section(self, at: int, size: int) -> bytes:
        if at + size > len(self._bytes):
            got = f"{size} bytes at {at} after its samples"
            raise _refusal(self._window, "whole", got)
        return self._bytes[at : at + size]

    def events(self) -> list[perf_events.Event]:
        """Return the events; those of tracepoints have no names."""
        step, section = self._attr_size, self._section(self._attrs, self.attrs_size)
        if step < perf_events.ATTR_LEAST + _SECTION.size or len(section) % step:
            got = f"{len(section)} bytes of attributes"
            raise _refusal(self._window, "whole", got)
        return [
            self._event(section[at : at + step]) for at in range(0, len(section), step)
        ]

    def _event(self, attr: bytes) -> perf_events.Event:
        at, size = _SECTION.unpack_from(attr, len(attr) - _SECTION.size)
        ids = struct.unpack(f"<{size // 8}Q", self._section(at, size // 8 * 8))
        return perf_events.event_of(attr[: -_SECTION.size], ids)

    def names(self) -> dict[int, str]:
        """Return the events' names by their identifiers."""
        return {}

    def feature(self, number: int) -> bytes:
        """Return a section of features, as far as the file has it."""
        if not self._features >> number & 1 or self.end is None or not self.searched:
            return b""
        before = (self._features & ((1 << number) - 1)).bit_count()
        try:
            with open_unpacked(self._window.path) as file:
                file.seek(self.end + before * _SECTION.size)
                at, size = _SECTION.unpack(file.read(_SECTION.size))
                file.seek(at)
                return file.read(min(size, _HEAD_MOST))
        except (*READ_ERRORS, ValueError, OverflowError, struct.error):
            return b""


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


def _named(head: "_Head | PipeHead") -> list[perf_events.Event]:
    """Return the events with the names that the file has for them."""
    events = head.events()
    described = _described(head.feature(_EVENT_DESC))
    names = head.names() | described
    points: dict[int, str] = {}
    if any(one.kind == perf_events.TRACEPOINT for one in events):
        for name, number in _TRACEPOINT_FORMAT.findall(head.feature(_TRACING_DATA)):
            points[int(number)] = f"exceptions:{name.decode()}"
    return [one._replace(name=_name(one, names, points)) for one in events]


def _name(
    event: perf_events.Event, names: dict[int, str], points: dict[int, str]
) -> str:
    for one in event.ids:
        if names.get(one):
            return names[one]
    if event.kind == perf_events.TRACEPOINT and event.config in points:
        return points[event.config]
    return event.name


def _described(text: bytes) -> dict[int, str]:
    """Return what HEADER_EVENT_DESC says, by identifier, as far as it is whole."""
    names: dict[int, str] = {}
    try:
        events, attr_size = struct.unpack_from("<II", text)
        at = 8
        for _ in range(events):
            count, length = struct.unpack_from("<II", text, at + attr_size)
            at += attr_size + 8
            name = _text(struct.pack("<I", length) + text[at : at + length])
            at += length
            ids = struct.unpack_from(f"<{count}Q", text, at)
            names |= dict.fromkeys(ids, name)
            at += 8 * count
    except struct.error:
        pass
    return names


def _text(field: bytes) -> str:
    """Return a string of perf's: its length in four bytes, then the string."""
    return field[4:].split(b"\0")[0].decode("ascii", "replace")

"""What perf writes to a pipe before its samples: records that a file has as sections.

Source: tools/perf/Documentation/perf.data-file-format.txt, ``PERF_RECORD_HEADER_*``.
"""

import struct
from collections.abc import Iterator

from ..errors import BadTrace
from . import perf_events
from .window import Window

_HEADER = struct.Struct("<IHH")
_SAMPLE, _FINISHED_ROUND, _COMPRESSED, _COMPRESSED2 = 9, 68, 81, 83
#: The head ends at the first of these.
_ENDS_HEAD = (_SAMPLE, _FINISHED_ROUND, _COMPRESSED, _COMPRESSED2)
TRACING_DATA = 66
_ATTR, _EVENT_UPDATE, _FEATURE = 64, 78, 80
#: What an EVENT_UPDATE changes: PERF_EVENT_UPDATE__NAME.
_NAME = 2
_TRACING_FEATURE = 1
#: Bytes that are kept of all of them, at most.
_MOST = 1 << 26


def bytes_at(window: Window, place: int, size: int) -> bytes:
    """Return the bytes from ``place`` of a file on, which the window has not passed.

    Fewer at the end of the file.  ``size`` is at most that of a record.
    """
    while place + size > window.offset + window.size and not window.last:
        window.fill(min(place - window.offset, window.size))
    at = place - window.offset
    return window.data[at : min(at + size, window.size)].tobytes()


class Head:
    """The records before the first sample; ``data`` is where that is.

    records   whether the events are records: they are
    searched  whether all that names an event has been read: it has
    end       where the samples end: nobody knows
    """

    records = searched = True
    end = None

    def __init__(self, window: Window, start: int) -> None:
        self._window = window
        self._events: list[perf_events.Event] = []
        self._names: dict[int, str] = {}
        self._features: dict[int, bytes] = {}
        self.data = start
        left = _MOST
        for kind, body in self._records():
            left -= len(body)
            if left < 0:
                raise self._refusal(f"{_MOST} bytes before its samples")
            self._note(kind, body)

    def _refusal(self, got: str) -> BadTrace:
        return BadTrace(f"perf.data must be whole, got {got}: {self._window.path}")

    def _note(self, kind: int, body: bytes) -> None:
        if kind == _ATTR:
            self._attribute(body)
        elif kind == TRACING_DATA:
            self._features[_TRACING_FEATURE] = body
        elif kind == _FEATURE and len(body) >= 8:
            self._features[int.from_bytes(body[:8], "little")] = body[8:]
        elif kind == _EVENT_UPDATE and len(body) >= 16:
            what, one = struct.unpack_from("<QQ", body)
            if what == _NAME:
                name = body[16:].split(b"\0")[0].decode("ascii", "replace")
                self._names[one] = name

    def _attribute(self, body: bytes) -> None:
        """Note an event: its attributes, of the size that they say, and identifiers."""
        size = int.from_bytes(body[4:8], "little")
        if not perf_events.ATTR_LEAST <= size <= len(body):
            raise self._refusal(f"{len(body)} bytes of attributes")
        count = (len(body) - size) // 8
        ids = struct.unpack_from(f"<{count}Q", body, size)
        self._events.append(perf_events.event_of(body[:size], ids))

    def _records(self) -> Iterator[tuple[int, bytes]]:
        """Yield the kinds and bodies of the records of the head."""
        while True:
            header = bytes_at(self._window, self.data, _HEADER.size)
            if len(header) < _HEADER.size:
                return
            kind, _, size = _HEADER.unpack(header)
            if kind in _ENDS_HEAD:
                return
            if size < _HEADER.size:
                raise self._refusal(f"a short record at byte {self.data}")
            record = bytes_at(self._window, self.data, size)
            self.data += size
            if kind == TRACING_DATA:
                more = int.from_bytes(record[8:12], "little")
                yield kind, self._payload((more + 7) // 8 * 8)
            else:
                yield kind, record[_HEADER.size :]

    def _payload(self, size: int) -> bytes:
        """Return the bytes that follow a record, and go over them."""
        parts = []
        if size > _MOST:
            raise self._refusal(f"{size} bytes of formats")
        while size:
            part = bytes_at(self._window, self.data, min(size, 1 << 16))
            if not part:
                break
            parts.append(part)
            self.data += len(part)
            size -= len(part)
        return b"".join(parts)

    def events(self) -> list[perf_events.Event]:
        """Return the events; BadTrace if there is none."""
        if not self._events:
            raise self._refusal("0 bytes of attributes")
        return self._events

    def names(self) -> dict[int, str]:
        """Return the events' names by their identifiers."""
        return self._names

    def feature(self, number: int) -> bytes:
        """Return a section of features, as far as it is there."""
        return self._features.get(number, b"")

"""Traces that are text, a line an access; ``trace_text.pyx`` parses the lines."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadTrace
from . import trace_chunk, trace_text
from .trace_chunk import TraceChunk
from .window import Window

if TYPE_CHECKING:
    from .trace import Trace

_SNIFF_LINES = 64
#: In the order in which they are tried: an exception's line could be a page fault's.
_FORMATS = (trace_text.EXCEPTIONS, trace_text.LACKEY, trace_text.PAGE_FAULTS)


def first_access(window: Window) -> int | None:
    """Return the format of the first line that is an access, None if there is none."""
    lines = window.data[: window.size].tobytes().split(b"\n", _SNIFF_LINES)
    for line in lines[:_SNIFF_LINES]:
        for number in _FORMATS:
            if _is_access(line + b"\n", number):
                return number
    return None


def _is_access(line: bytes, number: int) -> bool:
    """Return whether a line that is no comment is one of this format."""
    if line.isspace() or line.startswith((b"#", b"==")):
        return False
    info = np.zeros(trace_text.INFO, np.int64)
    info[[trace_text.FORMAT, trace_text.LAST, trace_text.LIMIT]] = number, 1, 1
    info[trace_text.SIZE], info[trace_text.BAD] = len(line), -1
    table = np.empty((5, trace_text.SPAN), np.int64)
    writes = np.empty(trace_text.SPAN, np.uint8)
    trace_text.parse(np.frombuffer(line, np.uint8), table, writes, info)
    return bool(info[trace_text.BAD] < 0)


def chunks(
    window: Window, trace: "Trace", number: int, expected: str
) -> Iterator[TraceChunk]:
    """Yield the chunks of a text of format ``number``, whose lines are ``expected``."""
    limit = trace_chunk.CHUNK
    info = np.zeros(trace_text.INFO, np.int64)
    info[trace_text.FORMAT] = number
    info[trace_text.WRITE] = trace.write
    info[trace_text.LIMIT] = limit
    more = True
    while more:
        table = np.empty((5, limit + trace_text.SPAN), np.int64)
        writes = np.empty(table.shape[1], bool)
        info[trace_text.RECORDS] = 0
        more = _fill(window, trace, (table, writes, info), expected)
        count = info[trace_text.RECORDS]
        if count:
            process, thread, cpu, time_ns, vpn = table[:, :count]
            yield TraceChunk(process, thread, cpu, time_ns, vpn, writes[:count])


def _fill(
    window: Window,
    trace: "Trace",
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
    expected: str,
) -> bool:
    """Read lines until the table is full; return whether there may be more."""
    table, writes, info = arrays
    while True:
        info[trace_text.SIZE], info[trace_text.LAST] = window.size, window.last
        info[trace_text.BAD] = -1
        trace_text.parse(window.data, table, writes.view(np.uint8), info)
        trace.lines = int(info[trace_text.LINES])
        trace.skipped = int(info[trace_text.SKIPPED])
        if info[trace_text.BAD] >= 0:
            _refuse(window, trace, int(info[trace_text.BAD]), expected)
        elif info[trace_text.RECORDS] >= info[trace_text.LIMIT]:
            return True
        elif window.last:
            return False
        else:
            window.fill(int(info[trace_text.POSITION]))
            info[trace_text.POSITION] = 0


def _refuse(window: Window, trace: "Trace", at: int, expected: str) -> None:
    """Raise BadTrace for the line that begins at ``at``, or count it."""
    if not trace.skip_bad_lines:
        line = window.data[at : min(at + 80, window.size)].tobytes()
        got = line.split(b"\n")[0].decode("ascii", "replace")
        where = f"{trace.path}:{trace.lines}"
        raise BadTrace(f"{where}: expected {expected}, got {got!r}")
    trace.bad_lines += 1

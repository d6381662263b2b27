"""Traces that are text, a line an access; ``trace_text.pyx`` parses the lines."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import BadTrace
from . import trace_chunk, trace_text
from .trace_chunk import TraceChunk
from .window import Window

if TYPE_CHECKING:
    from .trace import Trace

#: What was neither read nor skipped, at most, before a text is given up.
_SNIFF_BAD = 1000
RECORD = "perf record -e page-faults -c 1 -d --sample-cpu"
PRINT = "perf script -F comm,pid,tid,cpu,time,event,addr"
PRINT_TRACEPOINT = "perf script -F comm,pid,tid,cpu,time,event,trace"


class Look(NamedTuple):
    """What the first bytes of a text have of a format.

    event    of its first access, None if there is no access
    samples  lines that were understood
    columns  whether a line of two bare columns came before anything else
    """

    event: int | None
    samples: int
    columns: bool


def look(window: Window, number: int, bare_columns: bool = False) -> Look:
    """Return what the window has of the format ``number``."""
    info = _info(number, bare_columns)
    info[[trace_text.LIMIT, trace_text.LAST]] = 1, window.last
    info[trace_text.SIZE] = window.size
    table = np.empty((5, trace_text.SPAN), np.int64)
    writes = np.empty(trace_text.SPAN, np.uint8)
    columns = False
    for bad in range(_SNIFF_BAD):
        info[trace_text.BAD] = -1
        trace_text.parse(window.data, table, writes, info)
        if info[trace_text.BAD] < 0:
            break
        columns |= bad == 0 and info[trace_text.WHY] == trace_text.TWO_COLUMNS
    event = int(info[trace_text.EVENT]) if info[trace_text.RECORDS] else None
    return Look(event, int(info[trace_text.SAMPLES]), columns)


def _info(number: int, bare_columns: bool) -> np.ndarray:
    info = np.zeros(trace_text.INFO, np.int64)
    info[[trace_text.FORMAT, trace_text.BARE_COLUMNS]] = number, bare_columns
    info[[trace_text.BAD, trace_text.OTHER_AT]] = -1
    return info


def chunks(
    window: Window, trace: "Trace", number: int, expected: str
) -> Iterator[TraceChunk]:
    """Yield the chunks of a text of format ``number``, whose lines are ``expected``."""
    limit = trace_chunk.CHUNK
    info = _info(number, trace.bare_columns)
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
        if not trace.other and info[trace_text.OTHER_AT] >= 0:
            trace.other = _word(window, int(info[trace_text.OTHER_AT]))
        if info[trace_text.BAD] >= 0:
            at, why = int(info[trace_text.BAD]), int(info[trace_text.WHY])
            refuse(trace, _line(window, at), why, expected)
        elif info[trace_text.RECORDS] >= info[trace_text.LIMIT]:
            return True
        elif window.last:
            return False
        else:
            window.fill(int(info[trace_text.POSITION]))
            info[trace_text.POSITION] = 0


def _line(window: Window, at: int) -> bytes:
    return window.data[at : min(at + 80, window.size)].tobytes().split(b"\n")[0]


def _word(window: Window, at: int) -> str:
    """Return the name of an event, without its last colon."""
    name = _line(window, at).split()[0].removesuffix(b":")
    return name.decode("ascii", "replace")


def refuse(trace: "Trace", line: bytes, why: int, expected: str) -> None:
    """Raise BadTrace for a line that is refused, or count it.

    ``trace.lines`` is its number, ``why`` a word of ``trace_text``.
    """
    got = line[:80].decode("ascii", "replace")
    where = f"{trace.path}:{trace.lines}"
    if why == trace_text.NO_DATA_ADDRESS:
        how = f"record with {RECORD}, print with {PRINT}"
        if b"exceptions:" in line:
            how = f"print with {PRINT_TRACEPOINT}"
        says = f"{where}: expected the address of the data, got none in {got!r} ({how})"
    elif why == trace_text.TWO_COLUMNS:
        says = (
            f"{where}: expected a time or an event, got bare columns {got!r}"
            " (--bare-columns reads these as process and address)"
        )
    else:
        says = f"{where}: expected {expected}, got {got!r}"
    if not trace.skip_bad_lines:
        raise BadTrace(says)
    trace.bad_lines += 1
    trace.refusal = trace.refusal or says

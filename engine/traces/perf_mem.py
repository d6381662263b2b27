"""Loads and stores, as perf mem report prints them raw.

``perf mem report -D``: a line has process, thread, instruction, address, what the
access weighed and where its data came from.  It has no times.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import patterns
from .trace_chunk import TraceChunk
from .trace_text import MALFORMED, SKIPPED_LINE
from .window import Window

if TYPE_CHECKING:
    from .trace import Trace

NAME = "perf mem"
_EXPECTED = "'PID TID 0xIP 0xADDR WEIGHT 0xDATA_SRC SYMBOL'"
_LINE = re.compile(
    rb"\s*(-?\d+)\s+(-?\d+)\s+0x[0-9a-f]+\s+0x([0-9a-f]{1,16})\s+"
    rb"(?:(?:0x[0-9a-f]+|\d+)\s+)*?0x([0-9a-f]{1,16})\s+(?!0x|\d+\s)\S.*"
)
#: PERF_MEM_OP_LOAD and _STORE of perf_event_open(2).
_LOAD, _STORE = 2, 4


def read(line: bytes, _write: bool) -> patterns.Found:
    """Return what a line is."""
    fields = _LINE.fullmatch(line)
    if fields is None:
        aside = line.startswith(b"#") or not line.strip()
        return SKIPPED_LINE if aside else MALFORMED
    process, thread = int(fields[1]), int(fields[2])
    source = int(fields[4], 16)
    if min(process, thread) < 0 or not source & (_LOAD | _STORE):
        return SKIPPED_LINE
    return process, thread, -1, -1, int(fields[3], 16), bool(source & _STORE)


def is_mine(window: Window) -> bool:
    """Return whether a text has a line of this format."""
    return patterns.has(window, read)


def chunks(window: Window, trace: "Trace") -> Iterator[TraceChunk]:
    """Return the chunks of a text."""
    return patterns.chunks(window, trace, read, _EXPECTED)

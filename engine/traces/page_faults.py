"""Page faults, loads and stores, as perf script prints them.

``perf script -F [comm,]pid,tid,cpu,time,[period,]event,addr[,ip,sym,dso] [--ns]``, with
call chains or without.  A page fault has no read/write bit, so the user says what these
accesses are (``access``); of ``perf mem record`` the event's name says it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import text
from .trace_chunk import TraceChunk
from .trace_text import PERF_SCRIPT
from .window import Window

if TYPE_CHECKING:
    from .trace import Trace

NAME = "page-faults"
_EXPECTED = "'[COMM] PID/TID [CPU] TIME: page-faults: ADDR'"


def is_mine(window: Window) -> bool:
    """Return whether a text has a line of perf script, even one that is no access."""
    seen = text.look(window, PERF_SCRIPT)
    return seen.samples > 0 or seen.columns


def chunks(window: Window, trace: "Trace") -> Iterator[TraceChunk]:
    """Return the chunks of a text."""
    return text.chunks(window, trace, PERF_SCRIPT, _EXPECTED)

"""Page faults, as perf script prints them.

``perf script -F [comm,]pid,tid,cpu,time,event,addr[,ip,sym,dso] [--ns]``.  There is no
read/write bit, so the user says what these accesses are (``access``).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import text
from .trace_chunk import TraceChunk
from .trace_text import PAGE_FAULTS
from .window import Window

if TYPE_CHECKING:
    from .trace import Trace

NAME = "page-faults"
_EXPECTED = "'[COMM] PID/TID [CPU] TIME: page-faults: ADDR'"


def is_mine(window: Window) -> bool:
    """Return whether the first access of a text is one of this format."""
    return text.first_access(window) == PAGE_FAULTS


def chunks(window: Window, trace: "Trace") -> Iterator[TraceChunk]:
    """Return the chunks of a text."""
    return text.chunks(window, trace, PAGE_FAULTS, _EXPECTED)

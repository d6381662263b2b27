"""Tracepoints of page faults, as perf script prints them.

``exceptions:page_fault_user`` and ``_kernel``; bit 1 of x86's error_code is set for a
write, RISC-V's cause is 15.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import text
from .trace_chunk import TraceChunk
from .trace_text import EXCEPTION, PERF_SCRIPT
from .window import Window

if TYPE_CHECKING:
    from .trace import Trace

NAME = "exceptions"
_EXPECTED = "'exceptions:page_fault_user: address=0x.. .. error_code=0x..'"


def is_mine(window: Window) -> bool:
    """Return whether the first access of a text is one of these."""
    return text.look(window, PERF_SCRIPT).event == EXCEPTION


def chunks(window: Window, trace: "Trace") -> Iterator[TraceChunk]:
    """Return the chunks of a text."""
    return text.chunks(window, trace, PERF_SCRIPT, _EXPECTED)

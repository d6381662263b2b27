"""Page faults, as perf trace prints them.

``perf trace -e exceptions:page_fault_user`` says addresses.  ``perf trace -F all`` says
them only for memory of no file: of a file it says how far the page is in the file.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import patterns
from .trace_chunk import TraceChunk
from .trace_text import MALFORMED, NO_DATA_ADDRESS, SKIPPED_LINE
from .window import Window

if TYPE_CHECKING:
    from .trace import Trace

NAME = "perf trace"
_EXPECTED = "'TIME COMM/TID exceptions:page_fault_user(address: 0x.., error_code: ..)'"
_LINE = re.compile(
    rb"\s*(?P<ms>\d+)\.(?P<us>\d{3})\s+(?:\([^)]*\):?\s+)?"
    rb"(?:(?:\S.*?)?/(?P<tid>\d+)\s+)?(?P<what>[a-z][\w:-]*)(?P<rest>.*)"
)
_FAULT = re.compile(rb"\s*\[.*?\]\s+=>\s+(?:.*@)?(?P<at>\S*)\s.*")
_ADDRESS = re.compile(rb"0x([0-9a-f]{1,16})")


def read(line: bytes, write: bool) -> patterns.Found:
    """Return what a line is."""
    fields = _LINE.match(line)
    if fields is None:
        return SKIPPED_LINE if line.isspace() or not line else MALFORMED
    thread = int(fields["tid"] or 0)
    if len(fields["ms"]) > 12:
        return MALFORMED
    time_ns = int(fields["ms"]) * 10**6 + int(fields["us"]) * 10**3
    what, rest = fields["what"], fields["rest"]
    if what in (b"minfault", b"majfault"):
        return _fault(rest, (thread, time_ns), write)
    if not what.startswith(b"exceptions:page_fault_"):
        return what.decode("ascii", "replace")
    at = rest.find(b"address")
    body = patterns.EXCEPTION.fullmatch(rest, at) if at >= 0 else None
    if body is None:
        return MALFORMED
    address, write = patterns.exception(body)
    return thread, thread, -1, time_ns, address, write


def _fault(rest: bytes, who: tuple[int, int], write: bool) -> patterns.Found:
    fault = _FAULT.fullmatch(rest)
    if fault is None:
        return MALFORMED
    address = _ADDRESS.fullmatch(fault["at"])
    if address is None or b"@" in rest:
        return NO_DATA_ADDRESS
    thread, time_ns = who
    return thread, thread, -1, time_ns, int(address[1], 16), write


def is_mine(window: Window) -> bool:
    """Return whether a text has a line of this format."""
    return patterns.has(window, read)


def chunks(window: Window, trace: "Trace") -> Iterator[TraceChunk]:
    """Return the chunks of a text."""
    return patterns.chunks(window, trace, read, _EXPECTED)

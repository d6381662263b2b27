"""Tracepoints of page faults, as ftrace and trace-cmd print them.

``trace_pipe`` of tracefs and ``trace-cmd report``.  They say the thread alone, unless
tracefs's option ``record-tgid`` is set: a thread without a process is one of its own.
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

NAME = "ftrace"
_EXPECTED = "'COMM-PID [CPU] FLAGS TIME: page_fault_user: address=0x.. error_code=0x..'"
_LINE = re.compile(
    rb".*?[^\s/]-(?P<tid>\d+)\s+(?:\(\s*(?:(?P<pid>\d+)|-+)\)\s+)?\[(?P<cpu>\d+)\]\s+"
    rb"(?:[A-Za-z0-9.#]{1,12}\s+)?(?P<s>\d+)\.(?P<fraction>\d{6,9}):\s+"
    rb"(?P<event>[A-Za-z_<][^:]*):(?P<rest>.*)"
)
_EVENT = re.compile(rb"(?:exceptions:)?page_fault_(?:user|kernel)")
#: What the programs say beside events: what was lost, stacks, the number of CPUs.
_ASIDE = re.compile(rb"\s*(?:#|=>|cpus=|version = |CPU[ :]\s*\d+ |$|.*<stack trace>)")


def read(line: bytes, _write: bool) -> patterns.Found:
    """Return what a line is."""
    fields = _LINE.match(line)
    if fields is None:
        return SKIPPED_LINE if _ASIDE.match(line) else MALFORMED
    event, rest = fields["event"], fields["rest"].strip()
    if event == b"exceptions":  # the name's second half comes after its colon
        half, _, rest = rest.partition(b":")
        event = half.strip()
    if not _EVENT.fullmatch(event):
        return event.decode("ascii", "replace")
    at = rest.find(b"address")
    if at < 0:
        return NO_DATA_ADDRESS
    body = patterns.EXCEPTION.fullmatch(rest, at)
    time_ns = patterns.nanoseconds(fields["s"], fields["fraction"])
    if body is None or time_ns < 0:
        return MALFORMED
    thread = int(fields["tid"])
    process = thread if fields["pid"] is None else int(fields["pid"])
    address, write = patterns.exception(body)
    return process, thread, int(fields["cpu"]), time_ns, address, write


def is_mine(window: Window) -> bool:
    """Return whether a text has a line of this format."""
    return patterns.has(window, read)


def chunks(window: Window, trace: "Trace") -> Iterator[TraceChunk]:
    """Return the chunks of a text."""
    return patterns.chunks(window, trace, read, _EXPECTED)

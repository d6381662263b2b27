"""Texts that regular expressions read, a line an access: those that are seldom large.

A format has ``read(line, write)``, which returns (process, thread, cpu, time_ns,
address, write), or a word of ``trace_text`` for a line that is no access, or the name
of another event.
"""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from . import text, trace_chunk
from .trace_chunk import TraceChunk
from .trace_text import LONGEST_LINE, MALFORMED, SKIPPED_LINE
from .window import Window

if TYPE_CHECKING:
    from .trace import Trace

#: Lines that are looked at before a text is given up.
_SNIFF_LINES = 1000
_PAGE_SHIFT = 12
KERNEL = 1 << 63
#: Process and CPU numbers are less.
_NUMBER_END = 1 << 31

#: (process, thread, cpu, time_ns, address, write).
Access = tuple[int, int, int, int, int, bool]
Found = Access | int | str
Read = Callable[[bytes, bool], Found]

#: What the two tracepoints of page faults say, on x86 and on RISC-V.
EXCEPTION = re.compile(
    rb"address[=:] ?(?:0x(?P<address>[0-9a-f]{1,16})|[A-Za-z_][^\s,]*)[\s,].*?"
    rb"(?P<what>error_code|cause)[=:] ?(?P<code>0x[0-9a-f]{1,8}|\d{1,10})\)?(?:\s.*)?"
)
_STORE_FAULT = 15


def exception(fields: re.Match[bytes]) -> tuple[int, bool]:
    """Return the address of a match of ``EXCEPTION``, and whether it is a write."""
    address = fields["address"]
    code = int(fields["code"], 0)
    write = code == _STORE_FAULT if fields["what"] == b"cause" else bool(code >> 1 & 1)
    return KERNEL if address is None else int(address, 16), write


def nanoseconds(whole: bytes, fraction: bytes) -> int:
    """Return the time of seconds and their fraction, -1 if there are too many."""
    if len(whole) > 9:
        return -1
    return int(whole) * 10**9 + int(fraction.ljust(9, b"0"))


def has(window: Window, read: Read) -> bool:
    """Return whether one of the first lines is a sample."""
    block = window.data[: window.size].tobytes()
    for match in islice(re.finditer(rb"[^\n]{1,400}", block), _SNIFF_LINES):
        found = read(match[0], False)
        if not isinstance(found, int) or found > MALFORMED:
            return True
    return False


def chunks(
    window: Window, trace: "Trace", read: Read, expected: str
) -> Iterator[TraceChunk]:
    """Yield the chunks of a text whose lines are ``expected``."""
    rows: list[Access] = []
    for line in _lines(window):
        trace.lines += 1
        found = _allowed(read(line, trace.write), trace)
        if isinstance(found, tuple):
            rows.append(found)
        elif found >= MALFORMED:
            text.refuse(trace, line, found, expected)
        else:
            trace.skipped += 1
        if len(rows) == trace_chunk.CHUNK:
            yield _chunk(rows)
            rows = []
    if rows:
        yield _chunk(rows)


def _lines(window: Window) -> Iterator[bytes]:
    """Yield the lines of a text; one that is too long comes in parts."""
    while True:
        block = window.data[: window.size].tobytes()
        whole = block.rfind(b"\n") + 1
        if window.last or (not whole and len(block) >= LONGEST_LINE):
            whole = len(block)
        for line in block[:whole].splitlines():
            yield from (
                line[at : at + LONGEST_LINE]
                for at in range(0, len(line) or 1, LONGEST_LINE)
            )
        if window.last:
            return
        window.fill(whole)


def _allowed(found: Found, trace: "Trace") -> Access | int:
    """Return what a line is after a look at its numbers and its event."""
    if isinstance(found, str):
        trace.other = trace.other or found
        return SKIPPED_LINE
    if isinstance(found, int):
        return found
    process, thread, cpu, time_ns, address, write = found
    if max(process, thread, cpu) >= _NUMBER_END:
        return MALFORMED
    if address >= KERNEL:
        return SKIPPED_LINE
    return process, thread, cpu, time_ns, address >> _PAGE_SHIFT, write


def _chunk(rows: list[Access]) -> TraceChunk:
    table = np.array(rows, np.int64)
    process, thread, cpu, time_ns, vpn, write = table.T.copy()
    return TraceChunk(process, thread, cpu, time_ns, vpn, write.astype(bool))

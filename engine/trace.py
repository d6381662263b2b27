"""Recorded traces, read as a stream: perf.data, perf script text, valgrind lackey.

The format is told from the first bytes, gzip from its magic bytes.  Memory does not
grow with the trace's length.

page-faults  ``perf script -F [comm,]pid,tid,cpu,time,event,addr[,ip,sym,dso] [--ns]``;
             there is no read/write bit, so ``access`` says what they are
exceptions   ``exceptions:page_fault_user`` and ``_kernel``; bit 1 of error_code is set
             for a write
lackey       ``valgrind --tool=lackey --trace-mem=yes``; a line that crosses a page
             boundary is one access a page, M counts as a write
perf.data    what perf records, of the same events (``engine/perf_data.py``)
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from . import perf_data, trace_text
from .errors import BadTrace
from .perf_order import Samples
from .trace_window import Window

#: Accesses in a chunk, a few more where a line crosses a page boundary.
CHUNK = 1 << 16
BLOCK_SHIFT = 9
_SNIFF_LINES = 64
#: In the order in which they are tried: an exception's line could be a page fault's.
_FORMATS = {
    "exceptions": trace_text.EXCEPTIONS,
    "lackey": trace_text.LACKEY,
    "page-faults": trace_text.PAGE_FAULTS,
}
_EXPECTED = {
    "page-faults": "'[COMM] PID/TID [CPU] TIME: page-faults: ADDR'",
    "exceptions": "'exceptions:page_fault_user: address=0x.. .. error_code=0x..'",
    "lackey": "' L|S|M ADDRESS,SIZE' or 'I  ADDRESS,SIZE'",
}


class TraceChunk(NamedTuple):
    """Accesses in the trace's order, one item each: int64 arrays, ``write`` bool.

    ``cpu`` and ``time_ns`` are -1 where the trace does not say; ``vpn`` is the 4 KiB
    page of the address.
    """

    process: np.ndarray
    thread: np.ndarray
    cpu: np.ndarray
    time_ns: np.ndarray
    vpn: np.ndarray
    write: np.ndarray


class Trace:
    """A trace that can be iterated over, once or again; it counts what it reads.

    ``lines`` (of a perf.data file: samples), ``accesses``, ``bad_lines`` and
    ``skipped`` (comments, instruction fetches, kernel addresses, samples of other
    events) are those of the current or last pass.  A pipe can be read once.
    """

    def __init__(self, path, access: str, skip_bad_lines: bool) -> None:
        if access not in ("r", "w"):
            raise BadTrace(f"access must be 'r' or 'w', got {access!r}")
        self.path, self.skip_bad_lines = os.fspath(path), skip_bad_lines
        self.write = access == "w"
        self.lines = self.accesses = self.bad_lines = self.skipped = 0
        self._window: Window | None = Window(self.path)
        self._once = not self._window.regular
        try:
            self._look(self._window)
        except BaseException:
            self._window.close()
            raise
        if not self._once:
            self._window.close()
            self._window = None

    def _look(self, window: Window) -> None:
        self._recording = None
        if perf_data.is_recording(window):
            self.format = "perf.data"
            self._recording = perf_data.Recording(window)
        else:
            self.format = _detect(window)

    def __iter__(self) -> Iterator[TraceChunk]:
        self.lines = self.accesses = self.bad_lines = self.skipped = 0
        window = self._next_window()
        read = self._text if self._recording is None else self._samples
        try:
            for columns in read(window):
                self.accesses += columns[0].size
                yield TraceChunk(*columns)
        finally:
            window.close()

    def _next_window(self) -> Window:
        window, self._window = self._window, None
        if window is None and self._once:
            raise BadTrace(
                f"trace must be a file to be read twice, got a pipe: {self.path}"
            )
        return window or Window(self.path)

    def _samples(self, window: Window) -> Iterator[tuple]:
        """Yield the columns of chunks of a perf.data file."""
        samples = Samples(self._recording, window, self.write, CHUNK)
        for columns in samples:
            self.lines, self.skipped = samples.counts
            yield columns
        self.lines, self.skipped = samples.counts
        if samples.cut is not None:
            self._refuse(samples.cut)

    def _refuse(self, why: str) -> None:
        """Raise BadTrace, or count what is wrong."""
        if not self.skip_bad_lines:
            raise BadTrace(f"{self.path}: {why}")
        self.bad_lines += 1

    # --- text -------------------------------------------------------------------------

    def _text(self, window: Window) -> Iterator[tuple]:
        """Yield the columns of chunks of a text."""
        info = np.zeros(trace_text.INFO, np.int64)
        info[trace_text.FORMAT] = _FORMATS[self.format]
        info[trace_text.WRITE] = self.write
        info[trace_text.LIMIT] = CHUNK
        more = True
        while more:
            table = np.empty((5, CHUNK + trace_text.SPAN), np.int64)
            writes = np.empty(table.shape[1], bool)
            info[trace_text.RECORDS] = 0
            more = self._fill(window, table, writes, info)
            count = info[trace_text.RECORDS]
            if count:
                yield *table[:, :count], writes[:count]

    def _fill(self, window: Window, table, writes, info) -> bool:
        """Read lines until the table is full; return whether there may be more."""
        while True:
            info[trace_text.SIZE], info[trace_text.LAST] = window.size, window.last
            info[trace_text.BAD] = -1
            trace_text.parse(window.data, table, writes.view(np.uint8), info)
            self.lines = int(info[trace_text.LINES])
            self.skipped = int(info[trace_text.SKIPPED])
            if info[trace_text.BAD] >= 0:
                self._bad(window, int(info[trace_text.BAD]))
            elif info[trace_text.RECORDS] >= CHUNK:
                return True
            elif window.last:
                return False
            else:
                window.fill(int(info[trace_text.POSITION]))
                info[trace_text.POSITION] = 0

    def _bad(self, window: Window, at: int) -> None:
        """Raise BadTrace for the line that begins at ``at``, or count it."""
        if not self.skip_bad_lines:
            line = window.data[at : min(at + 80, window.size)].tobytes()
            text = line.split(b"\n")[0].decode("ascii", "replace")
            raise BadTrace(
                f"{self.path}:{self.lines}: expected {_EXPECTED[self.format]},"
                f" got {text!r}"
            )
        self.bad_lines += 1


def open_trace(path, *, access: str = "w", skip_bad_lines: bool = False) -> Trace:
    """Return the trace in a file; ``access`` ("w" or "r") is for page-faults.

    Raises BadInput for a file that is missing, empty or of no known format, and, while
    iterating, at a malformed line unless ``skip_bad_lines``.
    """
    return Trace(path, access, skip_bad_lines)


def _detect(window: Window) -> str:
    """Return the format of a text, from its first lines."""
    lines = window.data[: window.size].tobytes().split(b"\n", _SNIFF_LINES)
    for line in lines[:_SNIFF_LINES]:
        for name, number in _FORMATS.items():
            if _is_access(line + b"\n", number):
                return name
    what = "one of no known format" if window.size else "an empty file"
    raise BadTrace(
        f"trace must be perf.data, perf script or lackey text, got {what}:"
        f" {window.path}"
    )


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
    return info[trace_text.BAD] < 0


class AddressMap:
    """Dense 2 MiB blocks for each process, in order of their first appearance."""

    def __init__(self) -> None:
        self._dense: dict[int, dict[int, int]] = {}

    def translate(self, process: int, vpn: np.ndarray) -> np.ndarray:
        """Return dense page numbers int64[n]: block * 512 + page in the block."""
        dense = self._dense.setdefault(process, {})
        blocks, first, inverse = np.unique(
            vpn >> BLOCK_SHIFT, return_index=True, return_inverse=True
        )
        number = np.empty(blocks.size, np.int64)
        for i in np.argsort(first):
            number[i] = dense.setdefault(int(blocks[i]), len(dense))
        within = vpn & ((1 << BLOCK_SHIFT) - 1)
        return (number[inverse.ravel()] << BLOCK_SHIFT) | within

    def blocks(self, process: int) -> int:
        """Return how many blocks a process has touched."""
        return len(self._dense.get(process, ()))

    def ranges(self, process: int) -> list[tuple[int, int]]:
        """Return the recorded pages as merged [first, end) runs of adjacent blocks."""
        runs: list[tuple[int, int]] = []
        for block in sorted(self._dense.get(process, ())):
            first, end = block << BLOCK_SHIFT, block + 1 << BLOCK_SHIFT
            if runs and runs[-1][1] == first:
                first = runs.pop()[0]
            runs.append((first, end))
        return runs


class ThreadMap:
    """Dense numbers for the threads of a trace, in order of their appearance."""

    def __init__(self) -> None:
        self._dense: dict[tuple[int, int], int] = {}

    def number(self, process: int, thread: int) -> int:
        """Return the number of a thread of a process."""
        return self._dense.setdefault((process, thread), len(self._dense))

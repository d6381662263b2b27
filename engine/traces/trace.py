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

from ..errors import BadTrace
from . import perf_data, trace_text
from .perf_order import Samples
from .text import EXPECTED, FORMATS, detect
from .window import CHUNK, Window


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
            self.format = detect(window)

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
        info[trace_text.FORMAT] = FORMATS[self.format]
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
                f"{self.path}:{self.lines}: expected {EXPECTED[self.format]},"
                f" got {text!r}"
            )
        self.bad_lines += 1


def open_trace(path, *, access: str = "w", skip_bad_lines: bool = False) -> Trace:
    """Return the trace in a file; ``access`` ("w" or "r") is for page-faults.

    Raises BadInput for a file that is missing, empty or of no known format, and, while
    iterating, at a malformed line unless ``skip_bad_lines``.
    """
    return Trace(path, access, skip_bad_lines)

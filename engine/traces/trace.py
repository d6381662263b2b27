"""Recorded traces, read as a stream: perf.data, perf script text, valgrind lackey.

The first bytes say which format it is, and whether it is gzip.  Memory does not
grow with the trace's length.
"""

import os
from collections.abc import Generator, Iterator
from typing import Protocol

from ..errors import BadTrace
from . import (
    exceptions,
    ftrace,
    lackey,
    page_faults,
    perf_data,
    perf_mem,
    perf_trace,
    text,
)
from .trace_chunk import TraceChunk
from .window import Window


class Format(Protocol):
    """A format of traces: one module of this folder, and one entry in ``FORMATS``."""

    NAME: str

    def is_mine(self, window: Window) -> bool:
        """Return whether a file is of this format, from its first bytes."""

    def chunks(self, window: Window, trace: "Trace") -> Iterator[TraceChunk]:
        """Return the accesses, and count what is read in ``trace``.

        ``window`` is at the file's start.  Raises BadTrace at once for a file that can
        be refused before its first access, and later at what cannot be read, unless
        ``trace.skip_bad_lines``.
        """


#: In the order in which they are asked; the last takes what is perf script at all.
FORMATS: tuple[Format, ...] = (
    perf_data,
    ftrace,
    perf_trace,
    perf_mem,
    exceptions,
    lackey,
    page_faults,
)


class Trace:
    """A trace that can be iterated over, once or again; it counts what it reads.

    ``lines`` (of a perf.data file: samples), ``accesses``, ``bad_lines`` and
    ``skipped`` (comments, instruction fetches, kernel addresses, frames of call chains,
    samples of other events) are those of the current or last pass.  A pipe can be read
    once.  A file without one access is refused here, a pipe at its end.

    Readers say in ``other`` which event's samples they left out first, and in
    ``refusal`` what was wrong with the first bad line.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        access: str,
        skip_bad_lines: bool,
        bare_columns: bool,
    ) -> None:
        if access not in ("r", "w"):
            raise BadTrace(f"access must be 'r' or 'w', got {access!r}")
        self.path, self.skip_bad_lines = os.fspath(path), skip_bad_lines
        self.write, self.bare_columns = access == "w", bare_columns
        self._count_from_zero()
        window = Window(self.path)
        try:
            self._format = _format_of(window)
            chunks = self._format.chunks(window, self)
        except BaseException:
            window.close()
            raise
        self._once = not window.regular
        #: Of a pipe, what was begun: there is no second beginning.
        self._begun = (window, chunks) if self._once else None
        if not self._once:
            window.close()
            self._find_access()

    @property
    def again(self) -> bool:
        """Whether it can be read more than once: it is no pipe."""
        return not self._once

    def close(self) -> None:
        """Close a pipe that is not going to be read."""
        if self._begun is not None:
            self._begun[0].close()

    def _count_from_zero(self) -> None:
        self.lines = self.accesses = self.bad_lines = self.skipped = 0
        self.other = self.refusal = ""

    def _find_access(self) -> None:
        """Read until there is an access; BadTrace if there is none."""
        chunks = self._read()
        next(chunks, None)
        chunks.close()
        self._count_from_zero()

    @property
    def format(self) -> str:
        """The name of the format."""
        return self._format.NAME

    def __iter__(self) -> Iterator[TraceChunk]:
        return self._read()

    def _read(self) -> Generator[TraceChunk, None, None]:
        self._count_from_zero()
        window, chunks = self._begin()
        try:
            for chunk in chunks:
                self.accesses += chunk.vpn.size
                yield chunk
            if not self.accesses:
                raise self._none()
        finally:
            window.close()

    def _none(self) -> BadTrace:
        """Return what a trace without an access is refused with."""
        if self.refusal:
            return BadTrace(self.refusal)
        got = f"{self.lines} lines or samples without one"
        if self.other:
            got = f"samples of {self.other}"
        return BadTrace(
            f"trace must have an access to user data ({text.RECORD}), got {got}:"
            f" {self.path}"
        )

    def _begin(self) -> tuple[Window, Iterator[TraceChunk]]:
        begun, self._begun = self._begun, None
        if begun is not None:
            return begun
        if self._once:
            raise BadTrace(
                f"trace must be a file to be read twice, got a pipe: {self.path}"
            )
        window = Window(self.path)
        try:
            return window, self._format.chunks(window, self)
        except BaseException:
            window.close()
            raise


def _format_of(window: Window) -> Format:
    for one in FORMATS:
        if one.is_mine(window):
            return one
    what = "one of no known format" if window.size else "an empty file"
    raise BadTrace(
        f"trace must be perf.data, perf script or lackey text, got {what}:"
        f" {window.path}"
    )


def open_trace(
    path: str | os.PathLike[str],
    *,
    access: str = "w",
    skip_bad_lines: bool = False,
    bare_columns: bool = False,
) -> Trace:
    """Return the trace in a file; ``access`` ("w" or "r") is for page-faults.

    ``bare_columns``: a line of two columns, with neither time nor event, is a process
    and an address.

    Raises BadInput for a file that is missing, empty or of no known format, and, while
    iterating, at a malformed line unless ``skip_bad_lines``; for one without an access.
    """
    return Trace(path, access, skip_bad_lines, bare_columns)

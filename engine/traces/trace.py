"""Recorded traces, read as a stream: perf.data, perf script text, valgrind lackey.

The first bytes say which format it is, and whether it is gzip.  Memory does not
grow with the trace's length.
"""

import os
from collections.abc import Iterator
from typing import Protocol

from ..errors import BadTrace
from . import exceptions, lackey, page_faults, perf_data
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


#: In the order in which they are asked.
FORMATS: tuple[Format, ...] = (perf_data, exceptions, lackey, page_faults)


class Trace:
    """A trace that can be iterated over, once or again; it counts what it reads.

    ``lines`` (of a perf.data file: samples), ``accesses``, ``bad_lines`` and
    ``skipped`` (comments, instruction fetches, kernel addresses, samples of other
    events) are those of the current or last pass.  A pipe can be read once.
    """

    def __init__(
        self, path: str | os.PathLike[str], access: str, skip_bad_lines: bool
    ) -> None:
        if access not in ("r", "w"):
            raise BadTrace(f"access must be 'r' or 'w', got {access!r}")
        self.path, self.skip_bad_lines = os.fspath(path), skip_bad_lines
        self.write = access == "w"
        self.lines = self.accesses = self.bad_lines = self.skipped = 0
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

    @property
    def format(self) -> str:
        """The name of the format."""
        return self._format.NAME

    def __iter__(self) -> Iterator[TraceChunk]:
        self.lines = self.accesses = self.bad_lines = self.skipped = 0
        window, chunks = self._begin()
        try:
            for chunk in chunks:
                self.accesses += chunk.vpn.size
                yield chunk
        finally:
            window.close()

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
    path: str | os.PathLike[str], *, access: str = "w", skip_bad_lines: bool = False
) -> Trace:
    """Return the trace in a file; ``access`` ("w" or "r") is for page-faults.

    Raises BadInput for a file that is missing, empty or of no known format, and, while
    iterating, at a malformed line unless ``skip_bad_lines``.
    """
    return Trace(path, access, skip_bad_lines)

"""Samples of a perf.data file in the order of time.

Each CPU writes a buffer of its own, so that samples of one round of perf's through all
buffers are not in order.  As in perf script, samples wait until they can be put in
order: no sample that comes after the end of a round is earlier than the latest one of
the round before.  So memory holds two rounds; of a file without rounds, or of one long
round, it holds everything.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from ..errors import BadTrace
from . import perf_samples as ps  # type: ignore[attr-defined]
from .perf_compressed import Unpacked
from .perf_header import Recording
from .window import Window

#: Of the table that ``perf_samples.parse`` fills.
_TIME_ROW = 3


class Samples:
    """The accesses of a recording in the order of time; iterates over columns.

    ``window`` is at the start of the file; ``write`` says what page faults are.

    counts  samples read so far, and how many of them were left out
    cut     what is wrong with the end of the file, or None; known at the end
    """

    def __init__(
        self, recording: Recording, window: Window, write: bool, chunk: int
    ) -> None:
        self._recording, self._window, self._chunk = recording, window, chunk
        self._info = np.zeros(ps.INFO, np.int64)
        self._info[ps.WRITE] = write
        self._info[[ps.LATEST, ps.ROUND, ps.FLUSH]] = -1
        self._info[ps.ORDERED] = 1
        self._info[ps.KERNEL_FROM] = recording.kernel_from
        self._unpacked = Unpacked(recording.path)
        #: Where the window is read on.
        self._at = 0
        self._table, self._writes = np.empty((5, 0), np.int64), np.empty(0, bool)
        self.cut: str | None = None

    @property
    def counts(self) -> tuple[int, int]:
        return int(self._info[ps.SAMPLES]), int(self._info[ps.SKIPPED])

    def __iter__(self) -> Iterator[tuple]:
        """Yield (process, thread, cpu, time_ns, vpn, write) of ``chunk`` accesses."""
        self._skip_head()
        chunk, more = self._chunk, True
        while more:
            self._make_room()
            more = self._fill()
            order, done = self._order(more)
            whole = done // chunk * chunk if more else done
            for first, end in pairwise([*range(0, whole, chunk), whole]):
                yield self._columns(order, first, end)
            self._keep(order, whole)

    def _make_room(self) -> None:
        """Let the table have room for a chunk, and for all that wait."""
        count = int(self._info[ps.RECORDS])
        size = count + max(count, self._chunk)
        if size > len(self._writes):
            size += self._chunk
            table, writes = np.empty((5, size), np.int64), np.empty(size, bool)
            table[:, :count] = self._table[:, :count]
            writes[:count] = self._writes[:count]
            self._table, self._writes = table, writes
        self._info[ps.LIMIT] = len(self._writes)

    def _skip_head(self) -> None:
        window, start = self._window, self._recording.start
        while window.offset + window.size < start and not window.last:
            window.fill(window.size)
        self._at = min(start - window.offset, window.size)

    def _fill(self) -> bool:
        """Read samples until the table is full; return whether there may be more."""
        window, recording = self._window, self._recording
        while True:
            if self._parse_unpacked() == ps.FULL:
                return True
            left = window.size
            if recording.end is not None:
                left = min(left, recording.end - window.offset)
            last = window.last or left < window.size
            why, self._at = self._parse(window.data, self._at, left)
            if why == ps.FULL:
                return True
            if why == ps.COMPRESSED:
                self._at += self._unpacked.add(window.data[self._at : left])
            elif why != ps.NEEDS_MORE:
                raise self._refusal(why, f"at byte {window.offset + self._at}")
            elif last:
                self.cut = self._cut(left)
                return False
            else:
                window.fill(self._at)
                self._at = 0

    def _parse_unpacked(self) -> int:
        """Read what a compressed record held."""
        unpacked = self._unpacked
        if not unpacked.data.size:
            return int(ps.NEEDS_MORE)
        why, at = self._parse(unpacked.data, 0, unpacked.data.size)
        unpacked.drop(at)
        if why not in (ps.FULL, ps.NEEDS_MORE):
            raise self._refusal(why, "in a compressed record")
        return why

    def _parse(self, data: np.ndarray, at: int, size: int) -> tuple[int, int]:
        """Read records; return why this ended, and where."""
        info, recording = self._info, self._recording
        info[ps.POSITION], info[ps.SIZE] = at, size
        ps.parse(
            data,
            recording.events,
            recording.ids,
            self._table,
            self._writes.view(np.uint8),
            info,
        )
        return int(info[ps.WHY]), int(info[ps.POSITION])

    def _refusal(self, why: int, where: str) -> BadTrace:
        got = {
            ps.MALFORMED: "perf.data must have whole records, got a short one",
            ps.COMPRESSED: "perf.data must be compressed once, got it twice",
            ps.AUXTRACE: "perf.data must have no hardware trace, got one",
        }
        return BadTrace(f"{got[why]} {where}: {self._recording.path}")

    def _cut(self, left: int) -> str | None:
        """Return what is missing at the end of the file."""
        window, wanted = self._window, self._recording.end
        over = left - self._at
        end = window.offset + left
        if self._unpacked.data.size:
            return (
                f"expected whole records up to byte {wanted or end}, got a part of one"
            )
        if over or (wanted is not None and end < wanted):
            return f"expected whole records up to byte {wanted or end}, got {end} bytes"
        return None

    def _order(self, more: bool) -> tuple[np.ndarray | None, int]:
        """Return the table's order, None if it has it, and how much is final."""
        info, count = self._info, int(self._info[ps.RECORDS])
        if not self._recording.has_time:
            return None, count
        if more and info[ps.FLUSH] < 0:
            return None, 0
        times, order = self._table[_TIME_ROW, :count], None
        if not info[ps.ORDERED]:
            order = np.argsort(times, kind="stable")
            times = times[order]
            info[ps.ORDERED] = 1
        if not more:
            return order, count
        return order, int(np.searchsorted(times, info[ps.FLUSH], "right"))

    def _columns(self, order: np.ndarray | None, first: int, end: int) -> tuple:
        """Return copies of the accesses from ``first`` to ``end`` of the order."""
        if order is None:
            return (*self._table[:, first:end].copy(), self._writes[first:end].copy())
        at = order[first:end]
        return (*(row.take(at) for row in self._table), self._writes.take(at))

    def _keep(self, order: np.ndarray | None, first: int) -> None:
        """Let the table begin with the accesses from ``first`` of the order."""
        if order is None and first == 0:
            return
        *rows, writes = self._columns(order, first, int(self._info[ps.RECORDS]))
        for row, kept in zip(self._table, rows, strict=True):
            row[: kept.size] = kept
        self._writes[: writes.size] = writes
        self._info[ps.RECORDS] = writes.size

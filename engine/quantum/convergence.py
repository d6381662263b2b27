"""When a run's accesses became local, and stayed so."""

import math

import numpy as np

#: Local share that a quantum must have, in thousandths.
CONVERGED_PERMILLE = 900
#: Windows in which the local share is looked at.
WINDOWS = 1000


class Locality:
    """Local and remote accesses of a run, quantum by quantum."""

    def __init__(self) -> None:
        self._start, self._before = 0, np.zeros(2, np.int64)
        self._times: list[int] = []
        self._counts: list[np.ndarray] = []

    def start(self, now_ns: int, touched: np.ndarray) -> None:
        """Begin a run; ``touched``: int64[processes, 2], local and remote so far."""
        self._start, self._before = now_ns, touched.sum(axis=0)
        self._times, self._counts = [], []

    def note(self, now_ns: int, touched: np.ndarray) -> None:
        """Take note of a quantum that ends now."""
        self._times.append(now_ns)
        self._counts.append(touched.sum(axis=0))

    def converged_ns(self) -> float:
        """Return the time from the run's start until its accesses stay local, or nan.

        ``docs/model/placement.md`` 11.
        """
        if not self._times:
            return math.nan
        ends = np.array(self._counts)
        served = np.diff(ends, axis=0, prepend=self._before[None])
        local, total = served[:, 0], served.sum(axis=1)
        window = (total.cumsum() - total) * WINDOWS // max(1, total.sum())
        first = np.flatnonzero(np.diff(window, prepend=-1))
        local, total = np.add.reduceat(local, first), np.add.reduceat(total, first)
        bad = np.flatnonzero(local * 1000 < total * CONVERGED_PERMILLE)
        if not bad.size:
            return 0.0
        last = int(bad[-1]) + 1
        if last == first.size:
            return math.nan
        return float(self._times[first[last] - 1] - self._start)

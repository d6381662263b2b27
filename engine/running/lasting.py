"""A run that one can leave: when it is saved, and when it ends before it is done."""

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..checkpoint.keeper import NOTHING, SAVE, SUSPEND


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Lasting:
    """An output file with checkpoints beside it, in ``PATH.checkpoint``.

    path      the HDF5 file
    every_s   seconds from one checkpoint to the next; None: only when the run is left
    ends      when the run is left, in seconds since the epoch
    asked     tells whether it is to be left now
    resume    whether it goes on with what is there, if there is anything
    replace   whether a file that it cannot go on with is replaced, not refused
    identity  what must be the same when it goes on, beside settings, seeds, costs and
              provenance: name and value
    """

    path: str | os.PathLike
    every_s: float | None = None
    ends: float = math.inf
    asked: Callable[[], bool] = _never
    resume: bool = False
    replace: bool = False
    identity: Mapping[str, str] = field(default_factory=dict)

    def is_over(self) -> bool:
        """Tell whether the run is to be left."""
        return self.asked() or time.time() >= self.ends


class When:
    """Says at the end of each quantum whether a checkpoint is due."""

    def __init__(self, every_s: float | None, is_over: Callable[[], bool]) -> None:
        self._every_s, self._is_over = every_s, is_over
        self._saved: float | None = time.monotonic()

    def due(self) -> int:
        """Return what a ``Keeper`` is to do."""
        if self._is_over():
            return SUSPEND
        if self._every_s is None:
            return NOTHING
        now = time.monotonic()
        if self._saved is None:  # the time that saving takes does not count
            self._saved = now
        if now - self._saved < self._every_s:
            return NOTHING
        self._saved = None
        return SAVE

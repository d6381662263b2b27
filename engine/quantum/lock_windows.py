"""The locks of one simulation: when waits are settled, and what came of them."""

from typing import TYPE_CHECKING

import numpy as np

from ...kernels.quantum.lock_wait import (
    CLASSES,
    LockStat,
    LockWork,
    Of,
    settle_waits,
)
from ..settings.locks import ROWS, tables
from ..settings.settings import Settings

if TYPE_CHECKING:
    from ..simulation import Simulation


class LockWindows:
    """What is known of the use of locks, window by window.

    stats   float64[locks, len(LockStat)]
    waited  int64[tasks, locks] ns
    """

    def __init__(self, settings: Settings) -> None:
        self.enabled = settings.locks.enabled
        self._tables = tables(settings.locks)
        self.stats = np.zeros((len(ROWS), len(LockStat)))
        self.waited = np.zeros((0, len(ROWS)), np.int64)
        self._began = np.zeros(0, np.int64)
        self._work: LockWork | None = None
        self._owners = 0

    def settle(self, simulation: "Simulation") -> None:
        """Let tasks wait for what they did since the last time."""
        if not self.enabled:
            return
        memory = simulation.memory
        owners = max(len(memory.mm), len(memory.node), 1)
        if (
            self._work is None
            or len(self._began) < len(memory.task)
            or (owners > self._owners)
        ):
            self._enlarge(len(memory.task), owners)
        settle_waits(memory, self._work, simulation.spent)

    def _enlarge(self, rows: int, owners: int) -> None:
        """Make room for more tasks and processes."""
        self._began = _longer(self._began, rows)
        self.waited = _longer(self.waited, rows)
        self._owners = owners
        self._work = LockWork(
            **self._tables,
            began=self._began,
            stats=self.stats,
            waited=self.waited,
            asked=np.zeros(owners),
            head=np.zeros(owners, np.int64),
            next=np.zeros(rows, np.int64),
            held=np.zeros((2, rows)),
            taken=np.zeros((2, rows)),
            of=np.zeros(rows, np.int64),
            classes=np.zeros((len(Of), CLASSES)),
            loss=np.zeros((CLASSES, CLASSES)),
            less=np.zeros((CLASSES, CLASSES)),
        )


def _longer(table: np.ndarray, rows: int) -> np.ndarray:
    grown = np.zeros((rows, *table.shape[1:]), table.dtype)
    grown[: len(table)] = table
    return grown

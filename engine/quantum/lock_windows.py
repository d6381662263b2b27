"""The locks of one simulation: when waits are settled, and what came of them."""

from typing import TYPE_CHECKING

import numpy as np

from ...kernels.counters import Op
from ...kernels.quantum.lock_queue import CLASSES, Of
from ...kernels.quantum.lock_wait import LockStat, LockWork, settle_waits
from ...kernels.quantum.lock_words import PPM, PS
from ...kernels.state import Memory
from ..settings.locks import ROWS, SCOPES, Locks, interrupts_ps, sleeps, used
from ..settings.settings import Settings

if TYPE_CHECKING:
    from ..simulation import Simulation


class LockWindows:
    """What is known of the use of locks, window by window.

    stats    float64[locks, len(LockStat)]
    waited   int64[tasks, locks] ns
    backlog  float64[workers, len(Op)]: what Workers have still to do
    """

    def __init__(self, settings: Settings) -> None:
        self.enabled = settings.locks.enabled
        self._tables = tables(settings.locks)
        self.stats = np.zeros((len(ROWS), len(LockStat)))
        self.waited = np.zeros((0, len(ROWS)), np.int64)
        self.backlog = np.zeros((0, len(Op)))
        self._began = np.zeros(0, np.int64)
        self._work: LockWork | None = None
        self._owners = 0

    def settle(self, simulation: "Simulation") -> None:
        """Let tasks wait for what they did since the last time."""
        if not self.enabled:
            return
        self._fit(simulation.memory)
        settle_waits(simulation.memory, self._work, simulation.spent)

    def _fit(self, memory: Memory) -> None:
        """Make room for all tasks, Workers and processes that there are."""
        owners = max(len(memory.mm), len(memory.node), 1)
        rows, workers = len(memory.task), len(memory.worker_ops)
        if (
            self._work is None
            or len(self._began) < rows
            or len(self.backlog) < workers
            or owners > self._owners
        ):
            self._enlarge(rows, workers, owners)

    def pass_time(self, simulation: "Simulation", ns: int) -> None:
        """Let Workers work for ``ns`` while nobody waits for them."""
        if not self.enabled:
            return
        self._fit(simulation.memory)
        ops = simulation.memory.worker_ops
        left = self.backlog[: len(ops)]
        left += ops
        ops[:] = 0
        busy = np.maximum(left[:, Op.WORK_NS], 1.0)
        left -= left * np.minimum(1.0, ns / busy)[:, None]

    def _enlarge(self, rows: int, workers: int, owners: int) -> None:
        self._began = _longer(self._began, rows)
        self.waited = _longer(self.waited, rows)
        self.backlog = _longer(self.backlog, workers)
        self._owners = owners
        self._work = LockWork(
            **self._tables,
            began=self._began,
            backlog=self.backlog,
            stats=self.stats,
            waited=self.waited,
            work=np.zeros((workers, len(Op))),
            worker=np.zeros(workers, np.int64),
            some=np.zeros(rows, np.int64),
            share=np.zeros((2, owners)),
            asked=np.zeros(owners),
            head=np.zeros(owners, np.int64),
            next=np.zeros(rows + workers, np.int64),
            held=np.zeros((2, rows + workers)),
            taken=np.zeros((2, rows + workers)),
            of=np.zeros(rows + workers, np.int64),
            classes=np.zeros((len(Of), CLASSES)),
            loss=np.zeros((CLASSES, CLASSES)),
            less=np.zeros((CLASSES, CLASSES)),
        )


def _longer(table: np.ndarray, rows: int) -> np.ndarray:
    grown = np.zeros((rows, *table.shape[1:]), table.dtype)
    grown[: len(table)] = table
    return grown


def tables(locks: Locks) -> dict[str, np.ndarray]:
    """Return what ``LockWork`` has of a kernel's locks, by field."""
    shape = len(ROWS), 2, len(Op)
    acquire, hold, flush = (np.zeros(shape, np.int64) for _ in range(3))
    for i, row in enumerate(ROWS):
        for op, use in used(row, locks).items():
            acquire[i, use.mode, op] = round(use.times * PPM)
            hold[i, use.mode, op] = round(use.ns * PS)
            flush[i, use.mode, op] = round(use.flushes * PPM)
    scopes = [SCOPES.index(getattr(locks, f"{row.name}_scope")) for row in ROWS]
    return dict(
        acquire=acquire,
        hold=hold,
        flush=flush,
        scope=np.array(scopes, np.int64),
        sleeps=np.array([sleeps(row, locks) for row in ROWS], np.int64),
        interrupts=np.array([interrupts_ps(row, locks) for row in ROWS], np.int64),
    )

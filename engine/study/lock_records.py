"""What a variant's tasks waited for each lock, as a table of the file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...kernels.quantum.lock_wait import LockStat
from ..settings.locks import ROWS
from .columns import Field, Records
from .study import Study

if TYPE_CHECKING:
    from ..simulation import Simulation

LOCKS = Records(
    "locks",
    "lock_use",
    "locks that tasks took, over the whole run",
    (
        Field("lock", "1", "name of the lock", "S64"),
        Field("acquisitions", "event", "times that it was taken", "f8"),
        Field("waits", "event", "times that it was held by another", "f8"),
        Field("hold_ns", "ns", "time that it was held, added up", "f8"),
        Field("wait_ns", "ns", "time that tasks waited for it, added up", "f8"),
        Field("worker_wait_ns", "ns", "the same of daemons, forks and exits", "f8"),
        Field("mean_wait_ns", "ns", "mean wait of an acquisition", "f8"),
        Field("longest_wait_ns", "ns", "longest mean wait of a task and window", "f8"),
        Field("share", "1", "share of the time of all tasks in waiting for it", "f8"),
    ),
)


def with_locks(study: Study) -> Study:
    """Return a study with the records of locks, if any variant has locks."""
    if not any(variant.settings.locks.enabled for variant in study.variants):
        return study
    return replace(study, records=(*study.records, LOCKS))


def lock_rows(simulation: Simulation) -> list[dict[str, Any]]:
    """Return a row of ``LOCKS`` for each lock, none if locks are off."""
    if not simulation.locks.enabled:
        return []
    whole = max(1, int(simulation.spent.sum()))
    rows = []
    for row, stats in zip(ROWS, simulation.locks.stats, strict=True):
        taken, wait = stats[LockStat.ACQUIRED], stats[LockStat.WAIT]
        workers = stats[LockStat.WORKERS_WAIT]
        rows.append(
            {
                "lock": row.name,
                "acquisitions": float(taken),
                "waits": float(stats[LockStat.WAITED]),
                "hold_ns": float(stats[LockStat.HELD]),
                "wait_ns": float(wait),
                "worker_wait_ns": float(workers),
                "mean_wait_ns": float((wait + workers) / taken) if taken else 0.0,
                "longest_wait_ns": float(stats[LockStat.LONGEST]),
                "share": float(wait / whole),
            }
        )
    return rows

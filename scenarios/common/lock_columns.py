"""Columns of a study that asks which lock binds: what tasks waited for each."""

from ...engine.settings.locks import ROWS
from ...engine.simulation import Simulation
from ...engine.study.columns import Column
from .table import Row

_NAMES = tuple(row.name for row in ROWS)
#: A lock that takes less of the time than this binds nothing.
LEAST = 0.01


def _wait(name: str) -> str:
    return f"wait_{name}_ns"


#: What tasks waited for each lock, added up.
WAITS = tuple(
    Column(
        *(_wait(name), name, "ns", f"time that all tasks waited for {name}"),
        style="hidden",
    )
    for name in _NAMES
)
SHARE = Column(
    *("lock_wait_share", "in locks", "1", "share of the tasks' time in lock waits"),
    dtype="f8",
    style="percent",
    first=True,
)


def lock_figures(simulation: Simulation) -> dict[str, float]:
    """Return ``WAITS`` and ``SHARE`` of a run."""
    waits = simulation.lock_waits()
    times = simulation.summary()
    whole = times["user_time_ns"] + times["system_time_ns"] + times["idle_time_ns"]
    share = sum(waits.values()) / max(1, whole)
    return {_wait(lock): ns for lock, ns in waits.items()} | {SHARE.name: share}


def bound(row: Row) -> tuple[str, float]:
    """Return the lock that a row waited for most, and its share of the lock waits."""
    waits = {name: row[_wait(name)] for name in _NAMES}
    most = max(waits, key=lambda name: waits[name])
    return most, waits[most] / max(1, sum(waits.values()))

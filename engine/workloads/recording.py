"""What several tasks did, in the order in which they did it: a recorded trace."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadInput

if TYPE_CHECKING:
    from ..state.process import Region, Task

#: Latest time of an access, ns: 73 years.
LATEST_NS = 1 << 61


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """Accesses of tasks, one item each, in the order of time (``Simulation.play``).

    tasks    each once; they may be of several processes
    regions  the region of each task, in which its pages are counted
    who      int64[n], whose access it is: an index into ``tasks``
    vpn      int64[n], 4 KiB pages from the start of the task's region
    writes   bool[n]
    cpu      int64[n], the CPU that it is on, -1: where the task is; None: all are -1
    time_ns  int64[n], simulated time before which it does not begin, -1: at once;
             None: all are -1
    refs     cache-line references that an access stands for

    Raises BadInput if arrays differ in length, or name what is not there.
    ``docs/model/quantum.md`` 13.
    """

    tasks: Sequence["Task"]
    regions: Sequence["Region"]
    who: np.ndarray
    vpn: np.ndarray
    writes: np.ndarray
    cpu: np.ndarray | None = None
    time_ns: np.ndarray | None = None
    refs: int = 1

    @property
    def count(self) -> int:
        """Accesses of all tasks."""
        return self.who.size

    @cached_property
    def counts(self) -> np.ndarray:
        """int64[tasks]: accesses of each task."""
        return np.bincount(self.who, minlength=len(self.tasks))

    def __post_init__(self) -> None:
        _check_tasks(self)
        _check_arrays(self)


def _check_tasks(recording: Recording) -> None:
    tasks, regions = recording.tasks, recording.regions
    if len({task.id for task in tasks}) != len(tasks):
        raise BadInput("tasks of a recording must be different, got one twice")
    if len(regions) != len(tasks):
        raise BadInput(
            f"regions must be one for each of {len(tasks)} tasks, got {len(regions)}"
        )
    for task, region in zip(tasks, regions, strict=True):
        if region.process is not task.process:
            raise BadInput(
                f"region {region.name!r} must belong to the process of task {task.id}"
            )
    if recording.refs < 1:
        raise BadInput(f"refs must be at least 1, got {recording.refs}")


def _check_arrays(recording: Recording) -> None:
    columns = {
        name: getattr(recording, name)
        for name in ("who", "vpn", "writes", "cpu", "time_ns")
        if getattr(recording, name) is not None
    }
    for name, column in columns.items():
        if column.shape != (recording.count,):
            raise BadInput(
                f"{name} must have one item for each of {recording.count} accesses,"
                f" got shape {column.shape}"
            )
    if recording.count == 0:
        return
    pages = np.array([region.pages for region in recording.regions], np.int64)
    _check_range("who", recording.who, 0, len(recording.tasks))
    _check_range("vpn", recording.vpn, 0, pages[recording.who])
    if recording.time_ns is not None:
        _check_range("time_ns", recording.time_ns, -1, LATEST_NS)


def _check_range(
    name: str, column: np.ndarray, first: int, end: int | np.ndarray
) -> None:
    wrong = np.flatnonzero((column < first) | (column >= end))
    if wrong.size:
        at = int(wrong[0])
        limit = end if isinstance(end, int) else int(end[at])
        raise BadInput(
            f"{name} must be from {first} to {limit - 1}, got {int(column[at])} at"
            f" access {at}"
        )

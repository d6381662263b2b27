"""Workloads that change with simulated time."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

from ..errors import BadInput
from .kinds import Workload

if TYPE_CHECKING:
    from ..state.process import Task


@dataclass(frozen=True, kw_only=True)
class Phases:
    """Workloads of one task, one after the other in simulated time.

    parts   (workload, ns since the run began at which it is over), in order; none of
            them has a ``count`` or ``for_ns``, and their tasks are all the same
    repeat  how often they come, one round after the other

    A quantum ends where a phase does, and no later.  Accesses are numbered through all
    phases, so that no two of them draw the same numbers.
    Raises BadInput if a time is not above the one before.
    """

    parts: Sequence[tuple[Workload, int]]
    repeat: int = 1

    @property
    def task(self) -> "Task":
        """Whose they are."""
        return self.parts[0][0].task

    @property
    def for_ns(self) -> int:
        """How long they last together, ns."""
        return self._length * self.repeat

    @property
    def _length(self) -> int:
        return self.parts[-1][1]

    def at(self, ns: int) -> Workload:
        """Return what the task does ``ns`` after the run began."""
        return self.parts[self._part_at(ns)][0]

    def over_at(self, ns: int) -> int:
        """Return when the phase is over that there is ``ns`` after the run began."""
        return ns - ns % self._length + self.parts[self._part_at(ns)][1]

    def _part_at(self, ns: int) -> int:
        ns %= self._length
        return next(i for i, (_, until) in enumerate(self.parts) if ns < until)

    def __post_init__(self) -> None:
        _check(self)


def _check(phases: Phases) -> None:
    if not phases.parts:
        raise BadInput("phases must be at least one, got none")
    if not isinstance(phases.repeat, Integral) or phases.repeat < 1:
        raise BadInput(f"repeat must be at least 1, got {phases.repeat!r}")
    before = 0
    for load, until in phases.parts:
        if load.count is not None or load.for_ns is not None:
            raise BadInput("phases must end at their times, got a count or for_ns")
        if load.task is not phases.task:
            raise BadInput("phases must be of one task, got several")
        if not isinstance(until, Integral) or until <= before:
            raise BadInput(f"until_ns of a phase must be above {before}, got {until!r}")
        before = int(until)

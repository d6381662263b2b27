"""Workloads as the rows that the generator of ``kernels/accesses.py`` reads."""

from collections.abc import Sequence

import numpy as np

from ...kernels import state as st
from ...kernels.draws import key_of
from ...kernels.quantum.accesses import Load, LoadKind
from ...kernels.words import ACCESS_WRITE
from ..errors import BadInput
from .kinds import HotCold, NextTouch, Recorded, Stencil, Stream, Sweep, Workload, Zipf


class Loads:
    """The workloads of one run: one row a task, zero if a task has none."""

    def __init__(
        self, workloads: Sequence[Workload], tasks: int, seed: int, run: int
    ) -> None:
        self.workloads = workloads
        self.rows = np.zeros((tasks, len(Load)), np.int64)
        self.exponent = np.ones(tasks)
        self.starts = np.zeros(tasks + 1, np.int64)
        self.recorded = np.zeros(1, np.int64)
        busy = [load.task.id for load in workloads]
        if len(set(busy)) != len(busy):
            raise BadInput("workloads must be one for each task, got two for one")
        if sum(isinstance(load, Recorded) for load in workloads) > 1:
            raise BadInput(
                "recorded accesses of several tasks must be one Recording, got several"
                " Recorded"
            )
        for load in workloads:
            if load.region.process is not load.task.process:
                raise BadInput(
                    f"region {load.region.name!r} must belong to the process of task"
                    f" {load.task.id}"
                )
            self._fill(load, key_of(seed, run << 32 | load.task.id))

    def _fill(self, load: Workload, key: int) -> None:
        row = self.rows[load.task.id]
        row[Load.FIRST] = load.region.first + load.first
        row[Load.PAGES] = load.length
        row[Load.WRITE] = round(load.write * 2048)
        row[Load.KEY] = key
        kind, parameters = self._parameters(load)
        row[Load.KIND] = kind
        row[Load.A : Load.A + len(parameters)] = parameters

    def _parameters(self, load: Workload) -> tuple[int, tuple[int, ...]]:
        match load:
            case Sweep():
                return LoadKind.SWEEP, (load.start, load.stride)
            case Zipf():
                self.exponent[load.task.id] = load.exponent
                return LoadKind.ZIPF, (load.odd,)
            case HotCold():
                hot = round(load.hot_share * 2048)
                return LoadKind.HOTCOLD, (load.hot_pages, hot, load.period, load.step)
            case Stream():
                return LoadKind.STREAM, (load.length // 3,)
            case Stencil():
                return LoadKind.STENCIL, _stencil(load)
            case NextTouch():
                return LoadKind.SWEEP, (load.shift, load.odd)
            case Recorded():
                return LoadKind.TRACE, (self._record(load),)
        return LoadKind.UNIFORM, ()

    def _record(self, load: Recorded) -> int:
        """Append a recorded stream; return where it begins."""
        words = np.multiply(load.writes, ACCESS_WRITE, dtype=np.int64)
        words |= np.asarray(load.vpn, np.int64)
        first = self.recorded.size
        self.recorded = np.concatenate([self.recorded, words])
        return first

    def start(self, task: np.ndarray, tail: int | None) -> None:
        """Set the task table for the run: counts, references, tails."""
        task[:, st.Task.NUMBER : st.Task.TAIL + 1] = 0
        for load in self.workloads:
            row = task[load.task.id]
            counted = max(1, load.count // 10) if tail is None else tail
            row[st.Task.COUNT] = load.count
            row[st.Task.TAIL] = load.count - counted
            row[st.Task.REFS] = load.refs
            row[st.Task.STREAM] = load.streamed


def _stencil(load: Stencil) -> tuple[int, ...]:
    lower = 0 if load.lower is None else load.lower - load.first
    upper = 0 if load.upper is None else load.upper - load.first
    ends = (load.lower is not None) | (load.upper is not None) << 1
    return load.halo, lower, upper, ends

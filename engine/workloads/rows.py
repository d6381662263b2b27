"""Workloads as the rows that the generator of ``kernels/accesses.py`` reads."""

from collections.abc import Sequence

import numpy as np

from ...kernels import state as st
from ...kernels.draws import key_of
from ...kernels.quantum.load_table import Load, LoadKind
from ...kernels.quantum.own_accesses import Call
from ...kernels.words import ACCESS_WRITE
from ..doors.generator import Generator
from ..doors.user_function import where
from ..errors import BadInput, SimulationError
from .kinds import HotCold, NextTouch, Recorded, Stencil, Stream, Sweep, Workload, Zipf
from .own_workload import OwnWorkload
from .phases import Phases

#: Accesses of a workload that lasts for a time: more than there can be.
_ENDLESS = 1 << 62


class Loads:
    """The workloads of one run: one row a task, zero if a task has none.

    begun  ns: when the run began
    at     ns: the start of its last quantum, or when it begins
    """

    def __init__(
        self,
        workloads: Sequence[Workload | Phases],
        tasks: int,
        seed: int,
        run: int,
        begun: int = 0,
        at: int = 0,
    ) -> None:
        self.workloads, self._stream = workloads, (seed, run)
        self.begun, self.at = begun, max(begun, at)
        self.rows = np.zeros((tasks, len(Load)), np.int64)
        self.exponent = np.ones(tasks)
        self.starts = np.zeros(tasks + 1, np.int64)
        self.recorded = np.zeros(1, np.int64)
        _check(workloads)
        self.functions = {
            id(part): _generator(part)
            for load in workloads
            for part in _parts(load)
            if isinstance(part, OwnWorkload)
        }
        width = max((one.row.size for one in self.functions.values()), default=1)
        self.own = np.zeros((tasks, width), np.int64)
        #: Those that change with time, and those of them that are phases.
        self._timed = [load for load in workloads if _changes(load)]
        self._phases = [load for load in workloads if isinstance(load, Phases)]
        #: What each task does now.
        since = self.at - begun
        self._now = {
            load.task.id: load.at(since) if isinstance(load, Phases) else load
            for load in workloads
        }
        for load in self._now.values():
            self._fill(load)

    def _fill(self, load: Workload) -> None:
        row, (seed, run) = self.rows[load.task.id], self._stream
        row[:] = 0
        row[Load.FIRST] = load.region.first + load.first
        row[Load.PAGES] = load.length
        row[Load.WRITE] = round(load.write * 2048)
        row[Load.KEY] = key_of(seed, run << 32 | load.task.id)
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
            case OwnWorkload():
                function = self.functions[id(load)]
                self.own[load.task.id, : function.row.size] = function.row
                return LoadKind.OWN, (function.address,)
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
        task[:, st.Task.BEGUN] = task[:, st.Task.UNTIL] = 0
        for load in self.workloads:
            row = task[load.task.id]
            if load.for_ns is not None:
                if tail is not None:
                    raise BadInput("tail must not be given with for_ns, got both")
                row[st.Task.COUNT] = row[st.Task.TAIL] = _ENDLESS
                row[st.Task.UNTIL] = self.begun + load.for_ns
            elif isinstance(load, Workload) and load.count is not None:
                counted = max(1, load.count // 10) if tail is None else tail
                row[st.Task.COUNT] = load.count
                row[st.Task.TAIL] = load.count - counted
            _set_refs(row, self._now[load.task.id])

    def take_up(self, task: np.ndarray, now: int) -> bool:
        """Let workloads be what they are at a time; return whether a phase began.

        The tasks of such phases have no mean cost of an access then.
        """
        self.at, since, began = now, now - self.begun, False
        for load in self._timed:
            row = task[load.task.id]
            part = load.at(since) if isinstance(load, Phases) else load
            began |= self._change(row, part)
            if load.for_ns is not None and since >= load.for_ns * 9 // 10:
                row[st.Task.TAIL] = min(row[st.Task.TAIL], row[st.Task.NUMBER])
            self._move(part, now)
        return began

    def running(self, calls: np.ndarray) -> str | None:
        """Return ``FILE.py:LINE: NAME`` of a user's function that runs, or None."""
        task = int(calls[:, Call.RUNNING].max()) - 1
        load = self._now.get(task)
        return where(load.generate) if isinstance(load, OwnWorkload) else None

    def check(self, calls: np.ndarray) -> None:
        """Raise SimulationError if a user's function was wrong in this quantum."""
        if not self.functions or not calls[:, Call.STATUS].any():
            return
        call = calls[calls[:, Call.STATUS] != 0][0]
        load = self._now[int(call[Call.TASK])]
        raise SimulationError(self.functions[id(load)].refusal(call))

    def _change(self, row: np.ndarray, part: Workload) -> bool:
        """Let a task do something from now on; return whether it is something else."""
        if part is self._now[part.task.id]:
            return False
        self._now[part.task.id] = part
        self._fill(part)
        _set_refs(row, part)
        row[st.Task.BEGUN], row[st.Task.MEAN] = row[st.Task.NUMBER], 0
        return True

    def _move(self, load: Workload, now: int) -> None:
        """Write what depends on the time of a quantum into a workload's row."""
        row, since = self.rows[load.task.id], now - self.begun
        if isinstance(load, OwnWorkload):
            row[Load.B], row[Load.C] = now, since
        elif isinstance(load, HotCold | Zipf) and load.period_ns is not None:
            row[Load.MOVED] = since // load.period_ns * load.step % load.length

    def longest(self, now: int, length: int) -> int:
        """Return how long a quantum from ``now`` on may be, at most ``length`` ns."""
        since = now - self.begun
        return min([length, *(one.over_at(since) - since for one in self._phases)])

    def end(self, task: np.ndarray, now: int) -> None:
        """End the workloads that last for a time which is over."""
        if self._timed:
            until = task[:, st.Task.UNTIL]
            over = (until > 0) & (np.maximum(task[:, st.Task.CLOCK], now) >= until)
            task[over, st.Task.COUNT] = task[over, st.Task.NUMBER]


def _generator(load: OwnWorkload) -> Generator:
    return Generator(load.generate, load.classes, load.arrays, load.parameters)


def _parts(load: Workload | Phases) -> list[Workload]:
    return [part for part, _ in load.parts] if isinstance(load, Phases) else [load]


def _changes(load: Workload | Phases) -> bool:
    """Tell whether time changes anything of a workload."""
    if isinstance(load, OwnWorkload) or load.for_ns is not None:
        return True
    return isinstance(load, HotCold | Zipf) and load.period_ns is not None


def _set_refs(row: np.ndarray, load: Workload) -> None:
    """Set what a task's accesses stand for, in its row of the task table."""
    row[st.Task.REFS], *others = load.classes
    row[st.Task.REFS_1 : st.Task.REFS_1 + len(others)] = others
    row[st.Task.STREAM] = load.streamed


def _check(workloads: Sequence[Workload | Phases]) -> None:
    busy = [load.task.id for load in workloads]
    if len(set(busy)) != len(busy):
        raise BadInput("workloads must be one for each task, got two for one")
    parts = [part for load in workloads for part in _parts(load)]
    if sum(isinstance(load, Recorded) for load in parts) > 1:
        raise BadInput(
            "recorded accesses of several tasks must be one Recording, got several"
            " Recorded"
        )
    for part in parts:
        if part.region.process is not part.task.process:
            raise BadInput(
                f"region {part.region.name!r} must belong to the process of task"
                f" {part.task.id}"
            )
        if isinstance(part, Recorded) and part.count is None:
            raise BadInput("recorded accesses must have a count, got none")
    for load in workloads:
        if isinstance(load, Workload) and load.count is None and load.for_ns is None:
            raise BadInput("count or for_ns must be given, got neither")


def _stencil(load: Stencil) -> tuple[int, ...]:
    lower = 0 if load.lower is None else load.lower - load.first
    upper = 0 if load.upper is None else load.upper - load.first
    ends = (load.lower is not None) | (load.upper is not None) << 1
    return load.halo, lower, upper, ends

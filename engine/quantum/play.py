"""A recording on its way through quanta: in its order, on its CPUs, at its times.

``docs/model/quantum.md`` 13.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...kernels import state as st
from ...kernels.quantum import playback
from ...kernels.quantum.accesses import CHUNK
from ...kernels.quantum.fold import fold_processes
from ...kernels.quantum.jobs import Job
from ...kernels.words import (
    ACCESS_TAIL,
    ACCESS_TASK_SHIFT,
    ACCESS_WRITE_SHIFT,
    NONE,
)
from ..daemons import quantum_ns, wake_due
from ..errors import BadInput
from ..results import tell_what_is_due
from ..state.world import MS
from ..workloads.recording import Recording

if TYPE_CHECKING:
    from ..simulation import Simulation

#: CPUs beside their own that tasks may be on in one quantum, all tasks together.
PLACES = 256
#: Accesses of the first quantum in which anything is played.
FIRST_ACCESSES = 4
#: While no access is due, time passes in steps of a second, ns, or longer ones if it
#: were more steps than this.
STEP_NS, STEPS = 1_000_000_000, 4096


class Span(NamedTuple):
    """A quantum that is laid out: from when to when, ns, and how many accesses."""

    start: int
    end: int
    accesses: int


class Playback:
    """Where a recording is, and the stages of a quantum that differ for it.

    trace, cpu, due  the rows that kernels read (``kernels/quantum/jobs.py``)
    """

    def __init__(
        self, simulation: "Simulation", recording: Recording, tail: int | None
    ) -> None:
        self._simulation = simulation
        self.recording = recording
        self._ids = [one.id for one in recording.tasks]
        self.starts = np.zeros(len(simulation.tasks) + 1, np.int64)
        self.trace = _words(recording, tail)
        self.cpu = _cpus(simulation, recording)
        self.due, self._timed = _due(recording)
        self._position = self._taken = 0
        self._cpus = np.zeros(0, np.int64)
        #: Until when time passes, and in which steps, ns; 0: it does not.
        self._waiting = [0, 0]
        simulation.team.begin_playback(self.trace, self.cpu, self.due, self.starts)

    def begin(self) -> None:
        """Set the task table for the recording."""
        if self.cpu.max(initial=NONE) != NONE:
            self._simulation.start_places(PLACES)
        task, now = self._simulation.memory.task, self._simulation.now
        task[:, st.Task.NUMBER : st.Task.TAIL + 1] = 0
        ids = self._ids
        task[ids, st.Task.COUNT] = self.recording.counts
        task[ids, st.Task.REFS] = self.recording.refs
        task[ids, st.Task.STREAM] = 0
        self._cpus = task[ids, st.Task.CPU]
        if self._timed:
            playback.compute_until(self._simulation.memory, now)

    def schedule(self, _span: Span) -> None:
        """Do nothing: a recording says where its tasks ran, and when."""

    def list_samples(self, _span: Span) -> None:
        """Do nothing: they are listed where they are laid out."""

    def where(self) -> list[int]:
        """Return how far it is, and the CPUs that the tasks know of, for ``go_to``."""
        return [self._position, *self._waiting, *self._cpus.tolist()]

    def go_to(self, where: Sequence[int]) -> None:
        """Take the place of one that was as far as ``where`` says.

        Raises BadInput if it cannot have been there.
        """
        inside = len(where) > 2 and 0 <= where[0] <= self.trace.size
        if not inside or len(where) != 3 + len(self._ids):
            raise BadInput(f"recording must go on within it, got {list(where[:3])}")
        self._position, *waiting = where[:3]
        self._waiting, self._cpus = waiting, np.array(where[3:], np.int64)

    def lay_out(self) -> Span | None:
        """Lay out the next quantum; return None if nothing is left to do."""
        simulation, team = self._simulation, self._simulation.team
        settings, left = simulation.settings, self.trace.size - self._position
        most = max(FIRST_ACCESSES, simulation.played)
        most = min(most, settings.quantum_accesses)
        team.make_room(min(most, left), settings.quantum_accesses)
        if self._waiting[0]:
            self._pass_time(*self._waiting)
        playback.begin_quantum(simulation.memory)
        while self._position < self.trace.size:
            start = simulation.now
            simulation.memory.info[st.Info.NOW_MS] = start // MS
            self._taken = self._position
            until = start + quantum_ns(simulation)
            count, after, end = playback.take_accesses(
                simulation.memory, team.work, self._position, start, until, most
            )
            self._position = int(after)
            if count:
                self.starts[-1] = count
                simulation.played += count
                simulation.samples.mark_played(simulation, int(count))
                team.do(simulation.memory, Job.COUNT, -(-count // CHUNK))
                return Span(start, int(end), int(count))
            if after < self.trace.size:
                step = max(STEP_NS, (int(end) - simulation.now) // STEPS)
                self._pass_time(int(end), step)
        return None

    def fold(self, span: Span) -> None:
        """Fold what a quantum did, and let tasks wait for their times."""
        memory = self._simulation.memory
        # Who comes to another node scans as its process's size asks for.
        fold_processes(memory, self._simulation.touched)
        playback.leave_places(memory)
        self._simulation.fold()
        if self._timed:
            work = self._simulation.team.work
            playback.wait_for_due(memory, work, self._taken, self._position)
            playback.compute_until(memory, span.end)
        self._note_cpus(memory)

    def _note_cpus(self, memory: st.Memory) -> None:
        """Tell the tasks that are on another CPU now."""
        cpus = memory.task[self._ids, st.Task.CPU]
        for i in np.flatnonzero(cpus != self._cpus).tolist():
            self.recording.tasks[i].cpu = int(cpus[i])
        self._cpus = cpus

    def _pass_time(self, until: int, step: int) -> None:
        """Let time pass until an access is due, with nothing but the daemons."""
        simulation = self._simulation
        self._waiting = [until, step]
        while simulation.now < until:
            start = simulation.now
            simulation.now = min(until, start + step)
            if self._timed:
                playback.compute_until(simulation.memory, simulation.now)
            simulation.locks.settle(simulation)
            simulation.prices.learn(simulation.memory, simulation.now - start)
            simulation.task_ticks.owe(start)
            wake_due(simulation)
            simulation.observer.progress(0, simulation.now)
            tell_what_is_due(simulation)
            if simulation.pause is not None:
                simulation.pause(self.where())
        self._waiting = [0, 0]


def _words(recording: Recording, tail: int | None) -> np.ndarray:
    """Return the accesses as words of the layout, int64[n]."""
    counted = max(1, recording.count // 10) if tail is None else tail
    ids = np.array([task.id for task in recording.tasks], np.int64)
    first = np.array([region.first for region in recording.regions], np.int64)
    words = ((ids << ACCESS_TASK_SHIFT) + first)[recording.who]
    words += recording.vpn
    words |= recording.writes.astype(np.int64) << ACCESS_WRITE_SHIFT
    words[max(0, recording.count - counted) :] |= ACCESS_TAIL
    return words


def _cpus(simulation: "Simulation", recording: Recording) -> np.ndarray:
    """Return the CPU of each access, int64[n], NONE: where the task is."""
    if recording.cpu is None:
        return np.full(recording.count, NONE, np.int64)
    cpu = np.ascontiguousarray(recording.cpu, np.int64)
    nodes = np.append(simulation.machine.cpu_node, 0)
    wrong = (cpu < NONE) | (cpu >= nodes.size - 1)
    wrong[~wrong] = nodes[cpu[~wrong]] < 0
    if wrong.any():
        at = int(wrong.argmax())
        raise BadInput(
            f"cpu must be -1 or one of the machine's, got {cpu[at]} at access {at}"
        )
    return cpu


def _due(recording: Recording) -> tuple[np.ndarray, bool]:
    """Return the time that each access waits for, int64[n], and whether any waits."""
    if recording.time_ns is None:
        return np.zeros(recording.count, np.int64), False
    due = np.maximum(recording.time_ns, 0, dtype=np.int64)
    return due, bool(due.any())

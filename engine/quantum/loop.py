"""Time in quanta: Python decides what comes next, kernels do the work.

A kernel call works at most half a second and says why it stopped.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...kernels import state as st
from ...kernels.frames import allotment
from ...kernels.frames.swap_state import drain_freed
from ...kernels.quantum import accesses, fold, plan
from ...kernels.quantum.accesses import CHUNK
from ...kernels.quantum.barrier import Stop, run_daemons, serve_set_aside
from ...kernels.quantum.jobs import Job
from ...kernels.sched.run_delay import share_cpus
from ...kernels.words import (
    ACCESS_TASK,
    ACCESS_TASK_SHIFT,
    ACCESS_VPN,
    ACCESS_WRITE,
    NONE,
)
from ..daemons import next_wake, quantum_ns, wake_due
from ..doors.running import watch
from ..errors import BadInput, Segfault
from ..results import tell_what_is_due
from ..state.anon_vma import prepare_neighbours
from ..state.world import MS
from ..workloads.kinds import Workload
from ..workloads.phases import Phases
from ..workloads.recording import Recording
from ..workloads.rows import Loads
from . import oom
from .play import Playback, Span

if TYPE_CHECKING:
    from ..simulation import Simulation

#: Most accesses that one call of the barrier serves: some tenths of a second.
BARRIER_LIMIT = 1 << 15


def run(
    simulation: "Simulation",
    workloads: Sequence[Workload | Phases],
    tail: int | None = None,
) -> None:
    """Let tasks work until they are done; one workload a task.

    ``tail``: accesses at the end of each task's workload that
    ``summary()['local_fraction_end']`` counts (default a tenth; of one that lasts for a
    time the quanta that begin in its last tenth).
    """
    number, now = simulation.runs, simulation.now
    loads = Loads(workloads, len(simulation.tasks), simulation.seed, number, now)
    loads.start(simulation.memory.task, tail)
    simulation.team.begin(loads)
    _begin(simulation)
    _go_on(simulation, _Drawn(simulation, loads))


def play(
    simulation: "Simulation", recording: Recording, tail: int | None = None
) -> None:
    """Let tasks do what was recorded, in its order, until all is done.

    ``tail``: accesses at the end of the recording that
    ``summary()['local_fraction']`` counts (default a tenth).
    """
    playback = Playback(simulation, recording, tail)
    playback.begin()
    _begin(simulation)
    _go_on(simulation, playback)


def _begin(simulation: "Simulation") -> None:
    _check_not_waking(simulation)
    simulation.locks.settle(simulation)
    memory = simulation.memory
    _price(simulation)
    simulation.prices.expect(memory)
    memory.shard[:, st.Shard.TAIL_LOCAL : st.Shard.TAIL_ALL + 1] = 0
    simulation.runs += 1
    simulation.stopped, simulation.run_began = False, simulation.now
    simulation.locality.start(simulation.now, simulation.touched)


def _check_not_waking(simulation: "Simulation") -> None:
    if simulation.waking:
        raise BadInput(
            f"run, play and idle must be called by steps, got {simulation.waking}.wake"
        )


def _go_on(simulation: "Simulation", source: "_Drawn | Playback") -> None:
    while not simulation.stopped and _quantum(simulation, source):
        if simulation.pause is not None:
            simulation.pause(source.where())
    prepare_neighbours(simulation)
    simulation.give_back_memory()


def stop(simulation: "Simulation") -> None:
    """End the present run with this quantum, whatever tasks have left to do.

    For daemons that have seen enough.  Raises BadInput if none of them calls.
    """
    if not simulation.waking:
        raise BadInput("stop must be called by the wake of a daemon, got another call")
    simulation.stopped = True


def idle(simulation: "Simulation", ns: int) -> None:
    """Let time pass with nothing to run but the daemons."""
    if ns < 0:
        raise BadInput(f"ns must be at least 0, got {ns}")
    if simulation.now + ns >= 1 << 63:
        raise BadInput(f"time must stay below 2^63 ns, 292 years, got {ns} ns more")
    _check_not_waking(simulation)
    simulation.locks.settle(simulation)
    _idle_until(simulation, simulation.now + ns)
    simulation.locks.pass_time(simulation, ns)


def _idle_until(simulation: "Simulation", end: int) -> None:
    while (wakes := next_wake(simulation)) <= end:
        simulation.now = max(simulation.now, wakes)
        wake_due(simulation)
        simulation.observer.progress(0, simulation.now)
        tell_what_is_due(simulation)
        if simulation.pause is not None:
            simulation.pause([end])
    simulation.now = end
    tell_what_is_due(simulation)


def _run_on(
    simulation: "Simulation",
    where: Sequence[int],
    workloads: Sequence[Workload | Phases],
    tail: int | None = None,
) -> None:
    count, number = len(simulation.tasks), simulation.runs - 1
    if len(where) != 2 or not 0 <= where[0] <= where[1] <= simulation.now:
        raise BadInput(f"run must go on after its beginning, got {list(where)[:3]}")
    loads = Loads(workloads, count, simulation.seed, number, *where)
    simulation.team.begin(loads)
    _go_on(simulation, _Drawn(simulation, loads))


def _play_on(
    simulation: "Simulation",
    where: Sequence[int],
    recording: Recording,
    tail: int | None = None,
) -> None:
    playback = Playback(simulation, recording, tail)
    playback.go_to(where)
    _go_on(simulation, playback)


def _idle_on(simulation: "Simulation", where: Sequence[int], ns: int) -> None:
    _idle_until(simulation, where[0])
    simulation.locks.pass_time(simulation, ns)


#: How the calls go on that may be left at a quantum's end, by name: functions of the
#: simulation, of what ``Simulation.pause`` was told, and of the call's own arguments.
GO_ON: dict[str, Callable[..., None]] = {
    "run": _run_on,
    "play": _play_on,
    "idle": _idle_on,
}


def _since(simulation: "Simulation", length: int) -> int:
    """Return where clocks that are behind go on, ns: now, as a rule.

    length  of the next quantum at most; nobody is behind by more than half of it

    In a quantum that a user's daemon has cut a task may have had no time for a whole
    access.  It goes on from where it was, or short quanta would make tasks wait.
    """
    if not any(one.cuts for one in simulation.user_daemons):
        return simulation.now
    task = simulation.memory.task
    busy = (task[:, st.Task.NUMBER] < task[:, st.Task.COUNT]) & task[:, st.Task.ALIVE]
    behind = int(task[busy == 1, st.Task.CLOCK].min(initial=simulation.now))
    return max(behind, simulation.run_began, simulation.now - length // 2)


class _Drawn:
    """Accesses that are drawn, and the stages of a quantum that differ for them."""

    def __init__(self, simulation: "Simulation", loads: Loads) -> None:
        self._simulation, self._loads = simulation, loads
        watch(self)

    def running(self) -> str | None:
        """Return ``FILE.py:LINE: NAME`` of a user's function that makes accesses."""
        return self._loads.running(self._simulation.team.work.calls)

    def lay_out(self) -> Span | None:
        """Plan and lay out the next quantum; return None if nothing is left to do."""
        simulation, settings = self._simulation, self._simulation.settings
        memory, most = simulation.memory, settings.quantum_accesses
        self._take_up(simulation.now)
        length = self._loads.longest(simulation.now, quantum_ns(simulation))
        now, since = simulation.now, _since(simulation, length)
        start, end = plan.plan(memory.task, since, length + now - since, most)
        if end == NONE:
            return None
        if end <= now:  # for a run's first quanta are short
            start, end = plan.plan(memory.task, now, length, most)
        start = max(int(start), now)
        if start > now:  # nobody's clock was there
            self._take_up(start)
        memory.info[st.Info.NOW_MS] = start // MS
        count = int(accesses.lay_out(memory.task, self._loads.starts))
        simulation.team.make_room(count, most)
        simulation.team.do(memory, Job.GENERATE, -(-count // CHUNK))
        self._loads.check(simulation.team.work.calls)
        return Span(int(start), int(end), count)

    def _take_up(self, now: int) -> None:
        """Let tasks do what they do at a time."""
        memory = self._simulation.memory
        if self._loads.take_up(memory.task, now):
            self._simulation.prices.expect(memory)

    def list_samples(self, span: Span) -> None:
        """List the accesses of a quantum that are sampled."""
        self._simulation.samples.list_drawn(self._simulation, span.accesses)

    def fold(self, span: Span) -> None:
        """Fold what a quantum did, and end workloads whose time is over."""
        self._simulation.fold()
        self._loads.end(self._simulation.memory.task, span.end)

    def schedule(self, span: Span) -> None:
        """Let tasks have waited for their CPUs, and CPUs owe their ticks."""
        simulation = self._simulation
        if simulation.settings.sched.time_sharing:
            share_cpus(simulation.memory)
        simulation.load_ticks.owe(span.start)

    def where(self) -> list[int]:
        """Return when the run began, and its last quantum, ns, for ``Loads``."""
        return [self._loads.begun, self._loads.at]


def _quantum(simulation: "Simulation", source: _Drawn | Playback) -> bool:
    """Simulate one quantum; return False if nothing was left to do."""
    span = source.lay_out()
    if span is None:
        return False
    _price(simulation)
    _deal(simulation, span.accesses)
    _serve_shards(simulation)
    _serve_barrier(simulation, span.accesses)
    source.list_samples(span)
    simulation.samples.collect(simulation)
    source.fold(span)
    simulation.locks.settle(simulation)
    source.schedule(span)
    _end(simulation, span)
    wake_due(simulation)
    tell_what_is_due(simulation)
    return True


def _price(simulation: "Simulation") -> None:
    """Set what accesses cost in this quantum."""
    simulation.prices.set(simulation.memory, simulation.settings, simulation.costs)


def _deal(simulation: "Simulation", count: int) -> None:
    """Deal the accesses that are laid out to the shards' queues."""
    memory, team = simulation.memory, simulation.team
    chunks = -(-count // CHUNK)
    accesses.queue(memory.info, memory.shard, team.work.tally, chunks)
    if not simulation.settings.sequential:
        team.do(memory, Job.DEAL, chunks)
    fold.open_quantum(memory)


def _serve_shards(simulation: "Simulation") -> None:
    """Serve what shards can serve alone, unless all is to be served in order."""
    memory, settings, team = simulation.memory, simulation.settings, simulation.team
    if settings.sequential:
        return
    allotment.lend(memory)
    team.work.limit[0] = max(1, simulation.batch // settings.shards)
    left, for_shards = fold.unserved(memory)
    while for_shards:
        before = left
        team.do(memory, Job.SERVE, 1 + settings.shards)
        left, for_shards = fold.unserved(memory)
        simulation.observer.progress(before - left, simulation.now)
    allotment.take_back(memory)
    team.do(memory, Job.FREE, st.FREED_PARTS)
    allotment.relist(memory)
    drain_freed(memory)
    fold.fold_lists(memory)


def _serve_barrier(simulation: "Simulation", count: int) -> None:
    """Serve what was set aside; kill a process when memory runs out."""
    memory = simulation.memory
    # Asked first: few runs wake daemons, and their kernel takes seconds to compile.
    if fold.is_daemon_woken(memory):
        run_daemons(memory)
    left, _ = fold.unserved(memory)
    if left == 0:
        return
    fold.fold_processes(memory, simulation.touched)
    limit, work = min(simulation.batch, BARRIER_LIMIT), simulation.team.work
    stop: int = Stop.LIMIT
    while stop != Stop.DONE:
        memory = simulation.memory
        before = int(memory.info[st.Info.POSITION])
        stop = serve_set_aside(
            memory, work.layout, work.queued, count, limit, work.counts[0, 0]
        )
        if stop in (Stop.OOM, Stop.SEGV):
            _unstick(simulation, stop)
        done = int(memory.info[st.Info.POSITION]) - before
        simulation.observer.progress(min(done, left), simulation.now)
        left -= min(done, left)


def _unstick(simulation: "Simulation", stop: int) -> None:
    """Kill for the access that found no memory, which is the next to be served.

    Raises Segfault if the access is to a page that is not mapped so.
    """
    work = simulation.team.work
    word = int(work.layout[simulation.memory.info[st.Info.POSITION]])
    row = simulation.memory.task[word >> ACCESS_TASK_SHIFT & ACCESS_TASK]
    task = simulation.tasks[row[st.Task.OWNER]]
    if stop == Stop.SEGV:
        simulation.fold()  # raises, if it was a function from outside that failed
        page = (word & ACCESS_VPN) - task.process.first_vpn
        write = bool(word & ACCESS_WRITE)
        raise Segfault(task.id, task.process.name, page, write)
    oom.kill(simulation, int(row[st.Task.NID]))


def _end(simulation: "Simulation", span: Span) -> None:
    """Move the time on to the end of the quantum."""
    memory = simulation.memory
    simulation.prices.learn(memory, span.end - span.start)
    simulation.now = _ended(memory.task, span.end)
    simulation.locality.note(simulation.now, simulation.touched)
    simulation.task_ticks.owe(span.start)
    for daemon in simulation.user_daemons:
        daemon.owe()


def _ended(task: np.ndarray, end: int) -> int:
    """Return when a quantum was over: the last one ends with its last task."""
    left = task[:, st.Task.NUMBER] < task[:, st.Task.COUNT]
    if (left & (task[:, st.Task.ALIVE] == 1)).any():
        return end
    return min(end, int(task[:, st.Task.CLOCK].max(initial=0)))

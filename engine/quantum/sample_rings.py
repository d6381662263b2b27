"""Samples that wait to be taken: a ring for each task.

``docs/model/samples.md``.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from ...kernels.counters import Level
from ...kernels.quantum.sampled import (
    Listed,
    Sample,
    collect_samples,
    list_drawn,
    mark_played,
)

if TYPE_CHECKING:
    from ..simulation import Simulation

#: What ``take_samples`` returns: one item a sample.
SAMPLE: Final = np.dtype(
    [
        ("process", np.int32),
        ("task", np.int32),
        ("page", np.int64),
        ("node", np.int8),
        ("cpu_node", np.int8),
        ("write", np.bool_),
        ("level", np.int8),
        ("time_ns", np.int64),
    ]
)
#: The columns of ``Sample`` that are fields of ``SAMPLE``, too.
_FIELDS = {
    "task": Sample.TASK,
    "page": Sample.VPN,
    "node": Sample.NODE,
    "cpu_node": Sample.CPU_NODE,
    "write": Sample.WRITE,
    "level": Sample.LEVEL,
    "time_ns": Sample.TIME,
}


class SampleRings:
    """The samples of all tasks.

    waiting  int64[n, len(Sample)] each: the samples of quanta, in the layout's order
    held     int64[tasks]: how many samples of each task wait
    """

    def __init__(self) -> None:
        self.waiting: list[np.ndarray] = []
        self.held = np.zeros(0, np.int64)
        self._listed = np.zeros((0, len(Listed)), np.int64)
        self._count = 0

    def mark_played(self, simulation: "Simulation", accesses: int) -> None:
        """Mark the sampled ones of the accesses that a recording has laid out."""
        if simulation.settings.sampling.period:
            self._make_room(simulation, accesses)
            memory, work = simulation.memory, simulation.team.work
            self._count = mark_played(memory, work, accesses, self._listed)

    def list_drawn(self, simulation: "Simulation", accesses: int) -> None:
        """List the sampled ones of the accesses that workloads have laid out."""
        if simulation.settings.sampling.period:
            self._make_room(simulation, accesses)
            memory, work = simulation.memory, simulation.team.work
            self._count = list_drawn(memory, work, self._listed)

    def _make_room(self, simulation: "Simulation", accesses: int) -> None:
        tasks = len(simulation.tasks)
        most = accesses // simulation.settings.sampling.period + tasks
        if len(self._listed) < most:
            self._listed = np.zeros((2 * most, len(Listed)), np.int64)
        if self.held.size < tasks:
            self.held = np.append(self.held, np.zeros(tasks - self.held.size, np.int64))

    def collect(self, simulation: "Simulation") -> None:
        """Take over the samples of a quantum that is served and not folded."""
        if not self._count:
            return
        rows = np.empty((self._count, len(Sample)), np.int64)
        kept = collect_samples(
            simulation.memory,
            simulation.team.work,
            self._listed,
            self._count,
            simulation.settings.sampling.ring,
            self.held,
            np.empty(self.held.size, np.int64),
            rows,
        )
        self._count = 0
        if kept:
            self.waiting.append(rows[:kept])

    def take(self) -> np.ndarray:
        """Return all samples, int64[n, len(Sample)], by (time, task); none is left."""
        rows = np.concatenate([np.zeros((0, len(Sample)), np.int64), *self.waiting])
        self.waiting = []
        self.held[:] = 0
        # Both sorts are stable: samples of a task and a time stay in its order.
        return rows[np.lexsort((rows[:, Sample.TASK], rows[:, Sample.TIME]))]

    def check(self, tasks: int, nodes: int) -> None:
        """Raise ValueError unless samples are of these tasks and nodes."""
        for rows in self.waiting:
            whole = isinstance(rows, np.ndarray) and rows.dtype == np.int64
            if not whole or rows.shape[1:] != (len(Sample),):
                raise ValueError("samples are no table")
            ends = np.array([tasks, 1 << 36, nodes, nodes, 2, len(Level), 1 << 62])
            if (rows < 0).any() or (rows >= ends).any():
                raise ValueError("samples lead outside")


def take_samples(simulation: "Simulation") -> np.ndarray:
    """Return the samples that wait, ``SAMPLE``[n], by (time, task, number); none stay.

    process, task  their numbers
    page           virtual page; less ``region.first`` it is an offset in a region
    node, cpu_node the page's when it was accessed, and that of the task's CPU
    write          whether the access wrote
    level          a ``Level``
    time_ns        simulated time
    """
    rows = simulation.samples.take()
    samples = np.zeros(len(rows), SAMPLE)
    for name, column in _FIELDS.items():
        samples[name] = rows[:, column]
    owner = np.array([task.process.id for task in simulation.tasks], np.int32)
    if len(rows):
        samples["process"] = owner[samples["task"]]
    return samples


def samples_lost(simulation: "Simulation") -> int:
    """Samples so far that found the ring of their task full."""
    return int(simulation.total("samples_lost"))

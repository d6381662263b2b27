"""NUMA balancing's share of the scheduler's ticks (``docs/model/balancing.md`` 16).

Tasks that run are ticked: they scan, and move to their memory.
"""

from typing import TYPE_CHECKING

import numpy as np

from ...kernels import state as st
from ...kernels.balancing import end_quantum
from . import NEVER

if TYPE_CHECKING:
    from ..simulation import Simulation


class TaskTicks:
    """The ticks of the tasks of one simulation: due after each quantum, once."""

    def __init__(self) -> None:
        self.wakes_ns = NEVER
        self._start = 0
        self._scratch = np.zeros(end_quantum.SCRATCH, np.int64)

    def owe(self, start: int) -> None:
        """Note that tasks have run since ``start``, ns: their ticks are due."""
        self._start, self.wakes_ns = start, 0

    def wake(self, simulation: "Simulation") -> None:
        """Let the tasks that ran scan, and move to their memory."""
        self.wakes_ns = NEVER
        if simulation.settings.balancing.mode == "off":
            return
        memory = simulation.memory
        end_quantum.end_quantum(memory, self._start, simulation.now, self._scratch)
        cpus = memory.task[: len(simulation.tasks), st.Task.CPU].tolist()
        for task, cpu in zip(simulation.tasks, cpus, strict=True):
            task.cpu = cpu
        simulation.fold()

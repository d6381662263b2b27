"""The load balancer's share of the scheduler's ticks (``docs/model/sched.md`` 2)."""

from typing import TYPE_CHECKING

from ...kernels import state as st
from ...kernels.counters import Lb
from ...kernels.sched.load_balance import rebalance_domains
from . import NEVER

if TYPE_CHECKING:
    from ..simulation import Simulation


class LoadTicks:
    """The ticks of the CPUs of one simulation: due after each quantum, once."""

    def __init__(self) -> None:
        self.wakes_ns = NEVER
        self._start = 0

    def owe(self, start: int) -> None:
        """Note that tasks have run since ``start``, ns: the CPUs' ticks are due."""
        self._start, self.wakes_ns = start, 0

    def wake(self, simulation: "Simulation") -> None:
        """Let CPUs take tasks from busier ones."""
        self.wakes_ns = NEVER
        if not simulation.settings.sched.load_balance:
            return
        memory = simulation.memory
        rebalance_domains(memory, self._start, simulation.now)
        cpus = memory.task[: len(simulation.tasks), st.Task.CPU].tolist()
        for task, cpu in zip(simulation.tasks, cpus, strict=True):
            task.cpu = cpu


def load_balances(simulation: "Simulation") -> dict[str, int]:
    """Return what the load balancer did so far, by the names of ``Lb``."""
    counted = simulation.memory.lb.tolist()
    return {one.name.lower(): n for one, n in zip(Lb, counted, strict=True)}


def run_delays(simulation: "Simulation") -> list[int]:
    """Return how long each task has waited for its CPU, ns."""
    tasks = simulation.memory.task[: len(simulation.tasks)]
    delays: list[int] = tasks[:, st.Task.RUN_DELAY].tolist()
    return delays

"""Threads that change their nodes while they run, in pairs, as often as is asked for.

What a load balancer does is not known of 2012's runs; this bounds what it can explain.
"""

from collections.abc import Sequence

import numpy as np

from ...engine.simulation import Simulation
from ...engine.state.process import Task


class Exchanges:
    """A daemon that lets two threads of different nodes exchange their CPUs.

    each_ns  after which time each thread has moved once, in the mean
    """

    def __init__(self, seed: int, tasks: Sequence[Task], each_ns: int) -> None:
        self._tasks = tasks
        self._apart = max(1, 2 * each_ns // len(tasks))
        self._draws = np.random.default_rng(seed)
        self.wakes_ns = self._apart

    def wake(self, simulation: Simulation) -> None:
        """Move the threads that are due."""
        while self.wakes_ns <= simulation.now:
            self.wakes_ns += self._apart
            self._exchange(simulation)

    def _drawn(self, tasks: Sequence[Task]) -> Task:
        return tasks[int(self._draws.integers(len(tasks)))]

    def _exchange(self, simulation: Simulation) -> None:
        one = self._drawn(self._tasks)
        node = simulation.machine.cpu_node
        others = [task for task in self._tasks if node[task.cpu] != node[one.cpu]]
        other = self._drawn(others)
        here, there = one.cpu, other.cpu
        simulation.move_task(one, there)
        simulation.move_task(other, here)

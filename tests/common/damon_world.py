"""A world in which a test says which pages are used, for DAMON to find out."""

from contextlib import contextmanager

import numpy as np

from lazynuma.engine import Damon, Settings, Simulation, uniform
from lazynuma.kernels.words import PTE_PRESENT, PTE_YOUNG

MIB, MS = 1 << 20, 1_000_000
PAGES = 1024


class Toucher:
    """Uses pages each sampling interval: offset -> share of the intervals, in percent.

    It is woken before DAMON, which finds what was used since it looked last.
    """

    def __init__(self, region, rates, step=5 * MS, turn=1 << 60):
        self.region, self.rates, self.wakes_ns = region, rates, 0
        self.step, self.turn, self.number = step, turn, 0

    def wake(self, simulation):
        used = [i for i in range(self.region.pages) if self.uses(i, self.number)]
        at = self.region.first + self.region.process.delta + np.array(used, np.int64)
        pte = simulation.memory.pte
        at = at[pte[at] & PTE_PRESENT != 0]
        pte[at] |= PTE_YOUNG
        self.number += 1
        self.wakes_ns += self.step

    def uses(self, page, number):
        """Whether a page is used in an interval: those of others after ``turn``."""
        page = page if number < self.turn else self.region.pages - 1 - page
        share = next((r for end, r in self.rates if page < end), 0)
        return (page * 7919 + number * 104_729) % 100 < share


@contextmanager
def world(rates, memory=64 * MIB, pages=PAGES, turn=1 << 60, **settings):
    """Yield (simulation, region, toucher), all pages on node 0."""
    simulation = Simulation(uniform(2, memory, cpus_per_node=2), Settings(**settings))
    process = simulation.spawn("watched")
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, pages * 4096)
    simulation.populate(task, region)
    toucher = Toucher(region, rates, turn=turn)
    simulation.start_daemon(toucher)
    yield simulation, region, toucher
    simulation.check()
    simulation.close()


def watch(simulation, targets=None, **attributes):
    """Start a DAMON and return it."""
    damon = Damon(targets, record=True, **attributes)
    simulation.start_daemon(damon)
    return damon

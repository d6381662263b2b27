"""HeMem: a user-level daemon counts sampled accesses to pages of 2 MiB.

Raybuck et al., "HeMem: Scalable Tiered Memory Management for Big Data Applications and
Real NVM", SOSP 2021.  A page is hot after 8 sampled loads or 4 sampled stores.  When
one has 18 samples the counts of all are halved.  Every 10 ms a thread keeps some fast
memory free by demotion of cold pages, and promotes hot pages, those with many stores
first, each in exchange for a cold one if there is no room; no cold page left, none
moves.

Left out: counts are halved at once and not when a page is next sampled; DMA engines
copy (a copy costs here what any does); small allocations that stay in fast memory;
the two cores that its threads spin on.
Scaled: the thread's period and the memory that is kept free.
"""

from functools import partial

import numpy as np

from ...engine.machines.machine import Machine
from ...engine.settings.sampled_accesses import Sampling
from ...engine.settings.settings import Settings
from ...engine.simulation import Simulation
from ...engine.state.process import Process, Region
from ...kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from . import Rival, Scale
from .tiers import (
    Budget,
    Placed,
    Sampled,
    Tiers,
    next_wake,
    pages_of,
    take_sampled,
)

#: One in so many accesses is sampled (section 4).
SAMPLED = 5000
#: Sampled loads, and stores, that make a page hot (section 3).
HOT_LOADS, HOT_STORES = 8, 4
#: Samples of one page after which all are halved (section 3).
COOLING = 18
#: The thread's period, and what it moves at most (section 3).
PERIOD_NS, RATE = 10_000_000, 10 << 30
#: Fast memory that is kept free for new pages, bytes (section 3).
FREE = 1 << 30
#: Bytes of a page that it tracks.
UNIT = HPAGE_PMD_NR * PAGE_SIZE


def rival(scale: Scale) -> Rival:
    """Return the policy."""
    return Rival("hemem", partial(settings, scale), start=partial(_start, scale))


def settings(scale: Scale, _machine: Machine) -> Settings:
    """Return the settings of what samples as HeMem does."""
    return Settings(sampling=Sampling(period=scale.period(SAMPLED)))


def _start(
    scale: Scale, simulation: Simulation, _process: Process, region: Region
) -> None:
    simulation.start_daemon(HeMem(region, simulation.machine, scale))


class HeMem:
    """Its two threads: one counts samples, one moves pages."""

    def __init__(self, region: Region, machine: Machine, scale: Scale) -> None:
        units = -(-region.pages // HPAGE_PMD_NR)
        self.region, self.tiers = region, Tiers(machine)
        self.period_ns = scale.time(PERIOD_NS)
        self.kept = scale.time(FREE) // PAGE_SIZE
        self.wakes_ns = self.period_ns
        self.budget = Budget(RATE, self.period_ns)
        self.loads, self.stores = np.zeros((2, units), np.int64)
        #: When each became hot: a count of samples.
        self.since = np.zeros(units, np.int64)
        self.samples = self.coolings = 0

    def wake(self, simulation: Simulation) -> None:
        """Count what was sampled, then move pages."""
        sampled = take_sampled(simulation, self.region)
        self.track(sampled.page, sampled.write)
        budget = self.budget.refill(simulation.now, UNIT) // UNIT
        self.budget.left -= UNIT * self.move(simulation, sampled, budget)
        self.wakes_ns = next_wake(simulation, self.period_ns)

    @property
    def hot(self) -> np.ndarray:
        """Which units are hot."""
        return (self.loads >= HOT_LOADS) | (self.stores >= HOT_STORES)

    def track(self, pages: np.ndarray, writes: np.ndarray) -> None:
        """Count samples in their order; halve all counts whenever one has enough."""
        units = pages // HPAGE_PMD_NR
        while len(units):
            end = _until(units, COOLING - self.loads - self.stores)
            self._count(units[:end], writes[:end])
            units, writes = units[end:], writes[end:]
            if (self.loads + self.stores).max() >= COOLING:
                self.loads >>= 1
                self.stores >>= 1
                self.coolings += 1

    def _count(self, units: np.ndarray, writes: np.ndarray) -> None:
        was_hot, count = self.hot, len(self.loads)
        self.loads += np.bincount(units[~writes], minlength=count)
        self.stores += np.bincount(units[writes], minlength=count)
        self.since[self.hot & ~was_hot] = self.samples
        self.samples += len(units)

    def placed(self, simulation: Simulation) -> Placed:
        """Return the tier of each unit, which is that of its first page."""
        heads = np.arange(len(self.loads)) * HPAGE_PMD_NR
        return self.tiers.of(simulation.where(self.region, heads))

    def move(self, simulation: Simulation, _sampled: Sampled, budget: int) -> int:
        """Keep memory free and promote what is hot; return the units moved."""
        placed, hot = self.placed(simulation), self.hot
        best = np.lexsort((self.since, self.stores < HOT_STORES))
        wanted = best[(hot & placed.slow)[best]]
        return self.exchange(simulation, wanted, ~hot & placed.fast, budget)

    def exchange(
        self, simulation: Simulation, wanted: np.ndarray, cold: np.ndarray, budget: int
    ) -> int:
        """Promote units in their order, and demote cold ones for room.

        ``cold`` says which may go; those with the fewest samples go first.  Returns the
        units moved, at most ``budget``.
        """
        room = self.tiers.room(simulation, self.kept)
        leaving = np.flatnonzero(cold)
        leaving = leaving[
            np.argsort((self.loads + self.stores)[leaving], kind="stable")
        ]
        # Each beyond the room takes two of the budget: its own move and another's.
        free = max(0, room) // HPAGE_PMD_NR
        short = min(len(leaving), budget, -(min(0, room) // HPAGE_PMD_NR))
        left = budget - short
        swaps = min(len(leaving) - short, max(0, left - free) // 2)
        wanted = wanted[: min(left, free) + swaps]
        out = leaving[: short + max(0, len(wanted) - free)]
        self.send(simulation, out)
        if len(wanted):
            pages = pages_of(wanted, self.region)
            self.tiers.promote(simulation, self.region, pages, self.kept)
        return len(out) + len(wanted)

    def send(self, simulation: Simulation, units: np.ndarray) -> None:
        """Demote units."""
        if len(units):
            simulation.demote(self.region, pages_of(units, self.region))


def _until(units: np.ndarray, left: np.ndarray) -> int:
    """Return how many samples to count until a unit has used up what is left to it."""
    order = np.argsort(units, kind="stable")
    ordered = units[order]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    number = np.arange(len(units)) - np.repeat(
        begins, np.diff(np.r_[begins, len(units)])
    )
    full = order[number + 1 >= left[ordered]]
    return int(full.min()) + 1 if len(full) else len(units)

"""Nomad: promotion beside the program, with the slow copy kept as a shadow.

Xiang et al., "Nomad: Non-Exclusive Memory Tiering via Transactional Page Migration",
OSDI 2024, on TPP.  A hint fault only queues a page; a thread promotes it once it was
used again (section 3.1).  It copies while the page stays mapped, and starts again later
if the page was written meanwhile.  The old frame stays as a shadow (3.2): a clean page
with a shadow is demoted without a copy.  The first write to a promoted page takes a
fault, and drops its shadow; slow memory that is short drops shadows before all else.

Approximated: shadows are numbers, and their frames look free to the rest of the model;
they are dropped, ten times as many as are short (3.2), before they would be needed.  A
copy is aborted as often as one write a quantum would meet it, for pages that were
written in the last one.  Faults of first writes are time
of the thread, not of the program.  Reclaim's choice is a clock over accessed bits.
Scaled: the scanner, as with NUMA balancing.
"""

from functools import partial
from typing import Any

import numpy as np

from ...engine.daemons.user_daemon import EACH_QUANTUM
from ...engine.doors.answers import STAY
from ...engine.doors.own_array import Own
from ...engine.doors.placement_policy import PlacementPolicy
from ...engine.machines.machine import Machine
from ...engine.settings.settings import Settings
from ...engine.simulation import Simulation
from ...engine.state.process import Process, Region
from ...kernels.words import HPAGE_PMD_NR
from . import Rival, Scale
from .numab_tiering import scaled_balancing
from .tiers import Tiers
from .tpp import DEMOTE_SCALE_FACTOR

#: Shadows that are dropped for each page that slow memory is short of (section 3.2).
DROPPED = 10


def rival(scale: Scale) -> Rival:
    """Return the policy."""
    return Rival("nomad", partial(_settings, scale), POLICY, _start)


def _settings(scale: Scale, _machine: Machine) -> Settings:
    return Settings(balancing=scaled_balancing(scale))


def _start(simulation: Simulation, _process: Process, region: Region) -> None:
    simulation.start_daemon(Nomad(region, simulation.machine))


def promote(fault: Any, mine: Any) -> int:
    """Queue a page for promotion."""
    mine.nomad_queued[fault.page // fault.pages * fault.pages] = 1
    return STAY


POLICY = PlacementPolicy(
    promote=promote, arrays=(Own("nomad_queued", "uint8", "page"),)
)


class Nomad:
    """kpromote, and what keeps shadows and free memory."""

    def __init__(self, region: Region, machine: Machine) -> None:
        self.region, self.tiers = region, Tiers(machine)
        self.wakes_ns = EACH_QUANTUM
        self.waits = np.zeros(region.pages, bool)
        #: Node of each page's shadow, -1: none; and which was made when.
        self.shadow = np.full(region.pages, -1, np.int8)
        self.made = np.zeros(region.pages, np.int64)
        self.hand = self.promotions = self.aborted = 0
        self.demoted_free = self.dropped_by_writes = 0
        self.last_ns = 0
        #: What is left of the risks that copies took.
        self.risk = 0.0

    def wake(self, simulation: Simulation) -> None:
        """Drop what is stale, make room, and promote what was used again."""
        quantum = max(1, simulation.now - self.last_ns)
        self.last_ns = simulation.now
        written = self._drop_written(simulation)
        self._promote(simulation, written, quantum)
        self._take_queued(simulation)
        self._drop_for_room(simulation)

    def _drop_written(self, simulation: Simulation) -> np.ndarray:
        """Drop the shadows of pages that were written; return which pages were."""
        watched = np.flatnonzero((self.shadow >= 0) | self.waits)
        written = np.zeros(self.region.pages, bool)
        # It is the fault of a first write that tells, not a walk.
        taken = simulation.take_written(self.region, watched, charged=False)
        written[watched] = taken
        stale = written & (self.shadow >= 0)
        count = int(stale.sum())
        self.shadow[stale] = -1
        self.dropped_by_writes += count
        simulation.charge(count * simulation.costs.hint_fault_ns)
        return written

    def _drop_for_room(self, simulation: Simulation) -> None:
        """Drop the oldest shadows of slow nodes that need their frames."""
        for node in self.tiers.slow:
            mine = np.flatnonzero(self.shadow == node)
            short = len(mine) - simulation.node_free(node)
            if short > 0:
                oldest = mine[np.argsort(self.made[mine], kind="stable")]
                self.shadow[oldest[: DROPPED * short]] = -1

    def _demote(self, simulation: Simulation, coming: int) -> None:
        """Demote pages that were not used, until enough fast memory is free.

        ``coming`` pages will take some of it: reclaim works beside who promotes them.
        """
        short = coming
        for node in self.tiers.fast:
            kept = simulation.node_size(node) * DEMOTE_SCALE_FACTOR // 10_000
            short += kept - simulation.node_free(node)
        if short <= 0:
            return
        # Twice round at most: the first finds all used, and takes their bits.
        for _ in range(2):
            victims = self._not_used(simulation, short)
            moved = self.send(simulation, victims)
            short -= moved
            if short <= 0:
                return

    def _not_used(self, simulation: Simulation, wanted: int) -> np.ndarray:
        """Return pages of fast memory without an accessed bit, from the hand on."""
        nodes = simulation.where(self.region)
        fast = np.flatnonzero(self.tiers.of(nodes).fast)
        fast = np.roll(fast, -int(np.searchsorted(fast, self.hand)))
        found: list[np.ndarray] = []
        have = at = 0
        while have < wanted and at < len(fast):
            some = fast[at : at + max(HPAGE_PMD_NR, 2 * wanted)]
            idle = some[~simulation.take_accessed(self.region, some)]
            found.append(idle[: wanted - have])
            have += len(found[-1])
            at += len(some)
            self.hand = int(some[-1]) + 1
        return np.concatenate([np.zeros(0, np.int64), *found])

    def send(self, simulation: Simulation, pages: np.ndarray) -> int:
        """Demote pages; those with a shadow go to it, for nothing but new entries."""
        moved = 0
        for node in self.tiers.slow:
            mine = pages[self.shadow[pages] == node]
            if len(mine):
                count = simulation.demote(self.region, mine, node=node, copied=False)
                moved += count
                self.demoted_free += count
        rest = pages[self.shadow[pages] < 0]
        if len(rest):
            moved += simulation.demote(self.region, rest)
        self.shadow[pages] = -1
        return moved

    def _promote(
        self, simulation: Simulation, written: np.ndarray, quantum: int
    ) -> None:
        """Promote queued pages that were used again, unless a write meets the copy."""
        waiting = np.flatnonzero(self.waits)
        used = waiting[simulation.take_accessed(self.region, waiting)]
        before = simulation.where(self.region, used)
        self.waits[used[self.tiers.of(before).fast]] = False
        slow = self.tiers.of(before).slow
        used, before = used[slow], before[slow]
        aborts = self._meets_write(simulation, used, before, written, quantum)
        go = used[~aborts]
        self._demote(simulation, len(go))
        self.tiers.promote(simulation, self.region, go)
        after = simulation.where(self.region, go)
        done = self.tiers.of(after).fast
        self._note(simulation, go[done], before[~aborts][done])

    def _take_queued(self, simulation: Simulation) -> None:
        """Take over what hint faults have queued: all of a huge page.

        Their accessed bits, of that very use, are taken: the next use promotes.
        """
        queued = np.flatnonzero(simulation.own("nomad_queued", self.region))
        if not len(queued):
            return
        simulation.set_own("nomad_queued", self.region, queued, 0)
        simulation.take_accessed(self.region, queued)
        self.waits[queued] = True
        huge = simulation.huge(self.region)
        for block in np.unique(queued // HPAGE_PMD_NR):
            if huge[block]:
                self.waits[block * HPAGE_PMD_NR : (block + 1) * HPAGE_PMD_NR] = True

    def _meets_write(
        self,
        simulation: Simulation,
        pages: np.ndarray,
        nodes: np.ndarray,
        written: np.ndarray,
        quantum: int,
    ) -> np.ndarray:
        """Return which copies are aborted; charge them.

        A page that is written once in a quantum meets its copy with the probability
        that the copy takes of the quantum: so many are aborted as that adds up to.
        """
        copy_ns = simulation.memory.copy_ns[nodes, self.tiers.fast[0]]
        risk = np.where(written[pages], np.minimum(1.0, copy_ns / quantum), 0.0)
        total = self.risk + np.cumsum(risk)
        before = np.concatenate([[self.risk], total])[:-1]
        aborts = np.floor(total) > np.floor(before)
        if len(total):
            self.risk = float(total[-1] % 1.0)
        self.aborted += int(aborts.sum())
        simulation.charge(int(copy_ns[aborts].sum()))
        return aborts

    def _note(
        self, simulation: Simulation, pages: np.ndarray, sources: np.ndarray
    ) -> None:
        """Keep the shadows of promoted pages; charge what such a promotion adds."""
        self.waits[pages] = False
        if not len(pages):
            return
        self.shadow[pages] = sources
        self.made[pages] = self.promotions + np.arange(len(pages))
        self.promotions += len(pages)
        # From now on a write is news; and the copy took a second flush (section 3.1).
        simulation.take_written(self.region, pages, charged=False)
        simulation.charge(len(pages) * simulation.flush_ns(self.region.process))

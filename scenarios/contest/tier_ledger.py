"""Who went where between tiers: one look at the page table at the end of a quantum.

What is counted is the same for all policies, whoever moved a page and by what means.
"""

from collections.abc import Sequence

import numpy as np

from ...engine.simulation import Simulation
from ...engine.state.process import Region

#: A page that is not present has no tier.
NONE = -1


class TierLedger:
    """A daemon that only looks, and charges nothing.

    promoted    pages that were on a faster tier than at the look before
    demoted     pages that were on a slower one
    moved_back  those of both that came back to the tier that they had left at their
                last change of tier since ``start``
    wakes_ns    when it looks again
    """

    def __init__(
        self, region: Region, tier: Sequence[int], begin: int, every: int
    ) -> None:
        self.region, self.tier = region, np.array([*tier, NONE], np.int8)
        self.promoted = self.demoted = self.moved_back = 0
        self.every, self.wakes_ns = every, begin
        #: Tier of each page at the last look, and the one that it had left before.
        self.now = np.full(region.pages, NONE, np.int8)
        self.left = np.full(region.pages, NONE, np.int8)

    def wake(self, simulation: Simulation) -> None:
        """Look, and go to sleep again."""
        self.look(simulation)
        self.wakes_ns = simulation.now + self.every

    def look(self, simulation: Simulation) -> None:
        """Write down who is on another tier now."""
        first = self.region.first
        vpn = np.arange(first, first + self.region.pages)
        self.note(self.tier[simulation.nodes_of(self.region.process, vpn)])

    def note(self, tier: np.ndarray) -> None:
        """Write down the tier of each page, int8[pages], NONE of those not present.

        A page that was away, or is, keeps what is known of it.
        """
        changed = np.flatnonzero((tier != self.now) & (tier != NONE))
        before, after = self.now[changed], tier[changed]
        known = before != NONE
        self.promoted += int((known & (after < before)).sum())
        self.demoted += int((known & (after > before)).sum())
        self.moved_back += int((known & (after == self.left[changed])).sum())
        self.left[changed] = before
        self.now[changed] = after

"""Reclaim to a slower tier: where pages are demoted to.

``docs/model/reclaim.md`` states the rules.
"""

from lazynuma.kernels.counters import Vm, Worker

from .words import BLOCK


class Demotion:
    """A part of ``Reference`` (``model.py``)."""

    def kswapd_mark(self, node):
        """Return above what kswapd stops."""
        return 2 * node.high - node.low if self.tiering else node.high

    def demotion_targets(self, n):
        """Return the nodes of lower tiers: the one to ask first, then by its zonelist.

        The first is the nearest of the next tier, the lowest number of equals.
        """
        return self.lower_nodes(n) if self.knobs.demotion else []

    def lower_nodes(self, n):
        """The same, whether reclaim demotes or not."""
        tier = self.machine.tier
        lower = [
            m for m in range(self.count) if tier[m] > tier[n] and self.nodes[m].online
        ]
        if not lower:
            return []
        first = min(lower, key=lambda m: (tier[m], self.distance(n, m), m))
        return [first, *(m for m in self.zonelist[first] if m in lower)]

    def demotion_target(self, targets, takes):
        """Return where to: the first node down to its min, then any, low before min."""
        if not targets:
            return None
        first, *others = targets
        for nodes, mark in (
            *(([first], "low"), ([first], "min")),
            *((others, "low"), (others, "min")),
        ):
            if mark == "min":
                # The slow path of an allocation wakes kswapd.
                for m in nodes:
                    self.nodes[m].woken = True
            for m in nodes:
                if takes(m, getattr(self.nodes[m], mark)):
                    return m
        return None

    def demote_reclaimed(self, n, at, folio, steal):
        """Demote a frame or a folio; return how many pages went, 0 for none."""
        pages = BLOCK if folio else 1
        room = self.has_room if folio else lambda m, mark: self.nodes[m].free > mark
        t = self.demotion_target(self.demotion_targets(n), room)
        if t is None:
            return 0
        if folio:
            new = self.take_huge(t)
            self.statistics(t, t, n, pages=BLOCK)
            self.migrate_huge(None, at, new)
        else:
            new = self.take(t)
            self.statistics(t, t, n)
            self.migrate(None, at, new)
        kswapd = steal == Vm.PGSTEAL_KSWAPD
        self.add(n, Vm.PGDEMOTE_KSWAPD if kswapd else Vm.PGDEMOTE_DIRECT, pages)
        self.add(n, steal, pages)
        if kswapd:
            ns = self.costs.migrate_page_ns + self.copy_ns(n, t) * pages
            name = "MIGRATE_HUGE" if folio else "MIGRATE"
            self.worked(Worker.KSWAPD, n, **{name: 1}, WORK_NS=ns)
        return pages

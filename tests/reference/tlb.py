"""TLBs and page walks.

``docs/model/quantum.md`` states the rules.
"""

from lazynuma.kernels.counters import Cause, Vm

from .words import BLOCK, Tlb


class Tlbs:
    """A part of ``Reference`` (``model.py``)."""

    def measure_tables(self):
        """Fix what share of the walks of each process misses the caches, by size."""
        cache = self.settings.tlb.walk_cache_bytes * 1000
        self.uncached = {}
        for process in self.processes:
            pmds = self.pmds[process.id].values()
            huge = sum(pmd.kind == "present" for pmd in pmds)
            pages = self._rss[process.id] - BLOCK * huge, huge
            self.uncached[process.id] = [
                1000 - min(1000, cache // max(1, 8 * count)) for count in pages
            ]

    def look_up(self, task, vpn):
        """Look a page up in the TLB of its shard; a miss walks the page tables.

        Return whether a walk went to memory.
        """
        knobs, process = self.settings.tlb, task.process
        if not knobs.enabled:
            return False
        c, pmd = self.cpu(task), self.pmds[process.id][vpn // BLOCK]
        size = int(pmd.kind != "table")
        entries = (knobs.entries_4k, knobs.entries_2m)[size]
        sets = max(1, entries // 4 // self.settings.shards)
        tag = vpn + process.delta >> (0, 9)[size]
        tlb = self.tlbs.setdefault((task.id, self.shard_of(vpn), size), Tlb())
        if not tlb.misses(tag, sets):
            return False
        self.add(c, (Vm.TLB_MISSES_4K, Vm.TLB_MISSES_2M)[size])
        cost = self.costs.walk_ns
        walked = tlb.line != tag >> 3
        if walked:
            p = self.pgd_nid[process.id] if size else pmd.nid
            cost += self.loaded(c, p) * self.uncached[process.id][size] // 1000
        tlb.line = tag >> 3
        self.charge(task, Cause.PAGE_WALK, cost)
        return walked

    def flush_tlbs(self, process):
        mine = [task.id for task in self.tasks if task.process is process]
        for (task, _, _), tlb in self.tlbs.items():
            if task in mine:
                tlb.sets, tlb.line = {}, -1

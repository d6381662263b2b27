"""What came out of a run, in the form that the engine gives it."""

import numpy as np

from lazynuma.engine.state.numa_tasks import NumaGroup, NumaTask
from lazynuma.kernels.counters import Cause

from .words import BLOCK, Page, Pmd


class Results:
    """A part of ``Reference`` (``model.py``)."""

    def scan_results(self):
        return list(self.results)

    def counters(self):
        return np.array(self.vm)

    def refusals(self):
        return np.array(self.refused)

    def times(self, process):
        mine = [self.spent[t.id] for t in self.tasks if t.process is process]
        return [sum(row[cause] for row in mine) for cause in Cause]

    def clock(self, task):
        return self.clocks[task.id].ns

    def rss(self, process):
        return self._rss[process.id]

    def swapents(self, process):
        return self._swapents[process.id]

    def huge_pages(self, process):
        pmds = self.pmds[process.id].values()
        return BLOCK * sum(pmd.kind == "present" for pmd in pmds)

    def pages_by_node(self, process):
        counts = [0] * self.count
        for pte in self.tables[process.id].values():
            if pte.kind == "present":
                counts[self.node_of(pte.payload)] += 1
        for pmd in self.pmds[process.id].values():
            if pmd.kind == "present":
                counts[self.node_of(pmd.payload)] += BLOCK
        return counts

    def free(self, n):
        return self.nodes[n].free

    slots_in_use = property(lambda self: self.slots.used)
    entries_in_use = property(lambda self: self.entries.used)
    slots_peak = property(lambda self: self.slots.peak)
    entries_peak = property(lambda self: self.entries.peak)

    def page(self, process, vpn):
        pte = self.entry(process, vpn)
        if pte is None:
            return Page("none")
        bits = {"write": pte.write, "young": pte.young}
        bits |= {"dirty": pte.dirty, "protnone": pte.protnone}
        bits["pmd"] = isinstance(pte, Pmd)
        if pte.kind == "zero":
            return Page("zero", **bits)
        if pte.kind == "present":
            pfn = pte.payload + (vpn % BLOCK if bits["pmd"] else 0)
            return Page("present", **bits, **self.frame_state(pfn))
        ids = self.slots if pte.kind == "swap" else self.entries
        pfn = ids.frame.get(pte.payload)
        if pfn is not None:
            return Page(pte.kind, **self.frame_state(pfn))
        return Page(pte.kind, entry=pte.payload, count=ids.count[pte.payload])

    def frame_state(self, pfn):
        frame = self.frames.get(pfn)
        found = {"node": self.node_of(pfn), "frame": pfn}
        found["mapcount"] = self.page_mapcount(pfn)
        found["huge"] = pfn // BLOCK in self.folios
        if frame and frame.cache:
            found |= {"entry": frame.entry, "cache": frame.cache}
            found["count"] = self.cache(frame.cache).count[frame.entry]
        return found

    def numa(self, task):
        one = self.numas[task.id]
        number = one.group.number if one.group else -1
        return NumaTask(
            *(one.period, one.period_max, one.stamp, one.seq, one.preferred),
            *(one.retry, number, one.total, one.remote, one.local, one.failed),
            np.array(one.faults),
        )

    def numa_group(self, number):
        one = self.groups[number]
        counts = one.tasks, one.total, one.max_cpu, one.active
        return NumaGroup(*counts, np.array(one.faults))

    def scan_state(self, process):
        mm = self.mms[process.id]
        offset = max(0, mm.offset - process.first_vpn)
        return mm.seq, offset, mm.next_scan

    def scan_skips(self):
        return np.array(self.skips)

    def numa_scans(self):
        return self.scan_count, self.longest_scan

    def cpupid(self, process, vpn):
        entry = self.entry(process, vpn)
        if entry is None or entry.kind == "zero":
            return 0
        pfn = entry.payload
        if entry.kind != "present":
            pfn = self.cache("swap" if entry.kind == "swap" else "mig").frame.get(pfn)
            if pfn is None:
                return 0
        page = self.folios.get(pfn // BLOCK) or self.frames[pfn]
        if page.last is None:
            return 0
        if self.slow(self.node_of(pfn)):
            return 1 + page.last
        pid, cpu = page.last
        return 1 + (cpu << 8 | pid)

    def tier_state(self, node):
        tier = self.tiers[node]
        return tier.threshold or self.knobs.hot_threshold_ms, tier.candidates

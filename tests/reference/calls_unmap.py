"""munmap, and what becomes of the pages that are unmapped.

``docs/model/calls.md`` states the rules.
"""

from lazynuma.engine.state.anon_vma import detach
from lazynuma.kernels.counters import Op, Vm, Worker

from .draws import draw
from .words import BLOCK, Pmd


class UnmapCalls:
    """A part of ``Reference`` (``model.py``)."""

    def munmap(self, task, region, first=0, pages=None):
        start, pages = self.range(region, first, pages)
        process = region.process
        self.prepare(process)
        self.split_cut(task, process, start, start + pages)
        zapped = self.zap(process, start, start + pages, task)
        detach(self, process, start, pages)
        for block in range(start // BLOCK, (start + pages - 1) // BLOCK + 1):
            first, end = block * BLOCK, (block + 1) * BLOCK
            if not any(vma.start < end and first < vma.end for vma in process.vmas):
                self.pmds[process.id].pop(block, None)
        self.evict_unmapped()
        self.flush_tlbs(process)
        flush = self.flushes(task, process, 1)
        cost = zapped * self.costs.zap_pte_ns + flush
        self.syscall(task, cost, alone=True)
        self.took(task, Op.WRITE_CALL_NS, -cost)
        self.took(task, Op.UNMAP)
        self.took(task, Op.UNMAP_NS, cost)

    def zap(self, process, start, end, task):
        """Unmap pages; ``task`` None: the process ends."""
        before = [counted[Vm.PGFREE] for counted in self.vm]
        huge = self.huge_pages(process)
        zapped = self.zap_range(process, start, end, task is None)
        after = [counted[Vm.PGFREE] for counted in self.vm]
        freed = [b - a for a, b in zip(before, after, strict=True)]
        self.count_freed(task, freed, huge - self.huge_pages(process), zapped)
        return zapped

    def count_freed(self, task, freed, huge, zapped):
        whole = sum(freed)
        for n, pages in enumerate(freed):
            if not pages:
                continue
            blocks = min(huge, whole) * pages // whole // BLOCK
            small = pages - blocks * BLOCK
            if task:
                self.took(task, Op.ZAP, small)
                self.took(task, Op.ZAP_HUGE, blocks)
            else:
                ns = zapped * self.costs.zap_pte_ns * pages // whole
                self.worked(Worker.EXIT, n, ZAP=small, ZAP_HUGE=blocks, WORK_NS=ns)

    def zap_range(self, process, start, end, exiting):
        table = self.tables[process.id]
        mapped = [*table, *(block * BLOCK for block in self.leaves(process))]
        mapped = sorted(vpn for vpn in mapped if start <= vpn < end)
        batches = self.settings.thp.zap_batches
        for vpn in mapped:
            pmd = self.entry(process, vpn)
            if pmd is None:
                continue  # taken with the one before it
            if batches and not isinstance(pmd, Pmd) and self.in_folio(pmd):
                self.zap_row(process, vpn, end)
                continue
            if isinstance(pmd, Pmd):
                del self.pmds[process.id][vpn // BLOCK]
                self.zap_huge(process, pmd)
            else:
                self.zap_pte(process, vpn, exiting)
        return len(mapped)

    def zap_row(self, process, vpn, end):
        """Unmap PTEs in a row that map a folio in a row; it is told once."""
        table, last = self.tables[process.id], 0
        pfn, mark = table[vpn].payload, table[vpn].protnone
        b, end = pfn // BLOCK, min(end, (vpn // BLOCK + 1) * BLOCK)
        while vpn < end and pfn // BLOCK == b:
            pte = table.get(vpn)
            if not self.in_folio(pte) or (pte.payload, pte.protnone) != (pfn, mark):
                break
            del table[vpn]
            self._rss[process.id] -= 1
            self.frames[pfn].mapcount -= 1
            last += self.frames[pfn].mapcount == 0
            vpn, pfn = vpn + 1, pfn + 1
        if last:
            self.pages_unmapped(b, last)

    def zap_pte(self, process, vpn, exiting):
        pte = self.tables[process.id].pop(vpn)
        if pte.kind == "present":
            self._rss[process.id] -= 1
            if self.frames[pte.payload].shmem:
                self.zap_shared(pte)
            else:
                self.zap_present(pte.payload)
        elif pte.kind != "zero":
            self._swapents[process.id] -= 1
            self.zap_entry(pte, vpn, exiting)

    def zap_huge(self, process, pmd):
        if pmd.kind == "present":
            self._rss[process.id] -= BLOCK
            self.folios[pmd.payload // BLOCK].mapcount -= 1
            self.folio_unmapped(pmd.payload // BLOCK)

    def zap_present(self, pfn):
        frame = self.frames[pfn]
        frame.mapcount -= 1
        if frame.compound:
            self.page_unmapped(pfn)
            return
        if frame.mapcount or frame.cache == "mig":
            return
        if frame.cache == "swap":
            if self.slots.count[frame.entry]:
                return
            self.slots.give(frame.entry)
        self.release(pfn)

    def zap_entry(self, pte, vpn, exiting):
        ids, one = self.slots if pte.kind == "swap" else self.entries, pte.payload
        ids.count[one] -= 1
        if ids.count[one]:
            return
        pfn = ids.frame.get(one)
        frame = self.frames.get(pfn)
        if frame and frame.mapcount:
            if pte.kind == "parked":
                self.drop_cache(frame)
            return
        if pte.kind == "parked" and exiting and self.loses_race(vpn):
            frame.wedged, frame.active = True, False
            return
        if frame and pte.kind == "swap":
            self.release(pfn)
        ids.give(one)
        if frame and pte.kind == "parked":
            self.release(pfn)

    def loses_race(self, vpn):
        ppm = self.settings.wedge_ppm
        return ppm > 0 and draw(self.seed, 1 << 63, vpn) % 10**6 < ppm

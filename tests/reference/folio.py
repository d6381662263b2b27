"""Splits of a huge mapping and of a folio, at once or deferred.

``docs/model/thp.md`` states the rules.
"""

from lazynuma.kernels.counters import Cause, Op, Vm

from .words import BLOCK, Block, Frame, Pmd, Pte


class Folios:
    """A part of ``Reference`` (``model.py``)."""

    def split_pmd(self, process, block, task=None, cause=None):
        """Map by PTEs what a PMD entry mapped; a task may have to pay."""
        pmd, table = self.pmds[process.id][block], self.tables[process.id]
        self.add(pmd.nid, Vm.THP_SPLIT_PMD)
        self.pmds[process.id][block] = Pmd("table", nid=pmd.nid)
        for i in range(BLOCK):
            pte = Pte("zero")
            if pmd.kind == "present":
                bits = pmd.write, pmd.young, pmd.dirty
                pte = Pte("present", pmd.payload + i, *bits)
                pte.exclusive = pmd.exclusive
            pte.protnone = self.stays(process, block * BLOCK, pmd)
            table[block * BLOCK + i] = pte
        if pmd.kind == "present":
            self.folio_to_ptes(pmd.payload // BLOCK)
        if task is not None:
            self.charge(task, cause, self.costs.split_pmd_ns)
            self.took(task, Op.SPLIT)

    def folio_to_ptes(self, b):
        """Count PTEs in place of one PMD entry."""
        folio = self.folios[b]
        folio.mapcount -= 1
        for i in range(BLOCK):
            if not folio.compound:
                frame = Frame(folio.vpn + i, folio.family, compound=True)
                self.frames[b * BLOCK + i] = frame
            self.frames[b * BLOCK + i].mapcount += 1
        folio.compound, folio.ptes, folio.remapped = True, BLOCK, False

    def split_defers(self, b):
        """Tell whether a split queues a folio as it unmaps it."""
        return not self.settings.thp.split_at_once or self.unmapping_defers(b)

    def split_folio(self, b, task=None, defers=None):
        """Make small pages of a folio; return how many frames that freed."""
        folio, thp = self.folios[b], self.settings.thp
        if self.split_defers(b) if defers is None else defers:
            self.defer(b)
        for process, _ in self.pmd_mappings(b):
            self.split_pmd(process, folio.vpn // BLOCK, task, Cause.SYSCALL)
        if thp.split_to_zero_pages:
            self.map_unused_to_zeropage(b)
        self.add(self.node_of(b * BLOCK), Vm.THP_SPLIT_PAGE)
        del self.folios[b]
        self.blocks[b] = Block(free=0, used=BLOCK)
        freed = 0
        for pfn in range(b * BLOCK, (b + 1) * BLOCK):
            frame = self.frames[pfn]
            frame.compound, frame.active = False, folio.active
            if folio.age is not None:
                self.set_age(frame, folio.age)
            frame.moved_from, frame.last = folio.moved_from, folio.last
            if frame.mapcount == 0:
                self.release(pfn)
                freed += 1
        return freed

    def page_unmapped(self, pfn):
        """A PTE of a folio's frame is gone."""
        if self.frames[pfn].mapcount == 0:
            self.pages_unmapped(pfn // BLOCK, 1)

    def pages_unmapped(self, b, last):
        """So many frames of a folio have lost their last PTE at once."""
        folio = self.folios[b]
        folio.ptes -= last
        if folio.remapped:
            self.defer(b)
        if folio.ptes == 0 and folio.mapcount:
            folio.compound = folio.remapped = False
            for one in self.frames_of(b):
                del self.frames[one]
            return
        self.folio_unmapped(b)

    def folio_unmapped(self, b):
        """The last PTE of a frame or a PMD entry of a folio is gone: defer a split."""
        folio = self.folios[b]
        if folio.mapcount:
            return
        if folio.ptes == 0:
            self.release_folio(b)
        elif folio.ptes < BLOCK and not folio.remapped:
            self.defer(b)
        folio.remapped = False

    def defer(self, b):
        """Queue a folio to be split, if it is not queued."""
        if not self.folios[b].deferred:
            self.folios[b].deferred = True
            self.add(self.node_of(b * BLOCK), Vm.THP_DEFERRED_SPLIT_PAGE)

    def likely_mapped_shared(self, b):
        """Tell whether a folio counts as mapped by several processes (6.10)."""
        folio = self.folios[b]
        parts = [self.frames[one] for one in self.frames_of(b)]
        if self.settings.thp.mm_ids:
            users = {process.id for process, _ in self.pmd_mappings(b)}
            for pfn in self.frames_of(b):
                users |= {process.id for process, _ in self.mappings(pfn)}
            return len(users) > 1
        count = folio.mapcount + sum(one.mapcount for one in parts)
        if count <= 1:
            return False
        first = self.frames.get(b * BLOCK) if folio.compound else None
        return folio.mapcount > 0 or count > BLOCK or bool(first and first.mapcount > 1)

    def unmapping_defers(self, b):
        """Tell whether the last VMA that maps a folio does so by PTEs."""
        folio, by_pte = self.folios[b], False
        whole = [process for process, _ in self.pmd_mappings(b)]
        for process, vma in self.vmas_of(folio.family, folio.vpn, BLOCK):
            if process in whole:
                by_pte = False
            elif any(
                pte is not None and pte.kind == "present" and pte.payload == pfn
                for pfn, pte in self.ptes_of(process, vma, folio.vpn, b)
            ):
                by_pte = True
        return by_pte or folio.remapped

    def ptes_of(self, process, vma, first, b):
        """Yield (frame of a folio, PTE that may map it) of a VMA."""
        for i in range(BLOCK):
            if vma.start <= first + i < vma.end:
                yield b * BLOCK + i, self.tables[process.id].get(first + i)

"""Entries of page tables, and the reverse map from a frame to the entries that map it.

``docs/model/page.md`` states the rules.
"""

from lazynuma.engine.state.anon_vma import (
    is_bare,
    must_prepare,
    prepare_vmas,
)

from .words import BLOCK, Pmd, Pte


class Rmap:
    """A part of ``Reference`` (``model.py``)."""

    def relatives(self, family):
        return [p for p in self.processes if p.family == family and p.alive]

    def entry(self, process, vpn):
        """Return the PMD entry or PTE that maps a page, or None."""
        pmd = self.pmds[process.id].get(vpn // BLOCK)
        if pmd is not None and pmd.kind != "table":
            return pmd
        return self.tables[process.id].get(vpn)

    @staticmethod
    def is_leaf(entry):
        """Tell whether an entry is a huge page's, or the huge zero page's."""
        return isinstance(entry, Pmd) and entry.kind != "table"

    def page_mapcount(self, pfn):
        """Return how many PTEs and PMD entries map a page."""
        frame, folio = self.frames.get(pfn), self.folios.get(pfn // BLOCK)
        return (frame.mapcount if frame else 0) + (folio.mapcount if folio else 0)

    def mappings(self, pfn):
        """Return (process, PTE) of every PTE that maps a frame."""
        frame = self.frames[pfn]
        found = [(p, self.tables[p.id].get(frame.vpn)) for p in self.family_of(frame)]
        return [
            (p, pte)
            for p, pte in found
            if pte is not None and pte.kind == "present" and pte.payload == pfn
        ]

    def family_of(self, frame):
        return self.relatives(frame.family)

    def unmap(self, pfn, kind, one):
        frame, ids = self.frames[pfn], self.slots if kind == "swap" else self.entries
        for process, pte in self.mappings(pfn):
            frame.dirty |= pte.dirty
            self.tables[process.id][frame.vpn] = Pte(kind, one)
            ids.count[one] += 1
            frame.mapcount -= 1
            self._rss[process.id] -= 1
            self._swapents[process.id] += 1

    def pmd_mappings(self, b):
        """Return (process, PMD entry) of every PMD entry that maps a folio."""
        folio = self.folios[b]
        found = [
            (p, self.pmds[p.id].get(folio.vpn // BLOCK)) for p in self.family_of(folio)
        ]
        return [
            (p, pmd)
            for p, pmd in found
            if pmd is not None and pmd.kind == "present" and pmd.payload == b * BLOCK
        ]

    def note_anon_page(self, process, vpn):
        """Note that a VMA has had an anonymous page."""
        vma = self.vma_of(process, vpn)
        if is_bare(vma) and all(vma is not one for one in self.dirty_vmas):
            self.dirty_vmas.append(vma)

    def prepare(self, process):
        """Give an anon_vma to each VMA that has its first page, by address."""
        written = {id(vma) for vma in self.dirty_vmas}
        rows = [
            i
            for i, vma in enumerate(process.vmas)
            if is_bare(vma) and id(vma) in written
        ]
        prepare_vmas(self, process, rows)
        mine = {id(vma) for vma in process.vmas}
        self.dirty_vmas = [vma for vma in self.dirty_vmas if id(vma) not in mine]

    def prepare_neighbours(self):
        for process in self.processes:
            if must_prepare(self, process):
                self.prepare(process)

    def vmas_of(self, family, vpn, pages):
        """Return (process, VMA) in the order of a rmap walk."""
        found = [
            (process, vma)
            for process in self.relatives(family)
            for vma in process.vmas
            if vma.start < vpn + pages and vpn < vma.end
        ]
        return sorted(found, key=lambda one: (one[1].start, one[1].linked))

    def hit(self, pte, write):
        if pte is None or pte.protnone:
            return False
        if pte.kind == "zero":
            return not write
        return pte.kind == "present" and (pte.write or not write)

    def vma_of(self, process, vpn):
        return next((v for v in process.vmas if v.start <= vpn < v.end), None)

    def leaves(self, process):
        """Return the blocks of a process that a huge entry maps."""
        pmds = self.pmds[process.id].items()
        return {block for block, pmd in pmds if pmd.kind != "table"}

    def in_folio(self, entry):
        """Tell whether an entry maps a huge page or a part of one."""
        mapped = entry is not None and entry.kind == "present"
        return mapped and entry.payload // BLOCK in self.folios

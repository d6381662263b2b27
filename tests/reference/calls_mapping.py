"""Calls that map, populate, protect, and advise.

``docs/model/calls.md`` states the rules.
"""

from lazynuma.engine.state.anon_vma import differing, modify
from lazynuma.engine.state.process import Region, Vma
from lazynuma.kernels.counters import Cause
from lazynuma.kernels.knobs import Advice

from .words import BLOCK, NoMemory, Pmd


class MappingCalls:
    """A part of ``Reference`` (``model.py``)."""

    def mmap(
        self,
        process,
        nbytes,
        name="",
        write=True,
        shared=False,
        offset=0,
        task=None,
        pgoff=None,
    ):
        if shared:
            family = [p for p in self.processes if p.family == process.family]
            process.next_vpn = max(p.next_vpn for p in family)
        pages, first = -(-nbytes // 4096), process.next_vpn + offset
        process.next_vpn = -(-(first + pages) // BLOCK) * BLOCK
        held = self.new_object(process, first, pages) if shared else None
        if pgoff is None:
            pgoff = first - process.first_vpn
        pgoff = (0 if shared else pgoff) - first
        vma = Vma(first, first + pages, write=write, shmem=held, pgoff=pgoff)
        process.vmas.append(vma)
        if task is not None:
            self.syscall(task, 0, alone=True)
        return Region(process, first, pages, name)

    def range(self, region, first, pages):
        return region.first + first, region.pages - first if pages is None else pages

    def change(self, task, process, start, pages, **values):
        """Give VMAs of a range other values; return what they were, in their places.

        Huge entries that a cut goes through are split.
        """
        self.prepare(process)
        changed = []
        for at, end in differing(process, start, start + pages, values):
            changed += self.parts(process, at, end - at)
            self.split_cut(task, process, at, end)
            modify(self, process, at, end, values)
        return changed

    def parts(self, process, start, pages):
        """Return copies of the parts of VMAs that lie in a range."""
        ends = [(max(v.start, start), min(v.end, start + pages)) for v in process.vmas]
        pairs = zip(process.vmas, ends, strict=True)
        return [vma.copy(at, end) for vma, (at, end) in pairs if at < end]

    def split_cut(self, task, process, start, end):
        """Split the huge entries that the ends of a range go through."""
        for at in (start, end):
            cut = any(v.start < at < v.end for v in process.vmas)
            if cut and at % BLOCK and at // BLOCK in self.leaves(process):
                self.split_pmd(process, at // BLOCK, task, Cause.SYSCALL)

    def walk(self, process, parts):
        """Yield (VMA, page, entry) of what is mapped, a huge entry at its first page.

        What is split meanwhile without having moved is gone through again.
        """
        for vma in parts:
            vpn = vma.start
            while vpn < vma.end:
                entry = self.entry(process, vpn)
                was = self.in_folio(entry)
                if entry is not None:
                    yield vma, vpn, entry
                same = self.entry(process, vpn) is entry
                if not isinstance(entry, Pmd):
                    vpn += not (same and was and not self.in_folio(entry))
                elif same:
                    vpn = (vpn // BLOCK + 1) * BLOCK

    def populate(self, task, region, first=0, pages=None):
        start, pages = self.range(region, first, pages)
        done = 0
        try:
            for vpn in range(start, start + pages):
                while not self.hit(self.entry(task.process, vpn), True):
                    self.fault(task, vpn, True)
                done += 1
        except NoMemory:
            pass
        self.prepare_neighbours()
        self.syscall(task, 0)
        return done

    def mprotect(self, task, region, prot, first=0, pages=None):
        start, pages = self.range(region, first, pages)
        bits = prot != "none", prot == "rw"

        values = {"read": bits[0], "write": bits[1]}
        parts = self.change(task, region.process, start, pages, **values)
        changed = 0
        for _, _, pte in self.walk(region.process, parts):
            if pte.kind in ("present", "zero"):
                before = dict(vars(pte))
                self.protect(pte, prot)
                changed += vars(pte) != before
        self.flush_tlbs(region.process)
        flush = self.flushes(task, region.process, 1)
        cost = changed * self.costs.mark_pte_ns + flush
        self.syscall(task, cost, alone=True)

    def protect(self, pte, prot):
        pte.protnone = prot == "none"
        if prot == "r":
            pte.exclusive |= pte.write
            pte.write = False
        if prot == "rw" and pte.kind == "present":
            frame = self.frames.get(pte.payload)
            alone = self.page_mapcount(pte.payload) == 1
            if isinstance(pte, Pmd):
                alone = alone and frame is None
            elif frame.compound:
                alone = pte.exclusive
            else:
                alone = frame.shmem or (alone and not frame.cache)
            if alone:
                pte.write, pte.exclusive = True, False

    def advise(self, task, region, advice, first=0, pages=None):
        start, pages = self.range(region, first, pages)
        wanted = Advice[advice.upper()]
        self.change(task, region.process, start, pages, advice=wanted)
        self.syscall(task, 0, alone=True)

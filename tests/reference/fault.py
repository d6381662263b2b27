"""Which fault is served how; new pages, zero pages, and copies on write.

``docs/model/fault.md`` states the rules.
"""

from lazynuma.kernels.counters import Cause, Op, Vm

from .words import BLOCK, Frame, Pmd, Pte


class Faults:
    """A part of ``Reference`` (``model.py``)."""

    def fault(self, task, vpn, write):
        process = task.process
        vma = self.vma_of(process, vpn)
        if vma is None or not (vma.write if write else vma.read):
            raise LookupError(f"segv at {vpn}")
        block = vpn // BLOCK
        pmd = self.pmds[process.id].get(block)
        if pmd is not None and pmd.kind != "table":
            self.pmd_fault(task, vma, vpn, pmd)
        elif pmd is not None or not self.suits(vma, block):
            self.pte_fault(task, vma, vpn, write)
        elif not self.huge_fault(task, vma, vpn, write):
            self.pte_fault(task, vma, vpn, write)
            self.add(self.cpu(task), Vm.THP_FAULT_FALLBACK)
        self.add(self.cpu(task), Vm.PGFAULT)

    def pte_fault(self, task, vma, vpn, write):
        process = task.process
        pte = self.tables[process.id].get(vpn)
        if vma.shmem:
            self.shared_fault(task, vma, vpn, write)
        elif pte is None and not write:
            self.tables[process.id][vpn] = Pte("zero", young=True)
            self.add(self.cpu(task), Vm.ZERO_PAGE_FAULTS)
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
            self.took(task, Op.FAULT)
        elif pte is None or pte.kind == "zero":
            self.map_page(task, vpn, self.allocate(task, vma, vpn))
            self._rss[process.id] += 1
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
            self.took(task, Op.FAULT)
        elif pte.kind in ("swap", "parked"):
            self.cached_fault(task, vma, vpn, pte, write)
        elif pte.protnone:
            self.numa_fault(task, vma, vpn, pte)
        else:
            self.wp_fault(task, vma, vpn, pte)
        table = Pmd("table", nid=self.table_node(task))
        self.pmds[process.id].setdefault(vpn // BLOCK, table)

    def map_page(self, task, vpn, pfn):
        """Map a new frame."""
        self.frames[pfn] = Frame(vpn, task.process.family, mapcount=1)
        fresh = Pte("present", pfn, write=True, young=True, dirty=True)
        self.tables[task.process.id][vpn] = fresh
        self.note_anon_page(task.process, vpn)

    def wp_fault(self, task, vma, vpn, pte):
        old, frame = pte.payload, self.frames[pte.payload]
        alone = frame.mapcount == 1 and frame.cache != "mig" and not frame.compound
        alone = alone and not (frame.cache == "swap" and self.slots.count[frame.entry])
        if alone or pte.exclusive:
            if frame.cache:
                self.drop_cache(frame)
            pte.exclusive = False
            pte.write = pte.young = pte.dirty = True
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
            self.took(task, Op.FAULT)
            return
        self.copy_page(task, vpn, old, self.allocate(task, vma, vpn))

    def copy_page(self, task, vpn, old, new):
        """Map a copy on a new frame in place of a frame."""
        frame = self.frames[old]
        self.map_page(task, vpn, new)
        self.copy_content(old, new)
        frame.mapcount -= 1
        if frame.compound:
            self.page_unmapped(old)
        self.add(self.cpu(task), Vm.COW_FAULTS)
        copy = self.copy_ns(self.node_of(old), self.node_of(new))
        self.charge(task, Cause.COW, self.costs.minor_fault_ns + copy)
        self.took(task, Op.FAULT)

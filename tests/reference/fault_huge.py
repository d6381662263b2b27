"""Faults that map a huge page, and faults on one.

``docs/model/thp.md`` and ``docs/model/fault.md`` state the rules.
"""

from lazynuma.kernels.counters import Cause, Vm
from lazynuma.kernels.knobs import Advice

from .words import BLOCK, Folio, Pmd, SetAside


class HugeFaults:
    """A part of ``Reference`` (``model.py``)."""

    def eligible(self, vma):
        enabled = self.settings.thp.enabled
        if vma.shmem:
            return False
        if enabled == "madvise":
            return vma.advice == Advice.HUGEPAGE
        return enabled == "always" and vma.advice != Advice.NOHUGEPAGE

    def suits(self, vma, block):
        """Tell whether a fault may map a huge page."""
        first, end = block * BLOCK, (block + 1) * BLOCK
        return self.eligible(vma) and vma.start <= first and end <= vma.end

    def huge_fault(self, task, vma, vpn, write):
        """Serve a fault in an empty block; False where a small page must do."""
        c, block = self.cpu(task), vpn // BLOCK
        pmds = self.pmds[task.process.id]
        if not write and self.settings.thp.use_zero_page:
            self.take_huge_zero_page(c)
            pmds[block] = Pmd("zero", young=True, nid=self.table_node(task))
            self.add(c, Vm.ZERO_PAGE_FAULTS)
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
            return True
        direct = self.direct(vma)
        b = self.allocate_huge(task, vma, vpn, direct, self.wakes(direct))
        if b is None:
            return False
        self.map_huge(task.process, block, b, self.table_node(task), vma.write)
        self.add(c, Vm.THP_FAULT_ALLOC)
        self.charge(task, Cause.HUGE_FAULT, self.costs.huge_fault_ns)
        return True

    def take_huge_zero_page(self, c):
        if self.huge_zero_page:
            return
        if self.shard is not None:
            raise SetAside
        self.huge_zero_page = True
        self.add(c, Vm.THP_ZERO_PAGE_ALLOC)

    def map_huge(self, process, block, b, nid, write=True):
        """Map a new folio."""
        self.folios[b] = Folio(block * BLOCK, process.family, mapcount=1)
        bits = {"write": write, "exclusive": not write, "young": True, "dirty": True}
        self.pmds[process.id][block] = Pmd("present", b * BLOCK, nid=nid, **bits)
        self._rss[process.id] += BLOCK

    def pmd_fault(self, task, vma, vpn, pmd):
        """Serve a fault on a huge entry."""
        if pmd.kind == "zero":
            pfn = self.allocate(task, vma, vpn)
            self.split_pmd(task.process, vpn // BLOCK, task, Cause.HUGE_FAULT)
            self.map_page(task, vpn, pfn)
            self._rss[task.process.id] += 1
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
        elif pmd.protnone and self.balances:
            self.balanced_fault(task, vma, vpn, pmd, True)
        elif pmd.protnone:
            self.huge_hint_fault(task, vma, vpn, pmd)
        else:
            self.huge_wp_fault(task, vma, vpn, pmd)

    def huge_wp_fault(self, task, vma, vpn, pmd):
        folio = self.folios[pmd.payload // BLOCK]
        if folio.mapcount == 1 and not folio.compound:
            pmd.write = pmd.young = pmd.dirty = True
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
            return
        pfn = self.allocate(task, vma, vpn)
        self.split_pmd(task.process, vpn // BLOCK, task, Cause.HUGE_FAULT)
        self.copy_page(task, vpn, pmd.payload + vpn % BLOCK, pfn)

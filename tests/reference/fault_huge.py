"""Faults that map a huge page, and faults on one.

``docs/model/thp.md`` and ``docs/model/fault.md`` state the rules.
"""

from lazynuma.kernels.counters import Cause, Op, Vm
from lazynuma.kernels.knobs import Advice, Mode

from .words import BLOCK, Folio, NoMemory, Pmd, SetAside


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
            self.note_anon_page(task.process, vpn)
            self.add(c, Vm.ZERO_PAGE_FAULTS)
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
            self.took(task, Op.HUGE_FAULT)
            return True
        direct = self.direct(vma)
        b = self.allocate_huge(task, vma, vpn, direct, self.wakes(direct))
        if b is None:
            return False
        self.map_huge(task.process, block, b, self.table_node(task), vma.write)
        self.add(c, Vm.THP_FAULT_ALLOC)
        self.charge(task, Cause.HUGE_FAULT, self.costs.huge_fault_ns)
        self.took(task, Op.HUGE_FAULT)
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
        self.folios[b].queued = self.settings.thp.split_underused
        bits = {"write": write, "exclusive": not write, "young": True, "dirty": True}
        self.pmds[process.id][block] = Pmd("present", b * BLOCK, nid=nid, **bits)
        self.note_anon_page(process, block * BLOCK)
        self._rss[process.id] += BLOCK

    def pmd_fault(self, task, vma, vpn, pmd):
        """Serve a fault on a huge entry."""
        if pmd.kind == "zero":
            thp = self.settings.thp
            if thp.copy_on_write or thp.copy_huge_zero_page:
                if self.copy_whole(task, vma, vpn, pmd):
                    return
            pfn = self.allocate(task, vma, vpn)
            if thp.copy_on_write or thp.copy_huge_zero_page:
                self.add(self.cpu(task), Vm.THP_FAULT_FALLBACK)
            self.split_pmd(task.process, vpn // BLOCK, task, Cause.HUGE_FAULT)
            self.map_page(task, vpn, pfn)
            self._rss[task.process.id] += 1
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
            self.took(task, Op.FAULT)
        elif pmd.protnone and self.balances:
            self.balanced_fault(task, vma, vpn, pmd, True)
        elif pmd.protnone:
            self.huge_hint_fault(task, vma, vpn, pmd)
        else:
            self.huge_wp_fault(task, vma, vpn, pmd)

    def huge_wp_fault(self, task, vma, vpn, pmd):
        folio = self.folios[pmd.payload // BLOCK]
        if folio.mapcount == 1 and not folio.compound or pmd.exclusive:
            pmd.exclusive = False
            pmd.write = pmd.young = pmd.dirty = True
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
            self.took(task, Op.HUGE_FAULT)
            return
        if self.settings.thp.copy_on_write:
            if not self.copy_whole(task, vma, vpn, pmd):
                self.copy_small(task, vma, vpn, pmd)
            return
        pfn = self.allocate(task, vma, vpn)
        self.split_pmd(task.process, vpn // BLOCK, task, Cause.HUGE_FAULT)
        self.copy_page(task, vpn, pmd.payload + vpn % BLOCK, pfn)

    def copy_whole(self, task, vma, vpn, old):
        """Put a new folio in place of what others map; False if there is none."""
        c, block, process = self.cpu(task), vpn // BLOCK, task.process
        asks = old.kind != "zero" or not self.settings.thp.copy_huge_zero_page
        if asks and not self.suits(vma, block):
            return False
        direct = self.direct(vma)
        b = self.allocate_huge(task, vma, vpn, direct, self.wakes(direct))
        if b is None:
            return False
        self.map_huge(process, block, b, old.nid)
        self.add(c, Vm.THP_FAULT_ALLOC)
        if old.kind == "zero":
            self.charge(task, Cause.HUGE_FAULT, self.costs.huge_fault_ns)
            self.took(task, Op.HUGE_FAULT)
            return True
        copy = BLOCK * self.copy_ns(self.node_of(old.payload), self.node_of(b * BLOCK))
        self.copy_contents(old.payload // BLOCK, b)
        self.zap_huge(process, old)
        self.add(c, Vm.COW_FAULTS)
        self.charge(task, Cause.COW, self.costs.minor_fault_ns + copy)
        self.took(task, Op.HUGE_FAULT)
        return True

    def copy_small(self, task, vma, vpn, old):
        """Copy a folio to 512 small pages, all of them placed as the written one is."""
        if self.shard is not None:
            raise SetAside
        process, n, first = (
            task.process,
            self.node_of(old.payload),
            vpn // BLOCK * BLOCK,
        )
        policy = self.policy_of(task, vma)
        allowed = policy.nodes if policy.mode == Mode.BIND else range(self.count)
        nodes = [self.nodes[one] for one in allowed if self.nodes[one].online]
        if sum(max(0, node.free - node.min) for node in nodes) < BLOCK:
            raise NoMemory
        ns = self.costs.minor_fault_ns
        self.pmds[process.id][vpn // BLOCK] = Pmd("table", nid=old.nid)
        for i in range(BLOCK):
            pfn = self.allocate(task, vma, vpn, near=n)
            self.map_page(task, first + i, pfn)
            self.copy_content(old.payload + i, pfn)
            ns += self.copy_ns(n, self.node_of(pfn))
        self._rss[process.id] += BLOCK
        self.zap_huge(process, old)
        self.add(self.cpu(task), Vm.THP_FAULT_FALLBACK)
        self.add(self.cpu(task), Vm.COW_FAULTS)
        self.charge(task, Cause.COW, ns)
        self.took(task, Op.HUGE_FAULT)

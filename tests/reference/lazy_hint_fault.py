"""Lazy migration by hinting: marks, and the hint faults on small and huge pages.

``docs/model/lazy.md`` states the rules.
"""

from lazynuma.kernels.counters import Cause, Op, Refusal, Vm

from .words import BLOCK, NoMemory, Pmd, SetAside


class LazyHintFaults:
    """A part of ``Reference`` (``model.py``)."""

    def huge_hint_fault(self, task, vma, vpn, pmd):
        c, node = self.cpu(task), self.node_of(pmd.payload)
        target, moved = self.off_target(task, vma, vpn, pmd.payload), False
        if target is not None and not self.settings.thp.unit_hinting:
            self.set_split_aside()
            self.split_for_hint(task, pmd.payload // BLOCK)
            self.count_hint_fault(task, node, huge=True)
            return
        if target is not None:
            try:
                mark = self.nodes[target].high + BLOCK
                new = self.allocate_huge_on(target, mark, c)
                self.migrate_huge(task, pmd.payload // BLOCK, new)
                self.moved_folio(task, new, node, pmd)
                self.add(target, Vm.NUMA_PAGES_MIGRATED, BLOCK)
                moved = True
            except NoMemory:
                self.refuse(Refusal.TARGET_FULL, BLOCK)
        self.count_hint_fault(task, node, huge=True)
        self.make_anew(vma, pmd, moved)

    def make_anew(self, vma, entry, moved=False):
        """Take the mark off an entry, and perhaps its write bit."""
        entry.protnone, entry.young = False, True
        if self.knobs.write_bit == "kept" or vma.shmem:
            return
        if self.knobs.write_bit == "lost_at_move":
            if moved and entry.write:
                entry.write, entry.exclusive = False, True
            elif not moved and entry.exclusive and vma.write:
                entry.write, entry.exclusive = True, False
            return
        entry.write = False
        if moved and isinstance(entry, Pmd) and vma.write:
            folio = self.folios[entry.payload // BLOCK]
            entry.write = folio.mapcount == 1 and not folio.compound

    def set_split_aside(self):
        """A split that may free many frames waits for the barrier."""
        if self.shard is not None and self.settings.thp.split_to_zero_pages:
            raise SetAside

    def split_for_hint(self, task, b):
        """Split a folio; what was marked in the PMD entries stays marked."""
        block, defers = self.folios[b].vpn // BLOCK, self.split_defers(b)
        for process, pmd in self.pmd_mappings(b):
            self.split_pmd(process, block, task, Cause.HUGE_FAULT)
            for vpn in range(block * BLOCK, (block + 1) * BLOCK):
                marked = pmd.protnone and self.knobs.split_marks
                self.tables[process.id][vpn].protnone = marked
        self.split_folio(b, defers=defers)
        for pfn in range(b * BLOCK, (b + 1) * BLOCK):
            if not self.knobs.split_last and pfn in self.frames:
                self.frames[pfn].last = None

    def numa_fault(self, task, vma, vpn, pte):
        """Serve a hint fault on a small page, or on all those of its table."""
        process, block = task.process, vpn // BLOCK
        table, pmd = self.tables[process.id], self.pmds[process.id][block]
        if not pmd.numa:
            self.hint_fault(task, vma, vpn, pte)
            return
        for one in range(max(block * BLOCK, vma.start), (block + 1) * BLOCK):
            pte = table.get(one)
            if pte is None or pte.kind != "present" or not pte.protnone:
                continue
            if self.page_mapcount(pte.payload) != 1:
                pte.protnone, pte.young = False, True
                continue
            self.hint_fault(task, self.vma_of(process, one), one, pte, traps=0)
        pmd.numa = False
        self.charge(task, Cause.HINT_FAULT, self.costs.hint_fault_ns)

    def hint_fault(self, task, vma, vpn, pte, traps=1):
        compound = self.frames[pte.payload].compound
        if self.balances and not compound:
            self.balanced_fault(task, vma, vpn, pte, False, traps)
            return
        if compound and self.knobs.hint_folios:
            self.folio_hint_fault(task, vma, vpn, pte, traps)
            return
        node, c = self.node_of(pte.payload), self.cpu(task)
        target = self.off_target(task, vma, vpn, pte.payload)
        if compound:
            target = self.misplaced(task, vma, vpn, pte.payload)
        if target is not None and compound:
            self.refuse(Refusal.PTE_MAPPED_THP)
        elif target is not None:
            try:
                new = self.allocate_on(target, self.nodes[target].high + 1, c)
                self.migrate(task, pte.payload, new)
                self.flush_hinted(task)
                self.moved_page(task, new, node, pte)
                self.add(target, Vm.NUMA_PAGES_MIGRATED)
            except NoMemory:
                self.refused[Refusal.TARGET_FULL] += 1
        self.count_hint_fault(task, node, traps)
        self.make_anew(vma, pte)

    def off_target(self, task, vma, vpn, pfn):
        """Return where a marked page should be, with NUMA balancing off."""
        policy = self.policy_of(task, self.place(vma, vpn))
        if vma.mof or not policy.numa_balancing:
            return self.misplaced(task, vma, vpn, pfn)
        c = self.cpu(task)
        return c if c in policy.nodes and self.node_of(pfn) != c else None

    def folio_hint_fault(self, task, vma, vpn, pte, traps):
        """Serve a hint fault on a PTE of a folio, which moves as a whole (6.10)."""
        if self.balances:
            self.balanced_fault(task, vma, vpn, pte, True, traps)
            return
        n, moved = self.node_of(pte.payload), False
        target = self.off_target(task, vma, vpn, pte.payload)
        if target is not None:
            new = self.find_target(task, target, True, pte)
            moved = new is not None
            if moved:
                self.move_hinted(task, pte, new, n, True, target)
            else:
                self.refuse(Refusal.TARGET_FULL, BLOCK)
        self.count_hint_fault(task, n, traps)
        self.end_fault(task, vma, vpn, pte, True, moved)

    def count_hint_fault(self, task, node, traps=1, huge=False):
        c = self.cpu(task)
        self.took(task, Op.HUGE_HINT_FAULT if huge else Op.HINT_FAULT)
        self.add(c, Vm.NUMA_HINT_FAULTS)
        if node == c:
            self.add(c, Vm.NUMA_HINT_FAULTS_LOCAL)
        self.charge(task, Cause.HINT_FAULT, traps * self.costs.hint_fault_ns)

    def mark_hint(self, entry):
        if entry.protnone:
            return 0
        entry.protnone = True
        node, pages = self.node_of(entry.payload), 1
        if isinstance(entry, Pmd):
            pages = BLOCK
            self.add(node, Vm.NUMA_HUGE_PTE_UPDATES)
        self.add(node, Vm.NUMA_PTE_UPDATES, pages)
        self.add(node, Vm.LAZY_PAGES_MARKED, pages)
        return pages

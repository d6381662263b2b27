"""What daemons do to many pages at once, a page at a time.

``docs/model/daemons.md`` states the rules.
"""

from lazynuma.kernels.counters import Refusal, ScanResult, Vm, Worker
from lazynuma.kernels.knobs import Advice

from .calls_placement import Batches
from .words import BLOCK, NoMemory, Pmd


class BulkCalls:
    """A part of ``Reference`` (``model.py``)."""

    daemon_time_ns = 0

    def charge_daemon(self, ns):
        self.daemon_time_ns += ns

    def daemon_worked(self, process, before, **ops):
        """Let locks know of what a call did, and how long that took."""
        ns = self.daemon_time_ns - before
        self.worked(Worker.KHUGEPAGED, process.id, **ops, WORK_NS=ns)

    def vpns(self, region, pages):
        """Return the pages that are meant, in the order in which they were given."""
        if pages is None:
            pages = range(region.pages)
        elif len(pages) == region.pages and all(isinstance(one, bool) for one in pages):
            pages = [page for page, wanted in enumerate(pages) if wanted]
        return [region.first + page for page in pages]

    def node_at(self, process, vpn):
        """Return the node of a page, or -1."""
        entry = self.entry(process, vpn)
        there = entry is not None and entry.kind == "present"
        return self.node_of(entry.payload) if there else -1

    def where(self, region, pages=None):
        return [self.node_at(region.process, at) for at in self.vpns(region, pages)]

    def take_accessed(self, region, pages=None):
        """Read all accessed bits, then clear them."""
        found, read, last = [], 0, None
        for vpn in self.vpns(region, pages):
            entry = self.entry(region.process, vpn)
            read += not (isinstance(entry, Pmd) and entry is last)
            last = entry
            found.append(entry)
        kinds = ("present", "zero")
        used = [e is not None and e.kind in kinds and e.young for e in found]
        cleared = 0
        for entry, young in zip(found, used, strict=True):
            if young and entry.young:
                entry.young = False
                cleared += 1
        ns = read * self.costs.walk_ns + cleared * self.costs.mark_pte_ns
        self.charge_daemon(ns + self.flush_daemon(region.process, cleared > 0))
        return used

    def flush_daemon(self, process, flushes):
        """Flush from the first node with CPUs; all tasks of the process are told."""
        if not flushes:
            return 0
        self.flush_tlbs(process)
        users = sum(t.process is process and process.alive for t in self.tasks)
        node = next(n for n in range(self.count) if self.machine.cpus[n])
        self.add(node, Vm.TLB_FLUSHES, int(flushes))
        self.add(node, Vm.NR_TLB_REMOTE_FLUSH_RECEIVED, flushes * users)
        costs = self.costs
        return flushes * (costs.tlb_flush_ns + users * costs.tlb_flush_cpu_ns)

    # --- moves ------------------------------------------------------------------------

    def move(self, region, pages, node):
        return self.move_list(region, pages, node, "low", self.keep)

    def promote(self, region, pages, node=None):
        return self.move_list(region, pages, node, "high", self.faster)

    def demote(self, region, pages, node=None):
        return self.move_list(region, pages, node, "min", self.slower)

    @staticmethod
    def keep(n, huge):
        return None

    def fits(self, m, mark, huge):
        """Tell whether a node has a frame, or a block, above a mark."""
        if huge:
            return self.has_room(m, mark)
        return self.nodes[m].free > mark

    def faster(self, n, huge):
        """Return the nearest node of a faster tier with room, or else the nearest."""
        tier = self.machine.tier
        above = [m for m in self.zonelist[n] if tier[m] < tier[n]]
        above = [m for m in above if self.nodes[m].online]
        for m in above:
            if self.fits(m, self.nodes[m].high, huge):
                return m
        return above[0] if above else None

    def slower(self, n, huge):
        """Return where reclaim would demote to; the first such node if all are full."""
        targets = self.lower_nodes(n)

        def takes(m, mark):
            return self.fits(m, mark, huge)

        found = self.demotion_target(targets, takes)
        return found if found is not None else (targets or [None])[0]

    def move_list(self, region, pages, node, mark, choose):
        """Move pages in their order; one that has moved in this call stays."""
        process, moved = region.process, 0
        vpns = self.vpns(region, pages)
        sources = [self.node_at(process, vpn) for vpn in vpns]
        batches, before = Batches(self.settings), self.daemon_time_ns
        batches.huge = 0
        for vpn, n in zip(vpns, sources, strict=True):
            if n < 0 or self.node_at(process, vpn) != n:
                continue
            moved += self.move_one(process, vpn, n, node, mark, choose, batches)
        self.charge_daemon(self.flush_daemon(process, batches.flushes))
        huge = batches.huge
        self.daemon_worked(
            process, before, MIGRATE=moved - BLOCK * huge, MIGRATE_HUGE=huge
        )
        self.fold()
        return moved

    def move_one(self, process, vpn, n, node, mark, choose, batches):
        """Move what maps a page of node ``n``; return how many pages moved."""
        b = self.entry(process, vpn).payload // BLOCK
        huge = b in self.folios

        def target():
            if node is None:
                return choose(n, huge)
            return node if node != n else None

        to = target()
        if to is None:
            return 0
        if huge and self.splits_first(b):
            batches.end()
            if self.node_at(process, vpn) != n:
                return 0
            huge = False
            to = target()
        user = next(t for t in self.tasks if t.process is process)
        pfn = self.entry(process, vpn).payload
        return self.carry(user, pfn, n, to, mark, huge, batches)

    def splits_first(self, b):
        """Split a folio that cannot move whole; tell whether it was."""
        before = sum(vm[Vm.THP_SPLIT_PMD] for vm in self.vm)
        if not self.settings.thp.unit_migration:
            self.split_folio(b)
        elif self.waits(b):
            n = self.node_of(b * BLOCK)
            self.add(n, Vm.THP_MIGRATION_FAIL)
            self.add(n, Vm.THP_MIGRATION_SPLIT)
            self.add(n, Vm.PGMIGRATE_SUCCESS, self.split_folio(b))
        else:
            return False
        split = sum(vm[Vm.THP_SPLIT_PMD] for vm in self.vm) - before
        self.charge_daemon(split * self.costs.split_pmd_ns)
        return True

    def carry(self, user, pfn, n, to, mark, huge, batches):
        """Move a page or a folio to a node, or refuse it; return the pages moved."""
        pages, at = (BLOCK, pfn // BLOCK) if huge else (1, pfn)
        margin = pages if mark == "high" else 0
        above = getattr(self.nodes[to], mark) + margin
        try:
            if huge:
                new = self.allocate_huge_on(to, above, n)
            else:
                new = self.allocate_on(to, above, n)
        except NoMemory:
            self.refuse(Refusal.TARGET_FULL, pages)
            self.add(n, Vm.PGMIGRATE_FAIL, pages)
            self.add(n, Vm.THP_MIGRATION_FAIL, int(huge))
            self.nodes[to].woken = True
            return 0
        (self.migrate_huge if huge else self.migrate)(None, at, new)
        ns = self.costs.migrate_page_ns + pages * self.copy_ns(n, to)
        self.charge_daemon(ns)
        batches.add(huge)
        batches.huge += huge
        tier = self.machine.tier
        if tier[to] < tier[n]:
            self.add(to, Vm.PGPROMOTE_SUCCESS, pages)
        if tier[to] > tier[n]:
            self.add(n, Vm.PGDEMOTE_PROACTIVE, pages)
            (self.folios if huge else self.frames)[new].moved_from = 1 + n
        elif huge:
            self.moved_folio(user, new, n)
        else:
            self.moved_page(user, new, n)
        return pages

    # --- changes ----------------------------------------------------------------------

    def mark_pages(self, region, pages=None):
        """Set PROT_NONE as the scanner does, on whatever node."""
        process, entries, marked = region.process, 0, 0
        for vpn in self.vpns(region, pages):
            entry, vma = self.entry(process, vpn), self.vma_of(process, vpn)
            if entry is None or entry.kind != "present" or entry.protnone:
                continue
            if not vma.read:
                continue
            size = BLOCK if isinstance(entry, Pmd) else 1
            if not vma.shmem and self.others_have(entry, isinstance(entry, Pmd)):
                self.refuse(Refusal.SHARED, size)
                continue
            self.mark_scanned(entry, self.now // 10**6)
            entries, marked = entries + 1, marked + size
        ns, before = entries * self.costs.mark_pte_ns, self.daemon_time_ns
        self.charge_daemon(ns + self.flush_daemon(process, entries > 0))
        self.daemon_worked(process, before, MARK=entries)
        return marked

    def blocks_of(self, region, blocks):
        """Return the blocks of address space that are meant."""
        first, end = region.first // BLOCK, -(-(region.first + region.pages) // BLOCK)
        if blocks is None:
            return list(range(first, end))
        return [first + block for block in blocks]

    def split_blocks(self, region, blocks=None):
        process, split = region.process, 0
        before = sum(vm[Vm.THP_SPLIT_PMD] for vm in self.vm)
        for block in self.blocks_of(region, blocks):
            pmd = self.pmds[process.id].get(block)
            if pmd is not None and pmd.kind == "present":
                self.split_folio(pmd.payload // BLOCK)
                split += 1
        entries = sum(vm[Vm.THP_SPLIT_PMD] for vm in self.vm) - before
        ns, start = entries * self.costs.split_pmd_ns, self.daemon_time_ns
        self.charge_daemon(ns + self.flush_daemon(process, split > 0))
        self.daemon_worked(process, start, SPLIT=entries)
        return split

    def collapse_blocks(self, region, blocks=None):
        process, made = region.process, 0
        self.prepare(process)
        for block in self.blocks_of(region, blocks):
            vma = self.vma_of(process, block * BLOCK)
            if vma is None or vma.shmem or vma.anon_vma < 0:
                continue
            inside = vma.start <= block * BLOCK and (block + 1) * BLOCK <= vma.end
            if not inside or vma.advice == Advice.NOHUGEPAGE:
                continue
            result, load, node = self.scan(process, block, False)
            if result == ScanResult.SUCCEED:
                if self.collapse_block(process, block, load, node, None):
                    made, ns = made + 1, self.costs.collapse_ns
                    ops = {"WRITE_CALL": 1, "WRITE_CALL_NS": ns, "COLLAPSE": 1}
                    self.worked(Worker.KHUGEPAGED, process.id, **ops, WORK_NS=ns)
        self.charge_daemon(made * self.costs.collapse_ns)
        return made

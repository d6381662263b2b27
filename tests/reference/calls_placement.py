"""Calls that set policies and move pages; hot remove of a node.

``docs/model/calls.md`` states the rules.
"""

from lazynuma.engine.state.policies import checked
from lazynuma.engine.state.process import Region
from lazynuma.kernels.counters import Cause, Refusal, Vm
from lazynuma.kernels.knobs import Mode

from .words import BLOCK, NoMemory, Pmd


class Batches:
    """The flushes of a call that moves pages, one a page or one a batch (6.3)."""

    def __init__(self, settings):
        self.batched = settings.migrate_pages_batch
        self.flushes = self.pages = self.walks = 0

    def add(self, folio):
        """Count a page or a folio that has moved."""
        if not self.batched or folio:
            self.flushes += 1
            self.walks += 1
            self.end()
            return
        self.flushes += self.pages == 0
        self.pages = (self.pages + 1) % BLOCK

    def end(self):
        """Begin another batch with the next page."""
        self.pages = 0


class PlacementCalls:
    """A part of ``Reference`` (``model.py``)."""

    def set_mempolicy(self, task, policy):
        policy = self.with_memory(checked(policy, self.count))
        if policy is None:
            return 22
        task.policy = policy
        self.clocks[task.id].il_prev, self.clocks[task.id].il_left = self.count - 1, 0
        return 0

    def set_mempolicy_home_node(self, task, region, node, first=0, pages=None):
        """Set the home node of each VMA of a range that may have one."""
        start, pages = self.range(region, first, pages)
        process, end, errno = region.process, start + pages, 2
        for vma in [v for v in process.vmas if v.start < end and start < v.end]:
            if vma.policy.mode == Mode.DEFAULT:
                continue
            if vma.policy.mode not in (Mode.BIND, Mode.PREFERRED_MANY):
                errno = 95
                break
            at, to = max(vma.start, start), min(vma.end, end)
            policy, errno = vma.policy._replace(home=node), 0
            self.set_shared_policy(process, at, to, policy)
            self.change(task, process, at, to - at, policy=policy)
        self.syscall(task, 0, alone=True)
        return errno

    def refuse(self, reason, pages=1):
        self.refused[reason] += pages
        return 0

    def fail(self, pfn):
        self.refuse(Refusal.TARGET_FULL)
        self.add(self.node_of(pfn), Vm.PGMIGRATE_FAIL)
        return False

    def mbind(
        self,
        task,
        region,
        policy,
        move=False,
        move_all=False,
        strict=False,
        lazy=None,
        first=0,
        pages=None,
    ):
        policy = self.with_memory(checked(policy, self.count))
        if policy is None:
            return 22
        if lazy is not None:
            if not self.settings.mpol_mf_lazy:
                return 22
            self.mark(task, region, lazy, policy, move_all, first, pages)
            return 0
        process, moving = region.process, move or move_all
        strict = strict and policy.mode != Mode.DEFAULT
        start, pages = self.range(region, first, pages)
        if strict and not moving:
            parts = self.parts(process, start, pages)
            held = [*parts, *(p for v in parts if v.shmem for p in v.shmem.vmas)]
            before = [vma.policy for vma in held]
            for vma in held:
                vma.policy = policy
            found = any(
                self.wrong(self.place(task, vma, vpn, True)[0], entry.payload)
                for vma, vpn, entry in self.present(region, parts)
            )
            for vma, old in zip(held, before, strict=True):
                vma.policy = old
            if found:
                self.syscall(task, 0)
                return 5

        if moving:
            self.drain(task)
        self.set_shared_policy(process, start, start + pages, policy)
        self.change(task, process, start, pages, policy=policy)
        parts = self.parts(process, start, pages)
        left, batches = False, Batches(self.settings)
        if moving:
            how = move_all, strict, batches
            left = self.move_range(task, region, parts, *how)
        self.pay_moves(task, process, batches, alone=True)
        return 5 if strict and left else 0

    def wrong(self, vma, pfn):
        """Tell whether a page is off its VMA's nodes; default and local have none."""
        bare = vma.policy.mode in (Mode.DEFAULT, Mode.LOCAL)
        return bare or self.node_of(pfn) not in vma.policy.nodes

    def drain(self, task):
        """Charge lru_add_drain_all; no lock is held so long."""
        self.charge(task, Cause.SYSCALL, self.costs.lru_drain_ns)
        self.fold()

    def pay_moves(self, task, process, batches, alone=False):
        """Charge a call that moved pages, which flushed their TLBs."""
        if batches.flushes:
            self.flush_tlbs(process)
        flush = self.flushes(task, process, batches.flushes, batches.walks)
        self.syscall(task, 0, flush, alone)

    def move_range(self, task, region, parts, move_all, strict, batches):
        """Move what is on wrong nodes for mbind; tell whether some is left.

        A folio that PTEs map is queued at its first page, and is missed at the others.
        """
        queued, stuck = (None, None, None), None
        for vma, vpn, entry in self.present(region, parts):
            block, b = vpn // BLOCK, entry.payload // BLOCK
            if stuck not in (None, block):
                break
            part = not isinstance(entry, Pmd) and b in self.folios
            again = queued[0] == block and (part or b == queued[2])
            if again and strict and vpn != queued[1]:
                stuck = block
            place = self.place(task, vma, vpn, True)
            if (again and part) or not self.wrong(place[0], entry.payload):
                continue
            folio = self.is_huge(entry)
            done = self.move_by_policy(task, vma, vpn, entry, move_all, batches)
            if done is False:
                return True
            if done is True:
                batches.add(folio)
            if done in (None, "pages"):
                batches.end()
            if part and done != "shared":
                queued = block, vpn, None if done else b
        return stuck is not None

    def is_huge(self, entry):
        """Tell whether an entry maps a folio or a page of one."""
        return entry.payload // BLOCK in self.folios

    def move_split(self, task, b, batches, move):
        """Split a folio that waits for it, and ``move`` all its pages."""
        n = self.node_of(b * BLOCK)
        self.add(n, Vm.THP_MIGRATION_FAIL)
        self.add(n, Vm.THP_MIGRATION_SPLIT)
        self.add(n, Vm.PGMIGRATE_SUCCESS, self.split_folio(b, task))
        batches.end()
        for pfn in self.frames_of(b):
            if move(pfn):
                batches.add(False)

    def waits(self, b):
        """Tell whether a folio is split before it is moved."""
        thp, deferred = self.settings.thp, self.folios[b].deferred
        return thp.unit_migration and thp.split_to_migrate and deferred

    def move_folio(self, task, b, allocate):
        """Move a folio to the block that ``allocate`` finds.

        Tell whether it moved; None: it was split.
        """
        n = self.node_of(b * BLOCK)
        new = allocate() if self.settings.thp.unit_migration else None
        if new is None:
            if self.settings.thp.unit_migration:
                self.add(n, Vm.THP_MIGRATION_FAIL)
                self.add(n, Vm.THP_MIGRATION_SPLIT)
            self.split_folio(b, task)
        else:
            self.migrate_huge(task, b, new)
            if self.node_of(new * BLOCK) != n:
                self.moved_folio(task, new, n)
            return True
        return None

    def move_by_policy(self, task, vma, vpn, entry, move_all, batches):
        """Tell whether a page or a huge page moved; None: it was split, go on.

        "shared": it was not tried, "pages": it was split, and its pages moved.
        """
        pfn, huge = entry.payload, isinstance(entry, Pmd)
        pages = BLOCK if huge else 1
        folio = pfn // BLOCK in self.folios
        head = pfn // BLOCK * BLOCK if folio else pfn
        if self.page_mapcount(head) != 1 and not move_all:
            self.refuse(Refusal.SHARED, pages)
            return "shared"
        if pfn // BLOCK in self.folios:

            def allocate():
                return self.allocate_huge(task, vma, vpn, False, False)

            if not self.waits(pfn // BLOCK):
                return self.move_folio(task, pfn // BLOCK, allocate)

            def move(one):
                page = vpn // BLOCK * BLOCK + one % BLOCK
                return self.move_page_by_policy(task, vma, page, one)

            self.move_split(task, pfn // BLOCK, batches, move)
            return "pages"
        return self.move_page_by_policy(task, vma, vpn, pfn)

    def move_page_by_policy(self, task, vma, vpn, pfn):
        """Tell whether a page moved."""
        try:
            place = self.place(task, vma, vpn, True)
            new = self.allocate(task, *place, wake=False)
        except NoMemory:
            return self.fail(pfn)
        self.migrate(task, pfn, new)
        if self.node_of(new) != self.node_of(pfn):
            self.moved_page(task, new, self.node_of(pfn))
        return True

    def move_to_node(self, task, entry, node, move_all, batches):
        """Return the node, or -errno; None: a huge page was split, go on."""
        pfn, huge = entry.payload, isinstance(entry, Pmd)
        pages = BLOCK if huge else 1
        if self.node_of(pfn) == node:
            return node
        if self.page_mapcount(pfn) > 1 and not move_all:
            self.refuse(Refusal.SHARED, pages)
            return -13
        if pfn // BLOCK in self.folios:

            def allocate():
                try:
                    low = self.nodes[node].low
                    return self.allocate_huge_on(node, low, self.cpu(task))
                except NoMemory:
                    return None

            if not self.waits(pfn // BLOCK):
                moved = self.move_folio(task, pfn // BLOCK, allocate)
                return node if moved else None

            def move(one):
                return self.move_page_to_node(task, one, node)

            self.move_split(task, pfn // BLOCK, batches, move)
            return None
        return node if self.move_page_to_node(task, pfn, node) else -12

    def move_page_to_node(self, task, pfn, node):
        """Tell whether there was room for a page."""
        try:
            new = self.allocate_on(node, self.nodes[node].low, self.cpu(task))
        except NoMemory:
            return self.fail(pfn)
        self.migrate(task, pfn, new)
        self.moved_page(task, new, self.node_of(pfn))
        return True

    def move_pages(self, task, region, node, move_all=False, first=0, pages=None):
        start, pages = self.range(region, first, pages)
        self.drain(task)
        status, batches = [], Batches(self.settings)
        while len(status) < pages:
            vpn, got, moves = start + len(status), -2, False
            pte = self.entry(task.process, vpn)
            if pte is not None and self.is_hidden(pte):
                got = -14 if isinstance(pte, Pmd) else -2
            elif pte is not None and pte.kind == "zero":
                got = -14
            elif pte is not None and pte.kind == "present":
                before, folio = self.node_of(pte.payload), self.is_huge(pte)
                got = self.move_to_node(task, pte, node, move_all, batches)
                moves = got == node != before
            if moves:
                batches.add(folio)
            else:
                batches.end()
            if got is not None:
                alike = BLOCK - vpn % BLOCK if isinstance(pte, Pmd) else 1
                status += [got] * min(alike, start + pages - vpn)
        self.pay_moves(task, region.process, batches)
        return status

    def is_hidden(self, entry):
        return entry.protnone and not self.settings.calls.follow_protnone

    def migrate_pages(self, task, from_nodes, to_nodes, move_all=False):
        """Move from one node to one other; return the pages left."""
        (source,), (target,), process = from_nodes, to_nodes, task.process
        left, batches = 0, Batches(self.settings)
        self.drain(task)
        region = Region(process, 0, 0)
        for _, _, entry in self.present(region, process.vmas):
            if source != target and self.node_of(entry.payload) == source:
                folio = self.is_huge(entry)
                got = self.move_to_node(task, entry, target, move_all, batches)
                if got == target:
                    batches.add(folio)
                if got is None:
                    batches.end()
                if got not in (target, None):
                    left += BLOCK if isinstance(entry, Pmd) else 1
        self.pay_moves(task, process, batches)
        return left

    def hot_remove(self, n):
        node = self.nodes[n]
        node.online = False
        left = 0
        for b in range(node.first // BLOCK, (node.first + node.span) // BLOCK):
            if b in self.folios:
                self.split_folio(b)
            for pfn in self.frames_of(b):
                left += self.evacuate(n, pfn)
        node.online = left > 0
        self.fold()
        return left

    def evacuate(self, n, pfn):
        if self.frames[pfn].wedged:
            self.refuse(Refusal.BUSY)
            return 1
        if not self.frames[pfn].cache and not self.frames[pfn].shmem:
            self.park(pfn, "mig")
        candidates = [m for m in self.zonelist[n] if self.nodes[m].online]
        try:
            target, _ = self.choose([candidates], False)
        except NoMemory:
            self.refuse(Refusal.TARGET_FULL)
            return 1
        self.statistics(target, target, target)
        self.migrate(None, pfn, self.take_serial(target))
        return 0

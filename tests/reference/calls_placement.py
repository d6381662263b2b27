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
            self.bind_range(task, process, at, to, policy)
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
        nodes = checked(policy, self.count).nodes
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
        parts, errno = self.walked(process, start, start + pages, policy)
        here = [vpn for part in parts for vpn in range(*part)]
        if strict and not moving:
            found = [self.entry(process, vpn) for vpn in here]
            present = [e for e in found if e is not None and e.kind == "present"]
            if any(self.node_of(entry.payload) not in nodes for entry in present):
                errno = 5
        if moving:
            self.drain(task)
        if errno:
            self.syscall(task, 0)
            return errno
        whole = self.leaves(process)
        for at, end in parts:
            self.bind_range(task, process, at, end, policy)
        left, batches = False, Batches(self.settings)
        if moving:
            left = self.move_range(
                task, process, here, nodes, whole, move_all, strict, batches
            )
        self.pay_moves(task, process, batches, alone=True)
        return 5 if strict and left else 0

    def walked(self, process, start, end, policy):
        """Return (what mbind walks, errno): a hole in the range ends the walk."""
        parts, minds = [], policy.mode != Mode.DEFAULT
        vmas = [v for v in process.vmas if v.start < end and start < v.end]
        if not vmas or minds and vmas[0].start > start:
            return [], 14
        starts = [vma.start for vma in vmas]
        for vma in vmas:
            if minds and vma.end < end and vma.end not in starts:
                return parts, 14
            parts.append((max(vma.start, start), min(vma.end, end)))
        return parts, 0

    def bind_range(self, task, process, start, end, policy):
        """Give a policy to VMAs, and to the objects of all that they are then."""
        for was in self.change(task, process, start, end - start, policy=policy):
            for vma in process.vmas:
                if vma.shmem and vma.start < was.end and was.start < vma.end:
                    vma.shmem.set_policy(vma.start, vma.end - vma.start, policy)

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

    def move_range(self, task, process, here, nodes, whole, move_all, strict, batches):
        """Move what is off ``nodes`` for mbind; tell whether some is left.

        here   the pages of the range
        whole  blocks that huge entries mapped when the range was walked
        A folio that PTEs map is queued at its first page, and is missed at the others.
        """
        queued, split, gone, left, self.based = set(), set(), set(), False, None
        missed = strict and not self.settings.calls.mbind_queues_once
        for vpn in here:
            entry, block = self.entry(process, vpn), vpn // BLOCK
            if entry is None or entry.kind != "present" or block in gone:
                continue
            b = entry.payload // BLOCK
            part = b in self.folios
            at_once = part and (isinstance(entry, Pmd) or block in whole)
            if block in queued and (part or b in split):
                left |= missed and block not in whole
                if part:
                    continue
            if at_once:
                queued.add(block)
            if self.node_of(entry.payload) in nodes:
                continue
            vma = next(v for v in process.vmas if v.start <= vpn < v.end)
            how = move_all, batches, BLOCK if at_once else 1
            done = self.move_by_policy(task, vma, vpn, entry, *how)
            if part and done != "shared":
                queued.add(block)
            if done in (None, "pages"):
                batches.end()
            if done is None:
                split.add(b)
            if done == "pages" and at_once:
                gone.add(block)
            again = self.entry(process, vpn)
            if again is None or again.kind != "present":
                continue
            if done is None:
                # Its pages are looked at one by one, this one again.
                part = False
                if self.node_of(again.payload) not in nodes:
                    how = move_all, batches, 1
                    done = self.move_by_policy(task, vma, vpn, again, *how)
            if done is False:
                return True
            if done is True:
                batches.add(part)
        return left

    def index_of_move(self, vma, vpn, order):
        """Return what a page that mbind moves is interleaved by."""
        part, ino = vma, 0
        if vma.shmem is not None:
            part, ino = self.place(vma, vpn), vma.shmem.ino
        ilx = self.interleave_index(part, vpn, order)
        if not self.settings.calls.mbind_interleave_base:
            return ilx - ino
        number = vpn + part.pgoff >> order
        if self.based is None:
            self.based = ilx - number
        return self.based + number

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

    def move_by_policy(self, task, vma, vpn, entry, move_all, batches, pages):
        """Tell whether a page or a huge page moved; None: it was split, go on.

        "shared": it was not tried, nor were ``pages``; "pages": it was split, and its
        pages moved.
        """
        pfn = entry.payload
        folio = pfn // BLOCK in self.folios
        head = pfn // BLOCK * BLOCK if folio else pfn
        shared = self.page_mapcount(head) != 1
        if folio and self.settings.calls.mbind_likely_shared:
            shared = self.likely_mapped_shared(pfn // BLOCK)
        if shared and not move_all:
            self.refuse(Refusal.SHARED, pages)
            return "shared"
        if pfn // BLOCK in self.folios:

            def allocate():
                ilx = self.index_of_move(vma, vpn, 9)
                return self.allocate_huge(task, vma, vpn, False, False, ilx)

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
            part, ilx = self.place(vma, vpn), self.index_of_move(vma, vpn, 0)
            new = self.allocate(task, part, vpn, wake=False, ilx=ilx)
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
        status, batches, waits = [], Batches(self.settings), None
        while len(status) < pages:
            vpn, got, moves = start + len(status), -2, False
            pte = self.entry(task.process, vpn)
            if pte is not None and self.is_hidden(pte):
                got = -14 if isinstance(pte, Pmd) else -2
            elif pte is not None and pte.kind == "zero":
                got = -14
            elif pte is not None and pte.kind == "present":
                before, folio = self.node_of(pte.payload), self.is_huge(pte)
                got = -16
                if not folio or pte.payload // BLOCK != waits:
                    got = self.move_to_node(task, pte, node, move_all, batches)
                moves = got == node != before
            if moves:
                batches.add(folio)
                waits = pte.payload // BLOCK if folio else waits
            else:
                batches.end()
                waits = None
            if got is not None:
                whole = isinstance(pte, Pmd) and not moves and got != -16
                alike = BLOCK - vpn % BLOCK if whole else 1
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

"""Marks for lazy migration, pages that are parked in the swap cache or the migration
cache, and the faults that take them out.

``docs/model/lazy.md`` states the rules.
"""

from lazynuma.engine.state.policies import checked
from lazynuma.kernels.counters import Cause, Op, Refusal, Vm
from lazynuma.kernels.knobs import Mechanism

from .words import BLOCK, Frame, NoMemory, Pmd, Pte


class Lazy:
    """A part of ``Reference`` (``model.py``)."""

    def drop_cache(self, frame):
        self.free_id(self.cache(frame.cache), frame.entry)
        frame.cache, frame.dirty = "", True

    def swap_in(self, task, vma, vpn, slot):
        pfn = self.allocate(task, vma, vpn)
        frame = Frame(vpn, task.process.family, cache="swap", entry=slot)
        self.frames[pfn] = frame
        self.slots.frame[slot] = pfn
        self.add(self.cpu(task), Vm.PGMAJFAULT)
        read = self.swap_read(slot, pfn)
        self.add(self.node_of(pfn), Vm.PSWPIN, read)
        ns = self.costs.swap_in_ns if read else self.costs.minor_fault_ns
        self.charge(task, Cause.SWAP_IN, ns)
        self.took(task, Op.SWAP_IN)
        return pfn

    def lazy_fault(self, task, vma, vpn, pfn):
        """Return (frame, uses that the new entry owes)."""
        c, target, uses = self.cpu(task), None, 0
        if vma.mof:
            target = self.misplaced(task, vma, vpn, pfn)
        if target is not None and self.frames[pfn].mapcount > 0:
            self.refused[Refusal.NOT_FIRST_TOUCH] += 1
        elif target is not None:
            try:
                new = self.allocate_on(target, self.nodes[target].low, c)
                old = self.node_of(pfn)
                self.migrate(task, pfn, new)
                uses = self.moved_page(task, new, old)
                self.add(target, Vm.LAZY_PAGES_MIGRATED)
                pfn = new
            except NoMemory:
                self.refused[Refusal.TARGET_FULL] += 1
        self.add(c, Vm.LAZY_FAULTS)
        cost = self.costs.minor_fault_ns + self.costs.cache_lookup_ns
        self.charge(task, Cause.LAZY_FAULT, cost)
        self.took(task, Op.LAZY_FAULT)
        return pfn, uses

    def cached_fault(self, task, vma, vpn, pte, write):
        swap, one = pte.kind == "swap", pte.payload
        ids = self.slots if swap else self.entries
        pfn, uses = ids.frame.get(one), 0
        fresh = pfn is None
        if fresh:
            pfn = self.swap_in(task, vma, vpn, one)
        else:
            pfn, uses = self.lazy_fault(task, vma, vpn, pfn)
        ids.count[one] -= 1
        left, frame = ids.count[one], self.frames[pfn]
        frame.mapcount += 1
        exclusive = left == 0 and frame.mapcount == 1
        own = write and exclusive
        read = fresh and exclusive and self.settings.swap_in_writable and vma.write
        bits = {"write": own or read, "dirty": own}
        mapped = Pte("present", pfn, young=True, owes=uses, **bits)
        self.tables[task.process.id][vpn] = mapped
        self._rss[task.process.id] += 1
        self._swapents[task.process.id] -= 1
        used = self.slots.used if self.shard is None else self.slots_at_start
        full = 2 * used > self.slots.total
        if left == 0 and (not swap or exclusive or full):
            self.drop_cache(frame)

    def present(self, region, parts):
        """Yield (VMA, page, entry) of the present entries of VMAs."""
        for vma, vpn, entry in self.walk(region.process, parts):
            if entry.kind == "present":
                yield vma, vpn, entry

    def mark(
        self,
        task,
        region,
        mechanism,
        policy=None,
        move_all=False,
        first=0,
        pages=None,
    ):
        start, pages = self.range(region, first, pages)
        values = {"mof": True}
        if policy is not None:
            values["policy"] = self.with_memory(checked(policy, self.count))
        self.change(task, region.process, start, pages, **values)
        parts = self.parts(region.process, start, pages)
        marked = entries = 0
        for vma, vpn, pte in self.present(region, parts):
            if mechanism == Mechanism.HINTING:
                done = self.mark_hint(pte)
                marked, entries = marked + done, entries + (done > 0)
                continue
            found = not policy or self.misplaced(task, vma, vpn, pte.payload)
            if found is not None:
                cache = ("swap", "mig")[mechanism]
                marked += self.mark_to_cache(task, pte, cache, move_all)
        self.flush_tlbs(region.process)
        each, batch = self.costs.mark_pte_ns, BLOCK
        if mechanism != Mechanism.HINTING:
            entries, each = marked, self.costs.park_page_ns
            batch = BLOCK if self.settings.migrate_pages_batch else 1
        flush = self.flushes(task, region.process, -(-entries // batch))
        self.syscall(task, entries * each + flush, alone=True)
        return marked

    def mark_to_cache(self, task, entry, cache, move_all):
        """Park a page, or split a huge page to have its pages parked next."""
        pfn, huge = entry.payload, isinstance(entry, Pmd)
        pages = BLOCK if huge else 1
        if self.page_mapcount(pfn) > 1 and not move_all:
            return self.refuse(Refusal.SHARED, pages)
        if pfn // BLOCK in self.folios:
            if cache == "swap" and self.no_slot():
                return self.refuse(Refusal.NO_SWAP_SLOT, pages)
            self.split_folio(pfn // BLOCK, task)
        # A zero-filled page of a folio that was split is gone.
        return 0 if huge or pfn not in self.frames else self.park(pfn, cache)

    def park(self, pfn, cache):
        frame, ids = self.frames[pfn], self.cache(cache)
        if frame.cache not in ("", cache):
            return self.refuse(Refusal.BUSY)
        if not frame.cache:
            one = ids.take()
            if one is None:
                return self.refuse(Refusal.NO_SWAP_SLOT)
            frame.cache, frame.entry = cache, one
            frame.dirty |= cache == "swap"
            ids.frame[one] = pfn
        self.unmap(pfn, "swap" if cache == "swap" else "parked", frame.entry)
        self.add(self.node_of(pfn), Vm.LAZY_PAGES_MARKED)
        return 1

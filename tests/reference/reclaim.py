"""The lists of pages, and how kswapd and direct reclaim free them.

``docs/model/reclaim.md`` states the rules.
"""

from math import isqrt

from lazynuma.kernels.counters import Cause, Op, Refusal, Vm, Worker

from .words import BLOCK, Pmd, Pte


class Reclaim:
    """A part of ``Reference`` (``model.py``)."""

    def next_on_list(self, n, which, budget):
        """Advance a hand; return (frame or block, frames passed, folio or None).

        The frame is None where the hand found nothing.
        """
        node, passed = self.nodes[n], 0
        while passed < budget:
            hand = node.hands[which]
            b = (node.first + hand) // BLOCK
            block, folio = self.blocks.get(b), self.folios.get(b)
            if folio or block is None or block.used == 0:
                step = BLOCK - hand % BLOCK
            else:
                step = 1
            passed += step
            node.hands[which] = hand + step if hand + step < node.span else 0
            if folio and step == BLOCK and folio.active == bool(which):
                return b, passed, folio
            frame = None if folio else self.frames.get(node.first + hand)
            if frame and not frame.wedged and frame.active == bool(which):
                return node.first + hand, passed, None
        return None, passed, None

    def lists(self, n):
        """Return how many pages of a node are inactive and active."""
        sizes = [0, 0]
        for pfn, frame in self.frames.items():
            if self.node_of(pfn) == n and not frame.wedged and not frame.compound:
                sizes[frame.active] += 1
        for b, folio in self.folios.items():
            if self.node_of(b * BLOCK) == n:
                sizes[folio.active] += BLOCK
        return sizes

    def clear_young(self, pfn):
        young = 0
        for _, pte in self.mappings(pfn):
            young += pte.young
            pte.young = False
        return young

    def clear_young_folio(self, b):
        young = 0
        for _, pmd in self.pmd_mappings(b):
            young += pmd.young
            pmd.young = False
        if self.folios[b].compound:
            pfns = range(b * BLOCK, (b + 1) * BLOCK)
            young += sum(self.clear_young(pfn) for pfn in pfns)
        return young

    def activate(self, n, one, pages=1):
        """Put a frame or a folio on the active list."""
        if self.settings.lru_gen.enabled:
            self.set_age(one, self.new_age())
        else:
            one.active, one.referenced = True, False
        self.add(n, Vm.PGACTIVATE, pages)

    def no_slot(self):
        return self.slots.used == self.slots.total

    def reclaim(self, n, pfn, steal):
        frame = self.frames[pfn]
        self.unreferenced(frame)
        if self.demote_reclaimed(n, pfn, None, steal):
            return 1
        if frame.shmem:
            return self.reclaim_shared(n, pfn, steal)
        if frame.cache != "swap":
            slot = self.slots.take()
            if slot is None:
                parked = frame.cache == "mig"
                reason = (Refusal.NO_SWAP_SLOT, Refusal.MIGCACHE_NO_SWAP_SLOT)[parked]
                self.refused[reason] += 1
                self.activate(n, frame)
                return 0
            if frame.cache == "mig":
                self.move_to_swap(n, frame, slot)
            frame.cache, frame.entry, frame.dirty = "swap", slot, True
            self.slots.frame[slot] = pfn
        slot = frame.entry
        self.unmap(pfn, "swap", slot)
        if frame.dirty:
            pages = self.swap_write([pfn], slot)
            self.add(n, Vm.PSWPOUT, pages)
            self.written_out += pages
        self.release(pfn)
        del self.slots.frame[slot]
        if self.slots.count[slot] == 0:
            self.slots.give(slot)
        self.add(n, steal)
        return 1

    def move_to_swap(self, n, frame, slot):
        for process in self.family_of(frame):
            pte = self.tables[process.id].get(frame.vpn)
            if pte and pte.kind == "parked" and pte.payload == frame.entry:
                pte.kind, pte.payload = "swap", slot
        self.slots.count[slot] = self.entries.count[frame.entry]
        self.entries.give(frame.entry)
        self.add(n, Vm.MIGCACHE_TO_SWAP)

    def reclaim_folio(self, n, b, steal):
        """Demote or swap a folio out, whole if possible; return how many pages went."""
        folio = self.folios[b]
        self.unreferenced(folio)
        if self.demote_reclaimed(n, b, folio, steal):
            return BLOCK
        whole = self.slots.virgin + BLOCK <= self.slots.total
        must = folio.mapcount == 0
        if self.settings.thp.swap_out_ptes:
            must = folio.deferred
        if not must and whole:
            return self.swap_out_folio(n, b, steal)
        if not must:
            self.add(n, Vm.THP_SWPOUT_FALLBACK)
        self.split_folio(b)
        return sum(self.reclaim(n, pfn, steal) for pfn in self.frames_of(b))

    def swap_out_folio(self, n, b, steal):
        folio, slots = self.folios[b], self.slots
        first = slots.virgin
        slots.virgin += BLOCK
        slots.used += BLOCK
        slots.peak = max(slots.peak, slots.used)
        for i in range(BLOCK):
            slots.count[first + i] = self.page_mapcount(b * BLOCK + i)
        self.unmap_ptes(b, first)
        for process, pmd in self.pmd_mappings(b):
            block = folio.vpn // BLOCK
            self.pmds[process.id][block] = Pmd("table", nid=pmd.nid)
            self.add(pmd.nid, Vm.THP_SPLIT_PMD)
            for i in range(BLOCK):
                self.tables[process.id][folio.vpn + i] = Pte("swap", first + i)
            self._rss[process.id] -= BLOCK
            self._swapents[process.id] += BLOCK
        pages = self.swap_write(range(b * BLOCK, (b + 1) * BLOCK), first)
        self.add(n, Vm.PSWPOUT, pages)
        self.add(n, Vm.THP_SWPOUT, pages > 0)
        self.written_out += pages
        self.release_folio(b)
        for slot in range(first, first + BLOCK):
            if slots.count[slot] == 0:
                slots.give(slot)
        self.add(n, steal, BLOCK)
        return BLOCK

    def unmap_ptes(self, b, first):
        """Let the PTEs that map a folio hold slots from ``first`` on."""
        for i in range(BLOCK if self.folios[b].compound else 0):
            for process, _ in self.mappings(b * BLOCK + i):
                vpn = self.folios[b].vpn + i
                self.tables[process.id][vpn] = Pte("swap", first + i)
                self._rss[process.id] -= 1
                self._swapents[process.id] += 1

    def shrink_inactive(self, n, k, scan, steal):
        reclaimed = passed = done = 0
        while done < k:
            at, step, folio = self.next_on_list(n, 0, self.nodes[n].span - passed)
            passed += step
            if at is None:
                break
            pages = BLOCK if folio else 1
            done += pages
            self.add(n, scan, pages)
            self.scanned += pages
            one = folio or self.frames[at]
            young = self.clear_young_folio(at) if folio else self.clear_young(at)
            if young == 0:
                out = self.reclaim_folio if folio else self.reclaim
                reclaimed += out(n, at, steal)
            elif young > 1 or one.referenced:
                self.activate(n, one, pages)
            else:
                one.referenced = True
        return reclaimed

    def shrink_active(self, n, k):
        passed = done = 0
        while done < k:
            at, step, folio = self.next_on_list(n, 1, self.nodes[n].span - passed)
            passed += step
            if at is None:
                break
            pages = BLOCK if folio else 1
            done += pages
            self.scanned += pages
            if folio:
                self.clear_young_folio(at)
            else:
                self.clear_young(at)
            (folio or self.frames[at]).active = False
            self.add(n, Vm.PGREFILL, pages)
            self.add(n, Vm.PGDEACTIVATE, pages)

    def split_deferred(self, n):
        """The shrinker of folios that wait to be split."""
        waiting = sorted(
            b
            for b, folio in self.folios.items()
            if folio.deferred and self.node_of(b * BLOCK) == n
        )
        freed = sum(self.split_folio(b) for b in waiting[:32])
        thp, most = self.settings.thp, self.settings.khugepaged.max_ptes_none
        if thp.split_underused and most < BLOCK - 1:
            freed += self.split_underused(n, 32 - len(waiting[:32]))
        return freed

    def split_underused(self, n, most):
        """Split new folios that hold too many zeros; each is asked once."""
        freed = done = 0
        for b in sorted(self.folios):
            if done == most:
                break
            mine = self.node_of(b * BLOCK) == n and self.folios[b].queued
            if mine and self.underused(b):
                freed += self.split_folio(b)
                done += 1
        return freed

    def inactive_is_low(self, n):
        inactive, active = self.lists(n)
        gb = (inactive + active) >> 18
        return inactive * (isqrt(10 * gb) if gb else 1) < active

    def shrink_node(self, n, priority, target, scan, steal):
        reclaimed = self.split_deferred(n)
        shrink = self.shrink_lists
        if self.settings.lru_gen.enabled:
            shrink = self.shrink_generations
        reclaimed += shrink(n, priority, target - reclaimed, scan, steal)
        if reclaimed:
            self.nodes[n].fruitless = 0
        return reclaimed

    def shrink_lists(self, n, priority, target, scan, steal):
        reclaimed = 0
        inactive, active = (size >> priority for size in self.lists(n))
        demotes = bool(self.demotion_targets(n))
        while (active or inactive) and (demotes or not self.no_slot()):
            if active:
                if self.inactive_is_low(n):
                    self.shrink_active(n, min(32, active))
                active -= min(32, active)
            if inactive:
                reclaimed += self.shrink_inactive(n, min(32, inactive), scan, steal)
                inactive -= min(32, inactive)
            if reclaimed >= target:
                break
        return reclaimed

    def kswapd(self, n):
        node = self.nodes[n]
        self.scanned = self.written_out = 0
        if node.fruitless >= 16:
            return
        self.add(n, Vm.PAGEOUTRUN)
        reclaimed = 0
        target = max(node.high, 32)
        for priority in range(self.first_priority(n, target), 0, -1):
            if node.free > self.kswapd_mark(node):
                break
            steps = Vm.PGSCAN_KSWAPD, Vm.PGSTEAL_KSWAPD
            reclaimed += self.shrink_node(n, priority, target, *steps)
        if reclaimed == 0:
            node.fruitless += 1
        ns = self.scanned * self.costs.reclaim_page_ns
        ns += self.written_out * self.costs.swap_out_ns
        done = {"RECLAIM": self.scanned, "SWAP_OUT": self.written_out}
        self.worked(Worker.KSWAPD, n, **done, WORK_NS=ns)

    def direct_reclaim(self, task, candidates):
        self.scanned = self.written_out = 0
        if not candidates:
            return 0
        self.add(candidates[0], Vm.ALLOCSTALL_NORMAL)
        reclaimed = 0
        for priority in range(12, -1, -1):
            for n in candidates:
                if reclaimed < 32:
                    steps = Vm.PGSCAN_DIRECT, Vm.PGSTEAL_DIRECT
                    left = 32 - reclaimed
                    reclaimed += self.shrink_node(n, priority, left, *steps)
        cost = self.scanned * self.costs.reclaim_page_ns
        cost += self.written_out * self.costs.swap_out_ns
        self.charge(task, Cause.RECLAIM, cost)
        self.took(task, Op.RECLAIM, self.scanned)
        self.took(task, Op.SWAP_OUT, self.written_out)
        return reclaimed

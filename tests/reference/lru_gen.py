"""Generations of pages: how they age, and which are evicted.

``docs/model/reclaim.md`` 13 states the rules.
"""

from lazynuma.kernels.counters import Vm

from .words import BLOCK


class LruGen:
    """A part of ``Reference`` (``model.py``)."""

    def new_age(self):
        return int(self.settings.lru_gen.new_second)

    def age_of(self, one):
        """Return how many generations a frame or a folio is behind the youngest."""
        return self.new_age() if one.age is None else one.age

    def set_age(self, one, age):
        """Set an age, and the two bits that say it."""
        one.age, one.active = age, age > 1
        one.referenced = age % 2 != self.new_age()

    def unreferenced(self, one):
        """Forget a second chance, which generations do not know."""
        if not self.settings.lru_gen.enabled:
            one.referenced = False

    def listed(self, n):
        """Return (frame or block, folio or None) of all that is in generations."""
        folios = [(b, one) for b, one in self.folios.items()]
        found = [(b, one) for b, one in folios if self.node_of(b * BLOCK) == n]
        for pfn, frame in self.frames.items():
            if self.node_of(pfn) == n and not frame.wedged and not frame.compound:
                found.append((pfn, None))
        return found

    def ages(self, n):
        """Return how many pages of a node are of each age."""
        counts = [0] * 4
        for at, folio in self.listed(n):
            counts[self.age_of(folio or self.frames[at])] += BLOCK if folio else 1
        return counts

    def begin_generation(self, n):
        for at, folio in self.listed(n):
            young = self.clear_young_folio(at) if folio else self.clear_young(at)
            one = folio or self.frames[at]
            self.set_age(one, 1 if young else min(self.age_of(one) + 1, 3))
        node, counts = self.nodes[n], self.ages(n)
        node.second, node.fourth = counts[1], counts[3]
        node.gens = min(node.gens + 1, 4)

    def forget_empty(self, n):
        node, old = self.nodes[n], sum(self.ages(n)[2:])
        if node.gens == 4 and node.fourth <= 0:
            node.gens = 3
        if node.gens > 2 and not old:
            node.gens = 2
        if node.gens == 2 and old:
            node.gens = 3

    def aging_is_due(self, n, priority):
        gens, counts = self.nodes[n].gens, self.ages(n)
        old, total = sum(counts[2:]), sum(counts)
        if not self.settings.lru_gen.spread:
            return gens == 2 or priority < 12 and gens == 3
        young = max(total - old - self.nodes[n].second, 0)
        uneven = young * 2 > total or old * 4 < total
        return priority < 12 and (gens == 2 or gens == 3 and uneven)

    def window(self, process, vpn):
        vma, block = self.vma_of(process, vpn), vpn // BLOCK * BLOCK
        start, end = max(block, vma.start), min(block + BLOCK, vma.end)
        if end - start > 64:
            start = min(max(start, vpn - 32), end - 64)
            end = start + 64
        return range(start, end)

    def look_around(self, n, process, vpn):
        for near in self.window(process, vpn):
            pte = self.tables[process.id].get(near)
            if pte is None or pte.kind != "present" or not pte.young:
                continue
            if self.node_of(pte.payload) == n:
                pte.young = False
                one = self.folios.get(pte.payload // BLOCK)
                self.set_age(one or self.frames[pte.payload], 0)

    def was_used(self, n, pfn):
        used = False
        for process, pte in self.mappings(pfn):
            if pte.young:
                pte.young, used = False, True
                self.look_around(n, process, self.frames[pfn].vpn)
        return used

    def oldest(self, n, budget):
        passed = 0
        while passed < budget:
            at, step, folio = self.next_on_list(n, 1, budget - passed)
            passed += step
            if at is None:
                break
            if self.age_of(folio or self.frames[at]) >= self.nodes[n].gens - 1:
                return at, passed, folio
        return None, passed, None

    def evict(self, n, scan, steal):
        """Take a batch from the oldest generation; return (scanned, reclaimed)."""
        node, scanned, reclaimed, passed = self.nodes[n], 0, 0, 0
        while scanned < 64:
            at, step, folio = self.oldest(n, node.span - passed)
            passed += step
            if at is None:
                node.fourth = 0
                break
            pages = BLOCK if folio else 1
            self.add(n, scan, pages)
            self.scanned += pages
            node.fourth -= pages
            scanned += pages
            used = self.clear_young_folio(at) if folio else self.was_used(n, at)
            if used:
                self.set_age(folio or self.frames[at], self.new_age())
            else:
                out = self.reclaim_folio if folio else self.reclaim
                reclaimed += out(n, at, steal)
        return scanned, reclaimed

    def is_balanced(self, n, steal):
        node = self.nodes[n]
        kswapd = steal == Vm.PGSTEAL_KSWAPD
        return kswapd and node.free > self.kswapd_mark(node) + 64

    def shrink_generations(self, n, priority, target, scan, steal):
        reclaimed = seen = 0
        demotes = bool(self.demotion_targets(n))
        while demotes or self.slots.total - self.slots.used >= 64:
            self.forget_empty(n)
            aging = self.aging_is_due(n, priority)
            if aging:
                self.begin_generation(n)
                if self.settings.lru_gen.spread:
                    break
            self.forget_empty(n)
            pages = sum(self.ages(n)) >> priority
            if self.nodes[n].gens == 2 or seen >= pages:
                break
            scanned, freed = self.evict(n, scan, steal)
            seen, reclaimed = seen + scanned, reclaimed + freed
            enough = reclaimed >= target or self.is_balanced(n, steal)
            if not scanned or aging or enough:
                break
        return reclaimed

    def first_priority(self, n, target):
        """Return where kswapd begins."""
        if not self.settings.lru_gen.enabled or target < 64:
            return 12
        old = sum(self.ages(n)[2:])
        return min(max(old.bit_length() - 1 - (target - 1).bit_length(), 6), 12)

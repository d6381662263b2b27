"""Shared mappings: the page cache, their faults, and their reclaim.

``docs/model/fault.md`` states the rules.
"""

from lazynuma.engine.state.process import Shmem, Vma
from lazynuma.kernels.counters import Cause, Op, Refusal, Vm

from .words import BLOCK, Frame, Pte

AROUND, BATCH = 16, 1024


class SharedMappings:
    """A part of ``Reference`` (``model.py``)."""

    def start_shmem(self):
        # {(family, page): ("present", frame) or ("swap", slot)}
        self.objects, self.caches, self.page_cache = [], {}, {}
        self.inos, self.ino_batch = {0: 2}, BATCH

    def new_object(self, process, first, pages):
        if process.family not in self.caches:
            self.caches[process.family] = self.reserve(process.span)
        cpu = next((t.cpu for t in self.tasks if t.process is process), 0)
        ino = self.inos.get(cpu, 0)
        if ino % BATCH == 0:
            ino, self.ino_batch = self.ino_batch, self.ino_batch + BATCH
        self.inos[cpu] = ino + 1
        policies = [Vma(first, first + pages, pgoff=ino - first)]
        self.objects.append(Shmem(process.family, first, pages, ino, policies))
        return self.objects[-1]

    def place(self, vma, vpn):
        """Return the VMA whose policy decides where a page goes: its object's."""
        if vma.shmem is None:
            return vma
        return next(one for one in vma.shmem.vmas if one.start <= vpn < one.end)

    def shared_fault(self, task, vma, vpn, write):
        process, table = task.process, self.tables[task.process.id]
        if vpn in table and table[vpn].protnone:
            self.numa_fault(task, vma, vpn, table[vpn])
            return
        if vpn in table:
            table[vpn].write = table[vpn].young = table[vpn].dirty = True
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
            self.took(task, Op.FAULT)
            return
        self.find_page(task, vma, vpn)
        for page in [vpn] if write else self.around(vma, vpn):
            kind, pfn = self.page_cache.get((process.family, page), ("none", -1))
            if kind == "present" and page not in table:
                table[page] = Pte(
                    "present", pfn, write=vma.write, young=True, dirty=write
                )
                self.frames[pfn].mapcount += 1
                self._rss[process.id] += 1

    def around(self, vma, vpn):
        first = max(vpn // AROUND * AROUND, vma.start)
        return range(first, min(first + AROUND, vma.end, (vpn // BLOCK + 1) * BLOCK))

    def find_page(self, task, vma, vpn):
        """See to it that a page is in the page cache, and charge the fault."""
        key = task.process.family, vpn
        kind, slot = self.page_cache.get(key, ("none", -1))
        if kind != "present":
            pfn = self.allocate(task, self.place(vma, vpn), vpn)
            self.frames[pfn] = Frame(vpn, task.process.family, shmem=True)
            self.page_cache[key] = "present", pfn
        if kind == "swap":
            self.slots.count[slot] = 0
            self.free_id(self.slots, slot)
            self.frames[pfn].dirty = True
            read = self.swap_read(slot, pfn)
            self.add(self.node_of(pfn), Vm.PSWPIN, read)
            self.add(self.cpu(task), Vm.PGMAJFAULT)
            self.charge(task, Cause.SWAP_IN, self.costs.swap_in_ns)
            self.took(task, Op.SWAP_IN)
        else:
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
            self.took(task, Op.FAULT)

    def zap_shared(self, pte):
        frame = self.frames[pte.payload]
        frame.mapcount -= 1
        frame.dirty |= pte.dirty
        if self.settings.lru_gen.enabled:
            return
        if pte.young and not frame.referenced:
            frame.referenced = True
        elif pte.young and not frame.active:
            self.activate(self.node_of(pte.payload), frame)

    def reclaim_shared(self, n, pfn, steal):
        frame = self.frames[pfn]
        key = frame.family, frame.vpn
        for process, pte in self.mappings(pfn):
            del self.tables[process.id][frame.vpn]
            self._rss[process.id] -= 1
            frame.mapcount -= 1
            frame.dirty |= pte.dirty
        del self.page_cache[key]
        if frame.dirty:
            slot = self.slots.take()
            if slot is None:
                self.page_cache[key] = "present", pfn
                self.refused[Refusal.NO_SWAP_SLOT] += 1
                self.activate(n, frame)
                return 0
            self.slots.count[slot] = 1
            self.page_cache[key] = "swap", slot
            pages = self.swap_write([pfn], slot)
            self.add(n, Vm.PSWPOUT, pages)
            self.written_out += pages
        self.release(pfn)
        self.add(n, steal)
        return 1

    def evict_unmapped(self):
        """Free what the objects hold that nobody maps any more."""
        mapped = [vma.shmem for one in self.processes for vma in one.vmas]
        for one in [one for one in self.objects if one not in mapped]:
            self.objects.remove(one)
            for page in range(one.first, one.first + one.pages):
                kind, held = self.page_cache.pop((one.family, page), ("none", -1))
                if kind == "present":
                    self.release(held)
                elif kind == "swap":
                    self.slots.count[held] = 0
                    self.slots.give(held)

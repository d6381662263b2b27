"""The model of ``docs/model.md`` in slow, plain Python: the truth for the kernels.

Dicts, lists and integers; every rule stands here once more, as the page has it.  Only
enumerations, the machine, the settings and the workloads come from the package.
"""

from dataclasses import dataclass, field
from math import exp, isqrt, log
from typing import NamedTuple

import numpy as np

from lazynuma.engine.costs import Costs
from lazynuma.engine.memory import managed_pages, node_shift, usable_pages
from lazynuma.engine.policy import checked
from lazynuma.engine.process import Process, Region, Task, Vma, isolate
from lazynuma.engine.settings import Settings
from lazynuma.engine.topology import watermarks
from lazynuma.engine.workload import (
    HotCold,
    NextTouch,
    Recorded,
    Stencil,
    Stream,
    Sweep,
    Zipf,
)
from lazynuma.kernels.constants import Cause, Mechanism, Mode, Refusal, Vm

BLOCK = 512
GOLDEN, U64 = 0x9E3779B97F4A7C15, (1 << 64) - 1
INTERLEAVES = (Mode.INTERLEAVE, Mode.WEIGHTED_INTERLEAVE)


class NoMemory(Exception):
    """No frame; nothing was changed."""


class SetAside(Exception):
    """The access waits for the barrier; nothing was changed."""


class Page(NamedTuple):
    """As the engine's."""

    kind: str
    node: int = -1
    frame: int = -1
    write: bool = False
    young: bool = False
    dirty: bool = False
    protnone: bool = False
    mapcount: int = 0
    entry: int = -1
    count: int = 0
    cache: str = ""


@dataclass
class Pte:
    """A PTE that is not none: present, zero, swap or parked."""

    kind: str
    payload: int = -1
    write: bool = False
    young: bool = False
    dirty: bool = False
    protnone: bool = False


@dataclass
class Frame:
    """A frame in use."""

    vpn: int
    family: int
    mapcount: int = 0
    active: bool = False
    referenced: bool = False
    dirty: bool = False
    cache: str = ""
    entry: int = -1
    wedged: bool = False


@dataclass
class Block:
    """A pageblock: frames ever handed out, freed ones, frames in use."""

    bump: int = 0
    stack: list = field(default_factory=list)
    used: int = 0


@dataclass
class Node:
    """A node's free memory, lists and hands."""

    first: int
    span: int
    min: int
    low: int
    high: int
    partial: list = field(default_factory=list)
    returned: list = field(default_factory=list)
    virgin: int = 0
    free: int = 0
    hands: list = field(default_factory=lambda: [0, 0])
    fruitless: int = 0
    woken: bool = False
    online: bool = True


@dataclass
class Ids:
    """Swap slots or migration-cache entries."""

    total: int
    virgin: int = 0
    stack: list = field(default_factory=list)
    count: dict = field(default_factory=dict)
    frame: dict = field(default_factory=dict)
    peak: int = 0
    used: int = 0

    def take(self):
        """Return an identity of count 0, or None."""
        if self.stack:
            found = self.stack.pop()
        elif self.virgin < self.total:
            found = self.virgin
            self.virgin += 1
        else:
            return None
        self.count[found] = 0
        self.used += 1
        self.peak = max(self.peak, self.used)
        return found

    def give(self, one):
        """Free an identity."""
        del self.count[one]
        self.frame.pop(one, None)
        self.stack.append(one)
        self.used -= 1


@dataclass
class Shard:
    """What a shard holds for a quantum."""

    lent: dict = field(default_factory=dict)
    left: dict = field(default_factory=dict)
    given: dict = field(default_factory=dict)
    freed: list = field(default_factory=list)
    freed_ids: list = field(default_factory=list)
    served: int = 0


@dataclass
class Clock:
    """A task's time and workload."""

    ns: int = 0
    charged: int = 0
    number: int = 0
    load: object = None
    run: int = 0
    mean: int = 0
    quota: int = 0
    refs: int = 1
    stream: bool = False
    il_prev: int = 0
    il_left: int = 0


def mix(z):
    """splitmix64's finaliser."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & U64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & U64
    return z ^ (z >> 31)


def draw(seed, stream, i):
    """hash(seed, stream, i) of the page."""
    key = mix((seed + GOLDEN * (stream + 1)) & U64)
    return mix((key + GOLDEN * (i + 1)) & U64)


def unit(r):
    """A float in [0, 1)."""
    return float(r >> 11) * 2.0**-53


def access(load, seed, stream, i):
    """Return (page of the region, write) of access ``i`` of a workload."""
    n = load.length
    if isinstance(load, Recorded):
        return int(load.vpn[i]), bool(load.writes[i])
    if isinstance(load, Stream):
        pages = n // 3
        array = (1, 2, 0)[i % 3]
        return load.first + array * pages + i // 3 % pages, array == 0
    if isinstance(load, Stencil):
        below = load.halo if load.lower is not None else 0
        above = load.halo if load.upper is not None else 0
        j = i % (below + n + above)
        if j < below:
            return load.lower + j, False
        if j < below + n:
            return load.first + j - below, True
        return load.upper + j - below - n, False
    r = draw(seed, stream, i)
    write = (r & 2047) < round(load.write * 2048)
    return load.first + random_page(load, n, r, i), write


def random_page(load, n, r, i):
    """Return the page of the kinds whose writes are drawn."""
    if isinstance(load, Sweep):
        return (load.start + i * load.stride) % n
    if isinstance(load, NextTouch):
        return (i * load.odd + load.shift) % n
    if isinstance(load, Zipf):
        s = load.exponent
        if s == 1.0:
            rank = int(exp(unit(r) * log(n + 1.0))) - 1
        else:
            base = unit(r) * ((n + 1.0) ** (1.0 - s) - 1.0) + 1.0
            rank = int(base ** (1.0 / (1.0 - s))) - 1
        return min(max(rank, 0), n - 1) * load.odd % n
    if isinstance(load, HotCold) and (mix(r) & 2047) < round(load.hot_share * 2048):
        window = i // load.period * load.step % n
        return (window + int(unit(r) * load.hot_pages)) % n
    return int(unit(r) * n)


class Reference:
    """The slow model; its operations are those of ``lazynuma.engine.Simulation``."""

    def __init__(self, machine, settings=None, costs=None, seed=1):
        self.machine, self.seed = machine, seed
        self.settings, self.costs = settings or Settings(), costs or Costs()
        pages = managed_pages(machine)
        self.shift = node_shift(pages)
        usable = usable_pages(machine, self.settings)
        marks = watermarks(usable)
        self.nodes = []
        for n, span in enumerate(usable):
            low = [int(mark) for mark in marks[n, :3]]
            self.nodes.append(Node(n << self.shift, span, *low, free=span))
        self.count = len(self.nodes)
        self.zonelist = machine.zonelist().tolist()
        self.blocks, self.frames = {}, {}
        self.slots = Ids(self.settings.swap_bytes // 4096)
        self.entries = Ids(sum(pages))
        self.processes, self.tasks, self.clocks = [], [], []
        self.tables, self._rss, self._swapents = {}, {}, {}
        self.vm = [[0] * len(Vm) for _ in range(self.count)]
        self.refused = [0] * len(Refusal)
        self.spent = {}
        self.now = self.runs = self.oom_kills = self.next_vpn = 0
        self.holes = []
        self.use = [[0] * self.count for _ in range(self.count)]
        self.factor = [[1000] * self.count for _ in range(self.count)]
        self.traffic = [[0] * self.count for _ in range(self.count)]
        self.shard = None
        self.slots_at_start = 0

    # --- small things -----------------------------------

    def node_of(self, pfn):
        return pfn >> self.shift

    def cpu(self, task):
        return int(self.machine.cpu_node[task.cpu])

    def add(self, node, name, n=1):
        self.vm[node][name] += n

    def charge(self, task, cause, ns):
        self.clocks[task.id].charged += ns
        self.spent[task.id][cause] += ns

    def copy_ns(self, a, b):
        rate = min(self.costs.copy_bandwidth, int(self.machine.bandwidth[a][b]))
        return 4096 * 10**9 // rate

    def fold(self):
        for clock in self.clocks:
            clock.ns += clock.charged
            clock.charged = 0

    def relatives(self, family):
        return [p for p in self.processes if p.family == family and p.alive]

    def flush(self, process):
        live = sum(t.process is process and process.alive for t in self.tasks)
        costs = self.costs
        return costs.tlb_flush_ns + costs.tlb_flush_cpu_ns * max(0, live - 1)

    def syscall(self, task, ns, migration_ns=0):
        self.charge(task, Cause.SYSCALL, ns + self.costs.syscall_ns)
        self.charge(task, Cause.MIGRATION, migration_ns)
        self.fold()

    def cache(self, name):
        return self.slots if name == "swap" else self.entries

    def free_id(self, cache, one):
        """Free a slot or an entry; a shard does it at the barrier."""
        if self.shard is None:
            cache.give(one)
        else:
            self.shard.freed_ids.append((cache, one))

    # --- free memory, §3 -----------------------------------

    def take_frame(self, b):
        block = self.blocks.setdefault(b, Block())
        block.used += 1
        if block.stack:
            return block.stack.pop()
        block.bump += 1
        return b * BLOCK + block.bump - 1

    def free_block(self, node):
        if node.returned:
            return node.returned.pop()
        if node.virgin * BLOCK >= node.span:
            return None
        node.virgin += 1
        return node.first // BLOCK + node.virgin - 1

    def take_serial(self, n):
        node = self.nodes[n]
        if not node.partial:
            node.partial.append(self.free_block(node))
        b = node.partial[-1]
        pfn = self.take_frame(b)
        if self.blocks[b].used == BLOCK:
            node.partial.remove(b)
        node.free -= 1
        return pfn

    def take_shard(self, n):
        shard = self.shard
        if shard.left[n] == 0:
            raise SetAside
        b = shard.lent[n][0]
        pfn = self.take_frame(b)
        shard.left[n] -= 1
        if self.blocks[b].used == BLOCK:
            shard.lent[n].pop(0)
        return pfn

    def take(self, n):
        return self.take_serial(n) if self.shard is None else self.take_shard(n)

    def put_frame(self, pfn):
        n, b = self.node_of(pfn), pfn // BLOCK
        node, block = self.nodes[n], self.blocks[b]
        block.stack.append(pfn)
        block.used -= 1
        node.free += 1
        if block.used == BLOCK - 1:
            node.partial.append(b)
        if block.used == 0:
            node.partial.remove(b)
            block.bump, block.stack = 0, []
            node.returned.append(b)

    def release(self, pfn):
        """Free a frame; a shard does it at the barrier."""
        del self.frames[pfn]
        self.add(self.node_of(pfn), Vm.PGFREE)
        if self.shard is None:
            self.put_frame(pfn)
        else:
            self.shard.freed.append(pfn)

    # --- policies, §3 and §5.4 -----------------------------------

    def policy_of(self, task, vma):
        own = vma.policy.mode == Mode.DEFAULT
        return (task.policy, True) if own else (vma.policy, False)

    def interleave(self, policy, ilx):
        if policy.mode == Mode.INTERLEAVE:
            return policy.nodes[ilx % len(policy.nodes)]
        order = [
            n
            for n, weight in zip(policy.nodes, policy.weights, strict=True)
            for _ in range(weight)
        ]
        return order[ilx % len(order)]

    def round_robin(self, task, policy):
        clock = self.clocks[task.id]
        if policy.mode == Mode.WEIGHTED_INTERLEAVE and clock.il_left > 0:
            return clock.il_prev
        after = [n for n in policy.nodes if n > clock.il_prev]
        return (after or policy.nodes)[0]

    def passes(self, task, vma, vpn):
        """Return the candidates of each pass of an allocation by policy."""
        policy, own = self.policy_of(task, vma)
        c = self.cpu(task)
        base, only = c, [None]
        if policy.mode == Mode.PREFERRED:
            base = policy.nodes[0]
        elif policy.mode == Mode.BIND:
            only = [policy.nodes]
        elif policy.mode == Mode.PREFERRED_MANY:
            only = [policy.nodes, None]
        elif policy.mode in INTERLEAVES and own:
            base = self.round_robin(task, policy)
        elif policy.mode in INTERLEAVES:
            base = self.interleave(policy, vpn - task.process.first_vpn)
        return [
            [
                n
                for n in self.zonelist[base]
                if self.nodes[n].online and (mask is None or n in mask)
            ]
            for mask in only
        ]

    def statistics(self, n, preferred, c, interleaved=False):
        self.add(n, Vm.PGALLOC_NORMAL)
        if n == preferred:
            self.add(n, Vm.NUMA_HIT)
            if interleaved:
                self.add(n, Vm.NUMA_INTERLEAVE)
        else:
            self.add(n, Vm.NUMA_MISS)
            self.add(preferred, Vm.NUMA_FOREIGN)
        self.add(n, Vm.NUMA_LOCAL if n == c else Vm.NUMA_OTHER)

    def allocate(self, task, vma, vpn, wake=True):
        """Allocate by policy, serially or from the shard's allotment."""
        policy, own = self.policy_of(task, vma)
        own = own and policy.mode in INTERLEAVES
        if self.shard is not None and own:
            raise SetAside
        passes = self.passes(task, vma, vpn)
        if self.shard is not None:
            passes = passes[:1]
        n, candidates = self.choose(passes, wake)
        pfn = self.take(n)
        interleaved = policy.mode == Mode.INTERLEAVE
        self.statistics(n, candidates[0], self.cpu(task), interleaved)
        if own:
            self.advance(task, policy)
        return pfn

    def choose(self, passes, wake):
        for candidates in passes:
            above = [n for n in candidates if self.nodes[n].free > self.nodes[n].low]
            if above:
                return above[0], candidates
            if self.shard is not None:
                raise SetAside
            for n in candidates:
                self.nodes[n].woken |= wake
            above = [n for n in candidates if self.nodes[n].free > self.nodes[n].min]
            if above:
                return above[0], candidates
        raise NoMemory

    def advance(self, task, policy):
        clock = self.clocks[task.id]
        chosen = self.round_robin(task, policy)
        if policy.mode == Mode.WEIGHTED_INTERLEAVE:
            if clock.il_left == 0:
                clock.il_left = policy.weights[policy.nodes.index(chosen)]
            clock.il_left -= 1
        clock.il_prev = chosen

    def allocate_on(self, n, mark, c):
        """Allocate on exactly one node with more than ``mark`` frames free."""
        node = self.nodes[n]
        if not node.online or node.free <= mark:
            raise NoMemory
        pfn = self.take(n)
        self.statistics(n, n, c)
        return pfn

    def misplaced(self, task, vma, vpn, page_node):
        policy, own = self.policy_of(task, vma)
        c, mode = self.cpu(task), policy.mode
        target = c
        if mode in INTERLEAVES:
            if own:
                return None
            target = self.interleave(policy, vpn - task.process.first_vpn)
        elif mode not in (Mode.DEFAULT, Mode.LOCAL):
            if page_node in policy.nodes:
                return None
            target = policy.nodes[0]
            if mode != Mode.PREFERRED:
                near = [n for n in self.zonelist[c] if n in policy.nodes]
                online = [n for n in near if self.nodes[n].online]
                target = online[0] if online else None
        return None if target == page_node else target

    # --- the reverse map -----------------------------------

    def mappings(self, pfn):
        """Return (process, PTE) of every PTE that maps a frame."""
        frame = self.frames[pfn]
        found = [(p, self.tables[p.id].get(frame.vpn)) for p in self.family_of(frame)]
        return [
            (p, pte)
            for p, pte in found
            if pte is not None and pte.kind == "present" and pte.payload == pfn
        ]

    def family_of(self, frame):
        return self.relatives(frame.family)

    def unmap(self, pfn, kind, one):
        frame, ids = self.frames[pfn], self.slots if kind == "swap" else self.entries
        for process, pte in self.mappings(pfn):
            frame.dirty |= pte.dirty
            self.tables[process.id][frame.vpn] = Pte(kind, one)
            ids.count[one] += 1
            frame.mapcount -= 1
            self._rss[process.id] -= 1
            self._swapents[process.id] += 1

    def migrate(self, task, old, new):
        frame = self.frames[old]
        for _, pte in self.mappings(old):
            pte.payload, pte.protnone = new, False
        self.frames[new] = frame
        if frame.cache:
            self.cache(frame.cache).frame[frame.entry] = new
        self.add(self.node_of(new), Vm.PGMIGRATE_SUCCESS)
        if task is not None:
            copy = self.copy_ns(self.node_of(old), self.node_of(new))
            self.charge(task, Cause.MIGRATION, self.costs.migrate_page_ns + copy)
        self.release(old)

    # --- faults, §4 and §5 -----------------------------------

    def hit(self, pte, write):
        if pte is None or pte.protnone:
            return False
        if pte.kind == "zero":
            return not write
        return pte.kind == "present" and (pte.write or not write)

    def vma_of(self, process, vpn):
        return next((v for v in process.vmas if v.start <= vpn < v.end), None)

    def fault(self, task, vpn, write):
        process = task.process
        vma = self.vma_of(process, vpn)
        if vma is None or not (vma.write if write else vma.read):
            raise LookupError(f"segv at {vpn}")
        pte = self.tables[process.id].get(vpn)
        if pte is None and not write:
            self.tables[process.id][vpn] = Pte("zero", young=True)
            self.add(self.cpu(task), Vm.ZERO_PAGE_FAULTS)
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
        elif pte is None or pte.kind == "zero":
            self.new_page(task, vma, vpn)
            self._rss[process.id] += 1
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
        elif pte.kind in ("swap", "parked"):
            self.cached_fault(task, vma, vpn, pte, write)
        elif pte.protnone:
            self.hint_fault(task, vma, vpn, pte)
        else:
            self.wp_fault(task, vma, vpn, pte)
        self.add(self.cpu(task), Vm.PGFAULT)

    def new_page(self, task, vma, vpn):
        pfn = self.allocate(task, vma, vpn)
        self.frames[pfn] = Frame(vpn, task.process.family, mapcount=1)
        fresh = Pte("present", pfn, write=True, young=True, dirty=True)
        self.tables[task.process.id][vpn] = fresh
        return pfn

    def drop_cache(self, frame):
        self.free_id(self.cache(frame.cache), frame.entry)
        frame.cache, frame.dirty = "", True

    def wp_fault(self, task, vma, vpn, pte):
        old, frame = pte.payload, self.frames[pte.payload]
        alone = frame.mapcount == 1 and frame.cache != "mig"
        if alone and not (frame.cache == "swap" and self.slots.count[frame.entry]):
            if frame.cache:
                self.drop_cache(frame)
            pte.write = pte.young = pte.dirty = True
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
            return
        new = self.new_page(task, vma, vpn)
        frame.mapcount -= 1
        self.add(self.cpu(task), Vm.COW_FAULTS)
        copy = self.copy_ns(self.node_of(old), self.node_of(new))
        self.charge(task, Cause.COW, self.costs.minor_fault_ns + copy)

    def hint_fault(self, task, vma, vpn, pte):
        c, node = self.cpu(task), self.node_of(pte.payload)
        target = self.misplaced(task, vma, vpn, node)
        if target is not None:
            try:
                new = self.allocate_on(target, self.nodes[target].high + 1, c)
                self.migrate(task, pte.payload, new)
                self.add(target, Vm.NUMA_PAGES_MIGRATED)
            except NoMemory:
                self.refused[Refusal.TARGET_FULL] += 1
                self.add(node, Vm.PGMIGRATE_FAIL)
        self.add(c, Vm.NUMA_HINT_FAULTS)
        if node == c:
            self.add(c, Vm.NUMA_HINT_FAULTS_LOCAL)
        pte.protnone, pte.young = False, True
        self.charge(task, Cause.HINT_FAULT, self.costs.hint_fault_ns)

    def swap_in(self, task, vma, vpn, slot):
        pfn = self.allocate(task, vma, vpn)
        frame = Frame(vpn, task.process.family, cache="swap", entry=slot)
        self.frames[pfn] = frame
        self.slots.frame[slot] = pfn
        self.add(self.cpu(task), Vm.PGMAJFAULT)
        self.add(self.node_of(pfn), Vm.PSWPIN)
        self.charge(task, Cause.SWAP_IN, self.costs.swap_in_ns)
        return pfn

    def lazy_fault(self, task, vma, vpn, pfn):
        c, target = self.cpu(task), None
        if vma.mof:
            target = self.misplaced(task, vma, vpn, self.node_of(pfn))
        if target is not None and self.frames[pfn].mapcount > 0:
            self.refused[Refusal.NOT_FIRST_TOUCH] += 1
        elif target is not None:
            try:
                new = self.allocate_on(target, self.nodes[target].low, c)
                self.migrate(task, pfn, new)
                self.add(target, Vm.LAZY_PAGES_MIGRATED)
                pfn = new
            except NoMemory:
                self.refused[Refusal.TARGET_FULL] += 1
        self.add(c, Vm.LAZY_FAULTS)
        cost = self.costs.minor_fault_ns + self.costs.cache_lookup_ns
        self.charge(task, Cause.LAZY_FAULT, cost)
        return pfn

    def cached_fault(self, task, vma, vpn, pte, write):
        swap, one = pte.kind == "swap", pte.payload
        ids = self.slots if swap else self.entries
        pfn = ids.frame.get(one)
        if pfn is None:
            pfn = self.swap_in(task, vma, vpn, one)
        else:
            pfn = self.lazy_fault(task, vma, vpn, pfn)
        ids.count[one] -= 1
        left, frame = ids.count[one], self.frames[pfn]
        frame.mapcount += 1
        exclusive = left == 0 and frame.mapcount == 1
        own = write and exclusive
        mapped = Pte("present", pfn, write=own, young=True, dirty=own)
        self.tables[task.process.id][vpn] = mapped
        self._rss[task.process.id] += 1
        self._swapents[task.process.id] -= 1
        used = self.slots.used if self.shard is None else self.slots_at_start
        full = 2 * used > self.slots.total
        if left == 0 and (not swap or exclusive or full):
            self.drop_cache(frame)

    # --- reclaim, §8 -----------------------------------

    def next_on_list(self, n, which, budget):
        """Advance a hand; return (frame or None, frames passed)."""
        node, passed = self.nodes[n], 0
        while passed < budget:
            hand = node.hands[which]
            block = self.blocks.get((node.first + hand) // BLOCK)
            if block is None or block.used == 0:
                step = BLOCK - hand % BLOCK
            else:
                step = 1
            passed += step
            node.hands[which] = hand + step if hand + step < node.span else 0
            frame = self.frames.get(node.first + hand) if step == 1 else None
            if frame and not frame.wedged and frame.active == bool(which):
                return node.first + hand, passed
        return None, passed

    def lists(self, n):
        """Return how many pages of a node are inactive and active."""
        here = [
            frame.active
            for pfn, frame in self.frames.items()
            if self.node_of(pfn) == n and not frame.wedged
        ]
        return len(here) - sum(here), sum(here)

    def clear_young(self, pfn):
        young = 0
        for _, pte in self.mappings(pfn):
            young += pte.young
            pte.young = False
        return young

    def activate(self, n, frame):
        frame.active, frame.referenced = True, False
        self.add(n, Vm.PGACTIVATE)

    def no_slot(self):
        return self.slots.used == self.slots.total

    def reclaim(self, n, pfn, steal):
        frame = self.frames[pfn]
        frame.referenced = False
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
            self.add(n, Vm.PSWPOUT)
            self.written += 1
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

    def shrink_inactive(self, n, k, scan, steal):
        reclaimed = passed = 0
        for _ in range(k):
            pfn, step = self.next_on_list(n, 0, self.nodes[n].span - passed)
            passed += step
            if pfn is None:
                break
            self.add(n, scan)
            self.scanned += 1
            frame, young = self.frames[pfn], self.clear_young(pfn)
            if young == 0:
                reclaimed += self.reclaim(n, pfn, steal)
            elif young > 1 or frame.referenced:
                self.activate(n, frame)
            else:
                frame.referenced = True
        return reclaimed

    def shrink_active(self, n, k):
        passed = 0
        for _ in range(k):
            pfn, step = self.next_on_list(n, 1, self.nodes[n].span - passed)
            passed += step
            if pfn is None:
                break
            self.scanned += 1
            self.clear_young(pfn)
            self.frames[pfn].active = False
            self.add(n, Vm.PGREFILL)
            self.add(n, Vm.PGDEACTIVATE)

    def inactive_is_low(self, n):
        inactive, active = self.lists(n)
        gb = (inactive + active) >> 18
        return inactive * (isqrt(10 * gb) if gb else 1) < active

    def shrink_node(self, n, priority, target, scan, steal):
        if self.no_slot():
            return 0
        inactive, active = (size >> priority for size in self.lists(n))
        reclaimed = 0
        while active or inactive:
            if active:
                if self.inactive_is_low(n):
                    self.shrink_active(n, min(32, active))
                active -= min(32, active)
            if inactive:
                reclaimed += self.shrink_inactive(n, min(32, inactive), scan, steal)
                inactive -= min(32, inactive)
            if reclaimed >= target or self.no_slot():
                break
        if reclaimed:
            self.nodes[n].fruitless = 0
        return reclaimed

    def kswapd(self, n):
        node = self.nodes[n]
        self.scanned = self.written = 0
        if node.fruitless >= 16:
            return
        self.add(n, Vm.PAGEOUTRUN)
        reclaimed = 0
        for priority in range(12, 0, -1):
            if node.free > node.high:
                break
            target = max(node.high, 32)
            steps = Vm.PGSCAN_KSWAPD, Vm.PGSTEAL_KSWAPD
            reclaimed += self.shrink_node(n, priority, target, *steps)
        if reclaimed == 0:
            node.fruitless += 1

    def direct_reclaim(self, task, candidates):
        self.scanned = self.written = 0
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
        cost += self.written * self.costs.swap_out_ns
        self.charge(task, Cause.RECLAIM, cost)
        return reclaimed

    def badness(self, process):
        table = self.tables[process.id]
        blocks = len({vpn // BLOCK for vpn in table})
        return self._rss[process.id] + self._swapents[process.id] + blocks

    def oom_kill(self, task):
        alive = [p for p in self.processes if p.alive]
        victim = max(alive, key=lambda p: (self.badness(p), p.id))
        self.add(self.cpu(task), Vm.OOM_KILL)
        self.oom_kills += 1
        self.exit(victim, folding=False)

    # --- time, §6 and §7 -----------------------------------

    def access_ns(self, task, n):
        c, clock = self.cpu(task), self.clocks[task.id]
        latency, width = self.machine.latency_ns, self.machine.bandwidth
        if clock.stream:
            local = self.costs.core_bandwidth * int(latency[c][c])
            b = min(int(width[c][n]), local // int(latency[c][n]))
            cost = clock.refs * 64 * 10**9 // b * self.factor[c][n] // 1000
            return max(1, cost)
        u, q = self.use[c][n], self.costs.queueing_permille
        return clock.refs * (int(latency[c][n]) * (1000 + q * u // (1000 - u)) // 1000)

    def do_hit(self, task, vpn, write, tail=None):
        pte, c = self.tables[task.process.id][vpn], self.cpu(task)
        pte.young = True
        pte.dirty |= write
        n = c if pte.kind == "zero" else self.node_of(pte.payload)
        local = n == c
        self.add(c, Vm.ACCESSES_LOCAL if local else Vm.ACCESSES_REMOTE)
        cause = Cause.ACCESS_LOCAL if local else Cause.ACCESS_REMOTE
        self.charge(task, cause, self.prices[task.id][n])
        self.traffic[c][n] += self.clocks[task.id].refs

    def left(self, task):
        clock = self.clocks[task.id]
        if not task.process.alive or clock.load is None:
            return 0
        return clock.load.count - clock.number

    def assign(self, end):
        total = 0
        for task in self.tasks:
            clock = self.clocks[task.id]
            clock.quota = 0
            left = self.left(task)
            if left > 0:
                clock.ns = max(clock.ns, self.now)
                if clock.ns < end:
                    clock.quota = min(left, max(1, (end - clock.ns) // clock.mean))
                    total += clock.quota
        return total

    def plan(self):
        """Fix the quotas; return the quantum's end, or None."""
        end = self.now + self.settings.quantum_ns
        total = self.assign(end)
        if total == 0:
            busy = [task for task in self.tasks if self.left(task) > 0]
            if not busy:
                return None
            self.now = min(self.clocks[task.id].ns for task in busy)
            end = self.now + self.settings.quantum_ns
            total = self.assign(end)
        most = self.settings.quantum_accesses
        if total > most:
            end = self.now + max(1, self.settings.quantum_ns * most // total)
            self.assign(end)
        return end

    def run(self, workloads, tail=None):
        for clock in self.clocks:
            clock.load, clock.number = None, 0
        for load in workloads:
            clock = self.clocks[load.task.id]
            clock.load, clock.run = load, self.runs
            clock.refs, clock.stream = load.refs, isinstance(load, Stream)
            if clock.mean == 0 and load.count:
                c = self.cpu(load.task)
                clock.mean = max(1, load.refs * int(self.machine.latency_ns[c][c]))
        self.runs += 1
        while self.quantum():
            pass
        self.now = min(self.now, max((clock.ns for clock in self.clocks), default=0))

    def quantum(self):
        start, end = self.now, self.plan()
        if end is None:
            return False
        start = self.now
        self.prices = {
            task.id: [self.access_ns(task, n) for n in range(self.count)]
            for task in self.tasks
        }
        layout = self.lay_out()
        queues = self.serve_shards(layout)
        self.barrier(layout, queues)
        for clock in self.clocks:
            if clock.quota:
                clock.mean = max(1, clock.charged // clock.quota)
                clock.number += clock.quota
                clock.quota = 0
        self.fold()
        self.utilise(end - start)
        self.now = end
        return True

    def lay_out(self):
        layout = []
        for task in self.tasks:
            clock = self.clocks[task.id]
            for i in range(clock.number, clock.number + clock.quota):
                stream = clock.run << 32 | task.id
                page, write = access(clock.load, self.seed, stream, i)
                layout.append((task, clock.load.region.first + page, write))
        return layout

    def shard_of(self, vpn):
        scattered = (vpn >> 9) * 0x9E3779B1 % (1 << 32)
        return scattered * self.settings.shards >> 32

    def serve_shards(self, layout):
        """Serve what shards can; return how many accesses each of them served."""
        queues = [[] for _ in range(self.settings.shards)]
        for one in layout:
            queues[self.shard_of(one[1])].append(one)
        if self.settings.sequential:
            return [0]
        self.slots_at_start = self.slots.used
        shards = [Shard() for _ in queues]
        self.lend(shards, queues)
        for shard, queue in zip(shards, queues, strict=True):
            self.shard = shard
            self.serve_queue(shard, queue)
        self.shard = None
        self.take_back(shards)
        return [shard.served for shard in shards]

    def serve_queue(self, shard, queue):
        for task, vpn, write in queue:
            try:
                while not self.hit(self.tables[task.process.id].get(vpn), write):
                    self.fault(task, vpn, write)
            except (SetAside, LookupError):
                return
            self.do_hit(task, vpn, write)
            shard.served += 1

    def lend(self, shards, queues):
        for n, node in enumerate(self.nodes):
            share = max(0, min(node.free // 8, node.free - node.low)) // len(shards)
            for shard, queue in zip(shards, queues, strict=True):
                want, lent, frames = min(share, len(queue)), [], 0
                while frames < want:
                    b = node.partial.pop() if node.partial else self.free_block(node)
                    if b is None:
                        break
                    lent.append(b)
                    frames += BLOCK - self.blocks.setdefault(b, Block()).used
                shard.lent[n] = lent
                shard.left[n] = shard.given[n] = min(want, frames)

    def take_back(self, shards):
        for shard in shards:
            for n, node in enumerate(self.nodes):
                node.free -= shard.given[n] - shard.left[n]
                for b in shard.lent[n]:
                    if self.blocks[b].used == 0:
                        self.blocks[b] = Block()
                        node.returned.append(b)
                    else:
                        node.partial.append(b)
        for shard in shards:
            for pfn in shard.freed:
                self.put_frame(pfn)
        for shard in shards:
            for cache, one in shard.freed_ids:
                cache.give(one)

    def barrier(self, layout, served):
        seen = [0] * len(served)
        for task, vpn, write in layout:
            s = self.shard_of(vpn)
            seen[s] += 1
            if seen[s] > served[s] and task.process.alive:
                self.serve_serially(task, vpn, write)

    def serve_serially(self, task, vpn, write):
        rounds = 0
        while not self.hit(self.tables[task.process.id].get(vpn), write):
            try:
                self.fault(task, vpn, write)
                rounds = 0
            except NoMemory:
                vma = self.vma_of(task.process, vpn)
                candidates = self.passes(task, vma, vpn)[-1]
                rounds = 0 if self.direct_reclaim(task, candidates) else rounds + 1
                if rounds > 16:
                    self.oom_kill(task)
                    rounds = 0
                    if not task.process.alive:
                        return
        self.do_hit(task, vpn, write)
        for n, node in enumerate(self.nodes):
            if node.woken:
                node.woken = False
                self.kswapd(n)

    def utilise(self, length):
        def permille(refs, width):
            return refs * 64 * 1000 // max(1, int(width) // 1000 * length // 10**6)

        width = self.machine.bandwidth
        for n in range(self.count):
            into = sum(self.traffic[c][n] for c in range(self.count))
            for c in range(self.count):
                u = permille(into, width[n][n])
                if c != n:
                    u = max(u, permille(self.traffic[c][n], width[c][n]))
                self.use[c][n] = min(u, 950)
                grown = self.factor[c][n] * u // 1000
                self.factor[c][n] = min(max(grown, 1000), 10**6)
        self.traffic = [[0] * self.count for _ in range(self.count)]

    def synchronize(self):
        alive = [self.clocks[t.id] for t in self.tasks if t.process.alive]
        for clock in alive:
            clock.ns = max(other.ns for other in alive)

    # --- operations -----------------------------------

    def spawn(self, name="main", nbytes=None):
        wanted = 4 * sum(self.machine.memory) if nbytes is None else nbytes
        span = -(-wanted // (4096 * BLOCK)) * BLOCK
        first = self.reserve(span)
        family = 1 + max((p.family for p in self.processes), default=-1)
        return self.enter(
            Process(len(self.processes), name, family, first, span, 0, first)
        )

    def reserve(self, span):
        """Return the first of ``span`` indices of PTEs that nobody owns."""
        for i, (first, free) in enumerate(self.holes):
            if free >= span:
                self.holes[i] = (first + span, free - span)
                return first
        self.next_vpn += span
        return self.next_vpn - span

    def enter(self, process):
        self.processes.append(process)
        self.tables[process.id] = {}
        self._rss[process.id] = self._swapents[process.id] = 0
        return process

    def start_task(self, process, cpu):
        task = Task(len(self.tasks), process, cpu)
        self.tasks.append(task)
        self.clocks.append(Clock(ns=self.now, il_prev=self.count - 1))
        self.spent[task.id] = [0] * len(Cause)
        return task

    def move_task(self, task, cpu):
        task.cpu = cpu

    def mmap(self, process, nbytes, name="", write=True):
        pages, first = -(-nbytes // 4096), process.next_vpn
        process.next_vpn = -(-(first + pages) // BLOCK) * BLOCK
        process.vmas.append(Vma(first, first + pages, write=write))
        return Region(process, first, pages, name)

    def range(self, region, first, pages):
        return region.first + first, region.pages - first if pages is None else pages

    def populate(self, task, region, first=0, pages=None):
        start, pages = self.range(region, first, pages)
        done = 0
        try:
            for vpn in range(start, start + pages):
                while not self.hit(self.tables[task.process.id].get(vpn), True):
                    self.fault(task, vpn, True)
                done += 1
        except NoMemory:
            pass
        self.syscall(task, 0)
        return done

    def munmap(self, task, region, first=0, pages=None):
        start, pages = self.range(region, first, pages)
        process = region.process
        parts = isolate(process, start, pages)
        zapped = self.zap(process, start, start + pages, False)
        process.vmas = [vma for vma in process.vmas if vma not in parts]
        self.syscall(task, zapped * self.costs.zap_pte_ns + self.flush(process))

    def zap(self, process, start, end, exiting):
        table = self.tables[process.id]
        mapped = sorted(vpn for vpn in table if start <= vpn < end)
        for vpn in mapped:
            pte = table.pop(vpn)
            if pte.kind == "present":
                self._rss[process.id] -= 1
                self.zap_present(pte.payload)
            elif pte.kind != "zero":
                self._swapents[process.id] -= 1
                self.zap_entry(pte, vpn, exiting)
        return len(mapped)

    def zap_present(self, pfn):
        frame = self.frames[pfn]
        frame.mapcount -= 1
        if frame.mapcount or frame.cache == "mig":
            return
        if frame.cache == "swap":
            if self.slots.count[frame.entry]:
                return
            self.slots.give(frame.entry)
        self.release(pfn)

    def zap_entry(self, pte, vpn, exiting):
        ids, one = self.slots if pte.kind == "swap" else self.entries, pte.payload
        ids.count[one] -= 1
        if ids.count[one]:
            return
        pfn = ids.frame.get(one)
        frame = self.frames.get(pfn)
        if frame and frame.mapcount:
            if pte.kind == "parked":
                self.drop_cache(frame)
            return
        if pte.kind == "parked" and exiting and self.loses_race(vpn):
            frame.wedged, frame.active = True, False
            return
        if frame and pte.kind == "swap":
            self.release(pfn)
        ids.give(one)
        if frame and pte.kind == "parked":
            self.release(pfn)

    def loses_race(self, vpn):
        ppm = self.settings.wedge_ppm
        return ppm > 0 and draw(self.seed, 1 << 63, vpn) % 10**6 < ppm

    def exit(self, process, folding=True):
        for vma in process.vmas:
            self.zap(process, vma.start, vma.end, True)
        process.alive, process.vmas = False, []
        if process.delta:
            self.holes.append((process.first_vpn + process.delta, process.span))
        if not self.relatives(process.family):
            self.holes.append((process.first_vpn, process.span))
        if folding:
            self.fold()

    def fork(self, process, name="child"):
        delta = self.reserve(process.span) - process.first_vpn
        same = process.first_vpn, process.span, delta, process.next_vpn
        child = Process(len(self.processes), name, process.family, *same)
        child.vmas = [vma.copy(vma.start, vma.end) for vma in process.vmas]
        self.enter(child)
        for vpn, pte in self.tables[process.id].items():
            copy = Pte(**vars(pte))
            if pte.kind == "present":
                pte.write = copy.write = copy.young = False
                self.frames[pte.payload].mapcount += 1
                self._rss[child.id] += 1
            elif pte.kind != "zero":
                ids = self.slots if pte.kind == "swap" else self.entries
                ids.count[pte.payload] += 1
                self._swapents[child.id] += 1
            self.tables[child.id][vpn] = copy
        self.fold()
        return child

    def mprotect(self, task, region, prot, first=0, pages=None):
        start, pages = self.range(region, first, pages)
        for vma in isolate(region.process, start, pages):
            vma.read, vma.write = prot != "none", prot == "rw"
        changed = 0
        for vpn in range(start, start + pages):
            pte = self.tables[region.process.id].get(vpn)
            if pte is None or pte.kind not in ("present", "zero"):
                continue
            before = Pte(**vars(pte))
            self.protect(pte, prot)
            changed += pte != before
        cost = changed * self.costs.mark_pte_ns + self.flush(region.process)
        self.syscall(task, cost)

    def protect(self, pte, prot):
        pte.protnone = prot == "none"
        if prot == "r":
            pte.write = False
        if prot == "rw" and pte.kind == "present":
            frame = self.frames[pte.payload]
            pte.write |= frame.mapcount == 1 and not frame.cache

    def set_mempolicy(self, task, policy):
        task.policy = checked(policy, self.count)
        self.clocks[task.id].il_prev, self.clocks[task.id].il_left = self.count - 1, 0

    def present(self, region, parts):
        """Yield (VMA, page, PTE) of the present PTEs of VMAs."""
        table = self.tables[region.process.id]
        for vma in parts:
            for vpn in range(vma.start, vma.end):
                pte = table.get(vpn)
                if pte is not None and pte.kind == "present":
                    yield vma, vpn, pte

    def refuse(self, reason):
        self.refused[reason] += 1
        return 0

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
        parts = isolate(region.process, start, pages)
        for vma in parts:
            vma.mof = True
            if policy is not None:
                vma.policy = checked(policy, self.count)
        marked = 0
        for vma, vpn, pte in list(self.present(region, parts)):
            if mechanism == Mechanism.HINTING:
                marked += self.mark_hint(pte)
                continue
            node, frame = self.node_of(pte.payload), self.frames[pte.payload]
            if policy and self.misplaced(task, vma, vpn, node) is None:
                continue
            if frame.mapcount > 1 and not move_all:
                self.refuse(Refusal.SHARED)
            else:
                cache = ("swap", "mig")[mechanism]
                marked += self.park(pte.payload, cache)
        flush = self.flush(region.process)
        if mechanism == Mechanism.HINTING:
            cost = marked * self.costs.mark_pte_ns + -(-marked // BLOCK) * flush
        else:
            cost = marked * (self.costs.park_page_ns + flush)
        self.syscall(task, cost)
        return marked

    def mark_hint(self, pte):
        if pte.protnone:
            return 0
        pte.protnone = True
        self.add(self.node_of(pte.payload), Vm.NUMA_PTE_UPDATES)
        self.add(self.node_of(pte.payload), Vm.LAZY_PAGES_MARKED)
        return 1

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
        policy = checked(policy, self.count)
        if lazy is not None:
            if not self.settings.mpol_mf_lazy:
                return 22
            self.mark(task, region, lazy, policy, move_all, first, pages)
            return 0
        parts = isolate(region.process, *self.range(region, first, pages))
        before = [vma.policy for vma in parts]
        for vma in parts:
            vma.policy = policy
        wrong = [
            (vma, vpn, pte.payload)
            for vma, vpn, pte in self.present(region, parts)
            if self.misplaced(task, vma, vpn, self.node_of(pte.payload)) is not None
        ]
        if strict and wrong and not (move or move_all):
            for vma, old in zip(parts, before, strict=True):
                vma.policy = old
            return 5
        moved = left = 0
        for one in wrong if move or move_all else ():
            done = self.move_by_policy(task, *one, move_all)
            moved, left = moved + done, left + (not done)
        self.syscall(task, 0, moved * self.flush(region.process))
        return 5 if strict and left else 0

    def move_by_policy(self, task, vma, vpn, pfn, move_all):
        if self.frames[pfn].mapcount > 1 and not move_all:
            self.refuse(Refusal.SHARED)
            return False
        try:
            new = self.allocate(task, vma, vpn, wake=False)
        except NoMemory:
            return self.fail(pfn)
        if self.node_of(new) == self.node_of(pfn):
            self.add(self.node_of(new), Vm.PGFREE)
            self.put_frame(new)
            return self.fail(pfn)
        self.migrate(task, pfn, new)
        return True

    def move_to_node(self, task, pfn, node, move_all):
        """Return the node, or -errno."""
        if self.node_of(pfn) == node:
            return node
        if self.frames[pfn].mapcount > 1 and not move_all:
            self.refuse(Refusal.SHARED)
            return -13
        try:
            new = self.allocate_on(node, self.nodes[node].low, self.cpu(task))
        except NoMemory:
            self.fail(pfn)
            return -12
        self.migrate(task, pfn, new)
        return node

    def move_pages(self, task, region, node, move_all=False, first=0, pages=None):
        start, pages = self.range(region, first, pages)
        status, moved = [], 0
        for vpn in range(start, start + pages):
            pte = self.tables[task.process.id].get(vpn)
            if pte is not None and pte.kind == "zero":
                status.append(-14)
            elif pte is None or pte.kind != "present":
                status.append(-2)
            else:
                before = self.node_of(pte.payload)
                got = self.move_to_node(task, pte.payload, node, move_all)
                status.append(got)
                moved += got == node != before
        self.syscall(task, 0, moved * self.flush(region.process))
        return status

    def hot_remove(self, n):
        node = self.nodes[n]
        node.online = False
        left = 0
        for pfn in sorted(p for p in self.frames if self.node_of(p) == n):
            left += self.evacuate(n, pfn)
        node.online = left > 0
        self.fold()
        return left

    def evacuate(self, n, pfn):
        if self.frames[pfn].wedged:
            self.refuse(Refusal.BUSY)
            return 1
        if not self.frames[pfn].cache:
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

    # --- what came out -----------------------------------

    def counters(self):
        return np.array(self.vm)

    def refusals(self):
        return np.array(self.refused)

    def times(self, process):
        mine = [self.spent[t.id] for t in self.tasks if t.process is process]
        return [sum(row[cause] for row in mine) for cause in Cause]

    def clock(self, task):
        return self.clocks[task.id].ns

    def rss(self, process):
        return self._rss[process.id]

    def swapents(self, process):
        return self._swapents[process.id]

    def free(self, n):
        return self.nodes[n].free

    slots_in_use = property(lambda self: self.slots.used)
    entries_in_use = property(lambda self: self.entries.used)
    slots_peak = property(lambda self: self.slots.peak)
    entries_peak = property(lambda self: self.entries.peak)

    def page(self, process, vpn):
        pte = self.tables[process.id].get(vpn)
        if pte is None:
            return Page("none")
        bits = {"write": pte.write, "young": pte.young}
        bits |= {"dirty": pte.dirty, "protnone": pte.protnone}
        if pte.kind == "zero":
            return Page("zero", **bits)
        if pte.kind == "present":
            return Page("present", **bits, **self.frame_state(pte.payload))
        ids = self.slots if pte.kind == "swap" else self.entries
        pfn = ids.frame.get(pte.payload)
        if pfn is not None:
            return Page(pte.kind, **self.frame_state(pfn))
        return Page(pte.kind, entry=pte.payload, count=ids.count[pte.payload])

    def frame_state(self, pfn):
        frame = self.frames[pfn]
        found = {"node": self.node_of(pfn), "frame": pfn, "mapcount": frame.mapcount}
        if frame.cache:
            found |= {"entry": frame.entry, "cache": frame.cache}
            found["count"] = self.cache(frame.cache).count[frame.entry]
        return found

    def check(self):
        """Assert that counts and mappings agree."""
        for n, node in enumerate(self.nodes):
            used = sum(self.node_of(pfn) == n for pfn in self.frames)
            assert node.free + used == node.span, f"node {n}"
        held = {"swap": {}, "parked": {}}
        mapped = {}
        for process in self.processes:
            kinds = [pte.kind for pte in self.tables[process.id].values()]
            assert self._rss[process.id] == kinds.count("present")
            parked = kinds.count("swap") + kinds.count("parked")
            assert self._swapents[process.id] == parked
            for pte in self.tables[process.id].values():
                if pte.kind == "present":
                    mapped[pte.payload] = mapped.get(pte.payload, 0) + 1
                elif pte.kind != "zero":
                    counts = held[pte.kind]
                    counts[pte.payload] = counts.get(pte.payload, 0) + 1
        for pfn, frame in self.frames.items():
            assert frame.mapcount == mapped.get(pfn, 0), f"frame {pfn}"
            assert frame.mapcount or frame.cache, f"frame {pfn} leaked"
        for ids, kind in ((self.slots, "swap"), (self.entries, "parked")):
            for one, count in ids.count.items():
                assert count == held[kind].get(one, 0), f"{kind} {one}"

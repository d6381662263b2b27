"""The model of ``docs/model.md`` in slow, plain Python: the truth for the kernels.

Dicts, lists and integers; every rule stands here once more, as the page has it.  Only
enumerations, the machine, the settings and the workloads come from the package.
"""

from dataclasses import dataclass, field
from math import exp, isqrt, log
from typing import NamedTuple

import numpy as np
from reference_balancing import Balancing, Noted
from reference_shmem import SharedMappings

from lazynuma.engine.machine.zones import watermarks
from lazynuma.engine.settings.costs import Costs
from lazynuma.engine.settings.settings import Settings
from lazynuma.engine.state.allocate import managed_pages, node_shift, usable_pages
from lazynuma.engine.state.policies import checked
from lazynuma.engine.state.process import Process, Region, Task, Vma, isolate, merge
from lazynuma.engine.workloads.kinds import (
    HotCold,
    NextTouch,
    Recorded,
    Stencil,
    Stream,
    Sweep,
    Zipf,
)
from lazynuma.kernels.counters import Cause, Refusal, ScanResult, Vm
from lazynuma.kernels.knobs import Advice, Mechanism, Mode

BLOCK = 512
GOLDEN, U64 = 0x9E3779B97F4A7C15, (1 << 64) - 1
#: After these results MADV_COLLAPSE looks at the next block.
GOES_ON = (
    ScanResult.PTE_NON_PRESENT,
    ScanResult.PAGE_RO,
    ScanResult.LACK_REFERENCED_PAGE,
)
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
    huge: bool = False
    pmd: bool = False


@dataclass
class Pte:
    """A PTE that is not none: present, zero, swap or parked."""

    kind: str
    payload: int = -1
    write: bool = False
    young: bool = False
    dirty: bool = False
    protnone: bool = False
    owes: int = 0
    exclusive: bool = False


@dataclass
class Pmd(Pte):
    """A PMD entry that is not none: a table, a huge page or the huge zero page.

    ``owes`` is a bool here; the folio counts.
    """

    nid: int = 0
    owes: bool = False


@dataclass
class Folio:
    """A huge page; ``mapcount`` counts PMD entries, ``ptes`` frames with a PTE.

    ``last``, ``moved_from`` as of a frame; ``owes``: uses left until it has paid.
    """

    vpn: int
    family: int
    mapcount: int = 0
    active: bool = False
    referenced: bool = False
    compound: bool = False
    deferred: bool = False
    remapped: bool = False
    ptes: int = 0
    owes: int = 0
    moved_from: int = 0
    last: object = None


@dataclass
class Frame:
    """A frame in use, other than those of a folio that no PTE ever mapped.

    ``moved_from``: 1 + the node that it left; ``last``: (pid & 255, CPU) of the last
    hint fault, or ms of the mark on a slow node.
    """

    vpn: int
    family: int
    mapcount: int = 0
    active: bool = False
    referenced: bool = False
    dirty: bool = False
    cache: str = ""
    entry: int = -1
    wedged: bool = False
    compound: bool = False
    moved_from: int = 0
    last: object = None
    shmem: bool = False


@dataclass
class Block:
    """A pageblock: its free frames as bits, frames in use."""

    free: int = (1 << BLOCK) - 1
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
    kcompactd: bool = False
    online: bool = True
    whole_at_start: int = 0
    source: int = 0
    target: int = 0
    considered: int = 0
    defer_shift: int = 0

    @property
    def whole(self):
        """Wholly free blocks."""
        return len(self.returned) + self.span // BLOCK - self.virgin


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
    whole: dict = field(default_factory=dict)
    used_whole: dict = field(default_factory=dict)
    freed_whole: list = field(default_factory=list)
    served: int = 0


@dataclass
class Tlb:
    """Sets of tags, the last used first, and the line of the last miss."""

    sets: dict = field(default_factory=dict)
    line: int = -1

    def misses(self, tag, sets):
        """Look a tag up; tell whether it was missing."""
        tags = self.sets.setdefault((tag * 0x85EBCA6B % (1 << 32)) * sets >> 32, [])
        missing = tag not in tags
        if not missing:
            tags.remove(tag)
        tags.insert(0, tag)
        del tags[4:]
        return missing


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


class Reference(SharedMappings, Balancing):
    """The slow model; its operations are those of ``lazynuma.engine.Simulation``."""

    def __init__(self, machine, settings=None, costs=None, seed=1):
        self.machine, self.seed = machine, seed
        self.cpu_node = machine.cpu_node.tolist()
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
        self.pmds, self.folios, self.tlbs, self.pgd_nid = {}, {}, {}, {}
        self.huge_zero_page, self.used_whole, self.wanted = False, {}, {}
        self.start_khugepaged()
        self.start_shmem()
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
        self.start_balancing()

    # --- small things -----------------------------------

    def node_of(self, pfn):
        return pfn >> self.shift

    def cpu(self, task):
        return self.cpu_node[task.cpu]

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

    def entry(self, process, vpn):
        """Return the PMD entry or PTE that maps a page, or None."""
        pmd = self.pmds[process.id].get(vpn // BLOCK)
        if pmd is not None and pmd.kind != "table":
            return pmd
        return self.tables[process.id].get(vpn)

    @staticmethod
    def is_leaf(entry):
        """Tell whether an entry is a huge page's, or the huge zero page's."""
        return isinstance(entry, Pmd) and entry.kind != "table"

    def page_mapcount(self, pfn):
        """Return how many PTEs and PMD entries map a page."""
        frame, folio = self.frames.get(pfn), self.folios.get(pfn // BLOCK)
        return (frame.mapcount if frame else 0) + (folio.mapcount if folio else 0)

    # --- free memory, §3 -----------------------------------

    def take_frame(self, b):
        block = self.blocks.setdefault(b, Block())
        block.used += 1
        lowest = block.free & -block.free
        block.free ^= lowest
        return b * BLOCK + lowest.bit_length() - 1

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
        block.free |= 1 << pfn % BLOCK
        block.used -= 1
        node.free += 1
        if block.used == BLOCK - 1:
            node.partial.append(b)
        if block.used == 0:
            node.partial.remove(b)
            node.returned.append(b)

    def release(self, pfn):
        """Free a frame; a shard does it at the barrier."""
        del self.frames[pfn]
        self.add(self.node_of(pfn), Vm.PGFREE)
        if self.shard is None:
            self.put_frame(pfn)
        else:
            self.shard.freed.append(pfn)

    def take_huge(self, n):
        """Take a whole block; return its number."""
        node = self.nodes[n]
        if self.shard is None:
            node.free -= BLOCK
            return self.free_block(node)
        if not self.shard.whole.get(n):
            raise SetAside
        self.shard.used_whole[n] = self.shard.used_whole.get(n, 0) + 1
        return self.shard.whole[n].pop(0)

    def put_huge(self, b):
        node = self.nodes[self.node_of(b * BLOCK)]
        node.free += BLOCK
        self.blocks[b] = Block()
        node.returned.append(b)

    def release_huge(self, b):
        """Free the block of a folio that is gone; a shard does it at the barrier."""
        self.add(self.node_of(b * BLOCK), Vm.PGFREE, BLOCK)
        if self.shard is None:
            self.put_huge(b)
        else:
            self.shard.freed_whole.append(b)

    def release_folio(self, b):
        """Free a folio and its frames' words."""
        if self.folios.pop(b).compound:
            for pfn in range(b * BLOCK, (b + 1) * BLOCK):
                del self.frames[pfn]
        self.release_huge(b)

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

    def passes(self, task, vma, vpn, order=0):
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
            base = self.interleave(policy, vpn - task.process.first_vpn >> order)
        return [
            [
                n
                for n in self.zonelist[base]
                if self.nodes[n].online and (mask is None or n in mask)
            ]
            for mask in only
        ]

    def statistics(self, n, preferred, c, interleaved=False, pages=1):
        self.add(n, Vm.PGALLOC_NORMAL, pages)
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

    def unless_full(self, allocate, *args):
        """Allocate; None where there is no memory."""
        try:
            return allocate(*args)
        except NoMemory:
            return None

    # --- blocks by policy, §10.1 -----------------------------------

    def has_room(self, n, mark):
        """Tell whether a node has room for 512 frames above a mark."""
        node = self.nodes[n]
        whole = node.whole if self.shard is None else node.whole_at_start
        return node.online and node.free - (BLOCK - 1) > mark and whole > 0

    def with_room(self, candidates, mark):
        """Return the first candidate with room above its mark, or None."""
        for n in candidates:
            if self.has_room(n, getattr(self.nodes[n], mark)):
                return n
        return None

    def direct(self, vma):
        """Tell whether a fault may compact."""
        defrag = self.settings.thp.defrag
        advised = vma.advice == Advice.HUGEPAGE
        return defrag == "always" or advised and defrag in ("madvise", "defer+madvise")

    def wakes(self, direct):
        """Tell whether a fault may wake kswapd and kcompactd."""
        defrag = self.settings.thp.defrag
        return defrag == "defer" or defrag == "defer+madvise" and not direct

    def allocate_huge(self, task, vma, vpn, direct, wake):
        """Allocate a block by policy; None where it fails."""
        policy, own = self.policy_of(task, vma)
        spread = policy.mode in INTERLEAVES
        if self.shard is not None and spread:
            raise SetAside
        passes = self.passes(task, vma, vpn, 9)
        if self.shard is None:
            n, preferred = self.choose_huge(task, passes, spread, direct, wake)
        else:
            n = preferred = self.choose_in_shard(passes[0], direct)
        if n is None:
            return None
        b = self.take_huge(n)
        interleaved = policy.mode == Mode.INTERLEAVE
        self.statistics(n, preferred, self.cpu(task), interleaved, BLOCK)
        if spread and own:
            self.advance(task, policy)
        return b

    def choose_in_shard(self, candidates, direct):
        if not candidates:
            raise SetAside
        n = candidates[0]
        if self.nodes[n].whole_at_start == 0 and not direct:
            self.nodes[n].woken |= self.wakes(direct)
            self.nodes[n].kcompactd |= self.wakes(direct)
            return None
        if self.nodes[n].free - (BLOCK - 1) <= self.nodes[n].low:
            raise SetAside
        return n

    def choose_huge(self, task, passes, spread, direct, wake):
        """Return (node or None, preferred node), serially."""
        if not passes[0]:
            return None, None
        preferred = passes[0][0]
        near = passes[0] if spread else passes[0][:1]
        n = self.with_room(near, "low")
        if n is None:
            for m in near:
                self.nodes[m].woken |= wake
                self.nodes[m].kcompactd |= wake
            n = self.with_room(near, "min")
        if n is None and direct and not spread:
            self.compact(preferred, task)
            n = self.with_room(near, "min")
            if n is None:
                preferred = passes[-1][0]
                n = self.with_room(passes[-1], "low")
                if n is None:
                    n = self.with_room(passes[-1], "min")
        return n, preferred

    def allocate_huge_on(self, n, mark, c):
        """Allocate a block on exactly one node."""
        if not self.has_room(n, mark):
            raise NoMemory
        b = self.take_huge(n)
        self.statistics(n, n, c, pages=BLOCK)
        return b

    # --- compaction, §10.6 -----------------------------------

    def compact(self, n, task):
        """Try to empty a block, at the expense of a task (None: nobody's)."""
        node = self.nodes[n]
        if node.considered + 1 < 1 << node.defer_shift:
            node.considered += 1
            return
        if node.free <= node.low + 2 * BLOCK:
            return
        self.add(n, Vm.COMPACT_STALL)
        node.considered = 0
        first = node.first // BLOCK
        target = first + node.span // BLOCK - 1 - node.target
        source = self.find_source(n, first + node.source, target)
        if source is None:
            node.source = node.target = 0
            node.defer_shift = min(6, node.defer_shift + 1)
            self.add(n, Vm.COMPACT_FAIL)
            return
        target = self.empty_block(n, source, target, task)
        node.source = source + 1 - first
        node.target = first + node.span // BLOCK - 1 - target
        node.defer_shift = 0
        self.add(n, Vm.COMPACT_SUCCESS)

    def room(self, n, b):
        """Return the free frames of a block if it is partial, else 0."""
        return BLOCK - self.blocks[b].used if b in self.nodes[n].partial else 0

    def frames_of(self, b):
        pfns = range(b * BLOCK, (b + 1) * BLOCK)
        return [pfn for pfn in pfns if pfn in self.frames]

    def find_source(self, n, source, target):
        for b in range(source, target):
            self.add(n, Vm.COMPACT_MIGRATE_SCANNED, BLOCK)
            if b not in self.nodes[n].partial:
                continue
            frames = [self.frames[pfn] for pfn in self.frames_of(b)]
            above = sum(self.room(n, other) for other in range(b + 1, target + 1))
            if len(frames) > above or any(f.wedged or f.cache for f in frames):
                continue
            return b
        return None

    def empty_block(self, n, source, target, task):
        """Move a block's pages up; return where the free scanner stands."""
        node = self.nodes[n]
        for pfn in self.frames_of(source):
            while self.room(n, target) == 0:
                target -= 1
                self.add(n, Vm.COMPACT_FREE_SCANNED, BLOCK)
            self.add(n, Vm.COMPACT_ISOLATED)
            new = self.take_frame(target)
            if self.blocks[target].used == BLOCK:
                node.partial.remove(target)
            node.free -= 1
            self.migrate(None, pfn, new)
            if task is not None:
                cost = self.costs.migrate_page_ns + self.copy_ns(n, n)
                self.charge(task, Cause.COMPACTION, cost)
        return target

    def misplaced(self, task, vma, vpn, pfn):
        policy, own = self.policy_of(task, vma)
        c, mode, page_node = self.cpu(task), policy.mode, self.node_of(pfn)
        target = c
        if mode in INTERLEAVES:
            if own:
                return None
            order = 9 if pfn // BLOCK in self.folios else 0
            target = self.interleave(policy, vpn - task.process.first_vpn >> order)
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
        for process, pte in self.mappings(old):
            self.remake(process, frame.vpn, pte, new)
        self.frames[new] = frame
        self.take_over(frame, self.node_of(old), self.node_of(new))
        if frame.cache:
            self.cache(frame.cache).frame[frame.entry] = new
        if frame.shmem:
            self.page_cache[frame.family, frame.vpn] = "present", new
        self.add(self.node_of(new), Vm.PGMIGRATE_SUCCESS)
        if task is not None:
            copy = self.copy_ns(self.node_of(old), self.node_of(new))
            self.charge(task, Cause.MIGRATION, self.costs.migrate_page_ns + copy)
        self.release(old)

    def remake(self, process, vpn, entry, pfn):
        """Let an entry map another frame; a hinting mark is lost."""
        entry.payload, entry.protnone = pfn, self.stays(process, vpn, entry)

    def stays(self, process, vpn, entry):
        """Tell whether an entry has PROTNONE and keeps it: its VMA's protection."""
        return entry.protnone and not self.vma_of(process, vpn).read

    # --- huge pages: who maps them, splits and migration, §10.3 and §10.5 ------------

    def pmd_mappings(self, b):
        """Return (process, PMD entry) of every PMD entry that maps a folio."""
        folio = self.folios[b]
        found = [
            (p, self.pmds[p.id].get(folio.vpn // BLOCK)) for p in self.family_of(folio)
        ]
        return [
            (p, pmd)
            for p, pmd in found
            if pmd is not None and pmd.kind == "present" and pmd.payload == b * BLOCK
        ]

    def split_pmd(self, process, block, task=None, cause=None):
        """Map by PTEs what a PMD entry mapped; a task may have to pay."""
        pmd, table = self.pmds[process.id][block], self.tables[process.id]
        self.add(pmd.nid, Vm.THP_SPLIT_PMD)
        self.pmds[process.id][block] = Pmd("table", nid=pmd.nid)
        for i in range(BLOCK):
            pte = Pte("zero")
            if pmd.kind == "present":
                bits = pmd.write, pmd.young, pmd.dirty
                pte = Pte("present", pmd.payload + i, *bits)
                pte.exclusive = pmd.exclusive
            pte.protnone = self.stays(process, block * BLOCK, pmd)
            table[block * BLOCK + i] = pte
        if pmd.kind == "present":
            self.folio_to_ptes(pmd.payload // BLOCK)
        if task is not None:
            self.charge(task, cause, self.costs.split_pmd_ns)

    def folio_to_ptes(self, b):
        """Count PTEs in place of one PMD entry."""
        folio = self.folios[b]
        folio.mapcount -= 1
        for i in range(BLOCK):
            if not folio.compound:
                frame = Frame(folio.vpn + i, folio.family, compound=True)
                self.frames[b * BLOCK + i] = frame
            self.frames[b * BLOCK + i].mapcount += 1
        folio.compound, folio.ptes, folio.remapped = True, BLOCK, False

    def split_folio(self, b, task=None):
        """Make small pages of a folio; return how many frames that freed."""
        folio = self.folios[b]
        for process, _ in self.pmd_mappings(b):
            self.split_pmd(process, folio.vpn // BLOCK, task, Cause.SYSCALL)
        self.defer(b)
        self.add(self.node_of(b * BLOCK), Vm.THP_SPLIT_PAGE)
        del self.folios[b]
        self.blocks[b] = Block(free=0, used=BLOCK)
        freed = 0
        for pfn in range(b * BLOCK, (b + 1) * BLOCK):
            frame = self.frames[pfn]
            frame.compound, frame.active = False, folio.active
            frame.moved_from, frame.last = folio.moved_from, folio.last
            if frame.mapcount == 0:
                self.release(pfn)
                freed += 1
        return freed

    def page_unmapped(self, pfn):
        """A PTE of a folio's frame is gone."""
        folio = self.folios[pfn // BLOCK]
        if self.frames[pfn].mapcount == 0:
            folio.ptes -= 1
            if folio.remapped:
                self.defer(pfn // BLOCK)
            if folio.ptes == 0 and folio.mapcount:
                folio.compound = folio.remapped = False
                for one in self.frames_of(pfn // BLOCK):
                    del self.frames[one]
                return
            self.folio_unmapped(pfn // BLOCK)

    def folio_unmapped(self, b):
        """The last PTE of a frame or a PMD entry of a folio is gone: defer a split."""
        folio = self.folios[b]
        if folio.mapcount:
            return
        if folio.ptes == 0:
            self.release_folio(b)
        elif folio.ptes < BLOCK and not folio.remapped:
            self.defer(b)
        folio.remapped = False

    def defer(self, b):
        """Queue a folio to be split, if it is not queued."""
        if not self.folios[b].deferred:
            self.folios[b].deferred = True
            self.add(self.node_of(b * BLOCK), Vm.THP_DEFERRED_SPLIT_PAGE)

    def unmapping_defers(self, b):
        """Tell whether the last process that maps a folio does so by PTEs."""
        folio, by_pte = self.folios[b], False
        whole = [process for process, _ in self.pmd_mappings(b)]
        for process in self.family_of(folio):
            table = self.tables[process.id]
            ptes = [table.get(folio.vpn + i) for i in range(BLOCK)]
            if process in whole:
                by_pte = False
            elif any(
                pte is not None and pte.kind == "present" and pte.payload == pfn
                for pfn, pte in enumerate(ptes, b * BLOCK)
            ):
                by_pte = True
        return by_pte or folio.remapped

    def migrate_huge(self, task, old, new):
        """Move a folio from block to block."""
        folio, was, now = self.folios[old], old * BLOCK, new * BLOCK
        n, target = self.node_of(was), self.node_of(now)
        if folio.compound and self.unmapping_defers(old):
            self.defer(old)
        folio.deferred = False
        folio.remapped = folio.compound and folio.mapcount > 0
        for process, pmd in self.pmd_mappings(old):
            self.remake(process, folio.vpn, pmd, now)
        if folio.compound:
            for i in range(BLOCK):
                for process, pte in self.mappings(was + i):
                    self.remake(process, folio.vpn + i, pte, now + i)
                self.frames[now + i] = self.frames.pop(was + i)
        self.folios[new] = self.folios.pop(old)
        self.add(target, Vm.PGMIGRATE_SUCCESS, BLOCK)
        self.add(target, Vm.THP_MIGRATION_SUCCESS)
        self.take_over(folio, n, target)
        if task is not None:
            copy = BLOCK * self.copy_ns(n, target)
            self.charge(task, Cause.MIGRATION, self.costs.migrate_page_ns + copy)
        self.release_huge(old)

    # --- faults on huge pages, §10.2 -----------------------------------

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
            pmds[block] = Pmd("zero", young=True, nid=c)
            self.add(c, Vm.ZERO_PAGE_FAULTS)
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
            return True
        direct = self.direct(vma)
        b = self.allocate_huge(task, vma, vpn, direct, self.wakes(direct))
        if b is None:
            return False
        self.map_huge(task.process, block, b, c, vma.write)
        self.add(c, Vm.THP_FAULT_ALLOC)
        self.charge(task, Cause.HUGE_FAULT, self.costs.huge_fault_ns)
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
        bits = {"write": write, "exclusive": not write, "young": True, "dirty": True}
        self.pmds[process.id][block] = Pmd("present", b * BLOCK, nid=nid, **bits)
        self._rss[process.id] += BLOCK

    def pmd_fault(self, task, vma, vpn, pmd):
        """Serve a fault on a huge entry."""
        if pmd.kind == "zero":
            pfn = self.allocate(task, vma, vpn)
            self.split_pmd(task.process, vpn // BLOCK, task, Cause.HUGE_FAULT)
            self.map_page(task, vpn, pfn)
            self._rss[task.process.id] += 1
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
        elif pmd.protnone and self.balances:
            self.balanced_fault(task, vma, vpn, pmd, True)
        elif pmd.protnone:
            self.huge_hint_fault(task, vma, vpn, pmd)
        else:
            self.huge_wp_fault(task, vma, vpn, pmd)

    def huge_wp_fault(self, task, vma, vpn, pmd):
        folio = self.folios[pmd.payload // BLOCK]
        if folio.mapcount == 1 and not folio.compound:
            pmd.write = pmd.young = pmd.dirty = True
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
            return
        pfn = self.allocate(task, vma, vpn)
        self.split_pmd(task.process, vpn // BLOCK, task, Cause.HUGE_FAULT)
        self.copy_page(task, vpn, pmd.payload + vpn % BLOCK, pfn)

    def huge_hint_fault(self, task, vma, vpn, pmd):
        c, node = self.cpu(task), self.node_of(pmd.payload)
        target = self.misplaced(task, vma, vpn, pmd.payload)
        if target is not None and not self.settings.thp.unit_hinting:
            self.split_for_hint(task, pmd.payload // BLOCK)
            self.count_hint_fault(task, node)
            return
        if target is not None:
            try:
                mark = self.nodes[target].high + BLOCK
                new = self.allocate_huge_on(target, mark, c)
                self.migrate_huge(task, pmd.payload // BLOCK, new)
                self.moved_folio(task, new, node, pmd)
                self.add(target, Vm.NUMA_PAGES_MIGRATED, BLOCK)
            except NoMemory:
                self.refuse(Refusal.TARGET_FULL, BLOCK)
        self.count_hint_fault(task, node)
        pmd.protnone, pmd.young = False, True

    def split_for_hint(self, task, b):
        """Split a folio; what was marked in the PMD entries stays marked."""
        block = self.folios[b].vpn // BLOCK
        for process, pmd in self.pmd_mappings(b):
            self.split_pmd(process, block, task, Cause.HUGE_FAULT)
            for vpn in range(block * BLOCK, (block + 1) * BLOCK):
                self.tables[process.id][vpn].protnone = pmd.protnone
        self.split_folio(b)

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
        block = vpn // BLOCK
        pmd = self.pmds[process.id].get(block)
        if pmd is not None and pmd.kind != "table":
            self.pmd_fault(task, vma, vpn, pmd)
        elif pmd is not None or not self.suits(vma, block):
            self.pte_fault(task, vma, vpn, write)
        elif not self.huge_fault(task, vma, vpn, write):
            self.pte_fault(task, vma, vpn, write)
            self.add(self.cpu(task), Vm.THP_FAULT_FALLBACK)
        self.add(self.cpu(task), Vm.PGFAULT)

    def pte_fault(self, task, vma, vpn, write):
        process = task.process
        pte = self.tables[process.id].get(vpn)
        if vma.shmem:
            self.shared_fault(task, vma, vpn, write)
        elif pte is None and not write:
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
        table = Pmd("table", nid=self.cpu(task))
        self.pmds[process.id].setdefault(vpn // BLOCK, table)

    def new_page(self, task, vma, vpn):
        pfn = self.allocate(task, vma, vpn)
        self.map_page(task, vpn, pfn)
        return pfn

    def map_page(self, task, vpn, pfn):
        """Map a new frame."""
        self.frames[pfn] = Frame(vpn, task.process.family, mapcount=1)
        fresh = Pte("present", pfn, write=True, young=True, dirty=True)
        self.tables[task.process.id][vpn] = fresh

    @staticmethod
    def fresh_pte(pfn, write, dirty):
        return Pte("present", pfn, write=write, young=True, dirty=dirty)

    @staticmethod
    def fresh_frame(vpn, family):
        return Frame(vpn, family, shmem=True)

    def drop_cache(self, frame):
        self.free_id(self.cache(frame.cache), frame.entry)
        frame.cache, frame.dirty = "", True

    def wp_fault(self, task, vma, vpn, pte):
        old, frame = pte.payload, self.frames[pte.payload]
        alone = frame.mapcount == 1 and frame.cache != "mig" and not frame.compound
        if alone and not (frame.cache == "swap" and self.slots.count[frame.entry]):
            if frame.cache:
                self.drop_cache(frame)
            pte.write = pte.young = pte.dirty = True
            self.charge(task, Cause.MINOR_FAULT, self.costs.minor_fault_ns)
            return
        self.copy_page(task, vpn, old, self.allocate(task, vma, vpn))

    def copy_page(self, task, vpn, old, new):
        """Map a copy on a new frame in place of a frame."""
        frame = self.frames[old]
        self.map_page(task, vpn, new)
        frame.mapcount -= 1
        if frame.compound:
            self.page_unmapped(old)
        self.add(self.cpu(task), Vm.COW_FAULTS)
        copy = self.copy_ns(self.node_of(old), self.node_of(new))
        self.charge(task, Cause.COW, self.costs.minor_fault_ns + copy)

    def hint_fault(self, task, vma, vpn, pte):
        compound = self.frames[pte.payload].compound
        if self.balances and not compound:
            self.balanced_fault(task, vma, vpn, pte, False)
            return
        node, c = self.node_of(pte.payload), self.cpu(task)
        target = self.misplaced(task, vma, vpn, pte.payload)
        if target is not None and compound:
            self.refuse(Refusal.PTE_MAPPED_THP)
        elif target is not None:
            try:
                new = self.allocate_on(target, self.nodes[target].high + 1, c)
                self.migrate(task, pte.payload, new)
                self.moved_page(task, new, node, pte)
                self.add(target, Vm.NUMA_PAGES_MIGRATED)
            except NoMemory:
                self.refused[Refusal.TARGET_FULL] += 1
        self.count_hint_fault(task, node)
        pte.protnone, pte.young = False, True

    def count_hint_fault(self, task, node):
        c = self.cpu(task)
        self.add(c, Vm.NUMA_HINT_FAULTS)
        if node == c:
            self.add(c, Vm.NUMA_HINT_FAULTS_LOCAL)
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
        return pfn, uses

    def cached_fault(self, task, vma, vpn, pte, write):
        swap, one = pte.kind == "swap", pte.payload
        ids = self.slots if swap else self.entries
        pfn, uses = ids.frame.get(one), 0
        if pfn is None:
            pfn = self.swap_in(task, vma, vpn, one)
        else:
            pfn, uses = self.lazy_fault(task, vma, vpn, pfn)
        ids.count[one] -= 1
        left, frame = ids.count[one], self.frames[pfn]
        frame.mapcount += 1
        exclusive = left == 0 and frame.mapcount == 1
        own = write and exclusive
        mapped = Pte("present", pfn, write=own, young=True, dirty=own, owes=uses)
        self.tables[task.process.id][vpn] = mapped
        self._rss[task.process.id] += 1
        self._swapents[task.process.id] -= 1
        used = self.slots.used if self.shard is None else self.slots_at_start
        full = 2 * used > self.slots.total
        if left == 0 and (not swap or exclusive or full):
            self.drop_cache(frame)

    # --- reclaim, §8 -----------------------------------

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
        one.active, one.referenced = True, False
        self.add(n, Vm.PGACTIVATE, pages)

    def no_slot(self):
        return self.slots.used == self.slots.total

    def reclaim(self, n, pfn, steal):
        frame = self.frames[pfn]
        frame.referenced = False
        if self.demote(n, pfn, None, steal):
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

    def reclaim_folio(self, n, b, steal):
        """Demote or swap a folio out, whole if possible; return how many pages went."""
        folio = self.folios[b]
        folio.referenced = False
        if self.demote(n, b, folio, steal):
            return BLOCK
        whole = self.slots.virgin + BLOCK <= self.slots.total
        if not folio.compound and whole:
            return self.swap_out_folio(n, b, steal)
        if not folio.compound:
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
            slots.count[first + i] = folio.mapcount
        for process, pmd in self.pmd_mappings(b):
            block = folio.vpn // BLOCK
            self.pmds[process.id][block] = Pmd("table", nid=pmd.nid)
            self.add(pmd.nid, Vm.THP_SPLIT_PMD)
            for i in range(BLOCK):
                self.tables[process.id][folio.vpn + i] = Pte("swap", first + i)
            self._rss[process.id] -= BLOCK
            self._swapents[process.id] += BLOCK
        self.add(n, Vm.PSWPOUT, BLOCK)
        self.add(n, Vm.THP_SWPOUT)
        self.written += BLOCK
        self.release_folio(b)
        self.add(n, steal, BLOCK)
        return BLOCK

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
        return sum(self.split_folio(b) for b in waiting[:32])

    def inactive_is_low(self, n):
        inactive, active = self.lists(n)
        gb = (inactive + active) >> 18
        return inactive * (isqrt(10 * gb) if gb else 1) < active

    def shrink_node(self, n, priority, target, scan, steal):
        reclaimed = self.split_deferred(n)
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
            if node.free > self.kswapd_mark(node):
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
        blocks = {vpn // BLOCK for vpn in table}
        leaves = self.leaves(process)
        return self._rss[process.id] + self._swapents[process.id] + len(blocks | leaves)

    def leaves(self, process):
        """Return the blocks of a process that a huge entry maps."""
        pmds = self.pmds[process.id].items()
        return {block for block, pmd in pmds if pmd.kind != "table"}

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
        return clock.refs * self.loaded(c, n)

    def loaded(self, c, n):
        u, q = self.use[c][n], self.costs.queueing_permille
        latency = int(self.machine.latency_ns[c][n])
        return latency * (1000 + q * u // (1000 - u)) // 1000

    # --- TLBs, §10.8 -----------------------------------

    def measure_tables(self):
        """Fix what share of the walks of each process misses the caches, by size."""
        cache = self.settings.tlb.walk_cache_bytes * 1000
        self.uncached = {}
        for process in self.processes:
            pmds = self.pmds[process.id].values()
            huge = sum(pmd.kind == "present" for pmd in pmds)
            pages = self._rss[process.id] - BLOCK * huge, huge
            self.uncached[process.id] = [
                1000 - min(1000, cache // max(1, 8 * count)) for count in pages
            ]

    def look_up(self, task, vpn):
        """Look a page up in the TLB of its shard; a miss walks the page tables."""
        knobs, process = self.settings.tlb, task.process
        if not knobs.enabled:
            return
        c, pmd = self.cpu(task), self.pmds[process.id][vpn // BLOCK]
        size = int(pmd.kind != "table")
        entries = (knobs.entries_4k, knobs.entries_2m)[size]
        sets = max(1, entries // 4 // self.settings.shards)
        tag = vpn + process.delta >> (0, 9)[size]
        tlb = self.tlbs.setdefault((task.id, self.shard_of(vpn), size), Tlb())
        if not tlb.misses(tag, sets):
            return
        self.add(c, (Vm.TLB_MISSES_4K, Vm.TLB_MISSES_2M)[size])
        cost = self.costs.walk_ns
        if tlb.line != tag >> 3:
            p = self.pgd_nid[process.id] if size else pmd.nid
            cost += self.loaded(c, p) * self.uncached[process.id][size] // 1000
        tlb.line = tag >> 3
        self.charge(task, Cause.PAGE_WALK, cost)

    def flush_tlbs(self, process):
        mine = [task.id for task in self.tasks if task.process is process]
        for (task, _, _), tlb in self.tlbs.items():
            if task in mine:
                tlb.sets, tlb.line = {}, -1

    def do_hit(self, task, vpn, write, tail=None):
        pte, c = self.entry(task.process, vpn), self.cpu(task)
        self.look_up(task, vpn)
        pte.young = True
        pte.dirty |= write
        n = c if pte.kind == "zero" else self.node_of(pte.payload)
        local = n == c
        if local and pte.owes:
            self.pay(pte, c)
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
        end = self.paced()
        total = self.assign(end)
        if total == 0:
            busy = [task for task in self.tasks if self.left(task) > 0]
            if not busy:
                return None
            self.now = min(self.clocks[task.id].ns for task in busy)
            end = self.paced()
            total = self.assign(end)
        most = self.settings.quantum_accesses
        if total > most:
            end = self.now + max(1, (end - self.now) * most // total)
            self.assign(end)
        return end

    def paced(self):
        """Return the end of a quantum in which no task doubles what it has done."""
        end, ends = self.now + self.settings.quantum_ns, []
        for task in self.tasks:
            clock = self.clocks[task.id]
            start = max(clock.ns, self.now)
            if self.left(task) > 0 and start < end:
                ends.append(start + max(4, clock.number) * clock.mean)
        return min([end, *ends])

    def run(self, workloads, tail=None):
        for clock in self.clocks:
            clock.load, clock.number = None, 0
        for load in workloads:
            clock = self.clocks[load.task.id]
            clock.load, clock.run = load, self.runs
            clock.refs, clock.stream = load.refs, load.streamed
            if clock.mean == 0 and load.count:
                c = self.cpu(load.task)
                clock.mean = max(1, load.refs * int(self.machine.latency_ns[c][c]))
        self.runs += 1
        while self.quantum():
            pass

    def quantum(self):
        start, end = self.now, self.plan()
        if end is None:
            return False
        start = self.now
        self.prices = {
            task.id: [self.access_ns(task, n) for n in range(self.count)]
            for task in self.tasks
        }
        self.measure_tables()
        layout = self.lay_out()
        queues = self.serve_shards(layout)
        self.barrier(layout, queues)
        self.ran = {i for i, clock in enumerate(self.clocks) if clock.quota}
        for clock in self.clocks:
            if clock.quota:
                clock.mean = max(1, clock.charged // clock.quota)
                clock.number += clock.quota
                clock.quota = 0
        self.fold()
        self.utilise(end - start)
        if not any(self.left(task) > 0 for task in self.tasks):
            end = min(end, max(clock.ns for clock in self.clocks))
        self.now = end
        self.balance(start)
        self.run_khugepaged()
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
            self.shard_notes.append(Noted())
            self.serve_queue(shard, queue)
        self.shard = None
        self.take_back(shards, queues)
        return [shard.served for shard in shards]

    def serve_queue(self, shard, queue):
        for task, vpn, write in queue:
            try:
                while not self.hit(self.entry(task.process, vpn), write):
                    self.fault(task, vpn, write)
            except (SetAside, LookupError):
                return
            self.do_hit(task, vpn, write)
            shard.served += 1

    def lend(self, shards, queues):
        never = self.settings.thp.enabled == "never"
        part = 8 if never else 16
        for n, node in enumerate(self.nodes):
            node.whole_at_start = node.whole
            share = max(0, min(node.free // part, node.free - node.low)) // len(shards)
            for s, (shard, queue) in enumerate(zip(shards, queues, strict=True)):
                enough = max(64, self.wanted.get((s, n), 0))
                want, lent, frames = min(share, len(queue), enough), [], 0
                while frames < want:
                    b = node.partial.pop() if node.partial else self.free_block(node)
                    if b is None:
                        break
                    lent.append(b)
                    frames += BLOCK - self.blocks.setdefault(b, Block()).used
                shard.lent[n] = lent
                shard.left[n] = shard.given[n] = min(want, frames)
        if not never:
            self.lend_whole(shards, queues)

    def lend_whole(self, shards, queues):
        """Lend wholly free blocks for huge pages."""
        for n, node in enumerate(self.nodes):
            room = max(0, min(node.free // 16, node.free - node.low))
            share = room // BLOCK // len(shards)
            for s, (shard, queue) in enumerate(zip(shards, queues, strict=True)):
                enough = max(16, 2 * self.used_whole.get((s, n), 0))
                want = min(share, len(queue), enough, node.whole)
                shard.whole[n] = [self.free_block(node) for _ in range(want)]

    def take_back(self, shards, queues):
        for s, shard in enumerate(shards):
            for n, node in enumerate(self.nodes):
                taken = shard.given[n] - shard.left[n]
                wanted = 4 * (taken if shard.left[n] else len(queues[s]))
                self.wanted[s, n] = max(wanted, self.wanted.get((s, n), 0) // 2)
                node.free -= taken
                for b in shard.lent[n]:
                    if self.blocks[b].used == 0:
                        self.blocks[b] = Block()
                        node.returned.append(b)
                    else:
                        node.partial.append(b)
        for s, shard in enumerate(shards):
            for n, node in enumerate(self.nodes):
                self.used_whole[s, n] = shard.used_whole.get(n, 0)
                node.free -= BLOCK * shard.used_whole.get(n, 0)
                node.returned += shard.whole.get(n, [])
        for part in range(8):
            for shard in shards:
                for pfn in shard.freed:
                    if pfn // BLOCK // 64 % 8 == part:
                        self.put_frame(pfn)
        for shard in shards:
            for b in shard.freed_whole:
                self.put_huge(b)
        for shard in shards:
            for cache, one in shard.freed_ids:
                cache.give(one)

    def barrier(self, layout, served):
        self.run_woken()
        seen = [0] * len(served)
        for task, vpn, write in layout:
            s = self.shard_of(vpn)
            seen[s] += 1
            if seen[s] > served[s] and task.process.alive:
                self.serve_serially(task, vpn, write)

    def serve_serially(self, task, vpn, write):
        rounds = 0
        while not self.hit(self.entry(task.process, vpn), write):
            try:
                self.fault(task, vpn, write)
                rounds = 0
            except NoMemory:
                vma = self.vma_of(task.process, vpn)
                candidates = self.passes(task, *self.place(task, vma, vpn))[-1]
                rounds = 0 if self.direct_reclaim(task, candidates) else rounds + 1
                if rounds > 16:
                    self.oom_kill(task)
                    rounds = 0
                    if not task.process.alive:
                        return
        self.do_hit(task, vpn, write)
        self.run_woken()

    def run_woken(self):
        """Let kswapd and kcompactd of the nodes work that were woken."""
        for n, node in enumerate(self.nodes):
            if node.woken:
                node.woken = False
                self.kswapd(n)
        for n, node in enumerate(self.nodes):
            if node.kcompactd:
                node.kcompactd = False
                self.compact(n, None)

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
                grown = self.factor[c][n] * (1000 + u) // 2000
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
        self.tables[process.id], self.pmds[process.id] = {}, {}
        self._rss[process.id] = self._swapents[process.id] = 0
        self.enter_mm(process)
        return process

    def start_task(self, process, cpu):
        task = Task(len(self.tasks), process, cpu)
        self.init_numa_balancing(task)
        self.tasks.append(task)
        self.clocks.append(Clock(ns=self.now, il_prev=self.count - 1))
        self.spent[task.id] = [0] * len(Cause)
        self.pgd_nid.setdefault(process.id, self.cpu(task))
        return task

    def move_task(self, task, cpu):
        source = self.cpu(task)
        task.cpu = cpu
        self.node_changed(task, source)

    def mmap(self, process, nbytes, name="", write=True, shared=False):
        if shared:
            family = [p for p in self.processes if p.family == process.family]
            process.next_vpn = max(p.next_vpn for p in family)
        pages, first = -(-nbytes // 4096), process.next_vpn
        process.next_vpn = -(-(first + pages) // BLOCK) * BLOCK
        held = self.new_object(process, first, pages) if shared else None
        process.vmas.append(Vma(first, first + pages, write=write, shmem=held))
        return Region(process, first, pages, name)

    def range(self, region, first, pages):
        return region.first + first, region.pages - first if pages is None else pages

    def isolate(self, task, process, start, pages, same=None):
        """Cut VMAs at the ends of a range and split what is cut; return the parts.

        ``same`` tells which VMAs need no cut.
        """
        before = process.vmas
        parts = isolate(process, start, pages)
        for at in (start, start + pages):
            cut = [v for v in before if v.start < at < v.end and not (same and same(v))]
            if cut and at % BLOCK and at // BLOCK in self.leaves(process):
                self.split_pmd(process, at // BLOCK, task, Cause.SYSCALL)
        return parts

    def walk(self, process, parts):
        """Yield (VMA, page, entry) of what is mapped, a huge entry at its first page.

        What is split meanwhile without having moved is gone through again.
        """
        for vma in parts:
            vpn = vma.start
            while vpn < vma.end:
                entry = self.entry(process, vpn)
                was = self.in_folio(entry)
                if entry is not None:
                    yield vma, vpn, entry
                same = self.entry(process, vpn) is entry
                if not isinstance(entry, Pmd):
                    vpn += not (same and was and not self.in_folio(entry))
                elif same:
                    vpn = (vpn // BLOCK + 1) * BLOCK

    def in_folio(self, entry):
        """Tell whether an entry maps a huge page or a part of one."""
        mapped = entry is not None and entry.kind == "present"
        return mapped and entry.payload // BLOCK in self.folios

    def populate(self, task, region, first=0, pages=None):
        start, pages = self.range(region, first, pages)
        done = 0
        try:
            for vpn in range(start, start + pages):
                while not self.hit(self.entry(task.process, vpn), True):
                    self.fault(task, vpn, True)
                done += 1
        except NoMemory:
            pass
        self.syscall(task, 0)
        return done

    def munmap(self, task, region, first=0, pages=None):
        start, pages = self.range(region, first, pages)
        process = region.process
        parts = self.isolate(task, process, start, pages)
        zapped = self.zap(process, start, start + pages, False)
        process.vmas = [vma for vma in process.vmas if vma not in parts]
        for block in range(start // BLOCK, (start + pages - 1) // BLOCK + 1):
            first, end = block * BLOCK, (block + 1) * BLOCK
            if not any(vma.start < end and first < vma.end for vma in process.vmas):
                self.pmds[process.id].pop(block, None)
        merge(process)
        self.evict_unmapped()
        self.flush_tlbs(process)
        self.syscall(task, zapped * self.costs.zap_pte_ns + self.flush(process))

    def zap(self, process, start, end, exiting):
        table = self.tables[process.id]
        mapped = [*table, *(block * BLOCK for block in self.leaves(process))]
        mapped = sorted(vpn for vpn in mapped if start <= vpn < end)
        for vpn in mapped:
            pmd = self.entry(process, vpn)
            if isinstance(pmd, Pmd):
                del self.pmds[process.id][vpn // BLOCK]
                self.zap_huge(process, pmd)
            else:
                self.zap_pte(process, vpn, exiting)
        return len(mapped)

    def zap_pte(self, process, vpn, exiting):
        pte = self.tables[process.id].pop(vpn)
        if pte.kind == "present":
            self._rss[process.id] -= 1
            if self.frames[pte.payload].shmem:
                self.zap_shared(pte)
            else:
                self.zap_present(pte.payload)
        elif pte.kind != "zero":
            self._swapents[process.id] -= 1
            self.zap_entry(pte, vpn, exiting)

    def zap_huge(self, process, pmd):
        if pmd.kind == "present":
            self._rss[process.id] -= BLOCK
            self.folios[pmd.payload // BLOCK].mapcount -= 1
            self.folio_unmapped(pmd.payload // BLOCK)

    def zap_present(self, pfn):
        frame = self.frames[pfn]
        frame.mapcount -= 1
        if frame.compound:
            self.page_unmapped(pfn)
            return
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
        self.evict_unmapped()
        for task in self.tasks:
            if task.process is process:
                self.leave_group(task)
        self.pmds[process.id] = {}
        if process.delta:
            self.holes.append((process.first_vpn + process.delta, process.span))
        if not self.relatives(process.family):
            self.holes.append((process.first_vpn, process.span))
            if process.family in self.caches:
                self.holes.append((self.caches.pop(process.family), process.span))
        if folding:
            self.fold()

    def fork(self, process, name="child"):
        delta = self.reserve(process.span) - process.first_vpn
        same = process.first_vpn, process.span, delta, process.next_vpn
        child = Process(len(self.processes), name, process.family, *same)
        child.vmas = [vma.copy(vma.start, vma.end) for vma in process.vmas]
        self.enter(child)
        for vpn, pte in self.tables[process.id].items():
            if self.vma_of(process, vpn).shmem:
                continue
            copy = Pte(**vars(pte))
            copy.owes = 0
            if pte.kind == "present":
                pte.write = copy.write = copy.young = False
                pte.exclusive = copy.exclusive = False
                self.frames[pte.payload].mapcount += 1
                self._rss[child.id] += 1
            elif pte.kind != "zero":
                ids = self.slots if pte.kind == "swap" else self.entries
                ids.count[pte.payload] += 1
                self._swapents[child.id] += 1
            self.tables[child.id][vpn] = copy
        for block, pmd in self.pmds[process.id].items():
            if any(
                v.shmem
                for v in process.vmas
                if v.start // BLOCK <= block < v.end / BLOCK
            ):
                continue
            copy = Pmd(**vars(pmd))
            copy.owes = False
            if pmd.kind == "present":
                pmd.write = copy.write = copy.young = False
                pmd.exclusive = copy.exclusive = False
                self.folios[pmd.payload // BLOCK].mapcount += 1
                self._rss[child.id] += BLOCK
            self.pmds[child.id][block] = copy
        self.flush_tlbs(process)
        self.fold()
        return child

    def mprotect(self, task, region, prot, first=0, pages=None):
        start, pages = self.range(region, first, pages)
        bits = prot != "none", prot == "rw"

        def has_it(vma):
            return (vma.read, vma.write) == bits

        parts = self.isolate(task, region.process, start, pages, has_it)
        parts = [vma for vma in parts if not has_it(vma)]
        for vma in parts:
            vma.read, vma.write = bits
        changed = 0
        for _, _, pte in self.walk(region.process, parts):
            if pte.kind in ("present", "zero"):
                before = dict(vars(pte))
                self.protect(pte, prot)
                changed += vars(pte) != before
        merge(region.process)
        self.flush_tlbs(region.process)
        cost = changed * self.costs.mark_pte_ns + self.flush(region.process)
        self.syscall(task, cost)

    def protect(self, pte, prot):
        pte.protnone = prot == "none"
        if prot == "r":
            pte.exclusive |= pte.write
            pte.write = False
        if prot == "rw" and pte.kind == "present":
            frame = self.frames.get(pte.payload)
            alone = self.page_mapcount(pte.payload) == 1
            if isinstance(pte, Pmd):
                alone = alone and frame is None
            elif frame.compound:
                alone = pte.exclusive
            else:
                alone = frame.shmem or (alone and not frame.cache)
            if alone:
                pte.write, pte.exclusive = True, False

    def set_mempolicy(self, task, policy):
        task.policy = checked(policy, self.count)
        self.clocks[task.id].il_prev, self.clocks[task.id].il_left = self.count - 1, 0

    def advise(self, task, region, advice, first=0, pages=None):
        start, pages = self.range(region, first, pages)
        wanted = Advice[advice.upper()]

        def has_it(vma):
            return vma.advice == wanted

        for vma in self.isolate(task, region.process, start, pages, has_it):
            vma.advice = wanted
        merge(region.process)
        self.syscall(task, 0)

    def present(self, region, parts):
        """Yield (VMA, page, entry) of the present entries of VMAs."""
        for vma, vpn, entry in self.walk(region.process, parts):
            if entry.kind == "present":
                yield vma, vpn, entry

    def refuse(self, reason, pages=1):
        self.refused[reason] += pages
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
        parts = self.isolate(task, region.process, start, pages)
        for vma in parts:
            vma.mof = True
            if policy is not None:
                vma.policy = checked(policy, self.count)
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
        merge(region.process)
        self.flush_tlbs(region.process)
        flush = self.flush(region.process)
        if mechanism == Mechanism.HINTING:
            cost = entries * self.costs.mark_pte_ns + -(-entries // BLOCK) * flush
        else:
            cost = marked * (self.costs.park_page_ns + flush)
        self.syscall(task, cost)
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
        return 0 if huge else self.park(pfn, cache)

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
        process, moving = region.process, move or move_all
        strict = strict and policy.mode != Mode.DEFAULT
        start, pages = self.range(region, first, pages)
        if strict and not moving:
            parts = isolate(process, start, pages)
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
            merge(process)
            if found:
                self.syscall(task, 0)
                return 5

        def has_it(vma):
            return vma.policy == policy

        self.set_shared_policy(process, start, start + pages, policy)
        parts = self.isolate(task, process, start, pages, has_it)
        for vma in parts:
            vma.policy = policy
        moved = left = 0
        if moving:
            moved, left = self.move_range(task, region, parts, move_all, strict)
        merge(process)
        if moved:
            self.flush_tlbs(process)
        self.syscall(task, 0, moved * self.flush(process))
        return 5 if strict and left else 0

    def wrong(self, vma, pfn):
        """Tell whether a page is off its VMA's nodes; default and local have none."""
        bare = vma.policy.mode in (Mode.DEFAULT, Mode.LOCAL)
        return bare or self.node_of(pfn) not in vma.policy.nodes

    def move_range(self, task, region, parts, move_all, strict):
        """Move what is on wrong nodes for mbind; return (moves, whether some is left).

        A folio that PTEs map is queued at its first page, and is missed at the others.
        """
        moves, queued, stuck = 0, (None, None, None), None
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
            done = self.move_by_policy(task, vma, vpn, entry, move_all)
            if done is False:
                return moves, True
            moves += done is True
            if part and done != "shared":
                queued = block, vpn, None if done else b
        return moves, stuck is not None

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

    def move_by_policy(self, task, vma, vpn, entry, move_all):
        """Tell whether a page or a huge page moved; None: it was split, go on.

        "shared": it was not tried.
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

            return self.move_folio(task, pfn // BLOCK, allocate)
        try:
            place = self.place(task, vma, vpn, True)
            new = self.allocate(task, *place, wake=False)
        except NoMemory:
            return self.fail(pfn)
        self.migrate(task, pfn, new)
        if self.node_of(new) != self.node_of(pfn):
            self.moved_page(task, new, self.node_of(pfn))
        return True

    def move_to_node(self, task, entry, node, move_all):
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

            return node if self.move_folio(task, pfn // BLOCK, allocate) else None
        try:
            new = self.allocate_on(node, self.nodes[node].low, self.cpu(task))
        except NoMemory:
            self.fail(pfn)
            return -12
        self.migrate(task, pfn, new)
        self.moved_page(task, new, self.node_of(pfn))
        return node

    def move_pages(self, task, region, node, move_all=False, first=0, pages=None):
        start, pages = self.range(region, first, pages)
        status, moved = [], 0
        while len(status) < pages:
            vpn, got = start + len(status), -2
            pte = self.entry(task.process, vpn)
            if pte is not None and pte.kind == "zero":
                got = -14
            elif pte is not None and pte.kind == "present":
                before = self.node_of(pte.payload)
                got = self.move_to_node(task, pte, node, move_all)
                moved += got == node != before
            if got is not None:
                alike = BLOCK - vpn % BLOCK if isinstance(pte, Pmd) else 1
                status += [got] * min(alike, start + pages - vpn)
        if moved:
            self.flush_tlbs(region.process)
        self.syscall(task, 0, moved * self.flush(region.process))
        return status

    def migrate_pages(self, task, from_nodes, to_nodes, move_all=False):
        """Move from one node to one other; return the pages left."""
        (source,), (target,), process = from_nodes, to_nodes, task.process
        moved = left = 0
        region = Region(process, 0, 0)
        for _, _, entry in self.present(region, process.vmas):
            if source != target and self.node_of(entry.payload) == source:
                got = self.move_to_node(task, entry, target, move_all)
                moved += got == target
                if got not in (target, None):
                    left += BLOCK if isinstance(entry, Pmd) else 1
        if moved:
            self.flush_tlbs(process)
        self.syscall(task, 0, moved * self.flush(process))
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

    # --- khugepaged, §10.7 -----------------------------------

    def start_khugepaged(self):
        knobs = self.settings.khugepaged
        self.next_wake_up = knobs.scan_sleep_millisecs * 10**6
        self.scanned_process, self.scan_address = None, 0
        self.last_target, self.draws = -1, 0
        self.full_scans = self.pages_collapsed = 0
        self.results = [0] * len(ScanResult)

    def idle(self, ns):
        self.now += ns
        self.run_khugepaged()

    def run_khugepaged(self):
        """Run the wake-ups that are due."""
        knobs = self.settings.khugepaged
        if self.settings.thp.enabled == "never":
            return
        while self.now >= self.next_wake_up:
            sleep, before = knobs.scan_sleep_millisecs, self.pages_collapsed
            if self.wake_up() == ScanResult.ALLOC_HUGE_PAGE_FAIL:
                sleep = knobs.alloc_sleep_millisecs
            work = (self.pages_collapsed - before) * self.costs.collapse_ns
            self.next_wake_up += work + sleep * 10**6

    def wake_up(self):
        """Do one wake-up's scan (khugepaged_do_scan); return the last result."""
        progress = heads = 0
        result = None
        while progress < self.settings.khugepaged.pages_to_scan:
            heads += self.scanned_process is None
            if heads == 2 or not any(p.alive for p in self.processes):
                break
            pages = self.settings.khugepaged.pages_to_scan - progress
            done, result = self.scan_mm_slot(pages)
            progress += done
            if result == ScanResult.ALLOC_HUGE_PAGE_FAIL:
                break
        return result

    def scan_mm_slot(self, pages):
        """Scan a part of one process; return (progress, last result)."""
        if self.scanned_process is None:
            self.scanned_process = next(p for p in self.processes if p.alive)
            self.scan_address = 0
        process, progress = self.scanned_process, 1
        for vma in process.vmas:
            if vma.end <= self.scan_address:
                continue
            first = max(-(-vma.start // BLOCK) * BLOCK, self.scan_address)
            last = vma.end // BLOCK * BLOCK
            if not self.eligible(vma) or first >= last:
                progress += 1
                self.results[ScanResult.VMA_CHECK] += 1
                continue
            self.scan_address = first
            while self.scan_address < last:
                result, tried = self.scan_block(process, self.scan_address // BLOCK)
                self.scan_address += BLOCK
                progress += BLOCK
                if tried or progress >= pages:
                    return progress, result
        self.next_process(process)
        return progress, None

    def next_process(self, process):
        later = [p for p in self.processes if p.alive and p.id > process.id]
        self.scanned_process, self.scan_address = (later or [None])[0], 0
        self.full_scans += not later

    def scan_block(self, process, block):
        """Scan a block and collapse it; return (result, whether that was tried)."""
        result, load, first = self.scan(process, block, True)
        tried = result == ScanResult.SUCCEED
        if tried and not self.collapse_block(process, block, load, first, None):
            result = ScanResult.ALLOC_HUGE_PAGE_FAIL
        self.results[result] += 1
        self.pages_collapsed += result == ScanResult.SUCCEED
        return result, tried

    def scan(self, process, block, limited):
        """Return (result, pages on each node, node of the first page) of a block."""
        load, found = [0] * self.count, []
        pmd = self.pmds[process.id].get(block)
        if pmd is None:
            return ScanResult.PMD_NONE, load, -1
        if pmd.kind != "table":
            return ScanResult.PMD_MAPPED, load, -1
        knobs = self.settings.khugepaged
        most = [knobs.max_ptes_none, knobs.max_ptes_swap, knobs.max_ptes_shared]
        if not limited:
            most = [BLOCK] * 3
        none = swap = shared = young = 0
        writable = False
        for vpn in range(block * BLOCK, (block + 1) * BLOCK):
            pte = self.tables[process.id].get(vpn)
            if pte is None or pte.kind == "zero":
                none += 1
                if none > most[0]:
                    self.add(pmd.nid, Vm.THP_SCAN_EXCEED_NONE_PTE)
                    return ScanResult.EXCEED_NONE_PTE, load, -1
                continue
            if pte.kind == "swap":
                swap += 1
                if swap > most[1]:
                    self.add(pmd.nid, Vm.THP_SCAN_EXCEED_SWAP_PTE)
                    return ScanResult.EXCEED_SWAP_PTE, load, -1
                continue
            if pte.kind == "parked":
                return ScanResult.PTE_NON_PRESENT, load, -1
            writable |= pte.write and not pte.protnone
            if self.page_mapcount(pte.payload) > 1:
                shared += 1
                if shared > most[2]:
                    self.add(pmd.nid, Vm.THP_SCAN_EXCEED_SHARE_PTE)
                    return ScanResult.EXCEED_SHARED_PTE, load, -1
            node = self.node_of(pte.payload)
            if self.too_far(node, found):
                return ScanResult.SCAN_ABORT, load, -1
            found.append(node)
            load[node] += 1
            young += pte.young
        if not writable:
            return ScanResult.PAGE_RO, load, -1
        if limited and (young == 0 or swap and young < BLOCK // 2):
            return ScanResult.LACK_REFERENCED_PAGE, load, -1
        return ScanResult.SUCCEED, load, found[0]

    def too_far(self, node, seen):
        """Tell whether zone_reclaim_mode forbids to mix a node with those seen."""
        if not self.settings.khugepaged.node_reclaim or node in seen:
            return False
        return any(self.machine.distance[node][other] > 30 for other in seen)

    def targets(self, load, first):
        """Return the nodes to try for a collapse, in order."""
        rule, most = self.settings.khugepaged.target, max(load)
        equal = [n for n in range(self.count) if load[n] == most]
        if rule == "first_page":
            return [first]
        if rule == "majority_mask":
            return [n for n in self.zonelist[equal[0]] if n in equal]
        if rule == "majority_round_robin":
            after = [n for n in equal if n > self.last_target]
            self.last_target = (after or equal)[0]
            return [self.last_target]
        online = [n for n in range(self.count) if self.nodes[n].online]
        r = draw(self.seed, (1 << 63) + 1, self.draws)
        self.draws += 1
        return [online[int(unit(r) * len(online))]]

    def find_room(self, nodes, task):
        """Return the first node with a block: above low, min, or after compaction."""
        for mark in ("low", "min"):
            found = self.with_room(nodes, mark)
            if found is not None:
                return found
        for n in nodes:
            if self.settings.khugepaged.defrag and self.nodes[n].online:
                self.compact(n, task)
                if self.with_room([n], "min") is not None:
                    return n
        return None

    def collapse_block(self, process, block, load, first, task):
        """Make a huge page of a block; tell whether there was memory for it."""
        targets = self.targets(load, first)
        n = self.find_room(targets, task)
        if n is None:
            self.add(targets[0], Vm.THP_COLLAPSE_ALLOC_FAILED)
            return False
        c = n if task is None else self.cpu(task)
        b = self.allocate_huge_on(n, self.nodes[n].min, c)
        self.add(n, Vm.THP_COLLAPSE_ALLOC)
        for vpn in range(block * BLOCK, (block + 1) * BLOCK):
            pte = self.tables[process.id].get(vpn)
            if pte is None:
                continue
            if pte.kind == "swap" and pte.payload not in self.slots.frame:
                self.add(n, Vm.PSWPIN)
                self.add(n, Vm.PGMAJFAULT)
            self.zap_pte(process, vpn, False)
        self.map_huge(process, block, b, self.pmds[process.id][block].nid)
        self.flush_tlbs(process)
        return True

    def collapse(self, task, region, first=0, pages=None):
        """MADV_COLLAPSE: return 0 or the errno of the first VMA that failed."""
        start, pages = self.range(region, first, pages)
        error = 0
        for vma in region.process.vmas:
            one, end = max(vma.start, start), min(vma.end, start + pages)
            if one < end and not error:
                error = self.collapse_part(task, region.process, vma, one, end)
        self.syscall(task, 0)
        return error

    def collapse_part(self, task, process, vma, start, end):
        """Collapse the blocks of a part of a VMA; return 0 or an errno."""
        whole = -(-vma.start // BLOCK) < vma.end // BLOCK
        first, last = -(-start // BLOCK), end // BLOCK
        if vma.advice == Advice.NOHUGEPAGE or not whole or first > last:
            return 22
        if not self.has_pages(process, vma):
            return 22
        error = 0
        for block in range(first, last):
            result, load, node = self.scan(process, block, False)
            if result == ScanResult.SUCCEED:
                if not self.collapse_block(process, block, load, node, task):
                    return 12
                self.charge(task, Cause.SYSCALL, self.costs.collapse_ns)
            elif result in GOES_ON:
                error = 22
            elif result != ScanResult.PMD_MAPPED:
                return 22
        return error

    def has_pages(self, process, vma):
        """Tell whether a VMA maps anything but small zero pages."""
        table, pmds = self.tables[process.id], self.pmds[process.id]
        kinds = [table[vpn].kind for vpn in range(vma.start, vma.end) if vpn in table]
        blocks = range(vma.start // BLOCK, -(-vma.end // BLOCK))
        kinds += [pmds[b].kind + " pmd" for b in blocks if b in pmds]
        return bool({"present", "swap", "parked", "present pmd", "zero pmd"} & {*kinds})

    def scan_results(self):
        return list(self.results)

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

    def huge_pages(self, process):
        pmds = self.pmds[process.id].values()
        return BLOCK * sum(pmd.kind == "present" for pmd in pmds)

    def free(self, n):
        return self.nodes[n].free

    slots_in_use = property(lambda self: self.slots.used)
    entries_in_use = property(lambda self: self.entries.used)
    slots_peak = property(lambda self: self.slots.peak)
    entries_peak = property(lambda self: self.entries.peak)

    def page(self, process, vpn):
        pte = self.entry(process, vpn)
        if pte is None:
            return Page("none")
        bits = {"write": pte.write, "young": pte.young}
        bits |= {"dirty": pte.dirty, "protnone": pte.protnone}
        bits["pmd"] = isinstance(pte, Pmd)
        if pte.kind == "zero":
            return Page("zero", **bits)
        if pte.kind == "present":
            pfn = pte.payload + (vpn % BLOCK if bits["pmd"] else 0)
            return Page("present", **bits, **self.frame_state(pfn))
        ids = self.slots if pte.kind == "swap" else self.entries
        pfn = ids.frame.get(pte.payload)
        if pfn is not None:
            return Page(pte.kind, **self.frame_state(pfn))
        return Page(pte.kind, entry=pte.payload, count=ids.count[pte.payload])

    def frame_state(self, pfn):
        frame = self.frames.get(pfn)
        found = {"node": self.node_of(pfn), "frame": pfn}
        found["mapcount"] = self.page_mapcount(pfn)
        found["huge"] = pfn // BLOCK in self.folios
        if frame and frame.cache:
            found |= {"entry": frame.entry, "cache": frame.cache}
            found["count"] = self.cache(frame.cache).count[frame.entry]
        return found

    def check(self):
        """Assert that counts and mappings agree."""
        for n, node in enumerate(self.nodes):
            here = [pfn for pfn in self.frames if self.node_of(pfn) == n]
            used = sum(not self.frames[pfn].compound for pfn in here)
            used += sum(BLOCK for b in self.folios if self.node_of(b * BLOCK) == n)
            assert node.free + used == node.span, f"node {n}"
        held, mapped, leaves = {"swap": {}, "parked": {}}, {}, {}
        for process in self.processes:
            self.check_process(process)
            for pte in self.tables[process.id].values():
                if pte.kind == "present":
                    mapped[pte.payload] = mapped.get(pte.payload, 0) + 1
                elif pte.kind != "zero":
                    counts = held[pte.kind]
                    counts[pte.payload] = counts.get(pte.payload, 0) + 1
            for pmd in self.pmds[process.id].values():
                if pmd.kind == "present":
                    b = pmd.payload // BLOCK
                    leaves[b] = leaves.get(b, 0) + 1
        for pfn, frame in self.frames.items():
            assert frame.mapcount == mapped.get(pfn, 0), f"frame {pfn}"
            if frame.compound:
                assert self.folios[pfn // BLOCK].compound, f"frame {pfn}"
            else:
                assert pfn // BLOCK not in self.folios, f"frame {pfn}"
                held_by = frame.mapcount or frame.cache or frame.shmem
                assert held_by, f"frame {pfn} leaked"
        for b, folio in self.folios.items():
            assert folio.mapcount == leaves.get(b, 0), f"folio {b}"
            frames = [self.frames[pfn] for pfn in self.frames_of(b)]
            assert len(frames) == BLOCK * folio.compound, f"folio {b}"
            assert folio.ptes == sum(frame.mapcount > 0 for frame in frames)
            assert folio.mapcount or folio.ptes, f"folio {b} leaked"
            assert not folio.remapped or (folio.compound and folio.mapcount)
        self.check_page_cache()
        for kind, slot in self.page_cache.values():
            if kind == "swap":
                held[kind][slot] = held[kind].get(slot, 0) + 1
        for ids, kind in ((self.slots, "swap"), (self.entries, "parked")):
            for one, count in ids.count.items():
                assert count == held[kind].get(one, 0), f"{kind} {one}"

    def check_process(self, process):
        table, pmds = self.tables[process.id], self.pmds[process.id]
        kinds = [pte.kind for pte in table.values()]
        huge = sum(pmd.kind == "present" for pmd in pmds.values())
        assert self._rss[process.id] == kinds.count("present") + BLOCK * huge
        parked = kinds.count("swap") + kinds.count("parked")
        assert self._swapents[process.id] == parked
        assert all(pmds[vpn // BLOCK].kind == "table" for vpn in table)
        for block in pmds:
            first, end = block * BLOCK, (block + 1) * BLOCK
            mine = [v for v in process.vmas if v.start < end and first < v.end]
            assert mine, f"table of block {block} without a VMA"
            if pmds[block].kind != "table":
                assert mine[0].start <= first and end <= mine[0].end, f"block {block}"

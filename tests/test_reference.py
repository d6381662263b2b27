"""The engine against the slow model: random operations, everything equal after each."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import BLOCK, Pmd, Reference
from reference_balancing import TOPOLOGIES

from lazynuma.engine import (
    Balancing,
    Gups,
    HotCold,
    Khugepaged,
    Mechanism,
    Mode,
    NextTouch,
    Policy,
    Settings,
    Simulation,
    Stencil,
    Stream,
    Sweep,
    Thp,
    Tlb,
    Uniform,
    Zipf,
    uniform,
)
from lazynuma.engine.machine.machine import from_slit
from lazynuma.engine.quantum import loop
from lazynuma.engine.settings.thp import DEFRAG, TARGETS
from lazynuma.kernels.counters import Refusal, ScanResult, ScanSkip, Vm
from lazynuma.kernels.quantum.barrier import serve_set_aside
from lazynuma.kernels.words import (
    FOLIO_DEFERRED,
    FOLIO_REMAPPED,
    FRAME_ACTIVE,
    FRAME_COMPOUND,
    FRAME_FROM,
    FRAME_FROM_SHIFT,
    FRAME_IN_USE,
    FRAME_MAPCOUNT,
    FRAME_MAPCOUNT_SHIFT,
    FRAME_REFERENCED,
    FRAME_VPN,
    NONE,
    PMD_EXCLUSIVE,
    PMD_NID_SHIFT,
    PMD_OWES,
    PMD_TABLE,
    PTE_DIRTY,
    PTE_EXCLUSIVE,
    PTE_OWES_ONE,
    PTE_PARKED,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
)

MIB = 1 << 20
KINDS = (Sweep, Uniform, Gups, Zipf, NextTouch, HotCold, Stream, Stencil)


class Pair:
    """The engine and the reference, driven alike."""

    def __init__(self, machine, options, seed):
        self.sims = self.simulations(machine, options, seed)
        self.processes, self.tasks, self.regions = [], [], []
        self.balances = options.balancing.mode != "off"
        self.shares = False

    @staticmethod
    def simulations(machine, options, seed):
        """Return the two that must agree."""
        return [
            Simulation(machine, options, seed=seed, batch=77),
            Reference(machine, options, seed=seed),
        ]

    def call(self, name, *args, **options):
        """Do an operation on both; return both results."""
        return [
            getattr(sim, name)(
                *(pick(value, i) for value in args),
                **{key: pick(value, i) for key, value in options.items()},
            )
            for i, sim in enumerate(self.sims)
        ]

    def alive(self):
        """Return the pairs of processes that live."""
        return [pair for pair in self.processes if pair[0].alive]

    def compare(self):
        """Demand that everything to be seen is equal."""
        engine, slow = self.sims
        for fast, model in self.processes:
            assert fast.alive == model.alive, fast.name
            assert engine.rss(fast) == slow.rss(model), fast.name
            assert engine.swapents(fast) == slow.swapents(model), fast.name
            assert list(engine.times(fast)) == list(slow.times(model)), fast.name
            assert engine.huge_pages(fast) == slow.huge_pages(model), fast.name
            self.compare_pages(fast, model)
        for fast, model in self.tasks:
            assert engine.clock(fast) == slow.clock(model), fast.id
        for node in range(len(engine.machine.memory)):
            assert engine.free(node) == slow.free(node), node
        counted = zip(_names(), engine.counters().T, slow.counters().T, strict=True)
        for name, got, want in counted:
            assert got.tolist() == want.tolist(), name
        assert engine.refusals().tolist() == slow.refusals().tolist()
        assert list(engine.scan_results()) == list(slow.scan_results())
        if self.balances:
            self.compare_balancing()
        for name in SINGLES:
            assert getattr(engine, name) == getattr(slow, name), name

    def compare_balancing(self):
        """Demand that what balancing knows is equal."""
        engine, slow = self.sims
        for fast, model in self.tasks:
            assert fast.cpu == model.cpu, fast.id
            if model.process.alive:
                alike(engine.numa(fast), slow.numa(model), f"task {fast.id}")
        alive = [model for _, model in self.tasks if model.process.alive]
        for number in {slow.numa(task).group for task in alive} - {NONE}:
            got, want = engine.numa_group(number), slow.numa_group(number)
            alike(got, want, f"group {number}")
        for fast, model in self.processes:
            if model.alive:
                assert engine.scan_state(fast) == slow.scan_state(model), fast.name
        assert engine.scan_skips().tolist() == slow.scan_skips().tolist()
        for node in range(len(engine.machine.memory)):
            assert engine.tier_state(node) == slow.tier_state(node), node

    def compare_pages(self, fast, model):
        """Demand that all pages of a process are equal, word for word."""
        engine, slow = self.sims
        memory = engine.memory
        for vma in model.vmas:
            for kind, got, want in words(memory, slow, model, vma):
                assert (got == want).all(), self.first(kind, fast, vma, got, want)
            for vpn in sample(vma):
                assert engine.page(fast, vpn) == slow.page(model, vpn), vpn
                if self.balances:
                    assert engine.cpupid(fast, vpn) == slow.cpupid(model, vpn), vpn

    @staticmethod
    def first(kind, process, vma, got, want):
        """Tell of the first word that differs."""
        i = int(np.flatnonzero(got != want)[0])
        return (
            f"{kind} {i} of {process.name} from page {vma.start}:"
            f" {int(got[i]):x}, must be {int(want[i]):x}"
        )

    def check(self):
        """Let both prove their invariants."""
        for sim in self.sims:
            sim.check()


def alike(got, want, what):
    """Demand that two tuples of numbers and a table are equal."""
    assert got[:-1] == want[:-1], (what, got[:-1], want[:-1])
    assert (got.faults == want.faults).all(), (what, got.faults, want.faults)


def sample(vma):
    """Return some pages of a VMA: its ends, and one of each block."""
    return sorted({vma.start, vma.end - 1, *range(vma.start + 7, vma.end, BLOCK)})


ENTRY_KINDS = {
    "present": PTE_PRESENT,
    "zero": PTE_ZERO,
    "swap": PTE_SWAP,
    "parked": PTE_PARKED,
    "table": PMD_TABLE,
}
#: What a frame's word holds that both sides keep alike.
FRAME_BITS = FRAME_VPN | FRAME_MAPCOUNT | FRAME_IN_USE | FRAME_COMPOUND
FRAME_BITS |= FRAME_ACTIVE | FRAME_REFERENCED | FRAME_FROM


def pte_word(pte):
    """Return the word of one of the reference's PTEs."""
    word = ENTRY_KINDS[pte.kind] | max(0, pte.payload)
    word |= pte.write * PTE_WRITE | pte.young * PTE_YOUNG
    word |= pte.dirty * PTE_DIRTY | pte.protnone * PTE_PROTNONE
    owes, exclusive = PTE_OWES_ONE, PTE_EXCLUSIVE
    if isinstance(pte, Pmd):
        owes, exclusive = PMD_OWES, PMD_EXCLUSIVE
    return word | pte.owes * owes | pte.exclusive * exclusive


def pmd_word(pmd):
    """Return the word of one of the reference's PMD entries, which may be None."""
    return pte_word(pmd) | pmd.nid << PMD_NID_SHIFT if pmd else 0


def frame_word(frame):
    """Return the word of one of the reference's frames or folios."""
    word = frame.vpn | frame.mapcount << FRAME_MAPCOUNT_SHIFT | FRAME_IN_USE
    word |= frame.active * FRAME_ACTIVE | frame.referenced * FRAME_REFERENCED
    word |= frame.moved_from << FRAME_FROM_SHIFT
    return word | frame.compound * FRAME_COMPOUND


def folio_word(folio):
    """Return the word of one of the reference's folios."""
    word = frame_word(folio) | folio.remapped * FOLIO_REMAPPED
    return word | folio.deferred * FOLIO_DEFERRED


def words(memory, slow, model, vma):
    """Yield (kind, words of the engine, words of the reference) of a VMA."""
    start, end, delta = vma.start, vma.end, model.delta
    table, pmds = slow.tables[model.id], slow.pmds[model.id]
    found = [table.get(vpn) for vpn in range(start, end)]
    want = np.array([pte_word(pte) if pte else 0 for pte in found])
    yield "PTE", memory.pte[start + delta : end + delta], want
    mapped = [pte.payload for pte in found if pte and pte.kind == "present"]
    want = np.array([frame_word(slow.frames[pfn]) for pfn in mapped], np.int64)
    yield "frame", memory.frame[mapped] & FRAME_BITS, want
    blocks = range(start // BLOCK, -(-end // BLOCK))
    found = [pmds.get(block) for block in blocks]
    first = blocks.start + delta // BLOCK
    want = np.array([pmd_word(pmd) for pmd in found])
    yield "PMD", memory.pmd[first : first + len(blocks)], want
    mapped = [pmd.payload // BLOCK for pmd in found if pmd and pmd.kind == "present"]
    want = np.array([folio_word(slow.folios[b]) for b in mapped], np.int64)
    yield "folio", memory.block_huge[mapped], want
    owing = [pmd for pmd in found if pmd and pmd.kind == "present" and pmd.owes]
    owing = [pmd.payload // BLOCK for pmd in owing]
    want = np.array([slow.folios[b].owes for b in owing], np.int64)
    yield "debt", memory.block_owes[owing], want


SINGLES = (
    *("slots_in_use", "slots_peak", "entries_in_use", "entries_peak"),
    *("now", "oom_kills", "full_scans", "pages_collapsed"),
)


class Engines(Pair):
    """Two engines that differ in nothing that may change a result."""

    @staticmethod
    def simulations(machine, options, seed):
        return [
            Simulation(machine, options, seed=seed),
            Simulation(machine, options, seed=seed, threads=2, batch=1),
        ]

    def compare_pages(self, fast, model):
        for vma in fast.vmas:
            start, end = vma.start + fast.delta, vma.end + fast.delta
            blocks = slice(start // BLOCK, -(-end // BLOCK))
            one, other = (sim.memory for sim in self.sims)
            assert (one.pte[start:end] == other.pte[start:end]).all(), vma
            assert (one.pmd[blocks] == other.pmd[blocks]).all(), vma


def pick(value, i):
    """Return the engine's or the reference's half of a pair."""
    return value[i] if isinstance(value, list) and len(value) == 2 else value


def start(pair, rng):
    process = pair.call("spawn", f"p{len(pair.processes)}", 96 * MIB)
    pair.processes.append(process)
    begin_task(pair, rng, process)
    grow(pair, rng, pair.tasks[-1])


def begin_task(pair, rng, process):
    pair.tasks.append(pair.call("start_task", process, any_cpu(pair, rng)))


def any_cpu(pair, rng):
    """Return the number of a random CPU."""
    return rng.randrange(len(pair.sims[1].machine.cpu_node))


def grow(pair, rng, task):
    """Map one more region; most of them may get huge pages if any may."""
    thp = pair.sims[1].settings.thp.enabled
    sizes = [3, 40, 300, 700, 1300]
    if thp != "never":
        sizes = [3, 40, 700, 1300, 1300, 2600, 2600]
    size = rng.choice(sizes) * 4096
    options = {"shared": True} if pair.shares and rng.random() < 0.7 else {}
    region = pair.call("mmap", [half.process for half in task], size, **options)
    pair.regions.append(region)
    if thp != "never" and rng.random() < 0.6:
        pair.call("advise", task, region, "hugepage")


def crumble(pair, rng, pages):
    """Let a process fill memory with small pages and free pieces of it all over.

    Return (task, region, pages of a piece, first pages of the pieces that are left).
    """
    process = pair.call("spawn", "crumbs", 96 * MIB)
    pair.processes.append(process)
    task = pair.call("start_task", process, 0)
    pair.tasks.append(task)
    region = pair.call("mmap", process, pages * 4096)
    pair.call("advise", task, region, "nohugepage")
    pair.call("populate", task, region)
    share, step = rng.choice([0.1, 0.3, 0.6]), rng.choice([37, 64, 200])
    left = []
    for first in range(0, pages - step, step):
        if rng.random() < share:
            pair.call("munmap", task, region, first=first, pages=step)
        else:
            left.append(first)
    return task, region, step, left


def live_tasks(pair):
    """Return the tasks that live, without those that only hold memory."""
    alive = [task for task in pair.tasks if task[0].process.alive]
    return [task for task in alive if task[0].process.name != "crumbs"]


def region_of(pair, rng, process, wanted):
    """Return a random region of a process's family, as seen by the process."""
    family = process[0].family
    mine = [r for r in pair.regions if r[0].process.family == family]
    mine = [r for r in mine if mapped(r[0].of(process[0]))]
    mine = [r for r in mine if wanted(r[0].of(process[0]))]
    if not mine:
        return None
    region = rng.choice(mine)
    return [half.of(owner) for half, owner in zip(region, process, strict=True)]


def mapped(region):
    end = region.first + region.pages
    inside = [min(v.end, end) - max(v.start, region.first) for v in region.process.vmas]
    return sum(max(0, pages) for pages in inside) == region.pages


def writable(region):
    end = region.first + region.pages
    return all(
        vma.read and vma.write
        for vma in region.process.vmas
        if vma.start < end and region.first < vma.end
    )


def is_shared(region):
    end = region.first + region.pages
    return any(
        vma.shmem is not None
        for vma in region.process.vmas
        if vma.start < end and region.first < vma.end
    )


def is_huge(pair, region):
    """Tell whether a huge page is mapped in an engine's region."""
    blocks = range(region.first, region.first + region.pages, BLOCK)
    pages = [pair.sims[0].page(region.process, vpn) for vpn in blocks]
    return any(page.pmd and page.kind == "present" for page in pages)


def part_of(rng, region):
    """Return a part of a region: any, some whole blocks or all of it."""
    pages = region[0].pages
    kind = rng.choice(["any", "blocks", "blocks", "all"])
    if kind == "all":
        return {}
    first = rng.randrange(pages)
    if kind == "any" or pages < BLOCK:
        return {"first": first, "pages": rng.randint(1, pages - first)}
    first = rng.randrange(pages // BLOCK)
    count = rng.randint(1, pages // BLOCK - first)
    return {"first": first * BLOCK, "pages": count * BLOCK}


def policy(rng, nodes, balanced=False):
    """Return a random policy; with balancing those that may be balanced often are."""
    mode = rng.choice(list(Mode))
    if mode in (Mode.DEFAULT, Mode.LOCAL):
        return Policy(mode)
    mask = tuple(sorted(rng.sample(range(nodes), rng.randint(1, nodes))))
    if mode == Mode.WEIGHTED_INTERLEAVE:
        return Policy(mode, mask, tuple(rng.randint(1, 4) for _ in mask))
    if balanced and mode in (Mode.BIND, Mode.PREFERRED_MANY):
        return Policy(mode, mask, numa_balancing=rng.random() < 0.7)
    return Policy(mode, mask)


def load_of(rng, region, task, balanced=False):
    """Return a random workload; with balancing one that takes its time."""
    kind = rng.choice(KINDS)
    most = rng.choice([400, 400, 400, 3000])
    options = {"count": rng.randint(1, most), "refs": rng.choice([1, 64])}
    if balanced:
        options = {"count": rng.randint(1, 500), "refs": rng.choice([64, 400, 2000])}
    if kind is Stream and region.pages < 3:
        kind = Sweep
    if kind is HotCold:
        options |= {"hot_pages": max(1, region.pages // 4), "period": 50, "step": 3}
    if kind is Stencil:
        options |= {"pages": max(1, region.pages - 2), "first": 1, "lower": 0}
        if region.pages < 3:
            kind, options = Sweep, {"count": 2}
    if kind in (Sweep, Uniform, Zipf, NextTouch, HotCold):
        options["write"] = rng.choice([0.0, 0.5, 1.0])
    return kind(task=task, region=region, **options)


def work(pair, rng):
    chosen, loads = live_tasks(pair), [[], []]
    balanced = pair.balances
    for task in rng.sample(
        chosen, min(len(chosen), rng.randint(1, 8 if balanced else 3))
    ):
        region = region_of(pair, rng, [half.process for half in task], writable)
        if region is None:
            continue
        seed = rng.random()
        for i in (0, 1):
            loads[i].append(load_of(random.Random(seed), region[i], task[i], balanced))
    for sim, mine in zip(pair.sims, loads, strict=True):
        sim.run(mine)


#: Operations, and how often a story has them that has them.
OPERATIONS = {
    **{"work": 11, "mark": 6, "mbind": 3, "move_pages": 3, "mprotect": 1, "munmap": 1},
    **{"set_mempolicy": 1, "move_task": 1, "populate": 2, "fork": 3, "exit": 1},
    **{"grow": 2, "start": 1, "synchronize": 1, "task": 1, "hot_remove": 1},
    **{"advise": 2, "collapse": 3, "idle": 4, "migrate_pages": 2},
}


def repertoire(rng):
    """Return the operations of a story: half of them, so that each gets its chance."""
    chosen = [name for name in OPERATIONS if name == "work" or rng.random() < 0.5]
    return [name for name in chosen for _ in range(OPERATIONS[name])]


def step(pair, rng, nodes, names):
    """Do one random operation."""
    if not live_tasks(pair):
        start(pair, rng)
        return
    task = rng.choice(live_tasks(pair))
    process = [half.process for half in task]
    region = None
    if rng.random() < 0.6:
        region = region_of(pair, rng, process, lambda one: is_huge(pair, one))
    region = region or region_of(pair, rng, process, lambda one: True)
    name = rng.choice(names)
    if name == "work":
        work(pair, rng)
    elif name == "move_task":
        pair.call("move_task", task, any_cpu(pair, rng))
    elif name == "fork" and len(pair.alive()) < 5:
        pair.processes.append(pair.call("fork", process, "child"))
        begin_task(pair, rng, pair.processes[-1])
    elif name == "exit":
        pair.call("exit", process)
    elif name == "grow":
        grow(pair, rng, task)
    elif name == "start" and len(pair.alive()) < 5:
        start(pair, rng)
    elif name == "task":
        begin_task(pair, rng, process)
    elif name == "synchronize":
        pair.call("synchronize")
    elif name == "idle":
        pair.call("idle", rng.choice([1, 1_000_000, 30_000_000]))
    elif name == "set_mempolicy":
        balanced = pair.balances
        pair.call("set_mempolicy", task, policy(rng, nodes, balanced))
    elif name == "migrate_pages":
        ends = [(rng.randrange(nodes),) for _ in range(2)]
        got = pair.call("migrate_pages", task, *ends)
        assert got[0] == got[1]
    elif name == "hot_remove" and rng.random() < 0.2:
        got = pair.call("hot_remove", rng.randrange(nodes))
        assert got[0] == got[1]
    elif region is not None:
        change(pair, rng, nodes, name, task, region)


def change(pair, rng, nodes, name, task, region):
    """Do an operation on a part of a region."""
    if name in ("mark", "collapse") and is_shared(region[0]):
        return
    part, balanced = part_of(rng, region), pair.balances
    flags = {"move_all": rng.random() < 0.5}
    if name == "mark":
        options = {
            "policy": policy(rng, nodes, balanced) if rng.random() < 0.4 else None
        }
        kind = rng.choice(list(Mechanism))
        got = pair.call("mark", task, region, kind, **options, **flags, **part)
        assert got[0] == got[1]
    elif name == "mbind":
        flags |= {"move": rng.random() < 0.6, "strict": rng.random() < 0.4}
        want = policy(rng, nodes, balanced)
        got = pair.call("mbind", task, region, want, **flags, **part)
        assert got[0] == got[1]
    elif name == "move_pages":
        node = rng.randrange(nodes)
        got = pair.call("move_pages", task, region, node, **flags, **part)
        assert list(got[0]) == list(got[1])
    elif name == "mprotect":
        prot = rng.choice(["none", "r", "rw", "rw", "rw"])
        pair.call("mprotect", task, region, prot, **part)
    elif name == "munmap":
        pair.call("munmap", task, region, **part)
    elif name == "advise":
        advice = rng.choice(["hugepage", "hugepage", "nohugepage", "none"])
        pair.call("advise", task, region, advice, **part)
    elif name == "collapse":
        got = pair.call("collapse", task, region, **part)
        assert got[0] == got[1]
    elif name == "populate" and writable(region[0]):
        got = pair.call("populate", task, region, **part)
        assert got[0] == got[1]


def huge_page_knobs(rng):
    """Return the settings of huge pages and TLBs of a story."""
    thp = Thp(
        enabled=rng.choice(["always", "madvise"]),
        defrag=rng.choice(DEFRAG),
        use_zero_page=rng.random() < 0.3,
        unit_migration=rng.random() < 0.7,
        unit_hinting=rng.random() < 0.7,
    )
    khugepaged = Khugepaged(
        pages_to_scan=rng.choice([3, 514, 1026, 4096]),
        scan_sleep_millisecs=rng.choice([1, 10]),
        alloc_sleep_millisecs=rng.choice([1, 20]),
        max_ptes_none=rng.choice([0, 100, 511]),
        max_ptes_swap=rng.choice([0, 64, 511]),
        max_ptes_shared=rng.choice([0, 256, 511]),
        defrag=rng.random() < 0.5,
        target=rng.choice(TARGETS),
        node_reclaim=rng.random() < 0.3,
    )
    sizes = {"entries_4k": rng.choice([4, 64]), "entries_2m": rng.choice([4, 64])}
    cache = rng.choice([1, 64])
    tlb = Tlb(enabled=rng.random() < 0.5, walk_cache_bytes=cache, **sizes)
    return {"thp": thp, "khugepaged": khugepaged, "tlb": tlb}


def world(rng, huge):
    """Return (machine, settings) of a story, with huge pages or without."""
    nodes, swap = rng.choice([1, 2, 3]), [0, 1, 4, 16]
    sizes = [4, 8, 16, 128] if huge else [2, 4, 8]
    if huge and rng.random() < 0.5:
        # Full of huge pages, with room to swap them out.
        nodes, sizes, swap = rng.choice([1, 2]), [8, 16], [6, 16, 40]
    distance = rng.choice([20, 40])
    machine = uniform(nodes, rng.choice(sizes) * MIB, 2, distance)
    options = Settings(
        shards=rng.choice([1, 3, 64]),
        sequential=rng.random() < 0.3,
        swap_bytes=rng.choice(swap) * MIB,
        quantum_ns=rng.choice([50_000, 1_000_000, 50_000_000]),
        quantum_accesses=rng.choice([100, 1 << 21]),
        wedge_ppm=rng.choice([0, 0, 300_000]),
        **(huge_page_knobs(rng) if huge else {}),
    )
    return machine, options


def slit(kind):
    """Return the distances of a topology: of a mesh, of a backplane."""
    if kind == "ring":
        return [
            [10 + 10 * min((a - b) % 4, (b - a) % 4) for b in range(4)]
            for a in range(4)
        ]
    size = 4 if kind == "boards" else 6
    return [
        [10 if a == b else 20 if a // 2 == b // 2 else 40 for b in range(size)]
        for a in range(size)
    ]


def balanced_machine(rng, huge):
    """Return a machine with something to balance: places, topologies or tiers."""
    cpus = rng.choice([1, 2, 2, 4])
    sizes = [4, 8, 16, 128] if huge else [2, 4, 8]
    kind = rng.choice(["uniform", "ring", "boards", "three boards", "tiers", "tiers"])
    if kind == "uniform":
        return uniform(rng.choice([2, 3]), rng.choice(sizes) * MIB, cpus)
    if kind != "tiers":
        distance = slit(kind)
        nodes = len(distance)
        memory = (rng.choice(sizes) * MIB,) * nodes
        counts = [rng.choice([cpus, cpus, cpus, 0]) for _ in range(nodes)]
        counts[rng.randrange(nodes)] = cpus
        return from_slit(kind, memory, counts, distance, (0,) * nodes)
    fast, slow = rng.choice([(1, 1), (2, 1), (1, 2), (2, 2)])
    nodes = fast + slow
    distance = [
        [10 if a == b else 20 + 5 * abs(a - b) for b in range(nodes)]
        for a in range(nodes)
    ]
    memory = [rng.choice(sizes) * MIB for _ in range(nodes)]
    if rng.random() < 0.2:
        memory[0] = 2048 * MIB
    machine = from_slit(
        kind, memory, (cpus,) * fast + (0,) * slow, distance, (0,) * nodes
    )
    if rng.random() < 0.3:
        machine = replace(machine, tier=tuple(range(nodes)))
    return machine


def balanced_world(rng, huge):
    """Return (machine, settings) of a story with NUMA balancing."""
    tick = rng.choice([1_000_000, 1_000_000, 300_000])
    period = rng.randint(1, 20)
    knobs = Balancing(
        mode=rng.choice(["normal", "tiering", "both", "both", "both", "off"]),
        scan_delay_ms=rng.choice([1, 1, 5, 50]),
        scan_period_min_ms=period,
        scan_period_max_ms=rng.choice([period, 40, 200]),
        scan_size_mb=rng.choice([1, 1, 2, 8]),
        hot_threshold_ms=rng.choice([2, 20, 100, 1000]),
        promote_rate_limit_mbps=rng.choice([1, 4, 1000]),
        migrate_rate_limit_mbps=rng.choice([0, 0, 1, 10]),
        filter=rng.choice(["none", "last_nid", "last_cpupid", "last_cpupid"]),
        local_last_cpupid=rng.random() < 0.3,
        vma_pids=rng.random() < 0.7,
        groups=rng.random() < 0.8,
        placement=rng.random() < 0.8,
        demotion=rng.random() < 0.6,
        tick_ns=tick,
    )
    options = Settings(
        shards=rng.choice([1, 3, 16]),
        sequential=rng.random() < 0.2,
        swap_bytes=rng.choice([0, 1, 8, 40]) * MIB,
        quantum_ns=rng.randint(1, 5) * 1_000_000,
        balancing=knobs,
        **(huge_page_knobs(rng) if huge else {}),
    )
    return balanced_machine(rng, huge), options


def balanced_story(seed, steps, huge=True, kind=Pair, shares=False):
    """The same with NUMA balancing: tasks that share memory and work for long."""
    rng = random.Random(seed)
    machine, options = balanced_world(rng, huge)
    pair = kind(machine, options, rng.randrange(1 << 62))
    pair.shares = shares
    start(pair, rng)
    for _ in range(rng.randint(0, 2 * len(pair.sims[1].machine.cpu_node))):
        begin_task(pair, rng, pair.processes[0])
    grow(pair, rng, pair.tasks[0])
    names = repertoire(rng) + ["work"] * 15 + ["mprotect"] * 3
    for _ in range(steps):
        step(pair, rng, len(machine.memory), names)
        pair.compare()
    pair.check()
    return pair


def story(seed, steps, huge=True, kind=Pair, shares=False):
    """Drive both with one random story and compare after every step."""
    rng = random.Random(seed)
    machine, options = world(rng, huge)
    pair = kind(machine, options, rng.randrange(1 << 62))
    pair.shares = shares
    nodes, pages = len(machine.memory), sum(machine.memory) >> 12
    if huge and pages <= 12288 and rng.random() < 0.6:
        crumble(pair, rng, rng.choice([pages // 2, pages * 3 // 4]))
    start(pair, rng)
    names = repertoire(rng)
    for _ in range(steps):
        step(pair, rng, nodes, names)
        pair.compare()
    pair.check()
    return pair


@pytest.mark.parametrize("huge", [False, True])
@given(st.integers(0, 1 << 32))
@settings(max_examples=100, derandomize=True)
def test_engine_and_reference_agree(huge, seed):
    story(seed, 14, huge)


@pytest.mark.parametrize("huge", [False, True])
@given(st.integers(0, 1 << 32))
@settings(max_examples=60, derandomize=True)
def test_they_agree_on_shared_mappings(huge, seed):
    story(seed, 20, huge, shares=True)


@given(st.integers(0, 1 << 32))
@settings(max_examples=20, derandomize=True)
def test_they_agree_on_shared_mappings_with_balancing(seed):
    balanced_story(seed, 14, shares=True)


@given(st.integers(0, 1 << 32))
@settings(max_examples=30, derandomize=True)
def test_shared_mappings_never_depend_on_batch_or_threads(seed):
    story(seed, 25, kind=Engines, shares=True)


@pytest.mark.parametrize("huge", [False, True])
@given(st.integers(0, 1 << 32))
@settings(max_examples=60, derandomize=True)
def test_they_agree_on_balancing(huge, seed):
    balanced_story(seed, 14, huge)


@pytest.mark.parametrize("sequential", [False, True])
def test_they_agree_under_pressure(sequential):
    """Twice the memory, some swap: reclaim, major faults and at last a kill."""
    machine = uniform(2, 2 * MIB, cpus_per_node=2)
    options = Settings(
        shards=4, sequential=sequential, swap_bytes=2 * MIB, quantum_ns=300_000
    )
    pair = Pair(machine, options, 1)
    for size in (5, 3):
        process = pair.call("spawn", "job", 32 * MIB)
        pair.processes.append(process)
        task = pair.call("start_task", process, 0)
        pair.tasks.append(task)
        region = pair.call("mmap", process, size * MIB)
        for count in (1000, 2000, 4000):
            for i, sim in enumerate(pair.sims):
                sim.run([Uniform(task=task[i], region=region[i], count=count)])
            pair.compare()
    engine = pair.sims[0]
    for name in ("pswpout", "pgmajfault", "pgactivate", "pgsteal_kswapd", "oom_kill"):
        assert engine.total(name) > 0, name
    pair.check()


@pytest.mark.parametrize("shards", [1, 3])
def test_they_agree_where_faults_come_of_a_sudden(shards, monkeypatch):
    """Hits for many quanta, then faults: the first allotment does not do."""
    options = Settings(shards=shards, quantum_ns=20_000_000)
    pair = Pair(uniform(2, 64 * MIB, cpus_per_node=2), options, 1)
    _, task, region = job(pair, 40)
    toil(pair, Sweep, task, region, count=3000, write=1.0)
    served = []
    monkeypatch.setattr(
        loop,
        "serve_set_aside",
        lambda *args: served.append(args) or serve_set_aside(*args),
    )
    toil(pair, Sweep, task, region, count=9000, write=1.0)
    assert served
    pair.check()


def test_they_agree_on_frames_freed_by_parts():
    """Migration off three parts of the blocks; then their frames are taken again."""
    options = Settings(shards=3, quantum_ns=20_000_000)
    pair = Pair(uniform(2, 512 * MIB, cpus_per_node=2), options, 1)
    process = pair.call("spawn", "job", 512 * MIB)
    pair.processes.append(process)
    task = pair.call("start_task", process, 0)
    pair.tasks.append(task)
    region = pair.call("mmap", process, 300 * MIB)
    pair.call("populate", task, region)
    pair.call("move_task", task, 3)
    pair.call("mark", task, region, Mechanism.HINTING)
    toil(pair, Uniform, task, region, count=6000)
    pair.call("move_task", task, 0)
    more = pair.call("mmap", process, 8 * MIB)
    toil(pair, Sweep, task, more, count=2000, write=1.0)
    demand(pair, "numa_pages_migrated")


def huge_pair(machine, sequential=False, **knobs):
    """Return a pair with huge pages wherever they fit, small TLBs and a busy daemon."""
    options = Settings(
        shards=2,
        sequential=sequential,
        swap_bytes=knobs.pop("swap", 12) * MIB,
        quantum_ns=2_000_000,
        thp=Thp(enabled="always", **knobs.pop("thp", {"defrag": "always"})),
        khugepaged=Khugepaged(scan_sleep_millisecs=1, alloc_sleep_millisecs=1),
        tlb=Tlb(enabled=True, entries_4k=16, entries_2m=4, walk_cache_bytes=1),
        **knobs,
    )
    return Pair(machine, options, 1)


def job(pair, size, cpu=0):
    """Start a process with a task and a region of ``size`` MiB."""
    process = pair.call("spawn", "job", 128 * MIB)
    pair.processes.append(process)
    task = pair.call("start_task", process, cpu)
    pair.tasks.append(task)
    return process, task, pair.call("mmap", process, size * MIB)


def toil(pair, kind, task, region, **options):
    """Let one task work, and compare."""
    for i, sim in enumerate(pair.sims):
        sim.run([kind(task=task[i], region=region[i], **options)])
    pair.compare()


def demand(pair, *names):
    """Demand that counters have counted, and that all is well."""
    missing = [name for name in names if not pair.sims[0].total(name)]
    assert not missing
    pair.check()


@pytest.mark.parametrize("sequential", [False, True])
def test_they_agree_on_huge_pages_under_pressure(sequential):
    """Small pages press huge ones out: idle, used, shared and half unmapped ones."""
    pair = huge_pair(uniform(2, 16 * MIB, cpus_per_node=2), sequential, swap=9)
    process, task, region = job(pair, 26)
    toil(pair, Sweep, task, region, count=13, stride=512, write=1.0)
    pair.processes.append(pair.call("fork", process, "child"))
    pair.call("munmap", task, region, first=5000, pages=1000)
    pair.compare()
    _, other, more = job(pair, 20, 3)
    pair.call("advise", other, more, "nohugepage")
    kept = [half._replace(pages=5000) for half in region]
    for start in (0, 900, 1800, 2700):
        new = [half._replace(first=half.first + start, pages=900) for half in more]
        toil(pair, Sweep, other, new, count=900, write=1.0)
        toil(pair, Uniform, task, kept, count=100, write=0.3)
        if start == 1800:
            pair.call("exit", pair.processes[1])
    pair.call("idle", 20_000_000)
    pair.compare()
    demand(pair, "thp_swpout", "thp_split_page", "pgrefill")
    demand(pair, "thp_deferred_split_page", "pswpin", "pgmajfault")


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("defrag", ["always", "defer"])
def test_they_agree_on_compaction(sequential, defrag):
    """Memory in crumbs: blocks must be emptied, until parked pages cannot move."""
    machine, thp = uniform(1, 32 * MIB, cpus_per_node=2), {"defrag": defrag}
    pair = huge_pair(machine, sequential, thp=thp)
    crumbs, held, pages, left = crumble(pair, random.Random(5), 8000)
    pair.compare()
    _, task, region = job(pair, 60)
    toil(pair, Sweep, task, region, count=3, stride=512, write=1.0)
    for first in left:
        pair.call("mark", crumbs, held, Mechanism.MIGCACHE, first=first, pages=pages)
    toil(pair, Sweep, task, region, count=30, stride=512, write=1.0)
    demand(pair, "compact_success", "thp_fault_fallback")
    if defrag == "always":
        demand(pair, "compact_fail")


@pytest.mark.parametrize("unit", [False, True])
def test_they_agree_on_moving_huge_pages(unit):
    """By every operation, to nodes that have whole blocks and to one that has not."""
    thp = {"unit_migration": unit, "use_zero_page": False}
    machine = uniform(3, 16 * MIB, cpus_per_node=2)
    pair = huge_pair(machine, swap=2, thp=thp)
    _, task, region = job(pair, 8)
    toil(pair, Sweep, task, region, count=4, stride=512, write=1.0)
    pair.call("move_pages", task, region, 1)
    pair.compare()
    there = Policy(Mode.BIND, (2,))
    pair.call("mbind", task, region, there, move=True, first=300, pages=900)
    pair.compare()
    spread = Policy(Mode.INTERLEAVE, (0, 1, 2))
    pair.call("mbind", task, region, spread, move=True, pages=1024)
    pair.compare()
    _, filler, full = job(pair, 15, 0)
    pair.call("populate", filler, full)
    pair.call("move_pages", task, region, 0)
    pair.compare()
    pair.call("mark", task, region, Mechanism.HINTING)
    pair.call("move_task", task, 4)
    toil(pair, Uniform, task, region, count=1500, write=0.5)
    demand(pair, "thp_migration_success" if unit else "thp_split_page")


def starved():
    """Let memory run out on both tiers; who dies makes room to demote to."""
    machine = from_slit(
        "tiers", (4 * MIB, 8 * MIB), (2, 0), [[10, 20], [20, 10]], (0, 0)
    )
    options = Settings(shards=1, balancing=Balancing(mode="both", demotion=True))
    pair = Pair(machine, options, 1)
    for node, size, cpu in ((1, 8, 0), (0, 6, 1)):
        _, task, region = job(pair, size, cpu)
        pair.call("set_mempolicy", task, Policy(Mode.BIND, (node,)))
        if node:
            pair.call("populate", task, region)
        else:
            toil(pair, Sweep, task, region, count=1200, write=1.0)
    pair.compare()
    return pair


def test_they_agree_on_direct_demotion():
    """Direct reclaim demotes once a process was killed on the slow node."""
    demand(starved(), "oom_kill", "pgdemote_direct")


def test_they_agree_on_many_huge_pages():
    """A shard gets more whole blocks when it has used up those it was lent."""
    pair = huge_pair(uniform(1, 2048 * MIB, cpus_per_node=1), quantum_accesses=40)
    _, task, region = job(pair, 112)
    toil(pair, Sweep, task, region, count=200, stride=512, write=1.0)
    demand(pair, "thp_fault_alloc")


#: Stories in which what is rare happens; look for others where the model changes.
RICH = (247, 275, 348, 369)
BALANCED = (15, 74, 77)
#: khugepaged takes what is free and reclaims nothing; stories give no advice to free.
UNREACHABLE = {"PGDEMOTE_KHUGEPAGED", "PGLAZYFREE", "PGLAZYFREED"}


def test_a_folio_that_moves_within_its_node_owes_what_it_owed():
    """mbind with the local policy moves what is local, too; this story found it."""
    story(300006, 40)


def test_the_stories_reach_every_counter():
    """What random stories never do would not be tested by them."""
    pairs = [story(seed, 40) for seed in (*range(20), *RICH)]
    pairs += [balanced_story(seed, 25, seed % 2 == 1) for seed in BALANCED]
    pairs.append(starved())
    for names, reached in (
        (Vm, sum(pair.sims[0].counters().sum(axis=0) for pair in pairs)),
        (Refusal, sum(pair.sims[0].refusals() for pair in pairs)),
        (ScanResult, sum(pair.sims[0].scan_results() for pair in pairs)),
        (ScanSkip, sum(pair.sims[0].scan_skips() for pair in pairs)),
    ):
        never = [one.name for one, n in zip(names, reached, strict=True) if not n]
        assert set(never) <= UNREACHABLE
    slow = [pair.sims[1] for pair in pairs]
    assert {one.topology for one in slow if one.balances} == set(TOPOLOGIES)
    assert any(group.tasks > 1 for one in slow for group in one.groups.values())


def _names():
    return [one.name.lower() for one in Vm]


@given(st.integers(0, 1 << 32))
@settings(max_examples=40, derandomize=True)
def test_results_never_depend_on_batch_or_threads(seed):
    story(seed, 25, kind=Engines)


@given(st.integers(0, 1 << 32))
@settings(max_examples=30, derandomize=True)
def test_balancing_never_depends_on_batch_or_threads(seed):
    balanced_story(seed, 20, kind=Engines)

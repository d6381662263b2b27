"""The engine against the slow model: random operations, everything equal after each."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import BLOCK, Reference

from lazynuma.engine import (
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
from lazynuma.engine.transparent_hugepage import DEFRAG, TARGETS
from lazynuma.kernels import constants as k

MIB = 1 << 20
KINDS = (Sweep, Uniform, Gups, Zipf, NextTouch, HotCold, Stream, Stencil)


class Pair:
    """The engine and the reference, driven alike."""

    def __init__(self, machine, options, seed):
        self.sims = self.simulations(machine, options, seed)
        self.processes, self.tasks, self.regions = [], [], []

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
        for name in SINGLES:
            assert getattr(engine, name) == getattr(slow, name), name

    def compare_pages(self, fast, model):
        """Demand that all pages of a process are equal, word for word."""
        engine, slow = self.sims
        memory = engine._sync()
        for vma in model.vmas:
            for kind, got, want in words(memory, slow, model, vma):
                assert (got == want).all(), self.first(kind, fast, vma, got, want)
            for vpn in sample(vma):
                assert engine.page(fast, vpn) == slow.page(model, vpn), vpn

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


def sample(vma):
    """Return some pages of a VMA: its ends, and one of each block."""
    return sorted({vma.start, vma.end - 1, *range(vma.start + 7, vma.end, BLOCK)})


def bits(one, **names):
    """Return the bits of those names of ``one`` that are true."""
    return sum(getattr(one, name) and bit for name, bit in names.items())


def entry_word(entry):
    """Return the word of one of the reference's PTEs or PMD entries."""
    kinds = {
        "present": k.PTE_PRESENT,
        "zero": k.PTE_ZERO,
        "swap": k.PTE_SWAP,
        "parked": k.PTE_PARKED,
        "table": k.PMD_TABLE,
    }
    word = kinds[entry.kind] | max(0, entry.payload)
    word |= bits(entry, write=k.PTE_WRITE, young=k.PTE_YOUNG)
    word |= bits(entry, dirty=k.PTE_DIRTY, protnone=k.PTE_PROTNONE)
    return word | getattr(entry, "nid", 0) << k.PMD_NID_SHIFT


def frame_word(frame):
    """Return the word of one of the reference's frames or folios."""
    word = frame.vpn | frame.mapcount << k.FRAME_MAPCOUNT_SHIFT | k.FRAME_IN_USE
    word |= bits(frame, active=k.FRAME_ACTIVE, referenced=k.FRAME_REFERENCED)
    return word | bits(frame, compound=k.FRAME_COMPOUND)


#: Flags of frames that both sides keep but that nothing shows.
FRAME_BITS = k.FRAME_VPN | k.FRAME_MAPCOUNT | k.FRAME_IN_USE | k.FRAME_COMPOUND
FRAME_BITS |= k.FRAME_ACTIVE | k.FRAME_REFERENCED


def words(memory, slow, model, vma):
    """Yield (kind, words of the engine, words of the reference) of a VMA."""
    start, end, delta = vma.start, vma.end, model.delta
    table, pmds = slow.tables[model.id], slow.pmds[model.id]
    ptes = np.zeros(end - start, np.int64)
    frames = np.zeros(end - start, np.int64)
    found = np.zeros(end - start, np.int64)
    for vpn in range(start, end):
        pte = table.get(vpn)
        if pte is None:
            continue
        ptes[vpn - start] = entry_word(pte)
        if pte.kind == "present":
            frames[vpn - start] = frame_word(slow.frames[pte.payload])
            found[vpn - start] = memory.frame[pte.payload] & FRAME_BITS
    yield "PTE", memory.pte[start + delta : end + delta], ptes
    yield "frame", found, frames
    blocks = range(start // BLOCK, -(-end // BLOCK))
    entries = [pmds[b] if b in pmds else None for b in blocks]
    word = [entry_word(entry) if entry else 0 for entry in entries]
    first = blocks.start + delta // BLOCK
    yield "PMD", memory.pmd[first : first + len(blocks)], np.array(word)
    mapped = [e.payload // BLOCK for e in entries if e and e.kind == "present"]
    folios = [frame_word(slow.folios[b]) for b in mapped]
    for i, b in enumerate(mapped):
        folios[i] |= bits(slow.folios[b], deferred=k.FOLIO_DEFERRED)
    yield "folio", memory.block_huge[mapped], np.array(folios, np.int64)


SINGLES = (
    *("slots_in_use", "slots_peak", "entries_in_use", "entries_peak"),
    *("now", "oom_kills", "full_scans", "pages_collapsed"),
)


def pick(value, i):
    """Return the engine's or the reference's half of a pair."""
    return value[i] if isinstance(value, list) and len(value) == 2 else value


def start(pair, rng, nodes):
    process = pair.call("spawn", f"p{len(pair.processes)}", 96 * MIB)
    pair.processes.append(process)
    begin_task(pair, rng, nodes, process)
    grow(pair, rng, process)


def begin_task(pair, rng, nodes, process):
    cpu = rng.randrange(2 * nodes)
    pair.tasks.append(pair.call("start_task", process, cpu))


def grow(pair, rng, process):
    size = rng.choice([3, 40, 300, 700, 1300, 2600]) * 4096
    pair.regions.append(pair.call("mmap", process, size))


def live_tasks(pair):
    return [task for task in pair.tasks if task[0].process.alive]


def region_of(pair, rng, process):
    """Return a random region of a process's family, as seen by the process."""
    family = process[0].family
    mine = [r for r in pair.regions if r[0].process.family == family]
    mine = [r for r in mine if mapped(r[0].of(process[0]))]
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


def part_of(rng, region):
    first = rng.randrange(region[0].pages)
    return {"first": first, "pages": rng.randint(1, region[0].pages - first)}


def policy(rng, nodes):
    mode = rng.choice(list(Mode))
    if mode in (Mode.DEFAULT, Mode.LOCAL):
        return Policy(mode)
    mask = tuple(sorted(rng.sample(range(nodes), rng.randint(1, nodes))))
    if mode == Mode.WEIGHTED_INTERLEAVE:
        return Policy(mode, mask, tuple(rng.randint(1, 4) for _ in mask))
    return Policy(mode, mask)


def load_of(rng, region, task):
    kind = rng.choice(KINDS)
    most = rng.choice([400, 400, 400, 3000])
    options = {"count": rng.randint(1, most), "refs": rng.choice([1, 64])}
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
    for task in rng.sample(chosen, min(len(chosen), rng.randint(1, 3))):
        region = region_of(pair, rng, [half.process for half in task])
        if region is None or not writable(region[0]):
            continue
        seed = rng.random()
        for i in (0, 1):
            loads[i].append(load_of(random.Random(seed), region[i], task[i]))
    for sim, mine in zip(pair.sims, loads, strict=True):
        sim.run(mine)


def step(pair, rng, nodes):
    """Do one random operation."""
    if not live_tasks(pair):
        start(pair, rng, nodes)
        return
    task = rng.choice(live_tasks(pair))
    process = [half.process for half in task]
    region = region_of(pair, rng, process)
    name = rng.choice(
        ["work"] * 6
        + ["mark"] * 3
        + ["mbind", "move_pages", "mprotect", "munmap", "set_mempolicy", "move_task"]
        + ["populate"]
        + ["fork", "fork", "exit", "grow", "populate", "start", "synchronize"]
        + ["task", "hot_remove", "advise", "advise", "collapse", "idle", "idle"]
    )
    if name == "work":
        work(pair, rng)
    elif name == "move_task":
        pair.call("move_task", task, rng.randrange(2 * nodes))
    elif name == "fork" and len(pair.alive()) < 5:
        pair.processes.append(pair.call("fork", process, "child"))
        begin_task(pair, rng, nodes, pair.processes[-1])
    elif name == "exit":
        pair.call("exit", process)
    elif name == "grow":
        grow(pair, rng, process)
    elif name == "start" and len(pair.alive()) < 5:
        start(pair, rng, nodes)
    elif name == "task":
        begin_task(pair, rng, nodes, process)
    elif name == "synchronize":
        pair.call("synchronize")
    elif name == "idle":
        pair.call("idle", rng.choice([1, 1_000_000, 30_000_000]))
    elif name == "set_mempolicy":
        pair.call("set_mempolicy", task, policy(rng, nodes))
    elif name == "hot_remove" and rng.random() < 0.2:
        got = pair.call("hot_remove", rng.randrange(nodes))
        assert got[0] == got[1]
    elif region is not None:
        change(pair, rng, nodes, name, task, region)


def change(pair, rng, nodes, name, task, region):
    """Do an operation on a part of a region."""
    part = part_of(rng, region)
    flags = {"move_all": rng.random() < 0.5}
    if name == "mark":
        options = {"policy": policy(rng, nodes) if rng.random() < 0.4 else None}
        kind = rng.choice(list(Mechanism))
        got = pair.call("mark", task, region, kind, **options, **flags, **part)
        assert got[0] == got[1]
    elif name == "mbind":
        flags |= {"move": rng.random() < 0.6, "strict": rng.random() < 0.4}
        want = policy(rng, nodes)
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
        pair.call(
            "advise", task, region, advice, **(part if rng.random() < 0.5 else {})
        )
    elif name == "collapse":
        got = pair.call("collapse", task, region, **part)
        assert got[0] == got[1]
    elif name == "populate" and writable(region[0]):
        got = pair.call("populate", task, region, **part)
        assert got[0] == got[1]


def huge_page_knobs(rng):
    """Return the settings of huge pages and TLBs of a story."""
    thp = Thp(
        enabled=rng.choice(["always", "always", "madvise"]),
        defrag=rng.choice(DEFRAG),
        use_zero_page=rng.random() < 0.5,
        unit_migration=rng.random() < 0.7,
    )
    khugepaged = Khugepaged(
        pages_to_scan=rng.choice([512, 4096]),
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
    cache = rng.choice([64, 4096])
    tlb = Tlb(enabled=rng.random() < 0.5, walk_cache_bytes=cache, **sizes)
    return {"thp": thp, "khugepaged": khugepaged, "tlb": tlb}


def world(rng, huge):
    """Return (machine, settings) of a story, with huge pages or without."""
    nodes = rng.choice([1, 2, 3])
    sizes = [4, 8, 8, 16, 16, 128] if huge else [2, 4, 8]
    distance = rng.choice([20, 40])
    machine = uniform(nodes, rng.choice(sizes) * MIB, 2, distance)
    options = Settings(
        shards=rng.choice([1, 3, 64]),
        sequential=rng.random() < 0.3,
        swap_bytes=rng.choice([0, 1, 4, 16]) * MIB,
        quantum_ns=rng.choice([50_000, 1_000_000, 50_000_000]),
        quantum_accesses=rng.choice([100, 1 << 21]),
        wedge_ppm=rng.choice([0, 0, 300_000]),
        **(huge_page_knobs(rng) if huge else {}),
    )
    return machine, options


def story(seed, steps, huge=True, kind=Pair):
    """Drive both with one random story and compare after every step."""
    rng = random.Random(seed)
    machine, options = world(rng, huge)
    pair = kind(machine, options, rng.randrange(1 << 62))
    nodes = len(machine.memory)
    start(pair, rng, nodes)
    for _ in range(steps):
        step(pair, rng, nodes)
        pair.compare()
    pair.check()
    return pair


@pytest.mark.parametrize("huge", [False, True])
@given(st.integers(0, 1 << 32))
@settings(max_examples=60, derandomize=True)
def test_engine_and_reference_agree(huge, seed):
    story(seed, 14, huge)


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


def test_the_stories_reach_every_counter():
    """What random stories never do would not be tested by them."""
    reached = sum(story(seed, 40).sims[0].counters().sum(axis=0) for seed in range(40))
    names = [name for name, count in zip(_names(), reached, strict=True) if not count]
    assert not names


def _names():
    from lazynuma.kernels.constants import Vm

    return [one.name.lower() for one in Vm]

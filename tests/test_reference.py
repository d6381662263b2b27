"""The engine against the slow model: random operations, everything equal after each."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Reference

from lazynuma.engine import (
    Gups,
    HotCold,
    Mechanism,
    Mode,
    NextTouch,
    Policy,
    Settings,
    Simulation,
    Stencil,
    Stream,
    Sweep,
    Uniform,
    Zipf,
    uniform,
)

MIB = 1 << 20
KINDS = (Sweep, Uniform, Gups, Zipf, NextTouch, HotCold, Stream, Stencil)


class Pair:
    """The engine and the reference, driven alike."""

    def __init__(self, machine, options, seed):
        self.sims = [
            Simulation(machine, options, seed=seed, batch=77),
            Reference(machine, options, seed=seed),
        ]
        self.processes, self.tasks, self.regions = [], [], []

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
            assert list(engine.times(fast)) == slow.times(model), fast.name
            for vma in model.vmas:
                for vpn in range(vma.start, vma.end):
                    got, want = engine.page(fast, vpn), slow.page(model, vpn)
                    assert got == want, f"{fast.name} page {vpn}: {got} {want}"
        for fast, model in self.tasks:
            assert engine.clock(fast) == slow.clock(model), fast.id
        for node in range(len(engine.machine.memory)):
            assert engine.free(node) == slow.free(node), node
        assert engine.counters().tolist() == slow.counters().tolist()
        assert engine.refusals().tolist() == slow.refusals().tolist()
        for name in ("slots_in_use", "slots_peak", "entries_in_use", "entries_peak"):
            assert getattr(engine, name) == getattr(slow, name), name
        assert engine.now == slow.now and engine.oom_kills == slow.oom_kills

    def check(self):
        """Let both prove their invariants."""
        for sim in self.sims:
            sim.check()


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
    size = rng.choice([3, 40, 300, 700, 1300]) * 4096
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
    options = {"count": rng.randint(1, 400), "refs": rng.choice([1, 64])}
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
        + ["fork", "fork", "exit", "grow", "populate", "start", "synchronize"]
        + ["task", "hot_remove"]
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
    elif name == "populate" and writable(region[0]):
        got = pair.call("populate", task, region, **part)
        assert got[0] == got[1]


def story(seed, steps):
    """Drive both with one random story and compare after every step."""
    rng = random.Random(seed)
    nodes = rng.choice([1, 2, 3])
    machine = uniform(nodes, rng.choice([2, 4, 8]) * MIB, cpus_per_node=2)
    options = Settings(
        shards=rng.choice([1, 3, 64]),
        sequential=rng.random() < 0.3,
        swap_bytes=rng.choice([0, 1, 4]) * MIB,
        quantum_ns=rng.choice([50_000, 1_000_000, 50_000_000]),
        quantum_accesses=rng.choice([100, 1 << 21]),
        wedge_ppm=rng.choice([0, 0, 300_000]),
    )
    pair = Pair(machine, options, rng.randrange(1 << 62))
    start(pair, rng, nodes)
    for _ in range(steps):
        step(pair, rng, nodes)
        pair.compare()
    pair.check()
    return pair


@given(st.integers(0, 1 << 32))
@settings(max_examples=60, derandomize=True)
def test_engine_and_reference_agree(seed):
    story(seed, 14)


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

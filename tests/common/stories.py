"""Random operations for a pair of simulations, and worlds to do them in."""

import random
from dataclasses import replace

from common.pair import MECHANISMS, MIB, Pair
from lazynuma.engine import (
    Balancing,
    Gups,
    HotCold,
    Khugepaged,
    Locks,
    LruGen,
    Mode,
    NextTouch,
    Policy,
    Sampling,
    Sched,
    Settings,
    Stencil,
    Stream,
    Sweep,
    Thp,
    Tlb,
    Uniform,
    Zipf,
    uniform,
)
from lazynuma.engine.machines.machine import from_slit
from lazynuma.engine.settings.profiles import PROFILES
from lazynuma.engine.settings.thp import DEFRAG, TARGETS
from reference import BLOCK

KINDS = (Sweep, Uniform, Gups, Zipf, NextTouch, HotCold, Stream, Stencil)


def start(pair, rng):
    process = pair.call("spawn", f"p{len(pair.processes)}", 96 * MIB)
    pair.processes.append(process)
    begin_task(pair, rng, process)
    grow(pair, rng, pair.tasks[-1])


def begin_task(pair, rng, process):
    # No draw: a task more or less that is pinned must not change a story.
    pinned = pair.sims[1].settings.sched.load_balance and len(pair.tasks) % 5 == 4
    cpu = any_cpu(pair, rng)
    pair.tasks.append(pair.call("start_task", process, cpu, pinned=pinned))


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
    options["offset"] = rng.choice([0, 0, 0, 0, 17, 511])
    if rng.random() < 0.3:
        options["pgoff"] = rng.randrange(1000) * BLOCK + options["offset"]
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


def broken_regions(pair, region):
    """Return the regions of a region's family that its process has holes in."""
    owners = [half.process for half in region]
    family = owners[0].family
    mine = [r for r in pair.regions if r[0].process.family == family]
    there = [r for r in mine if r[0].first < owners[0].next_vpn]
    seen = [
        [half.of(owner) for half, owner in zip(r, owners, strict=True)] for r in there
    ]
    return [one for one in seen if not mapped(one[0])]


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
    **{"advise": 2, "collapse": 3, "idle": 4, "migrate_pages": 2, "home": 1},
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
        kind = rng.choice(MECHANISMS)
        got = pair.call("mark", task, region, kind, **options, **flags, **part)
        assert got[0] == got[1]
    elif name == "mbind":
        flags |= {"move": rng.random() < 0.6, "strict": rng.random() < 0.4}
        want = policy(rng, nodes, balanced)
        broken = broken_regions(pair, region)
        if broken and rng.random() < 0.4:
            region = rng.choice(broken)
            part = part_of(rng, region)
        got = pair.call("mbind", task, region, want, **flags, **part)
        assert got[0] == got[1]
    elif name == "home":
        node = rng.randrange(nodes)
        got = pair.call("set_mempolicy_home_node", task, region, node, **part)
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


def split_knobs(rng):
    """Return the settings that say what becomes of partly mapped huge pages."""
    names = ["split_to_zero_pages", "split_underused", "double_map", "split_at_once"]
    names += ["zap_batches", "deferred_moves", "split_to_migrate", "swap_out_ptes"]
    names += ["copy_huge_zero_page", "mm_ids"]
    return {name: rng.random() < 0.5 for name in names}


def huge_page_knobs(rng):
    """Return the settings of huge pages and TLBs of a story."""
    thp = Thp(
        enabled=rng.choice(["always", "madvise"]),
        defrag=rng.choice(DEFRAG),
        use_zero_page=rng.random() < 0.3,
        unit_migration=rng.random() < 0.7,
        unit_hinting=rng.random() < 0.7,
        copy_on_write=rng.random() < 0.3,
        **split_knobs(rng),
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
        swap_zeromap=rng.random() < 0.3,
        accumulated_node_load=rng.random() < 0.7,
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
    tiers = (0,) * fast + (1,) * slow
    if rng.random() < 0.3:
        tiers = tuple(range(nodes))
    return replace(machine, tier=tiers)


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


#: Locks that are held long, and by many.
BUSY = Locks(
    enabled=True,
    pte_lock_scope="mm",
    pte_lock_hold_ns=3000,
    zone_lock_hold_ns=100_000,
    lru_lock_scope="global",
    tlb_flush_hold_ns=5000,
)


def flushing(options, seed):
    """Return the settings; calls of every eighth story flush once a batch (6.3).

    In a third of all hint faults flush for what they move (to 5.12), in a seventh
    copies wait for memory.  In two fifths of the later ones tasks wait for locks, in
    one for those that are held long: tests know the first ones.  In half of these pages
    are in generations.
    """
    locks = replace(options.locks, enabled=seed >= 1000 and seed % 5 == 1)
    if seed >= 1000 and seed % 5 == 3:
        alone = seed % 32 < 16
        locks = replace(BUSY, anon_vma_alone=alone, mmap_lock_vma=not alone)
        locks = replace(locks, tlb_flush_interrupts=alone)
    knobs = replace(options.balancing, hint_flush=seed % 3 == 1)
    calls = replace(
        options.calls,
        mbind_queues_once=seed % 4 < 2,
        mbind_likely_shared=seed % 3 < 2,
        mbind_interleave_base=seed % 5 < 3,
    )
    options = replace(options, migrate_pages_batch=seed % 8 == 6, locks=locks)
    lru_gen = LruGen(seed >= 1000 and seed % 4 < 2, seed % 4 == 1, seed % 16 < 8)
    options = replace(options, lru_gen=lru_gen, calls=calls)
    return replace(options, loaded_copies=seed % 7 == 5, balancing=knobs)


def sampling(options, seed):
    """Return the settings; in two of seven later stories accesses are sampled."""
    if seed < 1000 or seed % 7 > 1:
        return options
    knobs = Sampling(period=(1, 3, 29)[seed % 3], ring=8192 if seed % 2 else 20)
    return replace(options, sampling=knobs)


def scheduling(options, seed):
    """Return the settings; in a third of the stories CPUs share their load."""
    if seed < 1000 or seed % 3:
        return options
    rng = random.Random(seed + 2)
    sched = Sched(
        load_balance=True,
        time_sharing=rng.random() < 0.6,
        busy_factor=rng.choice([1, 2]),
        imbalance_pct=rng.choice([110, 125]),
        small_imbalance=rng.random() < 0.5,
        migration_cost_ns=rng.choice([0, 500_000, 20_000_000]),
        locality=rng.choice(["none", "improves", "degrades"]),
        disturb_period_ns=rng.choice([3_000_000, 50_000_000]),
        disturb_ns=rng.choice([0, 1_000_000, 10_000_000]),
    )
    knobs = options.balancing
    if knobs.mode == "off":
        knobs = replace(knobs, tick_ns=rng.choice([300_000, 1_000_000]))
    return replace(options, sched=sched, balancing=knobs)


def scanning(options, seed):
    """Return the settings; two of three stories have a scanner of another time."""
    rng = random.Random(seed + 1)
    rule = rng.choice(["every_fault", "unmoved_fault", "statistics"])
    if rng.random() < 0.3:
        return options
    switches = ("first_nid", "scan_limited", "scan_small_vmas", "scan_turns")
    switches += ("scan_cost_cap", "scan_stagger", "scan_local", "scan_shared_huge")
    switches += ("count_marked", "pmd_numa", "limit_by_pages")
    switches += ("split_marks", "split_last")
    knobs = replace(
        options.balancing,
        scan_period_rule=rule,
        scan_period_reset_ms=rng.choice([0, 5, 50]),
        scan_counts=rng.choice(["entries", "chunks"]),
        **{name: rng.random() < 0.5 for name in switches},
    )
    knobs = replace(
        knobs,
        slow_on_failure=rng.random() < 0.5,
        write_bit=rng.choice(["kept", "lost_at_mark", "lost_at_fault"]),
        group_if=rng.choice(["write_bit", "dirty", "vm_write", "writable"]),
    )
    if rule == "statistics" and rng.random() < 0.5:
        knobs = replace(knobs, scan_period_rule="local_share", filter="active_nodes")
    return replace(options, balancing=knobs)


#: What a story draws of the settings; the rest is its profile's.
DRAWN = {
    "thp": ("enabled", "defrag", "use_zero_page"),
    "khugepaged": (
        *("pages_to_scan", "scan_sleep_millisecs", "alloc_sleep_millisecs", "defrag"),
        *("max_ptes_none", "max_ptes_swap", "max_ptes_shared"),
    ),
    "balancing": (
        *("mode", "tick_ns", "scan_delay_ms", "scan_size_mb", "hot_threshold_ms"),
        *("scan_period_min_ms", "scan_period_max_ms", "promote_rate_limit_mbps"),
    ),
}
DRAWN_ALONE = ("shards", "sequential", "swap_bytes", "quantum_ns", "tlb")
#: Calls and modes that stories make: the reference has them under every profile.
CALLED = (
    *("mpol_f_numa_balancing", "mpol_preferred_many", "preferred_many_balancing"),
    *("mpol_weighted_interleave", "set_mempolicy_home_node", "madv_collapse"),
)


def under(profile, options):
    """Return the rules of a profile with the knobs of a story.

    Without what the reference does not have: batches of the LRU, and min_free_kbytes as
    huge pages raise it.
    """
    rules = replace(PROFILES[profile], lru_batches=False)
    rules = replace(
        rules,
        thp=replace(rules.thp, min_free=False),
        calls=replace(rules.calls, **dict.fromkeys(CALLED, True)),
    )
    parts = {
        part: replace(
            getattr(rules, part),
            **{name: getattr(getattr(options, part), name) for name in names},
        )
        for part, names in DRAWN.items()
    }
    alone = {name: getattr(options, name) for name in DRAWN_ALONE}
    return replace(rules, **parts, **alone)


def profile_story(profile, seed, steps, shares):
    """A story by the rules of a kernel."""
    rng = random.Random(seed)
    machine, options = balanced_world(rng, huge=True)
    pair = Pair(machine, under(profile, options), rng.randrange(1 << 62))
    pair.shares = shares
    start(pair, rng)
    begin_task(pair, rng, pair.processes[0])
    chosen = repertoire(rng)
    for _ in range(steps):
        step(pair, rng, len(machine.memory), chosen)
        pair.compare()
    pair.check()


def balanced_story(seed, steps, huge=True, kind=Pair, shares=False):
    """The same with NUMA balancing: tasks that share memory and work for long."""
    rng = random.Random(seed)
    machine, options = balanced_world(rng, huge)
    options = scheduling(scanning(flushing(options, seed), seed), seed)
    options = sampling(options, seed)
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
    options = sampling(scheduling(flushing(options, seed), seed), seed)
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

"""Transparent huge pages: faults, splits, swap, migration, fork and exit.

Written from ``docs/model.md`` §10 and, where it says so, from what Linux 6.1 did on a
machine of four nodes.
"""

from itertools import groupby

import pytest

from lazynuma.engine import (
    BadInput,
    Costs,
    Khugepaged,
    Mechanism,
    Mode,
    Policy,
    Settings,
    Simulation,
    SimulationError,
    Sweep,
    Thp,
    Tlb,
    uniform,
)
from lazynuma.engine.machine.machine import from_slit
from lazynuma.kernels import state as st
from lazynuma.kernels.counters import Cause, Refusal, Vm

PAGE, BLOCK = 4096, 512
HUGE = BLOCK * PAGE
#: Huge pages wherever they fit.
ALWAYS = Thp(enabled="always")
#: What the recordings compare, of what the engine counts.
RECORDED = (
    "thp_fault_alloc thp_fault_fallback thp_collapse_alloc thp_collapse_alloc_failed"
    " thp_split_page thp_deferred_split_page thp_split_pmd thp_migration_success"
    " thp_migration_fail thp_migration_split thp_swpout thp_swpout_fallback pswpin"
    " pswpout oom_kill pgmigrate_fail"
).split()


class World:
    """A machine that serves accesses one by one, a process and its task on CPU 0."""

    def __init__(self, nodes=2, blocks=16, thp=ALWAYS, slit=None, **options):
        machine = uniform(nodes, blocks * HUGE)
        if slit is not None:
            sizes = (blocks * HUGE,) * len(slit)
            ones = (1,) * len(slit)
            machine = from_slit("slit", sizes, ones, slit, (0,) * len(slit))
        settings = Settings(sequential=True, thp=thp, **options)
        self.sim = Simulation(machine, settings)
        self.process = self.sim.spawn(nbytes=128 * HUGE)
        self.task = self.sim.start_task(self.process, 0)
        self._seen = self.sim.counters()

    def map(self, pages, advice="none", process=None):
        """Return a new region, advised."""
        region = self.sim.mmap(process or self.process, pages * PAGE)
        if advice != "none":
            self.sim.advise(self.task, region, advice)
        return region

    def touch(self, region, first=0, pages=1, write=True, stride=1, cpu=None, by=None):
        """Access every ``stride``-th page of a range once, on a CPU, by a task."""
        task = by or self.task
        if cpu is not None:
            self.sim.move_task(task, cpu)
        part = {"first": first, "pages": pages, "count": -(-pages // stride)}
        region = region.of(task.process)
        load = Sweep(task=task, region=region, stride=stride, write=write, **part)
        self.sim.run([load])

    def page(self, region, page, process=None):
        """Return what a page of a region is."""
        return self.sim.page(process or region.process, region.first + page)

    def runs(self, region, first=0, pages=None, process=None):
        """Return [(pages, state, node, huge)] of a range, as the recordings have it."""
        end = region.pages if pages is None else first + pages
        seen = (_seen(self.page(region, at, process)) for at in range(first, end))
        return [(len(list(same)), *what) for what, same in groupby(seen)]

    def changes(self, *names):
        """Return {name: change} of counters since the last call; no name: recorded."""
        now = self.sim.counters()
        moved = (now - self._seen).sum(axis=0)
        self._seen = now
        found = {name: int(moved[Vm[name.upper()]]) for name in names or RECORDED}
        return found if names else {name: n for name, n in found.items() if n}

    def refused(self):
        """Return {name: times} of what was refused so far."""
        refused = self.sim.refusals()
        return {one.name: int(refused[one]) for one in Refusal if refused[one]}

    def fragment(self, kept, blocks=16, node=0):
        """Leave ``kept`` small pages in each block of a node, and 200 in the last."""
        filler = self.map(blocks * BLOCK, "nohugepage")
        self.sim.mbind(self.task, filler, Policy(Mode.BIND, (node,)))
        self.touch(filler, 0, (blocks - 1) * BLOCK + 200)
        for block in range(blocks - 1):
            at = block * BLOCK + kept
            self.sim.munmap(self.task, filler, at, BLOCK - kept)
        self.sim.check()
        self.changes()
        return filler


def _seen(page):
    """Return (state, node, huge) of a page, as a recording shows it."""
    if page.kind == "present" and page.protnone:
        return "marked", None, page.huge
    if page.kind == "present":
        return "present", page.node, page.huge
    return page.kind, None, False


def times(world):
    """Return the ns of the first process by cause."""
    return world.sim.times(world.process)


# --- faults -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("enabled", "advice", "huge"),
    [
        ("never", "none", False),
        ("never", "hugepage", False),
        ("never", "nohugepage", False),
        ("madvise", "none", False),
        ("madvise", "hugepage", True),
        ("madvise", "nohugepage", False),
        ("always", "none", True),
        ("always", "hugepage", True),
        ("always", "nohugepage", False),
    ],
)
@pytest.mark.parametrize("write", [True, False])
def test_enabled_and_advice_say_what_a_fault_maps(enabled, advice, huge, write):
    world = World(thp=Thp(enabled=enabled, use_zero_page=False))
    region = world.map(BLOCK, advice)
    world.touch(region, 5, write=write)
    page = world.page(region, 5)
    assert (page.huge, page.pmd) == (huge, huge)
    assert world.changes("thp_fault_alloc", "pgfault") == {
        "thp_fault_alloc": int(huge),
        "pgfault": 1,
    }
    small = int(write)
    assert world.sim.rss(world.process) == (BLOCK if huge else small)
    world.sim.check()


def test_a_huge_page_is_mapped_writable_used_and_once():
    world = World(thp=Thp(enabled="always", use_zero_page=False))
    region = world.map(BLOCK)
    world.touch(region, 7, write=False)
    page = world.page(region, 7)
    assert (page.write, page.young, page.dirty, page.mapcount) == (True, True, True, 1)
    assert page.frame == world.page(region, 0).frame + 7
    world.touch(region, 0, BLOCK)
    assert world.changes("pgfault", "pgalloc_normal", "numa_hit") == {
        "pgfault": 1,
        "pgalloc_normal": BLOCK,
        "numa_hit": 1,
    }
    assert times(world)[Cause.HUGE_FAULT] == Costs().huge_fault_ns
    assert times(world)[Cause.MINOR_FAULT] == 0


def test_the_huge_zero_page_is_made_once():
    world = World()
    region = world.map(3 * BLOCK)
    world.touch(region, 0, 3 * BLOCK, write=False, stride=BLOCK, cpu=1)
    assert world.runs(region) == [(3 * BLOCK, "zero", None, False)]
    assert world.page(region, 0).pmd and world.page(region, 0).young
    assert world.sim.rss(world.process) == 0
    names = "thp_zero_page_alloc", "zero_page_faults", "thp_fault_alloc", "pgfault"
    assert list(world.changes(*names).values()) == [1, 3, 0, 3]
    assert times(world)[Cause.MINOR_FAULT] == 3 * Costs().minor_fault_ns
    # A second process maps the same one.
    other = world.sim.start_task(world.sim.spawn(nbytes=HUGE), 0)
    elsewhere = world.map(BLOCK, process=other.process)
    world.touch(elsewhere, write=False, by=other)
    assert world.changes("thp_zero_page_alloc")["thp_zero_page_alloc"] == 0


def test_a_write_to_the_huge_zero_page_maps_one_small_page():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0, write=False)
    world.changes("pgfault")
    spent = times(world)
    world.touch(region, 9, cpu=1)
    zeros = "zero", None, False
    assert world.runs(region) == [
        (9, *zeros),
        (1, "present", 1, False),
        (BLOCK - 10, *zeros),
    ]
    names = "pgfault", "thp_split_pmd", "thp_fault_alloc"
    assert list(world.changes(*names).values()) == [1, 1, 0]
    assert world.sim.rss(world.process) == 1
    spent = times(world) - spent
    assert spent[Cause.HUGE_FAULT] == Costs().split_pmd_ns
    assert spent[Cause.MINOR_FAULT] == Costs().minor_fault_ns
    world.sim.check()


def test_blocks_that_a_vma_covers_in_part_get_small_pages():
    world = World()
    region = world.map(3 * BLOCK + 17)
    world.sim.munmap(world.task, region, 0, 1)
    world.touch(region, 1, region.pages - 1)
    assert world.runs(region) == [
        (1, "none", None, False),
        (BLOCK - 1, "present", 0, False),
        (2 * BLOCK, "present", 0, True),
        (17, "present", 0, False),
    ]
    # A block without room for a huge page is no fallback.
    assert world.changes() == {"thp_fault_alloc": 2}


def test_a_block_that_is_cut_by_advice_gets_small_pages():
    world = World(thp=Thp(enabled="madvise"))
    region = world.map(2 * BLOCK)
    world.sim.advise(world.task, region, "hugepage", 0, BLOCK + 3)
    world.touch(region, 0, 2 * BLOCK, stride=BLOCK)
    assert [world.page(region, at).huge for at in (0, BLOCK)] == [True, False]
    # Both halves alike again: one VMA, but the block has a page table by now.
    world.sim.advise(world.task, region, "hugepage", BLOCK + 3)
    world.touch(region, BLOCK + 5)
    assert not world.page(region, BLOCK + 5).huge


def test_vmas_that_are_alike_again_hold_a_huge_page_together():
    world = World(thp=Thp(enabled="madvise"))
    region = world.map(BLOCK)
    world.sim.advise(world.task, region, "hugepage", 0, 3)
    world.sim.advise(world.task, region, "hugepage", 3)
    world.touch(region, 1)
    assert world.page(region, 1).pmd


def test_interleave_places_a_block_by_its_number():
    world = World(nodes=4)
    region = world.map(8 * BLOCK)
    world.sim.mbind(world.task, region, Policy(Mode.INTERLEAVE, (0, 1, 3)))
    # The order of faults does not matter.
    for block in (7, 2, 0, 1, 3, 6, 5, 4):
        world.touch(region, block * BLOCK + 100)
    nodes = [world.page(region, at * BLOCK).node for at in range(8)]
    assert nodes == [0, 1, 3, 0, 1, 3, 0, 1]
    assert world.changes("numa_interleave", "thp_fault_alloc") == {
        "numa_interleave": 8,
        "thp_fault_alloc": 8,
    }


def test_a_tasks_round_robin_goes_on_by_huge_page():
    world = World(nodes=4)
    region = world.map(5 * BLOCK)
    world.sim.set_mempolicy(world.task, Policy(Mode.INTERLEAVE, (0, 2, 3)))
    world.touch(region, 0, region.pages, stride=BLOCK)
    assert [world.page(region, at * BLOCK).node for at in range(5)] == [0, 2, 3, 0, 2]


# --- no huge page to be had -------------------------------------------------------


@pytest.mark.parametrize(
    ("defrag", "advice"),
    [
        ("never", "none"),
        ("never", "hugepage"),
        ("madvise", "none"),
        ("defer+madvise", "none"),
        ("defer", "none"),
        ("defer", "hugepage"),
    ],
)
def test_without_direct_compaction_a_fault_falls_back_to_small_local_pages(
    defrag, advice
):
    world = World(thp=Thp(enabled="always", defrag=defrag))
    world.fragment(kept=256)
    region = world.map(BLOCK, advice)
    world.touch(region, 0)
    assert world.runs(region, 0, 1) == [(1, "present", 0, False)]
    names = "thp_fault_fallback", "thp_fault_alloc", "compact_stall"
    # kcompactd works at the barrier, for nobody's account.
    assert list(world.changes(*names).values())[:2] == [1, 0]
    assert times(world)[Cause.COMPACTION] == 0
    # In the block that has a page table now nobody tries again.
    world.touch(region, 1)
    assert world.changes("thp_fault_fallback")["thp_fault_fallback"] == 0
    world.sim.check()


@pytest.mark.parametrize(
    ("defrag", "advice"),
    [
        ("always", "none"),
        ("always", "hugepage"),
        ("madvise", "hugepage"),
        ("defer+madvise", "hugepage"),
    ],
)
def test_direct_compaction_makes_a_local_huge_page(defrag, advice):
    world = World(thp=Thp(enabled="always", defrag=defrag))
    filler = world.fragment(kept=256)
    region = world.map(BLOCK, advice)
    world.touch(region, 0)
    assert world.runs(region) == [(BLOCK, "present", 0, True)]
    names = "compact_stall", "compact_success", "compact_isolated", "thp_fault_fallback"
    assert list(world.changes(*names).values()) == [1, 1, 256, 0]
    costs = Costs()
    copy = PAGE * 10**9 // costs.copy_bandwidth
    assert times(world)[Cause.COMPACTION] == 256 * (costs.migrate_page_ns + copy)
    # Compaction moves pages within the node, and loses none.
    assert world.runs(filler, 0, 256) == [(256, "present", 0, False)]
    world.sim.check()


@pytest.mark.parametrize("defrag", ["defer", "defer+madvise"])
def test_kcompactd_prepares_the_next_huge_page(defrag):
    world = World(thp=Thp(enabled="always", defrag=defrag))
    world.fragment(kept=256)
    region = world.map(2 * BLOCK)
    world.touch(region, 0)
    world.touch(region, BLOCK)
    assert [world.page(region, at).huge for at in (0, BLOCK)] == [False, True]
    assert times(world)[Cause.COMPACTION] == 0


def test_nobody_wakes_kcompactd_with_defrag_never():
    world = World(thp=Thp(enabled="always", defrag="never"))
    world.fragment(kept=256)
    region = world.map(2 * BLOCK)
    world.touch(region, 0)
    world.touch(region, BLOCK)
    assert [world.page(region, at).huge for at in (0, BLOCK)] == [False, False]
    assert world.changes("compact_stall")["compact_stall"] == 0


def test_a_node_too_full_for_compaction_sends_a_direct_fault_away():
    """Only who may reclaim directly gets a remote huge page (alloc_pages_mpol)."""
    world = World(thp=Thp(enabled="always", defrag="madvise"))
    world.fragment(kept=464)
    region = world.map(2 * BLOCK)
    world.sim.advise(world.task, region, "hugepage", BLOCK)
    world.touch(region, 0)
    world.touch(region, BLOCK)
    assert world.runs(region, 0, 1) == [(1, "present", 0, False)]
    assert world.runs(region, BLOCK) == [(BLOCK, "present", 1, True)]
    # 15 * 48 + 312 free pages are not more than low + 1024.
    names = "compact_stall", "thp_fault_fallback", "thp_fault_alloc", "numa_foreign"
    assert list(world.changes(*names).values()) == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("policy", "node", "huge"),
    [
        (Policy(Mode.BIND, (0,)), 0, False),
        (Policy(Mode.PREFERRED, (0,)), 1, True),
        (Policy(Mode.PREFERRED_MANY, (0, 1)), 1, True),
        # Interleaving looks at all nodes from the start.
        (Policy(Mode.INTERLEAVE, (0,)), 1, True),
    ],
)
def test_a_policy_limits_where_a_huge_page_may_come_from(policy, node, huge):
    world = World(thp=Thp(enabled="always", defrag="always"))
    world.fragment(kept=464)
    region = world.map(BLOCK)
    world.sim.mbind(world.task, region, policy)
    world.touch(region, 0)
    assert world.runs(region, 0, 1) == [(1, "present", node, huge)]


def test_interleaving_needs_no_direct_compaction_to_go_elsewhere():
    world = World(thp=Thp(enabled="always", defrag="never"))
    world.fragment(kept=256)
    region = world.map(BLOCK)
    world.sim.mbind(world.task, region, Policy(Mode.INTERLEAVE, (0,)))
    world.touch(region, 0)
    assert world.runs(region) == [(BLOCK, "present", 1, True)]


def test_compaction_that_fails_is_put_off_longer_and_longer():
    """defer_compaction: after one failure one attempt is let pass, then three."""
    world = World(thp=Thp(enabled="always", defrag="always"))
    filler = world.fragment(kept=256)
    kept = [(at * BLOCK, 256) for at in range(15)] + [(15 * BLOCK, 200)]
    for first, pages in kept:
        # Pages in a cache cannot be moved out of the way.
        part = {"first": first, "pages": pages}
        world.sim.mark(world.task, filler, Mechanism.MIGCACHE, **part)
    stalls = []
    for _ in range(8):
        region = world.map(BLOCK)
        world.sim.mbind(world.task, region, Policy(Mode.BIND, (0,)))
        world.touch(region, 0)
        assert not world.page(region, 0).huge
        stalls.append(world.changes("compact_stall", "compact_fail"))
    assert [one["compact_stall"] for one in stalls] == [1, 0, 1, 0, 0, 0, 1, 0]
    assert [one["compact_fail"] for one in stalls] == [1, 0, 1, 0, 0, 0, 1, 0]
    world.sim.check()


def crowded(left):
    """Return a world whose node 1 has ``left`` free frames, wholly free blocks too."""
    world = World(thp=Thp(enabled="always", defrag="never"))
    filler = world.map(16 * BLOCK - left, "nohugepage")
    world.sim.mbind(world.task, filler, Policy(Mode.BIND, (1,)))
    world.touch(filler, 0, filler.pages)
    assert world.sim.free(1) == left
    return world


def _fault_bound(world):
    region = world.map(BLOCK)
    world.sim.mbind(world.task, region, Policy(Mode.BIND, (1,)))
    world.touch(region, 0)
    return world.page(region, 0)


def _fault_then(act):
    def faulted(world):
        region = world.map(BLOCK)
        world.touch(region, 0)
        act(world, region)
        return world.page(region, 0)

    return faulted


def _hint(world, region):
    world.sim.mark(world.task, region, Mechanism.HINTING)
    world.touch(region, 0, cpu=1)


def _collapse_remote(world):
    region = world.map(BLOCK, "nohugepage")
    world.sim.mbind(world.task, region, Policy(Mode.BIND, (1,)))
    world.touch(region, 0)
    world.sim.advise(world.task, region, "none")
    world.sim.collapse(world.task, region)
    return world.page(region, 0)


@pytest.mark.parametrize(
    ("act", "mark", "margin"),
    [
        (_fault_bound, st.Node.MIN, 0),
        (_fault_then(lambda w, r: _mbind(w, r, 1)), st.Node.MIN, 0),
        (_fault_then(lambda w, r: _move_pages(w, r, 1)), st.Node.LOW, 0),
        (_fault_then(_hint), st.Node.HIGH, BLOCK),
    ],
    ids=["fault", "mbind", "move_pages", "hint"],
)
@pytest.mark.parametrize("spare", [0, 1])
def test_how_much_must_stay_free_beside_a_huge_page(act, mark, margin, spare):
    marks = World().sim.memory.node[1]
    world = crowded(BLOCK - 1 + int(marks[mark]) + margin + spare)
    page = act(world)
    assert (page.node == 1 and page.huge) == bool(spare)
    world.sim.check()


@pytest.mark.parametrize("spare", [0, 1])
def test_how_much_must_stay_free_beside_a_collapsed_page(spare):
    """One frame more: the page that is collapsed is on the node itself."""
    marks = World().sim.memory.node[1]
    world = crowded(BLOCK + int(marks[st.Node.MIN]) + spare)
    assert _collapse_remote(world).huge == bool(spare)
    world.sim.check()


def test_populate_makes_huge_pages_too():
    world = World()
    region = world.map(2 * BLOCK + 100)
    assert world.sim.populate(world.task, region) == region.pages
    assert world.runs(region) == [
        (2 * BLOCK, "present", 0, True),
        (100, "present", 0, False),
    ]
    assert world.changes() == {"thp_fault_alloc": 2}
    world.sim.check()


@pytest.mark.parametrize("threads", [1, 2])
def test_shards_map_the_huge_pages_that_a_sequence_maps(threads):
    machine = uniform(2, 64 * HUGE)
    sim = Simulation(machine, Settings(thp=ALWAYS, shards=4), threads=threads)
    process = sim.spawn(nbytes=128 * HUGE)
    tasks = [sim.start_task(process, cpu) for cpu in (0, 1)]
    region = sim.mmap(process, 32 * HUGE)
    half = region.pages // 2
    loads = [
        Sweep(task=task, region=region, first=at, pages=half, count=2 * half)
        for task, at in zip(tasks, (0, half), strict=True)
    ]
    sim.run(loads)
    sim.check()
    assert sim.total("thp_fault_alloc") == sim.total("pgfault") == 32
    nodes = [sim.page(process, at).node for at in range(0, region.pages, BLOCK)]
    assert nodes == 16 * [0] + 16 * [1]
    assert [sim.free(node) for node in (0, 1)] == 2 * [48 * BLOCK]
    sim.close()


# --- splits of the PMD ------------------------------------------------------------


def _munmap(world, region):
    world.sim.munmap(world.task, region, 0, 1)


def _protect(world, region):
    world.sim.mprotect(world.task, region, "r", 0, 1)


def _advise(world, region):
    world.sim.advise(world.task, region, "nohugepage", 0, 1)


def _bind(world, region):
    world.sim.mbind(world.task, region, Policy(Mode.BIND, (0,)), first=0, pages=1)


def _mark(world, region):
    world.sim.mark(world.task, region, Mechanism.HINTING, pages=1)


@pytest.mark.parametrize("cut", [_munmap, _protect, _advise, _bind, _mark])
def test_an_operation_on_a_part_splits_the_mapping_only(cut):
    world = World()
    region = world.map(2 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    frames = [world.page(region, at).frame for at in range(1, BLOCK)]
    world.changes()
    spent = times(world)
    cut(world, region)
    assert [world.page(region, at).frame for at in range(1, BLOCK)] == frames
    page = world.page(region, 1)
    assert (page.huge, page.pmd, page.mapcount) == (True, False, 1)
    assert world.page(region, BLOCK).pmd
    assert world.changes("thp_split_pmd", "thp_split_page") == {
        "thp_split_pmd": 1,
        "thp_split_page": 0,
    }
    spent = times(world) - spent
    assert spent[Cause.SYSCALL] >= Costs().split_pmd_ns
    assert spent[Cause.HUGE_FAULT] == 0
    world.sim.check()


@pytest.mark.parametrize(
    "whole",
    [
        lambda w, r: w.sim.mprotect(w.task, r, "r", 0, BLOCK),
        lambda w, r: w.sim.advise(w.task, r, "nohugepage", 0, BLOCK),
        lambda w, r: w.sim.mbind(w.task, r, Policy(Mode.BIND, (0,)), pages=BLOCK),
        lambda w, r: w.sim.mark(w.task, r, Mechanism.HINTING, pages=BLOCK),
        lambda w, r: w.sim.munmap(w.task, r, BLOCK, BLOCK),
    ],
)
def test_an_operation_on_whole_blocks_splits_nothing(whole):
    world = World()
    region = world.map(2 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    world.changes()
    whole(world, region)
    assert world.page(region, 0).pmd
    assert world.changes() == {}


def test_a_split_keeps_write_young_and_dirty_and_loses_protnone():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.sim.mark(world.task, region, Mechanism.HINTING)
    before = world.page(region, 300)
    assert before.protnone and before.pmd
    world.sim.advise(world.task, region, "nohugepage", 0, 1)
    after = world.page(region, 300)
    assert after == before._replace(protnone=False, pmd=False)
    assert (after.write, after.young, after.dirty) == (True, True, True)
    # No hint fault is left to be taken.
    world.touch(region, 300, cpu=1)
    assert world.changes("numa_hint_faults")["numa_hint_faults"] == 0


def test_a_split_gives_no_bit_that_the_huge_entry_lacks():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    child = world.sim.fork(world.process)
    task = world.sim.start_task(child, 0)
    world.sim.advise(task, region.of(child), "nohugepage", 0, 1)
    page = world.page(region, 400, child)
    assert (page.pmd, page.write, page.young, page.dirty) == (False, False, False, True)
    world.sim.check()


@pytest.mark.parametrize("zero", [False, True])
def test_a_split_opens_no_inaccessible_memory(zero):
    """A PTE of a PROT_NONE VMA is made from vm_page_prot: PROTNONE comes back."""
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0, write=not zero)
    world.sim.mprotect(world.task, region, "none")
    world.sim.munmap(world.task, region, 0, 1)
    with pytest.raises(SimulationError, match="must not read page 5"):
        world.touch(region, 5, write=False)


def test_inaccessible_memory_is_not_marked():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.sim.mprotect(world.task, region, "none")
    assert world.sim.mark(world.task, region, Mechanism.HINTING) == 0
    assert world.changes("numa_pte_updates")["numa_pte_updates"] == 0
    assert world.page(region, 0).pmd


@pytest.mark.parametrize("how", ["mmap", "mprotect"])
def test_a_read_fault_opens_no_memory_for_writing(how):
    """maybe_pmd_mkwrite asks the VMA."""
    world = World(thp=Thp(enabled="always", use_zero_page=False))
    if how == "mmap":
        region = world.sim.mmap(world.process, HUGE, write=False)
    else:
        region = world.map(BLOCK)
        world.sim.mprotect(world.task, region, "r")
    world.touch(region, 0, write=False)
    assert world.page(region, 0).pmd
    with pytest.raises(SimulationError, match="must not write page 5"):
        world.touch(region, 5)


@pytest.mark.parametrize("enabled", ["never", "always"])
@pytest.mark.parametrize("back", [False, True])
def test_a_migration_opens_no_inaccessible_memory(enabled, back):
    """remove_migration_pte starts from vm_page_prot; only the VMA gives access back."""
    world = World(thp=Thp(enabled=enabled))
    region = world.map(BLOCK)
    world.touch(region, 0, BLOCK)
    world.sim.mprotect(world.task, region, "none")
    world.sim.move_pages(world.task, region, 1)
    assert world.page(region, 5).node == 1
    if back:
        world.sim.mprotect(world.task, region, "rw")
        world.touch(region, 5)
        return
    with pytest.raises(SimulationError, match="must not read page 5"):
        world.touch(region, 5, write=False)


@pytest.mark.parametrize("enabled", ["never", "always"])
def test_a_zero_page_opens_no_inaccessible_memory(enabled):
    world = World(thp=Thp(enabled=enabled))
    region = world.map(BLOCK)
    world.touch(region, 0, BLOCK, write=False)
    world.sim.mprotect(world.task, region, "none")
    with pytest.raises(SimulationError, match="must not read page 5"):
        world.touch(region, 5, write=False)


def test_a_part_of_the_huge_zero_page_can_be_unmapped():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0, write=False)
    world.sim.munmap(world.task, region, 0, 100)
    assert world.runs(region) == [
        (100, "none", None, False),
        (BLOCK - 100, "zero", None, False),
    ]
    assert world.changes() == {"thp_split_pmd": 1}
    world.sim.check()


def test_mprotect_takes_write_from_a_part_and_gives_it_back():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.sim.mprotect(world.task, region, "r", 0, 100)
    assert [world.page(region, at).write for at in (0, 99, 100)] == [False, False, True]
    with pytest.raises(SimulationError, match="must not write page 50"):
        world.touch(region, 50)
    world.sim.mprotect(world.task, region, "rw", 0, 100)
    # Nobody else maps the page.
    assert world.page(region, 50).write
    world.changes("pgfault")
    world.touch(region, 50)
    assert world.changes("pgfault", "cow_faults") == {"pgfault": 0, "cow_faults": 0}


def test_mprotect_takes_a_hinting_mark_where_it_changes_something():
    world = World()
    region = world.map(2 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    world.sim.mark(world.task, region, Mechanism.HINTING)
    world.sim.mprotect(world.task, region, "rw")
    assert world.page(region, 0).protnone and world.page(region, 0).write
    world.sim.mprotect(world.task, region, "r", 0, BLOCK)
    page = world.page(region, 0)
    assert (page.pmd, page.protnone, page.write) == (True, False, False)
    assert world.page(region, BLOCK).protnone


@pytest.mark.parametrize(
    ("act", "marked", "zapped"),
    [
        (lambda w, r: w.sim.munmap(w.task, r), 0, 2),
        (lambda w, r: w.sim.mprotect(w.task, r, "r"), 2, 0),
        (lambda w, r: w.sim.mark(w.task, r, Mechanism.HINTING), 2, 0),
    ],
    ids=["munmap", "mprotect", "mark"],
)
def test_a_huge_entry_costs_a_call_as_one_entry(act, marked, zapped):
    world = World()
    region = world.map(2 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    spent = times(world)
    act(world, region)
    costs = Costs()
    want = marked * costs.mark_pte_ns + zapped * costs.zap_pte_ns
    want += costs.tlb_flush_ns + costs.syscall_ns
    spent = times(world) - spent
    assert spent[Cause.SYSCALL] == spent.sum() == want


# --- deferred splits --------------------------------------------------------------


def test_a_folio_waits_once_however_often_it_is_cut():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    free = world.sim.free(0)
    for first in (10, 30, 200):
        world.sim.munmap(world.task, region, first, 10)
        assert world.changes("thp_deferred_split_page") == {
            "thp_deferred_split_page": int(first == 10)
        }
    # The unmapped pages' memory stays with the folio.
    assert world.sim.free(0) == free
    assert world.sim.rss(world.process) == BLOCK - 30
    world.sim.check()
    for first, end in ((0, 10), (20, 30), (40, 200), (210, BLOCK)):
        world.sim.munmap(world.task, region, first, end - first)
    assert world.sim.free(0) == free + BLOCK
    assert world.changes("thp_deferred_split_page", "thp_split_page", "pgfree") == {
        "thp_deferred_split_page": 0,
        "thp_split_page": 0,
        "pgfree": BLOCK,
    }
    world.sim.check()


def test_the_shrinker_splits_what_waits_before_anything_is_swapped():
    world = World(nodes=1, blocks=16, swap_bytes=0)
    region = world.map(15 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    for block in range(15):
        world.sim.munmap(world.task, region, block * BLOCK + 256, 256)
    assert world.changes()["thp_deferred_split_page"] == 15
    small = world.map(1000, "nohugepage")
    world.touch(small, 0, 1000)
    assert world.changes() == {"thp_split_page": 15}
    kept = (256, "present", 0, False), (256, "none", None, False)
    assert world.runs(region) == 15 * list(kept)
    assert world.sim.free(0) == 16 * BLOCK - 15 * 256 - 1000
    world.sim.check()


def test_the_shrinker_splits_at_most_32_in_block_order():
    world = World(nodes=1, blocks=48, swap_bytes=0)
    region = world.map(46 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    for block in range(46):
        world.sim.munmap(world.task, region, block * BLOCK, 128)
    small = world.map(2 * BLOCK, "nohugepage")
    world.touch(small, 0, 2 * BLOCK - 100)
    assert world.changes("thp_split_page")["thp_split_page"] == 32
    frames = [world.page(region, at * BLOCK + 200) for at in range(46)]
    frames.sort(key=lambda page: page.frame)
    assert [page.huge for page in frames] == 32 * [False] + 14 * [True]
    world.sim.check()


# --- swap -------------------------------------------------------------------------


def pressed():
    """Return (world, region of huge pages, region of small pages that pushed some out).

    Faults on huge pages do not reclaim; those on small pages do.
    """
    world = World(nodes=1, blocks=16, swap_bytes=64 * HUGE)
    region = world.map(14 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    small = world.map(4 * BLOCK, "nohugepage")
    world.touch(small, 0, small.pages)
    return world, region, small


def test_huge_pages_are_swapped_whole_into_slots_in_a_row():
    world, region, small = pressed()
    names = "pswpout", "thp_swpout", "thp_swpout_fallback", "thp_split_page", "oom_kill"
    pages, whole, *others = world.changes(*names).values()
    assert whole >= 2 and others == [0, 0, 0]
    out = [at for at in range(0, region.pages, BLOCK) if _on_disk(world, region, at)]
    assert len(out) == whole
    for at in out:
        slots = [world.page(region, at + i).entry for i in range(BLOCK)]
        assert slots == list(range(slots[0], slots[0] + BLOCK))
    alone = sum(_on_disk(world, small, at) for at in range(small.pages))
    assert pages == whole * BLOCK + alone == world.sim.swapents(world.process)
    world.sim.check()


def _on_disk(world, region, at):
    page = world.page(region, at)
    return page.kind == "swap" and page.frame == -1


def test_a_swap_out_of_a_whole_folio_splits_its_mapping_as_on_linux():
    """Recorded: a huge page paged out counted thp_swpout 1, thp_split_pmd 1."""
    world, _, _ = pressed()
    found = world.changes("thp_swpout", "thp_split_pmd")
    assert found["thp_split_pmd"] == found["thp_swpout"] > 0


def test_what_was_swapped_whole_comes_back_page_by_page():
    world, region, _ = pressed()
    at = next(at for at in range(0, region.pages, BLOCK) if _on_disk(world, region, at))
    world.changes()
    world.touch(region, at + 3, 2, write=False)
    assert world.runs(region, at, 6) == [
        (3, "swap", None, False),
        (2, "present", 0, False),
        (1, "swap", None, False),
    ]
    assert world.changes("pswpin")["pswpin"] == 2
    world.sim.check()


def test_without_enough_slots_in_a_row_a_folio_is_split():
    world = World(nodes=1, blocks=16, swap_bytes=(BLOCK - 1) * PAGE)
    region = world.map(15 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    small = world.map(BLOCK, "nohugepage")
    world.touch(small, 0, BLOCK)
    found = world.changes("thp_swpout", "thp_swpout_fallback", "thp_split_page")
    assert found["thp_swpout"] == 0
    assert found["thp_split_page"] == found["thp_swpout_fallback"] > 0
    assert 0 < world.sim.swapents(world.process) < BLOCK
    world.sim.check()


def test_exactly_enough_slots_in_a_row_keep_a_folio_whole():
    world = World(nodes=1, blocks=16, swap_bytes=BLOCK * PAGE)
    region = world.map(15 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    small = world.map(BLOCK, "nohugepage")
    world.touch(small, 0, BLOCK)
    names = "thp_swpout", "thp_swpout_fallback", "pswpout"
    assert list(world.changes(*names).values()) == [1, 0, BLOCK]
    world.sim.check()


def test_a_shared_folio_is_swapped_whole_from_both_processes():
    world = World(nodes=1, blocks=16, swap_bytes=64 * HUGE)
    region = world.map(BLOCK)
    world.touch(region, 0)
    child = world.sim.fork(world.process)
    small = world.map(17 * BLOCK, "nohugepage")
    world.touch(small, 0, small.pages)
    assert world.changes("thp_swpout", "thp_swpout_fallback", "thp_split_page") == {
        "thp_swpout": 1,
        "thp_swpout_fallback": 0,
        "thp_split_page": 0,
    }
    mine, theirs = world.page(region, 9), world.page(region, 9, child)
    assert mine == theirs and (mine.kind, mine.count, mine.frame) == ("swap", 2, -1)
    assert world.sim.rss(child) == 0 and world.sim.swapents(child) == BLOCK
    world.sim.check()
    world.sim.exit(child)
    assert world.page(region, 9).count == 1
    world.sim.check()


def test_reclaim_splits_a_folio_that_ptes_map():
    """A child's, since 512 PTEs that were used would keep it on the active list."""
    world = World(nodes=1, blocks=16, swap_bytes=64 * HUGE)
    region = world.map(BLOCK)
    world.touch(region, 0)
    child = world.sim.fork(world.process)
    task = world.sim.start_task(child, 0)
    world.sim.exit(world.process)
    world.sim.advise(task, region.of(child), "nohugepage", 0, 1)
    assert world.page(region, 5, child).mapcount == 1
    world.changes()
    small = world.map(17 * BLOCK, "nohugepage", process=child)
    world.touch(small, 0, small.pages, by=task)
    found = world.changes("thp_split_page", "thp_swpout", "thp_split_pmd")
    assert list(found.values()) == [1, 0, 0]
    assert not world.page(region, 5, child).huge
    world.sim.check()


# --- migration --------------------------------------------------------------------


def test_a_hinting_mark_and_its_fault_are_one_for_512_pages():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    names = "numa_huge_pte_updates", "numa_pte_updates", "lazy_pages_marked"
    world.changes()
    assert world.sim.mark(world.task, region, Mechanism.HINTING) == BLOCK
    assert list(world.changes(*names).values()) == [1, BLOCK, BLOCK]
    assert world.runs(region) == [(BLOCK, "marked", None, True)]
    assert world.sim.mark(world.task, region, Mechanism.HINTING) == 0
    spent = times(world)
    world.touch(region, 0, BLOCK, cpu=1)
    assert world.runs(region) == [(BLOCK, "present", 1, True)]
    page = world.page(region, 0)
    assert (page.pmd, page.protnone, page.mapcount) == (True, False, 1)
    names = (
        "pgfault numa_hint_faults numa_hint_faults_local numa_pages_migrated"
        " pgmigrate_success thp_migration_success thp_split_pmd"
    ).split()
    found = list(world.changes(*names).values())
    assert found == [1, 1, 0, BLOCK, BLOCK, 1, 0]
    costs = Costs()
    copy = PAGE * 10**9 // costs.copy_bandwidth
    spent = times(world) - spent
    assert spent[Cause.HINT_FAULT] == costs.hint_fault_ns
    assert spent[Cause.MIGRATION] == costs.migrate_page_ns + BLOCK * copy
    assert world.sim.free(0) == 16 * BLOCK
    world.sim.check()


def test_a_local_hint_fault_moves_nothing():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.sim.mark(world.task, region, Mechanism.HINTING)
    world.touch(region, 77, write=False)
    names = "numa_hint_faults", "numa_hint_faults_local", "numa_pages_migrated"
    assert list(world.changes(*names).values()) == [1, 1, 0]
    assert not world.page(region, 0).protnone and world.page(region, 0).pmd


def test_a_hint_fault_never_splits_where_the_target_is_full():
    world = World()
    world.fragment(kept=256, node=1)
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.sim.mark(world.task, region, Mechanism.HINTING)
    world.changes()
    world.touch(region, 0, BLOCK, cpu=1)
    assert world.runs(region) == [(BLOCK, "present", 0, True)]
    assert world.page(region, 0).pmd
    assert world.refused() == {"TARGET_FULL": BLOCK}
    names = "thp_migration_fail", "pgmigrate_fail", "numa_hint_faults", "thp_split_pmd"
    assert list(world.changes(*names).values()) == [0, 0, 1, 0]
    world.sim.check()


def test_marking_a_part_splits_and_its_pages_stay_where_they_are():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.changes()
    assert world.sim.mark(world.task, region, Mechanism.HINTING, pages=100) == 100
    names = "numa_pte_updates", "numa_huge_pte_updates", "thp_split_pmd"
    assert list(world.changes(*names).values()) == [100, 0, 1]
    world.touch(region, 0, BLOCK, cpu=1)
    # Pages of a huge page that PTEs map do not move at a hint fault before 6.10.
    assert world.runs(region) == [(BLOCK, "present", 0, True)]
    assert world.refused() == {"PTE_MAPPED_THP": 100}
    assert world.changes("numa_hint_faults", "pgmigrate_fail") == {
        "numa_hint_faults": 100,
        "pgmigrate_fail": 0,
    }
    world.sim.check()


def test_the_huge_zero_page_is_not_marked():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0, write=False)
    assert world.sim.mark(world.task, region, Mechanism.HINTING) == 0
    assert world.page(region, 0).pmd


@pytest.mark.parametrize(
    ("mechanism", "kind"),
    [(Mechanism.SWAPCACHE, "swap"), (Mechanism.MIGCACHE, "parked")],
)
def test_the_caches_split_a_huge_page_and_move_it_page_by_page(mechanism, kind):
    world = World(swap_bytes=4 * BLOCK * PAGE)
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.changes()
    assert world.sim.mark(world.task, region, mechanism) == BLOCK
    assert world.runs(region) == [(BLOCK, kind, None, False)]
    assert world.changes("thp_split_pmd", "thp_split_page") == {
        "thp_split_pmd": 1,
        "thp_split_page": 1,
    }
    assert world.sim.swapents(world.process) == BLOCK
    world.touch(region, 3, cpu=1)
    world.touch(region, 4, cpu=0)
    runs = world.runs(region, 2, 4)
    assert runs == [
        (1, kind, None, False),
        (1, "present", 1, False),
        (1, "present", 0, False),
        (1, kind, None, False),
    ]
    assert world.changes("lazy_faults", "lazy_pages_migrated") == {
        "lazy_faults": 2,
        "lazy_pages_migrated": 1,
    }
    world.sim.check()


@pytest.mark.parametrize("mechanism", [Mechanism.SWAPCACHE, Mechanism.MIGCACHE])
def test_the_caches_split_a_folio_that_ptes_map(mechanism):
    world = World(swap_bytes=HUGE)
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.sim.advise(world.task, region, "nohugepage", 0, 1)
    world.changes()
    part = {"first": 100, "pages": 10}
    assert world.sim.mark(world.task, region, mechanism, **part) == 10
    kind = "swap" if mechanism == Mechanism.SWAPCACHE else "parked"
    assert world.runs(region) == [
        (100, "present", 0, False),
        (10, kind, None, False),
        (402, "present", 0, False),
    ]
    assert world.changes() == {"thp_split_page": 1, "thp_deferred_split_page": 1}
    world.sim.check()


@pytest.mark.parametrize("slots", [0, 100])
def test_the_swap_cache_splits_only_where_a_slot_is_free(slots):
    world = World(swap_bytes=slots * PAGE)
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.changes()
    assert world.sim.mark(world.task, region, Mechanism.SWAPCACHE) == slots
    assert world.refused() == {"NO_SWAP_SLOT": BLOCK - slots}
    split = int(slots > 0)
    assert world.changes("thp_split_page", "thp_split_pmd") == {
        "thp_split_page": split,
        "thp_split_pmd": split,
    }
    assert world.page(region, BLOCK - 1).pmd == (not slots)
    world.sim.check()


@pytest.mark.parametrize("mechanism", [Mechanism.SWAPCACHE, Mechanism.MIGCACHE])
def test_a_shared_huge_page_is_refused_at_once(mechanism):
    world = World(swap_bytes=4 * BLOCK * PAGE)
    region = world.map(BLOCK)
    world.touch(region, 0)
    child = world.sim.fork(world.process)
    world.changes()
    assert world.sim.mark(world.task, region, mechanism) == 0
    assert world.refused() == {"SHARED": BLOCK}
    assert world.changes() == {} and world.page(region, 0).pmd
    assert world.sim.mark(world.task, region, mechanism, move_all=True) == BLOCK
    assert world.sim.rss(child) == 0 and world.sim.swapents(child) == BLOCK
    # Both processes' entries are split.
    assert world.changes() == {
        "thp_split_page": 1,
        "thp_split_pmd": 2,
        "thp_deferred_split_page": 1,
    }
    world.sim.check()


def test_pages_that_are_not_misplaced_keep_their_huge_page():
    world = World(swap_bytes=4 * BLOCK * PAGE)
    region = world.map(BLOCK)
    world.touch(region, 0)
    policy = Policy(Mode.BIND, (0,))
    assert world.sim.mark(world.task, region, Mechanism.SWAPCACHE, policy) == 0
    assert world.page(region, 0).pmd and world.refused() == {}


def _mbind(world, region, node, **part):
    policy = Policy(Mode.BIND, (node,))
    return world.sim.mbind(world.task, region, policy, move=True, **part)


def _move_pages(world, region, node, **part):
    world.sim.move_pages(world.task, region, node, **part)


def _migrate_pages(world, region, node):
    world.sim.migrate_pages(world.task, [1 - node], [node])


@pytest.mark.parametrize("move", [_mbind, _move_pages, _migrate_pages])
def test_huge_pages_move_whole_since_4_14(move):
    world = World()
    region = world.map(2 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    world.changes()
    spent = times(world)
    move(world, region, 1)
    assert world.runs(region) == [(2 * BLOCK, "present", 1, True)]
    assert world.page(region, BLOCK).pmd
    assert world.changes() == {"thp_migration_success": 2}
    costs = Costs()
    copy = PAGE * 10**9 // costs.copy_bandwidth
    one = costs.migrate_page_ns + BLOCK * copy + costs.tlb_flush_ns
    assert (times(world) - spent)[Cause.MIGRATION] == 2 * one
    world.sim.check()


@pytest.mark.parametrize("move", [_mbind, _move_pages, _migrate_pages])
def test_huge_pages_were_split_to_be_moved_before_4_14(move):
    world = World(thp=Thp(enabled="always", unit_migration=False))
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.changes()
    move(world, region, 1)
    assert world.runs(region) == [(BLOCK, "present", 1, False)]
    # Nothing failed, so the counters of failures stay.
    assert world.changes() == {
        "thp_split_page": 1,
        "thp_split_pmd": 1,
        "thp_deferred_split_page": 1,
    }
    world.sim.check()


@pytest.mark.parametrize("move", [_mbind, _move_pages])
def test_one_page_takes_its_whole_folio_along(move):
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    move(world, region, 1, first=200, pages=1)
    assert world.runs(region) == [(BLOCK, "present", 1, True)]
    assert world.sim.free(0) == 16 * BLOCK and world.sim.free(1) == 15 * BLOCK
    world.sim.check()


@pytest.mark.parametrize("move", [_mbind, _move_pages])
def test_without_unit_migration_only_the_range_moves(move):
    world = World(thp=Thp(enabled="always", unit_migration=False))
    region = world.map(BLOCK)
    world.touch(region, 0)
    move(world, region, 1, first=200, pages=10)
    assert world.runs(region) == [
        (200, "present", 0, False),
        (10, "present", 1, False),
        (302, "present", 0, False),
    ]
    world.sim.check()


@pytest.mark.parametrize("move", [_mbind, _move_pages, _migrate_pages])
def test_a_target_without_a_whole_block_costs_the_huge_page(move):
    world = World()
    world.fragment(kept=256, node=1)
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.changes()
    move(world, region, 1)
    assert world.runs(region) == [(BLOCK, "present", 1, False)]
    names = (
        "thp_split_page thp_split_pmd thp_migration_fail thp_migration_split"
        " thp_migration_success pgmigrate_fail compact_stall"
    ).split()
    # They never compact, and every page finds a frame by itself.
    assert list(world.changes(*names).values()) == [1, 1, 1, 1, 0, 0, 0]
    world.sim.check()


def test_move_pages_says_where_each_page_is():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.sim.fork(world.process)
    sim, task = world.sim, world.task
    # EACCES: shared.
    assert set(sim.move_pages(task, region, 1).tolist()) == {-13}
    assert set(sim.move_pages(task, region, 1, move_all=True).tolist()) == {1}
    # Where a page is comes before who has it.
    assert set(sim.move_pages(task, region, 1).tolist()) == {1}


def test_a_hint_fault_moves_a_shared_huge_page_for_all():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    child = world.sim.fork(world.process)
    assert world.sim.mark(world.task, region, Mechanism.HINTING) == BLOCK
    assert not world.page(region, 0, child).protnone
    world.touch(region, 3, write=False, cpu=1)
    mine, theirs = world.page(region, 3), world.page(region, 3, child)
    assert mine.frame == theirs.frame and mine.node == 1
    assert mine.pmd and theirs.pmd and mine.mapcount == 2
    assert world.changes("thp_migration_success", "numa_hint_faults") == {
        "thp_migration_success": 1,
        "numa_hint_faults": 1,
    }
    world.sim.check()


@pytest.mark.parametrize("move", [_mbind, _move_pages])
def test_a_shared_huge_page_does_not_move_without_move_all(move):
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    child = world.sim.fork(world.process)
    world.changes()
    move(world, region, 1)
    assert world.page(region, 0).node == 0 and world.refused() == {"SHARED": BLOCK}
    move(world, region, 1, move_all=True)
    both = [world.page(region, 0, process) for process in (world.process, child)]
    assert [(page.node, page.pmd) for page in both] == [(1, True), (1, True)]
    assert both[0].frame == both[1].frame and both[0].mapcount == 2
    assert world.changes() == {"thp_migration_success": 1}
    world.sim.check()


def test_moving_a_folio_that_ptes_map_queues_it_unless_it_waits():
    """Recorded: each such move counts thp_deferred_split_page, on the old node."""
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.sim.advise(world.task, region, "nohugepage", 0, 1)
    world.changes()
    for node in (1, 0):
        _move_pages(world, region, node)
        assert world.changes() == {
            "thp_migration_success": 1,
            "thp_deferred_split_page": 1,
        }
    world.sim.munmap(world.task, region, 0, 1)
    assert world.changes() == {"thp_deferred_split_page": 1}
    _move_pages(world, region, 1, first=1)
    assert world.changes() == {"thp_migration_success": 1}
    world.sim.check()


def test_hot_remove_splits_huge_pages_and_empties_the_node():
    world = World()
    region = world.map(3 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    world.changes()
    assert world.sim.hot_remove(0) == 0
    assert world.changes() == {
        "thp_split_page": 3,
        "thp_split_pmd": 3,
        "thp_deferred_split_page": 3,
    }
    assert world.runs(region) == [(3 * BLOCK, "parked", None, False)]
    world.touch(region, 0, region.pages)
    assert world.runs(region) == [(3 * BLOCK, "present", 1, False)]
    world.sim.check()


def test_hot_remove_takes_folios_in_every_state():
    """One shared by two processes, one cut and partly unmapped, one whole."""
    world = World()
    region = world.map(3 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    world.sim.munmap(world.task, region, BLOCK, 12)
    child = world.sim.fork(world.process)
    task = world.sim.start_task(child, 1)
    world.sim.munmap(task, region.of(child), BLOCK + 12, 2 * BLOCK - 12)
    world.changes()
    assert world.sim.hot_remove(0) == 0
    # The first has two PMD entries, the second had none.
    assert world.changes("thp_split_page", "thp_split_pmd") == {
        "thp_split_page": 3,
        "thp_split_pmd": 3,
    }
    assert [world.sim.free(node) for node in (0, 1)] == [
        16 * BLOCK,
        13 * BLOCK + 12,
    ]
    world.sim.check()
    world.touch(region, 0, BLOCK, by=task, write=False)
    world.touch(region, 0, BLOCK)
    assert world.page(region, 0, child).node == 1
    world.sim.check()
    for process in (child, world.process):
        world.sim.exit(process)
    assert world.sim.free(1) == 16 * BLOCK and world.sim.entries_in_use == 0


# --- fork, exit, OOM --------------------------------------------------------------


def family():
    """Return (world, region, child, child's task) that share a huge page."""
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    child = world.sim.fork(world.process)
    world.changes()
    return world, region, child, world.sim.start_task(child, 1)


def test_fork_shares_a_huge_page_read_only():
    world, region, child, _ = family()
    mine, theirs = world.page(region, 8), world.page(region, 8, child)
    assert mine.frame == theirs.frame and mine.mapcount == 2
    assert (mine.pmd, mine.write, mine.young) == (True, False, True)
    assert (theirs.pmd, theirs.write, theirs.young) == (True, False, False)
    assert world.sim.rss(child) == BLOCK
    assert world.sim.free(0) == 15 * BLOCK
    world.sim.check()


def test_a_write_to_a_shared_huge_page_copies_one_page():
    world, region, child, task = family()
    world.changes("pgfault")
    world.touch(region, 5, by=task)
    assert world.runs(region, process=child) == [
        (5, "present", 0, True),
        (1, "present", 1, False),
        (BLOCK - 6, "present", 0, True),
    ]
    page = world.page(region, 6, child)
    assert (page.pmd, page.write, page.mapcount) == (False, False, 2)
    assert world.page(region, 5).mapcount == 1 and world.page(region, 5).pmd
    assert world.changes(
        "pgfault", "cow_faults", "thp_split_pmd", "thp_split_page"
    ) == {
        "pgfault": 1,
        "cow_faults": 1,
        "thp_split_pmd": 1,
        "thp_split_page": 0,
    }
    spent = world.sim.times(child)
    assert spent[Cause.HUGE_FAULT] == Costs().split_pmd_ns
    assert spent[Cause.COW] > Costs().minor_fault_ns
    world.sim.check()


def test_the_last_owner_writes_on_without_a_split():
    world, region, child, _ = family()
    world.sim.exit(child)
    world.changes("pgfault")
    world.touch(region, 5)
    page = world.page(region, 5)
    assert (page.pmd, page.write, page.mapcount) == (True, True, 1)
    assert world.changes("pgfault", "cow_faults", "thp_split_pmd") == {
        "pgfault": 1,
        "cow_faults": 0,
        "thp_split_pmd": 0,
    }
    assert world.sim.free(0) == 15 * BLOCK


def test_a_child_inherits_the_huge_page_of_a_dead_parent():
    world, region, child, task = family()
    world.sim.exit(world.process)
    world.touch(region, 0, BLOCK, by=task)
    assert world.runs(region, process=child) == [(BLOCK, "present", 0, True)]
    world.sim.exit(child)
    assert [world.sim.free(node) for node in (0, 1)] == 2 * [16 * BLOCK]
    assert world.changes() == {}
    world.sim.check()


def test_processes_write_to_the_huge_zero_page_apart():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0, write=False)
    child = world.sim.fork(world.process)
    task = world.sim.start_task(child, 1)
    world.touch(region, 8, by=task)
    assert world.page(region, 8, child).node == 1
    assert world.page(region, 8).pmd and world.page(region, 8).kind == "zero"
    assert (world.sim.rss(world.process), world.sim.rss(child)) == (0, 1)
    world.sim.check()


def test_a_page_of_a_folio_that_ptes_map_is_always_copied():
    """Without other sharers too: Linux before 6.10 cannot tell."""
    world, region, child, _ = family()
    world.touch(region, 5)
    world.sim.exit(child)
    # The frame of page 5 has no user any more.
    assert world.changes() == {"thp_split_pmd": 1, "thp_deferred_split_page": 1}
    world.touch(region, 6)
    assert not world.page(region, 6).huge
    assert world.changes("cow_faults")["cow_faults"] == 1
    world.sim.check()


def test_exit_of_processes_that_split_differently_frees_all():
    world, region, child, task = family()
    world.sim.munmap(world.task, region, 0, 100)
    world.sim.mprotect(task, region.of(child), "r", 50, 20)
    world.sim.check()
    world.sim.exit(world.process)
    world.sim.check()
    world.sim.exit(child)
    assert world.sim.free(0) == 16 * BLOCK
    world.sim.check()


@pytest.mark.parametrize(("pages", "dies"), [(2047, "huge"), (2048, "small")])
def test_a_huge_entry_counts_as_a_page_table_too(pages, dies):
    """OOM badness: 2048 + 4 of the one; 2047 + 4 or, created later, 2048 + 4."""
    world = World(nodes=1, blocks=12)
    tasks = {"huge": world.task}
    for name in ("small", "greedy"):
        process = world.sim.spawn(name, 16 * HUGE)
        tasks[name] = world.sim.start_task(process, 0)
    world.touch(world.map(4 * BLOCK), 0, 4 * BLOCK, stride=BLOCK)
    # The last finds 2048 frames or one more, less those below the watermark.
    for name, wanted in (("small", pages), ("greedy", 2047)):
        region = world.sim.mmap(tasks[name].process, wanted * PAGE)
        world.sim.advise(tasks[name], region, "nohugepage")
        world.touch(region, 0, wanted, by=tasks[name])
    alive = [name for name, task in tasks.items() if task.process.alive]
    assert alive == [name for name in tasks if name != dies]
    assert world.changes("oom_kill")["oom_kill"] == 1
    world.sim.check()


# --- bad input --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: Khugepaged(max_ptes_none=512),
            "khugepaged.max_ptes_none must be from 0 to 511, got 512",
        ),
        (
            lambda: Khugepaged(max_ptes_none=-1),
            "khugepaged.max_ptes_none must be from 0 to 511, got -1",
        ),
        (
            lambda: Khugepaged(max_ptes_swap=512),
            "khugepaged.max_ptes_swap must be from 0 to 511, got 512",
        ),
        (
            lambda: Khugepaged(max_ptes_shared=-3),
            "khugepaged.max_ptes_shared must be from 0 to 511, got -3",
        ),
        (
            lambda: Khugepaged(pages_to_scan=0),
            "khugepaged.pages_to_scan must be from 1 to 4294967295, got 0",
        ),
        (
            lambda: Khugepaged(scan_sleep_millisecs=0),
            "khugepaged.scan_sleep_millisecs must be from 1 to 4294967295, got 0",
        ),
        (
            lambda: Khugepaged(alloc_sleep_millisecs=-5),
            "khugepaged.alloc_sleep_millisecs must be from 1 to 4294967295, got -5",
        ),
        (
            lambda: Khugepaged(target="nearest"),
            "khugepaged.target must be one of first_page, majority_round_robin,"
            " majority_mask, random, got 'nearest'",
        ),
        (
            lambda: Thp(enabled="inherit"),
            "thp.enabled must be one of never, madvise, always, got 'inherit'",
        ),
        (
            lambda: Thp(defrag="defer_madvise"),
            "thp.defrag must be one of never, madvise, defer[+]madvise, defer, always,"
            " got 'defer_madvise'",
        ),
        (
            lambda: Khugepaged(max_ptes_none=1.5),
            "khugepaged.max_ptes_none must be an integer, got 1.5",
        ),
        (
            lambda: Khugepaged(defrag="madvise"),
            "khugepaged.defrag must be true or false, got 'madvise'",
        ),
        (lambda: Tlb(entries_4k=3), "tlb.entries_4k must be at least 4, got 3"),
        (lambda: Tlb(entries_2m=0), "tlb.entries_2m must be at least 4, got 0"),
        (
            lambda: Tlb(walk_cache_bytes=0),
            "tlb.walk_cache_bytes must be at least 1, got 0",
        ),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(wrong, message):
    with pytest.raises(BadInput, match=message):
        wrong()


def test_the_ends_of_the_ranges_are_allowed():
    for value in (0, 511):
        limits = dict.fromkeys(
            ("max_ptes_none", "max_ptes_swap", "max_ptes_shared"), value
        )
        assert Khugepaged(**limits).max_ptes_none == value
    assert Tlb(entries_4k=4, entries_2m=4).entries_4k == 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda w, r: w.sim.advise(w.task, r, "dontneed"),
            "advice must be one of none, hugepage, nohugepage, got 'dontneed'",
        ),
        (
            lambda w, r: w.sim.advise(w.task, r, "hugepage", 500, 13),
            "range must lie in the 512 pages",
        ),
        (
            lambda w, r: w.sim.collapse(w.task, r, -1, 2),
            "range must lie in the 512 pages",
        ),
        (lambda w, r: w.sim.idle(-1), "ns must be at least 0, got -1"),
    ],
)
def test_a_bad_operation_is_refused_and_changes_nothing(wrong, message):
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    before, spent = world.page(region, 0), world.sim.clock(world.task)
    with pytest.raises(BadInput, match=message):
        wrong(world, region)
    assert world.page(region, 0) == before
    assert world.sim.clock(world.task) == spent


@pytest.mark.parametrize("act", ["advise", "mprotect"])
def test_a_range_with_a_hole_is_refused_before_anything_is_split(act):
    world = World()
    region = world.map(2 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    world.sim.munmap(world.task, region, BLOCK, BLOCK)
    world.changes()
    what = {"advise": "nohugepage", "mprotect": "r"}[act]
    with pytest.raises(BadInput, match="must all be mapped"):
        getattr(world.sim, act)(world.task, region, what, 10, BLOCK)
    assert world.changes() == {}
    assert world.page(region, 0).pmd


# --- what Linux 6.1 did -----------------------------------------------------------

#: SLIT of the machine of the recordings.
SLIT = ((10, 16, 22, 22), (16, 10, 22, 22), (22, 22, 10, 16), (22, 22, 16, 10))


def linux(**options):
    """Return the recordings' machine: four nodes, THP defrag ``always``."""
    thp = Thp(enabled="always", defrag="always")
    return World(blocks=32, slit=SLIT, thp=thp, **options)


def state(world, region, process=None):
    """Return (runs, kB mapped by PMDs, kB of rss), as a recording has them."""
    who = process or world.process
    small = world.sim.huge_pages(who) * 4, world.sim.rss(who) * 4
    return world.runs(region, process=who), *small


def test_linux_unmap_protect_and_move():
    """A hole, a protected page, a whole and a partial move, an end cut off.

    Recorded with MADV_DONTNEED where this unmaps.
    """
    world = linux()
    sim, task, region = world.sim, world.task, world.map(4096)
    world.touch(region, 0, 4096, cpu=1)
    assert state(world, region) == ([(4096, "present", 1, True)], 16384, 16384)
    assert world.changes() == {"thp_fault_alloc": 8}
    sim.munmap(task, region, 512, 1)
    hole = [(512, "present", 1, True), (1, "none", None, False)]
    all_there = [*hole, (3583, "present", 1, True)]
    assert state(world, region) == (all_there, 14336, 16380)
    assert world.changes() == {"thp_deferred_split_page": 1, "thp_split_pmd": 1}
    sim.mprotect(task, region, "r", 1024, 1)
    assert state(world, region) == (all_there, 12288, 16380)
    assert world.changes() == {"thp_split_pmd": 1}
    sim.move_pages(task, region, 3, first=2048, pages=512)
    sim.move_pages(task, region, 3, first=2560, pages=1)
    moved = [*hole, (1535, "present", 1, True), (1024, "present", 3, True)]
    assert state(world, region) == (
        [*moved, (1024, "present", 1, True)],
        12288,
        16380,
    )
    assert world.changes() == {"thp_migration_success": 2}
    sim.munmap(task, region, 3584, 256)
    tail = [(512, "present", 1, True), (256, "none", None, False)]
    runs = [*moved, *tail, (256, "present", 1, True)]
    assert state(world, region) == (runs, 10240, 15356)
    assert world.changes() == {"thp_deferred_split_page": 1, "thp_split_pmd": 1}


def unmap(first, pages):
    return lambda w, r: w.sim.munmap(w.task, r, first, pages)


def protect(prot, first, pages):
    return lambda w, r: w.sim.mprotect(w.task, r, prot, first, pages)


def move(node, first, pages):
    return lambda w, r: w.sim.move_pages(w.task, r, node, first=first, pages=pages)


def bind(node, first, pages):
    policy = Policy(Mode.BIND, (node,))
    return lambda w, r: w.sim.mbind(
        w.task, r, policy, move=True, first=first, pages=pages
    )


def there(pages, node):
    return pages, "present", node, True


def none(pages):
    return pages, "none", None, False


SPLIT, DEFERRED, MOVED = (
    "thp_split_pmd",
    "thp_deferred_split_page",
    ("thp_migration_success"),
)


@pytest.mark.parametrize(
    ("pages", "cpu", "steps"),
    [
        (
            1536,
            1,
            [
                # Pages are on the node already; the protection is the same already.
                (move(1, 420, 506), [there(1536, 1)], 6144, {}),
                (
                    unmap(1456, 80),
                    [there(1456, 1), none(80)],
                    4096,
                    {DEFERRED: 1, SPLIT: 1},
                ),
                (protect("rw", 188, 120), [there(1456, 1), none(80)], 4096, {}),
            ],
        ),
        (
            1536,
            3,
            [
                (protect("r", 530, 174), [there(1536, 3)], 4096, {SPLIT: 1}),
                (protect("r", 437, 527), [there(1536, 3)], 2048, {SPLIT: 1}),
                (
                    move(0, 1161, 1),
                    [there(1024, 3), there(512, 0)],
                    2048,
                    {MOVED: 1},
                ),
            ],
        ),
        (
            3072,
            1,
            [
                (
                    bind(3, 43, 512),
                    [there(1024, 3), there(2048, 1)],
                    8192,
                    {DEFERRED: 2, SPLIT: 2, MOVED: 2},
                ),
                (move(1, 1524, 478), [there(1024, 3), there(2048, 1)], 8192, {}),
                (
                    bind(1, 172, 512),
                    [there(3072, 1)],
                    8192,
                    {DEFERRED: 2, MOVED: 2},
                ),
                (
                    bind(0, 2692, 46),
                    [there(2560, 1), there(512, 0)],
                    6144,
                    {DEFERRED: 1, SPLIT: 1, MOVED: 1},
                ),
            ],
        ),
        (
            2560,
            0,
            [
                (protect("rw", 1612, 202), [there(2560, 0)], 10240, {}),
                (
                    bind(1, 1060, 512),
                    [there(1024, 0), there(1024, 1), there(512, 0)],
                    6144,
                    {DEFERRED: 2, SPLIT: 2, MOVED: 2},
                ),
                (
                    unmap(95, 1),
                    [
                        there(95, 0),
                        none(1),
                        there(928, 0),
                        there(1024, 1),
                        there(512, 0),
                    ],
                    4096,
                    {DEFERRED: 1, SPLIT: 1},
                ),
                (
                    protect("r", 2184, 376),
                    [
                        there(95, 0),
                        none(1),
                        there(928, 0),
                        there(1024, 1),
                        there(512, 0),
                    ],
                    2048,
                    {SPLIT: 1},
                ),
            ],
        ),
        (
            1536,
            0,
            [
                (
                    unmap(524, 1),
                    [there(524, 0), none(1), there(1011, 0)],
                    4096,
                    {DEFERRED: 1, SPLIT: 1},
                ),
                (
                    protect("rw", 665, 512),
                    [there(524, 0), none(1), there(1011, 0)],
                    4096,
                    {},
                ),
                (
                    move(1, 1398, 47),
                    [there(524, 0), none(1), there(499, 0), there(512, 1)],
                    4096,
                    {MOVED: 1},
                ),
            ],
        ),
    ],
    ids=["same-node", "protect-twice", "bind-parts", "protect-same", "hole"],
)
def test_linux_splits(pages, cpu, steps):
    world = linux()
    region = world.map(pages)
    world.touch(region, 0, pages, stride=BLOCK, cpu=cpu)
    assert state(world, region) == ([there(pages, cpu)], pages * 4, pages * 4)
    assert world.changes() == {"thp_fault_alloc": pages // BLOCK}
    for operation, runs, mapped_kb, counted in steps:
        operation(world, region)
        found = state(world, region)
        assert found[:2] == (runs, mapped_kb)
        assert found[2] == 4 * sum(run[0] for run in runs if run[1] == "present")
        assert world.changes() == counted
    world.sim.check()


def test_linux_policies():
    world = linux()
    sim, task = world.sim, world.task
    bound = world.map(2048)
    sim.mbind(task, bound, Policy(Mode.BIND, (2, 3)))
    world.touch(bound, 0, 2048)
    assert state(world, bound)[0] == [there(2048, 2)]
    moved = world.map(2048)
    world.touch(moved, 0, 2048)
    sim.mbind(task, moved, Policy(Mode.BIND, (2,)), move=True)
    assert world.runs(moved) == [there(2048, 2)]
    assert sim.huge_pages(world.process) == 4096
    # Both folios that the range touches move whole, and both mappings are split.
    sim.mbind(task, moved, Policy(Mode.BIND, (3,)), move=True, first=256, pages=512)
    assert world.runs(moved) == [there(1024, 3), there(1024, 2)]
    assert sim.huge_pages(world.process) == 3072
    tail = world.map(2304)
    world.touch(tail, 0, 2304)
    assert world.runs(tail) == [there(2048, 0), (256, "present", 0, False)]
    assert world.changes() == {
        "thp_fault_alloc": 12,
        DEFERRED: 2,
        SPLIT: 2,
        MOVED: 6,
    }


def test_linux_zero_pages():
    """Written to, a huge zero page becomes small pages, even page after page."""
    world = linux()
    region = world.map(2048)
    world.touch(region, 0, 2048, write=False)
    assert state(world, region) == ([(2048, "zero", None, False)], 0, 0)
    world.touch(region, 0)
    world.touch(region, 512, 512)
    runs = [(1, "present", 0, False), (511, "zero", None, False)]
    runs += [(512, "present", 0, False), (1024, "zero", None, False)]
    assert state(world, region) == (runs, 0, 2052)
    assert world.changes() == {SPLIT: 2}


def test_linux_fork_and_copy_on_write():
    world = linux()
    region = world.map(2048)
    world.touch(region, 0, 2048)
    kid = world.sim.fork(world.process, "kid")
    task = world.sim.start_task(kid, 2)
    world.touch(region, 0, by=task)
    world.touch(region, 512, 512, by=task)
    runs = [(1, "present", 2, False), there(511, 0)]
    runs += [(512, "present", 2, False), there(1024, 0)]
    assert state(world, region, kid) == (runs, 4096, 8192)
    assert state(world, region) == ([there(2048, 0)], 8192, 8192)
    assert world.changes() == {"thp_fault_alloc": 4, SPLIT: 2}
    world.touch(region, 0)
    world.touch(region, 1024)
    own = (1, "present", 0, False)
    runs = 2 * [own, there(1023, 0)]
    assert state(world, region) == (runs, 4096, 8192)
    assert world.changes() == {DEFERRED: 1, SPLIT: 2}
    world.sim.exit(kid)
    world.touch(region, 1536)
    assert state(world, region) == (runs, 4096, 8192)
    assert world.changes() == {DEFERRED: 1}
    world.sim.check()


def test_the_deferred_lists_are_empty_at_the_end():
    world = linux()
    region = world.map(4 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    for block in range(4):
        world.sim.munmap(world.task, region, block * BLOCK + 1, 1)
    assert world.sim.memory.node[:, st.Node.DEFERRED].tolist() == [4, 0, 0, 0]
    world.sim.exit(world.process)
    assert not world.sim.memory.node[:, st.Node.DEFERRED].any()
    assert world.sim.free(0) == 32 * BLOCK


def test_a_gap_in_a_range_is_named():
    """What is collapsed must be mapped; the message says where it is not."""
    world = World()
    region = world.map(3 * BLOCK)
    first = region.first
    world.sim.munmap(world.task, region, BLOCK, 100)
    for call in (world.sim.collapse, world.sim.munmap):
        with pytest.raises(
            BadInput,
            match=f"pages {first} to {first + 3 * BLOCK} of process main must all be"
            f" mapped, got none at {first + BLOCK} to {first + BLOCK + 100}",
        ):
            call(world.task, region)


def test_a_page_that_only_huge_entries_map_again_is_not_shared_any_more():
    """A child that split its entry is gone: the parent reuses the page, as on Linux."""
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0, 1)
    child = world.sim.fork(world.task.process)
    task = world.sim.start_task(child, 1)
    world.sim.run([Sweep(task=task, region=region.of(child), count=1)])
    assert world.sim.total("thp_split_pmd") == 1
    world.sim.exit(child)
    world.touch(region, 0, 1)
    assert world.sim.total("cow_faults") == 1 == world.sim.total("thp_split_pmd")
    assert world.sim.huge_pages(world.task.process) == BLOCK
    world.sim.check()

"""Where a huge page comes from: fallback, compaction, policies and watermarks.

Written from ``docs/model/thp.md``.
"""

import pytest

from common.huge_pages import (
    ALWAYS,
    BLOCK,
    HUGE,
    PAGE,
    World,
    bind_and_move,
    move_pages,
    times,
)
from lazynuma.engine import (
    Costs,
    Mechanism,
    Mode,
    Policy,
    Settings,
    Simulation,
    Sweep,
    Thp,
    uniform,
)
from lazynuma.kernels import state as st
from lazynuma.kernels.counters import Cause


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
        (_fault_then(lambda w, r: bind_and_move(w, r, 1)), st.Node.MIN, 0),
        (_fault_then(lambda w, r: move_pages(w, r, 1)), st.Node.LOW, 0),
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

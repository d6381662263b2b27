"""Lazy migration of huge pages: marks, hint faults, and the two caches.

Written from ``docs/model/thp.md``.
"""

import pytest

from common.huge_pages import BLOCK, HUGE, PAGE, World, times
from lazynuma.engine import Costs, Mechanism, Mode, Policy
from lazynuma.kernels.counters import Cause


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

"""Huge pages that mbind, move_pages, migrate_pages or hot remove move.

Written from ``docs/model/thp.md``.
"""

import pytest

from common.huge_pages import (
    BLOCK,
    PAGE,
    World,
    bind_and_move,
    migrate_pages,
    move_pages,
    times,
)
from lazynuma.engine import Costs, Thp
from lazynuma.kernels.counters import Cause


@pytest.mark.parametrize("move", [bind_and_move, move_pages, migrate_pages])
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


@pytest.mark.parametrize("move", [bind_and_move, move_pages, migrate_pages])
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


@pytest.mark.parametrize("move", [bind_and_move, move_pages])
def test_one_page_takes_its_whole_folio_along(move):
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    move(world, region, 1, first=200, pages=1)
    assert world.runs(region) == [(BLOCK, "present", 1, True)]
    assert world.sim.free(0) == 16 * BLOCK and world.sim.free(1) == 15 * BLOCK
    world.sim.check()


@pytest.mark.parametrize("move", [bind_and_move, move_pages])
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


@pytest.mark.parametrize("move", [bind_and_move, move_pages, migrate_pages])
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
    # EBUSY: the folio waits to be moved, for its first page's sake.  Then it is moved.
    status = sim.move_pages(task, region, 1, move_all=True).tolist()
    assert status == [1, -16] + [1] * (BLOCK - 2)
    # Where a page is comes before who has it.
    assert set(sim.move_pages(task, region, 1).tolist()) == {1}


@pytest.mark.parametrize("move", [bind_and_move, move_pages])
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
        move_pages(world, region, node)
        assert world.changes() == {
            "thp_migration_success": 1,
            "thp_deferred_split_page": 1,
        }
    world.sim.munmap(world.task, region, 0, 1)
    assert world.changes() == {"thp_deferred_split_page": 1}
    move_pages(world, region, 1, first=1)
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

"""Faults that map huge pages: who gets one, the huge zero page, and shards.

Written from ``docs/model/thp.md``.
"""

import pytest

from common.huge_pages import BLOCK, HUGE, World, times
from lazynuma.engine import Costs, Mode, Policy, Thp
from lazynuma.kernels.counters import Cause


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


def test_a_tasks_interleave_places_a_block_by_its_number():
    world = World(nodes=4)
    region = world.map(5 * BLOCK)
    world.sim.set_mempolicy(world.task, Policy(Mode.INTERLEAVE, (0, 2, 3)))
    for block in (4, 2, 0, 1, 3):
        world.touch(region, block * BLOCK)
    assert [world.page(region, at * BLOCK).node for at in range(5)] == [0, 2, 3, 0, 2]


def test_a_vma_that_begins_inside_a_block_is_one_behind():
    world = World(nodes=4)
    region = world.map(6 * BLOCK)
    # Linux 6.1 places these blocks so.
    world.sim.mbind(world.task, region, Policy(Mode.INTERLEAVE, (0, 1, 3)))
    world.sim.mbind(
        world.task, region, Policy(Mode.INTERLEAVE, (1, 2)), first=0, pages=700
    )
    for block in range(6):
        world.touch(region, block * BLOCK)
    nodes = [world.page(region, at * BLOCK).node for at in range(6)]
    assert nodes == [1, 1, 1, 3, 0, 1]

"""Huge pages after fork and exit, and when memory runs out.

Written from ``docs/model/thp.md``.
"""

import pytest

from common.huge_pages import BLOCK, HUGE, PAGE, World
from lazynuma.engine import Costs, Sweep
from lazynuma.kernels.counters import Cause

# --- fork, exit, OOM ------------------------------------------------------------------


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


# --- what Linux 6.1 did ---------------------------------------------------------------


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

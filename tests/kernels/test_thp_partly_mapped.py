"""Huge pages that are partly mapped: who queues, splits and moves them, by kernel.

Written from ``docs/model/thp.md`` 12; the counters are as recorded.
"""

from dataclasses import replace

import pytest

from common.huge_pages import BLOCK, HUGE, World, bind_and_move
from lazynuma.engine.settings.profiles import PROFILES

KERNELS = "linux-6.1", "linux-6.12", "linux-6.16", "linux-7.3"
ONCE_IN_6_1 = [(profile, profile == "linux-6.1") for profile in KERNELS]


def world(profile, blocks=32, **knobs):
    """Return a world by the rules of a kernel for huge pages."""
    thp = replace(PROFILES[profile].thp, min_free=False, **knobs)
    zeromap = PROFILES[profile].swap_zeromap
    return World(blocks=blocks, thp=thp, swap_zeromap=zeromap, swap_bytes=8 * HUGE)


def folio(made, write=True):
    """Return a region of a huge page that PTEs map."""
    region = made.map(BLOCK)
    made.touch(region, 0, BLOCK, write=write)
    made.sim.mprotect(made.task, region, "r", 0, 10)
    made.sim.mprotect(made.task, region, "rw")  # advice goes VMA by VMA
    made.changes()
    return region


def queued(made):
    return made.changes("thp_deferred_split_page")["thp_deferred_split_page"]


@pytest.mark.parametrize(("profile", "count"), ONCE_IN_6_1)
def test_a_zap_of_all_pages_at_once(profile, count):
    made = world(profile)
    region = folio(made)
    made.sim.madvise(made.task, region, "dontneed")
    assert queued(made) == count
    made.sim.check()


@pytest.mark.parametrize("profile", KERNELS)
def test_a_zap_of_a_part_queues_once(profile):
    made = world(profile)
    region = folio(made)
    made.sim.madvise(made.task, region, "dontneed", 20, 5)
    assert queued(made) == 1
    made.sim.madvise(made.task, region, "dontneed", 60, 5)
    assert queued(made) == 0
    made.sim.check()


def test_marks_end_a_row_of_a_zap():
    made = world("linux-6.12")
    region = folio(made)
    made.sim.mprotect(made.task, region, "none", 100, 12)
    made.sim.munmap(made.task, region)
    assert queued(made) == 1
    made.sim.check()


@pytest.mark.parametrize(("profile", "count"), ONCE_IN_6_1)
def test_a_split_of_a_whole_mapping(profile, count):
    made = world(profile)
    region = made.map(BLOCK)
    made.touch(region, 0, BLOCK)
    made.changes()
    made.sim.madvise(made.task, region, "cold", 3, 1)
    found = made.changes("thp_split_page", "thp_deferred_split_page")
    assert found == {"thp_split_page": 1, "thp_deferred_split_page": count}


@pytest.mark.parametrize("profile", KERNELS)
def test_a_split_of_ptes_queues_before_it_splits(profile):
    made = world(profile)
    region = folio(made)
    made.sim.madvise(made.task, region, "cold", 3, 1)
    found = made.changes("thp_split_page", "thp_deferred_split_page")
    assert found == {"thp_split_page": 1, "thp_deferred_split_page": 1}


MOVES = {
    # Moved first, then again: (thp_migration_success, _fail, deferred) of both.
    "linux-6.1": ((1, 0, 1), (1, 0, 1)),
    "linux-6.12": ((1, 0, 2), (0, 1, 0)),
    "linux-6.16": ((1, 0, 1), (1, 0, 1)),
    "linux-7.3": ((1, 0, 2), (0, 1, 0)),
}


@pytest.mark.parametrize("profile", KERNELS)
def test_a_folio_that_ptes_map_moves_whole_the_first_time(profile):
    made = world(profile)
    region = folio(made)
    names = "thp_migration_success", "thp_migration_fail", "thp_deferred_split_page"
    for node, want in zip((1, 0), MOVES[profile], strict=True):
        made.sim.move_pages(made.task, region, node)
        assert tuple(made.changes(*names).values()) == want
        assert {made.page(region, at).node for at in range(BLOCK)} == {node}
    made.sim.check()


@pytest.mark.parametrize("how", ["move_pages", "mbind", "migrate_pages"])
@pytest.mark.parametrize("profile", KERNELS)
def test_one_that_waits_is_split_to_be_moved(profile, how):
    """The call is for one page; a folio that is split takes all its pages along."""
    made = world(profile)
    region = folio(made)
    made.sim.madvise(made.task, region, "dontneed", 100, 50)
    made.changes()
    if how == "move_pages":
        made.sim.move_pages(made.task, region, 1, pages=1)
    elif how == "mbind":
        bind_and_move(made, region, 1, pages=1)
    else:
        made.sim.migrate_pages(made.task, [0], [1])
    split = profile != "linux-6.1"
    names = "thp_split_page", "thp_migration_fail", "thp_migration_split"
    assert tuple(made.changes(*names).values()) == (split, split, split)
    assert {made.page(region, at).node for at in (0, 99, 150, 511)} == {1}
    assert made.page(region, 0).huge != split
    assert made.sim.rss(made.process) == BLOCK - 50
    made.sim.check()


def test_pages_of_a_split_folio_that_find_no_room_stay():
    made = world("linux-6.12", blocks=8)
    region = folio(made)
    made.sim.madvise(made.task, region, "dontneed", 100, 50)
    filler = made.map(8 * BLOCK, "nohugepage")
    bind_and_move(made, filler, 1)
    made.touch(filler, 0, 8 * BLOCK - 300)
    made.changes()
    made.sim.move_pages(made.task, region, 1)
    assert made.changes("pgmigrate_fail")["pgmigrate_fail"] > 0
    assert made.sim.rss(made.process) == 9 * BLOCK - 350
    made.sim.check()


@pytest.mark.parametrize("profile", KERNELS)
def test_pageout_of_what_ptes_map(profile):
    """All 512 PTEs of one process: split in 6.1, swapped out whole later."""
    made = world(profile)
    region = folio(made)
    made.sim.madvise(made.task, region, "pageout")
    whole = profile != "linux-6.1"
    found = made.changes("thp_swpout", "thp_split_page", "pswpout")
    assert tuple(found.values()) == (whole, not whole, BLOCK)
    assert made.sim.swapents(made.process) == BLOCK
    made.sim.check()


@pytest.mark.parametrize("profile", KERNELS)
def test_pageout_of_a_part_splits(profile):
    made = world(profile)
    region = folio(made)
    made.sim.madvise(made.task, region, "pageout", 100, 100)
    assert made.changes("thp_split_page", "thp_swpout", "pswpout") == {
        "thp_split_page": 1,
        "thp_swpout": 0,
        "pswpout": 100,
    }


def test_a_folio_that_another_maps_whole_is_swapped_out_whole():
    """Recorded on 6.1 (min-pageout_double_map): thp_swpout 1, no split."""
    made = world("linux-6.1")
    region = made.map(BLOCK)
    made.touch(region, 0, BLOCK)
    child = made.sim.fork(made.process)
    task = made.sim.start_task(child, 1)
    made.touch(region, 0, 5, by=task)
    made.changes()
    made.sim.madvise(made.task, region, "pageout")
    found = made.changes("thp_swpout", "thp_split_page", "thp_deferred_split_page")
    assert tuple(found.values()) == (1, 0, 0)
    assert made.sim.swapents(made.process) == BLOCK
    assert made.sim.swapents(child) == BLOCK - 5
    assert made.sim.rss(child) == 5
    made.sim.exit(made.process)
    assert made.sim.slots_in_use == BLOCK - 5
    made.sim.check()


def test_slots_of_pages_that_nobody_maps_are_free_again():
    made = world("linux-6.1")
    region = made.map(BLOCK)
    made.touch(region, 0, BLOCK)
    child = made.sim.fork(made.process)
    made.sim.madvise(made.sim.start_task(child, 1), region.of(child), "dontneed", 0, 90)
    made.sim.madvise(made.task, region, "pageout")
    assert made.sim.slots_in_use == BLOCK
    made.sim.exit(made.process)
    assert made.sim.slots_in_use == BLOCK - 90
    made.sim.check()


@pytest.mark.parametrize(
    ("profile", "splits", "deferred"),
    [("linux-6.12", 1, 1), ("linux-6.16", 0, 0), ("linux-7.3", 1, 0)],
)
def test_a_lazily_freed_huge_page(profile, splits, deferred):
    made = world(profile)
    region = made.map(BLOCK)
    made.touch(region)
    made.sim.madvise(made.task, region, "free")
    made.changes()
    made.sim.madvise(made.task, region, "pageout")
    names = "thp_split_pmd", "thp_deferred_split_page", "pglazyfreed"
    assert tuple(made.changes(*names).values()) == (splits, deferred, BLOCK)
    assert made.runs(region) == [(BLOCK, "none", None, False)]
    assert made.sim.rss(made.process) == 0
    made.sim.check()


@pytest.mark.parametrize("profile", KERNELS)
def test_a_lazily_freed_huge_page_that_was_written_stays(profile):
    made = world(profile)
    region = made.map(BLOCK)
    made.touch(region)
    made.sim.madvise(made.task, region, "free")
    made.touch(region, 30)
    made.sim.madvise(made.task, region, "pageout")
    assert made.sim.rss(made.process) == BLOCK
    made.sim.check()


@pytest.mark.parametrize("profile", ["linux-6.12", "linux-6.16"])
def test_free_of_all_ptes_keeps_the_folio(profile):
    made = world(profile)
    region = folio(made)
    made.sim.madvise(made.task, region, "free")
    assert made.page(region, 0).huge
    assert not made.page(region, 0).dirty and not made.page(region, 511).young
    made.sim.madvise(made.task, region, "pageout")
    assert made.sim.rss(made.process) == 0
    made.sim.check()


@pytest.mark.parametrize("profile", KERNELS)
def test_a_write_to_the_huge_zero_page(profile):
    made = world(profile)
    region = made.map(BLOCK)
    made.touch(region, write=False)
    made.touch(region, 5)
    huge = profile in ("linux-6.16", "linux-7.3")
    assert made.sim.rss(made.process) == (BLOCK if huge else 1)
    found = made.changes("thp_fault_alloc", "thp_split_pmd")
    assert tuple(found.values()) == (huge, not huge)
    made.sim.check()


def test_a_write_to_the_huge_zero_page_that_finds_no_block():
    made = world("linux-6.16", blocks=4, defrag="never")
    region = made.map(BLOCK)
    made.touch(region, write=False)
    made.fragment(20, 4, 0)
    made.fragment(20, 4, 1)
    made.touch(region, 5)
    assert made.sim.rss(made.process) % BLOCK != 0
    assert made.changes("thp_fault_fallback")["thp_fault_fallback"] >= 1
    assert not made.page(region, 5).huge


@pytest.mark.parametrize(("profile", "split"), [("linux-6.12", 1), ("linux-6.16", 0)])
def test_who_is_likely_shared(profile, split):
    """Two processes map other parts: 6.12 looks at the first page alone."""
    made = world(profile)
    region = made.map(BLOCK)
    made.touch(region, 0, BLOCK)
    child = made.sim.fork(made.process)
    task = made.sim.start_task(child, 0)
    made.sim.munmap(made.task, region, 0, 100)
    made.sim.madvise(task, region.of(child), "dontneed", 100, 412)
    made.changes()
    made.sim.madvise(made.task, region, "cold", 200, 10)
    assert made.changes("thp_split_page")["thp_split_page"] == split
    made.sim.check()


@pytest.mark.parametrize("profile", KERNELS)
def test_drop_splits_what_waits(profile):
    made = world(profile)
    region = folio(made)
    made.sim.munmap(made.task, region, 100, 10)
    made.changes()
    made.sim.drop_caches()
    assert made.changes("thp_split_page")["thp_split_page"] == 1
    assert not made.page(region, 0).huge
    assert made.sim.free(0) == 32 * BLOCK - (BLOCK - 10)
    made.sim.check()

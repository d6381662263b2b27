"""What pages hold, and what splits and swap make of zero-filled ones.

Written from ``docs/model/page.md`` 14 and ``docs/model/thp.md`` 12.
"""

from dataclasses import replace

import pytest

from common.huge_pages import BLOCK, HUGE, World
from lazynuma.engine import Thp
from lazynuma.engine.settings.profiles import PROFILES
from lazynuma.engine.settings.thp import Khugepaged

ZERO, NONE = "zero", "none"
SWAP = 8 * HUGE


def world(profile="linux-6.12", **options):
    """Return a world by the rules of a kernel; options are those of settings."""
    rules = PROFILES[profile]
    options = {"swap_zeromap": rules.swap_zeromap, "swap_bytes": SWAP} | options
    thp = replace(rules.thp, min_free=False)
    return World(blocks=32, thp=options.pop("thp", thp), **options)


def kinds(made, region, first=0, pages=None):
    """Return [(pages, kind)] of a range."""
    runs = made.runs(region, first, pages)
    return [(count, kind) for count, kind, _, _ in runs]


def split(made, region, block=0):
    """Split a huge page, as pageout of three of its pages does first."""
    at = block * BLOCK
    made.sim.madvise(made.task, region, "cold", at + 500, 3)


@pytest.mark.parametrize("stride", [1, 16, 256, 512])
def test_a_split_keeps_what_was_written(stride):
    made = world()
    region = made.map(BLOCK)
    made.touch(region, 0, BLOCK, stride=stride)
    split(made, region)
    written = [made.page(region, at).kind == "present" for at in range(BLOCK)]
    assert written == [at % stride == 0 for at in range(BLOCK)]
    assert made.sim.rss(made.process) == BLOCK // stride
    assert made.sim.free(0) == 32 * BLOCK - BLOCK // stride
    made.sim.check()


def test_6_1_keeps_all_pages():
    made = world("linux-6.1")
    region = made.map(BLOCK)
    made.touch(region)
    split(made, region)
    assert kinds(made, region) == [(BLOCK, "present")]


def test_reading_and_populating_write_nothing():
    made = world()
    region = made.map(2 * BLOCK)
    made.sim.populate(made.task, region)
    made.touch(region, 0, BLOCK, write=False)
    split(made, region)
    assert kinds(made, region) == [(BLOCK, ZERO), (BLOCK, "present")]
    assert made.sim.rss(made.process) == BLOCK


def test_a_zero_page_becomes_a_page_again():
    made = world()
    region = made.map(BLOCK)
    made.touch(region)
    split(made, region)
    made.touch(region, 7)
    runs = [(1, "present"), (6, ZERO), (1, "present"), (504, ZERO)]
    assert kinds(made, region) == runs


def test_what_a_page_holds_moves_along():
    made = world()
    region = made.map(BLOCK)
    made.touch(region, 3)
    made.sim.move_pages(made.task, region, 1)
    split(made, region)
    assert made.runs(region, 2, 3)[1] == (1, "present", 1, False)
    assert made.sim.rss(made.process) == 1
    made.sim.check()


def test_a_copy_holds_what_its_page_did():
    """A child writes one page of a folio: the copies of later splits are its own."""
    made = world()
    region = made.map(BLOCK)
    made.touch(region, 5)
    child = made.sim.fork(made.process)
    task = made.sim.start_task(child, 0)
    made.touch(region, 9, by=task)
    assert made.page(region, 9).frame != made.page(region, 9, child).frame
    made.sim.exit(made.process)
    made.sim.madvise(task, region.of(child), "cold", 500, 3)
    held = [made.page(region, at, child).kind for at in (4, 5, 9)]
    assert held == [ZERO, "present", "present"]
    made.sim.check()


def test_both_processes_see_zero_pages():
    made = world()
    region = made.map(BLOCK)
    made.touch(region)
    child = made.sim.fork(made.process)
    made.sim.drop_caches()  # nothing waits
    made.sim.exit(child)
    child = made.sim.fork(made.process)
    made.touch(region, 0, by=made.sim.start_task(child, 0))
    made.sim.munmap(made.task, region, 100, 10)
    made.sim.exit(made.process)
    made.sim.drop_caches()
    # The first page is the child's copy.
    assert kinds_of(made, region, child) == [(1, "present"), (511, ZERO)]
    assert made.sim.rss(child) == 1
    made.sim.check()


def kinds_of(made, region, process):
    runs = made.runs(region, process=process)
    return [(count, kind) for count, kind, _, _ in runs]


def test_a_hole_that_khugepaged_fills_is_zero():
    made = world()
    region = made.map(BLOCK, "nohugepage")
    made.touch(region, 0, 300, stride=3)
    made.sim.advise(made.task, region, "hugepage")
    assert made.sim.collapse(made.task, region) == 0
    split(made, region)
    held = [made.page(region, at).kind for at in range(BLOCK)]
    assert held.count("present") == 100 and held[3] == "present" and held[4] == ZERO


def test_a_collapse_asks_slots_what_they_hold():
    made = world()
    region = made.map(BLOCK, "nohugepage")
    made.sim.populate(made.task, region)
    made.touch(region, 0, 500)
    made.sim.madvise(made.task, region, "pageout", 499, 2)
    made.sim.advise(made.task, region, "hugepage")
    made.changes()
    assert made.sim.collapse(made.task, region) == 0
    # The one that was written is read, the other only counts as a fault.
    assert made.changes("pswpin", "pgmajfault") == {"pswpin": 1, "pgmajfault": 2}
    split(made, region)
    assert kinds(made, region) == [(500, "present"), (12, ZERO)]


@pytest.mark.parametrize("huge", [False, True])
def test_zero_filled_pages_are_not_written_to_swap(huge):
    made = world()
    region = made.map(BLOCK, "hugepage" if huge else "nohugepage")
    made.sim.populate(made.task, region)
    if not huge:
        made.touch(region, 0, 100)
    made.changes()
    made.sim.madvise(made.task, region, "pageout")
    assert kinds(made, region) == [(BLOCK, "swap")]
    names = "pswpout", "thp_swpout", "thp_split_pmd"
    assert made.changes(*names) == dict(
        zip(names, (0, 0, 1) if huge else (100, 0, 0), strict=True)
    )
    made.touch(region, 0, BLOCK, write=False)
    read = made.changes("pswpin", "pgmajfault")
    assert read == {"pswpin": 0 if huge else 100, "pgmajfault": BLOCK}
    made.sim.check()


def test_a_huge_page_with_one_written_page_goes_out_whole():
    made = world()
    region = made.map(BLOCK)
    made.touch(region, 200)
    made.sim.madvise(made.task, region, "pageout")
    found = made.changes("pswpout", "thp_swpout")
    assert found == {"pswpout": BLOCK, "thp_swpout": 1}
    made.touch(region, 0, BLOCK, write=False)
    assert made.changes("pswpin")["pswpin"] == BLOCK
    # Its pages are what they were: collapsed and split, one is left.
    made.touch(region, 200)
    made.sim.collapse(made.task, region)
    split(made, region)
    assert made.sim.rss(made.process) == 1


def test_without_the_zeromap_every_page_is_written():
    made = world(swap_zeromap=False)
    region = made.map(BLOCK)
    made.sim.populate(made.task, region)
    made.sim.madvise(made.task, region, "pageout")
    assert made.changes("pswpout")["pswpout"] == BLOCK


def test_shared_pages_have_a_zeromap_too():
    made = world()
    region = made.sim.mmap(made.process, 100 * 4096, shared=True)
    made.sim.populate(made.task, region)
    made.touch(region, 0, 10)
    made.sim.madvise(made.task, region, "pageout")
    assert made.changes("pswpout")["pswpout"] == 10
    made.touch(region, 0, 100, write=False)
    assert made.changes("pswpin")["pswpin"] == 10


@pytest.mark.parametrize(("most", "left"), [(511, BLOCK), (508, 4), (507, 4)])
def test_the_shrinker_splits_underused_pages(most, left):
    made = world(khugepaged=Khugepaged(max_ptes_none=most))
    region = made.map(2 * BLOCK)
    made.touch(region, 0, BLOCK, stride=128)
    made.touch(region, BLOCK, BLOCK)
    if most == 508:  # 508 are zero: not more than that
        left = BLOCK
    made.sim.drop_caches()
    assert made.sim.rss(made.process) == left + BLOCK
    assert made.page(region, BLOCK).pmd
    made.sim.check()


def test_one_that_passed_is_not_asked_again():
    made = world(khugepaged=Khugepaged(max_ptes_none=400))
    region = made.map(BLOCK)
    made.touch(region, 0, 200)
    made.sim.drop_caches()
    settings = replace(made.sim.settings, khugepaged=Khugepaged(max_ptes_none=0))
    made.sim.configure(settings)
    made.sim.drop_caches()
    assert made.page(region, 0).pmd


def test_who_does_not_ask_notes_nothing():
    made = World(thp=Thp(enabled="always"), swap_bytes=SWAP)
    region = made.map(2 * BLOCK)
    made.touch(region, 0, 600)
    made.sim.madvise(made.task, region, "pageout")
    assert not made.sim.memory.frame_written.any()
    assert not made.sim.memory.slot_written.any()

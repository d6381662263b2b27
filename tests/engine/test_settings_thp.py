"""Settings of huge pages that are out of range, and calls that are refused."""

import pytest

from common.huge_pages import BLOCK, World
from lazynuma.engine import BadInput, Khugepaged, Thp, Tlb


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

"""The result of a scan: which blocks khugepaged collapses, and why not others.

Written from ``docs/model/thp.md``.
"""

import pytest

from common.huge_pages import BLOCK, HUGE
from common.khugepaged import (
    EINVAL,
    WAKE,
    ask,
    heir,
    huge_at,
    one_vma,
    place,
    results,
    small,
    wake,
    world,
)
from lazynuma.engine import Mechanism
from lazynuma.kernels.counters import Vm


def test_a_block_of_small_pages_is_collapsed():
    w = world()
    region = small(w)
    assert wake(w, region) == {"SUCCEED": 1}
    page = w.page(region, 17)
    assert (page.pmd, page.node, page.mapcount) == (True, 0, 1)
    assert (page.write, page.young, page.dirty) == (True, True, True)
    names = "thp_collapse_alloc", "thp_fault_alloc", "thp_collapse_alloc_failed"
    assert list(w.changes(*names).values()) == [1, 0, 0]
    assert w.sim.pages_collapsed == 1 and w.sim.rss(w.process) == BLOCK
    assert w.sim.free(0) == 31 * BLOCK


def test_a_block_that_nobody_touched_is_none():
    w = world()
    region = w.map(2 * BLOCK)
    w.touch(region, BLOCK)
    assert wake(w, region) == {"PMD_NONE": 1, "SUCCEED": 1}


@pytest.mark.parametrize("read", [False, True])
def test_a_vma_without_an_anon_vma_is_passed_over(read):
    """Zero pages give it none."""
    w = world()
    region = w.map(BLOCK)
    if read:
        w.touch(region, 0, BLOCK, write=False)
    assert wake(w, region) == {"VMA_CHECK": 1}


@pytest.mark.parametrize("write", [True, False])
def test_a_huge_page_and_the_huge_zero_page_are_mapped(write):
    w = world()
    region = w.map(BLOCK, "hugepage")
    w.touch(region, 0, write=write)
    assert wake(w) == {"PMD_MAPPED": 1}


@pytest.mark.parametrize(
    ("limit", "present", "succeeds"),
    [
        (0, 512, True),
        (0, 511, False),
        (64, 448, True),
        (64, 447, False),
        (255, 257, True),
        (255, 256, False),
        (511, 1, True),
    ],
)
def test_the_border_of_max_ptes_none(limit, present, succeeds):
    w = world(max_ptes_none=limit)
    region = w.map(BLOCK)
    w.touch(region, 0, present, cpu=1)
    name = "SUCCEED" if succeeds else "EXCEED_NONE_PTE"
    assert wake(w, region) == {name: 1}
    # Counted on the node of the page table.
    counted = w.sim.counters()[:, Vm.THP_SCAN_EXCEED_NONE_PTE].tolist()
    assert counted == [0, int(not succeeds), 0, 0]
    assert w.sim.rss(w.process) == (BLOCK if succeeds else present)


@pytest.mark.parametrize(("zeros", "succeeds"), [(511, True), (512, False)])
def test_zero_pages_are_none_and_511_is_the_most(zeros, succeeds):
    """A table of 512 zero pages is more than max_ptes_none can allow."""
    w = world()
    region = w.map(2 * BLOCK)
    w.touch(region, 0, zeros, write=False)
    w.touch(region, zeros, 2 * BLOCK - zeros)
    first = {"SUCCEED": 2} if succeeds else {"EXCEED_NONE_PTE": 1, "SUCCEED": 1}
    assert wake(w, region) == first


@pytest.mark.parametrize(
    ("limit", "swapped", "result"),
    [
        (64, 64, "SUCCEED"),
        (64, 65, "EXCEED_SWAP_PTE"),
        (0, 0, "SUCCEED"),
        (0, 1, "EXCEED_SWAP_PTE"),
        (511, 256, "SUCCEED"),
        # 255 pages that were used are less than half.
        (511, 257, "LACK_REFERENCED_PAGE"),
    ],
)
def test_the_border_of_max_ptes_swap(limit, swapped, result):
    w = world(swap_bytes=2 * HUGE, max_ptes_swap=limit)
    region = small(w, cpu=2)
    if swapped:
        part = {"first": 100, "pages": swapped}
        assert w.sim.mark(w.task, region, Mechanism.SWAPCACHE, **part) == swapped
        one_vma(w, region)
    assert wake(w, region) == {result: 1}
    counted = w.sim.counters()[:, Vm.THP_SCAN_EXCEED_SWAP_PTE].tolist()
    assert counted == [0, 0, int(result == "EXCEED_SWAP_PTE"), 0]
    if result == "SUCCEED":
        assert w.sim.slots_in_use == w.sim.swapents(w.process) == 0


@pytest.mark.parametrize(
    ("limit", "own", "result"),
    [
        (256, 256, "SUCCEED"),
        (256, 255, "EXCEED_SHARED_PTE"),
        (0, 512, "SUCCEED"),
        (0, 511, "EXCEED_SHARED_PTE"),
        (511, 1, "SUCCEED"),
        (511, 0, "EXCEED_SHARED_PTE"),
    ],
)
def test_the_border_of_max_ptes_shared(limit, own, result):
    w = world(max_ptes_shared=limit)
    region = small(w, cpu=3)
    child = w.sim.fork(w.process)
    if own:
        w.touch(region, BLOCK - own, own)
    w.sim.advise(w.task, region, "hugepage")
    assert wake(w)[result] == 1
    counted = w.sim.counters()[:, Vm.THP_SCAN_EXCEED_SHARE_PTE].tolist()
    assert counted == [0, 0, 0, int(result == "EXCEED_SHARED_PTE")]
    # The child keeps what it had.
    assert w.runs(region, process=child) == [(BLOCK, "present", 3, False)]
    assert huge_at(w, region) == (result == "SUCCEED")


def test_the_first_limit_in_address_order_names_the_result():
    for first, second in ((0, 1), (1, 0)):
        w = world(swap_bytes=HUGE, max_ptes_none=0, max_ptes_swap=0)
        region = w.map(BLOCK)
        w.touch(region, first, 1)
        w.touch(region, 2, BLOCK - 2)
        w.sim.mark(w.task, region, Mechanism.SWAPCACHE, first=first, pages=1)
        assert w.page(region, second).kind == "none"
        one_vma(w, region)
        name = "EXCEED_NONE_PTE" if first else "EXCEED_SWAP_PTE"
        assert wake(w, region) == {name: 1}


def test_a_page_in_the_migration_cache_is_not_present():
    w = world()
    region = small(w)
    w.sim.mark(w.task, region, Mechanism.MIGCACHE, first=300, pages=1)
    one_vma(w, region)
    assert wake(w, region) == {"PTE_NON_PRESENT": 1}


@pytest.mark.parametrize(("marked", "result"), [(512, "PAGE_RO"), (511, "SUCCEED")])
def test_a_block_that_is_marked_for_hinting_is_read_only(marked, result):
    w = world()
    region = small(w)
    w.sim.mark(w.task, region, Mechanism.HINTING, pages=marked)
    one_vma(w, region)
    assert wake(w, region) == {result: 1}
    assert huge_at(w, region) == (result == "SUCCEED")
    if marked == BLOCK:
        # Nor does the attempt cost a mark.
        assert w.page(region, 0).protnone
        assert w.sim.collapse(w.task, region) == EINVAL


def test_a_protected_block_is_read_only():
    w = world()
    region = small(w)
    w.sim.mprotect(w.task, region, "r")
    assert wake(w, region) == {"PAGE_RO": 1}


def test_one_writable_page_of_a_block_is_enough():
    w = world()
    task, region = heir(w)
    assert ask(w, task, region) == {"PAGE_RO": 1}
    w.touch(region, 7, by=task)
    w.sim.idle(WAKE)
    assert results(w) == {"PAGE_RO": 1, "SUCCEED": 1}


def test_a_block_without_a_used_page_lacks_references():
    w = world()
    task, region = heir(w)
    w.sim.mprotect(task, region, "r")
    w.sim.mprotect(task, region, "rw")
    page = w.sim.page(region.process, region.first + 3)
    assert page.write and not page.young
    assert ask(w, task, region) == {"LACK_REFERENCED_PAGE": 1}
    w.touch(region, 3, write=False, by=task)
    w.sim.idle(WAKE)
    assert results(w) == {"LACK_REFERENCED_PAGE": 1, "SUCCEED": 1}


@pytest.mark.parametrize(
    ("young", "result"), [(255, "LACK_REFERENCED_PAGE"), (256, "SUCCEED")]
)
def test_with_swap_half_a_block_must_have_been_used(young, result):
    w = world(swap_bytes=HUGE)
    task, region = heir(w)
    w.touch(region, 0, young, by=task)
    w.sim.mark(task, region, Mechanism.SWAPCACHE, first=BLOCK - 1, pages=1)
    one_vma(w, region, task)
    assert ask(w, task, region) == {result: 1}


@pytest.mark.parametrize(
    ("distance", "node_reclaim", "result"),
    [(31, True, "SCAN_ABORT"), (30, True, "SUCCEED"), (31, False, "SUCCEED")],
)
def test_far_nodes_do_not_share_a_huge_page_with_node_reclaim(
    distance, node_reclaim, result
):
    slit = ((10, 20, distance), (20, 10, 20), (distance, 20, 10))
    w = world(slit=slit, node_reclaim=node_reclaim)
    region = w.map(BLOCK)
    place(w, region, 0, (100, 0), (100, 1), (100, 2))
    assert wake(w, region) == {result: 1}


def test_far_nodes_in_different_blocks_do_not_matter():
    slit = ((10, 40), (40, 10))
    w = world(slit=slit, node_reclaim=True)
    region = w.map(2 * BLOCK)
    place(w, region, 0, (100, 0))
    place(w, region, 1, (100, 1))
    assert wake(w, region) == {"SUCCEED": 2}


def test_vmas_that_have_no_block_to_offer_are_checked():
    w = world()
    small(w)
    tiny = w.map(BLOCK - 1, "hugepage")
    w.touch(tiny, 0, tiny.pages)
    assert wake(w) == {"VMA_CHECK": 2}
    assert w.sim.full_scans == 1

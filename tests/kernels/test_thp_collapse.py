"""What a collapse leaves, and MADV_COLLAPSE.

Written from ``docs/model/thp.md``.
"""

import pytest

from common.host_memory import resident
from common.huge_pages import BLOCK, HUGE, PAGE
from common.khugepaged import (
    EINVAL,
    ENOMEM,
    WAKE,
    heir,
    huge_at,
    one_vma,
    place,
    results,
    small,
    wake,
    world,
)
from lazynuma.engine import (
    BadInput,
    Costs,
    Mechanism,
    Settings,
    Simulation,
    Thp,
    uniform,
)
from lazynuma.kernels.counters import Cause, Vm
from lazynuma.kernels.words import PMD_NID, PMD_NID_SHIFT

# --- what a collapse leaves -----------------------------------------------------------


def test_a_collapse_keeps_the_node_of_the_page_table():
    w = world()
    region = w.map(BLOCK)
    place(w, region, 0, (1, 3), (100, 1))
    wake(w, region)
    word = int(w.sim.memory.pmd[region.first // BLOCK])
    assert (word & PMD_NID) >> PMD_NID_SHIFT == 3 and w.page(region, 0).node == 1
    w.sim.munmap(w.task, region, 0, 1)
    assert w.sim.counters()[:, Vm.THP_SPLIT_PMD].tolist() == [0, 0, 0, 1]


def test_pages_on_disk_are_read_back_for_a_collapse():
    w = world(nodes=1, blocks=16, swap_bytes=64 * HUGE, max_ptes_swap=511)
    region = small(w, 4)
    other = w.sim.start_task(w.sim.spawn(nbytes=64 * HUGE), 0)
    hog = w.map(14 * BLOCK, process=other.process)
    w.touch(hog, 0, hog.pages, by=other)
    w.sim.exit(other.process)
    # One page at least is in memory, or it is a block that is wholly on disk.
    w.touch(region, 0, region.pages, stride=BLOCK)
    gone = [_on_disk(w, region, block) for block in range(4)]
    assert max(gone) > 0
    w.changes()
    assert w.sim.collapse(w.task, region) == 0
    assert w.runs(region) == [(4 * BLOCK, "present", 0, True)]
    assert w.changes("pswpin", "pgmajfault", "thp_collapse_alloc") == {
        "pswpin": sum(gone),
        "pgmajfault": sum(gone),
        "thp_collapse_alloc": 4,
    }
    assert w.sim.slots_in_use == w.sim.swapents(w.process) == 0
    w.sim.check()


def _on_disk(w, region, block):
    """Return the pages of a block that are in a swap slot only."""
    pages = (w.page(region, block * BLOCK + i) for i in range(BLOCK))
    return sum(page.kind == "swap" and page.frame < 0 for page in pages)


def test_pages_in_the_swap_cache_are_not_read_back():
    w = world(swap_bytes=HUGE)
    region = small(w)
    w.sim.mark(w.task, region, Mechanism.SWAPCACHE, first=10, pages=20)
    one_vma(w, region)
    assert w.sim.collapse(w.task, region) == 0
    assert w.sim.slots_in_use == 0 and w.sim.free(0) == 31 * BLOCK
    assert w.changes("pswpin", "pgmajfault") == {"pswpin": 0, "pgmajfault": 0}
    w.sim.check()


def test_a_collapse_leaves_relatives_what_they_share():
    """Pages and swap slots: the child's stay, and are its own from now on."""
    w = world(swap_bytes=HUGE)
    region = small(w)
    child = w.sim.fork(w.process)
    part = {"first": 100, "pages": 64, "move_all": True}
    assert w.sim.mark(w.task, region, Mechanism.SWAPCACHE, **part) == 64
    w.touch(region, 0)
    one_vma(w, region)
    assert w.page(region, 100, child).count == 2
    assert w.sim.collapse(w.task, region) == 0
    assert w.runs(region, process=child) == [
        (100, "present", 0, False),
        (64, "swap", None, False),
        (348, "present", 0, False),
    ]
    assert w.page(region, 100, child).count == w.page(region, 50, child).mapcount == 1
    assert w.sim.slots_in_use == w.sim.swapents(child) == 64
    w.sim.check()
    w.sim.exit(child)
    assert w.sim.free(0) == 31 * BLOCK and w.sim.slots_in_use == 0


def test_a_collapse_gives_the_host_the_page_tables_back():
    """128 blocks: 512 KiB of PTEs that no process of the simulation has any more."""
    machine, blocks = uniform(1, 512 << 20), 128
    simulation = Simulation(machine, Settings(thp=Thp(enabled="madvise")))
    process = simulation.spawn(nbytes=blocks * HUGE)
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, blocks * HUGE)
    assert simulation.populate(task, region) == region.pages
    ptes = simulation.memory.pte[region.first : region.first + region.pages]
    assert resident(ptes) == blocks
    simulation.advise(task, region, "hugepage")
    half = blocks // 2 * BLOCK
    assert simulation.collapse(task, region, pages=half) == 0
    assert resident(ptes) == blocks // 2
    # The daemon does as the call does; eight blocks a wake-up, PMD entries included.
    simulation.idle(blocks // 8 * WAKE + blocks * Costs().collapse_ns)
    assert simulation.huge_pages(process) == region.pages
    assert resident(ptes) == 0


# --- MADV_COLLAPSE --------------------------------------------------------------------


@pytest.mark.parametrize("enabled", ["never", "madvise", "always"])
def test_the_call_does_not_ask_for_the_setting(enabled):
    w = world(thp=Thp(enabled=enabled))
    region = w.map(BLOCK, "nohugepage")
    w.touch(region, 0, BLOCK)
    w.sim.advise(w.task, region, "none")
    spent = w.sim.times(w.process)
    assert w.sim.collapse(w.task, region) == 0
    assert huge_at(w, region)
    spent = w.sim.times(w.process) - spent
    assert spent[Cause.SYSCALL] == Costs().collapse_ns + Costs().syscall_ns
    assert w.changes("thp_collapse_alloc")["thp_collapse_alloc"] == 1
    # It is no scan of the daemon.
    assert results(w) == {} and w.sim.pages_collapsed == 0
    w.sim.check()


def test_the_call_knows_no_limits():
    w = world(swap_bytes=HUGE, max_ptes_none=0, max_ptes_swap=0, max_ptes_shared=0)
    region = w.map(3 * BLOCK)
    w.touch(region, 5)
    w.touch(region, BLOCK, 2 * BLOCK)
    w.sim.mark(w.task, region, Mechanism.SWAPCACHE, first=BLOCK, pages=511)
    w.sim.fork(w.process)
    w.touch(region, 5)
    w.touch(region, 2 * BLOCK - 1)
    w.touch(region, 3 * BLOCK - 1)
    one_vma(w, region)
    assert w.sim.collapse(w.task, region) == 0
    assert w.runs(region) == [(3 * BLOCK, "present", 0, True)]
    names = [one for one in Vm.__members__ if one.startswith("THP_SCAN_EXCEED")]
    assert len(names) == 3
    assert set(w.changes(*names).values()) == {0}
    w.sim.check()


def test_the_call_does_not_ask_whether_a_block_was_used():
    w = world()
    task, region = heir(w)
    w.sim.mprotect(task, region, "r")
    assert w.sim.collapse(task, region) == EINVAL
    w.sim.mprotect(task, region, "rw")
    assert w.sim.collapse(task, region) == 0


@pytest.mark.parametrize("kind", ["none", "read-only", "parked", "zero"])
def test_a_block_that_cannot_be_collapsed_is_einval(kind):
    w = world()
    region = w.map(BLOCK)
    if kind == "zero":
        w.touch(region, 0, BLOCK, write=False)
    elif kind != "none":
        w.touch(region, 0, BLOCK)
    if kind == "read-only":
        w.sim.mprotect(w.task, region, "r")
    if kind == "parked":
        w.sim.mark(w.task, region, Mechanism.MIGCACHE, first=511, pages=1)
        one_vma(w, region)
    before = w.runs(region)
    assert w.sim.collapse(w.task, region) == EINVAL
    assert w.runs(region) == before
    assert w.changes() == {}


def test_a_huge_page_is_a_success():
    w = world()
    region = w.map(2 * BLOCK, "hugepage")
    w.touch(region, 0)
    w.touch(region, BLOCK, write=False)
    spent = w.sim.times(w.process)
    assert w.sim.collapse(w.task, region) == 0
    assert (w.sim.times(w.process) - spent).sum() == Costs().syscall_ns
    assert w.page(region, BLOCK).kind == "zero"


def test_without_memory_the_call_is_enomem():
    w = world(nodes=2, blocks=16)
    w.fragment(kept=464)
    region = small(w)
    assert w.runs(region) == [(BLOCK, "present", 0, False)]
    assert w.sim.collapse(w.task, region) == ENOMEM
    assert w.sim.counters()[:, Vm.THP_COLLAPSE_ALLOC_FAILED].tolist() == [1, 0]
    assert not huge_at(w, region)


def test_the_caller_pays_for_compaction():
    w = world(nodes=2, blocks=16)
    w.fragment(kept=256)
    region = small(w)
    assert w.sim.collapse(w.task, region) == 0
    costs = Costs()
    copy = PAGE * 10**9 // costs.copy_bandwidth
    moved = w.changes("compact_isolated")["compact_isolated"]
    assert moved >= 256
    spent = w.sim.times(w.process)[Cause.COMPACTION]
    assert spent == moved * (costs.migrate_page_ns + copy)


def test_only_whole_blocks_of_the_range_are_collapsed():
    w = world()
    region = small(w, 3)
    assert w.sim.collapse(w.task, region, 1, 3 * BLOCK - 2) == 0
    assert [huge_at(w, region, block) for block in range(3)] == [False, True, False]


def test_the_call_stops_at_a_block_that_has_no_table():
    """SCAN_PMD_NULL goes on, SCAN_PMD_NONE does not (madvise_collapse, 6.1)."""
    w = world()
    region = w.map(3 * BLOCK)
    w.touch(region, 0, BLOCK)
    w.touch(region, 2 * BLOCK, BLOCK)
    assert w.sim.collapse(w.task, region) == EINVAL
    assert [huge_at(w, region, block) for block in range(3)] == [True, False, False]


def test_the_call_goes_on_after_a_block_that_is_read_only():
    w = world()
    region = small(w, 3)
    w.sim.mark(w.task, region, Mechanism.HINTING, first=BLOCK, pages=BLOCK)
    one_vma(w, region)
    assert w.sim.collapse(w.task, region) == EINVAL
    assert [huge_at(w, region, block) for block in range(3)] == [True, False, True]


def test_the_call_stops_where_memory_ends():
    """ENOMEM is what the caller hears, whatever the next block is."""
    w = world(nodes=2, blocks=16, defrag=False)
    w.fragment(kept=256)
    region = w.map(2 * BLOCK)
    place(w, region, 0, (BLOCK, 0))
    assert w.sim.collapse(w.task, region, 0, BLOCK) == ENOMEM
    assert w.sim.collapse(w.task, region) == ENOMEM


def test_the_call_heeds_nohugepage():
    """hugepage_vma_check looks at VM_NOHUGEPAGE, whoever asks."""
    w = world()
    region = small(w)
    w.sim.advise(w.task, region, "nohugepage")
    assert w.sim.collapse(w.task, region) == EINVAL
    assert not huge_at(w, region)


def test_a_range_that_is_not_mapped_is_refused_by_name():
    w = world()
    region = small(w, 3)
    w.sim.munmap(w.task, region, BLOCK + 5, 1)
    with pytest.raises(BadInput, match="pages 0 to 1536 of process main must all be"):
        w.sim.collapse(w.task, region)
    assert not huge_at(w, region, 0) and w.changes("thp_collapse_alloc") == {
        "thp_collapse_alloc": 0
    }
    with pytest.raises(BadInput, match="range must lie in the 1536 pages"):
        w.sim.collapse(w.task, region, 0, 3 * BLOCK + 1)

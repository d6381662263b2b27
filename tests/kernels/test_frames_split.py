"""Splits of a huge mapping and of a folio, at once or deferred.

Written from ``docs/model/thp.md``.
"""

import pytest

from common.huge_pages import BLOCK, HUGE, World, linux, times
from lazynuma.engine import (
    BadInput,
    Costs,
    Mechanism,
    Mode,
    Policy,
    SimulationError,
    Thp,
)
from lazynuma.kernels import state as st
from lazynuma.kernels.counters import Cause

# --- splits of the PMD ----------------------------------------------------------------


def _munmap(world, region):
    world.sim.munmap(world.task, region, 0, 1)


def _protect(world, region):
    world.sim.mprotect(world.task, region, "r", 0, 1)


def _advise(world, region):
    world.sim.advise(world.task, region, "nohugepage", 0, 1)


def _bind(world, region):
    world.sim.mbind(world.task, region, Policy(Mode.BIND, (0,)), first=0, pages=1)


def _mark(world, region):
    world.sim.mark(world.task, region, Mechanism.HINTING, pages=1)


@pytest.mark.parametrize("cut", [_munmap, _protect, _advise, _bind, _mark])
def test_an_operation_on_a_part_splits_the_mapping_only(cut):
    world = World()
    region = world.map(2 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    frames = [world.page(region, at).frame for at in range(1, BLOCK)]
    world.changes()
    spent = times(world)
    cut(world, region)
    assert [world.page(region, at).frame for at in range(1, BLOCK)] == frames
    page = world.page(region, 1)
    assert (page.huge, page.pmd, page.mapcount) == (True, False, 1)
    assert world.page(region, BLOCK).pmd
    assert world.changes("thp_split_pmd", "thp_split_page") == {
        "thp_split_pmd": 1,
        "thp_split_page": 0,
    }
    spent = times(world) - spent
    assert spent[Cause.SYSCALL] >= Costs().split_pmd_ns
    assert spent[Cause.HUGE_FAULT] == 0
    world.sim.check()


@pytest.mark.parametrize(
    "whole",
    [
        lambda w, r: w.sim.mprotect(w.task, r, "r", 0, BLOCK),
        lambda w, r: w.sim.advise(w.task, r, "nohugepage", 0, BLOCK),
        lambda w, r: w.sim.mbind(w.task, r, Policy(Mode.BIND, (0,)), pages=BLOCK),
        lambda w, r: w.sim.mark(w.task, r, Mechanism.HINTING, pages=BLOCK),
        lambda w, r: w.sim.munmap(w.task, r, BLOCK, BLOCK),
    ],
)
def test_an_operation_on_whole_blocks_splits_nothing(whole):
    world = World()
    region = world.map(2 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    world.changes()
    whole(world, region)
    assert world.page(region, 0).pmd
    assert world.changes() == {}


def test_a_split_keeps_write_young_and_dirty_and_loses_protnone():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.sim.mark(world.task, region, Mechanism.HINTING)
    before = world.page(region, 300)
    assert before.protnone and before.pmd
    world.sim.advise(world.task, region, "nohugepage", 0, 1)
    after = world.page(region, 300)
    assert after == before._replace(protnone=False, pmd=False)
    assert (after.write, after.young, after.dirty) == (True, True, True)
    # No hint fault is left to be taken.
    world.touch(region, 300, cpu=1)
    assert world.changes("numa_hint_faults")["numa_hint_faults"] == 0


def test_a_split_gives_no_bit_that_the_huge_entry_lacks():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    child = world.sim.fork(world.process)
    task = world.sim.start_task(child, 0)
    world.sim.advise(task, region.of(child), "nohugepage", 0, 1)
    page = world.page(region, 400, child)
    assert (page.pmd, page.write, page.young, page.dirty) == (False, False, False, True)
    world.sim.check()


@pytest.mark.parametrize("zero", [False, True])
def test_a_split_opens_no_inaccessible_memory(zero):
    """A PTE of a PROT_NONE VMA is made from vm_page_prot: PROTNONE comes back."""
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0, write=not zero)
    world.sim.mprotect(world.task, region, "none")
    world.sim.munmap(world.task, region, 0, 1)
    with pytest.raises(SimulationError, match="must not read page 5"):
        world.touch(region, 5, write=False)


def test_inaccessible_memory_is_not_marked():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.sim.mprotect(world.task, region, "none")
    assert world.sim.mark(world.task, region, Mechanism.HINTING) == 0
    assert world.changes("numa_pte_updates")["numa_pte_updates"] == 0
    assert world.page(region, 0).pmd


@pytest.mark.parametrize("how", ["mmap", "mprotect"])
def test_a_read_fault_opens_no_memory_for_writing(how):
    """maybe_pmd_mkwrite asks the VMA."""
    world = World(thp=Thp(enabled="always", use_zero_page=False))
    if how == "mmap":
        region = world.sim.mmap(world.process, HUGE, write=False)
    else:
        region = world.map(BLOCK)
        world.sim.mprotect(world.task, region, "r")
    world.touch(region, 0, write=False)
    assert world.page(region, 0).pmd
    with pytest.raises(SimulationError, match="must not write page 5"):
        world.touch(region, 5)


@pytest.mark.parametrize("enabled", ["never", "always"])
@pytest.mark.parametrize("back", [False, True])
def test_a_migration_opens_no_inaccessible_memory(enabled, back):
    """remove_migration_pte starts from vm_page_prot; only the VMA gives access back."""
    world = World(thp=Thp(enabled=enabled))
    region = world.map(BLOCK)
    world.touch(region, 0, BLOCK)
    world.sim.mprotect(world.task, region, "none")
    world.sim.move_pages(world.task, region, 1)
    assert world.page(region, 5).node == 1
    if back:
        world.sim.mprotect(world.task, region, "rw")
        world.touch(region, 5)
        return
    with pytest.raises(SimulationError, match="must not read page 5"):
        world.touch(region, 5, write=False)


@pytest.mark.parametrize("enabled", ["never", "always"])
def test_a_zero_page_opens_no_inaccessible_memory(enabled):
    world = World(thp=Thp(enabled=enabled))
    region = world.map(BLOCK)
    world.touch(region, 0, BLOCK, write=False)
    world.sim.mprotect(world.task, region, "none")
    with pytest.raises(SimulationError, match="must not read page 5"):
        world.touch(region, 5, write=False)


def test_a_part_of_the_huge_zero_page_can_be_unmapped():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0, write=False)
    world.sim.munmap(world.task, region, 0, 100)
    assert world.runs(region) == [
        (100, "none", None, False),
        (BLOCK - 100, "zero", None, False),
    ]
    assert world.changes() == {"thp_split_pmd": 1}
    world.sim.check()


def test_mprotect_takes_write_from_a_part_and_gives_it_back():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    world.sim.mprotect(world.task, region, "r", 0, 100)
    assert [world.page(region, at).write for at in (0, 99, 100)] == [False, False, True]
    with pytest.raises(SimulationError, match="must not write page 50"):
        world.touch(region, 50)
    world.sim.mprotect(world.task, region, "rw", 0, 100)
    # Nobody else maps the page.
    assert world.page(region, 50).write
    world.changes("pgfault")
    world.touch(region, 50)
    assert world.changes("pgfault", "cow_faults") == {"pgfault": 0, "cow_faults": 0}


def test_mprotect_takes_a_hinting_mark_where_it_changes_something():
    world = World()
    region = world.map(2 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    world.sim.mark(world.task, region, Mechanism.HINTING)
    world.sim.mprotect(world.task, region, "rw")
    assert world.page(region, 0).protnone and world.page(region, 0).write
    world.sim.mprotect(world.task, region, "r", 0, BLOCK)
    page = world.page(region, 0)
    assert (page.pmd, page.protnone, page.write) == (True, False, False)
    assert world.page(region, BLOCK).protnone


@pytest.mark.parametrize(
    ("act", "marked", "zapped"),
    [
        (lambda w, r: w.sim.munmap(w.task, r), 0, 2),
        (lambda w, r: w.sim.mprotect(w.task, r, "r"), 2, 0),
        (lambda w, r: w.sim.mark(w.task, r, Mechanism.HINTING), 2, 0),
    ],
    ids=["munmap", "mprotect", "mark"],
)
def test_a_huge_entry_costs_a_call_as_one_entry(act, marked, zapped):
    world = World()
    region = world.map(2 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    spent = times(world)
    act(world, region)
    costs = Costs()
    want = marked * costs.mark_pte_ns + zapped * costs.zap_pte_ns
    want += costs.tlb_flush_ns + costs.syscall_ns
    spent = times(world) - spent
    assert spent[Cause.SYSCALL] == spent.sum() == want


# --- deferred splits ------------------------------------------------------------------


def test_a_folio_waits_once_however_often_it_is_cut():
    world = World()
    region = world.map(BLOCK)
    world.touch(region, 0)
    free = world.sim.free(0)
    for first in (10, 30, 200):
        world.sim.munmap(world.task, region, first, 10)
        assert world.changes("thp_deferred_split_page") == {
            "thp_deferred_split_page": int(first == 10)
        }
    # The unmapped pages' memory stays with the folio.
    assert world.sim.free(0) == free
    assert world.sim.rss(world.process) == BLOCK - 30
    world.sim.check()
    for first, end in ((0, 10), (20, 30), (40, 200), (210, BLOCK)):
        world.sim.munmap(world.task, region, first, end - first)
    assert world.sim.free(0) == free + BLOCK
    assert world.changes("thp_deferred_split_page", "thp_split_page", "pgfree") == {
        "thp_deferred_split_page": 0,
        "thp_split_page": 0,
        "pgfree": BLOCK,
    }
    world.sim.check()


def test_the_shrinker_splits_what_waits_before_anything_is_swapped():
    world = World(nodes=1, blocks=16, swap_bytes=0)
    region = world.map(15 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    for block in range(15):
        world.sim.munmap(world.task, region, block * BLOCK + 256, 256)
    assert world.changes()["thp_deferred_split_page"] == 15
    small = world.map(1000, "nohugepage")
    world.touch(small, 0, 1000)
    assert world.changes() == {"thp_split_page": 15}
    kept = (256, "present", 0, False), (256, "none", None, False)
    assert world.runs(region) == 15 * list(kept)
    assert world.sim.free(0) == 16 * BLOCK - 15 * 256 - 1000
    world.sim.check()


def test_the_shrinker_splits_at_most_32_in_block_order():
    world = World(nodes=1, blocks=48, swap_bytes=0)
    region = world.map(46 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    for block in range(46):
        world.sim.munmap(world.task, region, block * BLOCK, 128)
    small = world.map(2 * BLOCK, "nohugepage")
    world.touch(small, 0, 2 * BLOCK - 100)
    assert world.changes("thp_split_page")["thp_split_page"] == 32
    frames = [world.page(region, at * BLOCK + 200) for at in range(46)]
    frames.sort(key=lambda page: page.frame)
    assert [page.huge for page in frames] == 32 * [False] + 14 * [True]
    world.sim.check()


# --- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["advise", "mprotect"])
def test_a_range_with_a_hole_is_refused_before_anything_is_split(act):
    world = World()
    region = world.map(2 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    world.sim.munmap(world.task, region, BLOCK, BLOCK)
    world.changes()
    what = {"advise": "nohugepage", "mprotect": "r"}[act]
    with pytest.raises(BadInput, match="must all be mapped"):
        getattr(world.sim, act)(world.task, region, what, 10, BLOCK)
    assert world.changes() == {}
    assert world.page(region, 0).pmd


# --- what Linux 6.1 did ---------------------------------------------------------------


def test_the_deferred_lists_are_empty_at_the_end():
    world = linux()
    region = world.map(4 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    for block in range(4):
        world.sim.munmap(world.task, region, block * BLOCK + 1, 1)
    assert world.sim.memory.node[:, st.Node.DEFERRED].tolist() == [4, 0, 0, 0]
    world.sim.exit(world.process)
    assert not world.sim.memory.node[:, st.Node.DEFERRED].any()
    assert world.sim.free(0) == 32 * BLOCK


def test_a_gap_in_a_range_is_named():
    """What is collapsed must be mapped; the message says where it is not."""
    world = World()
    region = world.map(3 * BLOCK)
    first = region.first
    world.sim.munmap(world.task, region, BLOCK, 100)
    for call in (world.sim.collapse, world.sim.munmap):
        with pytest.raises(
            BadInput,
            match=f"pages {first} to {first + 3 * BLOCK} of process main must all be"
            f" mapped, got none at {first + BLOCK} to {first + BLOCK + 100}",
        ):
            call(world.task, region)

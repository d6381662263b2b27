"""What a mark does to the write bit, and which faults let tasks form a group.

do_numa_page (mm/memory.c), do_huge_pmd_numa_page and change_huge_pmd
(mm/huge_memory.c), change_pte_range (mm/mprotect.c), migrate_misplaced_transhuge_page
(mm/migrate.c) and update_task_scan_period (kernel/sched/fair.c) of 3.19, 4.0-rc1 and
4.0; ``docs/model/balancing.md`` 21.  Nodes have two CPUs: node n has 2n and 2n + 1.
"""

from dataclasses import replace

import pytest

from common.numa_world import BLOCK, FREE, World
from lazynuma.engine.settings.profiles import PROFILES
from lazynuma.kernels import state as st
from lazynuma.kernels.counters import Cause
from lazynuma.kernels.words import HPAGE_PMD_ORDER, PTE_DIRTY, PTE_WRITE

#: What a fault costs once it has been a hint fault.
COSTS = replace(FREE, hint_fault_ns=1900, minor_fault_ns=500)
RC1, NOCLEAR = "lost_at_mark", "lost_at_fault"


def world(write_bit, group_if="write_bit", cpus=(0,), **options):
    """Return a world that scans after 10 ms, and a page to work on at home."""
    knobs = {"scan_delay_ms": 10, "scan_period_min_ms": 10, "scan_local": True}
    knobs |= {"filter": "last_nid", "placement": False, "costs": COSTS}
    w = World(cpus, write_bit=write_bit, group_if=group_if, **knobs | options)
    w.scrap = w.map(1)
    w.place(w.scrap, 0)
    return w


def scan(w):
    """Let the first task work until its memory is scanned."""
    w.touch(w.scrap, 0, 1, refs=462, count=240)


def entry(w, region, at=0):
    """Return the word of the entry that maps a page."""
    index = region.first + region.process.delta + at
    if w.page(region, at).huge:
        return int(w.memory.pmd[index >> HPAGE_PMD_ORDER])
    return int(w.memory.pte[index])


def writes(w, region):
    return entry(w, region) & PTE_WRITE != 0


def at_home(w, pages):
    """Return a region on the first task's node, scanned."""
    region = w.map(pages)
    w.place(region, 0)
    scan(w)
    assert w.page(region).protnone
    return region


HUGE = pytest.mark.parametrize("huge", [False, True])


def paged(huge):
    return {"thp": "always" if huge else "never"}


# --- the write bit -----------------------------------------------------------------


@HUGE
@pytest.mark.parametrize(
    ("write_bit", "marked", "read"),
    [("kept", True, True), (RC1, False, False), (NOCLEAR, True, False)],
)
def test_a_page_that_stays(huge, write_bit, marked, read):
    """Marked it has the bit or not; after a read that faulted, too."""
    w = world(write_bit, **paged(huge))
    region = at_home(w, BLOCK)
    assert writes(w, region) == marked
    w.touch(region, write=False)
    assert (w.page(region).protnone, writes(w, region)) == (False, read)


@HUGE
@pytest.mark.parametrize(
    ("write_bit", "faults", "ns"), [("kept", 1, 0), (RC1, 2, 500), (NOCLEAR, 2, 500)]
)
def test_a_write_takes_a_second_fault(huge, write_bit, faults, ns):
    """do_wp_page: the page is the process's alone, and kept."""
    w = world(write_bit, **paged(huge))
    region = at_home(w, BLOCK)
    before, hints = w.counts("pgfault", "numa_hint_faults")
    spent = w.sim.times(w.process).copy()
    w.touch(region)
    times = w.sim.times(w.process) - spent
    assert w.counts("pgfault", "cow_faults") == [before + faults, 0]
    assert w.counts("numa_hint_faults") == [hints + 1]
    assert (times[Cause.HINT_FAULT], times[Cause.MINOR_FAULT]) == (1900, ns)
    assert writes(w, region)
    w.touch(region)
    assert w.counts("pgfault") == [before + faults]


@HUGE
@pytest.mark.parametrize("write_bit", [RC1, NOCLEAR])
def test_a_page_that_moves(huge, write_bit):
    """maybe_pmd_mkwrite gives a huge page its bit back; a small one stays without."""
    w = world(write_bit, **paged(huge))
    region = w.map(BLOCK)
    w.place(region, 1)
    w.set_last(region, (1, 0))
    scan(w)
    w.touch(region, write=False)
    assert w.page(region).node == 0
    assert writes(w, region) == huge


@pytest.mark.parametrize("write_bit", [RC1, NOCLEAR])
def test_a_huge_page_that_two_map_moves_without_the_bit(write_bit):
    w = world(write_bit, thp="always")
    region = w.map(BLOCK)
    w.place(region, 1)
    w.sim.fork(w.process)
    w.set_last(region, (1, 0))
    w.hint(region)
    w.touch(region, write=False)
    assert w.page(region).node == 0
    assert not writes(w, region)


@pytest.mark.parametrize("write_bit", [RC1, NOCLEAR])
def test_a_page_that_may_not_be_written_stays_so(write_bit):
    w = world(write_bit)
    region = at_home(w, 4)
    w.sim.mprotect(w.task, region, "r")
    w.touch(region, write=False)
    assert not writes(w, region)


def test_lazy_marks_lose_it_at_the_fault():
    """mbind's marks are served by the same do_numa_page; no row of moves is taken."""
    w = world(RC1, mode="off")
    region = w.map(8)
    w.place(region, 1)
    w.hint(region, 0, 8)
    w.touch(region, 0, 8, write=False)
    assert not any(entry(w, region, at) & PTE_WRITE for at in range(8))


# --- groups ------------------------------------------------------------------------


def met(w, write=True, dirty=True, vma=True):
    """Tell whether two threads that share a page meet: a second one's hint fault."""
    region = w.map(BLOCK)
    w.place(region, 0)
    scan(w)
    page = w.page(region)
    index = region.first + region.process.delta
    words, i = w.memory.pte, index
    if page.huge:
        words, i = w.memory.pmd, index >> HPAGE_PMD_ORDER
    for bit, there in ((PTE_WRITE, write), (PTE_DIRTY, dirty)):
        if not there:
            words[i] &= ~bit
    if not vma:
        w.sim.mprotect(w.task, region, "r")
        w.hint(region)
    w.set_last(region, (1, 0))
    w.touch(region, by=w.tasks[1], write=False)
    return w.memory.numa[w.tasks[1].id, st.Numa.GROUP] >= 0


@HUGE
@pytest.mark.parametrize(
    ("write_bit", "small", "large"),
    # The huge entry is asked as it was, the small one as it is made anew.
    [("kept", True, True), (RC1, False, False), (NOCLEAR, False, True)],
)
def test_the_bit_is_asked(huge, write_bit, small, large):
    w = world(write_bit, cpus=(0, 1), **paged(huge))
    assert met(w) == (large if huge else small)


@HUGE
@pytest.mark.parametrize(
    ("group_if", "without", "grouped"),
    [
        ("write_bit", "write", False),
        ("write_bit", "dirty", True),
        ("dirty", "write", True),
        ("dirty", "dirty", False),
        ("vm_write", "write", True),
        ("vm_write", "dirty", True),
        ("vm_write", "vma", False),
        # Since 6.2: the page is the process's alone, so it could be written.
        ("writable", "write", True),
        ("writable", "vma", False),
    ],
)
def test_what_else_can_be_asked(huge, group_if, without, grouped):
    w = world("kept", group_if, cpus=(0, 1), **paged(huge))
    assert met(w, **{without: False}) == grouped


# --- failed migrations ---------------------------------------------------------------


@pytest.mark.parametrize(("slow", "period"), [(True, 400), (False, 140)])
def test_failures_make_the_period_longer(slow, period):
    """200 doubled; or four of ten local, four private: 200 - (7 - 4) * 20 = 140."""
    w = World(slow_on_failure=slow, scan_period_min_ms=10)
    w.set(period=200, period_max=1000)
    w.map(1)
    w.memory.mm[0, st.Mm.SCAN_SEQ] = 1
    w.saw(faults={(0, 0): 6, (0, 1): 4}, local=4, failed=1)
    w.end_quantum(1000)
    assert w.sim.numa(w.task).period_ms == period


# --- the profiles ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "write_bit", "group_if", "slow"),
    [
        ("linux-3.13", "kept", "write_bit", False),
        ("linux-3.19", "kept", "write_bit", False),
        ("linux-4.0-rc1", "lost_at_mark", "write_bit", False),
        ("linux-4.0", "kept", "vm_write", True),
        ("linux-6.1", "kept", "writable", True),
        ("linux-6.12", "lost_at_move", "writable", True),
    ],
)
def test_profiles(profile, write_bit, group_if, slow):
    knobs = PROFILES[profile].balancing
    assert (knobs.write_bit, knobs.group_if) == (write_bit, group_if)
    assert knobs.slow_on_failure == slow

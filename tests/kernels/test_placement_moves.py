"""The verdict on moves: what is moved, what has paid, and what goes back.

By hand from ``docs/model/placement.md``.  Latencies of ``uniform``: 108 ns at home,
188 ns at distance 20, so that a reference saves 80 ns.
"""

from dataclasses import replace

import pytest

from common.numa_world import BLOCK, FREE, HUGE, World
from lazynuma.engine import Mechanism, Mode, Policy, preset
from lazynuma.kernels.counters import Vm
from lazynuma.kernels.words import OWES_MAX, PMD_OWES, PTE_OWES, PTE_OWES_ONE

#: 4096 * 10^9 / 3,184,000,000 is 1286.
COPY = 1286


def debt(w, region, page=0, process=None):
    """Return the uses that a page's entry owes."""
    process = process or region.process
    at = region.first + process.delta + page
    return int((w.memory.pte[at] & PTE_OWES) // PTE_OWES_ONE)


def huge_debt(w, region):
    """Return the uses that a huge page owes."""
    block = (region.first + region.process.delta) // BLOCK
    if not w.memory.pmd[block] & PMD_OWES:
        return 0
    return int(w.memory.block_owes[w.page(region).frame // BLOCK])


def account(w):
    """Return (moved, paid, moved back), over all nodes."""
    return tuple(w.counts("pages_moved", "pages_paid", "pages_moved_back"))


def hinted(refs=1, costs=FREE, **options):
    """Return a world where task 0 took a hint fault from node 1, and the region."""
    w = World(costs=costs, **options)
    region = w.map(4)
    w.place(region, 0)
    w.hint(region)
    w.touch(region, cpu=2, refs=refs)
    assert w.page(region).node == 1
    return w, region


# --- debts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refs", "migrate_ns", "uses"),
    [
        # 1286 / 80 is 16.08.
        (1, 0, 17),
        (2, 0, 9),
        (16, 0, 2),
        (64, 0, 1),
        # 2000 / 80 is 25 without a rest.
        (1, 2000 - COPY, 25),
        (1, 2001 - COPY, 26),
        # More than 14 bits.
        (1, 16_382 * 80 - COPY, 16_382),
        (1, 5_000_000, 16_383),
    ],
)
def test_what_a_hint_fault_s_move_owes(refs, migrate_ns, uses):
    costs = replace(FREE, migrate_page_ns=migrate_ns)
    w, region = hinted(refs, costs)
    # The access that faulted was the first use.
    assert debt(w, region) == uses - 1
    assert account(w) == (1, int(uses == 1), 0)
    assert uses <= OWES_MAX == 16_383


def test_a_page_has_paid_with_the_last_use():
    w, region = hinted()
    w.touch(region, count=15)
    assert (debt(w, region), account(w)) == (1, (1, 0, 0))
    w.touch(region)
    assert (debt(w, region), account(w)) == (0, (1, 1, 0))
    w.touch(region, count=40)
    assert account(w) == (1, 1, 0)
    # Paid on the node of the CPU that paid.
    counted = w.sim.counters()
    assert counted[:, Vm.PAGES_MOVED].tolist() == [0, 1, 0]
    assert counted[:, Vm.PAGES_PAID].tolist() == [0, 1, 0]


def test_uses_from_another_node_do_not_pay():
    w, region = hinted()
    w.touch(region, cpu=4, count=50)
    assert (debt(w, region), account(w)) == (16, (1, 0, 0))
    w.touch(region, cpu=3, count=3)
    assert debt(w, region) == 13
    # Another task of that node pays, too.
    other = w.sim.start_task(w.process, 2)
    w.touch(region, by=other, count=13)
    assert account(w) == (1, 1, 0)


def test_reads_pay_as_writes_do():
    w, region = hinted()
    w.touch(region, count=16, write=False)
    assert account(w) == (1, 1, 0)


def test_a_move_back_is_one_and_ends_the_debt_unpaid():
    w, region = hinted()
    w.hint(region)
    w.touch(region, cpu=0)
    assert w.page(region).node == 0
    assert account(w) == (2, 0, 1)
    assert debt(w, region) == 16
    counted = w.sim.counters()
    assert counted[:, Vm.PAGES_MOVED].tolist() == [1, 1, 0]
    assert counted[:, Vm.PAGES_MOVED_BACK].tolist() == [1, 0, 0]


def test_a_move_on_is_not_a_move_back_and_its_from_is_the_last_node():
    w, region = hinted(filter="none")
    for cpu, moved, back in ((4, 2, 0), (0, 3, 0), (4, 4, 1), (0, 5, 2)):
        w.hint(region)
        w.touch(region, cpu=cpu)
        assert account(w) == (moved, 0, back)


def test_a_refused_move_changes_nothing():
    w, region = hinted()
    w.hint(region)
    w.grown()
    w.set_last(region, (77, 2))
    w.touch(region, cpu=4)
    assert (w.page(region).node, account(w), debt(w, region)) == (1, (1, 0, 0), 16)


def test_marks_and_protection_leave_the_debt():
    w, region = hinted()
    w.sim.mprotect(w.task, region, "none")
    w.sim.mprotect(w.task, region, "rw")
    assert debt(w, region) == 16
    w.hint(region)
    # A local hint fault: the use pays.
    w.touch(region)
    assert debt(w, region) == 15


def test_a_fork_s_child_owes_nothing():
    w, region = hinted()
    child = w.sim.fork(w.process)
    assert (debt(w, region), debt(w, region, 0, child)) == (16, 0)
    task = w.sim.start_task(child, 2)
    w.touch(region, by=task, count=20, write=False)
    assert account(w) == (1, 0, 0)
    w.touch(region, count=16, write=False)
    assert account(w) == (1, 1, 0)


def test_a_copy_ends_the_debt_of_the_one_who_writes():
    w, region = hinted()
    w.sim.fork(w.process)
    w.touch(region)
    assert w.page(region).mapcount == 1 and debt(w, region) == 0
    w.touch(region, count=50)
    assert account(w) == (1, 0, 0)


def test_munmap_ends_it():
    w, region = hinted()
    w.sim.munmap(w.task, region, 0, 1)
    again = w.map(1)
    w.touch(again, count=50)
    assert account(w) == (1, 0, 0)


def test_a_move_that_saves_nothing_owes_the_most():
    """The slow node's latency from itself is no better: and it has no CPU to pay."""
    w = World(machine=preset("dram-cxl", "1G"), span=HUGE)
    region = w.map(1)
    w.sim.populate(w.task, region)
    w.sim.move_pages(w.task, region, 2)
    assert (debt(w, region), account(w)) == (16_383, (1, 0, 0))
    w.touch(region, count=100)
    assert (debt(w, region), account(w)) == (16_383, (1, 0, 0))


# --- other ways to move ---------------------------------------------------------------


@pytest.mark.parametrize("mechanism", [Mechanism.SWAPCACHE, Mechanism.MIGCACHE])
def test_a_lazy_fault_owes_what_a_hint_fault_owes(mechanism):
    w = World(swap_bytes=HUGE)
    region = w.map(4)
    w.place(region, 0)
    assert w.sim.mark(w.task, region, mechanism) == 4
    w.touch(region, cpu=2, refs=1)
    assert w.page(region).node == 1
    assert (debt(w, region), account(w)) == (16, (1, 0, 0))
    w.touch(region, count=16)
    assert account(w) == (1, 1, 0)
    # Marked again, the account is closed, unpaid.
    w.touch(region, 1)
    assert debt(w, region, 1) == 16
    assert w.sim.mark(w.task, region, mechanism, first=1, pages=1) == 1
    w.touch(region, 1, count=40)
    assert account(w) == (2, 1, 0)


def test_a_lazy_hint_counts_as_a_move():
    w = World()
    region = w.map(1)
    w.place(region, 0)
    assert w.sim.mark(w.task, region, Mechanism.HINTING) == 1
    w.touch(region, cpu=2)
    assert (debt(w, region), account(w)) == (16, (1, 0, 0))


def used(w, region, refs=1):
    """Let the task have used something, so that its references are known."""
    w.touch(region, 3, refs=refs)


@pytest.mark.parametrize(("refs", "uses"), [(1, 17), (4, 5)])
def test_move_pages_owes(refs, uses):
    w = World()
    region = w.map(4)
    w.place(region, 0)
    used(w, region, refs)
    assert w.sim.move_pages(w.task, region, 1, first=0, pages=3).tolist() == [1] * 3
    assert [debt(w, region, page) for page in range(4)] == [uses] * 3 + [0]
    assert account(w) == (3, 0, 0)
    # Uses pay whoever had it moved; not from here.
    w.touch(region, 0, 3, count=3 * 20)
    assert account(w) == (3, 0, 0)
    w.touch(region, 0, 3, cpu=2, count=3 * uses)
    assert account(w) == (3, 3, 0)
    w.sim.move_pages(w.task, region, 0, first=0, pages=3)
    assert account(w) == (6, 3, 3)


def test_mbind_move_and_migrate_pages_owe():
    w = World()
    region = w.map(4)
    w.place(region, 0)
    w.sim.mbind(w.task, region, Policy(Mode.BIND, (1,)), move=True)
    assert account(w) == (4, 0, 0) and debt(w, region) == 17
    assert w.sim.migrate_pages(w.task, [1], [2]) == 0
    assert account(w) == (8, 0, 0) and debt(w, region) == 17
    assert w.sim.migrate_pages(w.task, [2], [1]) == 0
    assert account(w) == (12, 0, 4)


def test_with_balancing_off_moves_are_counted_as_well():
    w = World(mode="off")
    region = w.map(4)
    w.place(region, 0)
    w.sim.move_pages(w.task, region, 1)
    w.touch(region, cpu=2, count=17)
    assert account(w) == (4, 1, 0)
    w.touch(region, 0, 4, count=4 * 17)
    assert account(w) == (4, 4, 0)


def test_a_hot_remove_is_nobody_s_move():
    w = World()
    region = w.map(4)
    w.place(region, 1)
    assert w.sim.hot_remove(1) == 0
    w.touch(region, 0, 4)
    assert account(w) == (0, 0, 0)


def test_a_page_with_two_entries_owes_once():
    w = World()
    region = w.map(1)
    w.place(region, 0)
    child = w.sim.fork(w.process)
    assert w.sim.move_pages(w.task, region, 1, move_all=True).tolist() == [1]
    assert sorted([debt(w, region), debt(w, region, 0, child)]) == [0, 17]
    assert account(w) == (1, 0, 0)


# --- huge pages -----------------------------------------------------------------------


def huge(**options):
    """Return a world with a huge page on node 0."""
    w = World(thp="always", **options)
    region = w.map(BLOCK)
    w.place(region, 0)
    assert w.page(region).pmd
    return w, region


def test_a_huge_page_owes_as_a_whole():
    """512 copies of 1286 ns: 658,432 / 80 is 8230.4; migrate_page_ns is 0."""
    w, region = huge()
    w.hint(region)
    w.touch(region, cpu=2)
    assert w.page(region).node == 1
    assert account(w) == (512, 0, 0)
    assert huge_debt(w, region) == 8231 - 1
    w.touch(region, 0, BLOCK, count=8229)
    assert (huge_debt(w, region), account(w)) == (1, (512, 0, 0))
    w.touch(region, 77)
    assert (huge_debt(w, region), account(w)) == (0, (512, 512, 0))
    w.hint(region)
    w.touch(region, cpu=0)
    assert account(w) == (1024, 512, 512)


def test_a_huge_page_may_owe_more_than_a_small_one():
    w, region = huge(costs=replace(FREE, migrate_page_ns=1_000_000_000))
    w.sim.move_pages(w.task, region, 1, first=0, pages=1)
    assert w.page(region).node == 1
    # (10^9 + 658,432) / 80
    assert huge_debt(w, region) == 12_508_231


def test_a_split_ends_the_debt_of_a_huge_page():
    w, region = huge()
    w.hint(region)
    w.touch(region, cpu=2)
    w.sim.munmap(w.task, region, 0, 1)
    assert not w.page(region, 1).pmd
    w.touch(region, 1, BLOCK - 1, count=10_000)
    assert account(w) == (512, 0, 0)
    assert not any(debt(w, region, page) for page in range(1, BLOCK))


def test_a_child_of_fork_owes_nothing_of_a_huge_page():
    w, region = huge()
    w.hint(region)
    w.touch(region, cpu=2)
    child = w.sim.fork(w.process)
    at = (region.first + child.delta) // BLOCK
    assert not w.memory.pmd[at] & PMD_OWES
    assert huge_debt(w, region) == 8230


def test_debts_keep_the_invariants():
    w, region = hinted()
    w.sim.check()
    w, region = huge()
    w.hint(region)
    w.touch(region, cpu=2)
    w.sim.check()


# --- the summary ----------------------------------------------------------------------


def test_the_summary_says_what_was_unpaid():
    w, region = hinted()
    w.touch(region, count=16)
    w.hint(region, 1, 3)
    w.touch(region, 1, 3)
    found = w.sim.summary()
    names = "pages_moved", "pages_paid", "pages_unpaid", "pages_moved_back"
    assert [found[name] for name in names] == [4, 1, 3, 0]

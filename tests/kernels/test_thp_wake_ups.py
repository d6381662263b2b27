"""When khugepaged wakes up, and how far it gets.

Written from ``docs/model/thp.md``.
"""

import pytest

from common.huge_pages import BLOCK, HUGE
from common.khugepaged import MILLISECOND, WAKE, huge_at, results, small, wake, world
from lazynuma.engine import Costs, Khugepaged, Settings, Simulation, Sweep, Thp, uniform


def test_the_first_wake_up_is_scan_sleep_after_the_start():
    w = world(scan_sleep_millisecs=1000)
    region = small(w)
    w.sim.advise(w.task, region, "hugepage")
    w.sim.idle(1000 * MILLISECOND - w.sim.now - 1)
    assert results(w) == {}
    w.sim.idle(1)
    assert results(w) == {"SUCCEED": 1}
    # It sleeps after its work.
    w.sim.idle(1000 * MILLISECOND + Costs().collapse_ns - 1)
    assert w.sim.full_scans == 1
    w.sim.idle(1)
    assert w.sim.full_scans == 2


def test_wake_ups_that_are_due_are_done_at_the_end_of_a_quantum():
    w = world(scan_sleep_millisecs=1)
    region = small(w)
    w.sim.advise(w.task, region, "hugepage")
    before = w.sim.full_scans
    w.touch(region, 0, 1)
    start = w.sim.now // MILLISECOND
    for _ in range(40):
        w.touch(region, 0, BLOCK)
    # 40 x 512 accesses of 64 references take some tens of milliseconds.
    assert huge_at(w, region)
    assert w.sim.full_scans - before >= w.sim.now // MILLISECOND - start > 10


def test_khugepaged_works_while_shards_serve():
    options = Settings(
        thp=Thp(enabled="madvise"),
        khugepaged=Khugepaged(scan_sleep_millisecs=1),
        shards=4,
        quantum_ns=MILLISECOND,
    )
    simulation = Simulation(uniform(2, 64 * HUGE), options)
    process = simulation.spawn(nbytes=64 * HUGE)
    tasks = [simulation.start_task(process, cpu) for cpu in (0, 1)]
    region = simulation.mmap(process, 32 * HUGE)
    half = region.pages // 2

    def sweep(rounds):
        parts = zip(tasks, (0, half), strict=True)
        simulation.run(
            [
                Sweep(task=t, region=region, first=at, pages=half, count=rounds * half)
                for t, at in parts
            ]
        )

    sweep(1)
    simulation.advise(tasks[0], region, "hugepage")
    faults = simulation.total("pgfault")
    sweep(10)
    simulation.check()
    assert simulation.pages_collapsed == simulation.total("thp_collapse_alloc") == 32
    # Nobody notices; every half stays on its node.
    assert simulation.total("pgfault") == faults
    assert [simulation.free(node) for node in (0, 1)] == 2 * [48 * BLOCK]


@pytest.mark.parametrize("enabled", ["never", "madvise"])
def test_nothing_is_scanned_where_nobody_may_have_huge_pages(enabled):
    w = world(thp=Thp(enabled=enabled))
    region = small(w)
    if enabled == "never":
        w.sim.advise(w.task, region, "hugepage")
    w.sim.idle(3 * WAKE)
    assert w.sim.pages_collapsed == 0 and not huge_at(w, region)


def test_with_always_only_nohugepage_is_left_alone():
    # Small pages first: what they map is eligible afterwards.
    w = world(thp=Thp(enabled="always"))
    plain, refused = w.map(BLOCK, "nohugepage"), w.map(BLOCK, "nohugepage")
    for region in (plain, refused):
        w.touch(region, 0, BLOCK)
    w.sim.advise(w.task, plain, "none")
    assert wake(w) == {"SUCCEED": 1, "VMA_CHECK": 1}
    assert huge_at(w, plain) and not huge_at(w, refused)


def test_eight_blocks_a_wake_up_by_default():
    """1.6 MiB a second: 16 MiB in 10 s."""
    w = world()
    region = small(w, 20)
    w.sim.advise(w.task, region, "hugepage")
    done = []
    for _ in range(3):
        w.sim.idle(WAKE)
        done.append(w.sim.pages_collapsed)
    assert done == [8, 16, 20]
    assert [huge_at(w, region, block) for block in range(20)] == 20 * [True]
    w.sim.check()


def test_blocks_that_fail_cost_as_much_as_others():
    """After its ninth block khugepaged starts the list again in the same wake-up."""
    w = world(max_ptes_none=0)
    region = w.map(9 * BLOCK)
    w.touch(region, 0, region.pages, stride=BLOCK)
    assert wake(w, region) == {"EXCEED_NONE_PTE": 8}
    assert w.sim.full_scans == 0
    assert wake(w) == {"EXCEED_NONE_PTE": 16}
    assert w.sim.full_scans == 1


def test_huge_pages_cost_as_much_as_others():
    w = world()
    region = w.map(9 * BLOCK)
    w.touch(region, 8 * BLOCK, BLOCK)
    w.sim.advise(w.task, region, "hugepage")
    w.touch(region, 0, 8 * BLOCK, stride=BLOCK)
    assert wake(w) == {"PMD_MAPPED": 8}
    assert not huge_at(w, region, 8)
    assert wake(w)["SUCCEED"] == 1


@pytest.mark.parametrize(
    ("budget", "blocks"),
    [(1, 1), (513, 1), (514, 2), (1025, 2), (1026, 2), (1027, 3)],
)
def test_each_call_costs_one_and_each_block_512(budget, blocks):
    """Collapsed blocks end a call: 513 each; the budget is looked at after each."""
    w = world(pages_to_scan=budget)
    region = small(w, 6)
    assert wake(w, region) == {"SUCCEED": blocks}


@pytest.mark.parametrize(
    ("budget", "blocks"), [(1, 1), (513, 1), (514, 2), (1025, 2), (1026, 3)]
)
def test_blocks_that_fail_do_not_end_a_call(budget, blocks):
    w = world(pages_to_scan=budget, max_ptes_none=0)
    region = w.map(6 * BLOCK)
    w.touch(region, 0, region.pages, stride=BLOCK)
    assert wake(w, region) == {"EXCEED_NONE_PTE": blocks}


@pytest.mark.parametrize(("budget", "blocks"), [(514, 1), (515, 2)])
def test_a_vma_that_is_not_eligible_costs_one(budget, blocks):
    w = world(pages_to_scan=budget, max_ptes_none=0)
    w.map(BLOCK)
    region = w.map(6 * BLOCK)
    w.touch(region, 0, region.pages, stride=BLOCK)
    assert wake(w, region) == {"VMA_CHECK": 1, "EXCEED_NONE_PTE": blocks}


def test_processes_take_turns_in_order_of_creation():
    w = world(pages_to_scan=512)
    regions = [small(w, 2)]
    for _ in range(2):
        other = w.sim.start_task(w.sim.spawn(nbytes=8 * HUGE), 0)
        region = w.map(2 * BLOCK, process=other.process)
        w.touch(region, 0, region.pages, by=other)
        regions.append(region)
    for region in regions:
        w.sim.advise(w.task, region, "hugepage")
    order = []
    for _ in range(8):
        before = [huge_at(w, r, b) for r in regions for b in (0, 1)]
        w.sim.idle(WAKE)
        after = [huge_at(w, r, b) for r in regions for b in (0, 1)]
        changed = zip(before, after, strict=True)
        order += [i for i, (a, b) in enumerate(changed) if a != b]
    assert order == [0, 1, 2, 3, 4, 5]
    w.sim.check()


def test_a_process_that_dies_under_the_cursor_is_left():
    w = world(pages_to_scan=512)
    first = small(w, 3)
    other = w.sim.start_task(w.sim.spawn(nbytes=8 * HUGE), 0)
    second = w.map(BLOCK, process=other.process)
    w.touch(second, 0, BLOCK, by=other)
    for region in (first, second):
        w.sim.advise(w.task, region, "hugepage")
    assert wake(w) == {"SUCCEED": 1}
    w.sim.exit(w.process)
    w.sim.idle(WAKE)
    w.sim.idle(WAKE)
    assert results(w)["SUCCEED"] == 2 and huge_at(w, second)


def test_an_empty_machine_ends_a_wake_up():
    w = world()
    w.sim.exit(w.process)
    w.sim.idle(5 * WAKE)
    assert results(w) == {}

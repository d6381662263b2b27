"""khugepaged and MADV_COLLAPSE: what is scanned, when, with what result, and where.

Written from ``docs/model.md`` §10.7 and, where it says so, from what Linux 6.1 does.
"""

import pytest
from host_memory import resident
from hypothesis import given, settings
from hypothesis import strategies as hst
from test_huge_pages import BLOCK, HUGE, PAGE, SLIT, World

from lazynuma.engine import (
    BadInput,
    Costs,
    Khugepaged,
    Mechanism,
    Mode,
    Policy,
    Settings,
    Simulation,
    Sweep,
    Thp,
    uniform,
)
from lazynuma.kernels.counters import Cause, ScanResult, Vm
from lazynuma.kernels.words import PMD_NID, PMD_NID_SHIFT

EINVAL, ENOMEM = 22, 12
MILLISECOND, WAKE = 1_000_000, 10_000_000_000


def world(nodes=4, thp=None, slit=None, blocks=32, swap_bytes=0, **knobs):
    """Return a world where huge pages are for who asks; knobs are khugepaged's."""
    return World(
        nodes=nodes,
        blocks=blocks,
        slit=slit,
        thp=thp or Thp(enabled="madvise"),
        khugepaged=Khugepaged(**knobs),
        swap_bytes=swap_bytes,
    )


def results(w):
    """Return {name: times} of what scans came to so far."""
    found = w.sim.scan_results()
    return {one.name: int(found[one]) for one in ScanResult if found[one]}


def wake(w, region=None, times=1):
    """Let khugepaged, asked for a region, wake up; return all results so far."""
    if region is not None:
        w.sim.advise(w.task, region, "hugepage")
    w.sim.idle(times * WAKE)
    w.sim.check()
    return results(w)


def small(w, blocks=1, cpu=0):
    """Return a region of small pages that are all written."""
    region = w.map(blocks * BLOCK)
    w.touch(region, 0, region.pages, cpu=cpu)
    return region


def place(w, region, block, *parts):
    """Write pages of a block: (pages, node) or (pages, None) for none, in order."""
    at = block * BLOCK
    for pages, node in parts:
        if node is not None:
            w.touch(region, at, pages, cpu=node)
        at += pages


def huge_at(w, region, block=0):
    """Return whether a PMD entry maps a block."""
    return w.page(region, block * BLOCK).pmd


def heir(w):
    """Return (task, region) of a child that owns 512 pages alone, none of them used.

    Its pages are not writable and not young until they are touched.
    """
    region = small(w)
    child = w.sim.fork(w.process)
    task = w.sim.start_task(child, 0)
    w.sim.exit(w.process)
    return task, region.of(child)


def ask(w, task, region):
    """Let the child's region be scanned once; return the results."""
    w.sim.advise(task, region, "hugepage")
    w.sim.idle(WAKE)
    w.sim.check()
    return results(w)


def one_vma(w, region, task=None):
    """Let a region be one VMA again after a part of it was marked.

    Pages that are not misplaced are left alone, and both parts are alike then.
    """
    policy = Policy(Mode.BIND, tuple(range(len(w.sim.machine.memory))))
    found = w.sim.mark(task or w.task, region, Mechanism.SWAPCACHE, policy)
    assert found == 0 and len(region.process.vmas) == 1


# --- results ----------------------------------------------------------------------


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
    assert wake(w, w.map(BLOCK)) == {"PMD_NONE": 1}


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
    region = w.map(BLOCK)
    w.touch(region, 0, zeros, write=False)
    if zeros < BLOCK:
        w.touch(region, zeros, BLOCK - zeros)
    assert wake(w, region) == {"SUCCEED" if succeeds else "EXCEED_NONE_PTE": 1}


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


# --- no huge page to be had -------------------------------------------------------


def test_a_full_target_fails_and_no_third_node_is_asked():
    w = world(nodes=2, blocks=16, defrag=False)
    w.fragment(kept=256)
    region = small(w)
    assert wake(w, region) == {"VMA_CHECK": len(w.process.vmas) - 1} | {
        "ALLOC_HUGE_PAGE_FAIL": 1
    }
    names = Vm.THP_COLLAPSE_ALLOC_FAILED, Vm.THP_COLLAPSE_ALLOC, Vm.COMPACT_STALL
    assert w.sim.counters()[:, names].tolist() == [[1, 0, 0], [0, 0, 0]]
    assert w.runs(region) == [(BLOCK, "present", 0, False)]
    assert w.sim.pages_collapsed == 0


def test_defrag_compacts_for_nobodys_account():
    w = world(nodes=2, blocks=16)
    w.fragment(kept=256)
    region = small(w)
    spent = w.sim.times(w.process)
    assert wake(w, region)["SUCCEED"] == 1
    assert w.runs(region) == [(BLOCK, "present", 0, True)]
    assert w.changes("compact_stall", "compact_success", "thp_collapse_alloc") == {
        "compact_stall": 1,
        "compact_success": 1,
        "thp_collapse_alloc": 1,
    }
    # advise is all that the task paid.
    spent = w.sim.times(w.process) - spent
    assert spent.sum() == spent[Cause.SYSCALL] == Costs().syscall_ns


def test_after_a_failed_allocation_khugepaged_sleeps_longer():
    knobs = {"scan_sleep_millisecs": 1000, "alloc_sleep_millisecs": 7000}
    w = world(nodes=2, blocks=16, defrag=False, **knobs)
    filler = w.fragment(kept=256)
    region = small(w)
    w.sim.advise(w.task, region, "hugepage")

    def failed_at(milliseconds):
        w.sim.idle(milliseconds * MILLISECOND - w.sim.now)
        return results(w).get("ALLOC_HUGE_PAGE_FAIL", 0)

    assert [failed_at(at) for at in (999, 1000, 7999, 8000)] == [0, 1, 1, 2]
    # Two blocks become free, so the next wake-up finds one, 7 s later still.
    w.sim.munmap(w.task, filler, 0, 256)
    w.sim.munmap(w.task, filler, BLOCK, 256)
    assert failed_at(14_999) == 2 and not huge_at(w, region)
    assert failed_at(15_000) == 2 and huge_at(w, region)
    # And then it is scan_sleep again.
    scans = w.sim.full_scans
    w.sim.idle(1000 * MILLISECOND + Costs().collapse_ns)
    assert w.sim.full_scans == scans + 1


# --- time and budget --------------------------------------------------------------


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


# --- where ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "nodes"),
    [
        ("first_page", [2, 3, 3, 1]),
        ("majority_mask", [1, 1, 0, 1]),
        # The tie of the second block: after 1 comes 3; of the third: after 3 comes 0.
        ("majority_round_robin", [1, 3, 0, 1]),
    ],
)
def test_the_rules_for_the_target(rule, nodes):
    w = world(target=rule)
    region = w.map(4 * BLOCK)
    place(w, region, 0, (1, 2), (200, 1), (199, 3))
    place(w, region, 1, (100, None), (206, 3), (206, 1))
    place(w, region, 2, (128, 3), (128, 0), (128, 2), (128, 1))
    place(w, region, 3, (511, None), (1, 1))
    assert wake(w, region) == {"SUCCEED": 4}
    assert [w.page(region, block * BLOCK).node for block in range(4)] == nodes
    counted = w.sim.counters()[:, Vm.THP_COLLAPSE_ALLOC].tolist()
    assert counted == [nodes.count(node) for node in range(4)]


def test_round_robin_turns_only_among_equals():
    w = world(target="majority_round_robin")
    region = w.map(6 * BLOCK)
    for block in range(6):
        place(w, region, block, (100, 3), (50, 1), (100, 0))
    wake(w, region)
    assert [w.page(region, at * BLOCK).node for at in range(6)] == [0, 3, 0, 3, 0, 3]


def test_round_robin_remembers_a_clear_majority_too():
    w = world(target="majority_round_robin")
    region = w.map(3 * BLOCK)
    place(w, region, 0, (100, 2))
    place(w, region, 1, (100, 1), (100, 2), (100, 3))
    place(w, region, 2, (100, 0), (100, 1))
    wake(w, region)
    # After 3 none of 0 and 1 follows: the first of them.
    assert [w.page(region, at * BLOCK).node for at in range(3)] == [2, 3, 0]


@pytest.mark.parametrize(
    ("rule", "result"),
    [
        ("majority_mask", "SUCCEED"),
        ("majority_round_robin", "ALLOC_HUGE_PAGE_FAIL"),
        ("first_page", "ALLOC_HUGE_PAGE_FAIL"),
    ],
)
def test_only_majority_mask_falls_back_to_an_equal(rule, result):
    w = world(nodes=3, blocks=16, target=rule, defrag=False)
    w.fragment(kept=256)
    region = w.map(BLOCK)
    place(w, region, 0, (256, 0), (256, 2))
    assert wake(w, region)[result] == 1
    node, failed = (2, 0) if result == "SUCCEED" else (0, 1)
    assert w.page(region, 0).node == node
    counted = w.sim.counters()[:, Vm.THP_COLLAPSE_ALLOC_FAILED].tolist()
    assert counted == [failed, 0, 0]


def test_the_nearest_equal_stands_in():
    """The allocation walks the target's zonelist, those of the mask only."""
    slit = ((10, 30, 12), (30, 10, 20), (12, 20, 10))
    w = world(slit=slit, blocks=16, defrag=False)
    w.fragment(kept=256)
    region = w.map(BLOCK)
    place(w, region, 0, (100, 0), (100, 1), (100, 2))
    assert wake(w, region)["SUCCEED"] == 1
    assert w.page(region, 0).node == 2


def test_a_minority_never_stands_in():
    w = world(nodes=3, blocks=16, defrag=False)
    w.fragment(kept=256)
    region = w.map(BLOCK)
    place(w, region, 0, (257, 0), (255, 2))
    assert wake(w, region)["ALLOC_HUGE_PAGE_FAIL"] == 1


def _mixed(value):
    """The finaliser of splitmix64."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
    return value ^ (value >> 31)


def _hash(seed, stream, number):
    golden = 0x9E3779B97F4A7C15
    first = _mixed((seed + golden * (stream + 1)) % 2**64)
    return _mixed((first + golden * (number + 1)) % 2**64)


def test_the_random_rule_draws_from_the_nodes_that_are_online():
    w = world(target="random")
    assert w.sim.hot_remove(2) == 0
    region = small(w, 16)
    wake(w, region, times=2)
    nodes = [w.page(region, block * BLOCK).node for block in range(16)]
    online = (0, 1, 3)
    draws = [_hash(1, 2**63 + 1, number) >> 11 for number in range(16)]
    assert nodes == [online[int(draw * 2.0**-53 * 3)] for draw in draws]
    assert len(set(nodes)) == 3


@given(
    hst.lists(
        hst.tuples(hst.integers(1, 200), hst.sampled_from([None, 0, 1, 2, 3])),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=25)
def test_split_and_collapse_keep_all_pages_at_the_majority(parts):
    w = world()
    region = w.map(BLOCK)
    load, left, used = [0] * 4, BLOCK, []
    for pages, node in parts:
        pages = min(pages, left)
        left -= pages
        used.append((pages, node))
        if node is not None:
            load[node] += pages
    place(w, region, 0, *((pages, node) for pages, node in used if pages))
    got = w.sim.collapse(w.task, region)
    if not any(load):
        assert got == EINVAL and w.page(region, 0).kind == "none"
        return
    node = load.index(max(load))
    assert got == 0 and w.runs(region) == [(BLOCK, "present", node, True)]
    assert w.sim.rss(w.process) == BLOCK
    # Cut to pieces and collapsed again it is where and what it was.
    before = w.page(region, 300)
    w.sim.mprotect(w.task, region, "r", 10, 20)
    w.sim.mprotect(w.task, region, "rw", 10, 20)
    assert not w.page(region, 300).pmd
    assert w.sim.collapse(w.task, region) == 0
    after = w.page(region, 300)
    assert after._replace(frame=before.frame) == before and after.pmd
    assert w.changes("thp_collapse_alloc", "thp_deferred_split_page") == {
        "thp_collapse_alloc": 2,
        # Taking the pages out one by one queues the folio before it is freed.
        "thp_deferred_split_page": 1,
    }
    assert sum(w.sim.free(n) for n in range(4)) == 4 * 32 * BLOCK - BLOCK
    w.sim.check()


# --- what a collapse leaves -------------------------------------------------------


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


# --- MADV_COLLAPSE ----------------------------------------------------------------


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


# --- what Linux 6.1 did -----------------------------------------------------------


def recorded(w, region):
    """Return (runs, kB mapped by PMDs, kB of rss), as the recordings have it."""
    kb = w.sim.huge_pages(w.process) * 4, w.sim.rss(w.process) * 4
    return w.runs(region), *kb


def linux(**knobs):
    """Return the recordings' machine."""
    return world(slit=SLIT, thp=Thp(enabled="madvise", defrag="always"), **knobs)


def there(pages, node):
    return pages, "present", node, True


def test_linux_max_ptes_none():
    w = linux(max_ptes_none=64)
    region = w.map(4096)
    for block, pages in enumerate((512, 448, 447, 449, 1)):
        w.touch(region, block * BLOCK, pages, cpu=1)
    wake(w, region, times=3)
    runs = [
        there(1024, 1),
        (447, "present", 1, False),
        (65, "none", None, False),
        there(512, 1),
        (1, "present", 1, False),
        (2047, "none", None, False),
    ]
    assert recorded(w, region) == (runs, 6144, 7936)
    assert w.changes() == {"thp_collapse_alloc": 3}


def test_linux_patterns():
    """One page, ties, a majority of one, alternating pages, zero pages."""
    w = linux()
    region = w.map(8192)
    w.touch(region, 0, 513, cpu=0)
    place(w, region, 2, (256, 0), (256, 1))
    place(w, region, 3, (255, 1), (257, 2))
    w.touch(region, 2048, 512, stride=2, cpu=3)
    w.touch(region, 2049, 511, stride=2, cpu=2)
    w.touch(region, 3072, 512, write=False)
    w.touch(region, 3584, 511, write=False)
    w.touch(region, 4095, 1)
    assert w.sim.rss(w.process) * 4 == 8200
    wake(w, region, times=3)
    runs = [
        there(1536, 0),
        there(1024, 2),
        (512, "none", None, False),
        (512, "zero", None, False),
        there(512, 2),
        (4096, "none", None, False),
    ]
    assert recorded(w, region) == (runs, 12288, 12288)
    assert w.changes() == {"thp_collapse_alloc": 6}


def test_linux_max_ptes_shared():
    w = linux()
    region = small(w, 4, cpu=1)
    kid = w.sim.fork(w.process, "kid")
    w.touch(region, 0, 256)
    w.touch(region, 512, 255)
    w.touch(region, 1024, 257)
    wake(w, region, times=3)
    one, other = there(512, 1), (512, "present", 1, False)
    assert recorded(w, region) == ([one, other, one, other], 4096, 8192)
    assert w.runs(region, process=kid) == [(2048, "present", 1, False)]
    assert w.changes() == {"thp_collapse_alloc": 2}
    w.sim.exit(kid)
    wake(w, times=3)
    # The last block has no page that is writable.
    assert recorded(w, region) == ([there(1536, 1), other], 6144, 8192)
    assert w.changes() == {"thp_collapse_alloc": 1}


def test_linux_collapse_of_ties():
    w = linux()
    region = w.map(4096)
    place(w, region, 0, (256, 0), (256, 3))
    place(w, region, 1, (256, 3), (256, 0))
    place(w, region, 2, (128, 1), (128, 2), (128, 3), (128, 0))
    place(w, region, 3, (255, 2), (257, 0))
    w.sim.move_task(w.task, 2)
    called = [
        w.sim.collapse(w.task, region, block * BLOCK, BLOCK) for block in range(5)
    ]
    assert called == [0, 0, 0, 0, EINVAL]
    runs = [there(2048, 0), (2048, "none", None, False)]
    assert recorded(w, region) == (runs, 8192, 8192)
    assert w.changes() == {"thp_collapse_alloc": 4}


def test_linux_no_none_pages_allowed():
    w = linux(max_ptes_none=0)
    region = w.map(4096)
    w.touch(region, 0, cpu=2)
    place(w, region, 1, (512, 0))
    place(w, region, 2, (257, 3), (233, 1), (22, 2))
    w.touch(region, 1536, cpu=1)
    place(w, region, 4, (240, None), (272, 0))
    w.touch(region, 2560, cpu=2)
    w.touch(region, 3072, cpu=0)
    place(w, region, 7, (170, 1), (178, 3), (151, 2), (13, 0))
    wake(w, region, times=3)
    seen = [w.runs(region, block * BLOCK, BLOCK) for block in (1, 2, 7)]
    assert seen == [[there(512, 0)], [there(512, 3)], [there(512, 3)]]
    assert w.sim.huge_pages(w.process) * 4 == 6144
    assert w.sim.rss(w.process) * 4 == 7248
    assert w.changes() == {"thp_collapse_alloc": 3}


def test_linux_collapse_of_a_whole_mapping():
    """Single pages, alternating nodes, zero pages, under one call."""
    w = linux()
    region = w.map(4096)
    w.touch(region, 0, cpu=3)
    w.touch(region, 512, 512, stride=2, cpu=3)
    w.touch(region, 513, 511, stride=2, cpu=0)
    w.touch(region, 1024, cpu=1)
    w.touch(region, 1536, 512, write=False, cpu=0)
    w.touch(region, 1536, 316)
    w.touch(region, 2048, cpu=1)
    w.touch(region, 2560, cpu=0)
    w.touch(region, 3072, 512, stride=2)
    w.touch(region, 3073, 511, stride=2, cpu=1)
    w.touch(region, 3774, 322, cpu=0)
    w.sim.move_task(w.task, 1)
    assert w.sim.rss(w.process) * 4 == 6664
    assert w.sim.collapse(w.task, region) == 0
    order = (3, 1), (0, 1), (1, 1), (0, 1), (1, 1), (0, 3)
    runs = [there(blocks * BLOCK, node) for node, blocks in order]
    assert recorded(w, region) == (runs, 16384, 16384)
    assert w.changes() == {"thp_collapse_alloc": 8}


def test_linux_max_ptes_swap():
    """64 pages in swap are read back, 65 are too many, one is no obstacle.

    Recorded with pages on disk; pages parked in the swap cache count alike.
    """
    w = linux(swap_bytes=4 * HUGE)
    region = small(w, 4, cpu=1)
    for first, pages in ((0, 64), (512, 65), (1024, 1)):
        w.sim.mark(w.task, region, Mechanism.SWAPCACHE, first=first, pages=pages)
    one_vma(w, region)
    assert w.sim.rss(w.process) * 4 == 7672
    wake(w, region, times=3)
    runs = [
        there(512, 1),
        (65, "swap", None, False),
        (447, "present", 1, False),
        there(1024, 1),
    ]
    assert recorded(w, region) == (runs, 6144, 7932)
    assert w.changes()["thp_collapse_alloc"] == 3


def test_a_policy_is_not_asked_for_the_target():
    w = linux()
    region = small(w, cpu=1)
    w.sim.mbind(w.task, region, Policy(Mode.BIND, (3,)))
    wake(w, region)
    assert w.runs(region) == [there(512, 1)]

"""The node that a collapse goes to, and what happens when it is full.

Written from ``docs/model/thp.md``.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst

from common.huge_pages import BLOCK
from common.khugepaged import (
    EINVAL,
    MILLISECOND,
    huge_at,
    place,
    results,
    small,
    wake,
    world,
)
from lazynuma.engine import Costs
from lazynuma.kernels.counters import Cause, Vm

# --- no huge page to be had -----------------------------------------------------------


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


# --- where ----------------------------------------------------------------------------


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

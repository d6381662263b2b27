"""Writes to huge pages before 5.8: they copy the whole page, or 512 small ones.

Written from ``docs/model/fault.md`` 7.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.huge_pages import BLOCK, World
from common.pair import MIB, Pair, job, toil
from common.stories import policy
from lazynuma.engine import (
    Costs,
    Mode,
    Policy,
    Settings,
    Sweep,
    Thp,
    Uniform,
    uniform,
)
from lazynuma.kernels.counters import Cause, Refusal

COPYING = Thp(enabled="always", copy_on_write=True)


def forked(**options):
    """Return a world whose process and its child share one huge page on node 0."""
    world = World(**{"thp": COPYING, **options})
    region = world.map(BLOCK)
    world.touch(region)
    child = world.sim.fork(world.process)
    kid = world.sim.start_task(child, 1)
    world.changes("pgfault")
    return world, region, kid


def test_a_write_copies_the_whole_page_to_the_writers_node():
    world, region, kid = forked()
    before = world.sim.times(kid.process)
    world.touch(region, 5, by=kid)
    assert world.runs(region, process=kid.process) == [(BLOCK, "present", 1, True)]
    assert world.runs(region) == [(BLOCK, "present", 0, True)]
    assert world.page(region, 5, kid.process).write
    assert world.page(region, 0).mapcount == 1
    names = "thp_fault_alloc", "cow_faults", "thp_split_pmd", "pgalloc_normal"
    assert list(world.changes(*names).values()) == [1, 1, 0, BLOCK]
    assert world.sim.rss(kid.process) == world.sim.rss(world.process) == BLOCK
    assert world.sim.huge_pages(kid.process) == BLOCK
    copy = int(world.sim.memory.copy_ns[0, 1])
    spent = world.sim.times(kid.process) - before
    assert spent[Cause.COW] == Costs().minor_fault_ns + BLOCK * copy
    # The parent is alone now, and keeps its page.
    world.touch(region, 7)
    assert world.page(region, 7).write
    assert world.changes("cow_faults")["cow_faults"] == 0
    world.sim.check()


def test_from_5_8_on_it_splits_the_entry_and_copies_one_page():
    world, region, kid = forked(thp=Thp(enabled="always"))
    world.touch(region, 5, by=kid)
    assert world.page(region, 5, kid.process).node == 1
    assert not world.page(region, 5, kid.process).huge
    assert world.page(region, 4, kid.process).node == 0
    assert world.changes("thp_split_pmd", "cow_faults") == {
        "thp_split_pmd": 1,
        "cow_faults": 1,
    }


def test_without_a_block_it_copies_512_pages_near_the_old_one():
    """The new pages are those of the old page's node, not of the writer's."""
    world, region, kid = forked()
    world.sim.advise(kid, region.of(kid.process), "nohugepage")
    world.changes("pgfault")
    world.touch(region, 5, by=kid)
    assert world.runs(region, process=kid.process) == [(BLOCK, "present", 0, False)]
    assert world.runs(region) == [(BLOCK, "present", 0, True)]
    assert world.sim.rss(kid.process) == BLOCK
    assert world.sim.huge_pages(kid.process) == 0
    names = "thp_fault_fallback", "cow_faults", "thp_split_pmd", "pgfault"
    assert list(world.changes(*names).values()) == [1, 1, 0, 1]
    world.sim.check()


def test_a_policy_places_all_512_pages_as_the_one_that_was_written():
    world, region, kid = forked(nodes=3)
    mine = region.of(kid.process)
    world.sim.mbind(kid, mine, Policy(Mode.INTERLEAVE, (1, 2)))
    world.sim.advise(kid, mine, "nohugepage")
    world.touch(region, 5, by=kid)
    assert world.runs(region, process=kid.process) == [(BLOCK, "present", 2, False)]


def test_a_write_to_the_huge_zero_page_maps_a_huge_page():
    world = World(thp=COPYING)
    region = world.map(BLOCK)
    world.touch(region, write=False)
    world.changes("pgfault")
    world.touch(region, 9)
    assert world.runs(region) == [(BLOCK, "present", 0, True)]
    assert world.sim.rss(world.process) == BLOCK
    names = "thp_fault_alloc", "thp_split_pmd", "cow_faults"
    assert list(world.changes(*names).values()) == [1, 0, 0]
    world.sim.check()


def test_want_of_memory_changes_nothing():
    """Bind to a full node: the only way is to kill."""
    world, region, kid = forked(blocks=2)
    assert world.refused().get(Refusal.TARGET_FULL.name, 0) == 0
    mine = region.of(kid.process)
    world.sim.mbind(kid, mine, Policy(Mode.BIND, (0,)))
    filler = world.map(BLOCK // 2, "nohugepage")
    world.touch(filler, 0, BLOCK // 2)
    world.touch(region, 5, by=kid)
    assert world.sim.oom_kills == 1
    world.sim.check()


@given(st.integers(0, 1 << 32))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_engine_and_reference_agree_on_copies(seed):
    """A child writes to what it shares, with policies, advice and little memory."""
    rng = random.Random(seed)
    machine = uniform(2, rng.choice([8, 10, 16]) * MIB, cpus_per_node=2)
    thp = Thp(
        enabled=rng.choice(["always", "madvise"]),
        defrag=rng.choice(["always", "never", "defer"]),
        use_zero_page=rng.random() < 0.5,
        copy_on_write=True,
    )
    swap, shards = rng.choice([0, 8]) * MIB, rng.choice([1, 4])
    pair = Pair(
        machine,
        Settings(
            shards=shards, sequential=rng.random() < 0.5, swap_bytes=swap, thp=thp
        ),
        seed,
    )
    process, task, region = job(pair, 4)
    if rng.random() < 0.5:
        pair.call("advise", task, region, "hugepage")
    toil(pair, Sweep, task, region, count=1024, write=rng.choice([0.0, 1.0]))
    child = pair.call("fork", process, "kid")
    kid = pair.call("start_task", child, rng.randrange(4))
    pair.processes.append(child)
    pair.tasks.append(kid)
    if rng.random() < 0.5:
        _, filler, other = job(pair, rng.choice([2, 4, 8]))
        pair.call("advise", filler, other, "nohugepage")
        pair.call("populate", filler, other)
        pair.call("munmap", filler, other, first=0, pages=rng.choice([1, 300, 500]))
    mine = [half.of(one) for half, one in zip(region, child, strict=True)]
    if rng.random() < 0.4:
        pair.call("mbind", kid, mine, policy(rng, 2))
    if rng.random() < 0.3:
        pair.call("advise", kid, mine, "nohugepage", first=0, pages=512)
    if rng.random() < 0.3:
        pair.call("munmap", task, region, first=3, pages=1)
    toil(pair, Uniform, kid, mine, count=rng.choice([3, 300]), write=1.0)
    pair.check()


@pytest.mark.parametrize("accumulated", [True, False])
def test_fallback_lists_are_those_of_the_kernel(accumulated):
    """54d032ced983 (5.17): node 3 of two pairs tries 1 before 0, earlier 0 before 1."""
    slit = [[10, 16, 22, 22], [16, 10, 22, 22], [22, 22, 10, 16], [22, 22, 16, 10]]
    world = World(
        nodes=4, slit=slit, thp=Thp(), blocks=4, accumulated_node_load=accumulated
    )
    region = world.map(5 * BLOCK)
    world.sim.mbind(world.task, region, Policy(Mode.BIND, (0, 1, 3)))
    world.touch(region, 0, 5 * BLOCK, cpu=3)
    assert world.page(region, 0).node == 3
    assert world.page(region, 9 * BLOCK // 2).node == (1 if accumulated else 0)

"""A policy of one's own: it repeats Linux to the bit, and is asked once a fault."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.own_policies import ANYTHING, Anything, Repeated, last_cpupid
from common.stories import balanced_story, story
from lazynuma.engine import (
    DEFAULT,
    STAY,
    BadInput,
    Balancing,
    Mechanism,
    Mode,
    Own,
    PlacementPolicy,
    Policy,
    Refusal,
    Settings,
    Simulation,
    SimulationError,
    Thp,
    Uniform,
    preset,
    stay,
    uniform,
)
from lazynuma.kernels.doors import ASKED_WIDTH, Asked
from lazynuma.kernels.placement.asked import Cold, Fault, Touch

MIB = 1 << 20


def test_the_arguments_have_room():
    for columns in (Fault, Touch, Cold):
        assert Asked.ARGUMENTS + len(columns) <= Asked.DOOR
    assert max(Asked) < ASKED_WIDTH


@pytest.mark.parametrize("huge", [False, True])
@given(st.integers(0, 1 << 32))
@settings(max_examples=12, derandomize=True)
def test_one_that_repeats_linux_agrees_with_the_reference(huge, seed):
    balanced_story(seed, 10, huge, kind=Repeated, shares=seed % 3 == 0)


@pytest.mark.parametrize("huge", [False, True])
@given(st.integers(0, 1 << 32))
@settings(max_examples=12, derandomize=True)
def test_nothing_depends_on_batch_or_threads(huge, seed):
    balanced_story(seed, 10, huge, kind=Anything, shares=seed % 3 == 0)


@given(st.integers(0, 1 << 32))
@settings(max_examples=8, derandomize=True)
def test_nothing_depends_on_them_without_balancing(seed):
    story(seed, 10, kind=Anything)


def world(policy, mode="off", thp="never", size=4 * MIB, count=4000, where=(0, 32)):
    """Return (simulation, region) of tasks on two nodes that used marked memory."""
    options = Settings(balancing=Balancing(mode=mode), thp=Thp(enabled=thp))
    simulation = Simulation(preset("4s", 1 << 28), options, policy=policy)
    process = simulation.spawn("job", 4 * size)
    tasks = [simulation.start_task(process, cpu) for cpu in where]
    region = simulation.mmap(process, size)
    simulation.populate(tasks[0], region)
    simulation.mark(tasks[0], region, Mechanism.HINTING)
    simulation.run([Uniform(task=task, region=region, count=count) for task in tasks])
    return simulation, region


def counted(simulation, name):
    return int(simulation.total(name.lower()))


def count(fault, mine):
    mine.asked[fault.page] += 1
    mine.sizes_new[fault.node] += fault.pages
    return fault.cpu_node


COUNTS = PlacementPolicy(
    hint_fault=count, arrays=(Own("asked", "int8", "page"), Own("sizes", "i8", "node"))
)


@pytest.mark.parametrize("mode", ["off", "normal"])
def test_each_fault_is_asked_about_once(mode):
    simulation, region = world(COUNTS, mode)
    faults = counted(simulation, "NUMA_HINT_FAULTS")
    assert faults > 500
    assert simulation.own("asked", region).sum() == faults
    assert simulation.own("sizes").sum() == faults


def test_of_a_huge_page_it_is_asked_once_and_told_its_size():
    simulation, region = world(COUNTS, thp="always")
    faults = counted(simulation, "NUMA_HINT_FAULTS")
    assert faults == simulation.own("asked", region).sum() == 2
    assert simulation.own("sizes").sum() == 2 * 512


def away(fault, mine):
    return (fault.node + 1) % 4


def nowhere(fault, mine):
    return 4


def never(fault, mine):
    return STAY


def cold(fault, mine):
    return stay(Refusal.COLD)


def usual(fault, mine):
    return DEFAULT


def refused(simulation):
    found = simulation.refusals()
    return {reason.name for reason in Refusal if found[reason]}


@pytest.mark.parametrize("mode", ["off", "normal"])
def test_what_it_answers_is_done(mode):
    simulation, _ = world(PlacementPolicy(hint_fault=away), mode)
    moved = counted(simulation, "NUMA_PAGES_MIGRATED")
    assert moved == counted(simulation, "NUMA_HINT_FAULTS")
    for function, reason in (
        (nowhere, "POLICY_NODE"),
        (never, "POLICY"),
        (cold, "COLD"),
    ):
        simulation, _ = world(PlacementPolicy(hint_fault=function), mode)
        assert counted(simulation, "NUMA_PAGES_MIGRATED") == 0
        assert refused(simulation) == {reason}


@pytest.mark.parametrize("mode", ["off", "normal", "tiering"])
def test_default_is_what_linux_does(mode):
    policies = None, PlacementPolicy(hint_fault=usual, promote=usual, first_touch=usual)
    summaries = [world(one, mode)[0].summary() for one in policies]
    for name, value in summaries[0].items():
        assert np.array_equal(value, summaries[1][name], equal_nan=True), name


def thirds(touch, mine):
    mine.pages_new[touch.cpu_node] += touch.pages
    return 2 if touch.block % 3 == 0 else DEFAULT


FIRST = PlacementPolicy(first_touch=thirds, arrays=(Own("pages", "i8", "node"),))


@pytest.mark.parametrize("thp", ["never", "always"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_first_touch_goes_where_it_says(thp, shared):
    simulation = Simulation(
        preset("4s", 1 << 28), Settings(thp=Thp(enabled=thp)), policy=FIRST
    )
    process = simulation.spawn("job")
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, 12 * MIB, shared=shared)
    simulation.populate(task, region, pages=1024)
    simulation.run([Uniform(task=task, region=region, count=20_000, write=1.0)])
    blocks = (region.first + process.delta) // 512 + np.arange(6)
    want = int((blocks % 3 == 0).sum()) * 512
    nodes = simulation.pages_by_node(process)
    assert simulation.own("pages").tolist() == [int(nodes.sum()), 0, 0, 0]
    assert abs(int(nodes[2]) - want) <= 30 and nodes[0] + nodes[2] == nodes.sum()
    simulation.check()


def test_a_memory_policy_that_names_nodes_is_not_overruled():
    simulation = Simulation(preset("4s", 1 << 28), policy=FIRST)
    process = simulation.spawn("job")
    task = simulation.start_task(process, 0)
    for mode in (Mode.PREFERRED, Mode.INTERLEAVE, Mode.BIND):
        region = simulation.mmap(process, 6 * MIB)
        simulation.mbind(task, region, Policy(mode, (1,)))
        simulation.populate(task, region)
    assert simulation.pages_by_node(process).tolist() == [0, 3 * 1536, 0, 0]
    assert simulation.refusals()[Refusal.POLICY_NODE] > 0


def write_seen(fault, mine):
    mine.written[fault.page] = fault.write
    return STAY


@pytest.mark.parametrize("write", [0.0, 1.0])
def test_it_is_told_whether_the_access_writes(write):
    arrays = (Own("written", "int8", "page", fill=7),)
    policy = PlacementPolicy(hint_fault=write_seen, arrays=arrays)
    simulation = Simulation(uniform(2, 1 << 28), policy=policy)
    process = simulation.spawn("job")
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, MIB)
    simulation.populate(task, region)
    simulation.mark(task, region, Mechanism.HINTING)
    assert set(simulation.own("written", region)) == {7}
    simulation.run([Uniform(task=task, region=region, count=5000, write=write)])
    assert set(simulation.own("written", region)) == {int(write)}


def test_arrays_begin_anew_with_a_mapping_and_a_child():
    simulation, region = world(COUNTS)
    process = region.process
    child = simulation.fork(process)
    assert not simulation.own("asked", region.of(child)).any()
    assert simulation.own("asked", region).any()


@pytest.mark.parametrize(
    "name, region, said",
    [
        ("aske", True, "array must be one of asked, sizes, got 'aske' .did you mean"),
        ("asked", False, "array asked, one per page, must be read with a region"),
        ("sizes", True, "array sizes, one per node, must be read without a region"),
    ],
)
def test_what_cannot_be_read_is_refused(name, region, said):
    simulation, whole = world(COUNTS, count=10)
    with pytest.raises(BadInput, match=said):
        simulation.own(name, whole if region else None)


def breaks(fault, mine):
    if fault.page % 100 == 37:
        raise ValueError("thirty-seven")
    return STAY


def test_an_exception_ends_the_run_and_says_where():
    with pytest.raises(SimulationError, match="breaks must raise no exception.*thirty"):
        world(PlacementPolicy(hint_fault=breaks))


def test_a_policy_must_decide_something():
    with pytest.raises(BadInput, match="policy must have one of hint_fault"):
        PlacementPolicy()


def test_policies_of_one_process_do_not_meet():
    here = world(PlacementPolicy(hint_fault=away))[0]
    there = world(PlacementPolicy(hint_fault=never))[0]
    assert counted(here, "NUMA_PAGES_MIGRATED") > 0
    assert counted(there, "NUMA_PAGES_MIGRATED") == 0
    assert last_cpupid is not away and ANYTHING.arrays

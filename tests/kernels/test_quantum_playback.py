"""Recordings: the order of the trace, the CPU of each access, and its time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config

from common.pair import MIB, Engines
from common.recordings import recording_story
from lazynuma.engine import (
    BadInput,
    Recorded,
    Recording,
    Settings,
    Simulation,
    uniform,
)
from lazynuma.kernels.counters import Vm

#: The interpreter takes seconds for a story that compiled kernels tell in a tenth.
STORIES = 4 if config.DISABLE_JIT else 25


@pytest.mark.parametrize("balanced", [False, True])
@given(st.integers(0, 1 << 32))
@settings(max_examples=STORIES, derandomize=True)
def test_engine_and_reference_play_alike(balanced, seed):
    recording_story(seed, 5, balanced)


@pytest.mark.parametrize("balanced", [False, True])
@given(st.integers(0, 1 << 32))
@settings(max_examples=STORIES * 2 // 5, derandomize=True)
def test_recordings_never_depend_on_batch_or_threads(balanced, seed):
    recording_story(seed, 6, balanced, Engines)


class World:
    """Two nodes of two CPUs each, a process with two tasks, on CPUs 0 and 2."""

    def __init__(self, **options):
        machine = uniform(2, 64 * MIB, cpus_per_node=2)
        self.sim = Simulation(machine, Settings(**{"shards": 4} | options))
        self.process = self.sim.spawn(nbytes=64 * MIB)
        self.tasks = [self.sim.start_task(self.process, cpu) for cpu in (0, 2)]
        self.region = self.sim.mmap(self.process, 16 * MIB)

    def play(self, who, vpn, cut=None, **columns):
        """Play writes, ``cut`` accesses at a time."""
        who, vpn = np.array(who), np.array(vpn)
        cut = cut or who.size
        for at in range(0, who.size, cut):
            part = slice(at, at + cut)
            self.sim.play(
                Recording(
                    tasks=self.tasks,
                    regions=[self.region] * len(self.tasks),
                    who=who[part],
                    vpn=vpn[part],
                    writes=np.ones(who[part].size, bool),
                    **{name: np.array(one)[part] for name, one in columns.items()},
                )
            )
        self.sim.check()

    def nodes(self, pages):
        """Return the node of each of the region's first pages."""
        page, first = self.sim.page, self.region.first
        return [page(self.process, first + i).node for i in range(pages)]


def test_who_came_first_has_the_page():
    """Both touch all pages, the second from the end, when the first is done."""
    w, pages = World(), list(range(2000))
    w.play([0] * 2000 + [1] * 2000, pages + pages[::-1])
    assert w.nodes(2000) == [0] * 2000


def test_who_came_first_has_the_page_when_tasks_take_turns():
    w = World()
    blocks = [range(i, i + 500) for i in range(0, 2000, 500)]
    order = [page for block in blocks for page in (*block, *block)]
    w.play([i // 500 % 2 for i in range(4000)], order)
    assert w.nodes(2000) == [0] * 2000


def test_an_access_is_on_the_cpu_where_it_was():
    w = World()
    cpu = [0] * 1000 + [3] * 700 + [1, 2] * 150
    w.play([0] * 2000, range(2000), cpu=cpu)
    assert w.nodes(2000) == [0] * 1000 + [1] * 700 + [0, 1] * 150
    assert w.tasks[0].cpu == 2


def test_a_task_is_where_it_was_if_the_trace_does_not_say():
    w = World()
    w.play([0] * 4, range(4), cpu=[-1, 3, -1, -1])
    # Within a quantum -1 is where the task began it.
    assert w.nodes(4) == [0, 1, 0, 0]
    w.play([1] * 4, range(4, 8))
    assert w.nodes(8)[4:] == [1] * 4


@pytest.mark.parametrize("cut", [1, 7, 4096])
def test_first_touch_does_not_depend_on_how_a_recording_is_cut(cut):
    rng = np.random.default_rng(3)
    who = rng.integers(0, 2, 3000)
    vpn = rng.integers(0, 1500, 3000)
    cpu = np.repeat(rng.integers(0, 4, 300), 10)
    expected = {}
    for page, on in zip(vpn, cpu, strict=True):
        expected.setdefault(int(page), int(on) // 2)
    w = World()
    w.play(who, vpn, cut, cpu=cpu)
    got = w.nodes(1500)
    assert {page: got[page] for page in expected} == expected
    assert w.sim.total("pgfault") == len(expected)


def test_more_places_than_there_is_room_for_end_a_quantum():
    machine = uniform(2, 64 * MIB, cpus_per_node=300)
    sim = Simulation(machine, Settings(shards=4))
    process = sim.spawn(nbytes=64 * MIB)
    task, region = sim.start_task(process, 0), sim.mmap(process, 16 * MIB)
    cpu = np.arange(3000) * 7 % 600
    zeros = np.zeros(3000, np.int64)
    sim.play(
        Recording(
            tasks=[task],
            regions=[region],
            who=zeros,
            vpn=np.arange(3000),
            writes=zeros == 0,
            cpu=cpu,
        )
    )
    nodes = [sim.page(process, region.first + i).node for i in range(3000)]
    assert nodes == (cpu // 300).tolist()


def test_an_access_waits_for_its_time():
    w = World(epoch_ns=10**9)
    second = 10**9
    w.play([0, 0, 1, 0], range(4), time_ns=[0, second, 2 * second, 2 * second])
    clocks = [w.sim.clock(task) for task in w.tasks]
    assert all(2 * second <= clock < 2 * second + 10_000 for clock in clocks)
    # What is computed in between is of no cause.
    assert w.sim.times(w.process).sum() < 20_000


def test_a_clock_that_jumps_does_not_take_for_ever():
    w = World()
    years = 50 * 365 * 86_400 * 10**9
    w.play([0, 0, 1], range(3), time_ns=[0, years, 5])
    assert years <= w.sim.clock(w.tasks[1]) < years + 100_000


def test_who_is_late_delays_those_behind():
    """Task 0 takes faults faster than it can; task 1 comes after it in the trace."""
    w = World(quantum_ns=100_000)
    times = [i for i in range(999)] + [1000]
    w.play([0] * 999 + [1], range(1000), time_ns=times)
    first, second = (w.sim.clock(task) for task in w.tasks)
    assert first > 900_000 and second > first - 200_000


def test_accesses_of_the_dead_are_dropped_and_counted():
    """Two processes fill 8 MiB; the larger one is killed in the middle."""
    sim = Simulation(uniform(1, 8 * MIB), Settings(shards=4, swap_bytes=0))
    owners = [sim.spawn(nbytes=64 * MIB) for _ in range(2)]
    tasks = [sim.start_task(one, 0) for one in owners]
    regions = [sim.mmap(one, 16 * MIB) for one in owners]
    who = np.array([0, 0, 1] * 1000)
    vpn = np.arange(3000)
    rows = {"who": who, "vpn": vpn, "writes": np.ones(3000, bool)}
    sim.play(Recording(tasks=tasks, regions=regions, **rows))
    assert sim.oom_kills == 1 and not owners[0].alive
    made = sim.counters()[:, [Vm.ACCESSES_LOCAL, Vm.ACCESSES_REMOTE]].sum()
    assert sim.dropped > 0 and made + sim.dropped == 3000
    sim.check()


GOOD = {"who": np.zeros(3, np.int64), "vpn": np.arange(3), "writes": np.ones(3, bool)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"vpn": np.arange(4)}, "vpn must have one item for each of 3 accesses"),
        ({"vpn": np.array([0, 1, 4096])}, "vpn must be from 0 to 4095, got 4096 at"),
        ({"who": np.array([0, 2, 0])}, "who must be from 0 to 1, got 2 at access 1"),
        ({"time_ns": np.array([0, -2, 0])}, "time_ns must be from -1"),
        ({"refs": 0}, "refs must be at least 1"),
        ({"cpu": np.array([0, 1, 4])}, "cpu must be -1 or one of the machine's, got 4"),
        ({"cpu": np.array([0, -2, 4])}, "got -2 at access 1"),
        ({"regions": []}, "regions must be one for each of 2 tasks, got 0"),
    ],
)
def test_nonsense_is_refused(wrong, message):
    w = World()
    columns = {"tasks": w.tasks, "regions": [w.region] * 2} | GOOD | wrong
    with pytest.raises(BadInput, match=message):
        w.sim.play(Recording(**columns))


def test_one_recording_holds_what_several_tasks_did():
    w = World()
    loads = [
        Recorded(
            task=task,
            region=w.region,
            count=1,
            vpn=np.zeros(1, np.int64),
            writes=np.ones(1, bool),
        )
        for task in w.tasks
    ]
    with pytest.raises(BadInput, match="must be one Recording"):
        w.sim.run(loads)


def test_tasks_must_be_different_and_own_their_regions():
    w = World()
    with pytest.raises(BadInput, match="must be different"):
        Recording(tasks=[w.tasks[0]] * 2, regions=[w.region] * 2, **GOOD)
    other = w.sim.start_task(w.sim.spawn(), 0)
    with pytest.raises(BadInput, match="must belong to the process of task 2"):
        Recording(tasks=[other], regions=[w.region], **GOOD)

"""A user's generator, and phases in simulated time: never a matter of batches."""

import random
import re

import numpy as np
import pytest

from common.broken_runs import differences, in_pieces, state
from common.own_loads import own, phases, timed, uniformly
from common.pair import MIB, Pair
from lazynuma.engine import (
    BadInput,
    Costs,
    HotCold,
    LazyNumaError,
    OwnWorkload,
    Phases,
    Recorded,
    Settings,
    Simulation,
    SimulationError,
    Sweep,
    Uniform,
    Zipf,
    random_bits,
    random_page,
    random_unit,
    random_write,
    uniform,
)
from lazynuma.engine.workloads.rows import Loads
from lazynuma.kernels.counters import Cause
from lazynuma.kernels.draws import draw_of, key_of
from lazynuma.kernels.quantum.load_table import Load
from lazynuma.kernels.state import Task

PAGES = 600


class World:
    """Some tasks that share a region, on a machine of two nodes."""

    def __init__(self, tasks=1, threads=1, batch=1 << 20):
        settings = Settings(shards=4, quantum_ns=2_000_000)
        machine = uniform(2, 4 * MIB, cpus_per_node=2)
        costs = Costs(queueing_permille=0)
        self.sim = Simulation(machine, settings, costs, threads=threads, batch=batch)
        self.process = self.sim.spawn(nbytes=8 * MIB)
        self.tasks = [self.sim.start_task(self.process, cpu) for cpu in range(tasks)]
        self.region = self.sim.mmap(self.process, PAGES * 4096)

    @property
    def here(self):
        return {"task": self.tasks[0], "region": self.region}

    def run(self, *loads):
        self.sim.run(list(loads))
        return self

    def seen(self):
        sim, first = self.sim, self.region.first
        pages = [sim.page(self.process, first + i) for i in range(PAGES)]
        clocks = [sim.clock(task) for task in self.tasks]
        times = sim.times(self.process).tolist()
        return pages, clocks, sim.counters().tolist(), times, sim.now


def test_a_generator_that_draws_as_uniform_gives_the_bits_of_uniform():
    built_in, ours = World(), World()
    built_in.run(Uniform(**built_in.here, count=9000))
    ours.run(OwnWorkload(**ours.here, count=9000, generate=uniformly))
    assert ours.seen() == built_in.seen()


def busy(threads, batch):
    world = World(tasks=4, threads=threads, batch=batch)
    a, b, c, d = world.tasks
    region = world.region
    world.run(own(a, region, count=6000), phases(b, region), timed(c, region))
    world.run(phases(d, region), own(b, region, for_ns=3_000_000))
    world.sim.check()
    return world.seen()


@pytest.fixture(scope="module")
def expected():
    return busy(1, 1 << 20)


@pytest.mark.parametrize("threads, batch", [(1, 7), (2, 4096), (2, 99)])
def test_neither_threads_nor_batches_change_a_result(threads, batch, expected):
    assert busy(threads, batch) == expected


def test_a_run_goes_on_in_the_middle_with_the_same_bits(tmp_path):
    def run(keeper, rows):
        real = Simulation(uniform(2, 4 * MIB), Settings(shards=4, quantum_ns=10**6))
        sim = keeper.stand_in(real) if keeper else real
        process = sim.spawn(nbytes=8 * MIB)
        a, b, c = (sim.start_task(process, cpu) for cpu in (0, 1, 0))
        region = sim.mmap(process, PAGES * 4096)
        for count in (900, 200):
            loads = [own(a, region, count=count), phases(b, region, 300_000)]
            sim.run([*loads, timed(c, region, 200_000)])
        return state(real)

    expected = run(None, [])
    _, found, stops = in_pieces(tmp_path / "x", random.Random(1), 8, run)
    assert stops > 2
    assert not differences(expected, found)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_reference_draws_the_same_accesses(seed):
    options = Settings(shards=4, quantum_ns=300_000)
    pair = Pair(uniform(2, 4 * MIB, cpus_per_node=2), options, seed)
    process = pair.call("spawn", "main", 8 * MIB)
    pair.processes.append(process)
    pair.tasks = [pair.call("start_task", process, cpu) for cpu in range(4)]
    region = pair.call("mmap", process, (100 + 41 * seed) * 4096)
    for make in (first_loads, second_loads):
        for i, sim in enumerate(pair.sims):
            sim.run(make([task[i] for task in pair.tasks], region[i]))
        pair.compare()


def first_loads(tasks, region):
    return [
        own(tasks[0], region, count=700),
        phases(tasks[1], region, 200_000),
        timed(tasks[2], region, 200_000),
    ]


def second_loads(tasks, region):
    hot = HotCold(
        task=tasks[3], region=region, count=300, hot_pages=9, period_ns=99_999, step=4
    )
    return [hot, own(tasks[1], region, for_ns=1_500_000)]


def test_refs_of_an_access_are_paid_and_move_bytes():
    """Half of the accesses stand for 10 references, half of them for 1."""

    def tenfold(access, mine):
        return access.number % 250, True, 10 if access.number < 500 else 1

    def alike(access, mine):
        return access.number % 250, True

    both, ten, one = worlds = World(), World(), World()
    for world in worlds:
        world.sim.populate(world.tasks[0], world.region)
    both.run(OwnWorkload(**both.here, count=1000, generate=tenfold, refs=(10, 1)))
    ten.run(OwnWorkload(**ten.here, count=500, generate=alike, refs=10))
    one.run(OwnWorkload(**one.here, count=500, generate=alike, refs=1))
    took = [world.sim.times(world.process)[Cause.ACCESS_LOCAL] for world in worlds]
    assert took[0] == took[1] + took[2] and took[1] == 10 * took[2] > 0
    moved = [world.sim.prices.bytes.sum() for world in worlds]
    assert moved[0] == moved[1] + moved[2] and moved[1] == 10 * moved[2] > 0


def test_a_workload_lasts_for_its_time():
    world = World(tasks=2)
    a, b = world.tasks
    world.run(
        Uniform(task=a, region=world.region, for_ns=9_000_000),
        Uniform(task=b, region=world.region, for_ns=30_000_000),
    )
    ended = [world.sim.clock(task) for task in world.tasks]
    # The last quantum may cost an access more or less than was planned, not more.
    assert abs(ended[0] - 9_000_000) < 200_000 and abs(ended[1] - 30_000_000) < 200_000
    end = world.sim.now
    world.run(Uniform(**world.here, for_ns=5_000_000))
    assert abs(world.sim.now - end - 5_000_000) < 200_000


def test_phases_follow_each_other_and_come_again():
    world = World()
    sweep = [
        Sweep(**world.here, first=100 * i, pages=100, refs=100, write=1.0)
        for i in range(3)
    ]
    parts = [(sweep[i], 2_000_000 * (i + 1)) for i in range(3)]
    load = Phases(parts=parts, repeat=2)
    assert load.for_ns == 12_000_000
    assert [load.at(ns) for ns in (0, 1_999_999, 2_000_000, 6_000_000)] == [
        *(sweep[0], sweep[0], sweep[1], sweep[0])
    ]
    assert [load.over_at(ns) for ns in (0, 2_000_000, 7_000_000)] == [
        *(2_000_000, 4_000_000, 8_000_000)
    ]
    world.run(load)
    assert world.sim.rss(world.process) == 300
    assert abs(world.sim.now - 12_000_000) < 200_000


@pytest.mark.parametrize("kind", [HotCold, Zipf])
def test_the_hot_set_moves_with_time(kind):
    """The hottest page of a time is ``step`` pages on in the next one."""
    options = {"hot_pages": 1, "hot_share": 1.0} if kind is HotCold else {}
    seen = []

    def accesses(self, task, now):
        take_up(self, task, now)
        seen.append((now - self.begun, int(self.rows[0, moved])))

    take_up, moved = Loads.take_up, int(Load.MOVED)
    world = World()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loads, "take_up", accesses)
        world.run(
            kind(
                **world.here, **options, for_ns=20_000_000, period_ns=3_000_000, step=7
            )
        )
    assert len(seen) > 5 and seen[-1][1] > 0
    for since, by in seen:
        assert by == since // 3_000_000 * 7 % PAGES


def test_the_tail_of_a_workload_of_some_time_is_its_last_tenth():
    world = World()
    world.run(Sweep(**world.here, count=2 * PAGES))
    world.sim.move_task(world.tasks[0], 2)
    world.run(Uniform(**world.here, for_ns=40_000_000))
    assert world.sim.summary()["local_fraction_end"] == 0.0
    with pytest.raises(BadInput, match="tail must not be given with for_ns"):
        world.sim.run([Uniform(**world.here, for_ns=1_000_000)], tail=5)


def test_draws_for_generators_are_those_of_workloads():
    key = int(key_of(5, 9))
    for i in (0, 1, 77):
        r = draw_of(5, 9, i)
        assert random_bits(key, i) == r >> 2
        assert random_unit(key, i) == float(r >> 11) * 2.0**-53
        assert random_page(key, i, 100) == int(float(r >> 11) * 2.0**-53 * 100)
        assert random_write(key, i, 0.3) == ((r & 2047) < round(0.3 * 2048))


def outside(access, mine):
    """Leave the region at access 150."""
    return access.number + 450, True


def below(access, mine):
    """Leave the region at access 33."""
    return 33 - access.number - (access.number == 33), True


def divides(access, mine):
    """Raise at access 70."""
    return 100 // (70 - access.number) % access.pages, True


def other_refs(access, mine):
    """Return refs that were not declared, at access 12."""
    return 5, True, 64 if access.number < 12 else 7


def of_one(access):
    """Have a parameter less."""
    return 1, True


def of_floats(access, mine):
    """Return no integer."""
    return access.number * 0.5, True


def writes(access, mine):
    """Write what may only be read."""
    mine.order[0] = 1
    return 1, True


REFUSED = [
    (outside, {}, "outside must return a page from 0 to 599, got 600 at access 150"),
    (below, {}, "below must return a page from 0 to 599, got -1 at access 33 of task"),
    (divides, {}, r"ZeroDivisionError: .* \(access 70 of task 0\)"),
    (other_refs, {"refs": (64, 1)}, "must return refs of 64, 1, got 7 at access 12"),
    (of_one, {}, r"of_one must be a function of \(access, mine\)"),
    (of_floats, {}, r"of_floats must return \(page, write\), .*got"),
    (uniformly, {"refs": (1, 2)}, r"must return \(page, write, refs\), .*got"),
    (writes, {"arrays": {"order": np.arange(3)}}, "writes must"),
    (uniformly, {"arrays": {"a": [1]}}, "must have as a a NumPy array of one dim"),
    (uniformly, {"arrays": {"a": np.zeros((2, 2))}}, "of one dimension, got 2"),
    (uniformly, {"arrays": {"a": np.zeros(2, "c16")}}, "got complex128"),
    (uniformly, {"arrays": {"a": np.arange(9)[::2]}}, "in one piece"),
    (uniformly, {"arrays": {"a b": np.arange(9)}}, "words as names"),
    (uniformly, {"parameters": {"a": "b"}}, "must have a number as a, got 'b'"),
    (uniformly, {"parameters": {"a": 1 << 70}}, "must have a number"),
    (uniformly, {"parameters": {"a": 1}, "arrays": {"a": np.arange(2)}}, "one a, got"),
    (uniformly, {"refs": ()}, "refs must be 1 to 8 different ones"),
    (uniformly, {"refs": (1, 1)}, "refs must be 1 to 8 different ones"),
    (uniformly, {"refs": (1, 0)}, "refs must be at least 1, got 0"),
    (3, {}, "generate must be a function, got 3"),
]


@pytest.mark.parametrize("function, options, said", REFUSED)
def test_what_is_wrong_with_a_generator_is_said_in_one_line(function, options, said):
    world = World()
    with pytest.raises(LazyNumaError, match=said) as error:
        world.run(OwnWorkload(**world.here, count=5000, generate=function, **options))
    assert "\n" not in str(error.value)
    # The interpreter finds none before it calls the function.
    assert isinstance(error.value, SimulationError) or "access " not in said
    if callable(function) and "refs" not in str(error.value)[:5]:
        file = re.match(
            r"(test_own_workload|own_loads)\.py:\d+: \w+ ", str(error.value)
        )
        assert file, str(error.value)


WRONG = [
    (lambda here: Uniform(**here), "count or for_ns must be given, got neither"),
    (lambda here: Uniform(**here, count=1, for_ns=5), "must be given, got both"),
    (lambda here: Uniform(**here, for_ns=0), "for_ns must be at least 1, got 0"),
    (lambda here: Zipf(**here, count=1, period_ns=0), "period_ns must be at least 1"),
    (
        lambda here: Recorded(
            **here, for_ns=5, vpn=np.zeros(1, np.int64), writes=np.zeros(1, bool)
        ),
        "recorded accesses must have a count",
    ),
    (lambda _: Phases(parts=[]), "phases must be at least one"),
    (lambda here: Phases(parts=[(Uniform(**here, count=1), 5)]), "must end at their"),
    (lambda here: Phases(parts=[(Uniform(**here), 0)]), "must be above 0, got 0"),
    (lambda here: Phases(parts=[(Uniform(**here), 5)] * 2), "must be above 5, got 5"),
    (lambda here: Phases(parts=[(Uniform(**here), 5)], repeat=0), "repeat must be at"),
]


@pytest.mark.parametrize("make, said", WRONG)
def test_times_that_cannot_be_are_refused(make, said):
    world = World()
    with pytest.raises(BadInput, match=said):
        world.run(make(world.here))


def test_phases_are_of_one_task():
    world = World(tasks=2)
    parts = [
        (Uniform(task=task, region=world.region), i + 1)
        for i, task in enumerate(world.tasks)
    ]
    with pytest.raises(BadInput, match="phases must be of one task"):
        Phases(parts=parts)


def test_the_task_table_says_what_accesses_stand_for():
    world = World()
    world.run(own(world.tasks[0], world.region, count=5))
    row = world.sim.memory.task[0]
    assert [row[Task.REFS], row[Task.REFS_1], row[Task.REFS_2]] == [64, 1, 9]

"""Quotas, prices and utilisation, worked out by hand."""

from functools import partial

import numpy as np
import pytest

from lazynuma.engine import Costs, Settings, Simulation, Stream, Sweep, uniform
from lazynuma.kernels import state as s
from lazynuma.kernels.counters import Cause
from lazynuma.kernels.quantum import plan, price
from lazynuma.kernels.words import NONE


def tasks(*rows):
    """Return a task table of (clock, number, count, mean).

    What tasks have done so far does not bind them unless ``number`` is small.
    """
    table = np.zeros((len(rows), len(s.Task)), np.int64)
    for row, (clock, number, count, mean) in zip(table, rows, strict=True):
        row[s.Task.ALIVE] = 1
        row[s.Task.CLOCK], row[s.Task.NUMBER] = clock, number
        row[s.Task.COUNT], row[s.Task.MEAN] = count, mean
    return table


def quotas(table):
    return table[:, s.Task.QUOTA].tolist()


def test_a_task_gets_what_fits_its_mean_cost():
    table = tasks((0, 50, 1050, 30), (500, 50, 1050, 30), (0, 9998, 10000, 1))
    assert plan.plan(table, 0, 1000, 10**6) == (0, 1000)
    assert quotas(table) == [33, 16, 2]


def test_a_task_that_overshot_sits_out():
    table = tasks((2500, 0, 10, 7), (900, 0, 10, 5000))
    assert plan.plan(table, 0, 1000, 10**6) == (0, 1000)
    assert quotas(table) == [0, 1]


def test_with_nothing_to_run_the_clock_jumps():
    table = tasks((5000, 10, 20, 100), (7000, 10, 20, 100), (0, 10, 10, 1))
    assert plan.plan(table, 1000, 1000, 10**6) == (5000, 6000)
    assert quotas(table) == [10, 0, 0]


def test_too_many_accesses_shorten_the_quantum():
    table = tasks((0, 1000, 10**6, 1), (0, 1000, 10**6, 1))
    assert plan.plan(table, 0, 1000, 500) == (0, 250)
    assert quotas(table) == [250, 250]


def test_a_quantum_never_has_more_accesses_than_it_may():
    """Arrays have that size: a task with little left, or late, gives up nothing."""
    table = tasks((0, 1000, 1060, 1), (0, 1000, 10**6, 1), (950, 1000, 10**6, 1))
    assert plan.plan(table, 0, 1000, 100)[1] > 0
    assert 60 < sum(quotas(table)) <= 100
    table = tasks(*[(0, 1000, 10**6, 1)] * 7)
    assert plan.plan(table, 0, 1000, 5) == (0, 1)
    assert quotas(table) == [1, 1, 1, 1, 1, 0, 0]


def test_a_task_left_behind_catches_up_first():
    table = tasks((100, 20, 70, 10))
    assert plan.plan(table, 3000, 200, 10**6) == (3000, 3200)
    assert quotas(table) == [20] and table[0, s.Task.CLOCK] == 3000


def test_no_task_doubles_what_it_has_done():
    """The one that has done least, by time, ends the quantum; it may do 4 at first."""
    table = tasks((0, 0, 1000, 30), (0, 6, 1000, 10), (50, 100, 1000, 1))
    assert plan.plan(table, 0, 1000, 10**6) == (0, 60)
    assert quotas(table) == [2, 6, 10]
    table = tasks((0, 0, 1000, 10), (0, 500, 1000, 10))
    assert plan.plan(table, 0, 1000, 10**6) == (0, 40)
    assert quotas(table) == [4, 4]


def test_the_end():
    assert plan.plan(tasks((5, 9, 9, 1)), 10, 100, 10)[1] == NONE


@pytest.fixture
def world():
    simulation = Simulation(uniform(2, 16 << 20), Settings(shards=1), Costs())
    process = simulation.spawn(nbytes=8 << 20)
    task = simulation.start_task(process, 0)
    return simulation, task, simulation.mmap(process, 4 << 20)


def test_an_access_costs_references_times_loaded_latency(world):
    simulation, task, region = world
    machine = simulation.machine
    load = Sweep(task=task, region=region, count=100, refs=10)
    simulation.run([load])
    times = simulation.times(task.process)
    local = int(machine.latency_ns[0, 0])
    assert times[Cause.ACCESS_LOCAL] == 100 * 10 * local
    assert times[Cause.MINOR_FAULT] == 100 * simulation.costs.minor_fault_ns
    assert simulation.clock(task) == times.sum()


def test_latency_grows_with_load(world):
    simulation, task, _ = world
    memory, latency = simulation.memory, np.full((2, 2), 100, np.int64)
    memory.task[0, s.Task.REFS] = 2
    load = np.array([[0, 500], [0, 950]], np.int64)
    one = np.full((2, 2), 1000, np.int64)
    width = np.full((2, 2), 10**10, np.int64)
    price.price(memory, latency, width, load, one, 150, 10**10)
    # 1 + 0.15 * 0.5 / 0.5 = 1.15
    assert memory.access_ns[0].tolist() == [200, 230]


@pytest.mark.parametrize("kind", [Stream, partial(Sweep, streamed=True)])
def test_streams_pay_for_bytes(world, kind):
    simulation, task, region = world
    simulation.run([kind(task=task, region=region, count=30, refs=64)])
    costs, machine = simulation.costs, simulation.machine
    rate = min(int(machine.bandwidth[0, 0]), costs.core_bandwidth)
    spent = simulation.times(task.process)[Cause.ACCESS_LOCAL]
    assert spent == 30 * (4096 * 10**9 // rate)


def test_copies_get_what_a_stream_gets(world):
    """A page is read at the source; its lines are read and written at the target."""
    simulation, _, _ = world
    memory = simulation.memory
    latency = np.array([[100, 200], [200, 100]], np.int64)
    width, alone = np.full((2, 2), 10**10, np.int64), np.full((2, 2), 1286, np.int64)
    factor = np.array([[30_000, 1000], [20_000, 1000]], np.int64)
    price.price_copies(memory, latency, width, factor, alone, 8 * 10**9)
    # Node 1 reads from node 0 at 4 GB/s / 20, and moves 8,192 bytes at 8 GB/s: 20,480
    # + 1,024.  From node 1 to node 0: 1,024 + 30 x 1,024.  At home: 512 x 30 x 3.
    assert memory.copy_ns.tolist() == [[46_080, 21_504], [31_744, 1536]]
    price.price_copies(memory, latency, width, factor // 1000 + 999, alone, 10**12)
    assert memory.copy_ns.min() == 1286  # never faster than alone


@pytest.mark.parametrize("loaded", [False, True])
def test_a_page_that_moves_while_memory_is_busy_takes_longer(loaded):
    settings = Settings(loaded_copies=loaded)
    simulation = Simulation(uniform(2, 64 << 20, 2), settings)
    base = simulation.memory.copy_ns.copy()
    task = simulation.start_task(simulation.spawn(), 0)
    region = simulation.mmap(task.process, 4 << 20)
    simulation.run([Sweep(task=task, region=region, count=10**6, streamed=True)])
    copies, busy = simulation.memory.copy_ns, simulation.prices
    assert (copies >= base).all() and ((copies != base).any() == loaded)
    assert busy.bytes[0, 0] > 0


def test_utilisation_is_the_larger_of_node_and_link(world):
    simulation, _, _ = world
    memory = simulation.memory
    memory.traffic[0] = [[0, 1000], [0, 3000]]
    width = np.array([[10**9, 10**9], [10**9, 2 * 10**9]], np.int64)
    use, factor = np.zeros((2, 2), np.int64), np.full((2, 2), 1000, np.int64)
    price.utilise(memory, width, use, factor, 10**6)
    # Node 1: 4000 lines of 64 bytes in 1 ms of 2 GB/s; link 0-1: 1000 lines of 1 GB/s.
    assert use.tolist() == [[0, 128], [0, 128]]
    assert factor.tolist() == [[1000, 1000], [1000, 1000]]
    memory.traffic[0] = [[0, 40_000], [0, 0]]
    price.utilise(memory, width, use, factor, 10**6)
    assert use[0, 1] == price.UTILISATION_MAX and factor[0, 1] == 1780

"""Results depend on the model's parameters, never on how the work is cut."""

import numpy as np
import pytest

from lazynuma.engine import (
    Mechanism,
    NextTouch,
    Settings,
    Simulation,
    Sweep,
    Uniform,
    Zipf,
    uniform,
)

MIB = 1 << 20


def story(threads, batch, shards=8):
    """Run faults, migrations, forks and reclaim; return all there is to see."""
    machine = uniform(3, 4 * MIB, cpus_per_node=2)
    options = Settings(shards=shards, swap_bytes=3 * MIB, quantum_ns=400_000)
    simulation = Simulation(machine, options, threads=threads, batch=batch)
    process = simulation.spawn(nbytes=32 * MIB)
    tasks = [simulation.start_task(process, cpu) for cpu in (0, 1, 2)]
    region = simulation.mmap(process, 6 * MIB)
    simulation.run(
        [
            Sweep(task=task, region=region, count=500, start=500 * i)
            for i, task in enumerate(tasks)
        ]
    )
    for i, task in enumerate(tasks):
        simulation.move_task(task, 5 - i)
    simulation.mark(tasks[0], region, Mechanism.HINTING, first=0, pages=700)
    simulation.mark(tasks[1], region, Mechanism.MIGCACHE, first=700, pages=300)
    simulation.mark(tasks[1], region, Mechanism.SWAPCACHE, first=1000, pages=500)
    child = simulation.fork(process)
    tasks.append(simulation.start_task(child, 4))
    regions = [region, region, region, region.of(child)]
    kinds = [Uniform, NextTouch, Zipf, Uniform]
    simulation.run(
        [
            kind(task=task, region=part, count=900)
            for kind, task, part in zip(kinds, tasks, regions, strict=True)
        ]
    )
    more = simulation.mmap(process, 8 * MIB)
    simulation.run(
        [
            Sweep(task=task, region=more, count=700, start=700 * i)
            for i, task in enumerate(tasks[:3])
        ]
    )
    simulation.check()
    return simulation, (region, more)


def seen(simulation, regions):
    """Return everything that the model computes."""
    pages = [
        simulation.page(process, vpn)
        for process in simulation.processes
        if process.alive
        for region in regions
        for vpn in range(region.first, region.first + region.pages)
    ]
    return (
        pages,
        [simulation.clock(task) for task in simulation.tasks],
        simulation.counters().tolist(),
        simulation.refusals().tolist(),
        [simulation.times(process).tolist() for process in simulation.processes],
        [simulation.free(node) for node in range(3)],
        (simulation.slots_in_use, simulation.entries_in_use, simulation.now),
        simulation.oom_kills,
    )


@pytest.fixture(scope="module")
def expected():
    return seen(*story(1, 1 << 20))


@pytest.mark.parametrize(
    "threads, batch", [(1, 1), (1, 7), (1, 4096), (2, 7), (2, 999)]
)
def test_results_do_not_depend_on_batches_and_threads(threads, batch, expected):
    assert seen(*story(threads, batch)) == expected


def test_the_story_is_worth_telling(expected):
    counters = np.array(expected[2]).sum(axis=0)
    simulation, _ = story(1, 100)
    for name in ("pswpout", "lazy_faults", "numa_hint_faults", "cow_faults"):
        assert simulation.total(name) > 0, name
    assert simulation.total("pgmigrate_success") > 0 and counters.sum() > 0


def test_populate_is_the_same_as_touching():
    """Whole blocks at once (Cython) leave what page by page leaves."""
    worlds = []
    for populate in (False, True):
        options = Settings(sequential=True)
        simulation = Simulation(uniform(2, 8 * MIB), options)
        process = simulation.spawn(nbytes=32 * MIB)
        task = simulation.start_task(process, 0)
        region = simulation.mmap(process, 11 * MIB + 4096 * 7)
        simulation.run([Sweep(task=task, region=region, count=3, first=5, pages=9)])
        if populate:
            assert simulation.populate(task, region) == region.pages
        else:
            load = Sweep(task=task, region=region, count=region.pages)
            simulation.run([load])
        simulation.check()
        counters = simulation.counters()[:, :28].tolist()
        pages = [
            simulation.page(process, region.first + i) for i in range(region.pages)
        ]
        free = [simulation.free(node) for node in range(2)]
        worlds.append((counters, pages, free))
    assert worlds[0] == worlds[1]

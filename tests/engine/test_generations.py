"""Generations of pages (MGLRU): which are evicted first, and what turns them on."""

from contextlib import closing
from dataclasses import replace

import pytest

from lazynuma.engine import LruGen, Settings, Simulation, Sweep, Thp, uniform
from lazynuma.engine.state.check import check
from lazynuma.kernels.state import Node

MIB = 1 << 20
KERNELS = [LruGen(True), LruGen(True, new_second=True, spread=False)]


def machine(lru_gen, thp="never"):
    """Return a simulation of one node of 16 MiB with plenty of swap, and its task."""
    settings = Settings(
        sequential=True,
        swap_bytes=64 * MIB,
        lru_gen=lru_gen,
        thp=Thp(enabled=thp),
    )
    simulation = Simulation(uniform(1, 16 * MIB, cpus_per_node=1), settings)
    return simulation, simulation.start_task(simulation.spawn("job"), 0)


def write(simulation, task, region, first=0, pages=None):
    """Write pages of a region, one after the other."""
    part = region._replace(first=region.first + first, pages=pages or region.pages)
    simulation.run([Sweep(task=task, region=part, count=part.pages, write=1.0)])


def kept(simulation, region):
    """Return the share of a region's pages that are in memory."""
    pages = range(region.first, region.first + region.pages)
    kinds = [simulation.page(region.process, vpn).kind for vpn in pages]
    return kinds.count("present") / len(kinds)


def regions(simulation, task, *sizes):
    """Return regions of so many MiB."""
    return [simulation.mmap(task.process, size * MIB) for size in sizes]


@pytest.mark.parametrize("lru_gen", KERNELS)
@pytest.mark.parametrize("thp", ["never", "always"])
def test_the_oldest_go_first(lru_gen, thp):
    simulation, task = machine(lru_gen, thp)
    with closing(simulation):
        old, young = regions(simulation, task, 4, 16)
        write(simulation, task, old)
        write(simulation, task, young)
        assert kept(simulation, old) < 0.1
        assert kept(simulation, young) > 0.5
        check(simulation)


@pytest.mark.parametrize("lru_gen", KERNELS)
def test_what_is_used_meanwhile_stays(lru_gen):
    simulation, task = machine(lru_gen)
    with closing(simulation):
        hot, idle, new = regions(simulation, task, 4, 4, 16)
        write(simulation, task, hot)
        write(simulation, task, idle)
        for first in range(0, new.pages, 256):
            write(simulation, task, new, first, 256)
            write(simulation, task, hot)
        assert kept(simulation, hot) > 0.9
        assert kept(simulation, idle) < 0.1


@pytest.mark.parametrize("lru_gen", KERNELS)
def test_cold_pages_go_before_older_ones(lru_gen):
    simulation, task = machine(lru_gen)
    with closing(simulation):
        old, cold, new = regions(simulation, task, 4, 4, 10)
        write(simulation, task, old)
        write(simulation, task, cold)
        simulation.madvise(task, cold, "cold")
        write(simulation, task, new)
        assert kept(simulation, cold) < 0.6 < kept(simulation, old)


@pytest.mark.parametrize("lru_gen", KERNELS)
def test_lists_become_generations_and_come_back(lru_gen):
    """Counts stay right; what was active is young, what was young is active."""
    simulation, task = machine(replace(lru_gen, enabled=False))
    with closing(simulation):
        region, more = regions(simulation, task, 12, 8)
        write(simulation, task, region)
        write(simulation, task, more)
        node = simulation.memory.node[0]
        pages = node[Node.ACTIVE] + node[Node.INACTIVE]
        simulation.configure(replace(simulation.settings, lru_gen=lru_gen))
        check(simulation)
        assert node[Node.ACTIVE] == 0
        assert node[Node.INACTIVE] == pages
        write(simulation, task, region)
        check(simulation)
        off = replace(lru_gen, enabled=False)
        old = node[Node.ACTIVE]
        simulation.configure(replace(simulation.settings, lru_gen=off))
        check(simulation)
        assert node[Node.INACTIVE] == old

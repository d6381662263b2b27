"""The order in which swapoff goes through processes: by whose policy a slot is read."""

from contextlib import closing
from dataclasses import replace

import pytest

from lazynuma.engine import Mode, Policy, Settings, Simulation, uniform

MIB = 1 << 20


def family(settings):
    """Return a simulation, (task, region) of a parent, and its two children.

    All of the region is in swap, and each process is bound to a node of its own.
    """
    simulation = Simulation(uniform(4, 16 * MIB, cpus_per_node=1), settings)
    parent = simulation.spawn("parent")
    task = simulation.start_task(parent, 0)
    region = simulation.mmap(parent, 64 * 4096)
    simulation.populate(task, region)
    simulation.madvise(task, region, "pageout")
    children = [simulation.fork(parent, name) for name in ("first", "second")]
    tasks = [task, *(simulation.start_task(child, 0) for child in children)]
    for node, one in enumerate(tasks):
        mine = region.of(one.process)
        simulation.mbind(one, mine, Policy(Mode.BIND, (node,)))
    return simulation, tasks, region


def read_by(settings, gone=()):
    """Return the node on which swapoff puts the pages of a region.

    gone  which of the three processes drop theirs before
    """
    simulation, tasks, region = family(settings)
    with closing(simulation):
        for one in gone:
            mine = region.of(tasks[one].process)
            simulation.madvise(tasks[one], mine, "dontneed")
        simulation.swapoff(tasks[0])
        last = next(one for one in (0, 1, 2) if one not in gone)
        pages = range(region.first, region.first + region.pages)
        mine = tasks[last].process
        (node,) = {simulation.page(mine, vpn).node for vpn in pages}
        return node


BEHIND = Settings(swap_bytes=4 * MIB)
AHEAD = replace(BEHIND, calls=replace(BEHIND.calls, fork_heads_mmlist=True))


@pytest.mark.parametrize(
    ("settings", "gone", "node"),
    [
        (BEHIND, (), 0),
        # A child joins right behind its parent: the second before the first.
        (BEHIND, (0,), 2),
        (BEHIND, (0, 2), 1),
        (AHEAD, (), 2),
        (AHEAD, (2,), 1),
        (AHEAD, (1, 2), 0),
    ],
)
def test_swapoff_reads_a_slot_by_the_policy_of_the_first_on_the_list(
    settings, gone, node
):
    assert read_by(settings, gone) == node

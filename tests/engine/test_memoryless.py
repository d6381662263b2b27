"""Nodes without memory: where their CPUs' pages come from, and what the way costs."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from common.pair import MIB, Pair
from common.stories import balanced_world, begin_task, grow, repertoire, start, step
from lazynuma.engine import (
    BadInput,
    Mechanism,
    Mode,
    Policy,
    Settings,
    Simulation,
    Sweep,
    Thp,
)
from lazynuma.engine.calls.placement import EINVAL
from lazynuma.engine.machines.machine import from_slit
from lazynuma.engine.settings.tlb_size import Tlb
from lazynuma.kernels.counters import Vm
from lazynuma.kernels.state import Mm
from lazynuma.kernels.words import PMD_NID, PMD_NID_SHIFT

#: The machine of numactl#127: CPUs on node 2 alone, which has no memory.
ALONE = [[10 if a == b else 20 for b in range(4)] for a in range(4)]


def alone():
    return from_slit("alone", (64 * MIB, 64 * MIB, 0, 64 * MIB), (0, 0, 2, 0), ALONE)


@pytest.fixture
def sim():
    return Simulation(alone(), Settings(shards=4))


def counted(simulation, name):
    return simulation.counters()[:, Vm[name.upper()]].tolist()


def job(simulation, pages, cpu=0):
    task = simulation.start_task(simulation.spawn(), cpu)
    return task, simulation.mmap(task.process, pages * 4096)


def test_pages_come_from_the_first_of_the_nodes_own_zonelist(sim):
    task, region = job(sim, 1000)
    sim.run([Sweep(task=task, region=region, count=1000)])
    assert counted(sim, "pgalloc_normal") == [0, 0, 0, 1000]
    assert counted(sim, "numa_hit") == [0, 0, 0, 1000]
    assert counted(sim, "numa_other") == [0, 0, 0, 1000]
    assert counted(sim, "numa_local") == [0, 0, 0, 0]


def test_when_it_is_full_the_others_follow_in_the_order_of_linux(sim):
    task, region = job(sim, 24_000)
    assert sim.populate(task, region) == 24_000
    free = [sim.free(node) for node in range(4)]
    assert free[3] < free[0] < free[1]
    assert free[2] == 0


def test_every_access_pays_the_way(sim):
    task, region = job(sim, 1000)
    sim.populate(task, region)
    before = sim.clock(task)
    sim.run([Sweep(task=task, region=region, count=5000, refs=1)])
    assert (sim.clock(task) - before) / 5000 == pytest.approx(188, rel=0.02)


def test_page_tables_are_where_memory_is():
    tlb = Tlb(enabled=True, walk_cache_bytes=1)
    sim = Simulation(alone(), Settings(shards=1, tlb=tlb))
    task, region = job(sim, 4096)
    sim.populate(task, region)
    assert sim.memory.mm[task.process.id, Mm.PGD_NID] == 3
    assert {int(n) for n in (sim.memory.pmd[:8] & PMD_NID) >> PMD_NID_SHIFT} == {3}


def test_policies_take_only_nodes_with_memory(sim):
    task, region = job(sim, 900)
    assert sim.mbind(task, region, Policy(Mode.BIND, (2,))) == EINVAL
    assert sim.mbind(task, region, Policy(Mode.PREFERRED, (2,))) == EINVAL
    assert sim.mbind(task, region, Policy(Mode.INTERLEAVE, (0, 1, 2))) == 0
    sim.populate(task, region)
    assert counted(sim, "pgalloc_normal") == [450, 450, 0, 0]
    assert sim.set_mempolicy(task, Policy(Mode.INTERLEAVE, (2,))) == EINVAL
    with pytest.raises(BadInput, match="policy nodes must have memory, got"):
        sim.mark(task, region, Mechanism.HINTING, Policy(Mode.BIND, (2,)))


def test_weights_go_with_the_nodes_that_stay(sim):
    task, region = job(sim, 800)
    sim.set_mempolicy(task, Policy(Mode.WEIGHTED_INTERLEAVE, (0, 2, 3), (3, 9, 1)))
    sim.run([Sweep(task=task, region=region, count=800)])
    assert counted(sim, "pgalloc_normal") == [600, 0, 0, 200]


@pytest.mark.parametrize("call", ["move_pages", "hot_remove", "migrate_pages"])
def test_nothing_moves_to_a_node_without_memory(sim, call):
    task, region = job(sim, 10)
    arguments = {
        "move_pages": (task, region, 2),
        "hot_remove": (2,),
        "migrate_pages": (task, (0,), (2,)),
    }
    with pytest.raises(BadInput, match="node must have memory, got 2"):
        getattr(sim, call)(*arguments[call])


def test_hint_faults_find_no_memory_at_home_and_leave_the_pages(sim):
    task, region = job(sim, 100)
    sim.populate(task, region)
    sim.mark(task, region, Mechanism.HINTING)
    sim.run([Sweep(task=task, region=region, count=100)])
    assert sum(counted(sim, "numa_hint_faults")) == 100
    assert sum(counted(sim, "pgmigrate_success")) == 0
    assert counted(sim, "pgalloc_normal") == [0, 0, 0, 100]


def test_no_tier_is_the_top_if_no_node_has_cpus_and_memory():
    assert alone().top_tier == -1
    memory = (64 * MIB, 64 * MIB, 64 * MIB, 0)
    machine = from_slit("four", memory, (1, 0, 0, 1), ALONE)
    assert replace(machine, tier=(1, 0, 2, 3)).top_tier == 1


class Placed(Pair):
    """A pair that asks nodes with memory for what only they can do."""

    def call(self, name, *args, **options):
        """Do an operation on both, with nodes replaced by some that have memory."""
        machine = self.sims[1].machine
        there = np.flatnonzero(machine.memory).tolist()

        def placed(value):
            if isinstance(value, Policy) and value.nodes:
                good = name != "mark" or any(node in there for node in value.nodes)
                return value if good else Policy(Mode.DEFAULT)
            if name == "migrate_pages" and isinstance(value, tuple):
                return tuple(there[node % len(there)] for node in value)
            moves = name in ("move_pages", "hot_remove")
            return there[value % len(there)] if moves and type(value) is int else value

        kept = ("first", "pages")
        options = {k: v if k in kept else placed(v) for k, v in options.items()}
        return super().call(name, *map(placed, args), **options)


def without(machine, rng):
    """Return a machine whose nodes have lost some of their memory."""
    nodes = list(range(machine.nodes))
    lost = set(rng.sample(nodes, rng.randint(1, machine.nodes - 1)))
    memory = tuple(0 if n in lost else size for n, size in enumerate(machine.memory))
    return replace(machine, memory=memory)


@pytest.mark.parametrize("huge", [False, True])
@given(st.integers(0, 1 << 32))
@settings(max_examples=25, derandomize=True, phases=(Phase.generate,))
def test_engine_and_reference_agree_on_nodes_without_memory(huge, seed):
    rng = random.Random(seed)
    machine, options = balanced_world(rng, huge)
    pair = Placed(without(machine, rng), options, rng.randrange(1 << 62))
    start(pair, rng)
    for _ in range(rng.randint(0, 4)):
        begin_task(pair, rng, pair.processes[0])
    grow(pair, rng, pair.tasks[0])
    names = repertoire(rng) + ["work"] * 8
    for _ in range(14):
        step(pair, rng, machine.nodes, names)
        pair.compare()
    pair.check()


def test_huge_pages_come_from_nodes_with_memory():
    sim = Simulation(alone(), Settings(shards=4, thp=Thp(enabled="always")))
    task, region = job(sim, 8192)
    sim.run([Sweep(task=task, region=region, count=8192)])
    assert counted(sim, "thp_fault_alloc") == [0, 0, 16, 0]
    assert counted(sim, "pgalloc_normal") == [0, 0, 0, 8192]

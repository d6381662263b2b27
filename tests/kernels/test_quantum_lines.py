"""Lines that other nodes wrote (``docs/model/time.md`` 6), worked out by hand."""

import pytest

from common.pair import MIB, Pair
from lazynuma.engine import Costs, Settings, Simulation, Sweep, Thp, Uniform, uniform
from lazynuma.kernels.counters import Cause, Vm

#: ns away; a line that a cache there holds costs 131 ns more.
AWAY = 188
REMOTE_NS = AWAY * 700 // 1000


def writers(cpus, permille=700, **options):
    """Return (simulation, tasks on these CPUs, 8 pages where the first one is)."""
    machine = uniform(3, 8 * MIB, cpus_per_node=2)
    costs = Costs(line_transfer_permille=permille, queueing_permille=0)
    sim = Simulation(machine, Settings(shards=1, **options), costs)
    process = sim.spawn()
    tasks = [sim.start_task(process, cpu) for cpu in cpus]
    region = sim.mmap(process, 8 * 4096)
    sim.populate(tasks[0], region)
    sim.synchronize()
    return sim, tasks, region


def swept(sim, tasks, region, writes, count=4):
    """Let each task go over the first pages once; return what lines cost it so far."""
    ids = [task.id for task in tasks]
    before = sim.spent[ids, Cause.ACCESS_REMOTE].copy()
    load = {"region": region, "count": count, "refs": 10}
    sim.run(
        [Sweep(task=t, write=w, **load) for t, w in zip(tasks, writes, strict=True)]
    )
    moved = sim.spent[ids, Cause.ACCESS_REMOTE] - before
    home = sim.page(region.process, region.first).node
    away = [10 * AWAY * count * (task.cpu // 2 != home) for task in tasks]
    return [int(ns) - there for ns, there in zip(moved, away, strict=True)]


def test_who_comes_second_in_a_quantum_pays():
    """Four pages of 10 lines; the first of the layout finds nobody's."""
    sim, tasks, region = writers([0, 2])
    assert swept(sim, tasks, region, [1.0, 1.0]) == [0, 4 * 10 * REMOTE_NS]
    assert sim.counters()[:, Vm.LINE_TRANSFERS].tolist() == [0, 4, 0]
    assert swept(sim, tasks, region, [1.0, 1.0]) == [4 * 10 * REMOTE_NS] * 2


def test_what_is_read_alone_costs_nothing():
    sim, tasks, region = writers([0, 2])
    assert swept(sim, tasks, region, [0.0, 0.0]) == [0, 0]
    assert swept(sim, tasks, region, [1.0, 0.0]) == [0, 4 * 10 * REMOTE_NS]
    assert swept(sim, tasks, region, [1.0, 0.0]) == [0, 4 * 10 * REMOTE_NS]


@pytest.mark.parametrize("cpus", [[0, 1], [2, 3]])
def test_tasks_of_one_node_share_its_cache(cpus):
    sim, tasks, region = writers(cpus)
    assert swept(sim, tasks, region, [1.0, 1.0]) == [0, 0]


def test_a_quantum_in_which_nobody_wrote_makes_lines_forgotten():
    """Written in one quantum, read by others of another node in the third after."""
    sim, (one, other), region = writers([0, 2])
    swept(sim, [one], region, [1.0])
    for _ in range(2):
        sim.run([Sweep(task=one, region=region, count=1, first=7, write=1.0)])
    assert swept(sim, [other], region, [0.0]) == [0]


def test_streams_foresee_their_lines():
    sim, tasks, region = writers([0, 1, 2])
    before = sim.total("line_transfers")
    load = {"region": region, "count": 4, "refs": 64, "streamed": True}
    sim.run([Sweep(task=task, write=1.0, **load) for task in tasks])
    away = sim.spent[2, Cause.ACCESS_REMOTE]
    assert sim.total("line_transfers") - before == 4
    plain, tasks, region = writers([0, 1, 2], permille=0)
    load["region"] = region
    plain.run([Sweep(task=task, write=1.0, **load) for task in tasks])
    assert plain.spent[2, Cause.ACCESS_REMOTE] == away
    assert plain.total("line_transfers") == 0


class LinePair(Pair):
    """Line transfers cost."""

    @staticmethod
    def costs(_seed):
        return Costs(line_transfer_permille=700)


@pytest.mark.parametrize("thp", ["never", "always"])
@pytest.mark.parametrize("sequential", [False, True])
def test_engine_and_reference_agree_on_lines(thp, sequential):
    options = Settings(
        shards=3, quantum_ns=300_000, thp=Thp(enabled=thp), sequential=sequential
    )
    pair = LinePair(uniform(3, 16 * MIB, cpus_per_node=2), options, 1)
    process = pair.call("spawn", "job", 64 * MIB)
    pair.processes.append(process)
    pair.tasks += [pair.call("start_task", process, cpu) for cpu in (0, 2, 4)]
    region = pair.call("mmap", process, 4 * MIB)
    for write in (0.0, 0.3, 1.0):
        for i, sim in enumerate(pair.sims):
            load = {"region": region[i], "count": 300, "write": write, "pages": 600}
            sim.run([Uniform(task=task[i], **load) for task in pair.tasks])
        pair.compare()
    assert pair.sims[0].total("line_transfers") > 50
    pair.check()

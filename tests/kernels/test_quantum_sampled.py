"""Sampled accesses (``docs/model/samples.md``): which, what of them, what is lost."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.broken_runs import in_pieces
from common.pair import MIB, Pair, demand
from lazynuma.engine import (
    BadInput,
    Costs,
    Level,
    Mechanism,
    Recorded,
    Recording,
    Sampling,
    Settings,
    Simulation,
    Sweep,
    Thp,
    Tlb,
    Uniform,
    uniform,
)
from lazynuma.engine.machines.machine import from_slit
from lazynuma.kernels.counters import Cause, Vm
from lazynuma.kernels.quantum.sampled import Sample

#: What is given to a simulation beside its settings.
FOR_ALL = ("machine", "costs", "threads", "batch")


class World:
    """Two nodes of two CPUs, a process with tasks on CPUs 0 and 2, 16 MiB of pages."""

    def __init__(self, period=7, ring=8192, cost_ns=250, **options):
        given = {name: options.pop(name) for name in FOR_ALL if name in options}
        machine = given.pop("machine", uniform(2, 64 * MIB, cpus_per_node=2))
        knobs = Sampling(period, ring, cost_ns)
        options = {"shards": 4, "quantum_ns": 300_000, "sampling": knobs} | options
        self.sim = Simulation(machine, Settings(**options), **given)
        self.process = self.sim.spawn(nbytes=64 * MIB)
        self.tasks = [self.sim.start_task(self.process, cpu) for cpu in (0, 2)]
        self.region = self.sim.mmap(self.process, 16 * MIB)

    def run(self, kind, count, tasks=None, **options):
        """Let tasks work; return the samples."""
        load = {"region": self.region, "count": count, **options}
        self.sim.run([kind(task=task, **load) for task in tasks or self.tasks])
        return self.sim.take_samples()

    def pages(self, samples, task):
        """Return the offsets of a task's samples in the region, in their order."""
        mine = samples[samples["task"] == task.id]
        return (mine["page"] - self.region.first).tolist()


@pytest.mark.parametrize("sequential", [False, True])
@given(
    period=st.integers(1, 50),
    counts=st.lists(st.integers(1, 300), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
@example(period=1, counts=[200], seed=0)
@settings(max_examples=12, derandomize=True, deadline=None)
def test_every_period_th_access_of_a_task(sequential, period, counts, seed):
    """Over several runs; what was accessed is known, as it was recorded."""
    w, rng = World(period, sequential=sequential), np.random.default_rng(seed)
    made, got = [], []
    for count in counts:
        pages = rng.integers(0, 4096, count)
        writes = rng.random(count) < 0.4
        samples = w.run(Recorded, count, w.tasks[:1], vpn=pages, writes=writes)
        made += list(zip(pages.tolist(), writes.tolist(), strict=True))
        offsets = w.pages(samples, w.tasks[0])
        got += list(zip(offsets, samples["write"].tolist(), strict=True))
    assert any(got == made[first::period] for first in range(period))
    assert w.sim.total("samples_taken") == len(got)


def test_tasks_are_not_sampled_together():
    machine = uniform(2, 64 * MIB, cpus_per_node=16)
    sim = Simulation(machine, Settings(sampling=Sampling(period=100)))
    process = sim.spawn(nbytes=64 * MIB)
    tasks = [sim.start_task(process, cpu) for cpu in range(32)]
    region = sim.mmap(process, 16 * MIB)
    sim.run([Sweep(task=task, region=region, count=100) for task in tasks])
    firsts = sim.take_samples()["page"] - region.first
    assert len(firsts) == 32
    assert len(set(firsts.tolist())) > 20
    assert firsts.min() < 30 and firsts.max() > 70


def test_samples_depend_neither_on_threads_nor_on_batches():
    expected = None
    for options in ({}, {"threads": 2}, {"batch": 11}, {"threads": 3, "batch": 1}):
        w = World(3, **options)
        samples = w.run(Uniform, 600, write=0.3)
        expected = samples if expected is None else expected
        assert samples.dtype == expected.dtype
        assert samples.tolist() == expected.tolist(), options
    assert len(expected) == 400


def test_times_follow_the_accesses():
    w = World(5)
    began, last = w.sim.now, {task.id: -1 for task in w.tasks}
    for _ in range(3):
        samples = w.run(Uniform, 700)
        assert (np.diff(samples["time_ns"]) >= 0).all()
        for task in w.tasks:
            times = samples["time_ns"][samples["task"] == task.id]
            assert times[0] >= max(began, last[task.id])
            assert times[-1] < w.sim.clock(task)
            last[task.id] = times[-1]


def test_accesses_of_a_quantum_share_its_time():
    """All sampled, all local: access k is at k times what one costs."""
    w = World(1, cost_ns=100, quantum_ns=1 << 40, costs=Costs(queueing_permille=0))
    w.sim.populate(w.tasks[0], w.region)
    w.run(Sweep, 100, w.tasks[:1])
    began = w.sim.clock(w.tasks[0])
    samples = w.run(Sweep, 4, w.tasks[:1], refs=2)
    each = 2 * int(w.sim.machine.latency_ns[0, 0]) + 100
    assert (samples["time_ns"] - began).tolist() == [0, each, 2 * each, 3 * each]


def test_a_sample_costs_system_time():
    plain, sampled = World(0), World(10, cost_ns=777)
    for w in (plain, sampled):
        w.run(Sweep, 1000, w.tasks[:1])
    taken = sampled.sim.total("samples_taken")
    assert taken == 100
    assert sampled.sim.spent[:, Cause.SAMPLE].sum() == 777 * taken
    assert plain.sim.spent[:, Cause.SAMPLE].sum() == 0
    one, other = (w.sim.summary()["system_time_ns"] for w in (plain, sampled))
    assert other - one >= 777 * taken
    assert len(plain.sim.take_samples()) == plain.sim.samples_lost == 0


def test_a_full_ring_loses_the_newest_of_its_task():
    full, small = World(4), World(4, ring=30)
    everything = full.run(Uniform, 1000)
    kept = small.run(Uniform, 1000)
    for task in full.tasks:
        assert small.pages(kept, task) == full.pages(everything, task)[:30]
    assert full.sim.samples_lost == 0
    assert small.sim.samples_lost == len(everything) - 60
    assert small.sim.counters()[:, Vm.SAMPLES_TAKEN].tolist() == [30, 30]
    # A lost one costs as much, so that time does not hang on who reads.
    assert small.sim.clock(small.tasks[0]) == full.sim.clock(full.tasks[0])
    assert len(small.run(Uniform, 100)) == 50
    assert len(small.sim.take_samples()) == 0


def levels(samples):
    return sorted(Level(one).name for one in set(samples["level"].tolist()))


def test_a_first_touch_is_a_fault_and_a_second_one_none():
    w = World(1)
    first = w.run(Sweep, 500, w.tasks[:1], write=1.0)
    again = w.run(Sweep, 500, w.tasks[:1])
    assert levels(first) == ["FAULT"]
    assert levels(again) == ["LOCAL"]
    assert set(again["node"].tolist()) == set(again["cpu_node"].tolist()) == {0}


def test_memory_of_another_node_is_remote_until_a_hint_fault_moves_it():
    w = World(1)
    w.sim.populate(w.tasks[0], w.region)
    away = w.run(Sweep, 500, w.tasks[1:])
    assert levels(away) == ["REMOTE"]
    assert set(away["node"].tolist()) == {0} and set(away["cpu_node"].tolist()) == {1}
    w.sim.mark(w.tasks[1], w.region, Mechanism.HINTING, pages=500)
    moved = w.run(Sweep, 500, w.tasks[1:])
    assert levels(moved) == ["FAULT"] and set(moved["node"].tolist()) == {1}
    assert levels(w.run(Sweep, 500, w.tasks[1:])) == ["LOCAL"]


def test_memory_below_every_tier_with_cpus_is_slow():
    slit = [[10, 20, 30], [20, 10, 30], [30, 30, 10]]
    machine = from_slit("tiers", [64 * MIB] * 3, [2, 2, 0], slit)
    machine = replace(machine, tier=(0, 0, 1))
    w = World(1, machine=machine)
    w.sim.populate(w.tasks[0], w.region)
    w.sim.move_pages(w.tasks[0], w.region, 2, pages=100)
    samples = w.run(Sweep, 200, w.tasks[:1])
    level = samples["level"][np.argsort(samples["page"])]
    assert level.tolist() == [Level.SLOW] * 100 + [Level.LOCAL] * 100


def test_lines_of_another_nodes_caches():
    costs = Costs(line_transfer_permille=700)
    w = World(1, costs=costs, shards=1)
    w.sim.populate(w.tasks[0], w.region)
    w.sim.synchronize()
    samples = w.run(Sweep, 4, write=1.0)
    by_task = [samples["level"][samples["task"] == task.id] for task in w.tasks]
    assert [one.tolist() for one in by_task] == [[Level.LOCAL] * 4, [Level.CACHE] * 4]


def test_page_walks_that_go_to_memory():
    """A line of the page table has 8 entries: one walk in 8 of a sweep finds none."""
    w = World(1, shards=1, tlb=Tlb(enabled=True, entries_4k=4, walk_cache_bytes=1))
    w.sim.populate(w.tasks[0], w.region)
    samples = w.run(Sweep, 512, w.tasks[:1])
    walks = (samples["page"] - w.region.first)[samples["level"] == Level.WALK]
    assert walks.tolist() == list(range(0, 512, 8))


def test_samples_of_huge_pages_are_of_their_small_ones():
    w = World(1, thp=Thp(enabled="always"))
    w.sim.populate(w.tasks[0], w.region)
    samples = w.run(Sweep, 1000, w.tasks[:1])
    assert w.pages(samples, w.tasks[0]) == list(range(1000))
    assert levels(samples) == ["LOCAL"]


def test_a_recording_is_sampled_by_task_wherever_the_task_is():
    w = World(3)
    rng = np.random.default_rng(5)
    who, vpn = rng.integers(0, 2, 3000), rng.integers(0, 4096, 3000)
    cpu = np.repeat(rng.integers(0, 4, 300), 10)
    got = np.zeros(0, w.sim.take_samples().dtype)
    for part in (slice(0, 1234), slice(1234, 3000)):
        recording = Recording(
            tasks=w.tasks,
            regions=[w.region] * 2,
            who=who[part],
            vpn=vpn[part],
            writes=np.ones(who[part].size, bool),
            cpu=cpu[part],
        )
        w.sim.play(recording)
        got = np.append(got, w.sim.take_samples())
    for task in w.tasks:
        made = np.flatnonzero(who == task.id)
        mine = [made[first::3] for first in range(3)]
        pages = w.pages(got, task)
        found = next(one for one in mine if vpn[one].tolist() == pages)
        samples = got[got["task"] == task.id]
        assert samples["cpu_node"].tolist() == (cpu[found] // 2).tolist()


def test_the_period_may_change():
    w = World(0)
    assert len(w.run(Sweep, 100)) == 0
    for period, count in ((10, 20), (25, 8), (0, 0), (1, 200)):
        sampling = replace(w.sim.settings.sampling, period=period)
        w.sim.configure(replace(w.sim.settings, sampling=sampling))
        assert len(w.run(Sweep, 100)) == count


def test_samples_are_the_same_if_a_run_was_left(tmp_path):
    """Left between samples and when they are taken, and at any call and quantum."""

    def run(keeper, _rows):
        sim = Simulation(
            uniform(2, 64 * MIB, cpus_per_node=2),
            Settings(quantum_ns=30_000, sampling=Sampling(period=3, ring=60)),
        )
        seen, taken = keeper.stand_in(sim) if keeper else sim, []
        process = seen.spawn()
        tasks = [seen.start_task(process, cpu) for cpu in (0, 2)]
        region = seen.mmap(process, 4 * MIB)
        for count in (60, 150, 40):
            for _ in range(2):
                loads = [Uniform(task=t, region=region, count=count) for t in tasks]
                seen.run(loads)
            taken.append(seen.take_samples())
        if keeper:
            keeper.steps_ended()
        return [one.tolist() for one in taken], sim.samples_lost

    _, found, stops = in_pieces(tmp_path / "x", random.Random(3), 9, run)
    assert stops
    assert found == run(None, [])
    assert found[1] > 0


@pytest.mark.parametrize("column", list(Sample))
def test_samples_of_a_checkpoint_that_lead_outside_are_refused(column):
    w = World(10)
    w.sim.run([Sweep(task=w.tasks[0], region=w.region, count=100)])
    w.sim.samples.check(2, 2)
    w.sim.samples.waiting[0][0, column] = -1
    with pytest.raises(ValueError, match="samples lead outside"):
        w.sim.samples.check(2, 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"period": -1}, "sampling.period must be from 0 to 2147483648, got -1"),
        ({"period": 1.5}, "sampling.period must be an integer, got 1.5"),
        ({"ring": 0}, "sampling.ring must be from 1 to 16777216, got 0"),
        ({"cost_ns": -1}, "sampling.cost_ns must be from 0 to 1000000000, got -1"),
    ],
)
def test_bad_knobs_are_refused(wrong, message):
    with pytest.raises(BadInput) as refusal:
        Sampling(**wrong)
    assert str(refusal.value) == message


class SampledPair(Pair):
    """Lines and walks cost."""

    @staticmethod
    def costs(_seed):
        return Costs(line_transfer_permille=700)


@pytest.mark.parametrize("thp", ["never", "always"])
@pytest.mark.parametrize("sequential", [False, True])
def test_engine_and_reference_take_the_same_samples(thp, sequential):
    knobs = Sampling(period=3, ring=90)
    tlb = Tlb(enabled=True, entries_4k=16, entries_2m=4, walk_cache_bytes=1)
    options = Settings(
        shards=3,
        quantum_ns=300_000,
        sequential=sequential,
        thp=Thp(enabled=thp),
        tlb=tlb,
        sampling=knobs,
    )
    pair = SampledPair(uniform(3, 16 * MIB, cpus_per_node=2), options, 1)
    process = pair.call("spawn", "job", 64 * MIB)
    pair.processes.append(process)
    pair.tasks += [pair.call("start_task", process, cpu) for cpu in (0, 2, 4)]
    region = pair.call("mmap", process, 4 * MIB)
    for write in (0.0, 0.3, 1.0):
        for i, sim in enumerate(pair.sims):
            load = {"region": region[i], "count": 300, "write": write, "pages": 600}
            sim.run([Uniform(task=task[i], **load) for task in pair.tasks])
        pair.compare()
    demand(pair, "samples_taken", "samples_lost")

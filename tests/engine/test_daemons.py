"""Daemons of users: when they wake, what they may do, what becomes of their faults."""

import random
from dataclasses import replace

import numpy as np
import pytest

from common.broken_runs import differences, drive, in_pieces
from common.pair import MIB
from lazynuma.engine import (
    SUMMARY,
    BadInput,
    Settings,
    Simulation,
    Study,
    Sweep,
    Thp,
    Uniform,
    Variant,
    run_study,
    uniform,
)
from lazynuma.engine.daemons import NEVER
from lazynuma.engine.daemons.user_daemon import EACH_QUANTUM
from lazynuma.engine.errors import BadScenario, SimulationError
from lazynuma.kernels.counters import Refusal
from lazynuma.kernels.state import Node
from lazynuma.scenarios.cli import commands

MS = 1_000_000


def tiers(fast=4 * MIB, slow=16 * MIB):
    """Return a node with a CPU, and a slower one without."""
    machine = uniform(2, fast, cpus_per_node=1)
    return replace(
        machine, memory=(fast, slow), system=(0, 0), cpus=(1, 0), tier=(0, 1)
    )


def world(size=6, machine=None, **options):
    """Return (simulation, its task, a region of so many MiB that it has touched)."""
    sim = Simulation(machine or tiers(), **options)
    task = sim.start_task(sim.spawn(), 0)
    region = sim.mmap(task.process, size * MIB)
    sim.populate(task, region)
    return sim, task, region


class Notes:
    """Notes when it was woken."""

    def __init__(self, wakes_ns=0, every=MS):
        self.wakes_ns, self.every, self.times = wakes_ns, every, []

    def wake(self, simulation):
        self.times.append(simulation.now)
        if self.wakes_ns != EACH_QUANTUM:
            self.wakes_ns = simulation.now + self.every


class Tiering:
    """Promotes what was used since it looked last, and demotes the rest."""

    def __init__(self, region):
        self.region, self.wakes_ns, self.log = region, 0, []
        self.heat = np.zeros(region.pages, np.int64)
        self.why = {"moves": [0, 0], "function": "heat"}

    def wake(self, simulation):
        used = simulation.take_accessed(self.region)
        self.heat += used
        node = simulation.where(self.region)
        down = simulation.demote(self.region, ~used & (node == 0))
        up = simulation.promote(self.region, np.flatnonzero(used & (node == 1)))
        self.why["moves"] = [up, down]
        self.log.append((simulation.now, int(used.sum()), up, down))
        self.wakes_ns = simulation.now + MS


# --- when -----------------------------------------------------------------------------


def test_a_quantum_ends_when_a_daemon_is_due():
    sim, task, region = world()
    start = sim.now = sim.clock(task)
    notes = Notes(start + 300_000, 700_000)
    sim.start_daemon(notes)
    sim.run([Uniform(task=task, region=region, count=20_000)])
    wanted = start + 300_000 + 700_000 * np.arange(len(notes.times))
    late = np.array(notes.times) - wanted
    # A quantum is at least an access long, and the first ones grow from 4 accesses.
    assert len(notes.times) > 1 and late[0] >= 0 and late.max() < 50_000


def test_cuts_cost_tasks_nothing():
    """An access of 11 us does not fit into what is left of 25 us, again and again."""

    def run(*daemons):
        sim, task, region = world(2)
        before = sim.clock(task)
        for one in daemons:
            sim.start_daemon(one)
        sim.run([Sweep(task=task, region=region, count=200, refs=100)])
        return sim.clock(task) - before

    alone = run()
    assert run(Notes(EACH_QUANTUM)) == alone
    assert alone <= run(Notes(0, 25_000)) < 1.03 * alone


def test_idle_time_is_cut_at_each_wake_but_not_for_each_quantum():
    sim, _, _ = world()
    notes, each = Notes(sim.now + 5, 1000), Notes(EACH_QUANTUM)
    sim.start_daemon(notes)
    sim.start_daemon(each)
    sim.idle(2500)
    assert np.diff(notes.times).tolist() == [1000, 1000] and not each.times


def test_each_quantum_wakes_once():
    sim, task, region = world()
    each = Notes(EACH_QUANTUM)
    sim.start_daemon(each)
    sim.run([Uniform(task=task, region=region, count=2000)])
    assert len(set(each.times)) == len(each.times) > 3
    assert each.times[-1] == sim.now


def test_who_works_is_not_woken_before_it_is_done():
    class Slow(Notes):
        def wake(self, simulation):
            super().wake(simulation)
            simulation.charge(10_000)

    sim, _, _ = world()
    slow = Slow(sim.now, 1000)
    sim.start_daemon(slow)
    sim.idle(35_000)
    assert np.diff(slow.times).tolist() == [10_000, 10_000, 10_000]
    row = sim.summary()
    assert row["daemon_time_ns"] == 40_000
    assert row["system_time_ns"] == int(sim.spent.sum()) + 40_000  # no access yet


def test_a_daemon_ends_a_run():
    class Enough(Notes):
        def wake(self, simulation):
            simulation.stop()
            self.wakes_ns = NEVER

    sim, task, region = world()
    sim.start_daemon(Enough(sim.now + MS))
    sim.run([Sweep(task=task, region=region, count=1 << 40)])
    first = sim.now
    sim.run([Sweep(task=task, region=region, count=10)])
    assert sim.now > first and sim.total("accesses_local") < 100_000
    with pytest.raises(BadInput, match="stop must be called by the wake"):
        sim.stop()


# --- what it does ---------------------------------------------------------------------


@pytest.mark.parametrize("thp", ["never", "always"])
def test_results_do_not_depend_on_threads_or_batches(thp):
    def run(**options):
        sim, task, region = world(settings=Settings(thp=Thp(enabled=thp)), **options)
        daemon = Tiering(region)
        sim.start_daemon(daemon)
        sim.run([Uniform(task=task, region=region, count=2000)])
        sim.run([Uniform(task=task, region=region, count=2000, pages=300)])
        sim.check()
        return daemon.log, sim.counters().tolist(), sim.daemon_time_ns, sim.now

    found = run()
    assert found == run(threads=2, batch=50)
    assert any(up for _, _, up, _ in found[0]) and any(row[3] for row in found[0])


def test_promotion_stops_at_the_high_watermark_and_refuses_by_name():
    sim, _, region = world(size=14, machine=tiers(8 * MIB, 16 * MIB))
    on_fast = np.flatnonzero(sim.where(region) == 0)
    sim.demote(region, on_fast)
    assert (sim.where(region) == 1).all()
    moved = sim.promote(region, None)
    high = int(sim.memory.node[0, Node.HIGH])
    assert 0 < moved < region.pages and sim.node_free(0) == high + 1
    refused = sim.refusals()[Refusal.TARGET_FULL]
    assert refused == region.pages - moved
    assert sim.total("pgpromote_success") == moved
    assert sim.total("pgdemote_proactive") == len(on_fast)
    sim.check()


def test_a_huge_page_moves_whole_by_one_of_its_pages():
    settings = Settings(thp=Thp(enabled="always"))
    sim, task, region = world(2, tiers(32 * MIB, 32 * MIB), settings=settings)
    assert sim.page(region.process, region.first).pmd
    assert sim.move(region, [7, 300, 7], 1) == 512
    assert (sim.where(region) == 1).all()
    assert sim.take_accessed(region, [0, 511]).tolist() == [True, True]
    assert not sim.take_accessed(region).any()
    sim.run([Sweep(task=task, region=region, count=1)])
    assert sim.take_accessed(region).all()
    assert sim.split_blocks(region) == 1 and sim.collapse_blocks(region) == 1
    sim.check()


def test_marked_pages_take_hint_faults():
    sim, task, region = world()
    assert sim.mark_pages(region, np.arange(100)) == 100
    assert sim.mark_pages(region, np.arange(50, 150)) == 50
    sim.run([Sweep(task=task, region=region, count=150)])
    assert sim.total("numa_hint_faults") == 150


@pytest.mark.parametrize("advice", ["cold", "pageout", "free"])
def test_advice_in_bulk_is_that_of_single_calls(advice):
    some = np.array([900, 3, 4, 5, 512, 513])

    def run(advise):
        settings = Settings(swap_bytes=8 * MIB, thp=Thp(enabled="always"))
        sim, task, region = world(settings=settings)
        advise(sim, task, region)
        sim.check()
        memory = sim.memory
        at = region.first + region.process.delta
        return memory.pte[at : at + region.pages].tolist(), sim.counters().tolist()

    def one_by_one(sim, task, region):
        for first, pages in ((3, 3), (512, 2), (900, 1)):
            sim.madvise(task, region, advice, first, pages)

    pages, _ = run(lambda sim, task, region: sim.advise_pages(region, some, advice))
    assert pages == run(one_by_one)[0]


def test_load_is_seen():
    sim, task, region = world()
    idle = sim.loaded_latency()
    assert (idle == sim.machine.latency_ns).all() and not sim.bandwidth_used().any()
    sim.run([Sweep(task=task, region=region, count=5000, refs=64, streamed=True)])
    assert 0 < sim.bandwidth_used().max() <= 0.95
    sim.prices._utilisation[:] = 900  # 1 + 0.15 * 0.9 / 0.1
    assert np.allclose(sim.loaded_latency(), idle * 2.35)
    assert sim.node_size(1) == 16 * MIB // 4096
    assert [one.pages for one in sim.regions()] == [region.pages]


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pages", "says"),
    [
        ([0, 5000], "pages must be from 0 to 1535, got 0 to 5000"),
        ([-1], "got -1 to -1"),
        ([0.5], "pages must be int64"),
        (np.ones(3, bool), "a mask of the region"),
        ([[1]], "pages must be int64"),
    ],
)
def test_pages_outside_are_refused(pages, says):
    sim, _, region = world()
    for name in ("where", "take_accessed", "promote", "mark_pages"):
        with pytest.raises(BadInput, match=says):
            getattr(sim, name)(region, pages)


def test_bad_arguments_are_refused():
    sim, _, region = world(machine=uniform(2, 16 * MIB))
    for call, says in (
        (lambda: sim.move(region, None, 2), "node must be from 0 to 1, got 2"),
        (lambda: sim.move(region, None, "1"), "node must be an integer, got '1'"),
        (lambda: sim.charge(-1), "ns must be an integer of at least 0, got -1"),
        (lambda: sim.charge(1.5), "got 1.5"),
        (lambda: sim.advise_pages(region, None, "hot"), "advice must be one of"),
        (lambda: sim.node_free(9), "node must be from 0"),
    ):
        with pytest.raises(BadInput, match=says):
            call()


class Unwakeable:
    wakes_ns = 0


class Curious(Notes):
    def wake(self):
        pass


@pytest.mark.parametrize(
    ("daemon", "says"),
    [
        (Unwakeable(), "an object with wakes_ns and wake.*got Unwakeable"),
        (Notes, "got the class Notes"),
        (Curious(), r"test_daemons.py:\d+: Curious.wake must take one argument"),
        (Notes(1e8), r"Notes.wake must set wakes_ns to an integer.* got 100000000.0"),
        (Notes(-2), "got -2"),
        (Notes(True), "got True"),
    ],
)
def test_what_is_no_daemon_is_refused(daemon, says):
    sim, _, _ = world()
    with pytest.raises(BadInput, match=says):
        sim.start_daemon(daemon)
    with pytest.raises(BadInput, match=says):
        Variant("a", tiers(), Settings(), print, 0, 0, daemons=(daemon,))


def test_a_daemon_is_started_once():
    sim, _, _ = world()
    notes = Notes()
    sim.start_daemon(notes)
    with pytest.raises(BadInput, match="must be started once"):
        sim.start_daemon(notes)


class Stuck(Notes):
    def wake(self, simulation):
        self.wakes_ns = self.every


@pytest.mark.parametrize(
    ("every", "says"),
    [(0, "a later time than now, .* got 0"), (None, "got None"), (1e18, "got 1e")],
)
def test_a_daemon_that_does_not_move_on_ends_the_run(every, says):
    for go in (lambda s, t, r: s.idle(MS), _work):
        sim, task, region = world()
        sim.start_daemon(Stuck(0, every))
        with pytest.raises(SimulationError, match=f"Stuck.wake must set .*{says}"):
            go(sim, task, region)


def _work(sim, task, region):
    sim.run([Uniform(task=task, region=region, count=100)])


def test_a_daemon_does_not_let_time_pass():
    class Greedy(Notes):
        def wake(self, simulation):
            simulation.idle(5)

    sim, _, _ = world()
    sim.start_daemon(Greedy())
    with pytest.raises(SimulationError, match="run, play and idle must be called by"):
        sim.idle(MS)


MINE = '''\
"""Does it fail?"""
from lazynuma.engine import *


class Mine:
    wakes_ns = 0

    def wake(self, simulation):
        self.wakes_ns = simulation.now + 1000
        {line}


def build(parameters):
    def steps(simulation):
        simulation.idle(1_000_000_000)

    machine = preset("2s", 1 << 28)
    one = Variant("a", machine, Settings(), steps, 0, 0, daemons=(Mine(),))
    return Study("Does it fail?", "mechanism", (one,), SUMMARY)


class Parameters:
    pass
'''


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1 / 0", "got ZeroDivisionError: division by zero"),
        ("simulation.node_free(5)", "got BadInput: node must be from 0 to 1, got 5"),
    ],
)
def test_a_daemon_that_fails_is_named_in_one_line(
    line, says, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    text = MINE.format(line=line).replace(
        "class Parameters:",
        "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\n"
        "class Parameters:",
    )
    (tmp_path / "mine.py").write_text(text)
    assert commands.main(["run", "mine.py", "-o", "out.h5"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"mine.py:10: Mine.wake must not fail, {says}" in said
    assert said.count("mine.py") == 1
    assert commands.main(["info", "out.h5"]) == 0


# --- checkpoints ----------------------------------------------------------------------


class Kept(Tiering):
    """One that acts by what it knows."""

    def __init__(self, region):
        super().__init__(region)
        self.rule = lambda heat: heat % 3 == 1

    def wake(self, simulation):
        super().wake(simulation)
        if len(self.log) % 2:
            simulation.demote(self.region, self.rule(self.heat))


def steps_with(daemon_of):
    """Return steps that read what their daemon knows between two runs."""

    def steps(simulation):
        task = simulation.start_task(simulation.spawn(), 0)
        region = simulation.mmap(task.process, 5 * MIB)
        simulation.populate(task, region)
        daemon = daemon_of(region)
        simulation.start_daemon(daemon)
        simulation.run([Uniform(task=task, region=region, count=1500)])
        hot = int(daemon.heat.sum()) % 100 + 50
        simulation.idle(3 * MS)
        simulation.run([Uniform(task=task, region=region, count=500, pages=hot)])
        return {"heat": daemon.heat.tolist(), "log": daemon.log}

    return steps


def test_a_run_with_a_daemon_ends_as_if_it_had_never_been_left(tmp_path):
    variant = Variant("a", tiers(), Settings(), steps_with(Kept), 0, 0)
    expected, rng = [], random.Random(5)
    result = drive(variant, expected)
    rows, found, stops = in_pieces(
        tmp_path / "x", rng, 7, lambda keeper, rows: drive(variant, rows, keeper)
    )
    assert stops > 2 and not differences(expected, rows)
    assert not differences(result, found) and len(found[0]["log"]) > 4


def test_what_no_file_can_hold_is_refused_with_checkpoints(tmp_path):
    class Odd(Kept):
        def wake(self, simulation):
            super().wake(simulation)
            self.rule = lambda heat: heat > 0

    variant = Variant("a", tiers(), Settings(), steps_with(Odd), 0, 0)
    with pytest.raises(BadScenario, match="Odd.wake must keep numbers.*in rule"):
        in_pieces(
            tmp_path / "x",
            random.Random(1),
            3,
            lambda keeper, rows: drive(variant, rows, keeper),
        )


class Counts:
    """One that is given to variants: it finds its region itself."""

    wakes_ns, wakes = 0, 0

    def wake(self, simulation):
        self.wakes += 1
        simulation.charge(self.wakes)
        self.wakes_ns = simulation.now + MS


def test_each_run_of_a_variant_starts_a_copy():
    def steps(simulation):
        simulation.idle(10 * MS)

    mine = Counts()
    variants = tuple(
        Variant(name, tiers(), Settings(), steps, 0, 0, daemons=(mine,))
        for name in "ab"
    )
    study = Study("Which?", "name", variants, SUMMARY)
    one, other = run_study(study)
    assert one["system_time_ns"] == other["system_time_ns"] == sum(range(1, 12))
    assert mine.wakes == 0

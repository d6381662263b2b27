"""A lazy design from outside the package does what the migration cache does."""

from dataclasses import replace

import h5py
import numba
import numpy as np
import pytest

from common import stories
from common.own_design import BY_TABLES
from common.pair import MIB, Engines, Pair, demand, job, toil, words
from common.stories import story
from lazynuma.engine import (
    BadInput,
    Mechanism,
    Settings,
    Simulation,
    SimulationError,
    Sweep,
    Uniform,
    uniform,
)
from lazynuma.engine.checkpoint import image
from lazynuma.engine.state.parked_arrays import ids_of
from lazynuma.engine.state.process import Region
from lazynuma.kernels.state import SERVED, Ids
from lazynuma.kernels.words import PTE_KIND, PTE_KIND_ONE, Kind

OWN = Kind.OWN * PTE_KIND_ONE


def seen_as_migcache(ptes):
    """Return PTEs with those of the own design as those of the migration cache."""
    ours = ptes & PTE_KIND == OWN
    return np.where(ours, ptes ^ PTE_KIND_ONE, ptes)


class Own(Simulation):
    """A simulation whose own design is seen as the migration cache."""

    def __init__(self, *args, **options):
        super().__init__(*args, lazy=BY_TABLES, **options)

    def _identities(self, column):
        return int(self.memory.info[ids_of(Kind.OWN) + column])

    entries_in_use = property(lambda self: self._identities(Ids.IN_USE))
    entries_peak = property(lambda self: self._identities(Ids.PEAK))

    def mark(self, task, region, mechanism, **options):
        if mechanism == Mechanism.MIGCACHE:
            mechanism = Mechanism.OWN
        return super().mark(task, region, mechanism, **options)

    def page(self, process, vpn):
        found = super().page(process, vpn)
        return found._replace(cache="mig") if found.cache == "own" else found


class OwnAndReference(Pair):
    """The engine with the own design, and the reference with its migration cache."""

    def simulations(self, machine, options, seed):
        _, slow = super().simulations(machine, options, seed)
        costs = self.costs(seed)
        return [Own(machine, options, costs, seed, batch=77), slow]

    def compare_pages(self, fast, model):
        engine, slow = self.sims
        for vma in model.vmas:
            for kind, got, want in words(engine.memory, slow, model, vma):
                got = seen_as_migcache(got) if kind == "PTE" else got
                assert (got == want).all(), self.first(kind, fast, vma, got, want)


class OwnAndBuiltIn(Engines):
    """The own design with one thread, and the migration cache with two."""

    def simulations(self, machine, options, seed):
        costs = self.costs(seed)
        return [
            Own(machine, options, costs, seed, batch=77),
            Simulation(machine, options, costs, seed, threads=2),
        ]

    def compare_pages(self, fast, model):
        for vma in fast.vmas:
            start, end = vma.start + fast.delta, vma.end + fast.delta
            one, other = (sim.memory.pte[start:end] for sim in self.sims)
            assert (seen_as_migcache(one) == other).all(), vma


class OwnEngines(OwnAndBuiltIn):
    """The own design in two engines that differ in nothing that may matter."""

    def simulations(self, machine, options, seed):
        costs = self.costs(seed)
        return [
            Own(machine, options, costs, seed),
            Own(machine, options, costs, seed, threads=2, batch=1),
        ]

    def compare_pages(self, fast, model):
        Engines.compare_pages(self, fast, model)


@pytest.fixture
def _marks(monkeypatch):
    """Let stories mark and fork often; hot-remove knows the migration cache alone."""
    often = stories.OPERATIONS | {"mark": 20, "fork": 6}
    often = {name: times for name, times in often.items() if name != "hot_remove"}
    monkeypatch.setattr(stories, "OPERATIONS", often)


@pytest.mark.usefixtures("_marks")
@pytest.mark.parametrize("kind", [OwnAndReference, OwnAndBuiltIn, OwnEngines])
@pytest.mark.parametrize("seed", range(3))
def test_what_it_does_is_what_the_migration_cache_does(kind, seed):
    story(seed, 12, seed % 2 == 0, kind=kind)


# --- all that a design does, by hand --------------------------------------------------

MACHINE = uniform(2, 16 * MIB, cpus_per_node=2)
OPTIONS = Settings(swap_bytes=32 * MIB, quantum_accesses=5000)


def sweep(pair, task, region):
    """Write every page of a region."""
    toil(pair, Sweep, task, region, count=region[0].pages, write=1.0)


def forked(pair):
    """Let a child touch first what its parent's mark has parked."""
    process, task, region = job(pair, 4)
    pair.processes.append(pair.call("fork", process, "child"))
    child = pair.call("start_task", pair.processes[-1], 2)
    pair.tasks.append(child)
    sweep(pair, task, region)
    pair.call("mark", task, region, Mechanism.MIGCACHE)
    pair.processes.append(pair.call("fork", process, "late"))
    pair.tasks.append(pair.call("start_task", pair.processes[-1], 3))
    toil(pair, Uniform, task, region, count=700, write=0.5)
    pair.call("mark", task, region, Mechanism.MIGCACHE, move_all=True)
    pair.call("exit", process)
    pair.compare()


def moved(pair):
    """Let pages follow their task to the other node."""
    _, task, region = job(pair, 8)
    sweep(pair, task, region)
    pair.call("mark", task, region, Mechanism.MIGCACHE)
    pair.call("move_task", task, 2)
    toil(pair, Uniform, task, region, count=3000, write=0.3)
    pair.call("munmap", task, region, first=500, pages=1000)
    pair.compare()
    demand(pair, "lazy_pages_migrated")


def reclaimed(pair):
    """Let reclaim take parked pages to swap."""
    _, task, region = job(pair, 12)
    sweep(pair, task, region)
    pair.call("mark", task, region, Mechanism.MIGCACHE)
    other = pair.call("mmap", pair.processes[-1], 22 * MIB)
    sweep(pair, task, other)
    sweep(pair, task, region)
    demand(pair, "migcache_to_swap", "pswpout", "pswpin")


@pytest.mark.parametrize("kind", [OwnAndReference, OwnAndBuiltIn, OwnEngines])
@pytest.mark.parametrize("life", [forked, moved, reclaimed])
def test_it_parks_maps_forks_zaps_and_is_reclaimed(kind, life):
    pair = kind(MACHINE, OPTIONS, 7)
    life(pair)
    demand(pair, "lazy_pages_marked", "lazy_faults")


def test_its_pages_are_in_a_checkpoint(tmp_path):
    def half(engine):
        process = engine.spawn("job", 64 * MIB)
        task = engine.start_task(process, 0)
        region = engine.mmap(process, 2 * MIB)
        engine.run([Sweep(task=task, region=region, count=region.pages, write=1.0)])
        engine.mark(task, region, Mechanism.OWN)
        return engine

    def rest(engine):
        (task,) = engine.tasks
        region = Region(task.process, 0, 2 * MIB >> 12, "")
        engine.move_task(task, 2)
        engine.run([Sweep(task=task, region=region, count=region.pages, write=1.0)])
        engine.check()
        return engine.counters().tolist(), engine.now

    def fresh():
        return Simulation(MACHINE, OPTIONS, lazy=BY_TABLES)

    want = rest(half(fresh()))
    with h5py.File(tmp_path / "saved.h5", "w") as file:
        image.save(half(fresh()), file)
    again = fresh()
    with h5py.File(tmp_path / "saved.h5") as file:
        image.load(again, file)
    assert rest(again) == want


# --- what is no design ----------------------------------------------------------------


def test_own_must_be_given():
    engine = Simulation(MACHINE)
    process = engine.spawn("job", 64 * MIB)
    task = engine.start_task(process, 0)
    with pytest.raises(
        BadInput, match="must have a LazyDesign, got a simulation without"
    ):
        engine.mark(task, engine.mmap(process, MIB), Mechanism.OWN)


def test_a_verb_must_have_its_parameters():
    with pytest.raises(
        BadInput, match=r"own_lazy_design.py:\d+: zap must be a function"
    ):

        def zap(m, pte):
            return 0

        replace(BY_TABLES, zap=zap)
    with pytest.raises(BadInput, match="mark must be a function, got 3"):
        replace(BY_TABLES, mark=3)


def touched(design):
    """Park a page by a design and touch it."""
    engine = Simulation(MACHINE, lazy=design)
    process = engine.spawn("job", 64 * MIB)
    task, region = engine.start_task(process, 0), engine.mmap(process, MIB)
    engine.run([Sweep(task=task, region=region, count=region.pages)])
    engine.mark(task, region, Mechanism.OWN)
    engine.run([Sweep(task=task, region=region, count=region.pages)])


def left(m, s, task, at, v, vpn, write):
    return SERVED


def strange(m, s, task, at, v, vpn, write):
    return 5


def raising(m, s, task, at, v, vpn, write):
    if vpn >= 0:
        raise ValueError("no")
    return SERVED


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        (left, "left must map the page, got SERVED and the PTE as it was"),
        (strange, "strange must return SERVED, NO_MEMORY or PUT_ASIDE"),
        (raising, "raising must raise no exception, got"),
    ],
)
def test_a_fault_that_does_something_wrong_ends_the_run(fault, wrong):
    with pytest.raises(SimulationError, match=r"own_lazy_design.py:\d+: " + wrong):
        touched(replace(BY_TABLES, fault=fault))


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_a_verb_must_be_what_numba_compiles():
    def fault(m, s, task, at, v, vpn, write):
        return m.no_such_array[0]

    with pytest.raises(BadInput, match=r"fault must be what Numba can compile, got: "):
        touched(replace(BY_TABLES, fault=fault))

    def half(m, s, task, at, v, vpn, write):
        return 0.5

    with pytest.raises(BadInput, match="half must return an integer, got float64"):
        touched(replace(BY_TABLES, fault=half))

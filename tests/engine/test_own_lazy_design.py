"""A lazy design from outside the package does what the migration cache does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import stories
from common.own_design import BY_TABLES
from common.pair import Engines, Pair, words
from common.stories import story
from lazynuma.engine import Mechanism, Simulation
from lazynuma.kernels.counters import Vm
from lazynuma.kernels.frames.swap_state import ids_of
from lazynuma.kernels.state import Ids
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


@pytest.fixture(autouse=True)
def _marks(monkeypatch):
    """Let stories mark and fork often; hot-remove knows the migration cache alone."""
    often = stories.OPERATIONS | {"mark": 20, "fork": 6}
    often = {name: times for name, times in often.items() if name != "hot_remove"}
    monkeypatch.setattr(stories, "OPERATIONS", often)


@pytest.mark.parametrize("kind", [OwnAndReference, OwnAndBuiltIn, OwnEngines])
@given(st.integers(0, 1 << 32))
@settings(max_examples=15, derandomize=True, deadline=None)
def test_what_it_does_is_what_the_migration_cache_does(kind, seed):
    story(seed, 20, seed % 2 == 0, kind=kind)


def test_the_stories_have_the_own_design_do_all_that_it_can():
    found = {}
    for seed in range(12):
        engine = story(seed, 20, False, kind=OwnAndBuiltIn).sims[0]
        for name in ("LAZY_PAGES_MARKED", "LAZY_FAULTS", "MIGCACHE_TO_SWAP"):
            found[name] = found.get(name, 0) + engine.total(Vm[name])
    assert all(found.values()), found

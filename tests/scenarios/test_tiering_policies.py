"""The policies of the league: each does what its paper says, on a trace by hand."""

from dataclasses import replace

import numpy as np
import pytest

from lazynuma.engine import Settings, Simulation, Sweep, Thp, Uniform, preset
from lazynuma.kernels.words import HPAGE_PMD_NR
from lazynuma.scenarios.tiering_policies import (
    NAMES,
    Scale,
    colloid,
    hemem,
    memtis,
    rival,
    tiers,
    weighted_auto,
)

#: Two sockets of 16 MiB, and 32 MiB behind CXL (node 2).
MACHINE = preset("dram-cxl", "64MiB")
#: So little that no policy keeps much memory free.
SCALE = Scale(4096, 16)
#: Policies that never move a page.
STILL = ("none", "weighted_interleave")
#: Those that take longer than here to promote: quotas begin small.
SLOW = ("damon",)


def _world(settings: Settings = Settings(), mib: int = 48, thp: str = "never"):
    """Return a simulation whose region's first pages are slow, the rest fast first."""
    simulation = Simulation(MACHINE, settings, seed=5)
    process = simulation.spawn("job")
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, mib << 20)
    return simulation, task, region


def _blocks(*blocks: int, each: int = 1) -> np.ndarray:
    """Return samples: the first page of each block, ``each`` times."""
    return np.repeat(np.array(blocks, np.int64) * HPAGE_PMD_NR, each)


# --- all ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_each_policy_runs(name: str):
    one = rival(name, Scale(200, 16))
    assert one.name == name
    settings = replace(one.settings(MACHINE), quantum_ns=2_000_000)
    simulation = Simulation(MACHINE, settings, policy=one.policy)
    process = simulation.spawn("job")
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, 48 << 20)
    one.start(simulation, process, region)
    simulation.populate(task, region)
    hot = dict(first=region.pages - 1024, pages=1024)
    simulation.run([Uniform(task=task, region=region, count=30_000, **hot)])
    simulation.check()
    assert sum(simulation.pages_by_node(process)) == region.pages
    promoted, demoted = (
        sum(simulation.total(f"pg{what}") for what in names)
        for names in (("promote_success",), ("demote_kswapd", "demote_proactive"))
    )
    if name in STILL:
        assert promoted == demoted == 0
    else:
        assert demoted > 0
        assert (promoted > 0) == (name not in SLOW)


def test_what_is_scaled_never_vanishes():
    assert Scale(1e6).time(1000) == 1
    assert Scale(10).time(1000) == 100
    assert Scale(refs=16).period(5000) == 312
    assert Scale(refs=16).period(1) == 1


def test_weights_follow_bandwidth():
    # 112.5, 112.5 and 23.5 GB/s (its link): 14.5, 14.5 and 3.03 of 32, rounded down.
    assert weighted_auto.weights(MACHINE) == {0: 14, 1: 14, 2: 3}


def test_a_budget_saves_no_more_than_one_move():
    budget = tiers.Budget(rate=1000, period_ns=1_000_000_000)
    assert budget.refill(1_000_000_000, 500) == 1000
    assert budget.refill(2_000_000_000, 500) == 1500
    budget.left -= 1500
    assert budget.refill(4_000_000_000, 500) == 2000


# --- HeMem ----------------------------------------------------------------------------


def _hemem(mib: int = 48):
    simulation, task, region = _world(mib=mib)
    return hemem.HeMem(region, MACHINE, SCALE), simulation, task, region


def test_eight_loads_or_four_stores_make_a_page_hot():
    daemon, *_ = _hemem()
    daemon.track(_blocks(0, each=7), np.zeros(7, bool))
    daemon.track(_blocks(1, each=3), np.ones(3, bool))
    assert not daemon.hot.any()
    daemon.track(_blocks(0, 1), np.array([False, True]))
    assert np.flatnonzero(daemon.hot).tolist() == [0, 1]


def test_cooling_halves_all_counts_at_the_eighteenth_sample_of_one():
    daemon, *_ = _hemem()
    daemon.track(_blocks(3, each=9), np.zeros(9, bool))
    daemon.track(_blocks(0, each=17), np.zeros(17, bool))
    assert daemon.coolings == 0
    daemon.track(_blocks(0, 0, 3), np.zeros(3, bool))
    # Halved after the first of the three: 18 and 9 become 9 and 4.
    assert daemon.coolings == 1
    assert daemon.loads[[0, 3]].tolist() == [10, 5]


def test_samples_count_alike_in_any_pieces():
    draws = np.random.default_rng(1)
    pages = draws.integers(0, 24, 3000) ** 2 // 24 * HPAGE_PMD_NR
    writes = draws.random(3000) < 0.3
    whole, pieces = _hemem()[0], _hemem()[0]
    whole.track(pages, writes)
    for at in range(0, 3000, 7):
        pieces.track(pages[at : at + 7], writes[at : at + 7])
    assert whole.coolings == pieces.coolings > 10
    assert (whole.loads == pieces.loads).all()
    assert (whole.stores == pieces.stores).all()


def test_hemem_brings_a_hot_set_to_fast_memory():
    one = rival("hemem", SCALE)
    simulation, task, region = _world(one.settings(MACHINE))
    simulation.populate(task, region)
    one.start(simulation, region.process, region)
    first = region.pages - 6 * HPAGE_PMD_NR
    hot = np.arange(first, region.pages)
    assert (simulation.where(region, hot) == 2).all()
    simulation.run([Uniform(task=task, region=region, count=120_000, first=first)])
    at_end = simulation.where(region, hot)
    assert (at_end != 2).mean() > 0.8
    assert simulation.total("pgpromote_success") >= 0.8 * len(hot)
    simulation.check()


def test_no_cold_page_left_none_moves():
    daemon, simulation, task, region = _hemem()
    simulation.populate(task, region)
    daemon.loads[:] = hemem.HOT_LOADS
    nothing = tiers.Sampled(*np.zeros((4, 0), np.int64))
    before = simulation.where(region)
    daemon.kept = 0
    daemon.move(simulation, nothing, 1000)
    free = sum(simulation.node_free(node) for node in (0, 1))
    changed = np.count_nonzero(before != simulation.where(region))
    # What was free may be filled; nothing was demoted for it.
    assert changed <= 2 * HPAGE_PMD_NR + free
    assert simulation.total("pgdemote_proactive") == 0


# --- Colloid --------------------------------------------------------------------------


def _colloid():
    simulation, task, region = _world()
    return colloid.Colloid(region, MACHINE, SCALE), simulation, task, region


def test_equal_latencies_shift_nothing():
    daemon, *_ = _colloid()
    assert daemon.shift(100.0, 104.0, 0.5) == 0
    assert daemon.shift(100.0, 96.0, 0.5) == 0


def test_a_slower_fast_tier_sends_accesses_away():
    daemon, *_ = _colloid()
    assert daemon.shift(100.0, 200.0, 0.5) == pytest.approx(0.25)
    # Half-way between what was too little and what is too much.
    assert daemon.shift(300.0, 200.0, 0.8) == pytest.approx(0.65 - 0.8)
    assert daemon.shift(100.0, 200.0, 0.65) == pytest.approx(0.725 - 0.65)


def test_watermarks_open_when_the_balance_has_moved():
    daemon, *_ = _colloid()
    daemon.low, daemon.high = 0.6, 0.605
    assert daemon.shift(100.0, 200.0, 0.6) == pytest.approx(0.2)
    assert daemon.high == 1.0


def test_promotion_stops_when_the_fast_tier_is_the_slower_one():
    daemon, simulation, task, region = _colloid()
    simulation.populate(task, region)
    daemon.loads[:] = 10
    daemon.kept = 0
    units = len(daemon.loads)
    nodes = simulation.where(region, np.arange(units) * HPAGE_PMD_NR)
    sampled = tiers.Sampled(
        np.arange(units) * HPAGE_PMD_NR, nodes, np.zeros(units, np.int8), nodes < 0
    )
    fast_before = np.count_nonzero(simulation.where(region) != 2)
    daemon._latencies = lambda *_: (300.0, 200.0)
    assert daemon.move(simulation, sampled, 4) > 0
    assert simulation.total("pgpromote_success") == 0
    assert np.count_nonzero(simulation.where(region) != 2) < fast_before
    daemon._latencies = lambda *_: (100.0, 200.0)
    daemon.move(simulation, sampled, 4)
    assert simulation.total("pgpromote_success") > 0


# --- MEMTIS ---------------------------------------------------------------------------


def test_bins_are_powers_of_two():
    bins = memtis.bin_of(np.array([0, 1, 2, 3, 4, 1 << 14, (1 << 15) - 1, 1 << 40]))
    assert bins.tolist() == [0, 0, 1, 1, 2, 14, 14, 15]


@pytest.mark.parametrize(
    "fast, expected",
    [
        (100, (14, 13)),  # 80 of 100 pages are hot: the next bin is warm
        (80, (14, 14)),  # they fill it: nothing is warm
        (79, (15, 14)),  # they do not fit; those above fill it by 30 of 79
        (1000, (0, -1)),
    ],
)
def test_the_hot_threshold_fills_the_fast_tier(fast, expected):
    histogram = np.zeros(memtis.BINS, np.int64)
    histogram[[15, 14, 13]] = 30, 50, 60
    assert memtis.thresholds(histogram, fast) == expected


def _memtis(thp: str, mib: int = 48):
    settings = Settings(thp=Thp(enabled=thp))
    simulation, task, region = _world(settings, mib)
    simulation.populate(task, region)
    return memtis.Memtis(region, MACHINE, SCALE), simulation, task, region


def test_a_base_page_is_hotter_than_a_huge_page_of_as_many_samples():
    daemon, simulation, _, region = _memtis("never")
    daemon.counts[:3] = 4, 5, 0
    huge = np.zeros(region.pages, bool)
    assert daemon.hotness(huge)[:3].tolist() == [4 * 512, 5 * 512, 0]
    huge[:512] = True
    assert daemon.hotness(huge)[:3].tolist() == [9, 9, 9]


def test_samples_cool_at_the_interval():
    daemon, simulation, _, region = _memtis("never")
    daemon.cooling, daemon.adaptation = 100, 10
    page = np.arange(60)
    sampled = tiers.Sampled(page, np.zeros(60, int), np.zeros(60, int), page < 0)
    huge = np.zeros(region.pages, bool)
    assert not daemon.track(sampled, huge, 8000)
    assert daemon.track(sampled, huge, 8000)
    assert daemon.hit_share == 1.0
    assert not daemon.track(sampled, huge, 8000)


def test_the_most_skewed_huge_page_splits_first():
    daemon, simulation, _, region = _memtis("always")
    daemon.counts[:512] = 4  # all of block 0 in use
    daemon.counts[512] = 2048  # one page of block 1 alone
    daemon.counts[1024 : 1024 + 256] = 8
    huge = daemon._huge(simulation)
    assert huge[:1536].all()
    assert daemon.skewed(huge, 0.01).tolist() == [1]
    assert 0 not in daemon.skewed(huge, 0.5)[:2]


def test_a_skewed_huge_page_is_split_if_that_brings_hits():
    daemon, simulation, _, region = _memtis("always")
    daemon.counts[::512] = 100
    daemon.hits, daemon.seen = 30, 100
    before = int(simulation.huge(region).sum())
    daemon._split(simulation, daemon._huge(simulation))
    assert daemon.splits > 0
    assert simulation.huge(region).sum() == before - daemon.splits
    daemon.hits, daemon.splits = 99, 0
    daemon._split(simulation, daemon._huge(simulation))
    assert daemon.splits == 0
    simulation.check()


def test_memtis_promotes_what_is_hot_and_demotes_what_is_cold():
    daemon, simulation, task, region = _memtis("never")
    hot = np.arange(region.pages - 512, region.pages)
    assert (simulation.where(region, hot) == 2).all()
    daemon.counts[hot] = 40
    daemon.hot = daemon.warm = int(memtis.bin_of(np.array([40 * 512]))[0])
    huge = np.zeros(region.pages, bool)
    daemon._move(simulation, huge)
    assert (simulation.where(region, hot) != 2).all()
    assert simulation.total("pgdemote_proactive") >= 512 - 200
    simulation.check()


# --- tiers ----------------------------------------------------------------------------


def test_samples_are_those_of_the_region():
    simulation, task, region = _world(
        rival("hemem", Scale(1, 5000 // 4)).settings(MACHINE), mib=8
    )
    other = simulation.mmap(region.process, 4 << 20)
    simulation.run([Sweep(task=task, region=other, count=400)])
    assert len(tiers.take_sampled(simulation, region).page) == 0
    simulation.run([Sweep(task=task, region=region, count=400, first=100)])
    found = tiers.take_sampled(simulation, region)
    assert len(found.page) == 100
    assert found.page.min() >= 100 and found.page.max() < 500
    assert (found.node == 0).all() and found.write.all()


def test_pages_of_units_end_with_the_region():
    simulation, _, region = _world(mib=3)
    assert tiers.pages_of([1], region).tolist() == list(range(512, 768))

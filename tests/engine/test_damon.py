"""DAMON's regions and schemes, against plain Python and by hand."""

import random
from dataclasses import replace

import numpy as np
import pytest

from common.broken_runs import differences, in_pieces, state
from common.damon_world import MIB, MS, PAGES, watch, world
from common.studies import study_of
from lazynuma.engine import (
    DAMON_REGIONS,
    BadInput,
    Damon,
    IntervalsGoal,
    Quota,
    QuotaGoal,
    RunFile,
    Scheme,
    Settings,
    Simulation,
    Thp,
    Uniform,
    Watermarks,
    mtier,
    record_damon,
    run_study,
    uniform,
)
from lazynuma.engine.daemons.damos_quota import feed_loop_next_input, hot_score
from lazynuma.kernels.damon.damon_regions import DamonRegion
from lazynuma.kernels.words import HPAGE_PMD_ORDER, PTE_YOUNG
from reference import damon as plain

#: Pages 300 to 400 are hot, those to 500 warm, the first 20 seldom used.
RATES = (20, 5), (300, 0), (400, 100), (500, 40)


def _reference(simulation, damon, region, toucher):
    """The same DAMON in plain Python; pages of the region are on node 0."""
    nodes = dict.fromkeys(range(region.first, region.first + region.pages), 0)
    free = [simulation.node_free(0), simulation.node_free(1)]
    stream = len(simulation.daemons) - 1

    def act(scheme, one):
        if scheme.node < 0:
            return 0
        moved = [p for p in range(one.start, one.end) if nodes[p] != scheme.node]
        for page in moved:
            free[nodes[page]] += 1
            free[scheme.node] -= 1
            nodes[page] = scheme.node
        return len(moved) * 4096

    def share(goal):
        size = simulation.node_size(goal.node)
        left = free[goal.node]
        part = left if goal.metric == "node_mem_free_bp" else size - left
        return part * 10_000 // size

    def used(_target, page):
        return toucher.uses(page - region.first, made.passed)

    given = [plain.region(0, region.first, region.first + region.pages)]
    made = plain.Damon(simulation.seed, stream, given, damon, used, act, share)
    return made


def _by_time(damon):
    """[(first, end, nr_accesses, age), ...] of each aggregation."""
    rows = damon.recorded()
    return [
        [
            (
                int(r["first"]),
                int(r["first"] + r["pages"]),
                int(r["nr_accesses"]),
                int(r["age"]),
            )
            for r in rows[rows["time_ns"] == time]
        ]
        for time in np.unique(rows["time_ns"])
    ]


SCHEMES = {
    "none": (),
    "stat": (Scheme(max_nr_accesses=3, quota=Quota(sz=100 * 4096)),),
    "hot": (
        Scheme(
            "migrate_hot",
            node=1,
            min_nr_accesses=2,
            quota=Quota(
                sz=30 * 4096,
                reset_interval_ns=300 * MS,
                weight_nr_accesses=3,
                weight_age=1,
                age_unit_ns=50 * MS,
            ),
        ),
        Scheme(min_age=2, max_sz=64 * 4096),
    ),
    "goal": (
        Scheme(
            "migrate_cold",
            node=1,
            apply_interval_ns=40 * MS,
            quota=Quota(
                reset_interval_ns=100 * MS,
                weight_age=1,
                goals=(QuotaGoal("node_mem_used_bp", 400, 1),),
            ),
        ),
    ),
}


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("limits", [(10, 100), (3, 12)], ids=["many", "few"])
def test_is_what_plain_python_makes_of_it(name, limits):
    with world(RATES, turn=250) as (simulation, region, toucher):
        few, many = limits
        damon = watch(
            simulation,
            region,
            min_regions=few,
            max_regions=many,
            schemes=SCHEMES[name],
        )
        expected = _reference(simulation, damon, region, toucher)
        simulation.idle(2000 * MS)
        for number in range(1, 401):
            expected.sample(number * 5 * MS)
        assert _by_time(damon) == expected.seen
        for got, want in zip(damon.stats(), expected.schemes, strict=True):
            assert got["nr_tried"] == want.tried > 0
            assert got["sz_tried"] == want.sz
            assert got["nr_applied"] == want.applied
            assert got["sz_applied"] == want.sz_applied
            assert got["qt_exceeds"] == want.exceeds
            assert got["effective_bytes"] == want.esz


def test_finds_a_hot_region_within_ten_aggregations():
    with world(((600, 0), (664, 100))) as (simulation, region, _):
        damon = watch(simulation, region)
        simulation.idle(1001 * MS)
        seen = damon.regions()
        hot = seen[seen["nr_accesses"] > damon.window // 2]
        first = int(hot["first"].min()) - region.first
        end = int((hot["first"] + hot["pages"]).max()) - region.first
        assert abs(first - 600) <= 8 and abs(end - 664) <= 8
        assert damon.aggregations == 10


def test_what_nobody_uses_is_merged_and_grows_old():
    with world(()) as (simulation, region, _):
        damon = watch(simulation, region)
        simulation.idle(2001 * MS)
        seen = damon.regions()
        # No region of a merge is larger than the tenth part of all.
        assert seen["pages"].max() <= PAGES // 10
        assert len(seen) <= 22
        assert seen["pages"].sum() == PAGES
        assert seen["nr_accesses"].max() == 0 and seen["age"].min() == 20


def test_regions_tile_the_range_and_keep_their_number():
    with world(RATES) as (simulation, region, _):
        damon = watch(simulation, region, min_regions=3, max_regions=20)
        simulation.idle(1501 * MS)
        for regions in _by_time(damon):
            ends = [region.first, *(end for _, end, _, _ in regions)]
            assert [first for first, *_ in regions] == ends[:-1]
            assert ends[-1] == region.first + PAGES
            assert len(regions) <= 20


def test_frames_of_a_node_are_watched_by_what_maps_them():
    with world(((200, 0), (264, 100))) as (simulation, region, _):
        damon = watch(simulation, node=0, max_regions=400)
        simulation.idle(3001 * MS)
        seen = damon.regions()
        hot = seen[seen["nr_accesses"] > damon.window // 2]
        frame = simulation.page(region.process, region.first + 200).frame
        assert abs(int(hot["first"].min()) - frame) <= 16
        assert int(hot["pages"].sum()) <= 100
        assert set(seen["process"]) == {-1}


def test_a_quota_keeps_bytes_and_goes_on_where_it_ended():
    quota = Quota(sz=20 * 4096, reset_interval_ns=500 * MS)
    scheme = Scheme("migrate_cold", node=1, quota=quota)
    with world(()) as (simulation, region, _):
        damon = watch(simulation, region, schemes=(scheme,))
        moved = []
        for _ in range(6):
            simulation.idle(500 * MS)
            moved.append(int((simulation.where(region) == 1).sum()))
        assert moved == [20 * (i + 1) for i in range(6)]
        (stats,) = damon.stats()
        assert stats["qt_exceeds"] == 5
        assert stats["sz_applied"] == 120 * 4096


def test_a_goal_is_reached_and_then_the_quota_shrinks():
    # Node 1 is to be used by 6 %.  The loop doubles until that is so, then slows down.
    goal = QuotaGoal("node_mem_used_bp", 600, 1)
    quota = Quota(reset_interval_ns=100 * MS, goals=(goal,))
    scheme = Scheme("migrate_cold", node=1, quota=quota)
    with world((), memory=32 * MIB) as (simulation, region, _):
        damon = watch(simulation, region, schemes=(scheme,))
        allowed, used = [], []
        for _ in range(30):
            simulation.idle(100 * MS)
            size = simulation.node_size(1)
            used.append(1 - simulation.node_free(1) / size)
            allowed.append(damon.stats()[0]["effective_bytes"])
        reached = next(i for i, share in enumerate(used) if share >= 0.06)
        assert 12 < reached < 29
        assert allowed[10] > 500 * allowed[1]
        assert allowed[reached + 1] < allowed[reached]


def test_time_of_a_quota_limits_what_it_did_measure():
    quota = Quota(ms=1, reset_interval_ns=100 * MS)
    scheme = Scheme("migrate_cold", node=1, quota=quota)
    with world((), pages=4096) as (simulation, region, _):
        damon = watch(simulation, region, schemes=(scheme,))
        simulation.idle(400 * MS)
        (state,) = damon.states
        each = state["total_charged_ns"] / state["sz_applied"]
        # All that is allowed takes one millisecond, by what was measured.
        assert 0.5 * MS < state["esz"] * each < 2 * MS


def test_a_scheme_sleeps_by_watermarks():
    marks = Watermarks("free_mem_rate", interval_ns=50 * MS, high=500, mid=400, low=50)
    with world(RATES) as (simulation, region, _):
        damon = watch(simulation, region, schemes=(Scheme(watermarks=marks),))
        simulation.idle(500 * MS)
        # More is free than the high mark: it only looks at that.
        assert damon.passed == 0 and damon.aggregations == 0
        task = simulation.tasks[0]
        filler = simulation.mmap(region.process, 80 * MIB)
        simulation.populate(task, filler)
        simulation.idle(500 * MS)
        assert damon.passed > 50
        assert damon.stats()[0]["nr_tried"] > 0


def test_intervals_grow_until_enough_is_seen():
    goal = IntervalsGoal(2000, 1, 1 * MS, 40 * MS)
    with world(((PAGES, 10),)) as (simulation, region, _):
        damon = watch(
            simulation,
            region,
            sampling_ns=5 * MS,
            intervals_goal=goal,
        )
        simulation.idle(5000 * MS)
        # A tenth of 5 ms intervals see a use: 20 % need about 10 ms.
        assert 7 * MS <= damon.sampling_ns <= 16 * MS
        assert damon.aggregation_ns == damon.sampling_ns * damon.window


def test_new_mappings_are_found_by_the_update():
    with world(RATES) as (simulation, region, _):
        damon = watch(simulation, region.process, update_ns=200 * MS)
        simulation.idle(150 * MS)
        more = simulation.mmap(region.process, 2 * MIB)
        child = simulation.fork(region.process)
        assert damon.table[:, DamonRegion.END].max() == region.first + PAGES
        simulation.idle(200 * MS)
        assert damon.table[:, DamonRegion.END].max() == more.first + more.pages
        everyone = watch(simulation, update_ns=50 * MS)
        simulation.idle(100 * MS)
        assert everyone.targets == [region.process.id, child.id]
        simulation.exit(child)
        simulation.idle(100 * MS)
        assert everyone.targets == [region.process.id]


def test_checks_take_time():
    with world(RATES) as (simulation, region, _):
        damon = watch(
            simulation, region.process, check_ns=1000, min_regions=10, max_regions=10
        )
        simulation.idle(100 * MS)
        # Each sample makes ten pages old, and asks for ten; the 20th ends all.
        assert 20 * 20 * 1000 <= simulation.daemon_time_ns <= 21 * 20 * 1000
        assert damon.passed == 20


def test_one_huge_page_is_used_for_all_that_look_at_it():
    with world((), thp=Thp(enabled="always")) as (simulation, region, _):
        damon = watch(simulation, region.process, min_regions=10)
        simulation.idle(1 * MS)
        task = simulation.tasks[0]
        simulation.madvise(task, region, "populate_read")
        pmd = simulation.memory.pmd
        block = (region.first + region.process.delta) >> HPAGE_PMD_ORDER
        pmd[block] |= PTE_YOUNG
        simulation.idle(5 * MS)
        seen = damon.table[:, DamonRegion.NR_ACCESSES]
        inside = damon.table[:, DamonRegion.END] <= region.first + 512
        assert inside.sum() == 5 and (seen[inside] == 1).all()
        assert seen[~inside][1:].sum() == 0


def test_huge_pages_move_whole_and_are_used_by_whoever_maps_them():
    scheme = Scheme("migrate_hot", node=1, min_nr_accesses=15)
    with world((), thp=Thp(enabled="always")) as (simulation, region, _):
        child = simulation.fork(region.process)
        damon = watch(simulation, node=0, schemes=(scheme,), max_regions=400)
        block = (region.first + child.delta) >> HPAGE_PMD_ORDER
        for _ in range(200):
            # The child uses the second of the two.
            simulation.memory.pmd[block + 1] |= PTE_YOUNG
            simulation.idle(5 * MS)
        assert (simulation.where(region)[:512] == 0).all()
        assert (simulation.where(region)[512:] == 1).all()
        assert simulation.total("thp_split_page") == 0
        assert damon.stats()[0]["sz_applied"] == 2 * MIB


@pytest.mark.parametrize("young, moved", [("any", 1024), ("young", 64), ("old", 960)])
def test_the_young_filter(young, moved):
    scheme = Scheme("migrate_cold", node=1, young=young, apply_interval_ns=15 * MS)
    with world(((64, 100),)) as (simulation, region, toucher):
        watch(simulation, region, schemes=(scheme,), sampling_ns=15 * MS)
        # Two uses of all the pages that are used, since nobody else makes them old.
        simulation.memory.pte[:PAGES] &= ~PTE_YOUNG
        simulation.idle(16 * MS)
        assert int((simulation.where(region) == 1).sum()) == pytest.approx(moved, abs=1)


def test_a_sample_is_not_taken_before_the_last_is_done():
    with world(((PAGES, 100),)) as (simulation, region, _):
        # Each sample takes 22 ms of work.
        damon = watch(
            simulation,
            region.process,
            check_ns=1_100_000,
            min_regions=10,
            max_regions=10,
        )
        simulation.idle(1000 * MS)
        assert 44 <= damon.passed <= 46
        assert damon.aggregations == 2
        assert (damon.regions()["nr_accesses"] == 20).all()


def test_two_that_watch_the_same_draw_different_pages():
    with world(RATES) as (simulation, region, _):
        several = [watch(simulation, region) for _ in range(2)]
        simulation.idle(300 * MS)
        first, second = (one.recorded() for one in several)
        assert len(first) != len(second) or (first != second).any()


def test_who_exits_is_not_used_any_more():
    with world(((PAGES, 100),)) as (simulation, region, toucher):
        scheme = Scheme("migrate_cold", node=1)
        damon = watch(simulation, region.process, schemes=(scheme,))
        simulation.idle(150 * MS)
        assert damon.regions()["nr_accesses"].max() == damon.window
        toucher.rates = ()
        before = damon.stats()[0]["sz_applied"]
        simulation.exit(region.process)
        simulation.idle(200 * MS)
        assert damon.regions()["nr_accesses"].max() == 0
        assert damon.stats()[0]["sz_applied"] == before


def test_advice_and_pageout():
    cold = Scheme("pageout", max_nr_accesses=0, min_age=3)
    with world(((100, 100),), swap_bytes=16 * MIB) as (simulation, region, _):
        watch(simulation, region, schemes=(cold,))
        before = simulation.daemon_time_ns
        simulation.idle(1500 * MS)
        where = simulation.where(region)
        assert (where[:90] == 0).all() and (where[200:] == -1).mean() > 0.9
        written = simulation.total("pswpout")
        assert written == (where == -1).sum()
        spent = simulation.daemon_time_ns - before
        assert spent > written * simulation.costs.swap_out_ns


def test_frames_that_nobody_uses_are_paged_out():
    cold = Scheme("pageout", max_nr_accesses=0, min_age=3)
    with world(((100, 100),), swap_bytes=16 * MIB) as (simulation, region, _):
        watch(simulation, node=0, schemes=(cold,), max_regions=200)
        simulation.idle(1500 * MS)
        where = simulation.where(region)
        assert (where[:100] == 0).all() and (where[100:] == -1).mean() > 0.9
        assert simulation.total("pswpout") == (where == -1).sum()


def test_hugepage_advice_reaches_the_vma():
    with world(((512, 100),)) as (simulation, region, _):
        scheme = Scheme("hugepage", min_nr_accesses=15)
        damon = watch(simulation, region, schemes=(scheme,))
        simulation.idle(500 * MS)
        advised = [vma for vma in region.process.vmas if vma.advice.name == "HUGEPAGE"]
        pages = sum(vma.end - vma.start for vma in advised)
        assert 450 <= pages <= 560
        assert damon.stats()[0]["sz_applied"] > 0


def test_two_tiers_tune_themselves():
    assert [one.schemes[0].quota.sz for one in mtier()] == [200 * MIB, 200 * MIB]
    # 2 MiB are used on each node, of 8; then 5 MiB come that nobody uses.
    with world(((PAGES, 100),), memory=8 * MIB) as (simulation, region, _):
        simulation.demote(region, np.arange(512, PAGES), 1)
        up, down = mtier(shrunk=50.0, shortest_ns=MS, reserve_bp=500)
        for daemon in (up, down):
            daemon.intervals_goal = None
            simulation.start_daemon(daemon)
        simulation.idle(800 * MS)
        assert (simulation.where(region) == 0).all()
        assert down.stats()[0]["sz_applied"] == 0
        filler = simulation.mmap(region.process, 5 * MIB)
        simulation.populate(simulation.tasks[0], filler)
        full = simulation.node_free(0)
        simulation.idle(1_200 * MS)
        assert simulation.node_free(0) > full
        assert (simulation.where(region) == 0).all()
        assert down.stats()[0]["sz_applied"] > 0


def test_more_use_and_more_age_are_hotter():
    quota = Quota(weight_nr_accesses=1, weight_age=1)
    table = np.zeros((6, len(DamonRegion)), np.int64)
    table[:, DamonRegion.NR_ACCESSES_BP] = np.array([0, 0, 0, 1, 10, 20]) * 10_000
    table[:, DamonRegion.AGE] = [1000, 50, 0, 0, 0, 50]
    hot = hot_score(quota, table, 20, 100 * MS)
    assert (np.diff(hot) > 0).all() and hot.min() >= 0 and hot.max() <= 99


@pytest.mark.parametrize(
    "last, score, following",
    [
        (50_000, 10_000, 50_000),
        (50_000, 5_000, 75_000),
        (50_000, 0, 100_000),
        (50_000, 12_000, 40_000),
        (10_500, 12_000, 10_000),
        (50_000, 20_000, 10_000),
        (1 << 62, 0, (1 << 63) - 1),
    ],
)
def test_the_feedback_loop(last, score, following):
    assert feed_loop_next_input(last, score) == following


BAD = {
    "sampling_ns must be at most aggregation_ns": lambda: Damon(aggregation_ns=1000),
    "sampling_ns must be an integer of at least 1, got 0": lambda: Damon(sampling_ns=0),
    "min_regions must be at most max_regions, got 20, 10": lambda: Damon(
        min_regions=20, max_regions=10
    ),
    "min_regions must be an integer of at least 3": lambda: Damon(min_regions=2),
    "update_ns must be an integer of at least 1, got '1s'": lambda: Damon(
        update_ns="1s"
    ),
    "check_ns must be an integer of at least 0, got nan": lambda: Damon(
        check_ns=float("nan")
    ),
    "did you mean migrate_hot": lambda: Scheme("migrate_hott", node=1),
    "scheme.node must be given": lambda: Scheme("migrate_cold"),
    "min_nr_accesses must be at most": lambda: Scheme(
        min_nr_accesses=5, max_nr_accesses=4
    ),
    "schemes must be made by Scheme, got 'pageout'": lambda: Damon(schemes=["pageout"]),
    "schemes must be a tuple of Scheme": lambda: Damon(schemes="pageout"),
    "did you mean node_mem_free_bp": lambda: QuotaGoal("node_mem_fre_bp"),
    "goal.target_value must be from 1 to 10000": lambda: QuotaGoal(target_value=0),
    "low <= mid <= high": lambda: Watermarks("free_mem_rate", low=30, mid=20, high=10),
    "min_sample_ns must be at most": lambda: IntervalsGoal(
        min_sample_ns=9, max_sample_ns=8
    ),
    "intervals_goal must be an IntervalsGoal": lambda: Damon(intervals_goal=4),
    "targets must be processes, or regions": lambda: Damon("all"),
    "quota.goals must be made by QuotaGoal": lambda: Quota(goals=(3,)),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input(message):
    with pytest.raises(BadInput) as told:
        BAD[message]()
    assert message in str(told.value)


@pytest.mark.parametrize(
    "attributes, message",
    [
        ({"node": 2}, "node must be from 0 to 1, got 2"),
        ({"schemes": (Scheme("migrate_hot", node=5),)}, "scheme.node must be from 0"),
        (
            {"schemes": (Scheme(quota=Quota(goals=(QuotaGoal(node=3),))),)},
            "goal.node must be from 0 to 1, got 3",
        ),
    ],
)
def test_nodes_that_do_not_exist(attributes, message):
    with world(RATES) as (simulation, _, _), pytest.raises(BadInput) as told:
        watch(simulation, **attributes)
    assert message in str(told.value)


def test_the_same_seed_gives_the_same_regions():
    seen = []
    for _ in range(2):
        with world(RATES) as (simulation, region, _):
            damon = watch(simulation, region)
            simulation.idle(600 * MS)
            seen.append(damon.recorded())
    assert (seen[0] == seen[1]).all() and len(seen[0]) > 30


def test_a_heat_map_is_in_the_file(tmp_path):
    seen = []

    def steps(simulation):
        process = simulation.spawn("watched")
        region = simulation.mmap(process, 2 * MIB)
        simulation.populate(simulation.start_task(process, 0), region)
        simulation.idle(450 * MS)
        (daemon,) = (one.mine for one in simulation.user_daemons)
        seen.append(daemon.recorded())
        assert record_damon(simulation, daemon) == len(seen[0]) > 0
        return {}

    study = study_of("watched", steps=steps)
    (variant,) = study.variants
    variant = replace(variant, daemons=(Damon(node=0, record=True),))
    study = replace(study, variants=(variant,), records=(DAMON_REGIONS,))
    run_study(study, output=tmp_path / "run.h5")
    with RunFile(tmp_path / "run.h5") as file:
        kept = file.records["damon_regions"]
        for name in ("first", "pages", "nr_accesses"):
            assert (kept[name][:] == seen[0][name]).all()
        assert (kept["seen_ns"][:] == seen[0]["time_ns"]).all()


def test_a_run_that_is_left_goes_on(tmp_path):
    quota = Quota(sz=64 * 4096, reset_interval_ns=100 * MS, weight_age=1)
    schemes = (Scheme("migrate_cold", node=1, quota=quota),)

    def run(keeper, _rows):
        simulation = Simulation(uniform(2, 64 * MIB, 2), Settings())
        steps = keeper.stand_in(simulation) if keeper else simulation
        process = steps.spawn("watched")
        task = steps.start_task(process, 0)
        region = steps.mmap(process, 4 * MIB)
        steps.populate(task, region)
        damon = Damon(
            node=0, schemes=schemes, record=True, intervals_goal=IntervalsGoal()
        )
        steps.start_daemon(damon)
        part = region._replace(pages=64)
        steps.run([Uniform(task=task, region=part, count=8000, refs=250)])
        steps.idle(500 * MS)
        return state(simulation), damon.recorded(), damon.stats(), damon.sampling_ns

    expected = run(None, [])
    assert expected[2][0]["nr_applied"] > 0
    for seed in range(2):
        rng = random.Random(seed)
        _, found, stops = in_pieces(tmp_path / f"{seed}", rng, 30, run)
        assert stops > 2
        assert not differences(expected, found)

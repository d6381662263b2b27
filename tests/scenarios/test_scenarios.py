"""Every scenario at a small size: golden summaries, and what each is there to show."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from common.small_scenarios import GIB, MIB, SMALL
from lazynuma.engine import BadInput, Balancing, Costs, Khugepaged
from lazynuma.engine.run import run_study
from lazynuma.engine.settings.thp import TARGETS
from lazynuma.engine.state.snapshot import BlockKind
from lazynuma.engine.study.columns import TIMES
from lazynuma.engine.study.study import named
from lazynuma.engine.study.verdict import verdict_of
from lazynuma.scenarios import (
    autonuma_benchmark,
    hpc_node,
    mechanisms,
    penalties,
    perf_bench_numa,
    ping_pong,
    scan_cap,
    thp_unit,
    tiering,
)
from lazynuma.scenarios.cli.parameters_text import question
from lazynuma.scenarios.common.mechanism import MECHANISMS
from lazynuma.scenarios.common.sampling import sampled
from lazynuma.scenarios.common.table import legend, table

GOLDEN = Path(__file__).with_name("golden")


def rows_of(name, **options):
    """Run a scenario at its small size; return its rows by variant, "a, b" if two."""
    module, parameters = SMALL[name]
    study = module.build(module.Parameters(**parameters))
    rows = run_study(study, **options)
    names = named(study.dimension, study.dimension)
    return {", ".join(row.pop(name) for name in names): row for row in rows}


@pytest.fixture(scope="module")
def rows():
    return {name: rows_of(name) for name in SMALL}


@pytest.mark.parametrize("name", SMALL)
def test_summary_is_golden(name, rows, request):
    got = {
        variant: {
            key: np.nan_to_num(value, nan=-1).tolist()
            for key, value in row.items()
            if key != "wall_s"
        }
        for variant, row in rows[name].items()
    }
    path = GOLDEN / f"{name}.json"
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(got, indent=1) + "\n")
    assert got == json.loads(path.read_text())


@pytest.mark.parametrize(
    "name",
    [
        *("mechanisms", "hpc_node", "thp_unit", "mechanisms_thp"),
        *("autonuma_benchmark", "ping_pong", "tiering", "perf_bench_numa"),
    ],
)
def test_threads_change_nothing(name, rows):
    for variant, row in rows_of(name, threads=2).items():
        want = rows[name][variant]
        for key in row.keys() - {"wall_s"}:
            np.testing.assert_array_equal(row[key], want[key], f"{variant} {key}")


def listed(name, rows):
    """Return the study of a scenario at its small size, and its rows with names."""
    module, parameters = SMALL[name]
    study = module.build(module.Parameters(**parameters))
    names = [named(study.dimension, one.name) for one in study.variants]
    return study, [a | b for a, b in zip(names, rows[name].values(), strict=True)]


@pytest.mark.parametrize("name", SMALL)
def test_what_is_shown_fits_on_a_screen_and_begins_with_a_verdict(name, rows):
    study, table_rows = listed(name, rows)
    shown = (study.report or table)(study, table_rows)
    assert max(map(len, shown.splitlines())) <= 80
    title, verdict, *_ = (" ".join(part.split()) for part in shown.split("\n\n"))
    assert title == question(SMALL[name][0]) == study.question
    assert verdict == verdict_of(study, table_rows)
    assert 0 < len(verdict) < 600 and "nan" not in verdict
    legend(study, table_rows)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "mechanisms",
            ["hinting is fastest", "eager x6.21", "one caller's TLB flushes"],
        ),
        ("mechanisms", ["balancing marked no page", "ended before its first scan"]),
        ("next_touch", ["pays from 100% touched on", "at 10% it takes x1.59"]),
        ("swap_space", ["comes in 3 of 6 cases: (64 GiB, swap 8 GiB)", "0 of 6 cases"]),
        ("hot_remove", ["emptied with 70% in use", "80% in use 5,187 of 13,107 pages"]),
        ("teardown", ["leaves 306 frames and 306 entries", "hinting leave nothing"]),
        ("fragmentation", ["62.3 % with defrag never and 96.3 %", "with 50% in use"]),
        ("khugepaged_rate", ["80.0 s (4096 pages, sleep 10000 ms)", "x799 as fast"]),
        ("ping_pong", ["(none, all), up to 1,660", "x1.20 of that, with 52.0 % local"]),
        ("thp_unit", ["whole is fastest", "rebuilt are local to 0.0 %, 1.6 % and 26"]),
        ("autonuma_benchmark", ["saves time in 3", "numa01 x1.09"]),
        ("perf_bench_numa", ["With balancenuma", "x1.00 to x2.51 as many"]),
        ("penalties", ["costs 76.7 % to 81.6 %", "hinting or none is fastest"]),
        ("scan_cap", ["2 GiB, threads 2: half has followed after 1.30 s"]),
        ("tiering", ["hot_limit_auto serves most accesses", "x1.14 of off"]),
    ],
)
def test_the_verdict_answers_the_question(name, parts, rows):
    verdict = verdict_of(*listed(name, rows))
    for part in parts:
        assert part in verdict


def test_a_killed_job_is_shown_as_such(rows):
    study, table_rows = listed("swap_space", rows)
    lines = table(study, table_rows).splitlines()
    (first, *_) = (line for line in lines if "swap 8 GiB, lazy_swapcache" in line)
    assert first.split()[-6:] == ["100.0", "%", "0", "killed", "-", "-"]


def test_the_time_by_cause_sums_up_to_the_time_of_the_job(rows):
    names = [column.name for column in TIMES if column.style == "cause"]
    for name, got in rows.items():
        for variant, row in got.items():
            if "run_time_ns" in row and not np.isnan(row["run_time_ns"]):
                parts = sum(row[cause] for cause in names)
                assert abs(parts - row["run_time_ns"]) <= len(names), (name, variant)


def test_mechanisms_tell_the_story_of_2012(rows):
    none, eager, swap, mig, hinting, balancing = (
        rows["mechanisms"][name] for name in MECHANISMS
    )
    pages = 512 * MIB // 8 // 4096
    assert none["local_fraction_end"] == 0 and none["pages_migrated"] == 0
    assert eager["pages_migrated"] == pages and eager["local_fraction_end"] == 1
    # The swap cache parks as many pages as there are slots, and no more.
    assert swap["swap_slots_peak"] == 512 * MIB // 128 // 4096 == swap["pages_marked"]
    assert swap["pages_refused"] == pages - swap["pages_marked"]
    assert swap["local_fraction_end"] < 0.1
    assert mig["migcache_entries_peak"] == pages and mig["swap_slots_peak"] == 0
    assert hinting["migcache_entries_peak"] == hinting["swap_slots_peak"] == 0
    assert hinting["local_fraction_end"] > 0.99 and mig["local_fraction_end"] > 0.99
    assert hinting["run_time_ns"] < mig["run_time_ns"]
    # The job is over within the scanner's delay.
    assert balancing["numa_pte_updates"] == 0 == balancing["pages_migrated"]
    assert len({row["accesses"] for row in rows["mechanisms"].values()}) == 1


@pytest.mark.parametrize("module", [mechanisms, hpc_node])
def test_the_mechanism_says_whether_balancing_is_on(module):
    with pytest.raises(BadInput, match="balancing.mode must be left alone"):
        module.build(module.Parameters(balancing=Balancing(mode="normal")))


def test_nothing_leaks_unless_the_race_is_lost(rows):
    leaks = ("leaked_frames", "leaked_slots", "leaked_entries")
    for variant, row in rows["teardown"].items():
        if variant != "lazy_migcache_race":
            assert [row[name] for name in leaks] == [0, 0, 0], variant
    race = rows["teardown"]["lazy_migcache_race"]
    assert race["leaked_frames"] == race["leaked_entries"] > 0


def test_parked_pages_bring_the_oom_killer(rows):
    got = rows["swap_space"]
    swap = got["64 GiB, swap 8 GiB, lazy_swapcache"]
    hinting = got["64 GiB, swap 8 GiB, hinting"]
    assert swap["oom_kills"] == 1 and swap["pswpout"] == 0
    assert hinting["oom_kills"] == 0 and hinting["pswpout"] > 0
    assert got["1 TiB, swap 8 GiB, lazy_swapcache"]["parked_fraction"] == 1 / 16
    for variant, row in got.items():
        if "swap 0 B" in variant:
            assert row["oom_kills"] == 0, variant


def test_eager_wins_only_where_everything_is_touched(rows):
    time = {name: row["run_time_ns"] for name, row in rows["next_touch"].items()}
    assert time["eager 10%"] > time["hinting 10%"]
    assert time["eager 100%"] < time["lazy_swapcache 100%"]


def test_a_full_machine_keeps_its_node(rows):
    got = rows["hot_remove"]
    assert got["25% in use"]["pages_left"] == 0
    assert got["80% in use"]["pages_left"] > 0


def test_hinting_repairs_serial_initialisation(rows):
    got = rows["hpc_node"]
    local = {name: row["local_fraction_end"] for name, row in got.items()}
    assert local["none"] < 0.2 < local["hinting"]


def test_huge_pages_move_whole_or_lose(rows):
    got = rows["thp_unit"]
    rebuilt = [got[f"split_rebuild_{rule}"] for rule in TARGETS]
    assert list(got) == ["whole", "split", *(f"split_rebuild_{r}" for r in TARGETS)]
    blocks = GIB // 8 // (2 * MIB)
    assert (got["whole"]["thp_share"], got["whole"]["huge_local_share"]) == (1, 1)
    assert got["whole"]["thp_splits"] == got["whole"]["thp_collapses"] == 0
    assert (got["split"]["thp_share"], got["split"]["huge_local_share"]) == (0, 0)
    assert got["split"]["thp_splits"] == blocks and got["split"]["thp_collapses"] == 0
    for row in rebuilt:
        assert row["thp_share"] == 1 and row["thp_collapses"] == blocks
        assert row["huge_local_share"] < 0.5
    assert all(
        row["run_time_ns"] > got["whole"]["run_time_ns"]
        for row in (got["split"], *rebuilt)
    )


def test_snapshots_show_where_huge_pages_are(tmp_path):
    """The last look at every variant is what the summary says of its end."""
    path = tmp_path / "run.h5"
    study = thp_unit.build(thp_unit.Parameters(memory=GIB))
    study = sampled(study, {"snapshots": (0.05, 0.12)})
    rows = run_study(study, output=path)
    looks = xr.open_dataset(path, engine="h5netcdf", group="snapshots")
    assert looks.sizes == {"snapshot": 2 * len(rows), "block": GIB // 8 // (2 * MIB)}
    for variant, row in enumerate(rows):
        last = looks.isel(snapshot=2 * variant + 1)
        assert last.variant == variant and last.time_ns >= 120_000_000
        huge = last.block_kind == BlockKind.HUGE
        assert huge.mean() == row["thp_share"]
        assert (last.block_kind != BlockKind.NONE).all()
        local = (huge & (last.block_node == 2)).sum()
        assert local == row["huge_local_share"] * huge.sum()


def test_thp_unit_says_how_khugepaged_was_tuned(rows):
    study = thp_unit.build(thp_unit.Parameters(memory=GIB))
    listed = [{"variant": name, **row} for name, row in rows["thp_unit"].items()]
    shown = study.report(study, listed)
    assert "pages_to_scan 32,768, scan_sleep 1 ms" in shown
    assert shown.startswith(table(study, listed))


def test_thp_unit_tries_every_rule_by_itself():
    with pytest.raises(BadInput, match="khugepaged.target must be left alone"):
        thp_unit.build(thp_unit.Parameters(khugepaged=Khugepaged(target="random")))


def test_by_default_khugepaged_looks_at_8_blocks_in_10_seconds(rows):
    got = rows["khugepaged_rate"]
    blocks = 128 // 2
    slow = got["4096 pages, sleep 10000 ms"]
    # 8 sleeps, and 8 collapses in each of the wake-ups between them.
    want = 8 * 10**10 + 56 * Costs().collapse_ns
    assert want <= slow["time_to_all_ns"] < 1.01 * want
    for row in got.values():
        assert row["thp_collapses"] == blocks == row["blocks_scanned"]
    half = got["65536 pages, sleep 100 ms"]["time_to_half_ns"]
    assert 100 * 10**6 <= half < 101 * 10**6


def test_fragments_cost_huge_pages_unless_memory_is_compacted(rows):
    never, compacted = (
        rows["fragmentation"][f"75% in use, defrag {who}"]
        for who in ("never", "madvise")
    )
    assert never["whole_share"] < 0.5 and never["success"] < 0.9
    assert compacted["success"] > never["success"] and compacted["compact_success"]
    assert never["compact_stall"] == never["pages_migrated"] == 0
    easy = rows["fragmentation"]["10% in use, defrag never"]
    assert easy["success"] == 1 and easy["whole_share"] > 0.8


def test_penalties_come_out_of_the_model(rows):
    got = rows["penalties"]
    for load in penalties.WORKLOADS:
        for size in ("2M", "4K"):
            assert got[f"{load} {size} remote"]["remote_penalty"] > 0.2
    small = {
        load: got[f"{load} 4K local"]["small_page_penalty"]
        for load in penalties.WORKLOADS
    }
    assert small["gups"] > small["zipf"] > 0 and small["gups"] > small["stencil"] > 0
    # Streams go through memory in order: a miss a page, and walks in one cache line.
    assert got["stream 2M local"]["miss_share"] < 0.05


def test_the_penalties_say_what_the_ranking_hangs_on(rows):
    study = penalties.build(
        penalties.Parameters(memory=64 * MIB, accesses=20_000, ranking=128 * MIB)
    )
    listed = [{"case": name, **row} for name, row in rows["penalties"].items()]
    shown = study.report(study, listed)
    assert (
        "Ranking of the mechanisms" in shown
        and "stayed so" in shown
        and "Costs that this job never pays: " in shown
    )
    changed = rows["penalties"]["copy_bandwidth x1/2, eager"]["run_time_ns"]
    assert changed > rows["penalties"]["as is, eager"]["run_time_ns"]


def test_huge_pages_change_the_main_job(rows):
    got = rows["mechanisms_thp"]
    share = {name: row["thp_share"] for name, row in got.items()}
    assert share["none"] == share["eager"] == share["hinting"] == 1
    assert share["balancing"] == 1
    assert share["lazy_migcache"] == 0 < share["lazy_swapcache"] < 1
    assert min(got, key=lambda name: got[name]["run_time_ns"]) == "hinting"
    assert all(row["thp_share"] == 0 for row in rows["mechanisms"].values())


def test_split_pages_hold_the_slots_that_reclaim_needs(rows):
    got = rows["swap_space_thp"]
    assert got["64 GiB, swap 8 GiB, lazy_swapcache"]["oom_kills"] == 1
    assert got["64 GiB, swap 8 GiB, hinting"]["oom_kills"] == 0
    assert got["64 GiB, swap 8 GiB, hinting"]["thp_share"] > 0.5


def test_autonuma_benchmark_does_the_same_work_in_every_variant(rows):
    got = rows["autonuma_benchmark"]
    for name in autonuma_benchmark.LOADS:
        off, split, native = (
            got[f"{name}, {variant}"] for variant in ("off", "split", "native")
        )
        coarse = autonuma_benchmark.STRIDE
        assert split["accesses"] == coarse * off["accesses"]
        assert native["accesses"] == off["accesses"]
        assert off["numa_hint_faults"] == off["numa_pages_migrated"] == 0
        assert native["thp_splits"] == 0
        if name.startswith("numa01"):  # numa02 is over before pages move
            assert 0 < split["thp_splits"]
            assert native["numa_hint_faults"] < split["numa_hint_faults"]
            assert native["run_time_ns"] < off["run_time_ns"]


def test_autonuma_benchmark_shows_both_dimensions_and_the_errors(rows):
    study = autonuma_benchmark.build(autonuma_benchmark.Parameters())
    listed = [
        dict(zip(study.dimension, name.split(", "), strict=True)) | row
        for name, row in rows["autonuma_benchmark"].items()
    ]
    shown = study.report(study, listed)
    assert "split/native" in shown and "105 M" in shown and "1.48" in shown


def test_no_process_is_scanned_faster_than_the_cap(rows):
    for case, row in rows["scan_cap"].items():
        assert 0 < row["cap_share"] < 1.05, case
        assert row["half_ns"] <= row["most_ns"], case
    large = rows["scan_cap"]["2 GiB, 1"]
    assert large["pass_ns"] >= 2 * GIB * 1e9 / scan_cap.CAP


def test_groups_stop_what_filters_only_slow_down(rows):
    moves = {name: row["moves_per_page"] for name, row in rows["ping_pong"].items()}
    for faults in ping_pong.REMEMBERS:
        assert moves[f"none, {faults}"] > moves[f"last_nid, {faults}"] > 0
    back = {name: row["pages_moved_back"] for name, row in rows["ping_pong"].items()}
    assert back["none, moving"] > back["last_cpupid, groups, moving"]


def test_only_tiering_promotes_and_a_limit_holds(rows):
    got = rows["tiering"]
    assert got["off"]["pgpromote_success"] == got["off"]["pgdemote"] == 0
    assert got["demotion"]["pgpromote_success"] == 0
    assert got["promote_all"]["pgpromote_success"] > 0
    limited = got["hot_limit"]["pgpromote_success"]
    assert 0 < limited < got["hot"]["pgpromote_success"]


def test_threads_come_together_only_with_balancing(rows):
    got = rows["perf_bench_numa"]
    assert np.isnan(got["1x3, off"]["tasks_converged_ns"])
    assert got["1x3, off"]["numa_task_migrated"] == 0
    off, on = (got[f"4x2, {mode}"]["gigabytes_per_s"] for mode in ("off", "balancing"))
    assert on > 1.5 * off


@pytest.mark.parametrize(
    ("module", "parameters", "message"),
    [
        (autonuma_benchmark, {"workloads": ("numa03",)}, "workloads must be some of"),
        (autonuma_benchmark, {"memory": GIB}, "memory must be at least"),
        (perf_bench_numa, {"runs": ("4by4",)}, "runs must be processes x threads"),
        (perf_bench_numa, {"runs": ("8x8",)}, "runs must have from 1 to 32 threads"),
        (perf_bench_numa, {"mapped": 64 * GIB}, "mapped must leave half"),
        (scan_cap, {"sizes": (4096,)}, "sizes must be at least 2 MiB"),
        (tiering, {"machine": "2s"}, "machine must have memory of two tiers"),
        (tiering, {"memory": 64 * MIB}, "memory must be at least"),
        (
            ping_pong,
            {"balancing": Balancing(filter="none", placement=False)},
            "balancing.filter must be left alone",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(module, parameters, message):
    with pytest.raises(BadInput, match=message):
        module.build(module.Parameters(**parameters))

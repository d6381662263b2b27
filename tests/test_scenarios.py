"""Every scenario at a small size: golden summaries, and what each is there to show."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lazynuma.engine import BadInput, Balancing, Costs, Khugepaged, Thp, Tlb
from lazynuma.engine.mechanism import MECHANISMS
from lazynuma.engine.run import run_study
from lazynuma.engine.snapshot import BlockKind
from lazynuma.engine.transparent_hugepage import TARGETS
from lazynuma.scenarios import (
    fragmentation,
    hot_remove,
    hpc_node,
    khugepaged_rate,
    mechanisms,
    next_touch,
    penalties,
    swap_space,
    teardown,
    thp_unit,
)
from lazynuma.scenarios.table import table

MIB, GIB = 1 << 20, 1 << 30
GOLDEN = Path(__file__).with_name("golden")
HUGE = Thp(enabled="always")
SMALL = {
    "mechanisms": (mechanisms, {"memory": 512 * MIB}),
    "next_touch": (next_touch, {"memory": 128 * MIB, "fractions": (0.1, 1.0)}),
    "teardown": (teardown, {"pages": 512}),
    "hot_remove": (hot_remove, {"memory": 256 * MIB}),
    "hpc_node": (hpc_node, {"mapped": 256 * MIB, "memory": GIB, "halo": 4}),
    "swap_space": (swap_space, {"memory": (64 * GIB, 1 << 40), "mapped": 32 * MIB}),
    "thp_unit": (thp_unit, {"memory": GIB}),
    "khugepaged_rate": (khugepaged_rate, {"mapped": 128 * MIB}),
    "fragmentation": (fragmentation, {"memory": 256 * MIB, "rounds": 6}),
    "penalties": (
        penalties,
        {"memory": 64 * MIB, "accesses": 20_000, "ranking": 128 * MIB},
    ),
    "mechanisms_thp": (
        mechanisms,
        {"memory": 512 * MIB, "thp": HUGE, "tlb": Tlb(enabled=True)},
    ),
    "hpc_node_thp": (
        hpc_node,
        {"mapped": 256 * MIB, "memory": 2 * GIB, "halo": 4, "thp": HUGE},
    ),
    "swap_space_thp": (
        swap_space,
        {"memory": (64 * GIB, 1 << 40), "mapped": 64 * MIB, "thp": HUGE},
    ),
}


def rows_of(name, **options):
    """Run a scenario at its small size; return its rows by variant."""
    module, parameters = SMALL[name]
    study = module.build(module.Parameters(**parameters))
    rows = run_study(study, **options)
    return {row.pop(study.dimension): row for row in rows}


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
    "name", ["mechanisms", "hpc_node", "thp_unit", "mechanisms_thp"]
)
def test_threads_change_nothing(name, rows):
    for variant, row in rows_of(name, threads=2).items():
        want = rows[name][variant]
        for key in row.keys() - {"wall_s"}:
            assert np.array_equal(row[key], want[key]), (variant, key)


def test_mechanisms_tell_the_story_of_2012(rows):
    none, eager, swap, mig, hinting, balancing = (
        rows["mechanisms"][name] for name in MECHANISMS
    )
    pages = 512 * MIB // 8 // 4096
    assert none["local_fraction"] == 0 and none["pages_migrated"] == 0
    assert eager["pages_migrated"] == pages and eager["local_fraction"] == 1
    # The swap cache parks as many pages as there are slots, and no more.
    assert swap["swap_slots_peak"] == 512 * MIB // 128 // 4096 == swap["pages_marked"]
    assert swap["pages_refused"] == pages - swap["pages_marked"]
    assert swap["local_fraction"] < 0.1
    assert mig["migcache_entries_peak"] == pages and mig["swap_slots_peak"] == 0
    assert hinting["migcache_entries_peak"] == hinting["swap_slots_peak"] == 0
    assert hinting["local_fraction"] > 0.99 and mig["local_fraction"] > 0.99
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
    assert got["none"]["local_fraction"] < 0.2 < got["hinting"]["local_fraction"]


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
    parameters = thp_unit.Parameters(memory=GIB, snapshots=(0.05, 0.12))
    rows = run_study(thp_unit.build(parameters), output=path)
    looks = xr.open_dataset(path, engine="h5netcdf", group="snapshots")
    assert looks.sizes == {"snapshot": 2 * len(rows), "block": GIB // 8 // (2 * MIB)}
    for variant, row in enumerate(rows):
        last = looks.isel(snapshot=2 * variant + 1)
        assert last.variant == variant and last.time_ns >= 120_000_000
        huge = last.block_kind == BlockKind.HUGE
        assert huge.mean() == row["thp_share"]
        assert (last.block_kind != BlockKind.NONE).all()
        local = (huge & (last.block_node == mechanisms.AWAY)).sum()
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
        and "Not met by this workload: " in shown
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

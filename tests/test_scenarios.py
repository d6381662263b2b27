"""Every scenario at a small size: golden summaries, and what each is there to show."""

import json
from pathlib import Path

import numpy as np
import pytest

from lazynuma.engine.mechanism import MECHANISMS
from lazynuma.engine.run import run_study
from lazynuma.scenarios import (
    hot_remove,
    hpc_node,
    mechanisms,
    next_touch,
    swap_space,
    teardown,
)

MIB, GIB = 1 << 20, 1 << 30
GOLDEN = Path(__file__).with_name("golden")
SMALL = {
    "mechanisms": (mechanisms, {"memory": 512 * MIB}),
    "next_touch": (next_touch, {"memory": 128 * MIB, "fractions": (0.1, 1.0)}),
    "teardown": (teardown, {"pages": 512}),
    "hot_remove": (hot_remove, {"memory": 256 * MIB}),
    "hpc_node": (hpc_node, {"mapped": 256 * MIB, "memory": GIB, "halo": 4}),
    "swap_space": (swap_space, {"memory": (64 * GIB, 1 << 40), "mapped": 32 * MIB}),
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
            key: np.asarray(value).tolist()
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


@pytest.mark.parametrize("name", ["mechanisms", "hpc_node"])
def test_threads_change_nothing(name, rows):
    for variant, row in rows_of(name, threads=2).items():
        want = rows[name][variant]
        for key in row.keys() - {"wall_s"}:
            assert np.array_equal(row[key], want[key]), (variant, key)


def test_mechanisms_tell_the_story_of_2012(rows):
    none, eager, swap, mig, hinting = (rows["mechanisms"][name] for name in MECHANISMS)
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
    assert len({row["accesses"] for row in rows["mechanisms"].values()}) == 1


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

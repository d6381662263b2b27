"""Recordings and memory scripts that are left anywhere and go on."""

import random
from pathlib import Path

import pytest

from common.broken_runs import differences, drive, in_pieces
from lazynuma.scenarios.recorded import replay
from lazynuma.scenarios.script import records

DATA = Path(__file__).parents[1] / "data"
CASES = Path(__file__).parents[1] / "linux" / "linux-6.1"
SCRIPTS = (
    "basic-khuge-shared",
    "basic-shmem-fork",
    "basic-shmem-swap",
    "basic-swap-thp",
    "basic-balance",
    "collapse-102",
)


def held(variant, path, rng, every):
    """Demand that a variant that is left ends as one that is not."""
    expected = []
    result = drive(variant(expected), expected)

    def run(keeper, rows):
        return drive(variant([]), rows, keeper)

    rows, found, stops = in_pieces(path, rng, every, run)
    assert stops
    assert not differences(expected, rows)
    assert not differences(result, found)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_goes_on_in_the_middle(name, tmp_path):
    text = (CASES / f"{name}.mm").read_text()

    def variant(shown):
        return records.study(text, "linux-6.1", lambda record: None).variants[0]

    held(variant, tmp_path / "x", random.Random(name), 40)


def test_a_script_shows_the_same_records_again(tmp_path):
    text = (CASES / "basic-fork-cow.mm").read_text()
    shown = []

    def run(keeper, rows):
        shown.clear()
        variant = records.study(text, "linux-6.1", shown.append).variants[0]
        return drive(variant, rows, keeper)

    run(None, [])
    expected = list(shown)
    in_pieces(tmp_path / "x", random.Random(1), 20, run)
    assert shown == expected


@pytest.mark.parametrize("mechanism", ["none", "eager", "lazy_swapcache", "balancing"])
@pytest.mark.parametrize("name", ["two-cpus.perf.data.gz", "lackey.txt.gz"])
def test_a_replay_goes_on_in_the_middle(name, mechanism, tmp_path):
    def variant(_):
        parameters = replay.Parameters(
            str(DATA / name), memory=8 << 30, mechanism=mechanism, repair_every=50
        )
        return replay.build(parameters).variants[0]

    held(variant, tmp_path / "x", random.Random(name), 12)

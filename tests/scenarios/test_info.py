"""``lazynuma info``, and what every scenario takes that the file is to hold."""

import gzip
import json
import re
from pathlib import Path

import pytest
import xarray as xr

from common.run_files import counters, process, writer
from lazynuma.engine.errors import BadInput
from lazynuma.engine.output.reader import RunState
from lazynuma.engine.settings.durations import format_duration, parse_duration
from lazynuma.engine.study.columns import SUMMARY
from lazynuma.kernels.counters import Cause, Refusal
from lazynuma.scenarios.cli import commands, find
from lazynuma.scenarios.common.sampling import split_sampling

DATA = Path(__file__).parents[1] / "data"
MECHANISMS = [
    "none",
    "eager",
    "lazy_swapcache",
    "lazy_migcache",
    "hinting",
    "balancing",
]


def row(**changes) -> dict:
    """Return a row of the summary that looks like one."""
    values = {c.name: [0] * len(Refusal) if c.by_reason else 7 for c in SUMMARY}
    values["pages_refused_by"][Refusal.TWO_STAGE] = 1_234
    return values | {"local_fraction": 0.06254818046714192} | changes


@pytest.fixture
def path(tmp_path) -> Path:
    """A file of a killed run: the last variant has not ended."""
    path = tmp_path / "run.h5"
    attributes = {
        "seed": 7,
        "command": "lazynuma run \x1b[31mred\x07",
        "costs": json.dumps({"swap_in_ns": 10_000, "copy_bandwidth": 3_184_000_000}),
        "parameters": json.dumps({"memory": 8 << 30, "balancing": {"mode": "off"}}),
        "settings": json.dumps(
            {
                "common": {"machine": "4s", "epoch_ns": 100_000_000, "shards": 64},
                "variants": {"none": {}, "eager": {"balancing.mode": "normal"}},
            }
        ),
    }
    file = writer(path, variants=MECHANISMS, attributes=attributes)
    times = {"time_ns": [0] * len(Cause)}
    times["time_ns"][Cause.MIGRATION] = 3_000_000
    times["time_ns"][Cause.SYSCALL] = 1_000_000
    for variant in range(5):
        file.epoch(variant, 10, counters(0), [process(0) | times])
        row_ = row(run_time_ns=21_616_606, converged_ns=float("nan"), faults=12_345_678)
        file.summary(variant, row_)
        file.runtime(
            variant, {"setup_s": 0.5, "run_s": 2.0, "output_s": 0.25, "compile_s": 0.0}
        )
    file.flush()
    yield path
    file.close(RunState.STOPPED)


def info(capsys, *arguments: str) -> str:
    assert commands.main(["info", *arguments]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_info_fits_80_columns_and_shows_no_fill_values(path, capsys):
    text = info(capsys, str(path))
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"\bnan\b|(?<=\s)-1\b", text)
    assert all(c.isprintable() for c in text.replace("\n", ""))
    assert "\\x1b[31mred\\x07" in text


def test_info_shows_figures_with_units(path, capsys):
    text = info(capsys, str(path))
    assert re.search(r"^local_fraction +6\.3 % ", text, re.M)
    assert re.search(r"^faults +event +12\.3 M ", text, re.M)
    assert re.search(r"^run_time_ns +21\.6 ms ", text, re.M)
    assert re.search(r"^converged_ns +never ", text, re.M)
    assert re.search(r"^  two_stage +1,234 ", text, re.M)
    assert re.search(r"^migration +3\.00 ms +75 % ", text, re.M)
    assert re.search(r"^total +4\.00 ms ", text, re.M)
    # The last variant has not ended: nothing of it is never.
    more = text[text.index("summary (more)") : text.index("time by cause")]
    assert re.search(r"^converged_ns( +never)* +-$", more, re.M)
    assert re.search(r"^state +running$", text, re.M)


def test_info_shows_settings_and_costs(path, capsys):
    text = info(capsys, str(path))
    assert "memory=8GiB balancing.mode=off" in text
    settings = text[text.index("settings") : text.index("costs")]
    assert "epoch_ns=100000000" in settings and "shards" not in settings
    assert re.search(r"of eager\n +balancing\.mode=normal\n", settings)
    assert "swap_in_ns=10000 (default 80000)" in text
    assert "copy_bandwidth=3184000000 byte/s" in text


def test_info_json_has_the_names_of_the_file(path, capsys):
    found = json.loads(info(capsys, "--json", str(path)))
    assert [one["mechanism"] for one in found["rows"]] == MECHANISMS
    first, last = found["rows"][0], found["rows"][-1]
    assert {c.name for c in SUMMARY} <= set(first)
    assert first["local_fraction"] == 0.06254818046714192
    assert first["pages_refused_by"]["two_stage"] == 1_234
    assert first["time_by_cause"]["migration"] == 3_000_000
    assert first["converged_ns"] is None and last["run_time_ns"] is None
    assert (first["ended"], last["ended"]) == (True, False)
    assert found["parameters"] == {"memory": 8 << 30, "balancing.mode": "off"}
    assert found["units"]["pages_marked"] == "page"
    assert found["seed"] == 7


def test_info_reads_the_former_version(tmp_path, capsys):
    path = tmp_path / "old.h5"
    path.write_bytes(gzip.decompress((DATA / "format-1.0.h5.gz").read_bytes()))
    text = info(capsys, str(path))
    assert re.search(r"^format +1\.0$", text, re.M)
    assert re.search(r"^faults +5 +-$", text, re.M)
    assert re.search(r"^cow +1\.03 us +7 % +-$", text, re.M)


# --- what every scenario takes --------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("100ms", 10**8),
        ("2 s", 2 * 10**9),
        ("1.5us", 1500),
        ("7", 7),
        ("3min", 18 * 10**10),
    ],
)
def test_durations(text, ns):
    assert parse_duration(text, "epoch") == ns
    assert parse_duration(format_duration(ns), "epoch") == ns


@pytest.mark.parametrize(
    "text", ["", "ms", "-1s", "1e3", "1.5ns", "1 day", True, "nan"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(BadInput, match="^epoch must be a"):
        parse_duration(text, "epoch")


@pytest.mark.parametrize("name", find.scenario_names())
def test_every_scenario_takes_epochs_and_snapshots(name):
    given = {"epoch": "100ms", "snapshots": "0.5,1", "memory": 1}
    parameters = find.scenario_module(name).Parameters
    rest, sampling = split_sampling(given, parameters)
    assert rest == {"memory": 1}
    assert sampling == {"epoch_ns": 10**8, "snapshots": (0.5, 1.0)}


def run(path: Path, *arguments: str) -> None:
    assert commands.main([*arguments, "--force", "-o", str(path)]) == 0


def test_a_scenario_writes_the_epochs_and_snapshots_that_were_asked_for(tmp_path):
    path = tmp_path / "run.h5"
    settings = ["--set", "epoch=1ms", "--set", "snapshots=0.001"]
    settings += ["--set", "memory=64MiB", "--set", "mechanisms=none"]
    run(path, "run", "mechanisms", *settings)
    epochs = xr.open_dataset(path, group="epochs", engine="h5netcdf")
    assert epochs.sizes["epoch"] > 3
    snapshots = xr.open_dataset(path, group="snapshots", engine="h5netcdf")
    assert snapshots.sizes["snapshot"] > 0
    with xr.open_dataset(path, engine="h5netcdf") as root:
        parameters = json.loads(root.attrs["parameters"])
        settings = json.loads(root.attrs["settings"])["common"]
    assert parameters["epoch_ns"] == settings["epoch_ns"] == 1_000_000
    assert settings["snapshots_ns"] == [1_000_000]


def test_a_replay_writes_the_epochs_that_were_asked_for(tmp_path):
    path = tmp_path / "run.h5"
    trace = str(DATA / "lackey.txt.gz")
    run(path, "replay", trace)
    (long,) = xr.open_dataset(path, group="epochs", engine="h5netcdf").epoch.shape
    run(path, "replay", trace, "--set", "epoch_ns=1000")
    (short,) = xr.open_dataset(path, group="epochs", engine="h5netcdf").epoch.shape
    assert short > long


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epoch=0", "epoch_ns must be at least 1, got 0"),
        ("epoch=soon", "epoch_ns must be a time such as 100ms or 2s, got 'soon'"),
        ("snapshots=2,1", r"snapshots_ns must ascend, got \[2000000000, 1000000000\]"),
    ],
)
def test_bad_epochs_and_snapshots_are_refused(setting, message, capsys):
    assert commands.main(["run", "teardown", "--set", setting]) == 2
    assert re.search(message, capsys.readouterr().err)

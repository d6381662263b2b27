"""Studies of three dimensions, from the command to every reader of their files."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from same_results import PROVENANCE, compare_files

from common.run_files import counters, writer
from lazynuma.engine import BadInput, Settings, Study, Variant, preset
from lazynuma.engine.output.data_tree import open_run
from lazynuma.engine.output.describe import describe
from lazynuma.engine.output.reader import RunFile, RunState
from lazynuma.engine.study.columns import SUMMARY
from lazynuma.engine.study.handed import MOST_DIMENSIONS
from lazynuma.kernels.counters import Refusal
from lazynuma.scenarios.cli import commands

DIMENSIONS = ("size", "how", "seat")
NAMES = list(product(("little", "much"), ("none", "mark"), ("near", "far", "there")))
IGNORED = (*PROVENANCE, "threads", "run_id", "resumed")
MINE = '''\
"""Which of twelve is best?"""
from dataclasses import dataclass
from itertools import product
from lazynuma.engine import *
from lazynuma.engine.study import SUMMARY

NAMES = list(product(("little", "much"), ("none", "mark"), ("near", "far", "there")))


@dataclass(frozen=True)
class Parameters:
    count: int = 200


def build(parameters):
    def steps(simulation, size, how, seat):
        process = simulation.spawn("job")
        task = simulation.start_task(process, 0)
        region = simulation.mmap(process, (1 + (size == "much")) << 17)
        simulation.populate(task, region)
        simulation.move_task(task, {"near": 0, "far": 2, "there": 4}[seat])
        if how == "mark":
            simulation.mark(task, region, Mechanism.HINTING)
        simulation.run([Uniform(task=task, region=region, count=parameters.count)])

    machine = uniform(3, 1 << 26, 2)
    settings = Settings(epoch_ns=10_000_000, quantum_ns=1_000_000)
    variants = tuple(
        Variant(name, machine, settings, lambda s, name=name: steps(s, *name), 0, 0)
        for name in NAMES
    )
    return Study(
        __doc__, ("size", "how", "seat"), variants, SUMMARY, group=lambda r: r["size"]
    )
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("three")
    (path / "mine.py").write_text(MINE)
    return path


@pytest.fixture(scope="module")
def done(folder) -> Path:
    path = folder / "done.h5"
    arguments = ["run", str(folder / "mine.py"), "--uncertainty", "-o", str(path)]
    assert commands.main(arguments) == 0
    return path


def test_the_summary_has_each_dimension(done):
    with xr.open_dataset(done, group="summary", engine="h5netcdf") as summary:
        assert summary.run_time_ns.dims == DIMENSIONS
        assert summary.run_time_ns.shape == (2, 2, 3)
        assert summary.seat.values.tolist() == ["near", "far", "there"]
        assert summary.pages_refused_by.dims == (*DIMENSIONS, "reason")
        marked = summary.pages_marked.sel(how="mark", seat="far").values.tolist()
        assert marked == [32, 64]
        assert not summary.pages_marked.sel(how="none").any()


def test_netcdf4_reads_it(done):
    script = (
        "import sys, json, netCDF4; s = netCDF4.Dataset(sys.argv[1])['summary'];"
        "v = s['pages_marked'];"
        "print(json.dumps([v.dimensions, v[1, 1, 2].item(), s['how'][:].tolist()]))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, str(done)], capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout) == [[*DIMENSIONS], 64, ["none", "mark"]]


def test_it_is_read_and_described_by_name(done):
    with RunFile(done) as file:
        assert (file.dimension, file.variants) == (DIMENSIONS, NAMES)
    found = describe(done)
    assert [tuple(row[one] for one in DIMENSIONS) for row in found["rows"]] == NAMES
    assert found["dimension"] == "size, how, seat"
    assert len(found["ratios"]) == len(NAMES)
    assert {one["size"] for one in found["ratios"]} == {"little", "much"}
    tree = open_run(done)
    epochs = tree["epochs"].dataset
    assert set(epochs.sel(seat="far").size.values) == {"little", "much"}


def test_the_table_has_a_column_for_each(done, folder, capsys):
    assert commands.main(["run", str(folder / "mine.py"), "--set", "count=10"]) == 0
    out = capsys.readouterr().out
    assert "\nlittle  none  near " in out and "\nmuch    mark  there " in out
    assert max(map(len, out.splitlines())) <= 80
    assert commands.main(["info", str(done)]) == 0
    out = capsys.readouterr().out
    assert "size" in out and "12 variants" in out or "little" in out


def test_runs_are_compared_by_all_names(done, folder, capsys):
    other = folder / "other.h5"
    run = ["run", str(folder / "mine.py"), "--set", "count=201", "-o", str(other)]
    assert commands.main(run) == 0
    capsys.readouterr()
    assert commands.main(["compare", str(done), str(done)]) == 0
    capsys.readouterr()
    assert commands.main(["compare", str(done), str(other)]) == 1
    assert "little, none, near" in capsys.readouterr().out


def test_a_page_shows_it(done, folder):
    page = folder / "page.html"
    assert commands.main(["report", str(done), "-o", str(page), "--force"]) == 0
    text = page.read_text()
    assert "much, mark" in text and "12 variants" in text


@pytest.mark.parametrize("jobs", [1, 2])
def test_it_is_left_and_goes_on(folder, jobs, monkeypatch):
    monkeypatch.chdir(folder)
    straight, left = folder / f"straight{jobs}.h5", folder / f"left{jobs}.h5"
    line = ["run", "mine.py", "--threads", "1"]
    assert commands.main([*line, "-o", str(straight)]) == 0
    line += ["--jobs", str(jobs), "--resume", "-o", str(left)]
    for _ in range(2):
        assert commands.main([*line, "--max-time", "1ms"]) == 75
    assert commands.main(line) == 0
    assert not compare_files(straight, left, IGNORED)[1]


# --- what is no study of three dimensions ---------------------------------------------


def variant(name) -> Variant:
    return Variant(name, preset("2s", 1 << 28), Settings(), lambda s: None, 0, 0)


@pytest.mark.parametrize(
    ("dimension", "names", "said"),
    [
        (DIMENSIONS, NAMES[1:], "every value of the one with every value of the other"),
        (DIMENSIONS, NAMES[::-1][:6] + NAMES[:6], "every value of the one"),
        (DIMENSIONS, [(*one, "x") for one in NAMES], "must have 3 texts"),
        (DIMENSIONS, [one[:2] for one in NAMES], "must have 3 texts"),
        (("a", "b", "a"), NAMES, "dimension must be different names"),
        (("a",) * (MOST_DIMENSIONS + 1), NAMES, f"at most {MOST_DIMENSIONS}"),
        (("a", "b", ""), NAMES, "dimension must be"),
        (("a", "b", "c d"), NAMES, "dimension must be a name"),
    ],
)
def test_what_is_none_is_refused(dimension, names, said):
    with pytest.raises(BadInput, match=said):
        Study("Is it?", dimension, tuple(map(variant, names)), SUMMARY)


@pytest.mark.parametrize("count", [4, 7])
def test_more_dimensions_are_as_good(tmp_path, count):
    names = list(product(("a", "b"), repeat=count))
    dimension = tuple(f"d{i}" for i in range(count))
    file = writer(tmp_path / "run.h5", dimension=dimension, variants=names)
    by_reason = np.arange(len(Refusal))
    for at in range(len(names)):
        file.epoch(at, 10 + at, counters(at), [])
        file.summary(at, {c.name: by_reason if c.by_reason else at for c in SUMMARY})
    file.close(RunState.DONE)
    rows = describe(tmp_path / "run.h5")["rows"]
    assert [row["faults"] for row in rows] == list(range(len(names)))
    with xr.open_dataset(tmp_path / "run.h5", group="summary") as summary:
        assert summary.faults.shape == (2,) * count
        one = dict(zip(dimension, names[5], strict=True))
        assert summary.faults.sel(one) == 5

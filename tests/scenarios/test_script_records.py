"""The file of a memory script: what it says is what the records say."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import h5py
import pytest
import xarray as xr

from common.run_files import writer
from lazynuma.engine import BadInput, RunFile
from lazynuma.engine.output.describe import describe
from lazynuma.engine.output.reader import RunState
from lazynuma.scenarios.cli import commands
from lazynuma.scenarios.script.records import RECORDS

SCRIPT = """\
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always  # an é
map A 2h
map B 16p
touch A 0 2M 4K w
touch B 4p 4p 4K w
observe A
counters
policy A bind 1 move lazy
fork kid
in kid unmap B 0 1p
in kid touch B 0 4K 4K r
in kid cpu 1
observe B
nodefree
counters
"""


def group(path: Path, name: str) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf", group=name) as dataset:
        return dataset.load()


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The file of the script, and its records as JSON."""
    folder = tmp_path_factory.mktemp("script")
    script, output = folder / "a.mm", folder / "a.h5"
    script.write_text(SCRIPT)
    with redirect_stdout(io.StringIO()) as out:
        assert commands.main(["replay", str(script), "-o", str(output), "--json"]) == 0
    return output, [json.loads(line) for line in out.getvalue().splitlines()]


def test_observations_and_their_runs(played):
    path, records = played
    want = [one for one in records if "runs" in one]
    seen, runs = group(path, "observations"), group(path, "runs")
    assert seen.line.values.tolist() == [one["line"] for one in want] == [7, 14]
    assert seen.process.values.tolist() == ["main", "main"]
    assert seen.region.values.tolist() == ["A", "B"]
    for key in ("pmd_mapped_kb", "rss_kb", "swap_kb"):
        assert seen[key].values.tolist() == [one[key] for one in want]
        assert seen[key].attrs["units"] == "KiB"
    states = runs.state.attrs["flag_meanings"].split()
    for index, one in enumerate(want):
        mine = runs.sel(run=runs.observation == index)
        first = 0
        for at, (pages, state, node, huge) in enumerate(one["runs"]):
            got = mine.isel(run=at)
            assert (got.first_page, got.pages, got.huge) == (first, pages, huge)
            assert states[int(got.state)] == state
            assert got.node == (-1 if node is None else node)
            first += pages
        assert mine.sizes["run"] == len(one["runs"])


def test_counters_are_one_variable_each(played):
    path, records = played
    counters = group(path, "counters")
    want = [one for one in records if "counters" in one]
    assert counters.line.values.tolist() == [one["line"] for one in want]
    for index, one in enumerate(want):
        row = counters.isel(record=index).drop_vars(["line", "time_ns", "variant"])
        assert {k: v for k, v in row.items() if v} == one["counters"]


def test_results_kills_and_free_memory(played):
    path, records = played
    results, kills, free = (group(path, n) for n in ("results", "kills", "nodefree"))
    assert results.line.values.tolist() == [9]
    assert (results.errno[0], results.error[0]) == (22, "EINVAL")
    assert kills.line.values.tolist() == [12, 13]
    assert (kills.process[0], kills.signal[0]) == ("kid", 11)
    want = [one["free_kb"] for one in records if "free_kb" in one]
    assert free.node.values.tolist() == [0, 1] and free.free_kb.values.tolist() == want


def test_the_file_says_what_was_played_and_is_one_of_a_run(played):
    path, _ = played
    with RunFile(path) as file:
        attributes = file.attributes
        assert file.state == RunState.DONE and file.variants == ["linux-6.1"]
        assert file.records["observations"].rows == 2
        assert file.epochs["pgfault"].sum() == file.summary["faults"][0] > 0
    assert attributes["script"] == SCRIPT and attributes["scenario"] == "memory_script"
    parameters = json.loads(attributes["parameters"])
    assert parameters["profile"] == "linux-6.1"
    assert parameters["memory"] and parameters["distance"] == [[10, 21], [21, 10]]
    assert parameters["settings"]["thp"]["enabled"] == "always"
    found = describe(path)
    assert found["tables"]["observations"] == 2
    assert found["rows"][0]["profile"] == "linux-6.1"
    assert not path.with_name("a.h5.lock").exists()


def test_without_json_the_last_line_names_the_file(tmp_path, capsys):
    (tmp_path / "a.mm").write_text("map A 4K\ntouch A 0 4K 4K w\nobserve A\n")
    line = f"replay {tmp_path}/a.mm -o {tmp_path}/a.h5 --profile linux-3.8"
    assert commands.main(line.split()) == 0
    out = capsys.readouterr().out
    assert "main A: 1 present on 0" in out and out.endswith(f"to {tmp_path}/a.h5\n")
    with RunFile(tmp_path / "a.h5") as file:
        assert file.variants == ["linux-3.8"]
    assert commands.main(line.split()) == 2  # it is there


@pytest.mark.parametrize(
    "line", ["touch A 0 8K 4K w", "tuoch A", "cpu 99", "set thp.enabled maybe"]
)
def test_a_script_that_is_refused_leaves_no_file(tmp_path, capsys, line):
    """Whether the line is read or played when that is found out."""
    (tmp_path / "a.mm").write_text(f"map A 4K\nobserve A\n{line}\n")
    files = [f"{tmp_path}/a.mm", "-o", f"{tmp_path}/a.h5"]
    assert commands.main(["replay", *files]) == 2
    assert "line 3" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["a.mm"]


def test_a_machine_that_cannot_be_is_refused_with_its_line(tmp_path, capsys):
    (tmp_path / "a.mm").write_text("machine nodes=2 distance=10,5/5,10\n")
    assert commands.main(["replay", f"{tmp_path}/a.mm", "-o", f"{tmp_path}/a.h5"]) == 2
    assert "line 1" in capsys.readouterr().err
    assert not (tmp_path / "a.h5").exists()


def test_main_killed_ends_with_a_file_that_can_be_read(tmp_path, capsys):
    """A run that fails, not an input that is refused: exit status 1."""
    script = "machine nodes=1 mem=128M\nmap A 256M\nobserve A\ntouch A 0 256M 4K w\n"
    (tmp_path / "a.mm").write_text(script)
    assert commands.main(["replay", f"{tmp_path}/a.mm", "-o", f"{tmp_path}/a.h5"]) == 1
    with RunFile(tmp_path / "a.h5") as file:
        assert file.state == RunState.FAILED
        assert file.records["observations"].rows == 1


def test_a_long_script_is_kept_whole(tmp_path):
    text = "# é\n" * 40_000 + "map A 4K\n"
    (tmp_path / "a.mm").write_text(text)
    assert commands.main(["replay", f"{tmp_path}/a.mm", "-o", f"{tmp_path}/a.h5"]) == 0
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["script"] == text
    assert group(tmp_path / "a.h5", "runs").sizes["run"] == 0


def test_rows_must_fit_the_records(tmp_path):
    file = writer(tmp_path / "run.h5", records=RECORDS)
    with pytest.raises(BadInput, match="records must be one of runs, observations"):
        file.record(0, 0, "rnus", {})
    with pytest.raises(BadInput, match="row of kills must have time_ns, variant, line"):
        file.record(0, 0, "kills", {"line": 1})
    file.close(RunState.DONE)

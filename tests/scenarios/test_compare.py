"""``lazynuma compare``: what differs between two runs, and whether results do."""

import gzip
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from common.run_files import counters, process, writer
from common.sweeps import SCENARIO, swept
from lazynuma.engine.output.reader import RunState
from lazynuma.engine.study.columns import SUMMARY
from lazynuma.kernels.counters import Refusal
from lazynuma.scenarios.cli import apart, commands

DATA = Path(__file__).parents[1] / "data"
ROW = {c.name: range(len(Refusal)) if c.by_reason else 5 for c in SUMMARY}


def write(path: Path, changes: dict | None = None, epochs: int = 3, **options) -> Path:
    """Write a file of two variants; ``changes`` are made to the second one's row."""
    file = writer(path, **options)
    for epoch in range(epochs):
        for variant in range(2):
            file.epoch(variant, epoch, counters(epoch), [process(epoch)])
    blocks = np.zeros(4, np.int8)
    file.snapshot(1, 2, 0, blocks, blocks)
    file.summary(0, ROW | {"converged_ns": float("nan")})
    file.summary(1, ROW | (changes or {}))
    file.close(RunState.DONE)
    return path


def compare(capsys, *arguments) -> tuple[int, str]:
    status = commands.main(["compare", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert status < 2, err
    # The first two lines are paths, which are as long as they are.
    shown = [line for line in out.splitlines() if not line.startswith(("A  ", "B  "))]
    assert max(map(len, shown), default=0) <= 80 or "--json" in arguments
    return status, out


def found(capsys, *arguments) -> dict:
    return json.loads(compare(capsys, *arguments, "--json")[1])


def refusal(capsys, *arguments) -> str:
    assert commands.main(["compare", *map(str, arguments)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


@pytest.fixture
def first(tmp_path) -> Path:
    return write(tmp_path / "a.h5")


def test_equal_files_are_equal(first, tmp_path, capsys):
    same = shutil.copy(first, tmp_path / "b.h5")
    status, out = compare(capsys, first, same)
    assert status == 0
    assert "Results are equal" in out and "differ" not in out


def test_a_value_that_differs_is_shown_with_both(first, tmp_path, capsys):
    other = write(tmp_path / "b.h5", {"faults": 8, "run_time_ns": 6, "oom_kills": -1})
    status, out = compare(capsys, first, other)
    assert status == 1
    lines = [line.split() for line in out.splitlines() if "lazy_migcache" in line]
    assert [line[1:] for line in lines] == [
        ["oom_kills", "5", "-"],
        ["faults", "5", "8", "+60", "%"],
        ["run_time_ns", "5", "ns", "6", "ns", "+20", "%"],
    ]
    data = found(capsys, first, other)
    assert data["results"][1] == {
        **{"variant": "lazy_migcache", "variable": "faults", "unit": "event"},
        **{"a": 5, "b": 8, "relative": 0.6, "within": None, "place": ""},
    }
    assert data["equal"] is False and data["tables"] == {}


def test_refusals_differ_by_reason(first, tmp_path, capsys):
    refused = [*range(len(Refusal))]
    refused[Refusal.COLD] += 1
    other = write(tmp_path / "b.h5", {"pages_refused_by": refused})
    (one,) = found(capsys, first, other)["results"]
    assert one["variable"] == "pages_refused_by cold"
    assert one["b"] == one["a"] + 1


def test_differences_beyond_what_fits_are_counted(first, tmp_path, capsys):
    changes = {c.name: 6 + i for i, c in enumerate(SUMMARY) if not c.by_reason}
    other = write(tmp_path / "b.h5", changes)
    out = compare(capsys, first, other)[1]
    count = len(changes)
    assert f"{count} of " in out and f"and {count - 20} more" in out
    assert len(found(capsys, first, other)["results"]) == count


def test_tables_differ_though_the_summary_does_not(first, tmp_path, capsys):
    more = write(tmp_path / "more.h5", epochs=4)
    assert found(capsys, first, more)["tables"] == {
        "epochs": {"rows": [6, 8]},
        "processes": {"rows": [6, 8]},
    }
    other = Path(shutil.copy(first, tmp_path / "b.h5"))
    with h5py.File(other, "r+") as file:
        file["epochs/pgfault"][3, 1] += 1
        file["snapshots/block_kind"][0, 2] = 3
    data = found(capsys, first, other)
    assert data["tables"] == {
        "epochs": {"variables": ["pgfault"]},
        "snapshots": {"variables": ["block_kind"]},
    }
    status, out = compare(capsys, first, other)
    assert status == 1 and "epochs: pgfault" in out


def test_rows_that_came_side_by_side_are_equal(first, tmp_path, capsys):
    """The order of the rows of different variants is no result."""
    file = writer(tmp_path / "b.h5")
    for variant in range(2):
        for epoch in range(3):
            file.epoch(variant, epoch, counters(epoch), [process(epoch)])
    file.snapshot(1, 2, 0, np.zeros(4, np.int8), np.zeros(4, np.int8))
    file.summary(0, ROW | {"converged_ns": float("nan")})
    file.summary(1, ROW)
    file.close(RunState.DONE)
    assert compare(capsys, first, tmp_path / "b.h5")[0] == 0


def test_what_does_not_change_results_is_shown_and_equal(first, tmp_path, capsys):
    attributes = {"seed": 8, "host": "node7", "versions": json.dumps({"numpy": "9"})}
    settings = {"common": {"machine": "4s"}, "variants": {}}
    attributes |= {"settings": json.dumps(settings)}
    attributes |= {"costs": json.dumps({"walk_ns": 7})}
    one = write(tmp_path / "one.h5", attributes=attributes)
    changed = attributes | {
        "host": "node8",
        "settings": json.dumps(
            {"common": {"machine": "2s"}, "variants": {"none": {"thp.enabled": "x"}}}
        ),
        "costs": json.dumps({"walk_ns": 9}),
    }
    other = write(tmp_path / "other.h5", attributes=changed)
    data = found(capsys, one, other)
    assert data["equal"] is True
    assert data["provenance"] == {"host": ["node7", "node8"]}
    assert data["settings"] == {
        "machine": ["4s", "2s"],
        "thp.enabled of none": [None, "x"],
        "cost.walk_ns": [7, 9],
    }
    # A file that says nothing of costs or settings differs in none of them.
    assert found(capsys, first, one)["settings"] == {"seed": [7, 8]}
    assert compare(capsys, one, other)[0] == 0


def test_other_variants_and_formats_are_named(first, tmp_path, capsys):
    old = tmp_path / "old.h5"
    old.write_bytes(gzip.decompress((DATA / "format-1.0.h5.gz").read_bytes()))
    data = found(capsys, first, old)
    assert data["provenance"]["format"] == ["2.0", "1.0"]
    assert "time_scan_ns" in data["only"]["variables"][0]
    other = write(tmp_path / "b.h5", variants=["none", "eager"])
    status, out = compare(capsys, first, other)
    assert status == 1
    assert "variants of A alone: lazy_migcache" in out
    assert "variants of B alone: eager" in out
    assert found(capsys, first, other)["tables"] == {}


def test_a_killed_run_can_be_compared(first, tmp_path, capsys):
    killed = tmp_path / "killed.h5"
    packed = DATA / "killed" / "killed_midflush.h5.gz"
    killed.write_bytes(gzip.decompress(packed.read_bytes()))
    data = found(capsys, first, killed)
    assert data["provenance"]["state"][0] == "done"
    assert data["provenance"]["state"][1].startswith("killed")


def test_what_cannot_be_compared_is_refused_in_one_line(first, tmp_path, capsys):
    assert "none.h5" in refusal(capsys, first, tmp_path / "none.h5")
    assert "both" in refusal(capsys, first, tmp_path)
    (tmp_path / "bad.h5").write_bytes(first.read_bytes()[:7000])
    assert "bad.h5" in refusal(capsys, first, tmp_path / "bad.h5")
    assert "bad.h5" in refusal(capsys, tmp_path / "bad.h5", first)
    (tmp_path / "x").mkdir()
    assert "must be one of a sweep" in refusal(capsys, tmp_path, tmp_path / "x")


def test_a_file_without_end_is_refused_by_name(first, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(apart, "LIMIT_S", 2)
    endless = tmp_path / "endless.h5"
    packed = DATA / "killed" / "info_hangs_one_byte.h5.gz"
    endless.write_bytes(gzip.decompress(packed.read_bytes()))
    assert "endless.h5" in refusal(capsys, first, endless)
    out = tmp_path / "all.nc"
    collect = ["collect", str(first), str(endless), "-o", str(out)]
    assert commands.main(collect) == 2
    assert "endless.h5" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "endless.h5"]


# --- real runs ------------------------------------------------------------------------


def test_runs_with_two_seeds_differ_and_with_one_do_not(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(SCENARIO)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run = ["run", str(tmp_path / "mine.py"), "--seed", str(seed)]
        assert commands.main([*run, "-o", str(tmp_path / f"{name}.h5")]) == 0
    capsys.readouterr()
    a, b, c = (tmp_path / f"{name}.h5" for name in "abc")
    status, out = compare(capsys, a, b)
    assert status == 0 and "command" in out
    data = found(capsys, a, c)
    assert data["settings"] == {"seed": [1, 2]}
    assert {"run_time_ns"} <= {one["variable"] for one in data["results"]}
    assert "epochs" in data["tables"]


def test_differences_are_held_against_the_spread_over_seeds(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(SCENARIO)
    runs = {"a": ("1", 1900), "b": ("2", 1900), "c": ("1", 4000)}
    for name, (seed, cost) in runs.items():
        run = ["run", str(tmp_path / "mine.py"), "--seeds", "3", "--seed", seed]
        run += ["--threads", "1", "--set", f"cost.hint_fault_ns={cost}"]
        assert commands.main([*run, "-o", str(tmp_path / f"{name}.h5")]) == 0
    capsys.readouterr()
    a, b, c = (tmp_path / f"{name}.h5" for name in "abc")
    data = found(capsys, a, b)
    assert data["settings"] == {"seed": [[1, 2, 3], [2, 3, 4]]}
    assert all(one["within"] for one in data["results"]) and data["results"]
    assert data["equal"] is False
    status, out = compare(capsys, a, c)
    assert status == 1 and "hinting  time_hint_fault_ns" in out and "beyond" in out
    (one,) = [
        one
        for one in found(capsys, a, c)["results"]
        if one["variable"] == "time_hint_fault_ns"
    ]
    assert one["within"] is False and one["relative"] > 1


def test_two_sweeps_are_compared_point_by_point(tmp_path, capsys):
    text = 'scenario = "mine.py"\nseeds = [1, 2, 3]\n[grid]\ntouches = [2, 3]\n'
    one = swept(tmp_path, text, "one")
    cost = '[set]\n"cost.hint_fault_ns" = 4000\n'
    other = swept(tmp_path, text.replace("[grid]", f"{cost}[grid]"), "two")
    capsys.readouterr()
    assert compare(capsys, one, one)[0] == 0
    data = found(capsys, one, other)
    assert data["settings"] == {"cost.hint_fault_ns": [1900, 4000]}
    assert {one["place"] for one in data["results"]} == {"touches=2", "touches=3"}
    assert {one["variant"] for one in data["results"]} == {"hinting"}
    longer = [o for o in data["results"] if o["variable"] == "time_hint_fault_ns"]
    assert [one["within"] for one in longer] == [False, False]
    assert all(one["relative"] > 1 for one in longer)
    (other / ".sweep" / "0005.done").unlink()
    status, out = compare(capsys, one, other)
    assert status == 1
    assert "points of A alone: touches=3 seed 3" in out and "beyond" in out

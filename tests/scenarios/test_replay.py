"""Replay: recorded samples end to end, on machines and mechanisms."""

import gzip
import json
import re
from pathlib import Path

import pytest

from lazynuma.engine.errors import BadInput
from lazynuma.engine.run import run_study
from lazynuma.scenarios.cli import commands
from lazynuma.scenarios.common.mechanism import MECHANISMS
from lazynuma.scenarios.recorded import replay

DATA = Path(__file__).parents[1] / "data"
SAMPLES = ("page-faults", "exceptions", "lackey")


def replayed(path, **settings):
    settings = {"memory": 8 << 30} | settings
    return run_study(replay.build(replay.Parameters(str(path), **settings)))[0]


def expected(name):
    """Return (accesses, distinct (process, page) pairs), by plain search."""
    text = gzip.open(DATA / f"{name}.txt.gz", "rt").read()
    if name == "lackey":
        pages = []
        for address, size in re.findall(r"^ [LSM] (\w+),(\d+)$", text, re.M):
            first = int(address, 16)
            last = first + int(size) - 1
            pages += range(first >> 12, (last >> 12) + 1)
        return len(pages), len(set(pages))
    mark = r"address=0x" if name == "exceptions" else r"page-faults:\s+"
    pairs = re.findall(rf"^\s*\S+ (\d+).*?{mark}(\w+)", text, re.M)
    return len(pairs), len({(pid, int(at, 16) >> 12) for pid, at in pairs})


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("name", SAMPLES)
def test_samples_end_to_end(name, mechanism):
    row = replayed(DATA / f"{name}.txt.gz", mechanism=mechanism, repair_every=20)
    accesses, pages = expected(name)
    assert (row["accesses"], row["distinct_pages"]) == (accesses, pages)
    assert row["bad_lines"] == row["oom_kills"] == 0
    assert row["faults"] >= pages
    assert (row["pages_marked"] > 0) == mechanism.startswith(("lazy", "hint"))


@pytest.mark.parametrize("machine", ["2s", "4s-ring", "8s", "16-node", "dram-cxl"])
def test_presets(machine):
    row = replayed(DATA / "page-faults.txt.gz", machine=machine, memory=64 << 30)
    assert row["accesses"] == 150


def test_perf_data_costs_what_its_text_costs():
    rows = [replayed(DATA / f"two-cpus.{end}") for end in ("perf.data.gz", "txt.gz")]
    for row in rows:
        row["pages_refused_by"] = row["pages_refused_by"].tolist()
        del row["wall_s"]
    assert rows[0] == rows[1] and rows[0]["accesses"] == 225


def write_moving(path):
    """Write a trace whose only thread touches 64 pages from one CPU, then another."""
    line = "wl 5/5 [{:03}] 1.000001: page-faults: {:x}\n"
    path.write_text(
        "".join(
            line.format(cpu, 0x7F0000000000 + (i << 12))
            for cpu in (0, 0, 32)
            for i in range(64)
        )
    )
    return path


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_thread_that_moves_brings_its_pages(tmp_path, mechanism):
    path = write_moving(tmp_path / "t")
    row = replayed(path, machine="2s", mechanism=mechanism, repair_every=128)
    lazy = mechanism.startswith(("lazy", "hint"))
    assert row["pages_migrated"] == (64 if lazy else 0)
    assert row["distinct_pages"] == 64


def test_dense_regions_grow_block_by_block(tmp_path):
    lines = [f" S {block << 21 | page << 12:x},8\n" for block in range(1, 400, 3)
             for page in (0, 511)]  # fmt: skip
    (tmp_path / "t").write_text("".join(lines))
    row = replayed(tmp_path / "t", mechanism="hinting", repair_every=7)
    assert row["accesses"] == row["distinct_pages"] == len(lines)


def test_reads_fault_in_the_zero_page(tmp_path):
    (tmp_path / "t").write_text("7/7 1.000001: page-faults: 7f0000001000\n" * 3)
    assert replayed(tmp_path / "t", access="r")["faults"] == 1


def test_same_result_twice():
    rows = [replayed(DATA / "lackey.txt.gz", mechanism="hinting") for _ in range(2)]
    for row in rows:
        row["pages_refused_by"] = row["pages_refused_by"].tolist()
        del row["wall_s"]
    assert rows[0] == rows[1]


def test_bad_lines_are_refused_or_counted(tmp_path):
    (tmp_path / "t").write_text(" L 1000,8\nrubbish\n L 2000,8\n")
    with pytest.raises(BadInput, match=r"t:2: expected"):
        replayed(tmp_path / "t")
    row = replayed(tmp_path / "t", skip_bad_lines=True)
    assert (row["lines"], row["bad_lines"], row["accesses"]) == (3, 1, 2)


def test_command_line_prints_one_json_object(capsys):
    name = str(DATA / "page-faults.txt.gz")
    options = ["--json", "--machine", "8s", "--mechanism", "lazy_migcache"]
    status = commands.main(["replay", name, *options, "--set", "trace.access=r"])
    assert status == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["mechanism"], row["accesses"]) == ("lazy_migcache", 150)


@pytest.mark.parametrize(
    ("content", "status"),
    [("", 2), ("rubbish\n", 2), (" L 1000,8\nrubbish\n", 2)],
)
def test_command_line_fails_in_one_line(tmp_path, capsys, content, status):
    path = tmp_path / "t"
    path.write_text(content)
    assert commands.main(["replay", str(path)]) == status
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err

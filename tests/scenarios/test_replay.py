"""Replay: recorded samples end to end, on machines and mechanisms."""

import gzip
import json
import re
from pathlib import Path

import h5py
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


def fault(tid, cpu, seconds, page):
    """Return a line of a trace: thread ``tid`` of process 7 touches a page."""
    return (
        f"job 7/{tid} [{cpu:03}] {seconds:.9f}: page-faults: {(page << 12) + BASE:x}\n"
    )


def pages_by_node(path, tmp_path, **settings):
    """Replay a trace; return the pages that each node gave."""
    settings = {"machine": "2s", "memory": 8 << 30} | settings
    out = tmp_path / "run.h5"
    study = replay.build(replay.Parameters(str(path), **settings))
    run_study(study, output=out, force=True)
    with h5py.File(out) as file:
        return file["epochs/pgalloc_normal"][()].sum(0).tolist()


BASE = 0x7F0000000000
#: CPUs 0 and 40 are of nodes 0 and 1 of 2s.
TRACES = {
    # A thread that changes its CPU.
    "mover": [fault(7, 0 if i < 1000 else 40, 1 + i / 1e9, i) for i in range(3000)],
    # Thread 8 touches, a second later and from the end, what thread 7 did.
    "second": [fault(7, 0, 1 + i / 1e9, i) for i in range(2000)]
    + [fault(8, 40, 2 + i / 1e9, 1999 - i) for i in range(2000)],
    # They take turns: each block of 500 pages is touched by 7, then by 8.
    "turns": [
        fault(tid, cpu, 1 + (2 * block + tid - 7) / 1e3, page)
        for block in range(4)
        for tid, cpu in ((7, 0), (8, 40))
        for page in range(500 * block, 500 * block + 500)
    ],
    # A thread that is ever on another CPU.
    "hopper": [fault(7, i * 40 % 80, 1 + i / 1e6, i) for i in range(1000)],
}
PLACES = {
    "mover": [1000, 2000],
    "second": [2000, 0],
    "turns": [2000, 0],
    "hopper": [500, 500],
}


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("name", TRACES)
def test_pages_are_of_who_touched_them_first(tmp_path, name, times):
    lines = "".join(TRACES[name])
    path = tmp_path / "t"
    path.write_text(lines if times else re.sub(r"\] \S+:", "]", lines))
    assert pages_by_node(path, tmp_path) == PLACES[name]


@pytest.mark.parametrize("every", [1, 7, 4096, 10**9])
def test_first_touch_does_not_depend_on_when_the_mechanism_acts(tmp_path, every):
    """Marks cut a recording in pieces; pages that are used once never move."""
    path = tmp_path / "t"
    for name, mechanism in (("turns", "none"), ("hopper", "hinting")):
        path.write_text("".join(TRACES[name]))
        how = {"repair_every": every, "mechanism": mechanism}
        assert pages_by_node(path, tmp_path, **how) == PLACES[name]


#: As numactl prints it: CPU 0 on node 0, CPU 1 on node 1.
TWO_CPUS = """available: 2 nodes (0-1)
node 0 cpus: 0
node 0 size: 4096 MB
node 0 free: 4000 MB
node 1 cpus: 1
node 1 size: 4096 MB
node 1 free: 4000 MB
node distances:
node   0   1
  0:  10  20
  1:  20  10
"""


def test_a_program_that_is_moved_half_way(tmp_path):
    machine, path = tmp_path / "machine.txt", tmp_path / "t"
    machine.write_text(TWO_CPUS)
    lines = [fault(7, int(i >= 500), 1 + i / 1e6, i) for i in range(1050)]
    path.write_text("".join(lines))
    assert pages_by_node(path, tmp_path, machine=str(machine)) == [500, 550]


def write_visitor(path, times):
    """Write a trace whose thread uses, from node 1 and for 5 s, pages of node 0."""
    lines = [fault(7, 0, 1 + i / 1e5, i) for i in range(200)]
    lines += [fault(7, 40, 1.1 + i / 1e3, i % 200) for i in range(5000)]
    text = "".join(lines)
    path.write_text(text if times else re.sub(r"\] \S+:", "]", text))
    return path


@pytest.mark.parametrize("times", [True, False])
def test_balancing_wakes_when_it_would(tmp_path, times):
    path = write_visitor(tmp_path / "t", times)
    row = replayed(path, machine="2s", mechanism="balancing")
    assert row["pages_migrated"] == (200 if times else 0)
    assert (row["run_time_ns"] > 5 * 10**9) == times
    still = replayed(path, machine="2s")
    assert still["pages_migrated"] == 0 and still["accesses"] == row["accesses"]


def test_a_killed_process_drops_what_it_would_have_done(tmp_path):
    """Two processes fill 64 MiB with 80; the larger one goes."""
    path = tmp_path / "t"
    owner = [3 if i % 3 else 4 for i in range(20_000)]
    line = "job {0}/{0} [000] {1:.6f}: page-faults: {2:x}\n".format
    path.write_text(
        "".join(line(pid, 1 + i / 1e6, BASE + (i << 12)) for i, pid in enumerate(owner))
    )
    row = replayed(path, machine="2s", memory=64 << 20)
    assert row["oom_kills"] == 1 and row["dropped"] > 0
    assert row["accesses"] + row["dropped"] == 20_000

"""Replay of one trace on several machines, with several mechanisms; its regions."""

import json
import os
import threading

import h5py
import pytest

from lazynuma.engine.errors import BadInput
from lazynuma.engine.run import run_study
from lazynuma.kernels.counters import Cause
from lazynuma.scenarios.cli import commands
from lazynuma.scenarios.recorded import compared, regions, replay

HEAP, ANON, PAGES = 0x7F0000000, 0x7F0001000, 600
MAPS = f"""{HEAP << 12:x}-{HEAP + 200 << 12:x} rw-p 00000000 00:00 0 [heap]
{ANON << 12:x}-{ANON + 300 << 12:x} rw-p 00000000 00:00 0
"""


@pytest.fixture
def moved(tmp_path):
    """Write a trace: pages are written on node 0, then used for 8 s on node 1 of 2s."""
    pages = [*range(HEAP, HEAP + 300), *range(ANON, ANON + 300)]
    line = "job 7/7 [{:03d}] {}.{:09d}: page-faults: {:x}\n".format
    lines, now = [], 0
    for turn in range(9):
        for page in pages:
            now += 1000 if turn == 0 else 8 * 10**9 // (8 * PAGES)
            lines.append(line(40 if turn else 0, now // 10**9, now % 10**9, page << 12))
    (tmp_path / "trace").write_text("".join(lines))
    (tmp_path / "maps").write_text(MAPS)
    return tmp_path / "trace"


def study(path, **settings):
    settings = {"memory": 1 << 30, "machine": "2s"} | settings
    return replay.build(replay.Parameters(str(path), **settings))


def test_dimension_is_what_varies(moved):
    both = study(moved, machines=("2s", "4s"), mechanisms=("eager", "none"))
    assert both.dimension == ("machine", "mechanism")
    names = [variant.name for variant in both.variants]
    assert names == [("2s", "none"), ("2s", "eager"), ("4s", "none"), ("4s", "eager")]
    assert [variant.machine.nodes for variant in both.variants] == [2, 2, 4, 4]
    alone = study(moved, machines=("2s", "4s"))
    assert alone.dimension == "machine" and len(alone.variants) == 2
    one = study(moved, mechanisms=("hinting",))
    assert one.dimension == "mechanism" and one.variants[0].name == "hinting"
    assert one.columns == compared.COLUMNS


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"machines": ("2s", "2s")}, "machines must differ, got 2s, 2s"),
        ({"mechanisms": ("none", "none")}, "mechanisms must differ"),
        ({"mechanisms": ("none", "magic")}, "mechanism must be one of"),
        ({"machines": ("2s", "9s")}, "machine"),
        ({"maps": "/nowhere"}, "readable file"),
    ],
)
def test_what_is_refused(moved, settings, says):
    with pytest.raises(BadInput, match=says):
        study(moved, **settings)


def test_a_pipe_has_one_variant(tmp_path, moved):
    os.mkfifo(tmp_path / "pipe")
    content = moved.read_bytes()[:50_000].rpartition(b"\n")[0]
    for machines in (("2s", "4s"), ("2s",)):
        writer = threading.Thread(target=_write, args=(tmp_path / "pipe", content))
        writer.start()
        if len(machines) > 1:
            with pytest.raises(BadInput, match="a file to be read for 2 variants"):
                study(tmp_path / "pipe", machines=machines)
        else:
            rows = run_study(study(tmp_path / "pipe", machines=machines))
            assert rows[0]["accesses"] == content.count(b"\n") + 1
        writer.join()


def _write(path, content):
    try:
        path.write_bytes(content)
    except BrokenPipeError:
        pass


def test_balancing_off_and_on(moved):
    """The scans' counts are those of the counters, their time that of their cause."""
    asked = study(moved, mechanisms=("balancing", "none"))
    seen = {}
    for variant in asked.variants:
        steps = variant.steps

        def watched(simulation, steps=steps, name=variant.name):
            row = steps(simulation)
            scanned = int(simulation.spent[:, Cause.SCAN].sum())
            seen[name] = scanned, int(simulation.spent.sum())
            return row

        object.__setattr__(variant, "steps", watched)
    off, on = run_study(asked)
    assert (off["mechanism"], on["mechanism"]) == ("none", "balancing")
    assert off["numa_scans"] == off["numa_hint_faults"] == off["pages_migrated"] == 0
    assert on["numa_pte_updates"] >= on["numa_hint_faults"] >= PAGES
    assert on["pages_migrated"] == PAGES
    scanned, busy = seen["balancing"]
    assert on["numa_scans"] > 1
    assert on["scan_mean_ns"] * on["numa_scans"] == pytest.approx(scanned)
    assert on["scan_mean_ns"] <= on["scan_longest_ns"] <= scanned
    assert on["task_time_ns"] == busy and off["task_time_ns"] == seen["none"][1]
    assert on["gain_ns"] == off["task_time_ns"] - busy and off["gain_ns"] == 0
    text = asked.verdict(asked, [off, on])
    verb = "saves" if on["gain_ns"] > 0 else "costs"
    assert f"Balancing: {on['numa_scans']} scans marked 600 PTEs" in text
    assert f"It {verb} " in text and "of task time" in text


def test_gain_is_not_known_without_none(moved):
    asked = study(moved, mechanisms=("balancing",))
    rows = run_study(asked)
    assert rows[0]["gain_ns"] != rows[0]["gain_ns"]
    assert "mechanisms=none,balancing" in asked.verdict(asked, rows)


def test_regions_one_by_one(moved):
    """300 pages of the heap, a hundred behind it, 300 of a mapping without a name."""
    asked = study(
        moved,
        mechanisms=("none", "hinting"),
        repair_every=PAGES,
        maps=f"{moved.parent}/maps",
    )
    found = {row["mechanism"]: row["regions"] for row in run_study(asked)}
    for name, node in (("none", 0), ("hinting", 1)):
        rows = {row["region"]: row for row in found[name]}
        want = {"[heap]": 200, f"anon {ANON << 12:x}": 300, regions.UNMAPPED: 100}
        assert {k: row["pages"] for k, row in rows.items()} == want
        for row in rows.values():
            assert row["accesses"] == 9 * row["pages"] and row["process"] == 7
            assert row["pages_by_node"][node] == row["pages"]
            assert row["pages_without_frame"] == 0
    rows = found["none"]
    assert {row["local_fraction"] for row in rows} == {1 / 9}
    assert [row["accesses"] for row in rows] == [2700, 1800, 900]
    assert "0: 200" in regions.table(rows) and "11.1 %" in regions.table(rows)


def test_a_later_mapping_hides_an_earlier_one(moved):
    again = (
        f"{HEAP + 100 << 12:x}-{HEAP + 150 << 12:x} r--p 00000000 fe:00 7 /lib/a b.so"
    )
    (moved.parent / "maps").write_text(f"{MAPS}{again}\n")
    asked = study(moved, maps=f"{moved.parent}/maps")
    (found,) = run_study(asked)
    pages = {row["region"]: row["pages"] for row in found["regions"]}
    assert (pages["/lib/a b.so"], pages["[heap]"]) == (50, 150)


def test_command_line(moved, tmp_path, capsys):
    out = tmp_path / "run.h5"
    options = ["--machine", "2s", "--machine", "4s", "--maps", str(tmp_path / "maps")]
    options += ["--set", "mechanisms=none,eager", "--set", "memory=1GiB", "--json"]
    assert commands.main(["replay", str(moved), *options, "-o", str(out)]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    keys = [(row["machine"], row["mechanism"]) for row in rows]
    assert keys == [(m, x) for m in ("2s", "4s") for x in ("none", "eager")]
    assert [len(row["regions"][0]["pages_by_node"]) for row in rows] == [2, 2, 4, 4]
    with h5py.File(out) as file:
        names = {b"".join(row).rstrip(b"\0") for row in file["regions/region"][()]}
        assert names >= {b"[heap]", b"(no mapping)"}
        assert file["regions/accesses"][()].sum() == 4 * 9 * PAGES
        assert file["region_nodes/pages"][()].sum() == 4 * PAGES


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        ("0 7fff5a8\n", [], "--bare-columns"),
        ("x 7 1.000001: 9 cycles:  401136 f (x)\n", [], "samples of cycles"),
        ("x 7 1.000001: page-faults: ffff888104f69000\n", [], "must have an access"),
        (
            "x 7 1.000001: page-faults: 401136 f (x)\n",
            ["--skip-bad-lines"],
            "perf record",
        ),
    ],
)
def test_a_replay_without_an_access_fails(tmp_path, capsys, content, options, says):
    (tmp_path / "t").write_text(content * 3)
    out = tmp_path / "run.h5"
    status = commands.main(["replay", str(tmp_path / "t"), "-o", str(out), *options])
    printed, error = capsys.readouterr()
    assert status == 2 and printed == "" and not out.exists()
    assert says in error and error.count("\n") == 1


def test_bare_columns(tmp_path, capsys):
    (tmp_path / "t").write_text("0 7fff5a8\n1 7fff5b0\n2 400000\n")
    command = ["replay", str(tmp_path / "t"), "--bare-columns", "--json"]
    assert commands.main(command) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["accesses"], row["distinct_pages"]) == (3, 3)


def test_pages_must_fit_this_host(moved, monkeypatch):
    """What a trace touches is known only when it has touched it."""
    monkeypatch.setattr(compared, "memory_available", lambda: 20_000)
    with pytest.raises(BadInput, match="host memory must hold .* touched so far"):
        run_study(study(moved))
    monkeypatch.setattr(compared, "memory_available", lambda: 30_000)
    assert run_study(study(moved))[0]["distinct_pages"] == PAGES

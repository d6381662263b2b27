"""Costs that are measured here, and files of costs; no test asserts a time."""

import json
import mmap
import resource
from dataclasses import asdict, fields

import h5py
import numpy as np
import pytest

from lazynuma.engine.calibrate import contended, measure, probe, repeats
from lazynuma.engine.errors import BadInput
from lazynuma.engine.settings.cost_file import (
    Finding,
    cost_text,
    read_costs,
    with_holds,
)
from lazynuma.engine.settings.costs import Costs
from lazynuma.engine.settings.locks import ROWS, Locks
from lazynuma.scenarios.cli import commands

NAMES = {field.name for field in fields(Costs)} | {
    f"locks.{row.name}_hold_ns" for row in ROWS
}
SCENARIO = '''
"""Ask which costs a run has."""

from dataclasses import dataclass

from lazynuma.engine import Settings, Study, Variant, preset
from lazynuma.engine.study import SUMMARY


@dataclass(frozen=True)
class Parameters:
    pass


def build(parameters):
    variant = Variant("v", preset("2s", 1 << 30), Settings(), lambda sim: {}, 0, 16)
    return Study("Which costs?", "mechanism", (variant,), SUMMARY)
'''


@pytest.fixture(autouse=True)
def once(monkeypatch):
    """Measure once: what comes out does not matter here."""
    monkeypatch.setattr(repeats, "REPEATS", 1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a scenario that does nothing."""
    (tmp_path / "mine.py").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def costs_of(path):
    with h5py.File(path) as file:
        return json.loads(file.attrs["costs"])


# --- the probe ------------------------------------------------------------------------


def test_every_cost_is_measured_or_says_why_not():
    findings = measure.measure_costs()
    assert {finding.name for finding in findings} == NAMES
    assert len(findings) == len(NAMES)
    for finding in findings:
        assert finding.how
        if finding.value is None:
            assert finding.how.startswith("not measured: ")
        else:
            assert isinstance(finding.value, int) and finding.value > 0
    measured = {f.name: f.value for f in findings if f.value is not None}
    holds = {name for name in measured if name.startswith("locks.")}
    Costs(**{name: measured[name] for name in measured.keys() - holds})
    Locks(**{name.removeprefix("locks."): measured[name] for name in holds})


def test_first_faults_and_marks_can_be_measured_anywhere():
    measured = {f.name for f in measure.measure_costs() if f.value is not None}
    assert {"minor_fault_ns", "zap_pte_ns", "copy_bandwidth"} <= measured


def test_what_linux_refuses_is_left_out_with_the_reason(monkeypatch):
    monkeypatch.setattr(measure, "_MADV_COLLAPSE", 9999)
    (collapse,) = [f for f in measure.measure_costs() if f.name == "collapse_ns"]
    assert collapse.value is None
    assert collapse.how.startswith("not measured: MADV_COLLAPSE needs Linux 6.1")


def test_small_pages_are_not_taken_for_huge_ones(monkeypatch):
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", mmap.MADV_NOHUGEPAGE)
    findings = {f.name: f for f in measure.measure_costs()}
    for name in ("huge_fault_ns", "split_pmd_ns"):
        assert findings[name].value is None
        assert "no huge pages" in findings[name].how


def test_difference_that_is_lost_in_noise_is_left_out():
    assert repeats.finding_of("split_pmd_ns", -3.2, "so") == Finding(
        "split_pmd_ns", None, "not measured: -3.20 is lost in noise; so"
    )


def test_stop_ends_the_measurement_between_two_repeats():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure.measure_costs(stop)


@pytest.mark.parametrize(
    ("text", "nodes"), [("0\n", [0]), ("0-1,3\n", [0, 1, 3]), (None, [0])]
)
def test_nodes_with_memory(tmp_path, monkeypatch, text, nodes):
    path = tmp_path / "has_normal_memory"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(measure, "_NODES", path)
    assert measure._nodes() == nodes


def test_second_node_is_migrated_to(monkeypatch):
    moved = []
    monkeypatch.setattr(measure, "_nodes", lambda: [0, 2])
    monkeypatch.setattr(
        probe, "move", lambda memory, node: moved.append(node) or 10 * len(memory)
    )
    assert measure._migrations()["migrate_page_ns"] > 0
    assert measure._copies()["copy_bandwidth"] > 0
    assert moved == [0, 2, 2, 0, 2]


def test_node_that_is_not_there_is_refused():
    with pytest.raises(OSError):
        probe.move(measure._touched(), 1000)


# --- two threads ----------------------------------------------------------------------


def test_one_cpu_is_said_to_be_too_few(monkeypatch):
    monkeypatch.setattr(contended.os, "sched_getaffinity", lambda _: {3})
    findings = {one.name: one for one in measure.measure_costs()}
    for name in contended.HOLDS:
        assert findings[name].value is None
        assert findings[name].how == (
            "not measured: needs two CPUs, this process may run on one"
        )


def test_two_threads_add_to_one_word_without_losing_any():
    words = np.zeros(2, np.int64)
    both = contended._together(
        lambda: probe.add(words, 1, 50_000), lambda: probe.add(words, 1, 50_000)
    )
    assert words.tolist() == [0, 100_000] and len(both) == 2


def test_the_other_thread_is_busy_until_the_work_ends():
    seen = []

    def busy(ended):
        probe.spin(ended, 0)
        seen.append(int(ended[0]))

    assert contended._beside(busy, lambda: 7) == 7
    assert seen == [1]


def test_a_work_that_fails_ends_the_other_thread():
    def fail():
        raise OSError(12, "Cannot allocate memory")

    with pytest.raises(OSError, match="Cannot allocate"):
        contended._beside(contended._spinning, fail)


def test_the_hold_of_a_table_is_that_of_two_customers(monkeypatch):
    # 1100 ns a fault on one table, 1000 on two: 100 = hold^2 / 1100.
    steps = []
    monkeypatch.setattr(contended, "_together", lambda *works: [w() for w in works])
    pages = 2 * contended._BLOCKS * 512

    def touch(memory, step):
        steps.append(step)
        return (1100 if step == 8192 else 1000) * pages // 2

    monkeypatch.setattr(probe, "touch", touch)
    assert contended._faults_of_one_table() == pytest.approx((100 * 1100) ** 0.5)
    assert steps == [8192, 8192, 4096, 4096]


def test_page_fault1_maps_touches_and_unmaps():
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    assert probe.page_fault1(3, 2 << 20) > 0
    faults = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    assert faults >= 3 * 512


# --- files ----------------------------------------------------------------------------


def test_holds_have_a_table_of_their_own(tmp_path):
    path = tmp_path / "costs.toml"
    findings = [
        Finding("zap_pte_ns", 3, "so"),
        Finding("locks.pte_lock_hold_ns", 70, "so"),
        Finding("locks.zone_lock_hold_ns", None, "not measured: why"),
    ]
    path.write_text(cost_text(findings, "a machine"))
    assert read_costs(path) == {"zap_pte_ns": 3}
    assert with_holds({}, path) == {"locks.pte_lock_hold_ns": 70}
    assert with_holds({"locks.pte_lock_hold_ns": 9}, path) == {
        "locks.pte_lock_hold_ns": 9
    }
    assert with_holds({"a": 1}, None) == {"a": 1}
    assert "# locks.zone_lock_hold_ns: not measured: why" in path.read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[locks]\nno_lock_hold_ns = 3\n", "no_lock_hold_ns"),
        ("[locks]\npte_lock_hold_ns = 0\n", "must be from 1 to"),
        ("[locks]\nmmap_lock_scope = 'folio'\n", "must be one of none, global, mm"),
        ("[loks]\npte_lock_hold_ns = 1\n", "in a table \\[cost\\] or \\[locks\\]"),
    ],
)
def test_locks_that_there_are_not_are_refused_with_the_file(tmp_path, text, said):
    path = tmp_path / "costs.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=said) as error:
        with_holds({}, path)
    assert str(path) in str(error.value)


def test_measured_holds_reach_a_run(folder):
    (folder / "costs.toml").write_text("[locks]\npte_lock_hold_ns = 77\n")
    args = ["run", "./mine.py", "-o", "out.h5", "--costs", "costs.toml"]
    assert commands.main(args) == 0
    with h5py.File("out.h5") as file:
        settings = json.loads(file.attrs["settings"])
    assert settings["common"]["locks.pte_lock_hold_ns"] == 77


def test_file_round_trips(tmp_path):
    findings = [
        Finding(name, value, "so")
        for name, value in asdict(Costs(syscall_ns=7)).items()
    ]
    path = tmp_path / "costs.toml"
    path.write_text(cost_text(findings, "a machine"))
    assert read_costs(path) == asdict(Costs(syscall_ns=7))


def test_file_says_what_it_leaves_out(tmp_path):
    findings = [
        Finding("walk_ns", None, "not measured: why"),
        Finding("zap_pte_ns", 3, ""),
    ]
    path = tmp_path / "costs.toml"
    path.write_text(cost_text(findings, "a machine"))
    assert read_costs(path) == {"zap_pte_ns": 3}
    lines = path.read_text().splitlines()
    assert "# walk_ns: not measured: why" in lines
    assert "# a machine" in lines


def test_empty_file_changes_nothing(tmp_path):
    (tmp_path / "costs.toml").write_text("")
    assert read_costs(tmp_path / "costs.toml") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[cost]\nsysall_ns = 1", "did you mean cost.syscall_ns"),
        ("[cost]\nsyscall_ns = 1.5", "cost.syscall_ns must be an integer, got 1.5"),
        ("[cost]\nsyscall_ns = '1'", "cost.syscall_ns must be an integer, got '1'"),
        ("[cost]\nsyscall_ns = true", "cost.syscall_ns must be an integer, got True"),
        ("cost.syscall_ns = -1", "cost.syscall_ns must be at least 0, got -1"),
        ("[cost]\ncopy_bandwidth = 0", "cost.copy_bandwidth must be at least 1, got 0"),
        ("syscall_ns = 1", "syscall_ns must be in a table [cost] or [locks], got sys"),
        ("cost = 3", "cost must be in a table [cost] or [locks], got cost = 3"),
        ("[costs]\nsyscall_ns = 1", "costs must be in a table [cost]"),
        ("[cost", "file of costs must be TOML, got: "),
        (b"\xff", "file of costs must be a text"),
        (None, "No such file or directory"),
    ],
)
def test_bad_file_is_refused_in_one_line(folder, capsys, text, message):
    if text is not None:
        (folder / "bad.toml").write_bytes(
            text if type(text) is bytes else text.encode()
        )
    assert commands.main(["run", "mine.py", "--costs", "bad.toml", "-o", "out.h5"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "bad.toml" in err and message in err
    assert not (folder / "out.h5").exists()


def test_folder_is_no_file_of_costs(tmp_path):
    with pytest.raises(BadInput, match="must be readable"):
        read_costs(tmp_path)


# --- the command line -----------------------------------------------------------------


def test_setting_comes_after_the_file_and_the_file_after_the_default(folder):
    (folder / "costs.toml").write_text("[cost]\nsyscall_ns = 7\nzap_pte_ns = 8\n")
    arguments = "run mine.py --costs costs.toml --set cost.zap_pte_ns=9 -o out.h5"
    assert commands.main(arguments.split()) == 0
    expected = Costs(syscall_ns=7, zap_pte_ns=9)
    assert costs_of("out.h5") == asdict(expected)


def test_memory_script_takes_no_costs(folder, capsys):
    (folder / "costs.toml").write_text("")
    assert commands.main(["replay", "script.mm", "--costs", "costs.toml"]) == 2
    assert "--costs must be left out" in capsys.readouterr().err


def test_calibrate_writes_what_run_reads(folder, capsys):
    assert commands.main(["calibrate", "-o", "costs.toml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "written to costs.toml"
    rows = [line.split() for line in lines if line and line[0] not in " -"]
    assert {row[0] for row in rows if len(row) == 4} - {"cost"} == NAMES
    assert (
        commands.main(["run", "mine.py", "--costs", "costs.toml", "-o", "out.h5"]) == 0
    )
    measured = read_costs("costs.toml")
    assert measured and costs_of("out.h5").items() >= measured.items()


def test_calibrate_replaces_no_file_unasked(folder, capsys):
    (folder / "costs.toml").write_text("old")
    assert commands.main(["calibrate", "-o", "costs.toml"]) == 2
    assert "unless --force" in capsys.readouterr().err
    assert (folder / "costs.toml").read_text() == "old"
    assert commands.main(["calibrate", "-o", "costs.toml", "--force"]) == 0
    assert read_costs("costs.toml")

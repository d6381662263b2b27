"""Costs that are measured here, and files of costs; no test asserts a time."""

import json
import mmap
from dataclasses import asdict, fields

import h5py
import pytest

from lazynuma.engine.calibrate import measure, probe
from lazynuma.engine.errors import BadInput
from lazynuma.engine.settings.cost_file import Finding, cost_text, read_costs
from lazynuma.engine.settings.costs import Costs
from lazynuma.scenarios.cli import commands

NAMES = {field.name for field in fields(Costs)}
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
    Costs(**{f.name: f.value for f in findings if f.value is not None})


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
    assert measure._finding("split_pmd_ns", -3.2, "so") == Finding(
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


# --- files ----------------------------------------------------------------------------


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
        ("syscall_ns = 1", "syscall_ns must be in a table [cost], got syscall_ns = 1"),
        ("cost = 3", "cost must be in a table [cost], got cost = 3"),
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

"""The runner of studies: rows, progress, memory, the log, and the file it closes."""

from dataclasses import replace

import pytest

from common.studies import study_of
from lazynuma.engine import run
from lazynuma.engine.errors import BadInput
from lazynuma.engine.running.shared_file import SharedFile
from lazynuma.engine.study import host_limits
from lazynuma.engine.study.columns import SUMMARY
from lazynuma.scenarios.cli import progress as progress_bar
from lazynuma.scenarios.cli.progress import Progress
from lazynuma.scenarios.common.table import table

# --- what fails or is stopped ---------------------------------------------------------


def test_file_is_closed_once_and_for_all():
    calls = []
    file = SharedFile(Recorder(calls))
    file.write(lambda writer: writer.summary(0, {}))
    file.close(2)
    file.close(3)
    file.write(lambda writer: writer.summary(1, {}))
    assert calls == [("summary", 0, {}), ("close", 2, False)]


# --- the runner -----------------------------------------------------------------------


class Recorder:
    """Stands for a RunWriter and records what it is asked for."""

    def __init__(self, calls):
        self.calls = calls

    def __getattr__(self, name):
        return lambda *values: self.calls.append((name, *values))


def test_rows_come_in_order_with_the_wall_time():
    rows = run.run_study(study_of("b", "a"))
    assert [row["mechanism"] for row in rows] == ["b", "a"]
    assert all(row["wall_s"] > 0 for row in rows)


def test_two_dimensions_are_both_in_the_table():
    names = [(load, mode) for load in ("numa01", "numa2") for mode in ("off", "on")]
    one = study_of("a")
    variants = tuple(replace(one.variants[0], name=name) for name in names)
    study = replace(one, dimension=("workload", "mode"), variants=variants)
    rows = run.run_study(study)
    assert [(row["workload"], row["mode"]) for row in rows] == names
    shown = table(study, rows)
    assert "\nworkload," in shown and "\nmode " in shown
    assert "\nnuma01  off " in shown and "\nnuma2   on " in shown


def test_progress_begins_with_nothing_served():
    calls = []
    run.run_study(study_of("a"), progress=lambda *call: calls.append(call))
    variant, *rest = calls[0]
    assert (variant.name, rest) == ("a", [0, 0])


def test_steps_must_return_the_columns_of_the_study():
    extra = replace(SUMMARY[0], name="leaks")
    with pytest.raises(ValueError, match="steps must return leaks"):
        run.run_study(study_of("a", columns=(*SUMMARY, extra)))
    steps = {"leaks": 3}
    study = study_of("a", columns=(*SUMMARY, extra), steps=lambda simulation: steps)
    assert run.run_study(study)[0]["leaks"] == 3


@pytest.mark.parametrize("names", [(), ("a", "a")])
def test_study_needs_distinct_variants(names):
    with pytest.raises(BadInput, match="mechanism must have"):
        study_of(*names)


def test_memory_estimate_counts_pages_and_blocks():
    variant = replace(study_of("a").variants[0], mapped_pages=1 << 28)
    mapped = host_limits.memory_needed(variant) - host_limits.memory_needed(
        replace(variant, mapped_pages=0)
    )
    assert mapped == 20 << 28
    assert host_limits.memory_needed(variant) > mapped + host_limits.BYTES_ALWAYS


def test_available_memory_respects_the_cgroup(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\n")
    names = ("memory.max", "memory.current")
    assert host_limits._cgroup_room(tmp_path, *names) == 400
    (tmp_path / "memory.max").write_text("max\n")
    assert host_limits._cgroup_room(tmp_path, *names) == float("inf")
    assert host_limits._cgroup_room(tmp_path / "none", *names) == float("inf")
    assert 0 < host_limits.memory_available() < 1 << 60


def test_log_gets_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(progress_bar, "_HEARTBEAT_S", 0)
    study = study_of("none", "eager")
    study = replace(
        study, variants=tuple(replace(v, accesses=100) for v in study.variants)
    )
    progress = Progress(study, lambda: None)
    first, second = study.variants
    progress(first, 0, 0)
    progress(first, 60, 1_500_000_000)
    progress.ended(first)
    progress(second, 0, 0)
    progress(second, 50, 2_000_000_000)
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("lazynuma: none (1/2): 30 %, ")
    # The rate counts from the first accesses on: before them kernels are compiled.
    assert lines[0].endswith(": 30 %, simulated 1.50 s")
    assert lines[-1].startswith("lazynuma: eager (2/2): 75 %, ")
    assert "accesses/s, simulated 2.00 s, " in lines[-1]


def test_log_tells_the_time_of_a_run_without_accesses(monkeypatch, capsys):
    monkeypatch.setattr(progress_bar, "_HEARTBEAT_S", 0)
    study = study_of("idle")
    progress = Progress(study, lambda: None)
    progress(study.variants[0], 0, 0)
    progress(study.variants[0], 0, 3_000_000_000)
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["lazynuma: idle (1/1): simulated 3.00 s"]

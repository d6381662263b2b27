"""--uncertainty: ratios while costs that nobody has measured are halved and doubled."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lazynuma.engine import Costs
from lazynuma.engine.output.describe import describe
from lazynuma.engine.output.reader import RunFile
from lazynuma.engine.run import run_study
from lazynuma.engine.settings.costs import uncertain_costs
from lazynuma.engine.study.study import Study
from lazynuma.engine.study.uncertainty import (
    LEAST,
    RANGES,
    RUNS,
    Change,
    Note,
    Uncertainty,
    halved_and_doubled,
    note_of,
    ratios_of,
    scaled,
)
from lazynuma.kernels.counters import Cause
from lazynuma.scenarios import mechanisms, next_touch, penalties, perf_bench_numa
from lazynuma.scenarios.cli import main
from lazynuma.scenarios.common.ratio_ranges import ratio_ranges

ROOT = next(p for p in Path(__file__).parents if (p / "pyproject.toml").exists())
MIB = 1 << 20
NAN = float("nan")


def small(*names, **parameters):
    return mechanisms.build(
        mechanisms.Parameters(memory=64 * MIB, mechanisms=names, **parameters)
    )


def test_a_cost_is_halved_and_doubled_but_never_nothing():
    half, twice = halved_and_doubled(["walk_ns"])
    assert (str(half), half.factor) == ("walk_ns x1/2", 0.5)
    assert (str(twice), twice.factor) == ("walk_ns x2", 2)
    assert scaled(half, Costs(walk_ns=7)).walk_ns == 3
    assert scaled(half, Costs(walk_ns=1)).walk_ns == 1
    assert scaled(twice, Costs()) == replace(Costs(), walk_ns=14)


def test_what_is_uncertain_is_what_nobody_measured():
    assert set(uncertain_costs()) > {"tlb_flush_ns", "tlb_flush_cpu_ns", "walk_ns"}
    assert not {"copy_bandwidth", "hint_fault_ns"} & set(uncertain_costs())


def test_ratios_are_within_the_same_work():
    study = next_touch.build(
        next_touch.Parameters(
            memory=64 * MIB, fractions=(0.5, 1.0), mechanisms=("none", "eager")
        )
    )
    assert ratios_of(study, [4, 2, 10, 30]) == [2, 1, 1, 3]
    assert ratios_of(study, [4, NAN, NAN, NAN])[0] == 1
    rate = perf_bench_numa.build(perf_bench_numa.Parameters(runs=("4x8",)))
    assert ratios_of(rate, [5, 10, 20]) == [0.25, 0.5, 1]


class Bare:
    """What ``note_of`` asks of a simulation that paid nothing but time."""

    def __init__(self, paid):
        self.spent = np.full((1, 20), 0)
        self.costs, self.tasks, self.now = Costs(), [0], 10**9
        self.slots_peak = self.entries_peak = 0
        self._flushes = paid

    def total(self, name):
        assert name == "tlb_flushes"
        return self._flushes


def test_only_variants_that_pay_a_cost_run_again(monkeypatch):
    study = small("none", "eager")
    own = replace(study.variants[0], name="own", costs=lambda costs: costs)
    study = replace(study, variants=(*study.variants, own))
    doubt = Uncertainty(study, print)
    for index, flushes in enumerate((1, 1000, 1000)):
        bare = Bare(flushes)
        bare.spent = np.zeros((1, len(Cause)), np.int64)
        doubt.note(index, note_of(study, bare, {"run_time_ns": 10**9}))
    found = [(str(one.change), one.variant.name) for one in doubt.reruns()]
    assert found == [
        ("tlb_flush_ns x1/2", "eager, tlb_flush_ns x1/2"),
        ("tlb_flush_ns x2", "eager, tlb_flush_ns x2"),
        ("tlb_flush_cpu_ns x1/2", "eager, tlb_flush_cpu_ns x1/2"),
        ("tlb_flush_cpu_ns x2", "eager, tlb_flush_cpu_ns x2"),
    ]


def test_a_range_names_what_makes_it():
    doubt = Uncertainty(small("none", "eager"), print)
    for index, value in enumerate((100.0, 200.0)):
        doubt.note(index, Note(value, frozenset()))
    for factor, value in ((1, 90.0), (2, 500.0)):
        change = Change("tlb_flush_ns", factor, 3 - factor)
        doubt.take(doubt_rerun(change), value)
    none, eager = doubt.ranges()
    assert none[:3] == (1, 1, 100 / 90) and none.ratio_high_by == "tlb_flush_ns x1/2"
    assert eager == (2, 1, 5, "tlb_flush_ns x1/2", "tlb_flush_ns x2")
    assert [row["ratio"] for _, row in doubt.runs()] == [1, 5]


def doubt_rerun(change):
    from lazynuma.engine.study.uncertainty import Rerun

    return Rerun(change, 1, None)


def test_killed_jobs_are_not_compared():
    study, bare = small("none"), Bare(0)
    bare.spent = np.zeros((1, len(Cause)), np.int64)
    for kills, compared in ((0, 5), (1, float("nan"))):
        note = note_of(study, bare, {"run_time_ns": 5, "oom_kills": kills})
        np.testing.assert_equal(note.compared, compared)


@pytest.fixture(scope="module")
def ranged(tmp_path_factory):
    """A study with its rows, its announced runs and its file."""
    path = tmp_path_factory.mktemp("uncertainty") / "run.h5"
    study, runs = small("none", "eager", "lazy_migcache", "hinting"), []
    rows = run_study(study, output=path, uncertainty=runs.extend)
    return study, rows, runs, path


def test_what_is_left_out_changes_nothing(ranged):
    """The other half of the promise: a cost that is not paid does not matter."""
    study, rows, runs, _ = ranged
    again = {run.name for run in runs}
    left = [
        replace(variant, name=name, costs=partial(scaled, change))
        for variant in study.variants
        for change in halved_and_doubled(uncertain_costs())
        if (name := f"{variant.name}, {change}") not in again
    ]
    assert left and again
    times = {row["mechanism"]: row["run_time_ns"] for row in rows}
    for row in run_study(replace(study, variants=tuple(left))):
        usual = times[row["mechanism"].partition(", ")[0]]
        assert abs(row["run_time_ns"] - usual) <= 2 * LEAST * usual, row["mechanism"]


def test_the_usual_rows_stay_as_they_are(ranged):
    study, rows, _, _ = ranged
    for got, want in zip(rows, run_study(study), strict=True):
        for key in want.keys() - {"wall_s"}:
            np.testing.assert_array_equal(got[key], want[key], key)


def test_eager_hangs_on_flushes(ranged):
    row = {one["mechanism"]: one for one in ranged[1]}
    assert row["hinting"]["ratio"] == 1
    assert row["eager"]["ratio_high_by"] == "tlb_flush_cpu_ns x2"
    assert (
        row["eager"]["ratio_low"] < row["eager"]["ratio"] < row["eager"]["ratio_high"]
    )
    assert row["none"]["ratio_high_by"] != "tlb_flush_cpu_ns x2"


def test_the_file_has_the_runs_and_the_ranges(ranged):
    study, rows, runs, path = ranged
    with RunFile(path) as file:
        tables = file.records
        changed, spans = tables["uncertainty"], tables["ratios"]
        assert changed["cost"].size == len(runs)
        assert set(changed["factor"]) == {0.5, 2}
        assert spans["ratio_high"].tolist() == [row["ratio_high"] for row in rows]
        assert spans["variant"].tolist() == list(range(len(study.variants)))
        assert file.epochs["variant"].max() == len(study.variants) - 1


def test_info_gives_the_ranges_by_the_variants_names(ranged):
    _, rows, _, path = ranged
    found = describe(path)["ratios"]
    assert [one["mechanism"] for one in found] == [row["mechanism"] for row in rows]
    for one, row in zip(found, rows, strict=True):
        assert {key: row[key] for key in one} == one
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_document_lists_what_the_file_has():
    text = (ROOT / "docs" / "format.md").read_text("utf-8")
    section = text[text.index("## Uncertainty") : text.index("## Snapshots")]
    for records in (RUNS, RANGES):
        assert f"`/{records.name}`, dimension `{records.dimension}`" in section
        for field in records.fields:
            dtype = "text" if field.dtype.startswith("S") else field.dtype
            assert f"| `{field.name}` | {dtype} | {field.unit} |" in section


def test_the_table_says_whether_the_best_stays_the_best(ranged):
    study, rows, _, _ = ranged
    shown = ratio_ranges(study, rows)
    assert "No change of one cost makes another one the best." in shown
    assert max(map(len, shown.splitlines())) <= 80
    rows = [row | {"ratio_low": 1.0} for row in rows]
    assert "makes these the best: none (" in ratio_ranges(study, rows)
    nothing = [row | {"ratio": NAN} for row in rows]
    assert ratio_ranges(study, nothing).startswith("No variant")


def test_the_command_says_how_many_runs_there_are(capsys):
    line = "run mechanisms --set memory=64MiB --set mechanisms=none,eager --uncertainty"
    assert main(line.split()) == 0
    out, err = capsys.readouterr()
    assert "2 variants, then at most 44 runs with changed costs" in err
    assert "runs with a cost halved or doubled" in err
    assert "Ranges, if each cost" in out and "tlb_flush_cpu x2" in out


def test_json_has_the_ranges(capsys):
    line = "run mechanisms --set memory=64MiB --set mechanisms=none,eager --json"
    assert main([*line.split(), "--uncertainty"]) == 0
    none, eager = json.loads(capsys.readouterr().out)["rows"]
    assert none["ratio"] == 1 and eager["ratio_high"] > eager["ratio"] > 1
    assert eager["ratio_high_by"] == "tlb_flush_cpu_ns x2"


def test_the_ranking_of_penalties_is_varied_by_itself():
    study = penalties.build(penalties.Parameters(memory=64 * MIB, ranking=128 * MIB))
    assert isinstance(study, Study)
    usual = [v.name for v in study.variants if v.costs is None]
    assert len(usual) == 16 + 5 and usual[-1] == "as is, hinting"
    assert {study.work_of(name) for name in usual} == {*penalties.WORKLOADS, "ranking"}

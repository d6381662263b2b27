"""Variants side by side: the same file and rows, and what a worker's end costs."""

import os
import shutil
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from common.side_studies import Backwards, make
from common.studies import study_of
from lazynuma.engine.errors import BadInput, SimulationError
from lazynuma.engine.output.reader import RunFile, RunState
from lazynuma.engine.run import run_study
from lazynuma.engine.running.in_worker import packed, unpacked
from lazynuma.engine.running.line import Switchboard, call
from lazynuma.engine.study import host_limits
from lazynuma.engine.study.replicas import middle, rank_of_replicas, spread

NAMES = ("a", "b", "c")


def run(*names, output=None, **options):
    made = partial(make, *names)
    return run_study(made(), output=output, make=made, **options)


def datasets(path):
    """Return all datasets that two equal runs share, by name."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and name.split("/")[0] not in LEFT_OUT:
            attributes = {key: str(value) for key, value in item.attrs.items()}
            for key in ("REFERENCE_LIST", "DIMENSION_LIST"):
                attributes.pop(key, None)
            found[name] = item[()], item.chunks, item.maxshape, attributes

    with h5py.File(path) as file:
        file.visititems(visit)
        assert file["run/state"][()] == RunState.DONE
    return found


LEFT_OUT = ("run", "runtime")


def assert_equal_files(one, other):
    ours, theirs = datasets(one), datasets(other)
    assert list(ours) == list(theirs)
    for name, (values, *rest) in ours.items():
        np.testing.assert_array_equal(values, theirs[name][0], name)
        assert rest == list(theirs[name][1:]), name


def without_time(rows):
    return [
        {key: np.nan_to_num(value, nan=-1).tolist() for key, value in row.items()}
        | {"wall_s": 0, "seen": row["seen"]}
        for row in ({"seen": None} | row for row in rows)
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The file and the rows of a run in one process."""
    path = tmp_path_factory.mktemp("alone") / "run.h5"
    return path, run(*NAMES, output=path)


# --- the same results -----------------------------------------------------------------


def test_processes_write_the_file_that_one_process_writes(alone, tmp_path):
    path, rows = alone
    began = []
    found = run(
        *NAMES,
        output=tmp_path / "run.h5",
        jobs=2,
        progress=lambda variant, accesses, now: began.append((variant.name, accesses)),
    )
    assert without_time(found) == without_time(rows)
    assert [row["seen"] for row in found] == [["a", 6], ["b", 7], ["c", 8]]
    assert all(row["wall_s"] > 0 for row in found)
    assert_equal_files(path, tmp_path / "run.h5")
    assert sorted(os.listdir(tmp_path)) == ["run.h5"]
    assert {name for name, _ in began} == set(NAMES)


def test_rows_that_come_backwards_are_put_in_order(alone, tmp_path):
    path, rows = alone
    found = run(*NAMES, output=tmp_path / "run.h5", jobs=Backwards(3))
    assert without_time(found) == without_time(rows)
    assert_equal_files(path, tmp_path / "run.h5")
    with RunFile(tmp_path / "run.h5") as file:
        assert file.epochs.rows > 6 and file.snapshots.rows > 2
        assert len(set(file.records["notes"]["variant"])) == 3


def test_relations_are_in_the_file_and_in_the_rows(alone):
    path, rows = alone
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    with RunFile(path) as file:
        assert file.summary["share"].tolist() == [row["share"] for row in rows]


def test_a_study_that_can_travel_needs_no_make(alone):
    study = make(*NAMES)
    rows = run_study(study, jobs=ThreadPoolExecutor(2))
    assert without_time(rows) == without_time(alone[1])


def test_a_study_that_cannot_travel_is_refused_before_there_is_a_file(tmp_path):
    study = study_of("a", "b")  # its steps are a lambda
    with pytest.raises(BadInput, match="make must be a function of a module"):
        run_study(study, jobs=2, output=tmp_path / "run.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("made", [partial(make, "a", "x"), partial(int, 7)])
def test_another_study_is_refused(made):
    with pytest.raises(SimulationError, match="make must return"):
        run_study(make("a", "b"), jobs=ThreadPoolExecutor(2), make=made)


@pytest.mark.parametrize("jobs", [0, -1, True, 1.5, "2"])
def test_jobs_must_be_a_number_or_an_executor(jobs):
    with pytest.raises(BadInput, match="jobs must be an integer of at least 1"):
        run("a", "b", jobs=jobs)


def test_one_run_needs_no_worker(monkeypatch):
    monkeypatch.setattr("lazynuma.engine.run.Processes", None)
    assert len(run("a", jobs=4)) == 1


def test_variants_that_do_not_fit_together_wait(monkeypatch):
    each = host_limits.memory_needed(make("a").variants[0])
    monkeypatch.setattr(host_limits, "memory_available", lambda: 2.5 * each)
    variants = make(*"abcd").variants
    assert host_limits.most_at_once(variants, 4, 4) == 2
    assert host_limits.most_at_once(variants[:1], 3, 9) == 2
    assert host_limits.most_at_once(variants, 1, 4) == 1
    monkeypatch.setattr(host_limits, "memory_available", lambda: 0.5 * each)
    with pytest.raises(BadInput, match="host memory must hold about"):
        run("a", "b", jobs=2)


MPI = """
from functools import partial
from mpi4py.futures import MPIPoolExecutor
from common.side_studies import Backwards, make
from lazynuma.engine.run import run_study

if __name__ == "__main__":
    made = partial(make, "a", "b", "c")
    with MPIPoolExecutor() as executor:
        run_study(made(), output="run.h5", jobs=executor, make=made)
"""


def test_mpi_runs_the_variants(alone, tmp_path):
    pytest.importorskip("mpi4py")
    beside = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    mpiexec = shutil.which("mpiexec", path=beside)
    if mpiexec is None:
        pytest.skip("there is no mpiexec")
    (tmp_path / "it.py").write_text(MPI)
    subprocess.run(
        [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures", "it.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        check=True,
        timeout=300,
    )
    assert_equal_files(alone[0], tmp_path / "run.h5")


# --- what goes wrong ------------------------------------------------------------------


def test_a_worker_that_dies_costs_its_variant_alone(tmp_path):
    path = tmp_path / "run.h5"
    with pytest.raises(SimulationError, match="1 of 3 runs .*killed.*: dies$"):
        run("a", "dies", "c", output=path, jobs=2)
    with RunFile(path) as file:
        assert file.state == RunState.FAILED
        times = file.summary["run_time_ns"]
        assert (times[[0, 2]] > 0).all() and times[1] == -1
        notes = file.records["notes"]
        assert np.bincount(notes["variant"], minlength=3).tolist() == [6, 1, 8]


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("divides", ZeroDivisionError, "integer division"),
        ("refuses", SimulationError, "steps must make sense, got none"),
        ("odd", SimulationError, "Odd: one and two"),
    ],
)
def test_what_steps_raise_ends_the_run(name, kind, says, tmp_path):
    path = tmp_path / "run.h5"
    with pytest.raises(kind, match=says) as caught:
        run("a", name, output=path, jobs=ThreadPoolExecutor(2))
    trace = (caught.value.__cause__ or caught.value).__traceback__
    assert "act" in [frame.name for frame in traceback.extract_tb(trace)]
    with RunFile(path) as file:
        assert file.state == RunState.FAILED


def test_errors_keep_their_place():
    def fails():
        raise KeyError("x")

    try:
        fails()
    except KeyError as error:
        found = unpacked(packed(error))
    assert type(found) is KeyError and found.args == ("x",)
    assert traceback.extract_tb(found.__traceback__)[-1].name == "fails"


def test_warnings_arrive():
    with pytest.warns(UserWarning, match="nearly nothing"):
        run("warns", "a", jobs=2)


def test_what_interrupts_the_run_ends_its_processes(tmp_path):
    class Enough(BaseException):
        pass

    seen = []

    def progress(variant, accesses, now_ns):
        seen.append(variant.name)
        if "sleeps" in seen and seen.count("sleeps") > 3:
            raise Enough

    begin = time.monotonic()
    with pytest.raises(Enough):
        run("sleeps", "a", output=tmp_path / "run.h5", jobs=2, progress=progress)
    assert time.monotonic() - begin < 50
    with RunFile(tmp_path / "run.h5") as file:
        assert file.state == RunState.STOPPED


def test_strangers_are_not_listened_to():
    board = Switchboard(local=True)
    try:
        with pytest.raises(OSError, match="run must answer"):
            call(board.address._replace(key=b"guessed"), 0)
        assert board.messages.empty()
    finally:
        board.close()


# --- replicas -------------------------------------------------------------------------


def test_replicas_have_medians_and_all_rows(tmp_path):
    path, three = tmp_path / "run.h5", (5, 6, 7)
    each = [run(*NAMES, seed=seed) for seed in three]
    rows = run(*NAMES, seed=three, output=path)
    for index, row in enumerate(rows):
        of_seeds = [one[index] for one in each]
        assert [one["seed"] for one in row["replicas"]] == list(three)
        for name in ("run_time_ns", "local_fraction", "share", "faults"):
            values = [one[name] for one in of_seeds]
            assert [one[name] for one in row["replicas"]] == values
            assert row[name] == sorted(values)[1]
            assert spread(name, row) == (min(values), max(values))
    with RunFile(path) as file:
        replicas = file.replicas
        assert replicas["seed"].tolist() == [5, 6, 7]
        want = [[one["run_time_ns"] for one in row["replicas"]] for row in rows]
        assert replicas["run_time_ns"].tolist() == want
        assert replicas["share"].tolist() == [
            [one["share"] for one in row["replicas"]] for row in rows
        ]
        assert file.summary["run_time_ns"].tolist() == [r["run_time_ns"] for r in rows]
        assert file.attributes["seeds"].tolist() == [5, 6, 7]
        assert file.attributes["seed"] == 5
        assert "replicas" not in file.records


def test_replicas_side_by_side_are_the_same(tmp_path):
    one, two = tmp_path / "one.h5", tmp_path / "two.h5"
    run(*NAMES, seed=range(2), output=one)
    run(*NAMES, seed=range(2), output=two, jobs=Backwards(6))
    assert_equal_files(one, two)


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_must_differ(seeds):
    with pytest.raises(BadInput, match="seeds must be different integers"):
        run("a", seed=seeds)


def test_seeds_and_uncertainty_are_refused():
    with pytest.raises(BadInput, match="seeds must be one with uncertainty, got 2"):
        run("a", seed=(1, 2), uncertainty=lambda variants: None)


def test_the_middle_is_a_value_that_was_there_and_never_is_most():
    columns = make("a").columns
    share = [column for column in columns if column.name == "share"]
    nan = float("nan")
    for values, want in (((3, 1, 2), 2), ((4, 1, 2, 3), 2), ((nan, 1, 5), 5)):
        assert middle(share, [{"share": value} for value in values])["share"] == want
    assert np.isnan(middle(share, [{"share": v} for v in (nan, nan, 1)])["share"])


def ranked(study, *times):
    """Return rows whose replicas took these times."""
    rows = [
        {
            "mechanism": variant.name,
            "replicas": [{"mechanism": variant.name, "run_time_ns": t} for t in of],
        }
        for variant, of in zip(study.variants, times, strict=True)
    ]
    return [
        row | {"run_time_ns": sorted(t)[1]} for row, t in zip(rows, times, strict=True)
    ]


def test_the_rank_counts_the_seeds_that_agree():
    study = make("a", "b")
    says = partial(rank_of_replicas, study)
    assert says(ranked(study, (10, 10, 10), (20, 9, 20))) == (
        "This order holds with 2 of 3 seeds."
    )
    # A difference of a hundredth is none.
    assert "with 3 of 3 seeds" in says(
        ranked(study, (1000, 1000, 1000), (2000, 995, 2000))
    )
    assert says(ranked(study, (1000, 1001, 999), (1000, 1005, 1000))) == (
        "No order of 3 seeds: all are equal within 1 %."
    )
    most = replace(study, compared="local_fraction")
    assert rank_of_replicas(most, ranked(study, (1, 1, 1), (2, 2, 2))) == ""

"""Rows of one run's file are copied into a new one: those that checkpoints know."""

import shutil
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from common.run_files import NODES, counters, process, writer
from lazynuma.engine.errors import BadInput
from lazynuma.engine.output.kept_rows import copy_rows
from lazynuma.engine.output.reader import RunFile, RunState
from lazynuma.engine.output.writer import RunWriter
from lazynuma.engine.study.columns import Field, Records
from lazynuma.kernels.counters import Vm

STEPS = Records("steps", "step", "steps of it", (Field("text", "1", "said", "S9"),))


def tell(file: RunWriter, variant: int, number: int) -> None:
    """Write rows of a variant that tell its number, in every table."""
    blocks = np.full(3 + number, number % NODES, np.int8)
    file.event(variant, number, "wedged", 2, 1, 10 * variant + number)
    file.snapshot(variant, number, 1, blocks, blocks)
    file.record(variant, number, "steps", {"text": f"v{variant} {number}"})
    processes = [process(0), process(1)][: 1 + variant]
    file.epoch(variant, number, counters(10 * variant + number), processes)


#: All rows of each variant of a file that ``mixed`` writes.
ALL = {"epochs": 4, "events": 4, "snapshots": 4, "steps": 4}
WHOLE = [ALL | {"processes": 4}, ALL | {"processes": 8}]


def mixed(path: Path, state: RunState = RunState.DONE) -> None:
    """Write a file in which the rows of two variants take turns."""
    file = writer(path, records=[STEPS])
    for number in range(4):
        for variant in (1, 0):
            tell(file, variant, number)
    file.close(state)


def copied(old: Path, new: Path, kept: list) -> None:
    with RunFile(old, alive=False) as source:
        fill = partial(copy_rows, source, kept=kept)
        file = writer(new, records=[STEPS], fill=fill)
    file.event(0, 99, "wedged", 0, 0, 99)  # it goes on as an ordinary one
    file.close(RunState.DONE)


def test_rows_come_in_the_order_of_the_variants(tmp_path):
    mixed(tmp_path / "old.h5")
    copied(tmp_path / "old.h5", tmp_path / "new.h5", [{}, WHOLE[1]])
    copied(tmp_path / "old.h5", tmp_path / "both.h5", WHOLE)
    with h5py.File(tmp_path / "both.h5") as file:
        assert file["events/value"][:].tolist() == [0, 1, 2, 3, 10, 11, 12, 13, 99]
        assert file["epochs/variant"][:].tolist() == [0] * 4 + [1] * 4
        expected = [counters(n)[:, Vm.PGFAULT] for n in (0, 1, 2, 3, 10, 11, 12, 13)]
        assert (file["epochs/pgfault"][:] == expected).all()
        by_epoch = [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7]
        assert file["processes/epoch"][:].tolist() == by_epoch
        assert file["run/epochs_done"][()] == 8
    with RunFile(tmp_path / "both.h5") as file:
        assert [file.placement(n).tolist() for n in (3, 5)] == [[0] * 6, [1] * 4]
        assert file.records["steps"]["text"].tolist()[3:5] == ["v0 3", "v1 0"]
    with RunFile(tmp_path / "new.h5") as file:
        assert file.epochs["variant"].tolist() == [1] * 4
        assert file.events["variant"].tolist() == [1] * 4 + [0]


def test_first_rows_of_a_variant_are_kept_alone(tmp_path):
    mixed(tmp_path / "old.h5")
    kept = {"epochs": 2, "processes": 4, "events": 3, "snapshots": 1}
    copied(tmp_path / "old.h5", tmp_path / "new.h5", [WHOLE[0], kept])
    with RunFile(tmp_path / "new.h5") as file:
        assert file.epochs["variant"].tolist() == [0] * 4 + [1] * 2
        assert file.processes["epoch"].tolist() == [0, 1, 2, 3, 4, 4, 5, 5]
        assert file.events["value"].tolist() == [0, 1, 2, 3, 10, 11, 12, 99]
        assert file.snapshots["variant"].tolist() == [0] * 4 + [1]
        assert file.records["steps"].rows == 4


def test_rows_that_are_not_there_are_refused(tmp_path):
    mixed(tmp_path / "old.h5")
    with pytest.raises(BadInput, match="got 4 of 5 rows of epochs in"):
        copied(tmp_path / "old.h5", tmp_path / "new.h5", [{}, {"epochs": 5}])
    assert [one.name for one in tmp_path.iterdir()] == ["old.h5"]


def test_file_of_another_shape_is_refused(tmp_path):
    mixed(tmp_path / "old.h5")
    with RunFile(tmp_path / "old.h5") as source:
        fill = partial(copy_rows, source, kept=WHOLE)
        with pytest.raises(BadInput, match="file must be of this run"):
            writer(tmp_path / "new.h5", records=[STEPS], nodes=NODES + 1, fill=fill)
    assert [one.name for one in tmp_path.iterdir()] == ["old.h5"]


def test_file_of_a_killed_writer_is_copied(tmp_path):
    """Its SWMR flags are set, and the rows of its last epoch may be half there."""
    file = writer(tmp_path / "live.h5", records=[STEPS])
    for number in range(4):
        for variant in (1, 0):
            tell(file, variant, number)
    file.flush()
    shutil.copy(tmp_path / "live.h5", tmp_path / "old.h5")
    file.close(RunState.DONE)
    copied(tmp_path / "old.h5", tmp_path / "new.h5", [WHOLE[0], {}])
    with RunFile(tmp_path / "new.h5") as file:
        assert file.epochs["variant"].tolist() == [0] * 4


def test_long_tables_are_copied_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("lazynuma.engine.output.kept_rows._STEP", 1)
    file = writer(tmp_path / "old.h5", records=[STEPS])
    for number in range(700):
        for variant in (1, 0):
            file.event(variant, number, "wedged", 2, 1, number)
    file.close(RunState.DONE)
    copied(tmp_path / "old.h5", tmp_path / "new.h5", [{"events": 700}] * 2)
    with RunFile(tmp_path / "new.h5") as file:
        assert file.events["value"].tolist() == [*range(700), *range(700), 99]

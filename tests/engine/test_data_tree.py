"""``open_run``: a file as labelled arrays, whoever writes it and however it ended."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from common.run_files import counters, process, writer
from lazynuma.engine import BadInput, open_run
from lazynuma.engine.observer import NodeUse
from lazynuma.engine.output.reader import RunFile, RunState
from lazynuma.engine.study.columns import SUMMARY
from lazynuma.kernels.counters import Refusal, Vm
from lazynuma.scenarios.script.records import RECORDS

DATA = Path(__file__).parents[1] / "data"
VARIANTS = ["none", "zurück", "hinting"]
#: The third variant has nodes that the first lacks.
NUMBERS = [(0, 2), (0, 2, 8), (2, 8)]
ROW = {c.name: range(len(Refusal)) if c.by_reason else 5 for c in SUMMARY}
SECOND = 10**9


def use(nodes: int) -> NodeUse:
    n = np.arange(nodes)
    links = n[:, None] * 10 + n
    return NodeUse(n + 100, n + 200, n / 4, links, links / 8)


def write(path: Path, **changes) -> Path:
    """Write six epochs of two variants in turn, as side by side; the third is late."""
    attributes = {
        "seed": 7,
        "settings": json.dumps({"common": {"machine": "4s"}, "variants": {}}),
        "parameters": json.dumps({"memory": 1 << 30, "thp": {"enabled": "never"}}),
    }
    options = {"variants": VARIANTS, "nodes": NUMBERS, "records": RECORDS}
    file = writer(path, **(options | {"attributes": attributes} | changes))
    for i in range(6):
        variant = i % 2
        nodes = len(NUMBERS[variant])
        row = process(i) | {"pages": np.arange(nodes) + i}
        when = (i // 2 + 1) * SECOND
        file.epoch(variant, when, counters(i, nodes), [row], use=use(nodes))
    file.event(1, 2 * SECOND, "oom_kill", 2, -1, 3)
    blocks = np.array([0, 1, -1], np.int8)
    file.snapshot(0, SECOND, 0, blocks, blocks + 1)
    file.snapshot(1, SECOND, 0, blocks[:2], blocks[:2] + 1)
    file.record(1, 5, "kills", {"line": 4, "process": "é", "signal": 9})
    file.summary(0, ROW | {"converged_ns": float("nan")})
    file.summary(1, ROW | {"run_time_ns": 3 * SECOND})
    file.close(RunState.DONE)
    return path


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return open_run(write(tmp_path_factory.mktemp("tree") / "run.h5"))


def test_every_group_is_there_and_the_tree_is_shown(tree):
    groups = {"summary", "runtime", "run", "epochs", "processes", "events", "snapshots"}
    assert set(tree.children) == groups | {one.name for one in RECORDS}
    assert "epochs" in tree._repr_html_()


def test_attributes_are_parsed(tree):
    assert tree.attrs["settings"]["common"] == {"machine": "4s"}
    assert tree.attrs["parameters"]["thp"] == {"enabled": "never"}
    assert (tree.attrs["seed"], tree.attrs["state"]) == (7, "done")
    assert tree.attrs["version"] == [2, 0]


def test_the_summary_has_names_and_nothing_is_minus_one(tree):
    summary = tree["summary"]
    assert summary.mechanism.values.tolist() == VARIANTS
    assert summary.run_time_ns.values.tolist()[:2] == [5, 3 * SECOND]
    assert np.isnan(summary.run_time_ns.sel(mechanism="hinting"))
    assert np.isnan(summary.converged_ns.sel(mechanism="none"))
    assert (
        summary.pages_refused_by.sel(mechanism="none", reason="two_stage")
        == Refusal.TWO_STAGE
    )
    assert summary.faults.attrs["units"] == "event"
    assert tree["run"].state.item() == "done"


@pytest.mark.parametrize("name", ["variant", "mechanism"])
def test_epochs_are_chosen_by_the_name_of_a_variant(tree, name):
    mine = tree["epochs"].dataset.sel({name: "zurück"})
    assert mine.time.values.tolist() == [1, 2, 3]
    assert mine.time.attrs["units"] == "s"
    assert mine.epoch.values.tolist() == [1, 3, 5]
    assert (mine.pgfault.values == counters(0)[:, 0] + [[1], [3], [5]]).all()
    other = tree["epochs"].pages_used.sel({name: "none"})
    assert np.isnan(other.sel(node=8)).all()
    assert other.sel(node=2).values.tolist() == [201, 201, 201]
    assert tree["epochs"].bytes.sel({name: "none"}).sel(cpu_node=2, node=0).sum() == 30


def test_a_variant_with_one_row_keeps_its_rows_and_one_without_is_an_error(tree):
    one = tree["snapshots"].dataset.sel(variant="none")
    assert dict(one.sizes) == {"snapshot": 1, "block": 3}
    both = tree["epochs"].dataset.sel(variant=["none", "zurück"])
    assert both.sizes["epoch"] == 6
    with pytest.raises(KeyError, match="eager"):
        tree["epochs"].dataset.sel(variant="eager")


def test_all_epochs_are_summed_by_variant(tree):
    by = tree["epochs"].accesses_local.sum("node").groupby("variant").sum()
    assert by.sel(variant="none") == sum(
        counters(i, 2)[:, Vm.ACCESSES_LOCAL].sum() for i in (0, 2, 4)
    )


def test_tables_have_their_texts_flags_and_blocks(tree):
    processes = tree["processes"].dataset
    assert processes.sel(variant="none").process.values.tolist() == [0, 2, 4]
    assert "name" in processes.coords and processes.name.values[1].startswith("rank 1")
    events = tree["events"].dataset
    assert events.kind.values.tolist() == ["oom_kill"]
    assert events.variant.values.tolist() == ["zurück"]
    snapshots = tree["snapshots"].dataset
    assert snapshots.block_node.values.tolist() == [[0, 2, -1], [0, 2, -1]]
    assert snapshots.block_kind.values.tolist() == [[1, 2, 0], [1, 2, -1]]
    assert tree["kills"].dataset.process.values.tolist() == ["é"]


def test_tables_without_rows_have_their_nodes(tmp_path):
    writer(tmp_path / "run.h5", nodes=NUMBERS, variants=VARIANTS).close(RunState.DONE)
    tree = open_run(tmp_path / "run.h5")
    assert tree["epochs"].pgfault.shape == (0, 3)
    assert tree["epochs"].node.values.tolist() == [0, 2, 8]
    with RunFile(tmp_path / "run.h5") as file:
        assert file.epochs["node"].tolist() == [0, 2, 8]


def test_two_dimensions_each_have_their_names(tmp_path):
    names = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    dimension = ("workload", "policy")
    file = writer(tmp_path / "run.h5", dimension=dimension, variants=names)
    for variant in range(4):
        file.epoch(variant, SECOND, counters(variant), [])
        file.summary(variant, ROW | {"faults": variant})
    file.close(RunState.DONE)
    tree = open_run(tmp_path / "run.h5")
    assert tree["summary"].faults.sel(workload="b", policy="x") == 2
    epochs = tree["epochs"].dataset
    assert epochs.sel(policy="y").epoch.values.tolist() == [1, 3]
    assert epochs.sel(variant="b, x").epoch.values.tolist() == [2]
    assert "policy" in tree["processes"].data_vars  # a process's own keeps its name


def test_only_the_groups_that_are_asked_for_are_read(tmp_path):
    path = write(tmp_path / "run.h5")
    assert set(open_run(path, ["summary"]).children) == {"summary"}
    with pytest.raises(BadInput, match="group must be one of .*, got 'epoch'"):
        open_run(path, ["epoch"])


def test_a_file_of_format_1_has_names_and_nothing_is_minus_one(tmp_path):
    path = tmp_path / "old.h5"
    path.write_bytes(gzip.decompress((DATA / "format-1.0.h5.gz").read_bytes()))
    tree = open_run(path)
    assert tree["summary"].oom_kills.values[0] == 5
    assert np.isnan(tree["summary"].oom_kills.values[1])
    mine = tree["epochs"].dataset.sel(variant="none")
    assert mine.time_ns.values.tolist() == [0, 10, 20, 30, 40]
    assert tree["processes"].accesses_local.values.tolist() == [13] * 10


def test_a_tree_can_be_written_by_xarray(tree, tmp_path):
    epochs = tree["epochs"].to_dataset()
    epochs.to_netcdf(tmp_path / "epochs.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "epochs.nc", engine="h5netcdf") as again:
        assert again.pgfault.sum() == epochs.pgfault.sum()


WRITE = """
import sys, time
import numpy as np
from lazynuma.engine import RunWriter, SUMMARY
from lazynuma.kernels.counters import Vm

file = RunWriter(
    sys.argv[1], title="t", attributes={}, nodes=2, dimension="mechanism",
    variants=["none", "eager"], columns=SUMMARY,
)
epoch = 0
while True:
    file.epoch(0, (epoch + 1) * 10**9, np.full((2, len(Vm)), epoch), [])
    epoch += 1
    if epoch % 8 == 0:
        file.flush()
        print(epoch, flush=True)
        time.sleep(0.01)
"""


@pytest.fixture
def running(tmp_path):
    """Return (path, process) of a writer that has written 8 epochs at least."""
    path = tmp_path / "run.h5"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "8\n"
    yield path, process
    process.kill()
    process.wait()
    process.stdout.close()


def check(tree, least: int) -> int:
    """Check that every row is whole; return how many there are."""
    rows = tree["epochs"].pgfault.values
    assert len(rows) >= least
    assert (rows == np.arange(len(rows))[:, None]).all()
    return len(rows)


def test_a_live_file_opens_and_its_writer_goes_on(running):
    path, process = running
    first = open_run(path)
    rows = check(first, 8)
    assert first.attrs["state"] == "running"
    time.sleep(0.3)
    assert check(open_run(path), rows + 1) > rows
    assert check(first, rows) == rows  # what was read stays as it is
    assert process.poll() is None
    held = {os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.exists()}
    assert not any(str(path) in one for one in held)


def test_a_killed_file_opens(running):
    path, process = running
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    written = int(process.stdout.read().split()[-1])
    process.wait()
    with pytest.raises(OSError):
        h5py.File(path, "r")
    tree = open_run(path)
    check(tree, written)
    assert tree.attrs["state"] == "killed"
    assert np.isnan(tree["summary"].run_time_ns.values).all()


def test_without_xarray_one_line_says_what_to_install(tmp_path, monkeypatch):
    path = write(tmp_path / "run.h5")
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(BadInput, match=r"pip install 'lazynuma\[xarray\]'"):
        open_run(path)


def test_what_is_no_run_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="must"):
        open_run(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(BadInput, match="must"):
        open_run(tmp_path / "text.h5")

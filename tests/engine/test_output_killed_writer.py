"""A run's file while a real process writes it, and after kill -9."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from lazynuma.engine.errors import BadInput
from lazynuma.engine.output.describe import describe
from lazynuma.engine.output.reader import RunFile, RunState
from lazynuma.engine.output.recovery import recover

SWMR = {"driver_kwds": {"swmr": True}}
WRITE = """
import sys, time
import numpy as np
from lazynuma.engine import RunWriter
from lazynuma.engine import SUMMARY
from lazynuma.kernels.counters import Refusal, Vm

file = RunWriter(
    sys.argv[1], title="t", attributes={}, nodes=2, dimension="mechanism",
    variants=["none", "eager"], columns=SUMMARY,
)
row = {c.name: range(len(Refusal)) if c.by_reason else 3 for c in SUMMARY}
file.summary(0, row)
epoch = 0
while True:
    file.epoch(0, epoch, np.full((2, len(Vm)), epoch), [])
    epoch += 1
    if epoch % 64 == 0:
        file.event(0, epoch, "fork", 0, 1, 2)
        file.flush()
        print(epoch, flush=True)
        time.sleep(0.01)
"""


@pytest.fixture
def running(tmp_path):
    """Return (path, process) of a writer that has written 64 epochs at least."""
    path = tmp_path / "run.h5"
    command = [sys.executable, "-c", WRITE, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "64\n"
    yield path, process
    process.kill()
    process.wait()
    process.stdout.close()


def kill(process: subprocess.Popen) -> int:
    """Kill -9 the writer; return how many epochs it said it had written."""
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    lines = process.stdout.read().split()
    assert process.wait() == -signal.SIGKILL
    return int(lines[-1])


def epochs_of(path: Path, **options) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf", group="epochs", **options) as dataset:
        return dataset.load()


def check(epochs: xr.Dataset, least: int) -> None:
    """Check that every complete row, ``least`` of them at least, is right."""
    complete = epochs.epoch.values
    complete = complete[complete >= 0]
    assert len(complete) >= least
    assert (complete == np.arange(len(complete))).all()
    assert (epochs.pgfault.values[: len(complete)] == complete[:, None]).all()


def test_a_live_file_opens(running):
    path, process = running
    check(epochs_of(path, **SWMR), 64)
    with RunFile(path) as file:
        before = file.epochs.rows
        time.sleep(0.2)
        assert file.epochs.rows > before >= 64
        assert len(file.epochs["numa_hit"]) > before
        assert file.state is RunState.RUNNING
        assert file.summary["faults"].tolist() == [3, -1]
    assert describe(path)["state"] == "running"
    assert process.poll() is None


def test_recover_is_refused_while_the_writer_lives(running):
    path, process = running
    with pytest.raises(BadInput, match="must not be in use"):
        recover(path)
    process.send_signal(signal.SIGSTOP)  # alive, though it does nothing
    with pytest.raises(BadInput, match="must not be in use"):
        recover(path)
    check(epochs_of(path, **SWMR), 64)


def test_a_killed_file_opens_and_recovers(running):
    path, process = running
    written = kill(process)
    with pytest.raises(OSError):
        h5py.File(path, "r")
    check(epochs_of(path, **SWMR), written)
    with RunFile(path) as file:
        assert file.epochs.rows >= written
        assert file.events.rows >= written // 64
    assert describe(path)["state"].startswith("killed")

    recover(path)
    check(epochs_of(path), written)
    with h5py.File(path, "r+") as file:
        assert file["run/epochs_done"][()] >= written
    recover(path)  # once more does no harm
    assert [p.name for p in path.parent.iterdir()] == ["run.h5"]

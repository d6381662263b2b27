"""Kill runs at any moment, half of them while the file is created or closed.

    python tests/kills.py --count 64 --seed 1

After each kill there is no file, or one that opens while it is marked as written
(SWMR), recovers, and then opens in every reader with whole rows; with ``--force`` there
is the old file or such a new one, never none.  The next run of the same ``-o`` leaves
one file.  What breaks this is printed with its folder, and the exit status is 1.
"""

import argparse
import contextlib
import io
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from common.run_files import NODES, counters, process, writer
from lazynuma.engine import run as runner
from lazynuma.engine.output.reader import RunFile, RunState
from lazynuma.engine.output.recovery import recover
from lazynuma.kernels.counters import Vm
from lazynuma.scenarios import cli

#: Where a run is killed: after which mark, and how often of four times.
MODES = ("random", "creating", "writing", "closing")
_COORDINATES = {
    "epochs": "epoch",
    "processes": "row",
    "events": "event",
    "snapshots": "snapshot",
}
#: Epochs of a run: it takes about a second.
EPOCHS = 700
SCENARIO = f'''\
"""Rows come for about a second."""
import time
from dataclasses import dataclass
import numpy as np
from common.run_files import NODES, counters, process
from lazynuma.engine import *
from lazynuma.engine.output.run_tables import IDLE


@dataclass(frozen=True)
class Parameters:
    epochs: int = {EPOCHS}


def build(parameters):
    machine = uniform(NODES, 1 << 28)

    def steps(simulation):
        tell = simulation.observer
        blocks = np.zeros(5000, np.int8)
        for epoch in range(parameters.epochs):
            rows = [process(0), process(1)]
            tell.epoch(epoch, counters(epoch), rows, IDLE, None)
            if epoch % 50 == 0:
                tell.event(epoch, "wedged", 2, 1, 99)
                tell.snapshot(epoch, 1, blocks[: 10 * epoch], blocks[: 10 * epoch])
                time.sleep(0.02)

    variant = Variant("none", machine, Settings(), steps, 0, 0)
    return Study("Does it last?", "mechanism", (variant,), SUMMARY)
'''


class Kill(NamedTuple):
    """One kill: the mode, whether a file was to be replaced, and what was found."""

    mode: str
    force: bool
    found: str
    wrong: str


class _Marked(runner.RunWriter):
    """A writer that says on a pipe what it is about to do."""

    pipe = -1

    def __init__(self, *arguments, **options) -> None:
        os.write(self.pipe, b"c")
        super().__init__(*arguments, **options)
        os.write(self.pipe, b"w")

    def close(self, *how) -> None:
        os.write(self.pipe, b"e")
        super().close(*how)
        os.write(self.pipe, b"x")


def start(arguments: list[str]) -> tuple[int, int]:
    """Start a run in a fork; return its process and the pipe with its marks."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        os.close(reading)
        _Marked.pipe, runner.RunWriter = writing, _Marked
        os.dup2(os.open("said", os.O_CREAT | os.O_WRONLY), 1)
        os.dup2(1, 2)
        sys.argv = ["lazynuma", *arguments]
        cli.console()
    finally:
        os._exit(99)


def lengths(folder: Path) -> dict[str, float]:
    """Return how long creation, writing and closing take, and all of them."""
    os.chdir(folder)
    child, marks = start(["run", "mine.py", "-o", "whole.h5"])
    times = {"s": time.monotonic()}
    while mark := os.read(marks, 1).decode():
        times.setdefault(mark, time.monotonic())
    os.close(marks)
    assert os.waitpid(child, 0)[1] == 0, "the run must end if nobody kills it"
    return {
        "random": times["x"] - times["s"],
        "creating": times["w"] - times["c"],
        "writing": times["e"] - times["w"],
        "closing": times["x"] - times["e"],
    }


def kill_one(random: Random, mode: str, long: float, force: bool) -> None:
    """Run until a moment of the mode, and kill."""
    child, marks = start(["run", "mine.py", "-o", "out.h5", *["--force"] * force])
    wanted = {"random": "", "creating": "c", "writing": "w", "closing": "e"}[mode]
    while wanted and os.read(marks, 1).decode() not in (wanted, ""):
        pass
    # Most moments of interest are early: later ones are waits for the disk.
    time.sleep(random.random() ** 2 * 1.1 * long)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(marks)


def left(folder: Path) -> list[str]:
    """Return the names of what runs left in a folder."""
    return sorted({one.name for one in folder.iterdir()} - {"mine.py", "said"})


def look(path: Path, old: bytes) -> str:
    """Return what a kill left; raise AssertionError if that is not right."""
    names = left(path.parent)
    assert all(name.startswith(path.name) for name in names), names
    if not path.exists():
        assert not old, "the old file is lost"
        return "no file"
    if path.read_bytes() == old:
        return "the old file"
    with RunFile(path) as file:
        state, rows = file.state, file.epochs.rows
    if state is RunState.RUNNING:
        with h5py.File(path, "r", swmr=True) as file:
            assert file["epochs/epoch"].shape[0] == rows
    recover(path)
    with h5py.File(path, "r") as file:
        assert file["epochs/epoch"].shape[0] == rows == file["run/epochs_done"][()]
        for group, coordinate in _COORDINATES.items():
            check_group(file[group], coordinate)
        check_rows(file)
    return "a file that recovers" if state is RunState.RUNNING else "a closed file"


def check_group(group: h5py.Group, coordinate: str) -> None:
    """Check that all variables are as long as their coordinate."""
    rows = group[coordinate].shape[0]
    assert (group[coordinate][:] == np.arange(rows)).all()
    for name, one in group.items():
        if one.maxshape[0] is None and name != "block":
            assert one.shape[0] == rows, (group.name, name, one.shape, rows)


def check_rows(file: h5py.File) -> None:
    """Check that what was written is what was meant."""
    rows = min(file["epochs/epoch"].shape[0], EPOCHS)  # and an empty one at the end
    if rows:
        expected = [counters(epoch)[:, Vm.PGFAULT] for epoch in range(rows)]
        assert (file["epochs/pgfault"][:rows] == expected).all()
    assert file["processes/epoch"][:].tolist() == [e for e in range(rows) for _ in "ab"]


def kills(count: int, seed: int, keep: Path) -> Iterator[Kill]:
    """Kill ``count`` runs in folders below ``keep``."""
    old = keep / "old.h5"
    file = writer(old)
    file.epoch(0, 1, counters(0), [process(0)])
    file.close(RunState.DONE)
    (keep / "mine.py").write_text(SCENARIO)
    os.chdir(keep)
    with contextlib.redirect_stdout(io.StringIO()):
        assert cli.main(["run", "mine.py"]) == 0  # a fork has then all that it needs
    long = lengths(keep)
    for number in range(count):
        random, mode = Random(f"{seed} {number}"), MODES[number % len(MODES)]
        force = random.random() < 0.5
        folder = keep / f"{number:03d}-{mode}"
        folder.mkdir()
        os.chdir(folder)
        shutil.copy(keep / "mine.py", folder)
        if force:
            shutil.copy(old, "out.h5")
        kill_one(random, mode, long[mode], force)
        yield Kill(mode, force, *_judged(folder, old.read_bytes() if force else b""))
        os.chdir(keep)


def _judged(folder: Path, old: bytes) -> tuple[str, str]:
    """Return what was found after a kill, and what is wrong."""
    path = folder / "out.h5"
    shutil.copytree(folder, folder.with_suffix(".left"))
    try:
        found = look(path, old)
        writer(path, nodes=NODES, force=True).close(RunState.DONE)
        assert left(folder) == ["out.h5"], f"the next run leaves {left(folder)}"
    except Exception as error:
        return "wrong", f"{folder}.left: {type(error).__name__}: {error}"
    shutil.rmtree(folder.with_suffix(".left"))
    shutil.rmtree(folder)
    return found, ""


def main() -> int:
    """Kill as often as the command line says; print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    keep = Path(tempfile.mkdtemp(prefix="kills-"))
    counts: Counter = Counter()
    bad = 0
    for kill in kills(options.count, options.seed, keep):
        counts[kill.mode, kill.found] += 1
        if kill.wrong:
            bad += 1
            print(kill.wrong, flush=True)
    for (mode, found), number in sorted(counts.items()):
        print(f"{mode:10} {found:22} {number}")
    print(f"{options.count - bad} of {options.count} kills leave nothing, or a file")
    if not bad:
        shutil.rmtree(keep)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""Kill runs with checkpoints at any moment, go on with them, and look at the end.

    python tests/resumed_kills.py --count 30 --seed 1

Each run is killed several times: at a random moment, at or after one of its operations
on files (between a rename and the fsync that follows, say), or while a checkpoint is
saved.  Each time it goes on with ``--resume``.  In the end its file must be equal to
that of the unbroken run in every dataset but those of /run and /runtime, and nothing
may lie beside it.  What breaks this is printed with its folder, and the exit status
is 1.
"""

import argparse
import contextlib
import io
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import forkserver
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import h5py

sys.path.insert(0, str(Path(__file__).parent))

from same_results import PROVENANCE, SCRIPTS, compare_files

from lazynuma.engine.checkpoint import checkpoint_file
from lazynuma.scenarios import cli

IGNORED = (*PROVENANCE, "threads", "run_id", "resumed")
MODES = ("moment", "operation", "saving")
#: Calls that change what a crash leaves of a file system.
_OPERATIONS = ("replace", "rename", "link", "unlink", "fsync", "mkdir")
_EVERY = ("--checkpoint-every", "20ms", "--resume")
#: A run's file, and what may be left beside it only while the run goes on.
_FILE = "out.h5"

_MECHANISMS = ("run", "mechanisms", "--set", "memory=64MiB", "--set", "epoch=2ms")
#: What is run: short, but of many quanta, calls, variants and tables.
RUNS = {
    "mechanisms": _MECHANISMS,
    "snapshots": (
        *("run", "thp_unit", "--set", "memory=128MiB", "--set", "epoch=5ms"),
        *("--set", "snapshots=0.005,0.01,0.02"),
    ),
    "uncertainty": (*_MECHANISMS, "--set", "mechanisms=none,hinting", "--uncertainty"),
    "seeds": (*_MECHANISMS, "--set", "mechanisms=none,hinting", "--seeds", "2"),
    "jobs": (*_MECHANISMS, "--set", "mechanisms=none,hinting", "--jobs", "2"),
    "script": ("replay", str(SCRIPTS / "balance-100.mm")),
}


class Story(NamedTuple):
    """One run that was killed and went on.

    kills    how often it was killed
    resumed  how often its file says that it went on
    wrong    what was not as it should be, empty if nothing
    """

    name: str
    kills: int
    resumed: int
    wrong: str


def _start(arguments: Sequence[str], prepare: Callable[[], None]) -> int:
    """Start a run in a fork, after ``prepare()``; return its process."""
    child = os.fork()
    if child:
        return child
    try:
        said = os.open("said", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        forkserver._forkserver.__init__()  # that of our parent is no child of ours
        prepare()
        sys.argv = ["lazynuma", *arguments]
        cli.console()
    finally:
        os._exit(99)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _count_operations(number: int, after: bool, counted: Callable[[int], None]) -> None:
    """Let this process die at the operation of that number, before it or after."""
    seen = iter(range(1, 1 << 30))

    def counting(operation: Callable) -> Callable:
        def call(*arguments: Any, **named: Any) -> Any:
            now = next(seen)
            counted(now)
            if now == number and not after:
                _die()
            result = operation(*arguments, **named)
            if now == number:
                _die()
            return result

        return call

    for name in _OPERATIONS:
        setattr(os, name, counting(getattr(os, name)))


def _die_while_saving(number: int, delay_s: float) -> None:
    """Let this process die a while after a checkpoint begins to be saved."""
    seen, write = iter(range(1, 1 << 30)), checkpoint_file.write

    def saving(*arguments: Any) -> None:
        if next(seen) == number:
            threading.Timer(delay_s, _die).start()
        write(*arguments)

    checkpoint_file.write = saving


def _kill(random: Random, arguments: Sequence[str], long: "Length") -> bool:
    """Run until a random moment; return whether the run was killed before its end."""
    mode = random.choice(MODES)
    if mode == "operation":
        number, after = random.randint(1, long.operations), random.random() < 0.5
        child = _start(
            arguments, lambda: _count_operations(number, after, lambda now: None)
        )
    elif mode == "saving":
        number, delay_s = random.randint(1, 6), 0.03 * random.random() ** 2
        child = _start(arguments, lambda: _die_while_saving(number, delay_s))
    else:
        child = _start(arguments, lambda: None)
        time.sleep(random.random() * long.seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return True
    code = os.WEXITSTATUS(status)
    assert code == 0, f"status {code}: {_last_line()}"
    return False


def _last_line() -> str:
    return Path("said").read_text().strip().rpartition("\n")[2]


class Length(NamedTuple):
    """How long a run is: in seconds, and in operations on files."""

    seconds: float
    operations: int


def _measured(arguments: Sequence[str]) -> Length:
    """Run to the end with checkpoints, into ``long.h5``; return how long that is."""
    reading, writing = os.pipe()
    begin = time.monotonic()
    child = _start(
        [*arguments, "-o", "long.h5", *_EVERY],
        lambda: _count_operations(
            0, False, lambda now: os.write(writing, b".") or None
        ),
    )
    os.close(writing)
    with open(reading, "rb") as dots:
        operations = len(dots.read())
    assert os.waitpid(child, 0)[1] == 0, _last_line()
    return Length(time.monotonic() - begin, operations)


def story(random: Random, name: str, folder: Path, whole: Path, long: Length) -> Story:
    """Kill a run some times, let it end, and compare its file with ``whole``."""
    folder.mkdir()
    os.chdir(folder)
    arguments, kills, resumed = [*RUNS[name], "-o", _FILE, *_EVERY], 0, 0
    try:
        for _ in range(random.randint(2, 5)):
            kills += _kill(random, arguments, long)
        status = os.waitpid(_start(arguments, lambda: None), 0)[1]
        assert status == 0, f"status {status}: {_last_line()}"
        left = sorted({one.name for one in folder.iterdir()} - {"said"})
        assert left == [_FILE], f"{left} are left"
        difference = compare_files(whole, folder / _FILE, IGNORED)[1]
        assert not difference, difference
        with h5py.File(folder / _FILE) as file:
            resumed = int(file.attrs["resumed"])
    except Exception as error:
        return Story(name, kills, resumed, f"{folder}: {type(error).__name__}: {error}")
    finally:
        os.chdir(folder.parent)
    shutil.rmtree(folder)
    return Story(name, kills, resumed, "")


def stories(
    count: int, seed: int, keep: Path, names: Sequence[str] = tuple(RUNS)
) -> Iterator[Story]:
    """Kill ``count`` runs in folders below ``keep``, which stays if one is wrong."""
    os.chdir(keep)
    long = {}
    for name in names[:count]:
        (keep / f"whole-{name}").mkdir()
        os.chdir(keep / f"whole-{name}")
        with contextlib.redirect_stdout(io.StringIO()):
            # In this process: a fork has then all that it needs.
            assert cli.main([*RUNS[name], "-o", "whole.h5"]) == 0
        long[name] = _measured(RUNS[name])
        equal = compare_files(Path("whole.h5"), Path("long.h5"), IGNORED)[1]
        assert not equal, f"checkpoints change {name}: {equal}"
    for number in range(count):
        name = names[number % len(names)]
        folder = keep / f"{number:03d}-{name}"
        whole = keep / f"whole-{name}" / "whole.h5"
        yield story(Random(f"{seed} {number}"), name, folder, whole, long[name])


def main() -> int:
    """Kill as often as the command line says; print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    keep = Path(tempfile.mkdtemp(prefix="resumed-"))
    kills: Counter = Counter()
    resumed: Counter = Counter()
    bad = 0
    for one in stories(options.count, options.seed, keep):
        kills[one.name] += one.kills
        resumed[one.name] += one.resumed
        if one.wrong:
            bad += 1
            print(one.wrong, flush=True)
    for name, number in kills.items():
        print(f"{name:12} killed {number} times, went on {resumed[name]} times")
    print(f"{options.count - bad} of {options.count} runs end as the unbroken one")
    if not bad:
        shutil.rmtree(keep)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

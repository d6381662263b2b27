"""``lazynuma sweep``: run many points of a scenario, each into a file."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ....engine.errors import Later, SimulationError
from ..leaving import duration, hear, is_asked
from ..say import note, on_screen, warn
from ..signals import Stop, interruptible

if TYPE_CHECKING:
    from ...sweep.folder import Folder
    from ...sweep.points import Point, Sweep
    from ...sweep.work import Outcome

_STATES = ("done", "failed", "running", "waiting")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sweep, its folder, and how it is run."""
    parser.add_argument("sweep", metavar="SWEEP.toml", help="what is run (docs/hpc.md)")
    parser.add_argument(
        "-o", dest="output", metavar="DIR", required=True, help="folder of the points"
    )
    _add_workers(parser)
    parser.add_argument(
        "--threads",
        type=_count,
        metavar="N",
        help="threads of a process (default: the CPUs it may use, shared by the jobs)",
    )
    parser.add_argument(
        "--max-time",
        type=duration,
        metavar="TIME",
        help="save and leave points after that time, as 3.9h (default: before the end"
        " of the Slurm job, if it is one); if points are left: exit status 75",
    )
    parser.add_argument(
        "--checkpoint-every",
        type=duration,
        metavar="TIME",
        help="save each point so often, as 10min (default: only when it is left)",
    )
    parser.add_argument(
        "--rerun-failed", action="store_true", help="run points again that failed"
    )
    _add_instead(parser)


def _add_workers(parser: argparse.ArgumentParser) -> None:
    """Add who runs the points."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--jobs",
        type=_count,
        default=1,
        metavar="N",
        help="processes on this machine (default: 1)",
    )
    how.add_argument(
        "--task",
        type=_task,
        metavar="I/N",
        help="be task I, from 0, of N which share the folder, as in a job array",
    )
    how.add_argument(
        "--dask",
        metavar="SCHEDULER.json",
        help="the workers of a Dask cluster (pip install 'lazynuma[dask]')",
    )


def _add_instead(parser: argparse.ArgumentParser) -> None:
    """Add what is done instead of running points."""
    say = parser.add_mutually_exclusive_group()
    say.add_argument(
        "--status", action="store_true", help="say how far it is, and run nothing"
    )
    say.add_argument(
        "--dry-run",
        action="store_true",
        help="list the points with the memory and time they need, and run nothing",
    )
    say.add_argument(
        "--sbatch",
        type=_count,
        nargs="?",
        const=10,
        metavar="TASKS",
        help="print the script of a Slurm job array (default: 10 tasks)",
    )


def execute(options: argparse.Namespace) -> None:
    """Run the sweep, or say what it would be, or how far it is."""
    from ...sweep import points, sbatch

    sweep = points.read_sweep(options.sweep)
    if options.sbatch:
        tasks, threads = options.sbatch, options.threads or 1
        print(sbatch.sbatch(options.sweep, options.output, tasks, threads), end="")
    elif options.dry_run:
        interruptible(_dry_run, sweep, options)
    elif options.status:
        _status(_folder(options.output, sweep))
    else:
        hear()
        interruptible(_run, _folder(options.output, sweep), options)


def _folder(path: str, sweep: "Sweep") -> "Folder":
    from ...sweep.folder import Folder

    return Folder(Path(path), sweep)


def _run(stop: Stop, folder: "Folder", options: argparse.Namespace) -> None:
    """Run what is left of the sweep; raise SimulationError if points failed."""
    from tqdm import tqdm

    if options.rerun_failed:
        folder.forget_failures()
    points = _in_turn(folder.sweep.points, options.task or (0, 1))
    waiting = [one for one in points if folder.state(one) in ("waiting", "running")]
    with tqdm(total=len(waiting), unit=" points", disable=not on_screen()) as bar:
        for done, outcome in enumerate(_outcomes(folder, waiting, options), 1):
            stop.check()
            bar.update()
            if outcome.state == "failed":
                warn(_failed(outcome.number, outcome.message))
            elif bar.disable and outcome.state in ("done", "saved"):
                said = f"point {outcome.number} {outcome.state}"
                note(f"{said}, {done} of {len(waiting)}")
    _status(folder)
    _judge(folder)


def _outcomes(
    folder: "Folder", points: list["Point"], options: argparse.Namespace
) -> Iterator["Outcome"]:
    """Run points as the options say."""
    from ....engine.running.executors import Processes, dask
    from ....engine.running.time_limit import end_of_time
    from ....engine.study.host_limits import threads_of_host
    from ...sweep import work

    threads = options.threads or threads_of_host(options.jobs)
    ends = end_of_time(options.max_time)
    how = folder, points, work.Limits(threads, ends, options.checkpoint_every)
    if options.dask is not None:
        with dask(options.dask, retries=1) as executor:
            yield from work.submit(executor, *how, len(points), is_asked)
    elif options.jobs == 1:
        yield from work.one_by_one(*how, is_asked)
    else:
        with Processes() as processes:
            yield from work.submit(processes, *how, options.jobs, is_asked)


def _in_turn(points: tuple["Point", ...], task: tuple[int, int]) -> list["Point"]:
    """Return the points in an order of the task's own, so that tasks seldom meet."""
    number, of = task
    at = len(points) * number // of
    return [*points[at:], *points[:at]]


def _judge(folder: "Folder") -> None:
    """Raise Later if points are left, SimulationError if all have ended, not all well.

    Points that have failed must not keep a job array from those that are left.
    """
    states = [folder.state(point) for point in folder.sweep.points]
    left = states.count("waiting")
    if left:
        raise Later(f"{left} of {len(states)} points are left, for want of time")
    if "failed" in states:
        raise SimulationError(
            f"{states.count('failed')} of {len(states)} points failed"
            " (--rerun-failed runs them again)"
        )


def _status(folder: "Folder") -> None:
    """Print how many points are in each state, and why points failed."""
    points = folder.sweep.points
    states = [folder.state(point) for point in points]
    counts = ", ".join(f"{states.count(state)} {state}" for state in _STATES)
    print(f"{len(points)} points: {counts}")
    for point, state in zip(points, states, strict=True):
        if state == "failed":
            message = folder.note(point, "failed").get("message", "no reason noted")
            print(_failed(point.number, message))


def _failed(number: int, message: str) -> str:
    return f"point {number} failed: {message}"


def _dry_run(stop: Stop, sweep: "Sweep", options: argparse.Namespace) -> None:
    """Print the points, the memory and time of each, and the time of all."""
    from ....engine.settings.sizes import format_size
    from ....engine.study.host_limits import memory_needed, threads_of_host
    from ...sweep.work import study_of
    from ..needs import Times, pace_of, span, sum_of, time_needed

    threads = options.threads or threads_of_host(options.jobs)
    times: list[Times] = []
    for point in sweep.points:
        stop.check()
        study, _, costs = study_of(sweep, point)
        if not times:
            pace = pace_of(study, costs, threads, point.seed)
        times.append(time_needed(study, pace))
        memory = max(memory_needed(variant) for variant in study.variants)
        varied = " ".join(f"{key}={point.settings[key]}" for key in sweep.varied)
        print(
            f"{point.number:4}  seed {point.seed}  {format_size(memory):>10}"
            f"  {span(times[-1])}  {varied}"
        )
    print(f"{len(sweep.points)} points of {sweep.scenario}, into {options.output}")
    how = "a guess" if pace is None else "from a moment of the first point here"
    print(f"one after the other: {span(sum_of(times))} ({how})")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(
            f"must be an integer from 1 to 1024, got {text!r}"
        )
    return int(text)


def _task(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if not found or int(found[1]) >= int(found[2]):
        raise argparse.ArgumentTypeError(
            f"must be I/N with I from 0 to N - 1, got {text!r}"
        )
    return int(found[1]), int(found[2])

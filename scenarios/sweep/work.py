"""Run the points of a sweep: here, one after the other or side by side.

Several processes, on several hosts, may work in one folder: each takes what no other
has.  A process that is killed costs its point one more try, not the sweep.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from ...engine.errors import LazyNumaError
from ...engine.settings.costs import Costs
from ...engine.settings.parameters import fill
from ..cli.find import find_scenario
from ..cli.say import located
from ..common.typed import built, typed
from .folder import Folder
from .points import Point, Sweep

SecondsLeft = Callable[[], float]


class Outcome(NamedTuple):
    """How a point ended: ``done``, ``failed`` or ``left``, if another process has it.

    seconds  wall time that it took
    """

    number: int
    state: str
    seconds: float = 0.0
    message: str = ""


def study_of(sweep: Sweep, point: Point) -> Any:
    """Return (study, what was typed, costs) of a point."""
    module = find_scenario(sweep.scenario)
    given = typed(module, point.settings)
    return built(module, given), given, fill(Costs, given.costs, "cost.")


def run_point(folder: Folder, point: Point, threads: int) -> Outcome:
    """Take a point and run it into its file, if nobody else has it."""
    with folder.taken(point) as ours:
        if not ours:
            return Outcome(point.number, "left")
        begin = time.monotonic()
        try:
            _run(folder, point, threads)
        except (LazyNumaError, OSError) as error:
            message = str(error)
        except Exception as error:
            message = located(error)
        else:
            seconds = time.monotonic() - begin
            folder.finish(point, seconds)
            return Outcome(point.number, "done", seconds)
        seconds = time.monotonic() - begin
        folder.fail(point, message, seconds)
        return Outcome(point.number, "failed", seconds, message)


def _run(folder: Folder, point: Point, threads: int) -> None:
    from ...engine.run import run_study

    sweep = folder.sweep
    study, given, costs = study_of(sweep, point)
    run_study(
        study,
        output=folder.file(point),
        force=True,  # of a process that was killed
        seed=point.seed,
        threads=threads,
        costs=costs,
        provenance={
            "scenario": Path(sweep.scenario).stem,
            "parameters": json.dumps(given.described(), default=str),
            "sweep": sweep.digest,
            "point": json.dumps({key: point.settings[key] for key in sweep.varied}),
        },
    )


def one_by_one(
    folder: Folder, points: Iterable[Point], threads: int, left: SecondsLeft
) -> Iterator[Outcome]:
    """Run points in this process, while there is time for one as long as the longest.

    left  returns the seconds that are left
    """
    longest = 0.0
    for point in points:
        if left() < longest:
            return
        outcome = run_point(folder, point, threads)
        longest = max(longest, outcome.seconds)
        yield outcome


def submit(
    executor: Executor,
    folder: Folder,
    points: Iterable[Point],
    threads: int,
    left: SecondsLeft,
    most: int,
) -> Iterator[Outcome]:
    """Run points by any executor whose workers see the folder, ``most`` at a time.

    A point whose worker ended is tried once more.
    """
    where, longest = str(folder.path.resolve()), 0.0
    running: dict[Future, Point] = {}
    again: list[Point] = []
    fresh = iter(points)
    try:
        while True:
            while len(running) < most and left() >= longest:
                point = again.pop() if again else next(fresh, None)
                if point is None:
                    break
                future = executor.submit(_work, where, folder.sweep, point, threads)
                running[future] = point
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                point = running.pop(future)
                outcome = _outcome(folder, point, future)
                if outcome.state == "killed" and folder.state(point) == "waiting":
                    again.append(point)
                    continue
                longest = max(longest, outcome.seconds)
                yield outcome
    finally:
        for future in running:
            future.cancel()


def _outcome(folder: Folder, point: Point, future: Future) -> Outcome:
    """Return how a point ended; note it if its worker did not live to do so."""
    try:
        return future.result()
    except BrokenProcessPool:
        folder.lose(point)
        return Outcome(point.number, "killed")
    except Exception as error:  # the executor has given up
        message = f"its worker ended: {located(error)}"
        folder.fail(point, message, 0.0)
        return Outcome(point.number, "failed", 0.0, message)


def _work(where: str, sweep: Sweep, point: Point, threads: int) -> Outcome:
    """Run a point in a worker process."""
    return run_point(Folder(Path(where), sweep), point, threads)

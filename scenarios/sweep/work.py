"""Run the points of a sweep: here, one after the other or side by side.

Several processes, on several hosts, may work in one folder: each takes what no other
has.  A process that is killed costs its point one more try, not the sweep.
"""

import json
import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from ...engine.checkpoint.keeper import Suspended
from ...engine.errors import LazyNumaError
from ...engine.running.checkpoints import Finished, checkpoint_folder
from ...engine.running.executors import Processes
from ...engine.running.lasting import Lasting
from ...engine.settings.costs import Costs
from ...engine.settings.parameters import fill
from ..cli.find import find_scenario
from ..cli.leaving import hear, is_asked
from ..cli.say import located
from ..common.typed import built, typed
from .folder import Folder
from .points import Point, Sweep

#: How often a sweep looks whether it is to be left.
_POLL_S = 0.5


class Limits(NamedTuple):
    """What each process of a sweep has to keep to.

    threads  of each process
    ends     when points are saved and left, in seconds since the epoch
    every_s  seconds from one checkpoint of a point to the next; None: only at the end
    """

    threads: int = 1
    ends: float = math.inf
    every_s: float | None = None

    @property
    def saves(self) -> bool:
        """Whether points are saved: what is never left needs no checkpoints."""
        return self.every_s is not None or self.ends < math.inf

    @property
    def is_over(self) -> bool:
        """Whether no further point is to be taken."""
        return time.time() >= self.ends


class Outcome(NamedTuple):
    """How a point ended: ``done``, ``failed``, ``saved``, ``killed`` or ``left``.

    Saved ones go on later; those that are left are another process's.

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


def run_point(
    folder: Folder, point: Point, limits: Limits, asked: Callable[[], bool]
) -> Outcome:
    """Take a point and run it into its file, if nobody else has it.

    asked  tells whether it is to be saved and left now
    """
    with folder.taken(point) as ours:
        if not ours:
            return Outcome(point.number, "left")
        begin = time.monotonic()
        try:
            _run(folder, point, limits, asked)
        except Suspended:
            return Outcome(point.number, "saved", time.monotonic() - begin)
        except Finished:  # killed when it was done, and had not said so
            folder.finish(point, 0.0)
            return Outcome(point.number, "done")
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


def _run(
    folder: Folder, point: Point, limits: Limits, asked: Callable[[], bool]
) -> None:
    from ...engine.run import run_study

    sweep, path = folder.sweep, folder.file(point)
    study, given, costs = study_of(sweep, point)
    output: Path | Lasting = path
    if limits.saves or checkpoint_folder(path).exists():
        ends, every_s = limits.ends, limits.every_s
        output = Lasting(path, every_s, ends, asked, resume=True, replace=True)
    run_study(
        study,
        output=output,
        force=True,  # of a process that was killed
        seed=point.seed,
        threads=limits.threads,
        costs=costs,
        provenance={
            "scenario": Path(sweep.scenario).stem,
            "parameters": json.dumps(given.described(), default=str),
            "sweep": sweep.digest,
            "point": json.dumps({key: point.settings[key] for key in sweep.varied}),
        },
    )


def one_by_one(
    folder: Folder, points: Iterable[Point], limits: Limits, asked: Callable[[], bool]
) -> Iterator[Outcome]:
    """Run points in this process until its time is over: one at least.

    Otherwise a sweep whose processes begin late would never come to its end.
    """
    for point in points:
        outcome = run_point(folder, point, limits, asked)
        yield outcome
        if outcome.state != "left" and (asked() or limits.is_over):
            return


def submit(
    executor: Executor,
    folder: Folder,
    points: Iterable[Point],
    limits: Limits,
    most: int,
    asked: Callable[[], bool],
) -> Iterator[Outcome]:
    """Run points by any executor whose workers see the folder, ``most`` at a time.

    A point whose worker ended is tried once more.
    """
    where = str(folder.path.resolve())
    running: dict[Future, Point] = {}
    again: list[Point] = []
    fresh = iter(points)
    begun = told = False
    try:
        while True:
            while len(running) < most and not (begun and (asked() or limits.is_over)):
                point = again.pop() if again else next(fresh, None)
                if point is None:
                    break
                future = executor.submit(_work, where, folder.sweep, point, limits)
                running[future] = point
            if not running:
                return
            if asked() and not told and isinstance(executor, Processes):
                executor.send(signal.SIGUSR1)
                told = True
            for future in wait(running, _POLL_S, FIRST_COMPLETED).done:
                point = running.pop(future)
                outcome = _outcome(folder, point, future)
                if outcome.state == "killed" and folder.state(point) == "waiting":
                    again.append(point)
                    continue
                begun = begun or outcome.state != "left"
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


def _work(where: str, sweep: Sweep, point: Point, limits: Limits) -> Outcome:
    """Run a point in a worker process."""
    hear()
    return run_point(Folder(Path(where), sweep), point, limits, is_asked)

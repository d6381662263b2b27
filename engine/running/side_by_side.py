"""Units side by side: workers run them, this process alone hears and writes all."""

import pickle
import queue
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from typing import Any, NamedTuple

from ...kernels.jit.compiling import compiled
from ..checkpoint.keeper import Suspended
from ..errors import BadInput
from ..study.study import Study
from .executors import Processes
from .in_worker import LEAVE, Order, here, unpacked, work
from .line import Message, Switchboard, cut
from .run_variant import Setup
from .unit import Desk, Unit

#: How often workers are looked after if they say nothing.
_TICK_S = 0.05
#: How long the line of a worker that has died may seem to be there.
_GRACE_S = 5.0


class Workers(NamedTuple):
    """Who runs the units of a study.

    made      pickle of what makes the study
    executor  runs functions that are pickled
    most      units at once
    """

    made: bytes
    executor: Executor
    most: int


def pickled(make: Callable[[], Study] | None, study: Study) -> bytes:
    """Return the pickle of what makes a study in a worker; BadInput if there is none.

    make  returns the study; None: the study itself travels
    """
    try:
        return pickle.dumps(make or _Itself(study))
    except Exception as error:
        raise BadInput(
            "make must be a function of a module that returns the study, or jobs 1,"
            f" got what does not travel to another process ({error})"
        ) from error


class _Itself(NamedTuple):
    study: Study

    def __call__(self) -> Study:
        return self.study


def side_by_side(
    study: Study, units: Sequence[Unit], setup: Setup, workers: Workers, desk: Desk
) -> list[Unit]:
    """Run units by workers, the longest first; return those whose worker died.

    Raises what a unit raises, and what ``desk`` raises; then all are ended.  Raises
    ``Suspended`` if the run is to be left, once all units are.
    """
    crew = _Crew(study, setup, workers, desk)
    try:
        return crew.run(units)
    except BaseException:
        if isinstance(workers.executor, Processes):
            workers.executor.kill()
        raise
    finally:
        crew.close()


class _Crew:
    """The workers of one call of ``side_by_side``."""

    def __init__(
        self, study: Study, setup: Setup, workers: Workers, desk: Desk
    ) -> None:
        self._study, self._setup, self._workers = study, setup, workers
        self._desk, self._tell = desk, compiled.tell
        self._board = Switchboard(local=isinstance(workers.executor, Processes))
        self._names = tuple(variant.name for variant in study.variants)
        self._units: Sequence[Unit] = ()
        self._running: dict[int, Future] = {}
        self._begun: dict[int, int] = {}  # simulated ns of each unit that has a line
        self._over: set[int] = set()
        self._lost: list[Unit] = []
        self._died: dict[int, float] = {}
        self._looked = 0.0
        self._lines: dict[int, Any] = {}
        self._left = False

    def close(self) -> None:
        """Cut all lines, and take back what has not begun."""
        for future in self._running.values():
            future.cancel()
        self._board.close()

    def run(self, units: Sequence[Unit]) -> list[Unit]:
        self._units = units
        sizes = [self._study.variants[unit.index].accesses for unit in units]
        waiting = deque(sorted(range(len(units)), key=lambda number: -sizes[number]))
        while waiting or self._running:
            if waiting and self._is_over():
                waiting.clear()
                self._left = True
            while waiting and len(self._running) < self._workers.most:
                self._submit(waiting.popleft())
            with suppress(queue.Empty):
                self._hear(self._board.messages.get(timeout=_TICK_S))
            self._look()
        if self._left and not self._lost:
            raise Suspended
        return self._lost

    def _is_over(self) -> bool:
        """Tell whether the run is to be left; each one goes on a little at least."""
        checkpoints = self._desk.checkpoints
        return (
            checkpoints is not None
            and bool(self._begun)
            and checkpoints.lasting.is_over()
        )

    def _submit(self, number: int) -> None:
        checkpoints = self._desk.checkpoints
        order = Order(
            number,
            self._units[number],
            self._setup,
            self._workers.made,
            self._names,
            self._board.address,
            here(),
            None if checkpoints is None else checkpoints.order(self._units[number]),
        )
        self._running[number] = self._workers.executor.submit(work, order)

    # --- what workers say -------------------------------------------------------------

    def _hear(self, message: Message) -> None:
        """Do what a message of a worker asks for."""
        number, kind, values, line = message
        if kind == "hello":
            self._welcome(number, line)
        elif kind == "gone":
            self._lines.pop(number, None)
            self._lose(number)
        elif kind == "flush" and number not in self._over:
            self._flush(self._units[number], line)
        elif number not in self._over:
            getattr(self, f"_{kind}")(self._units[number], *values)

    def _welcome(self, number: int, line: Any) -> None:
        """Let a worker begin, unless its unit has begun before."""
        if number in self._begun or number in self._over:
            cut(line)
            return
        self._begun[number] = 0
        self._lines[number] = line
        with suppress(OSError):
            line.send("begin")

    def _row(self, unit: Unit, method: str, values: tuple[Any, ...]) -> None:
        put = self._desk.put(unit)
        if put is not None:
            put(method, values)

    def _progress(self, unit: Unit, accesses: int, now_ns: int) -> None:
        self._begun[self._units.index(unit)] = now_ns
        self._desk.progress(unit, accesses, now_ns)

    def _warning(self, _unit: Unit, text: str) -> None:
        warnings.warn(text, stacklevel=2)

    def _compiling(self, _unit: Unit, compiling: Any) -> None:
        self._tell(compiling)

    def _error(self, _unit: Unit, error: bytes) -> None:
        raise unpacked(error)

    def _flush(self, unit: Unit, line: Any) -> None:
        """Write all rows to disk; say how many there are of a unit."""
        checkpoints = self._desk.checkpoints
        assert checkpoints is not None  # or nobody would ask
        rows = checkpoints.flushed(unit)
        with suppress(OSError):
            line.send(rows)

    def _left_off(self, unit: Unit) -> None:
        self._over.add(self._units.index(unit))
        self._left = True

    def _end(self, unit: Unit, outcome: Any) -> None:
        number = self._units.index(unit)
        self._over.add(number)
        self._desk.end(unit, outcome)
        # Its process takes the next one at once, and not when it is looked after.
        if wait([self._running[number]], _TICK_S).done:
            del self._running[number]

    # --- workers that say nothing -----------------------------------------------------

    def _look(self) -> None:
        """Look now and then which workers are free, or dead; let the desk live."""
        now = time.monotonic()
        if now - self._looked < _TICK_S:
            return
        self._looked = now
        if self._is_over():
            for line in self._lines.values():
                with suppress(OSError):
                    line.send(LEAVE)
            self._lines.clear()
        for number, future in list(self._running.items()):
            if future.done():
                self._look_at(number, future, now)
        alive = [number for number in self._begun if number not in self._over]
        number = next(iter(alive or self._running), 0)
        self._desk.progress(self._units[number], 0, self._begun.get(number, 0))

    def _look_at(self, number: int, future: Future, now: float) -> None:
        """Free the place of a worker that is done; its last words may be on the way."""
        silent = number not in self._begun and future.exception() is not None
        since = self._died.setdefault(number, now)
        unheard = now - since > _GRACE_S and self._board.messages.empty()
        if silent or unheard:
            self._lose(number)
        if number in self._over:
            del self._running[number]

    def _lose(self, number: int) -> None:
        """Give a unit up whose worker has gone, unless it had ended."""
        if number not in self._over:
            self._over.add(number)
            self._lost.append(self._units[number])

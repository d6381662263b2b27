"""What a worker does: it makes the study again, runs one unit, and tells the run of it.

Steps are functions of functions, which do not travel; what makes the study does.
"""

import os
import pickle
import queue
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any

from tblib import pickling_support

from ...kernels.jit.compiling import Compiling, compiled
from ..checkpoint.keeper import Keeper, Suspended
from ..errors import BadInput, SimulationError
from ..study.host_limits import check_fits
from ..study.study import Study
from .checkpoints import KeeperOrder, held
from .lasting import When
from .line import Address, call, cut
from .row_observer import RowObserver
from .run_variant import Setup, run_kept, run_variant
from .unit import Unit

#: Progress is told no more often than that.
_TELL_S = 0.1
#: What is said to a worker that is to leave its unit.
LEAVE = "leave"


@dataclass(frozen=True)
class Order:
    """The work of a worker.

    made    pickle of a function without arguments that returns the study
    names   of its variants, which it must have
    home    the host and the process that wait for it
    keeper  makes what keeps its checkpoint, if it is kept
    """

    number: int
    unit: Unit
    setup: Setup
    made: bytes
    names: tuple[Any, ...]
    address: Address
    home: tuple[str, int]
    keeper: KeeperOrder | None = None


class CutOff(BaseException):
    """Nobody waits for this work any more."""


def here() -> tuple[str, int]:
    """Return the host and the number of this process."""
    return socket.gethostname(), os.getpid()


def work(order: Order) -> None:
    """Do an order; all that comes of it goes by the line, and nothing is raised.

    An order that nobody waits for is left.
    """
    try:
        line = call(order.address, order.number)
    except EOFError:
        return
    worker = _Worker(line)
    try:
        # A thread of the process that waits has its ears, too.
        with nullcontext() if order.home == here() else worker.heard():
            worker.tell("end", worker.run(order))
    except CutOff:
        pass
    except Suspended:
        with suppress(CutOff):
            worker.tell("left_off")
    except BaseException as error:
        with suppress(CutOff):
            worker.tell("error", packed(error))
    finally:
        worker.close()


@lru_cache(maxsize=1)
def _study(made: bytes) -> Study:
    """Return the study, made once in a process."""
    study = pickle.loads(made)()
    if not isinstance(study, Study):
        raise BadInput(f"make must return a Study, got {type(study).__name__}")
    return study


class _Worker:
    """One end of a line, as the thread that runs the unit uses it."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._told, self._served = 0.0, 0
        self._cut, self._leave = threading.Event(), threading.Event()
        self._answers: queue.SimpleQueue[dict[str, int] | None] = queue.SimpleQueue()
        threading.Thread(target=self._watch, daemon=True).start()

    def run(self, order: Order) -> Any:
        """Run the unit of an order; return its outcome."""
        study, unit = _study(order.made), order.unit
        if tuple(variant.name for variant in study.variants) != order.names:
            raise BadInput("make must return the study that is run, got another one")
        variant = unit.variant(study)
        if order.home[0] != here()[0]:
            check_fits(study, variant)
        put = self._row if unit.keeps else None
        setup = replace(order.setup, seed=unit.seed)
        observer = RowObserver(put, self._progress)
        if order.keeper is None:
            return run_variant(study, variant, setup, observer)
        with held(order.keeper.path):
            keeper = self._keeper(order.keeper)
            return run_kept(study, variant, setup, observer, keeper)

    def _keeper(self, order: KeeperOrder) -> Keeper:
        when = When(order.every_s, self._leave.is_set)
        return Keeper(order.path, order.identity, due=when.due, flushed=self._flushed)

    def _flushed(self) -> dict[str, int]:
        """Let the other end write all rows to disk; return how many there are."""
        self.tell("flush")
        rows = self._answers.get()
        if rows is None:
            raise CutOff
        return rows

    def tell(self, kind: str, *values: Any) -> None:
        """Send a message; raise CutOff if nobody takes it."""
        try:
            with self._lock:
                self._line.send((kind, values))
        except OSError as error:
            raise CutOff from error

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Send warnings, and what is compiled, to those who wait."""
        before: Callable[[Compiling], None] = compiled.tell
        compiled.tell = lambda compiling: self.tell("compiling", compiling)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                warnings.showwarning = self._warning
                yield
        finally:
            compiled.tell = before

    def close(self) -> None:
        """End the line."""
        cut(self._line)

    def _watch(self) -> None:
        """Hear answers, and when the run is to be left, until the line ends."""
        with suppress(EOFError, OSError):
            while (said := self._line.recv()) is not None:
                if said == LEAVE:
                    self._leave.set()
                else:
                    self._answers.put(said)
        self._cut.set()
        self._answers.put(None)

    def _row(self, method: str, values: tuple[Any, ...]) -> None:
        self.tell("row", method, values)

    def _progress(self, accesses: int, now_ns: int) -> None:
        if self._cut.is_set():
            raise CutOff
        self._served += accesses
        now = time.monotonic()
        if now - self._told >= _TELL_S:
            self._told = now
            self.tell("progress", self._served, now_ns)
            self._served = 0

    def _warning(self, message: Warning | str, *_: Any, **__: Any) -> None:
        self.tell("warning", str(message))


# --- errors ---------------------------------------------------------------------------


def packed(error: BaseException) -> bytes:
    """Return an error, and where it came from, as bytes."""
    pickling_support.install(error)
    try:
        found = pickle.dumps(error)
        pickle.loads(found)
    except Exception:  # of a class that does not travel
        text = f"{type(error).__name__}: {error}"
        stands = SimulationError(text).with_traceback(error.__traceback__)
        pickling_support.install(stands)
        found = pickle.dumps(stands)
    return found


def unpacked(found: bytes) -> BaseException:
    """Return the error that ``packed`` packed."""
    try:
        return pickle.loads(found)
    except Exception as error:
        return SimulationError(f"a worker failed, and so did its words: {error}")

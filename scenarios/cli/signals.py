"""Stop a run on Ctrl-C and SIGTERM."""

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, NoReturn

from ...engine.doors.running import what_runs

SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: How long a run may take to reach the next kernel call and to close its file.
_GRACE_S = 0.6
#: How long closing the file may take after that: on a slow disk it is left as it is.
_CLOSE_S = 1.0
#: The compiler recurses deeply, and ``ulimit -s unlimited`` leaves threads 2 MiB.
_STACK = 64 << 20


class Stopped(BaseException):
    """A signal has asked the run to end; ``signum`` is its number."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Stop:
    """What the waiting thread and the running thread share.

    signum  the signal that asked the run to end, None if none did
    close   closes the file of the run
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.close: Callable[[], None] = lambda: None

    def ask(self, signum: int, frame: object) -> None:
        """Handle a signal; only the first one counts."""
        if self.signum is None:
            self.signum = signum
            raise Stopped(signum)

    def check(self) -> None:
        """Raise Stopped in the running thread if the run shall end."""
        if self.signum is not None:
            raise Stopped(self.signum)

    def opened(self, close: Callable[[], None]) -> None:
        """Take the function that closes the file of the run."""
        self.close = close

    def leave(self, signum: int) -> NoReturn:
        """End the process, because the running thread does not come back."""
        closing = threading.Thread(target=self._close, daemon=True)
        closing.start()
        closing.join(_CLOSE_S)
        name = signal.Signals(signum).name
        os.write(2, f"lazynuma: stopped by {name}{_where()}\n".encode())
        os._exit(128 + signum)

    def _close(self) -> None:
        with suppress(Exception):  # a full disk: the process must end all the same
            self.close()


def _where() -> str:
    """Name the function of a user's file that did not return, if one runs."""
    running = what_runs()
    return f" in {running}, which must return, got an endless loop" if running else ""


def interruptible(work: Callable, *arguments: Any) -> Any:
    """Return ``work(stop, *arguments)``, done in a thread; raise Stopped at a signal.

    Python handles a signal in the main thread, and only between two calls of C code.
    The compiler may take half a minute, so it must not run in the main thread.
    """
    stop = Stop()
    threading.stack_size(_STACK)
    # First the thread: a signal that came while it starts would leave it behind.
    running = ThreadPoolExecutor(1).submit(work, stop, *arguments)
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    try:
        for signum in SIGNALS:
            signal.signal(signum, stop.ask)
        return running.result()
    except Stopped as asked:
        if not wait([running], _GRACE_S).done:
            stop.leave(asked.signum)
        if running.exception() is None:  # it had come to its end
            return running.result()
        raise
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)

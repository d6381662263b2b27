"""What runs work elsewhere: processes of this host, or the workers of a cluster.

Any ``concurrent.futures.Executor`` serves.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import Any

from ..errors import BadInput

#: How long a scheduler may take to answer.
_ANSWER_S = 25
#: What processes need, and load once.
_LOADED = f"{__package__}.in_worker"
#: Signals that end or move on a run: the process that started the others takes them.
_PARENTS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Processes(Executor):
    """Processes of this host, a pool for each, so that one which dies is alone.

    They end with the process that started them, and leave signals to it.  They are
    forked from a process that has loaded what all need and has no threads of its own:
    a hundred of them import Numba once.
    """

    def __init__(self) -> None:
        self._idle: list[ProcessPoolExecutor] = []
        self._all: list[ProcessPoolExecutor] = []
        self._context = _Forked()
        load_ahead()

    def submit(self, work: Callable, /, *arguments: Any, **named: Any) -> Future:
        """Run ``work`` in a process that is idle, or in a new one."""
        pool = self._idle.pop() if self._idle else self._new()
        future = pool.submit(work, *arguments, **named)
        future.add_done_callback(lambda done: self._back(pool, done))
        return future

    def _new(self) -> ProcessPoolExecutor:
        self._all.append(
            ProcessPoolExecutor(
                1,
                mp_context=self._context,
                initializer=_begin,
                initargs=(dict(os.environ),),
            )
        )
        return self._all[-1]

    def _back(self, pool: ProcessPoolExecutor, done: Future) -> None:
        if done.cancelled() or not isinstance(done.exception(), BrokenProcessPool):
            self._idle.append(pool)

    def kill(self) -> None:
        """End all processes at once, whatever they do."""
        self.send(signal.SIGKILL)

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to all processes."""
        for process in self._context.started:
            # It has ended, or not begun.
            with suppress(OSError, ValueError, AttributeError):
                if process.is_alive():
                    os.kill(process.pid, signum)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all processes, when they have done what they do."""
        for pool in self._all:
            pool.shutdown(wait, cancel_futures=cancel_futures)


class _Forked(ForkServerContext):
    """Forks each process from one that has no threads, and remembers the processes."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Any] = []

    def Process(self, *arguments: Any, **named: Any) -> Any:  # type: ignore[override]
        """Return a new process, as the module's own function of that name does."""
        self.started.append(super().Process(*arguments, **named))
        return self.started[-1]


def load_ahead() -> None:
    """Begin to load what processes need, if that has not begun; this takes no time.

    The process that does it never takes ``_PARENTS``, which may come to the whole
    group: without it the others would count as dead.
    """
    multiprocessing.set_forkserver_preload([_LOADED])
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PARENTS)
    try:
        resource_tracker.ensure_running()  # which lets some through in the end
        signal.pthread_sigmask(signal.SIG_BLOCK, _PARENTS)
        ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(environment: dict[str, str]) -> None:
    """Begin a process: it ends when the one that started it has, however it did."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _PARENTS)
    os.environ.update(environment)  # that of the process it was forked from is older
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is the child

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def dask(scheduler_file: str, retries: int = 0) -> Iterator[Executor]:
    """Give the executor of a Dask cluster.

    retries  how often Dask runs again what failed

    Raises BadInput if Dask is not installed, or no scheduler answers in 30 s.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise BadInput("--dask must have Dask: pip install 'lazynuma[dask]'") from error
    if not Path(scheduler_file).is_file():
        raise BadInput(f"--dask must be a scheduler file, got {scheduler_file}")
    try:
        client = Client(scheduler_file=scheduler_file, timeout=_ANSWER_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise BadInput(
            f"--dask must lead to a scheduler that answers, got {scheduler_file}:"
            f" {error}"
        ) from error
    with client:
        yield client.get_executor(pure=False, retries=retries)

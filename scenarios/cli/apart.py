"""Work on files that nobody vouches for: in a process of its own, within a time.

HDF5 may read a damaged file without end, or crash.
"""

import json
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Any, NoReturn, Protocol

from ...engine.errors import BadInput
from .signals import SIGNALS

#: The most time that it may take: for a file of any size, and for each 16 MiB of it.
LIMIT_S, PER_STEP_S = 10, 1
_STEP = 16 << 20


class At(Protocol):
    """Says which files are read now, and how long that may take."""

    def __call__(
        self, *paths: str, limit_s: int | None = None
    ) -> AbstractContextManager[None]: ...


def limit(path: str) -> int:
    """Return the most seconds that reading a file may take."""
    try:
        return LIMIT_S + os.stat(path).st_size // _STEP * PER_STEP_S
    except OSError:
        return LIMIT_S


def apart(
    work: Callable[..., str], path: str, debug: bool, limit_s: int | None = None
) -> str:
    """Return the text ``work(path)``; raise BadInput if it does, or does not end."""

    def of_one(at: At) -> str:
        with at(path, limit_s=limit_s):
            return work(path)

    return apart_each(of_one, debug)


def apart_each(work: Callable[[At], str], debug: bool) -> str:
    """Return the text ``work(at)``, which reads each file ``with at(path)``.

    Raises BadInput if it does; it names the file that was read if one has no end.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _work(work, writing)
    os.close(writing)
    with open(reading, encoding="utf-8") as answers:
        *_, last = map(json.loads, answers)
    os.waitpid(child, 0)
    if "limit_s" in last:
        raise BadInput(
            f"file must be whole, got {last['path']}, which could not be read in"
            f" {last['limit_s']} s"
        )
    if last["refusal"] and debug and last["trace"]:
        print(last["trace"], end="")
    if last["refusal"]:
        raise BadInput(last["refusal"])
    return last["text"]


def _work(work: Callable[[At], str], writing: int) -> NoReturn:
    """Do the work and end this process; a signal, or the time, ends it unheard."""
    for signum in (*SIGNALS, signal.SIGALRM):
        signal.signal(signum, signal.SIG_DFL)
    with open(writing, "w", encoding="utf-8") as answers:
        path = ""

        @contextmanager
        def at(*paths: str, limit_s: int | None = None) -> Iterator[None]:
            nonlocal path
            path, limit_s = " or ".join(paths), limit_s or sum(map(limit, paths))
            _say(answers, path=path, limit_s=limit_s)
            signal.alarm(limit_s)
            try:
                yield
            finally:
                signal.alarm(0)

        text, refusal, trace = "", "", ""
        try:
            with at("what was given"):
                pass  # so that there is something to name
            text = work(at)
        except BadInput as error:
            refusal, trace = str(error), traceback.format_exc()
        except BaseException:
            refusal = f"file must be one that lazynuma wrote, and whole, got {path}"
            trace = traceback.format_exc()
        _say(answers, text=text, refusal=refusal, trace=trace)
    os._exit(0)


def _say(answers: IO[str], **what: Any) -> None:
    """Write a line for the process that waits."""
    print(json.dumps(what), file=answers, flush=True)

"""Work on a file that nobody vouches for: in a process of its own, within a time.

HDF5 may read a damaged file without end, or crash.
"""

import json
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from ...engine.errors import BadInput
from .signals import SIGNALS

#: The most time that it may take: for a file of any size, and for each 16 MiB of it.
LIMIT_S, PER_STEP_S = 10, 1
_STEP = 16 << 20


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
    limit_s = limit_s or limit(path)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _work(work, path, writing, limit_s)
    os.close(writing)
    with open(reading, encoding="utf-8") as answers:
        answer = answers.read()
    os.waitpid(child, 0)
    if not answer:
        raise BadInput(
            f"file must be whole, got {path}, which could not be read in {limit_s} s"
        )
    text, refusal, trace = json.loads(answer)
    if refusal and debug and trace:
        print(trace, end="")
    if refusal:
        raise BadInput(refusal)
    return text


def _work(work: Callable[..., str], path: str, writing: int, limit_s: int) -> NoReturn:
    """Do the work and end this process; a signal, or the time, ends it unheard."""
    for signum in (*SIGNALS, signal.SIGALRM):
        signal.signal(signum, signal.SIG_DFL)
    signal.alarm(limit_s)
    try:
        answer: tuple[Any, ...] = (work(path), "", "")
    except BadInput as error:
        answer = ("", str(error), traceback.format_exc())
    except BaseException:
        refusal = f"file must be one that lazynuma wrote, and whole, got {path}"
        answer = ("", refusal, traceback.format_exc())
    with open(writing, "w", encoding="utf-8") as answers:
        json.dump(answer, answers)
    os._exit(0)

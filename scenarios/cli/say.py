"""What the command line says on stderr."""

import os
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...engine.errors import BadInput, LazyNumaError, printable
from ...kernels.jit.cache_dir import CacheRefused
from .signals import Stopped

#: What the names of modules begin with that are scenarios of a user's own.
OWN = "scenario_"


@dataclass
class _Voice:
    """How much is said: -1 errors alone (``-q``), 0, or 1 what is done too (``-v``)."""

    level: int = 0


voice = _Voice()


def on_screen() -> bool:
    """Whether stderr is a screen on which a line can be printed over."""
    return voice.level >= 0 and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def note(message: str) -> None:
    """Print a line, unless ``-q`` was given."""
    if voice.level >= 0:
        fail(0, message)


def detail(message: str) -> None:
    """Print a line if ``-v`` was given."""
    if voice.level > 0:
        fail(0, message)


def located(error: BaseException) -> str:
    """Return what went wrong in a user's file, and in which line of it."""
    what = f"{type(error).__name__}: {error}"
    place = own_place(error)
    return f"{what} ({place})" if place and not isinstance(error, SyntaxError) else what


def own_place(error: BaseException | None) -> str:
    """Return the last line of a user's file that led to an error, empty for none."""
    place = ""
    while error is not None and not place:
        for frame, line in traceback.walk_tb(error.__traceback__):
            if str(frame.f_globals.get("__name__")).startswith(OWN):
                place = f"{Path(frame.f_code.co_filename).name}, line {line}"
        error = error.__cause__
    return place


def _is_own(error: BaseException) -> bool:
    """Whether a user's file raised an error itself."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    name = frames[-1].f_globals.get("__name__") if frames else ""
    return str(name).startswith(OWN)


def report(error: BaseException, debug: bool) -> int:
    """Say in one line what ended a command; return the exit status.

    2 for input that was refused, 1 for what failed, 130 and 143 for signals.
    """
    if debug and not isinstance(error, Stopped):
        traceback.print_exception(error)
    if isinstance(error, Stopped | KeyboardInterrupt):
        return stopped(getattr(error, "signum", signal.SIGINT))
    if isinstance(error, BrokenPipeError):  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    place = own_place(error)
    status = 2 if isinstance(error, BadInput | CacheRefused) else 1
    if isinstance(error, LazyNumaError | CacheRefused | OSError):
        ours = isinstance(error, OSError) and not _is_own(error)
        there = place and not ours and not _names(error, place)
        return fail(status, f"{error} ({place})" if there else str(error))
    if isinstance(error, MemoryError):
        return fail(1, "this host must have more memory for that, got no more")
    if _is_own(error):
        return fail(1, located(error))
    if place:
        return fail(
            2, f"{place}, must give lazynuma what it can use (--debug shows more)"
        )
    return fail(1, f"this is a fault of lazynuma, run with --debug: {_inside(error)}")


def _names(error: BaseException, place: str) -> bool:
    """Whether a message says itself in which line of a user's file that was."""
    file = place.partition(",")[0]
    return place in str(error) or f"{file}:" in str(error)


def _inside(error: BaseException) -> str:
    """Return where the package failed."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}"


def warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning in one line; stands in for ``warnings.showwarning``."""
    note(f"warning: {message}")


def fail(status: int, message: str) -> int:
    """Print a message in one line and return ``status``."""
    print(f"lazynuma: {printable(' '.join(message.split()))}", file=sys.stderr)
    return status


def stopped(signum: int) -> int:
    """Print that a signal ended the run; return the exit status."""
    return fail(128 + signum, f"stopped by {signal.Signals(signum).name}")

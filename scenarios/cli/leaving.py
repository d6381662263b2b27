"""Runs that one can leave: their options, the signal, and how to go on with them."""

import argparse
import hashlib
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ...engine.errors import BadInput, Later, printable
from ...engine.settings.durations import parse_duration

if TYPE_CHECKING:
    from ...engine.running.lasting import Lasting

_OPTIONS = ("--checkpoint-every", "--max-time", "--resume")
#: Set by SIGUSR1: the run is to be left.
_asked = threading.Event()


def add_leaving_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run that is left, and goes on later."""
    parser.add_argument(
        "--checkpoint-every",
        type=duration,
        metavar="TIME",
        help="save the run so often, as 10min, beside FILE.h5",
    )
    parser.add_argument(
        "--max-time",
        type=duration,
        metavar="TIME",
        help="save and leave the run after that time, as 3.9h (default: before the end"
        " of the Slurm job, if it is one): exit status 75",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run of FILE.h5, or begin it",
    )


def duration(text: str) -> float:
    """Return the seconds of an option such as ``3.9h`` or ``10min``."""
    if not re.search(r"[a-z]$", text):
        raise argparse.ArgumentTypeError(
            f"must be a time with its unit, such as 3.9h or 10min, got {text!r}"
        )
    try:
        return parse_duration(text, "it") / 1e9
    except BadInput as error:
        message = str(error).removeprefix("it ")
        raise argparse.ArgumentTypeError(message) from error


def is_leavable(options: argparse.Namespace) -> bool:
    """Tell whether a run can be left: whether any of its options was given."""
    given = (options.checkpoint_every, options.max_time)
    return options.resume or any(one is not None for one in given)


def listen(arguments: Sequence[str]) -> None:
    """Let SIGUSR1 ask a run to be left from now on, if one of the options is there."""
    words = {word.partition("=")[0] for word in arguments}
    if words & set(_OPTIONS):
        signal.signal(signal.SIGUSR1, _ask)


def hear() -> None:
    """Let SIGUSR1 ask the run of a worker to be left: workers are born deaf to it.

    Those that run in threads, as Dask's do, stay so.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR1, _ask)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})


def is_asked() -> bool:
    """Tell whether SIGUSR1 has asked a run to be left."""
    return _asked.is_set()


def _ask(signum: int, frame: object) -> None:
    _asked.set()


def check_leaving(options: argparse.Namespace) -> None:
    """Raise BadInput if options contradict each other."""
    if not is_leavable(options):
        return
    for name in _OPTIONS:
        value = getattr(options, name.strip("-").replace("-", "_"))
        if options.output is None and value not in (None, False):
            raise BadInput(f"{name} must go with -o FILE.h5, got none")
    if options.resume and options.force:
        raise BadInput("--resume must not go with --force, which begins anew")


def lasting(options: argparse.Namespace, module: ModuleType | None) -> "Lasting | None":
    """Return the output of a run that can be left, None if it cannot.

    module  of the scenario: what it says must be the same when the run goes on
    """
    if not is_leavable(options):
        return None
    from ...engine.running.lasting import Lasting
    from ...engine.running.time_limit import end_of_time

    return Lasting(
        path=options.output,
        every_s=options.checkpoint_every,
        ends=end_of_time(options.max_time),
        asked=_asked.is_set,
        resume=options.resume,
        identity={} if module is None else {"scenario's file": _digest(module)},
    )


def _digest(module: ModuleType) -> str:
    source = Path(str(module.__file__)).read_bytes()
    return hashlib.blake2b(source, digest_size=8).hexdigest()


@contextmanager
def leaving(options: argparse.Namespace) -> Iterator[None]:
    """Turn the end of a run that is left into ``Later``, which says how to go on."""
    if not is_leavable(options):
        yield
        return
    from ...engine.checkpoint.keeper import Suspended

    listen(_OPTIONS)
    try:
        yield
    except Suspended as error:
        why = "SIGUSR1" if _asked.is_set() else "its time is over"
        line = options.line if options.resume else f"{options.line} --resume"
        raise Later(
            f"the run is saved and left ({why}); it goes on with: {line}"
        ) from error
    finally:
        _asked.clear()


def say_finished(options: argparse.Namespace) -> None:
    """Print that there is nothing to go on with."""
    name = printable(options.output)
    print(f"the run of {name} is finished: lazynuma info {name} shows it")

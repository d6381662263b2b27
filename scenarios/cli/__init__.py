"""The command line: arguments in; a table, files and an exit status out.

It may import everything, and nothing else in the package prints.  Everything here is a
Python call first, such as ``engine.run.run_study``.

commands   the table of the commands, ``main``, and a file for each command
find       a scenario by its name or its file
execute    the options of a run, and the run itself
apart      work that is done in a process of its own, within a time
progress   what a run says while it goes on
signals    Ctrl-C and SIGTERM
streams    standard input, output and error, if they are closed or know no Unicode
say        lines on stderr
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["console", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` by default); return the exit status.

    Raises SystemExit for ``--help`` only.
    """
    from .commands import main

    return main(argv)


def console() -> NoReturn:
    """Run the command line of this process and end it: the script ``lazynuma``.

    A signal ends it at any time, while modules are imported and at the end, too.
    """
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _leave)
    try:
        status: object = main()
    except SystemExit as left:
        status = left.code or 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # nobody reads what is left
            status = status or 1
    # What Python would do now takes long, and prints a traceback if a signal comes.
    os._exit(status if isinstance(status, int) else 1)


def _leave(signum: int, frame: object) -> NoReturn:
    name = signal.Signals(signum).name
    os.write(2, f"lazynuma: stopped by {name}\n".encode())
    os._exit(128 + signum)

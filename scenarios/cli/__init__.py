"""The command line: arguments in; a table, files and an exit status out.

It may import everything, and nothing else in the package prints.  Everything here is a
Python call first, such as ``engine.run.run_study``.

commands   the table of the commands, ``main``, and a file for each command
find       a scenario by its name or its file
execute    the options of a run, and the run itself
progress   what a run says while it goes on
signals    Ctrl-C and SIGTERM
say        lines on stderr
"""

from .commands import main

__all__ = ["main"]

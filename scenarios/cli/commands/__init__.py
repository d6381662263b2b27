"""The commands of ``lazynuma``, one file for each; ``main`` finds and runs one.

A command is a module with ``add_arguments(parser)``, which says what the command takes,
and ``execute(options)``, which does it and raises what went wrong.  ``main`` turns
errors into one line on stderr and an exit status: 2 for input that was refused, 1 for a
run that failed, 130 and 143 for SIGINT and SIGTERM.

A command imports the engine inside its functions, so that ``--help`` is there at once.
"""

import argparse
import re
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from ....engine.errors import BadInput
from ....kernels.jit.compiling import compiled
from .. import streams
from ..compile_notice import CompileNotice
from ..say import fail, report, warn
from . import (
    list_scenarios,
    make_report,
    measure_costs,
    replay_file,
    run_scenario,
    show_info,
    sweep_points,
    warm_cache,
)

#: Name, module and help of each command, in the order of ``lazynuma --help``.
COMMANDS = (
    ("run", run_scenario, "run a scenario and show its table"),
    ("scenarios", list_scenarios, "list the scenarios and their parameters"),
    ("replay", replay_file, "run a recorded trace or a memory script"),
    ("sweep", sweep_points, "run many points of a scenario, each into a file"),
    ("info", show_info, "show what the file of a run holds"),
    ("report", make_report, "draw what runs came to on one page of HTML"),
    ("warm", warm_cache, "compile all kernels ahead, once for a kind of node"),
    ("calibrate", measure_costs, "measure what memory operations cost on this machine"),
)
_LIBRARIES = ("numpy", "numba", "h5py")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` by default); return the exit status.

    Raises SystemExit for ``--help`` only.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in arguments
    try:
        streams.prepare()
        options = _parser().parse_args(arguments)
        options.line = shlex.join(["lazynuma", *arguments])
        compiled.tell = CompileNotice()
        with warnings.catch_warnings():
            warnings.showwarning = warn
            options.execute(options)
        sys.stdout.flush()
    except SystemExit:
        raise
    except sweep_points.Later as error:
        return fail(sweep_points.LATER, str(error))
    except BaseException as error:
        return report(error, debug)
    return 0


def _parser() -> argparse.ArgumentParser:
    width = max(len(name) for name, _, _ in COMMANDS)
    rows = "\n".join(f"  {name:{width}}  {text}" for name, _, text in COMMANDS)
    parser = _Parser(
        prog="lazynuma",
        usage="%(prog)s [-h] [--version] COMMAND ...",
        description="Runs lazy page-migration mechanisms side by side on large NUMA"
        f" machines.\n\ncommands:\n{rows}",
        epilog="lazynuma COMMAND --help shows what a command takes.",
    )
    parser.set_defaults(execute=_version_or_refuse)
    parser.add_argument(
        "--version", action="store_true", help="show our version and the libraries'"
    )
    commands = parser.add_subparsers(
        prog="lazynuma", metavar="COMMAND", help=argparse.SUPPRESS
    )
    for name, module, text in COMMANDS:
        command = commands.add_parser(
            name,
            description=f"{text[0].upper()}{text[1:]}.",
            conflict_handler="resolve",  # a command may have a help of its own
        )
        command.set_defaults(execute=module.execute)
        module.add_arguments(command)
        command.add_argument(
            "--debug", action="store_true", help="show the traceback of what fails"
        )
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser that refuses in one line, as everything here does."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Help, **options)

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message} (see {self.prog} --help){_hint(message)}")


def _hint(message: str) -> str:
    """Return a hint at ``--set`` for an option that looks like a parameter."""
    found = re.fullmatch(r"unrecognized arguments: --([a-z_.]+)(?:=| )(\S+)", message)
    return f" (did you mean --set {found[1]}={found[2]}?)" if found else ""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help whose description keeps its lines."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


def _version_or_refuse(options: argparse.Namespace) -> None:
    from importlib.metadata import version

    if not options.version:
        raise BadInput("a command must be given, got none (see lazynuma --help)")
    python = ".".join(map(str, sys.version_info[:3]))
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    print(f"lazynuma {version('lazynuma')} (Python {python}, {libraries})")

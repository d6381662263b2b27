"""The commands of ``lazynuma``, one file for each; ``main`` finds and runs one.

A command is a module with ``add_arguments(parser)``, which says what the command takes,
and ``execute(options)``, which does it, raises what went wrong, and may return another
exit status than 0.  ``main`` turns errors into one line on stderr and an exit status: 2
for input that was refused, 1 for a run that failed, 130 and 143 for SIGINT and SIGTERM.

A command imports the engine inside its functions, so that ``--help`` is there at once.
"""

import argparse
import re
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from ....engine.errors import BadInput, Later
from ....kernels.jit.compiling import compiled
from .. import streams
from ..compile_notice import CompileNotice
from ..completing import complete
from ..say import fail, report, voice, warn
from . import (
    collect_runs,
    compare_runs,
    list_scenarios,
    make_report,
    measure_costs,
    replay_file,
    run_scenario,
    shell_completion,
    show_info,
    show_kernels,
    sweep_points,
    warm_cache,
)

#: Name, module and help of each command, in the order of ``lazynuma --help``.
COMMANDS = (
    ("run", run_scenario, "run a scenario and show its table"),
    ("scenarios", list_scenarios, "list the scenarios and their parameters"),
    ("replay", replay_file, "run a recorded trace or a memory script"),
    ("sweep", sweep_points, "run many points of a scenario, each into a file"),
    ("collect", collect_runs, "put many runs into one dataset"),
    ("compare", compare_runs, "say what differs between two runs"),
    ("info", show_info, "show what the file of a run holds"),
    ("kernels", show_kernels, "list kernels, or say in what two of them differ"),
    ("report", make_report, "draw what runs came to on one page of HTML"),
    ("warm", warm_cache, "compile all kernels ahead, once for a kind of node"),
    ("calibrate", measure_costs, "measure what memory operations cost on this machine"),
    ("completion", shell_completion, "let bash or zsh complete what is typed"),
)
#: Exit status of what goes on with the same command (EX_TEMPFAIL).
LATER = 75
_LIBRARIES = ("numpy", "numba", "h5py")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` by default); return the exit status.

    Raises SystemExit for ``--help`` only.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in arguments
    try:
        complete(parser_of_all)
        streams.prepare()
        options = parse(arguments)
        voice.level = options.verbose - options.quiet
        compiled.tell = CompileNotice()
        with warnings.catch_warnings():
            warnings.showwarning = warn
            status = options.execute(options) or 0
        sys.stdout.flush()
    except SystemExit:
        raise
    except Later as error:
        return fail(LATER, str(error))
    except BaseException as error:
        return report(error, debug)
    return status


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what arguments mean; BadInput if they mean nothing.

    ``line`` is the whole command, ``again`` does this with more arguments before those
    of the command.
    """

    def again(more: Sequence[str]) -> argparse.Namespace:
        found = parser.parse_args([*arguments[:1], *more, *arguments[1:]])
        found.line, found.again = shlex.join(["lazynuma", *arguments]), again
        return found

    parser = parser_of_all()
    return again([])


def parser_of_all() -> argparse.ArgumentParser:
    width = max(len(name) for name, _, _ in COMMANDS)
    rows = "\n".join(f"  {name:{width}}  {text}" for name, _, text in COMMANDS)
    parser = _Parser(
        prog="lazynuma",
        usage="%(prog)s [-h] [--version] COMMAND ...",
        description="Runs lazy page-migration mechanisms side by side on large NUMA"
        f" machines.\n\ncommands:\n{rows}",
        epilog="lazynuma COMMAND --help shows what a command takes.",
    )
    parser.set_defaults(execute=_version_or_refuse, quiet=False, verbose=False)
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
        command.set_defaults(execute=module.execute, parser=command)
        module.add_arguments(command)
        _add_common(command)
    return parser


def _add_common(command: argparse.ArgumentParser) -> None:
    """Add what every command takes."""
    loud = command.add_mutually_exclusive_group()
    loud.add_argument(
        "-q", "--quiet", action="store_true", help="say nothing on stderr but errors"
    )
    loud.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="say what is read, compiled and done, and how long it took",
    )
    command.add_argument(
        "--debug", action="store_true", help="show the traceback of what fails"
    )


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

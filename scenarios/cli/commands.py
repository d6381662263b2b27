"""The command line: ``lazynuma run | scenarios | replay | info | calibrate``.

Everything here is a Python call first (``engine.run.run_study``); this module reads the
arguments, shows the progress and turns errors into one line and an exit status: 2 for
input that was refused, 1 for a run that failed, 130 and 143 for SIGINT and SIGTERM.
The engine is imported when a command needs it, so that ``--help`` is there at once.
"""

import argparse
import json
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from ...engine.errors import BadInput, LazyNumaError
from ..common.table import cost_table, table
from .find import find_scenario, first_line, scenario_module, scenario_names
from .progress import Progress
from .say import fail, located, warn
from .signals import Stop, Stopped, interruptible, stopped

#: Options of ``replay`` that are for recorded traces alone.
_TRACE_OPTIONS = ("machine", "mechanism", "skip_bad_lines", "set", "costs")
_LIBRARIES = ("numpy", "numba", "h5py")
_SETTING_WIDTH = 40


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` by default); return the exit status.

    Raises SystemExit for ``--help`` only.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        options = _parser().parse_args(arguments)
        options.line = shlex.join(["lazynuma", *arguments])
        with warnings.catch_warnings():
            warnings.showwarning = warn
            options.command(options)
        sys.stdout.flush()
    except BadInput as error:
        return fail(2, str(error))
    except Stopped as stop:
        return stopped(stop.signum)
    except KeyboardInterrupt:
        return stopped(signal.SIGINT)
    except BrokenPipeError:  # the reader of our output has left; so do we
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (LazyNumaError, OSError) as error:
        return fail(1, str(error))
    except Exception as error:
        return fail(1, located(error))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="lazynuma",
        description="Runs lazy page-migration mechanisms side by side on large NUMA"
        " machines.",
    )
    parser.set_defaults(command=_version_or_refuse)
    parser.add_argument(
        "--version", action="store_true", help="show versions, ours and the libraries'"
    )
    commands = parser.add_subparsers(metavar="COMMAND")

    run = commands.add_parser("run", help="run a scenario and show its table")
    run.set_defaults(command=_run)
    run.add_argument(
        "scenario",
        metavar="SCENARIO|FILE.py",
        help="a scenario's name, or your own file",
    )
    _add_run_options(run)

    scenarios = commands.add_parser("scenarios", help="list scenarios and parameters")
    scenarios.set_defaults(command=_scenarios)

    replay = commands.add_parser(
        "replay", help="run a recorded trace or a memory script"
    )
    replay.set_defaults(command=_replay)
    replay.add_argument(
        "file",
        metavar="FILE",
        help="perf.data, perf script or lackey text, or .gz; or script.mm",
    )
    replay.add_argument("--machine", metavar="M", help="preset of the machine")
    replay.add_argument("--mechanism", metavar="X", help="lazy-migration mechanism")
    replay.add_argument(
        "--profile",
        metavar="P",
        help="rules for a memory script: linux-3.8, linux-6.1 (default) or linux-6.12",
    )
    replay.add_argument(
        "--skip-bad-lines", action="store_true", help="count malformed lines, go on"
    )
    replay.add_argument(
        "--json",
        action="store_true",
        help="print JSON: the summary, or a script's records a line each",
    )
    _add_run_options(replay)

    info = commands.add_parser("info", help="show what a run's file holds")
    info.set_defaults(command=_info)
    info.add_argument("file", metavar="FILE.h5")
    info.add_argument(
        "--recover", action="store_true", help="make a killed run's file readable first"
    )

    calibrate = commands.add_parser(
        "calibrate", help="measure what this machine's memory operations cost"
    )
    calibrate.set_defaults(command=_calibrate)
    calibrate.add_argument(
        "-o", dest="output", metavar="FILE.toml", help="write a file for --costs"
    )
    calibrate.add_argument("--force", action="store_true", help="replace FILE.toml")
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="set a parameter, or a cost as cost.NAME=VALUE; may be repeated",
    )
    parser.add_argument(
        "--costs",
        metavar="FILE.toml",
        help="take costs from a file, as calibrate writes it; --set comes after it",
    )
    parser.add_argument(
        "-o", dest="output", metavar="FILE.h5", help="write an HDF5 file"
    )
    parser.add_argument("--force", action="store_true", help="replace FILE.h5")
    parser.add_argument(
        "--seed", type=_integer(0, 2**62 - 1), default=1, metavar="N", help="default: 1"
    )
    parser.add_argument(
        "--threads",
        type=_integer(1, 1024),
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="default: the CPUs that may be used (%(default)s)",
    )


class _Parser(argparse.ArgumentParser):
    """Refuses in one line, as everything here does."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, 4, 28),
            **options,
        )

    def error(self, message: str) -> None:
        raise BadInput(f"{message} (see {self.prog} --help)")


def _integer(low: int, high: int):
    """Return an argument type for integers from ``low`` to ``high``."""

    def convert(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"must be an integer from {low} to {high}, got {text!r}"
            )
        return int(text)

    return convert


def _version_or_refuse(options: argparse.Namespace) -> None:
    from importlib.metadata import version

    if not options.version:
        raise BadInput("a command must be given, got none (see lazynuma --help)")
    python = ".".join(map(str, sys.version_info[:3]))
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    print(f"lazynuma {version('lazynuma')} (Python {python}, {libraries})")


def _run(options: argparse.Namespace) -> None:
    from ...engine.settings.parameters import parse_settings

    module = find_scenario(options.scenario)
    settings = parse_settings(options.set)
    study, rows = interruptible(_execute, module, settings, options)
    _show(study, rows, options)


def _replay(options: argparse.Namespace) -> None:
    from ...engine.settings.parameters import parse_settings

    if options.file.endswith(".mm"):
        interruptible(_play, options)
        return
    if options.profile:
        raise BadInput(
            "--profile must go with a memory script (.mm), got one for a trace"
        )
    settings = parse_settings(options.set)
    settings = {key.removeprefix("trace."): value for key, value in settings.items()}
    settings |= {"file": options.file, "skip_bad_lines": options.skip_bad_lines}
    for name in ("machine", "mechanism"):
        if getattr(options, name) is not None:
            settings[name] = getattr(options, name)
    study, rows = interruptible(
        _execute, scenario_module("recorded.replay"), settings, options
    )
    if options.json:
        print(json.dumps(_plain(study, rows)))
    else:
        _show(study, rows, options)


def _play(stop: Stop, options: argparse.Namespace) -> None:
    """Play a memory script, and print its records as they come."""
    from ...engine.run import check_output, run_study
    from ...engine.settings.profiles import DEFAULT, PROFILES
    from ..script.grammar import read_text
    from ..script.player import readable
    from ..script.records import provenance, study

    for name in _TRACE_OPTIONS:
        if getattr(options, name):
            raise BadInput(
                f"--{name.replace('_', '-')} must be left out with a memory script"
                f" (.mm), got {getattr(options, name)!r}"
            )
    profile = options.profile or DEFAULT
    if profile not in PROFILES:
        raise BadInput(
            f"--profile must be one of {', '.join(PROFILES)}, got {profile!r}"
        )

    def show(record: dict) -> None:
        print(json.dumps(record) if options.json else readable(record), flush=True)

    check_output(options.output, options.force)
    text = read_text(options.file)
    question = study(text, profile, show)
    run_study(
        question,
        output=options.output,
        force=options.force,
        seed=options.seed,
        provenance={"command": options.line} | provenance(question, text, options.file),
        progress=lambda *_: stop.check(),
        opened=stop.opened,
    )
    if options.output is not None and not options.json:
        print(f"\nwritten to {options.output}")


def _scenarios(options: argparse.Namespace) -> None:
    from ...engine.settings.parameters import describe

    wide = max(map(len, scenario_names()))
    for name in scenario_names():
        module = scenario_module(name)
        print(f"{name:<{wide}}  {first_line(module)}")
        settings = [
            (f"{key}={value}", text) for key, value, text in describe(module.Parameters)
        ]
        width = min(_SETTING_WIDTH, max(len(setting) for setting, _ in settings))
        for setting, text in settings:
            print(f"    {setting:<{width}}  {text}".rstrip())


def _info(options: argparse.Namespace) -> None:
    from ...engine.output.describe import describe
    from ...engine.output.reader import recover

    if options.recover:
        recover(options.file)
    print(describe(options.file))


def _calibrate(options: argparse.Namespace) -> None:
    """Measure, show a table, and write the file that was asked for."""
    from ...engine.calibrate.calibrate import source
    from ...engine.run import check_output
    from ...engine.settings.cost_file import cost_text

    check_output(options.output, options.force)
    findings = interruptible(_measure)
    print(cost_table(findings, source()))
    if options.output is not None:
        Path(options.output).write_text(cost_text(findings, source()), "utf-8")
        print(f"\nwritten to {options.output}")


def _measure(stop: Stop) -> list:
    from ...engine.calibrate.calibrate import measure_costs

    return measure_costs(stop.check)


def _execute(
    stop: Stop,
    module: ModuleType,
    settings: Mapping[str, Any],
    options: argparse.Namespace,
) -> tuple[Any, list[dict]]:
    """Build the study of ``module`` and run it; return it and its rows."""
    from ...engine.run import check_output, run_study
    from ...engine.settings.cost_file import read_costs
    from ...engine.settings.costs import Costs
    from ...engine.settings.parameters import fill, split_costs
    from ...engine.study.study import Study

    check_output(options.output, options.force)  # before a build that may take long
    settings, costs = split_costs(settings)
    parameters = fill(module.Parameters, settings)
    if options.costs is not None:
        costs = read_costs(options.costs) | costs
    costs = fill(Costs, costs, "cost.")
    study = module.build(parameters)
    if not isinstance(study, Study):
        raise BadInput(f"build must return a Study, got {type(study).__name__}")
    with closing(Progress(study, stop.check)) as progress:
        rows = run_study(
            study,
            output=options.output,
            force=options.force,
            seed=options.seed,
            threads=options.threads,
            costs=costs,
            provenance={
                "command": options.line,
                "scenario": Path(module.__file__).stem,
                "parameters": json.dumps(asdict(parameters), default=str),
            },
            progress=progress,
            opened=stop.opened,
        )
    return study, rows


def _show(study: Any, rows: list[dict], options: argparse.Namespace) -> None:
    print((study.report or table)(study, rows))
    if options.output is not None:
        print(f"\nwritten to {options.output}")


def _plain(study: Any, rows: list[dict]) -> dict[str, Any]:
    """Return what ``--json`` prints: refusals by their names, plain numbers."""
    from ...kernels.counters import Refusal

    names = [reason.name.lower() for reason in Refusal]
    by_reason = {column.name for column in study.columns if column.by_reason}
    plain = []
    for row in rows:
        values = {key: getattr(v, "tolist", lambda v=v: v)() for key, v in row.items()}
        for key in by_reason:
            values[key] = dict(zip(names, values[key], strict=True))
        plain.append(values)
    return {"question": study.question, "rows": plain}

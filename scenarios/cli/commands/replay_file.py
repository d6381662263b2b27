"""``lazynuma replay``: run a recorded trace or a memory script (``.mm``)."""

import argparse
import json
from typing import Any, NoReturn

from ....engine.errors import BadInput
from ..execute import add_run_options, begin_jobs, run_and_show, show_output
from ..leaving import check_leaving, lasting, leaving, say_finished
from ..signals import Stop, interruptible

#: Options that are for recorded traces only.
_TRACE_OPTIONS = (
    "mechanism",
    "skip_bad_lines",
    "bare_columns",
    "maps",
    "set",
    "costs",
    "dask",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the file, what is done with it, and the options of a run."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help="a trace (perf.data, text of perf script, ftrace or lackey, or one of"
        " these as .gz, .xz, .bz2 or .zst), or a memory script (.mm)",
    )
    parser.add_argument(
        "--machine",
        metavar="M",
        action="append",
        help="machine preset, or a file; may be repeated",
    )
    parser.add_argument("--mechanism", metavar="X", help="lazy-migration mechanism")
    parser.add_argument(
        "--profile",
        metavar="P",
        help="rules for a memory script: linux-6.1 (default), linux-6.12, linux-7.3,"
        " ..; lazynuma kernels list says which there are",
    )
    parser.add_argument(
        "--skip-bad-lines",
        action="store_true",
        help="count malformed lines and go on",
    )
    parser.add_argument(
        "--bare-columns",
        action="store_true",
        help="a line of two columns, with neither time nor event, is a process and an"
        " address",
    )
    parser.add_argument(
        "--maps",
        metavar="FILE",
        help="names of the trace's regions: a copy of /proc/PID/maps, perf.data, or"
        " text of perf script --show-mmap-events",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON: the summary, or one line for each record of a script",
    )
    add_run_options(parser)


def execute(options: argparse.Namespace) -> None:
    """Run the trace or the script, and print its table or its records."""
    check_leaving(options)
    if options.file.endswith(".mm"):
        _play_script(options)
        return
    begin_jobs(options)
    if options.profile:
        raise BadInput(
            "--profile must go with a memory script (.mm), got one for a trace"
        )
    _replay_trace(options)


def _replay_trace(options: argparse.Namespace) -> None:
    from ....engine.settings.parameters import parse_settings
    from ...recorded import replay

    settings = parse_settings(options.set)
    settings = {key.removeprefix("trace."): value for key, value in settings.items()}
    settings["file"] = options.file
    for name in ("mechanism", "skip_bad_lines", "bare_columns", "maps"):
        if getattr(options, name):
            settings[name] = getattr(options, name)
    if options.machine:
        one, *more = options.machine
        settings["machines" if more else "machine"] = options.machine if more else one
    run_and_show(replay, settings, options)


def _play_script(options: argparse.Namespace) -> None:
    from ....engine.running.checkpoints import Finished

    try:
        with leaving(options):
            interruptible(_play, options)
    except Finished:
        say_finished(options)


def _play(stop: Stop, options: argparse.Namespace) -> None:
    """Play a memory script, and print its records as they come."""
    from ....engine.machines.spec import machine
    from ....engine.run import check_output, run_study
    from ...script.grammar import read_text
    from ...script.player import readable
    from ...script.records import provenance, study

    profile = _script_profile(options)

    def print_record(record: dict[str, Any]) -> None:
        print(json.dumps(record) if options.json else readable(record), flush=True)

    check_output(options.output, options.force or options.resume)
    text = read_text(options.file)
    place = machine(_one_machine(options.machine)) if options.machine else None
    question = study(text, profile, print_record, place)
    run_study(
        question,
        output=lasting(options, None) or options.output,
        force=options.force,
        seed=options.seed,
        provenance={"command": options.line} | provenance(question, text, options.file),
        progress=lambda *_: stop.check(),
        opened=stop.opened,
    )
    if not options.json:
        show_output(options)


def _refuse(name: str, value: object) -> NoReturn:
    raise BadInput(
        f"--{name.replace('_', '-')} must be left out with a memory script (.mm), got"
        f" {value!r}"
    )


def _one_machine(machines: list[str]) -> str:
    """Return the machine of a script; BadInput if there are several."""
    if len(machines) > 1:
        raise BadInput(
            "--machine must be given once with a memory script (.mm), got"
            f" {', '.join(machines)}"
        )
    return machines[0]


def _script_profile(options: argparse.Namespace) -> str:
    """Return the profile of a script; BadInput if an option is for traces only."""
    from ....engine.settings.profiles import DEFAULT, PROFILES

    for name in _TRACE_OPTIONS:
        if getattr(options, name):
            _refuse(name, getattr(options, name))
    for name in ("jobs", "seeds"):
        if getattr(options, name) > 1:
            _refuse(name, getattr(options, name))
    profile = options.profile or DEFAULT
    if profile not in PROFILES:
        raise BadInput(
            f"--profile must be one of {', '.join(PROFILES)}, got {profile!r}"
        )
    return profile

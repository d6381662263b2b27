"""The options of a run, the run of a scenario, and what it shows at the end."""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ...engine.errors import BadInput, printable
from ...engine.study.host_limits import threads_of_host
from ..common.ratio_ranges import ratio_ranges
from ..common.table import Row, legend, table
from .json_rows import json_rows
from .leaving import add_leaving_options, lasting, leaving, say_finished
from .progress import Progress
from .rebuild import again, origin
from .say import detail, located, note, own_place, voice
from .signals import Stop, Stopped, interruptible

T = TypeVar("T")

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ...engine.settings.costs import Costs
    from ...engine.study.study import Study, Variant
    from ..common.typed import Typed


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that ``run`` and ``replay`` have in common."""
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="set a parameter, a setting as thp.enabled=always, or a cost as"
        " cost.NAME=VALUE; may be repeated; every scenario takes epoch=100ms (rows of"
        " /epochs) and snapshots=0.5,1 (s)",
    )
    parser.add_argument(
        "--costs",
        metavar="FILE.toml",
        help="take costs from a file that calibrate wrote; --set overrides it",
    )
    parser.add_argument(
        "-o", dest="output", metavar="FILE.h5", help="write the results to an HDF5 file"
    )
    parser.add_argument("--force", action="store_true", help="replace FILE.h5")
    add_leaving_options(parser)
    parser.add_argument(
        "--explain",
        action="store_true",
        help="say what each column of the table means",
    )
    parser.add_argument(
        "--seed",
        type=_integer(0, 2**62 - 1),
        default=1,
        metavar="N",
        help="seed of all random draws (default: 1)",
    )
    parser.add_argument(
        "--seeds",
        type=_integer(1, 1000),
        default=1,
        metavar="K",
        help="run with K seeds, from --seed on: medians, and their spread",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--jobs",
        type=_integer(1, 1024),
        default=1,
        metavar="N",
        help="run variants side by side in N processes (default: 1)",
    )
    how.add_argument(
        "--dask",
        metavar="SCHEDULER.json",
        help="run variants on a Dask cluster (pip install 'lazynuma[dask]')",
    )
    parser.add_argument(
        "--threads",
        type=_integer(1, 1024),
        metavar="N",
        help="threads of a process; they change no result (default: the usable CPUs,"
        " shared by the jobs; 1 with --dask)",
    )


def _integer(low: int, high: int) -> Callable[[str], int]:
    """Return an argument type for integers from ``low`` to ``high``."""

    def convert(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) < 20
        if not digits or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"must be an integer from {low} to {high}, got {text[:40]!r}"
            )
        return int(text)

    return convert


def run_and_show(
    module: ModuleType, settings: Mapping[str, Any], options: argparse.Namespace
) -> None:
    """Run a scenario, or what is left of it, and show its table.

    Raises ``Later`` if the run is left.
    """
    from ...engine.running.checkpoints import Finished

    try:
        with leaving(options):
            study, rows = interruptible(run_scenario, module, settings, options)
    except Finished:
        say_finished(options)
        return
    show(study, rows, options)


class Prepared(NamedTuple):
    """A run that can begin: what was typed came to this."""

    given: "Typed"
    costs: "Costs"
    study: "Study"


def prepare(
    module: ModuleType, settings: Mapping[str, Any], options: argparse.Namespace
) -> Prepared:
    """Check all that can be before a run, and build its study."""
    from ...engine.run import check_output
    from ...engine.settings.cost_file import read_costs, with_holds
    from ...engine.settings.costs import Costs
    from ...engine.settings.parameters import fill
    from ..common.typed import built, typed

    begin = time.monotonic()
    # Before a build that may take long:
    check_output(options.output, options.force or options.resume)
    given = _handed(typed, module, with_holds(settings, options.costs))
    measured = read_costs(options.costs) if options.costs is not None else {}
    costs = fill(Costs, measured | given.costs, "cost.")
    study = _handed(built, module, given)
    took = time.monotonic() - begin
    detail(f"{module.__file__}: {len(study.variants)} variants, made in {took:.2f} s")
    return Prepared(given, costs, study)


def run_scenario(
    stop: Stop,
    module: ModuleType,
    settings: Mapping[str, Any],
    options: argparse.Namespace,
) -> tuple["Study", list[Row]]:
    """Build the study of a scenario and run it; return the study and its rows.

    settings  values of parameters and costs by their names, as ``--set`` gives them
    options   those of ``add_run_options``, and ``line``: the command line
    """
    from ...engine.run import run_study
    from ...engine.settings.cost_file import with_holds
    from ...kernels.jit.compiling import compiled

    given, costs, study = prepare(module, settings, options)
    begin = time.monotonic()
    if voice.level > 0:
        _say_how(options)
    seeds = range(options.seed, options.seed + options.seeds)
    with (
        closing(Progress(study, stop.check, seeds)) as progress,
        _executor(options) as executor,
    ):
        rows = run_study(
            study,
            output=lasting(options, module) or options.output,
            force=options.force,
            seed=seeds,
            threads=threads_of(options),
            costs=costs,
            provenance={
                "command": options.line,
                "scenario": Path(str(module.__file__)).stem,
                "parameters": given.as_json(),
            },
            progress=progress,
            opened=stop.opened,
            uncertainty=_more_runs(progress, study, options),
            jobs=executor or options.jobs,
            make=partial(again, origin(module), with_holds(settings, options.costs)),
        )
    detail(
        f"compiled {compiled.kernels} kernels in {compiled.seconds:.2f} s;"
        f" {time.monotonic() - begin:.2f} s in all"
    )
    return study, rows


def _say_how(options: argparse.Namespace) -> None:
    """Say what a run is run with."""
    from ...kernels.jit.cache_dir import trusted_dir

    detail(
        f"{options.jobs} at once, threads of each: {threads_of(options)},"
        f" kernels in {trusted_dir()}"
    )


def begin_jobs(options: argparse.Namespace) -> None:
    """Let processes load what they need while this one does, if there are to be any."""
    if options.jobs > 1:
        from ...engine.running.executors import load_ahead

        load_ahead()


def _executor(
    options: argparse.Namespace,
) -> "AbstractContextManager[Executor | None]":
    """Give the executor that the options ask for, None for processes of this host."""
    if options.dask is None:
        return nullcontext()
    from ...engine.running.executors import dask

    return dask(options.dask)


def threads_of(options: argparse.Namespace) -> int:
    """Return the threads of each process."""
    if options.threads is None and options.dask is not None:
        return 1
    return options.threads or threads_of_host(options.jobs)


def _handed(make: Callable[..., T], *arguments: Any) -> T:
    """Return what ``make`` gets from a scenario; BadInput if its file raises."""
    try:
        return make(*arguments)
    except Stopped:
        raise
    except BaseException as error:
        if isinstance(error, BadInput) or not own_place(error):
            raise
        raise BadInput(f"scenario must build a study, got {located(error)}") from error


def _more_runs(
    progress: Progress, study: "Study", options: argparse.Namespace
) -> "Callable[[list[Variant]], None] | None":
    """Return what ``run_study`` calls before runs with changed costs, if any are asked.

    It says how many runs there are, once when it is made, and when it is called.
    """
    if not getattr(options, "uncertainty", False):
        return None
    from ...engine.settings.costs import uncertain_costs

    own = sum(variant.costs is None for variant in study.variants)
    most = 2 * len(uncertain_costs()) * own
    note(f"{own} variants, then at most {most} runs with changed costs")

    def announce(variants: "list[Variant]") -> None:
        note(f"{len(variants)} runs with a cost halved or doubled")
        progress.extend(variants)

    return announce


def _text(study: "Study", rows: list[Row]) -> str:
    """Return the report or the table of a study."""
    from ...engine.study.handed import place

    text = (study.report or table)(study, rows)
    if not isinstance(text, str):
        got = f"{type(text).__name__}{place(study.report)}"
        raise BadInput(f"report must return a text, got {got}")
    return text


def show(study: "Study", rows: list[Row], options: argparse.Namespace) -> None:
    """Print the report or the table of a study, and where its file is."""
    if options.json:
        print(json.dumps(json_rows(study, rows)))
        return
    print("\n".join(map(printable, _text(study, rows).split("\n"))))
    if rows and "ratio_low" in rows[0]:
        print(f"\n{ratio_ranges(study, rows)}")
    if options.explain:
        print(f"\n{legend(study, rows)}")
    show_output(options)


def show_output(options: argparse.Namespace) -> None:
    """Print where the output file is, if there is one."""
    if options.output is not None:
        print(f"\nwritten to {printable(options.output)}")

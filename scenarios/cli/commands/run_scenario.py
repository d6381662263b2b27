"""``lazynuma run``: run a scenario and show its table."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ..execute import (
    add_run_options,
    begin_jobs,
    prepare,
    run_and_show,
    threads_of,
)
from ..find import find_scenario
from ..leaving import check_leaving
from ..parameters_text import explained
from ..run_file import given_settings, is_run_file, save_run, scenario_of, with_file
from ..signals import Stop, interruptible


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the scenario and the options of a run."""
    parser.add_argument(
        "-h",
        "--help",
        action=_Help,
        nargs=0,
        help="show this, after a SCENARIO also its parameters",
    )
    parser.add_argument(
        "scenario",
        metavar="SCENARIO|FILE.py|FILE.toml",
        help="the name of a scenario, a file of your own, or what --save-config wrote",
    )
    parser.add_argument(
        "--save-config",
        metavar="FILE.toml",
        help="write this run to a file that run takes, then go on",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show the machine, memory and time that it takes, and run nothing but a"
        " moment of each variant",
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="run again with each uncertain cost halved and doubled: ranges of ratios",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON in place of the table: names as in /summary",
    )
    add_run_options(parser)


class _Help(argparse.Action):
    """Print the help of ``run``, and the parameters of the scenario before ``-h``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Print it and exit."""
        scenario = getattr(namespace, "scenario", None)
        if scenario is None:
            parser.print_help()
        else:
            name = scenario_of(scenario) if is_run_file(scenario) else scenario
            print(f"{parser.format_usage()}\n{explained(find_scenario(name))}")
        parser.exit()


def execute(options: argparse.Namespace) -> None:
    """Find the scenario, run it and print its table."""
    if is_run_file(options.scenario):
        options = with_file(options)
    check_leaving(options)
    if not options.dry_run:
        begin_jobs(options)
    module = find_scenario(options.scenario)
    settings = given_settings(options)
    if options.save_config is not None or options.dry_run:
        interruptible(_plan, module, settings, options)
    if not options.dry_run:
        run_and_show(module, settings, options)


def _plan(
    stop: Stop,
    module: ModuleType,
    settings: Mapping[str, Any],
    options: argparse.Namespace,
) -> None:
    """Save what is to be run, or say what it takes; BadInput if it cannot be."""
    from ....engine.study.host_limits import check_memory
    from ..needs import needs_of

    run = prepare(module, settings, options)
    if options.save_config is not None:
        save_run(Path(options.save_config), module, settings, options)
    if not options.dry_run:
        return
    needs = needs_of(run, options, threads_of(options))
    print(json.dumps(needs.described()) if options.json else needs.text(options.output))
    check_memory(run.study)

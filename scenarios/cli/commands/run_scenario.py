"""``lazynuma run``: run a scenario and show its table."""

import argparse
from typing import Any

from ..execute import add_run_options, begin_jobs, run_scenario, show
from ..find import find_scenario
from ..parameters_text import explained
from ..signals import interruptible


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
        metavar="SCENARIO|FILE.py",
        help="the name of a scenario, or a file of your own",
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
            print(f"{parser.format_usage()}\n{explained(find_scenario(scenario))}")
        parser.exit()


def execute(options: argparse.Namespace) -> None:
    """Find the scenario, run it and print its table."""
    from ....engine.settings.parameters import parse_settings

    begin_jobs(options)
    module = find_scenario(options.scenario)
    settings = parse_settings(options.set)
    study, rows = interruptible(run_scenario, module, settings, options)
    show(study, rows, options)

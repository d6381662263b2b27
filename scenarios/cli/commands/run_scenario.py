"""``lazynuma run``: run a scenario and show its table."""

import argparse

from ..execute import add_run_options, run_scenario, show
from ..find import find_scenario
from ..signals import interruptible


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the scenario and the options of a run."""
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
    add_run_options(parser)


def execute(options: argparse.Namespace) -> None:
    """Find the scenario, run it and print its table."""
    from ....engine.settings.parameters import parse_settings

    module = find_scenario(options.scenario)
    settings = parse_settings(options.set)
    study, rows = interruptible(run_scenario, module, settings, options)
    show(study, rows, options)

"""``lazynuma scenarios``: list the scenarios, or explain one with its parameters."""

import argparse

from .. import find
from ..parameters_text import explained, in_short, question, row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the scenario, which may be left out."""
    parser.add_argument(
        "scenario",
        metavar="SCENARIO|FILE.py",
        nargs="?",
        help="explain this one: every parameter, its default and its choices",
    )


def execute(options: argparse.Namespace) -> None:
    """Print the question and the parameters of each scenario, or all about one."""
    if options.scenario is not None:
        print(explained(find.find_scenario(options.scenario)))
        return
    names = find.scenario_names()
    wide = max(map(len, names))
    for name in names:
        module = find.scenario_module(name)
        print(*row(name, wide, question(module)), sep="\n")
        print(*row("", wide, in_short(module)), sep="\n")
    print("\nlazynuma scenarios NAME explains one: defaults, units and choices.")
    print("Every one also takes epoch=100ms (rows of /epochs) and snapshots=0.5,1 (s).")

"""``lazynuma kernels``: which kernels there are, and what two of them do otherwise."""

import argparse
from itertools import pairwise

from ....engine.errors import BadInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is asked, and of which kernels."""
    parser.add_argument(
        "question",
        choices=("list", "diff"),
        help="list: profiles, and kernels that were recorded; diff: in what kernels"
        " differ, observation by observation, and by which rule",
    )
    parser.add_argument(
        "kernels",
        metavar="KERNEL",
        nargs="*",
        help="for diff: two kernels, or more, each against the one after it",
    )
    parser.add_argument(
        "--records",
        metavar="DIR",
        help="records to read: KERNEL/NAME.mm and NAME.json, and rules.toml; without"
        " it those that come with lazynuma",
    )
    parser.add_argument(
        "--markdown", action="store_true", help="for diff: print a page of Markdown"
    )


def execute(options: argparse.Namespace) -> None:
    """Print the kernels, or what differs."""
    if options.question == "list":
        _list(options)
    else:
        _differ(options)


def _list(options: argparse.Namespace) -> None:
    from ....engine.settings.profiles import DEFAULT, PROFILES
    from ...linux.kernels_text import list_text
    from ...linux.recorded_kernels import cases, kernels, records_place

    for name, value in (("KERNEL", options.kernels), ("--markdown", options.markdown)):
        if value:
            raise BadInput(f"{name} must be left out with list, got {value}")
    place = records_place(options.records)
    recorded = {}
    for kernel in kernels(place):
        found = cases(place, kernel).values()
        releases = {one.release for one in found}
        recorded[kernel] = len(found), ", ".join(sorted(releases))
    print(list_text(PROFILES, DEFAULT, recorded))


def _differ(options: argparse.Namespace) -> None:
    from ...linux.kernel_differences import compared
    from ...linux.kernel_rules import rules
    from ...linux.kernels_markdown import differences_page
    from ...linux.kernels_text import differences_text
    from ...linux.recorded_kernels import cases, records_place

    if len(options.kernels) < 2:
        got = " ".join(options.kernels) or "none"
        raise BadInput(f"KERNEL must be given twice or more with diff, got {got}")
    place = records_place(options.records)
    table = rules(place)
    read = {kernel: cases(place, kernel) for kernel in options.kernels}
    found = [
        compared((one, other), read[one], read[other], table)
        for one, other in pairwise(options.kernels)
    ]
    if options.markdown:
        print(differences_page(found, table), end="")
    else:
        print("\n\n".join(map(differences_text, found)))

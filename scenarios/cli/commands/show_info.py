"""``lazynuma info``: show what the file of a run holds."""

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the file, whether to recover it, and how to print what it holds."""
    parser.add_argument("file", metavar="FILE.h5", help="the file of a run")
    parser.add_argument(
        "--recover",
        action="store_true",
        help="make the file of a killed run readable first",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON: names as in the file, null for what is not written",
    )


def execute(options: argparse.Namespace) -> None:
    """Print the description of a file."""
    from ....engine.output.describe import describe
    from ....engine.output.reader import recover
    from ..info_text import info_text

    if options.recover:
        recover(options.file)
    found = describe(options.file)
    print(json.dumps(found, allow_nan=False) if options.json else info_text(found))

"""``lazynuma info``: show what the file of a run holds."""

import argparse

from ..apart import apart

#: The most time for a copy of a file.
RECOVER_S = 3600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the file, and whether to recover it."""
    parser.add_argument("file", metavar="FILE.h5", help="the file of a run")
    parser.add_argument(
        "--recover",
        action="store_true",
        help="make the file of a killed run readable first",
    )


def execute(options: argparse.Namespace) -> None:
    """Print the description of a file."""
    if options.recover:
        apart(_recover, options.file, options.debug, RECOVER_S)
    print(apart(_describe, options.file, options.debug))


def _recover(path: str) -> str:
    from ....engine.output.recovery import recover

    recover(path)
    return ""


def _describe(path: str) -> str:
    from ....engine.output.describe import describe

    return describe(path)

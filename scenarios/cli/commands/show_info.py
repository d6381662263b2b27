"""``lazynuma info``: show what the file of a run holds."""

import argparse


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
    from ....engine.output.describe import describe
    from ....engine.output.recovery import recover

    if options.recover:
        recover(options.file)
    print(describe(options.file))

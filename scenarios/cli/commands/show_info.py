"""``lazynuma info``: show what the file of a run holds."""

import argparse
import json

from ..apart import apart

#: The most time for a copy of a file.
RECOVER_S = 3600


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
    if options.recover:
        apart(_recover, options.file, options.debug, RECOVER_S)
    show = _json if options.json else _text
    print(apart(show, options.file, options.debug))


def _recover(path: str) -> str:
    from ....engine.output.recovery import recover

    recover(path)
    return ""


def _json(path: str) -> str:
    from ....engine.output.describe import describe

    return json.dumps(describe(path), allow_nan=False)


def _text(path: str) -> str:
    from ....engine.output.describe import describe
    from ..info_text import info_text

    return info_text(describe(path))

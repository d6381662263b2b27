"""``lazynuma compare``: say what differs between two runs, or two runs of a sweep."""

import argparse
import json
from importlib import import_module
from pathlib import Path

from ....engine.errors import BadInput
from ..apart import At, apart_each

#: Exit status if results differ.
DIFFER = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two runs, and how to print what differs."""
    parser.add_argument("a", metavar="A", help="file of a run, or folder of a sweep")
    parser.add_argument("b", metavar="B", help="another of the same kind")
    parser.add_argument(
        "--json", action="store_true", help="print JSON: all differences, none cut"
    )


def execute(options: argparse.Namespace) -> int:
    """Print what differs; return the exit status, 1 if results do."""
    folders = [Path(path).is_dir() for path in (options.a, options.b)]
    if folders[0] != folders[1]:
        raise BadInput(
            f"A and B must both be files or both folders, got {options.a} and"
            f" {options.b}"
        )
    import_module("....engine.output.differences", __package__)  # in no limit of time
    compare = _folders if all(folders) else _files

    def work(at: At) -> str:
        return compare(options.a, options.b, options.json, at)

    text, equal = json.loads(apart_each(work, options.debug))
    print(text)
    return 0 if equal else DIFFER


def _files(a: str, b: str, as_json: bool, at: At) -> str:
    from ....engine.output.differences import differences

    with at(a, b):
        return _said(differences(a, b), as_json)


def _folders(a: str, b: str, as_json: bool, at: At) -> str:
    from ...sweep.sweeps_differ import sweeps_differ

    return _said(sweeps_differ(a, b, at), as_json)


def _said(found: dict, as_json: bool) -> str:
    from ..differences_text import differences_text

    text = json.dumps(found, allow_nan=False) if as_json else differences_text(found)
    return json.dumps([text, found["equal"]])

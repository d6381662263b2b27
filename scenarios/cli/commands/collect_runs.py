"""``lazynuma collect``: put many runs into one dataset."""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..apart import At, apart_each
from ..say import fail

#: States of points that are not done yet.
_LATER = ("running", "waiting")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is collected, and where to."""
    parser.add_argument(
        "paths",
        metavar="DIR|FILE.h5",
        nargs="+",
        help="the folder of a sweep, or files of runs which differ in settings or seed",
    )
    parser.add_argument(
        "-o", dest="output", metavar="ALL.nc", required=True, help="netCDF-4 file"
    )
    parser.add_argument(
        "--epochs",
        metavar="NAMES",
        nargs="?",
        const="",
        help="also variables of /epochs, such as pgfault,pages_used, or all of them, by"
        " the number of the epoch",
    )
    parser.add_argument("--force", action="store_true", help="replace ALL.nc")


def execute(options: argparse.Namespace) -> None:
    """Write the dataset, say which runs it lacks."""
    from ....engine.output.data_tree import imported
    from ....engine.output.place import placed

    imported("collect")
    epochs = None if options.epochs is None else _names(options.epochs)
    with placed(Path(options.output), options.force) as new:

        def work(at: At) -> str:
            return _collect(options.paths, epochs, str(new), at)

        found = json.loads(apart_each(work, options.debug))
    for line in found["missing"]:
        fail(0, f"missing: {line}")
    print(f"{found['text']}\n\nwritten to {options.output}")


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _collect(
    paths: Sequence[str], epochs: Sequence[str] | None, new: str, at: At
) -> str:
    """Write the dataset to ``new``; return JSON: what it is, and what it lacks."""
    from ...sweep.cells import cells_of
    from ...sweep.collected import collected

    cells = cells_of(paths, at)
    dataset, missing = collected(cells, epochs, at)
    compressed = {name: {"zlib": True, "complevel": 1} for name in dataset.data_vars}
    dataset.to_netcdf(new, engine="h5netcdf", encoding=compressed)
    sizes = ", ".join(f"{name} {size}" for name, size in dataset.sizes.items())
    runs = len(cells.cells)
    text = f"{runs - len(missing)} of {runs} runs, {len(dataset.data_vars)} variables"
    return json.dumps({"missing": _lines(missing), "text": f"{text}: {sizes}"})


def _lines(missing: Sequence[tuple[str, str]]) -> list[str]:
    """Return a line for each run that failed, and one for those not there yet."""
    later = Counter(why for _, why in missing if why in _LATER)
    lines = [f"{name} {why}" for name, why in missing if why not in _LATER]
    return lines + [f"{count} points {why}" for why, count in later.items()]

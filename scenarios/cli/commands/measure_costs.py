"""``lazynuma calibrate``: measure what memory operations cost on this machine."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ...common.table import cost_table
from ..execute import show_output
from ..signals import Stop, interruptible

if TYPE_CHECKING:
    from ....engine.settings.cost_file import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the file to write."""
    parser.add_argument(
        "-o", dest="output", metavar="FILE.toml", help="write a file for run --costs"
    )
    parser.add_argument("--force", action="store_true", help="replace FILE.toml")


def execute(options: argparse.Namespace) -> None:
    """Measure, print a table, and write the file if one was asked for."""
    from ....engine.calibrate.measure import source
    from ....engine.output.place import check_output, write_text
    from ....engine.settings.cost_file import cost_text

    check_output(options.output, options.force)
    findings = interruptible(_measure)
    print(cost_table(findings, source()))
    if options.output is not None:
        text = cost_text(findings, source())
        write_text(Path(options.output), text, options.force)
    show_output(options)


def _measure(stop: Stop) -> "list[Finding]":
    from ....engine.calibrate.measure import measure_costs

    return measure_costs(stop.check)

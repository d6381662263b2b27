"""Faults and moved pages over time: what has come together so far."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ....engine.study.figures import count
from ..sheet import Picture, Sheet
from ..story import Story
from .lines import draw_lines, grid, of_variants

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WHAT = (("faults", "page faults"), ("migrated", "4 KiB pages moved"))


def picture(story: Story) -> Picture | None:
    """Return the picture; None if nothing was counted, or in one epoch alone."""
    sums = {name: [_so_far(one, name) for one in story.series] for name, _ in _WHAT}
    there = [(name, text) for name, text in _WHAT if any(map(np.any, sums[name]))]
    longest = max(len(one["time_ns"]) for one in story.series)
    if not there or longest < 2:
        return None
    return Picture(
        "fault_counts",
        _title(story, sums, there),
        "Page faults of every kind, and pages moved to another frame for any reason,"
        " since the start: the steeper, the more a second.",
        "; ".join(_said(story, i, sums) for i in story.order),
        lambda sheet: _draw(sheet, story, sums, there),
    )


def _so_far(series: Mapping[str, list], name: str) -> np.ndarray:
    return np.cumsum(series.get(name, []))


def _total(values: np.ndarray) -> int:
    return int(values[-1]) if len(values) else 0


def _title(story: Story, sums: dict, there: Sequence[tuple[str, str]]) -> str:
    said = []
    for name, _ in there:
        totals = [_total(values) for values in sums[name]]
        most = max(range(len(totals)), key=totals.__getitem__)
        verb = "faults most" if name == "faults" else "moves most pages"
        if len(set(totals)) == 1:
            continue
        said.append(f"{story.told[most]} {verb} ({count(totals[most])})")
    return ", ".join(said) or "Faults and moved pages over time"


def _said(story: Story, variant: int, sums: dict) -> str:
    faults, moved = (_total(sums[name][variant]) for name, _ in _WHAT)
    return f"{story.told[variant]}: {count(faults)} faults, {count(moved)} pages moved"


def _draw(
    sheet: Sheet, story: Story, sums: dict, there: Sequence[tuple[str, str]]
) -> "Figure":
    groups = list(story.groups())
    rows = len(groups)
    each = (1.7 if sheet.is_paper else 2.4) if rows == 1 else 1.6
    aside = sheet.is_paper or max(len(story.short(i)) for i in story.order) > 16
    down, across = (rows * len(there), 1) if aside else (rows, len(there))
    figure, panels = sheet.figure(each * down, down, across, sharex=True)
    unit, at = story.axis(), iter(panels)
    for heading, variants in groups:
        for name, text in there:
            axes = next(at)
            top = max((_total(sums[name][i]) for i in variants), default=0) or 1
            axes.set_ylim(0, 1.05 * top)
            lines = of_variants(story, variants, sums[name])
            if lines:
                draw_lines(axes, lines, story, sheet)
            axes.set_title(f"{heading}: {text}" if heading else text)
            axes.yaxis.set_major_formatter(lambda value, _: _tick(value))
            grid(axes)
    figure.supxlabel(f"simulated time, {unit.unit}", fontsize=sheet.font)
    return figure


def _tick(value: float) -> str:
    """Return a count as short as an axis needs it: ``1.5M``."""
    for length, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= length:
            return f"{value / length:g} {unit}"
    return f"{value:g}"

"""How many faults a second do more tasks get?  A line for each kernel and mode."""

from typing import TYPE_CHECKING

import numpy as np

from .. import palette
from ..sheet import Picture, Sheet
from ..story import Story
from .lines import grid, name_ends

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The column that a scenario of faults has, and the name of its variants: machine,
#: kernel, mode, pages and tasks.
_COLUMN, _CASE = "faults_per_s", "case"
_MILLION = 1e6
#: (tasks, millions of pages a second)
_Points = list[tuple[int, float]]


def picture(story: Story) -> Picture | None:
    """Return the picture; None if no variant counts faults a second."""
    curves = _curves(story)
    if not curves:
        return None
    ends = {name: points[-1] for name, points in curves.items()}
    best = max(ends, key=lambda name: ends[name][1])
    most, rate = ends[best]
    return Picture(
        "fault_scaling",
        f"{most} tasks get {rate:.1f} million pages a second at most: {best}",
        "Pages of 4 KiB that get memory in a second, by the number of tasks.",
        "; ".join(f"{name}: {end[1]:.1f} million" for name, end in ends.items()),
        lambda sheet: _draw(sheet, curves),
    )


def _curves(story: Story) -> dict[str, _Points]:
    """Return the curves of the first machine with the first size of pages."""
    found: dict[str, _Points] = {}
    kept = None
    for row in story.rows:
        rate = row.get(_COLUMN)
        if rate is None or _CASE not in row:
            continue
        machine, kernel, mode, pages, tasks = str(row[_CASE]).rsplit(" ", 4)
        kept = kept or (machine, pages)
        if (machine, pages) == kept:
            points = found.setdefault(f"{mode}, {kernel}", [])
            points.append((int(tasks), rate / _MILLION))
    return {name: points for name, points in found.items() if len(points) > 1}


def _draw(sheet: Sheet, curves: dict[str, _Points]) -> "Figure":
    """Draw both axes as powers of two: what scales is a straight line."""
    from matplotlib.ticker import MaxNLocator

    figure, (axes,) = sheet.figure(2.4 if sheet.is_paper else 3.4)
    colours = [light for light, _ in palette.VARIANTS]
    ends = []
    for number, (name, points) in enumerate(curves.items()):
        colour = colours[number % len(colours)]
        tasks, rates = (np.log2(values) for values in zip(*points, strict=True))
        axes.plot(tasks, rates, "o-", color=colour, markersize=3)
        ends.append((name, colour, tasks[-1], rates[-1]))
    axes.set_xlim(left=0, right=max(end[2] for end in ends))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(8, integer=True))
        axis.set_major_formatter(lambda power, _: f"{2**power:g}")
    axes.set_xlabel("tasks")
    axes.set_ylabel("million pages a second")
    grid(axes)
    name_ends(axes, ends, sheet)
    return figure

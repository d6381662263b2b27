"""Do seeds change the order?  Each replica a dot, their middle a line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ....engine.study.figures import seconds
from ..sheet import Picture, Sheet
from ..story import Story, time_axis
from . import bars
from .lines import grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TIME = "run_time_ns"


def picture(story: Story) -> Picture | None:
    """Return the picture; None if the run had one seed, or nothing was timed."""
    replicas = story.found.get("replicas") or {}
    rows = replicas.get("values", {}).get(_TIME, [])
    times = [[time for time in row if time is not None] for row in rows]
    variants = [i for i in story.shown if i < len(times) and len(times[i]) > 1]
    if not variants:
        return None
    spread = {
        i: (max(times[i]) - min(times[i])) / np.median(times[i]) for i in variants
    }
    most = max(spread, key=spread.__getitem__)
    return Picture(
        "replica_spread",
        f"Seeds change the time by {100 * spread[most]:.1f} % at most"
        f" ({story.told[most]})",
        f"Run time with each of {len(replicas['seeds'])} seeds, a dot each; the line is"
        " the median.",
        "; ".join(
            f"{story.told[i]}: {seconds(min(times[i]))} to {seconds(max(times[i]))}"
            for i in variants
        ),
        lambda sheet: _draw(sheet, story, times, variants),
    )


def _draw(
    sheet: Sheet,
    story: Story,
    times: Sequence[Sequence[float]],
    variants: Sequence[int],
) -> "Figure":
    unit = time_axis(max(max(times[i]) for i in variants))
    figure, (axes,) = sheet.figure(sheet.lines(1.5 * len(variants) + 2.5))
    for at, variant in enumerate(variants):
        values = np.array(times[variant]) / unit.length
        colour, middle = story.colour(variant), float(np.median(values))
        axes.plot([middle] * 2, [at - 0.33, at + 0.33], color=colour, linewidth=1.6)
        axes.plot(
            *(values, [at] * len(values), "o"),
            color=colour,
            markersize=4,
            alpha=0.6,
            markeredgewidth=0,
        )
    bars.name_rows(axes, [story.names[i] for i in variants])
    axes.set_xlim(left=0)
    axes.set_xlabel(f"run time, {unit.unit}")
    grid(axes, "x")
    return figure

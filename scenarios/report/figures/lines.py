"""Lines over time, each with its name at the end in place of a legend."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from .. import palette
from ..sheet import Sheet
from ..story import Axis, Story

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: From so many epochs on steps are too small to be seen.
STEPS = 100
#: Lines of one group may have equal colours from here on: these are dashed.
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)))


class Line(NamedTuple):
    """A line: its name, its colour, times in ns and a value at the end of each."""

    name: str
    colour: str
    times: Sequence[float]
    values: Sequence[float]


def of_variants(
    story: Story, variants: Sequence[int], values: Sequence[Any]
) -> list[Line]:
    """Return a line for each variant that has values; ``values`` are by variant."""
    return [
        Line(
            story.short(i), story.colour(i), story.series[i]["time_ns"], list(values[i])
        )
        for i in variants
        if len(values[i])
    ]


def draw_lines(axes: "Axes", lines: Sequence[Line], story: Story, sheet: Sheet) -> None:
    """Draw lines from time 0 on, and the names right of the axes.

    Few epochs are steps: what is known of one is a sum or a mean.
    """
    unit = story.axis()
    axes.set_xlim(0, story.longest / unit.length)
    for number, line in reversed(list(enumerate(lines))):  # the best lies on top
        times = [0.0, *(time / unit.length for time in line.times)]
        values = [line.values[0], *line.values]
        axes.plot(
            times,
            values,
            drawstyle="steps-pre" if len(times) < STEPS else "default",
            color=line.colour,
            linestyle=_DASHES[number // len(palette.VARIANTS) % len(_DASHES)],
            solid_capstyle="butt",
        )
        axes.plot(
            times[-1], values[-1], "o", color=line.colour, markersize=3, clip_on=False
        )
    _name(axes, lines, unit, sheet)


def _name(axes: "Axes", lines: Sequence[Line], unit: Axis, sheet: Sheet) -> None:
    named = [line for line in lines if line.colour != palette.OTHERS[0]]
    ends = [
        (line.name, line.colour, line.times[-1] / unit.length, line.values[-1])
        for line in named
    ]
    name_ends(axes, ends, sheet)


def name_ends(
    axes: "Axes", ends: Sequence[tuple[str, str, float, float]], sheet: Sheet
) -> None:
    """Write names beside the axes, lifted apart, each tied to the end of its line.

    ends  (name, colour, x, y) of each line, in the units of the axes
    """
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    heights = [(y - low) / (high - low) for *_, y in ends]
    height = axes.get_window_extent().height / axes.figure.dpi * 0.92
    places = apart(heights, sheet.lines(0.95) / height)
    for (name, colour, x, _), end, place in zip(ends, heights, places, strict=True):
        axes.annotate(
            name,
            xy=((x - left) / (right - left), end),
            xytext=(1.04, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=sheet.font * 0.94,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.6,
                "alpha": 0.55,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 2,
            },
        )


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Return places in the same order that lie ``gap`` apart, near the old ones."""
    order = np.argsort(places, kind="stable")
    found = np.array([places[i] for i in order], float)
    offsets = np.arange(len(found)) * gap
    # Least squares under the order: isotonic regression, by pooling neighbours.
    pools: list[list[float]] = []
    for value in found - offsets:
        pools.append([value, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (b, n), (a, m) = pools.pop(), pools.pop()
            pools.append([(a * m + b * n) / (m + n), m + n])
    lifted = np.concatenate([np.full(int(n), a) for a, n in pools] or [np.zeros(0)])
    result = np.empty(len(found))
    result[order] = lifted + offsets
    return result.tolist()


def grid(axes: "Axes", axis: Literal["x", "y"] = "y") -> None:
    """Lay faint lines behind what is drawn."""
    axes.grid(axis=axis, color=palette.FAINT, linewidth=0.5)
    axes.set_axisbelow(True)


def chip(axes: "Axes", text: str, colour: str | None) -> None:
    """Write a title of small axes, after a square of the variant's colour."""
    size = float(axes.title.get_fontsize())
    lines = broken(text, int(axes.get_window_extent().width / (0.75 * size)))
    indent = "\u00a0" * 4 if colour else ""  # browsers fold plain blanks
    axes.set_title("\n".join(indent + line for line in lines))
    if colour:
        axes.annotate(
            "\u25a0",
            xy=(0, 1),
            xycoords="axes fraction",
            xytext=(0, 3 + 1.2 * size * (len(lines) - 1)),
            textcoords="offset points",
            color=colour,
            va="bottom",
            annotation_clip=False,
        )


def broken(name: str, width: int) -> list[str]:
    """Return a name as lines of at most ``width`` letters, broken at underscores."""
    lines = [""]
    for part in re.findall(r"[^_ ]+[_ ]*", name) or [name]:
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return lines


def key(figure: "Figure", columns: int, **more: Any) -> None:
    """Lay the names of all colours above what is drawn."""
    figure.legend(
        loc="outside upper left",
        ncols=columns,
        handlelength=0.9,
        handleheight=0.9,
        columnspacing=1.2,
        borderpad=0,
        **more,
    )

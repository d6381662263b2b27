"""Lying bars: a row for each variant, its parts side by side, its sum at the end."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import palette
from ..sheet import Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def height(sheet: Sheet, rows: int, more: float) -> float:
    """Return the inches for so many bars and ``more`` lines of text."""
    return sheet.lines(1.45 * rows + more)


def stacked(
    axes: "Axes",
    names: Sequence[str],
    parts: Mapping[str, Any],
    colours: Sequence[str],
    ends: Sequence[str],
) -> None:
    """Draw bars and what stands at their ends.

    parts    the length of each part by its name, float64[bars]
    colours  of the parts
    """
    begin, rows = np.zeros(len(names)), np.arange(len(names))
    for (part, wide), colour in zip(parts.items(), colours, strict=False):
        axes.barh(
            *(rows, wide),
            left=begin,
            height=0.72,
            color=colour,
            label=part,
            edgecolor=palette.PAPER,
            linewidth=0.4,
        )
        begin += wide
    for at, text in enumerate(ends):
        axes.annotate(
            text,
            xy=(begin[at], at),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=float(axes.title.get_fontsize()) * 0.94,
        )
    name_rows(axes, names)
    axes.set_xlim(0, begin.max() * 1.13)


def name_rows(axes: "Axes", names: Sequence[str]) -> None:
    """Name the rows from the top on, without an axis."""
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(names) - 0.45, -0.55)

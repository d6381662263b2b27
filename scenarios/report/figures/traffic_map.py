"""Which node's CPUs use which node's memory?  A map for each variant."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ....engine.settings.sizes import format_size
from .. import palette
from ..sheet import Picture, Sheet
from ..story import Story, percent
from .lines import chip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Most nodes whose cells have numbers.
_NUMBERED = 8


def picture(story: Story) -> Picture | None:
    """Return the picture; None if no bytes were counted, or there is one node."""
    moved = [np.array(one, float) for one in story.found["traffic"]]
    shown = [i for i in story.shown if moved and moved[i].any()]
    if not shown or len(story.nodes) < 2:
        return None
    across = {i: 1 - np.trace(moved[i]) / moved[i].sum() for i in shown}
    return Picture(
        "traffic_map",
        _title(story, across),
        "Share of the bytes that accesses moved, in percent: a row for each node of the"
        " CPUs, a column for each node of the memory. Moves of pages are not in it.",
        "; ".join(_said(story, i, moved[i], across[i]) for i in shown),
        lambda sheet: _draw(sheet, story, moved, shown),
    )


def _title(story: Story, across: dict[int, float]) -> str:
    most, least = (
        max(across, key=across.__getitem__),
        min(across, key=across.__getitem__),
    )
    if len(across) == 1 or across[most] - across[least] < 0.01:
        return f"{percent(across[most])} of the bytes cross nodes"
    return (
        f"{story.told[most]} sends {percent(across[most])} of its bytes across nodes,"
        f" {story.told[least]} {percent(across[least])}"
    )


def _said(story: Story, variant: int, moved: np.ndarray, across: float) -> str:
    total = format_size(int(moved.sum()))
    return f"{story.told[variant]}: {total}, {percent(across)} of it across nodes"


def _draw(
    sheet: Sheet, story: Story, moved: Sequence[np.ndarray], shown: Sequence[int]
) -> "Figure":
    shares = {i: 100 * moved[i] / moved[i].sum() for i in shown}
    top = max(share.max() for share in shares.values())
    wide = max(len(story.names[i]) for i in shown) > 9 or len(story.nodes) > 4
    rows, columns = sheet.panels(len(shown), 4 if wide else 6)
    if not sheet.is_paper:
        columns = max(columns, 3)  # a few maps need not be large
    side = sheet.width / columns
    height = rows * (0.92 * side + sheet.lines(1)) + sheet.lines(1)
    figure, panels = sheet.figure(height, rows, columns, sharex=True, sharey=True)
    for axes, variant in zip(panels, shown, strict=False):
        _map(axes, shares[variant], top, sheet)
        chip(axes, story.names[variant], story.colour(variant))
        places = range(len(story.nodes))
        axes.set_xticks(places, map(str, story.nodes))
        axes.set_yticks(places, map(str, story.nodes))
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    figure.supxlabel("node of the memory", fontsize=sheet.font)
    figure.supylabel("node of the CPU", fontsize=sheet.font)
    return figure


def _map(axes: "Axes", share: np.ndarray, top: float, sheet: Sheet) -> None:
    """Draw cells, the darker the more; a cell without any traffic stays empty."""
    from matplotlib.patches import Rectangle

    for (row, column), value in np.ndenumerate(share):
        cell = Rectangle(
            (column - 0.48, row - 0.48),
            *(0.96, 0.96),
            facecolor=palette.HEAT,
            alpha=value / top,
            linewidth=0,
        )
        if value > 0:
            axes.add_patch(cell)
        if len(share) <= _NUMBERED and value >= 0.05:
            text = f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"
            axes.text(
                *(column, row, text),
                ha="center",
                va="center",
                fontsize=sheet.font * (0.9 if len(share) <= 4 else 0.7),
            )
    count = len(share)
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(palette.FAINT)

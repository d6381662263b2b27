"""Which variant is best where?  Maps over two settings of a sweep."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import palette
from ..sheet import Picture, Sheet
from ..story import few
from ..swept_points import Points, Setting
from .lines import chip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def best(points: Points, down: Setting, across: Setting, work: str) -> Picture | None:
    """Return the map of the best variant of a work; None if no run has ended."""
    rivals = points.rivals[work]
    middles = _middles(points, down, across)[:, :, rivals]
    if np.isnan(middles).all():
        return None
    pick = np.nanargmin if points.is_time else np.nanargmax
    winners = {
        (i, j): rivals[int(pick(middles[i, j]))]
        for i in range(len(down.values))
        for j in range(len(across.values))
        if not np.isnan(middles[i, j]).all()
    }
    names = [points.story.told[one] for one in dict.fromkeys(winners.values())]
    title = f"{names[0]} is best at every {down.name} and {across.name}"
    if len(names) > 1:
        where = f"over {down.name} and {across.name}"
        title = f"{few(names)} are each best somewhere {where}"
    of = f"_{_plain(work)}" if len(points.rivals) > 1 else ""
    return Picture(
        f"best_over_{_plain(down.name)}_{_plain(across.name)}{of}",
        f"{work}: {title}" if of else title,
        "The best variant at each pair of values, and how much worse the next one is:"
        f" its {points.what} as a multiple. Medians over all else.",
        "; ".join(
            f"{down.values[i]}, {across.values[j]}: {points.story.told[one]}"
            for (i, j), one in winners.items()
        ),
        lambda sheet: _draw_best(sheet, points, down, across, winners, middles),
    )


def amounts(points: Points, down: Setting, across: Setting) -> Picture | None:
    """Return a map of what is compared for each variant; None if no run has ended."""
    middles = _middles(points, down, across)
    if np.isnan(middles).all():
        return None
    shown = [i for i in points.story.shown if not np.isnan(middles[:, :, i]).all()]
    low, high = np.nanmin(middles), np.nanmax(middles)
    most = shown[int(np.nanargmax([np.nanmax(middles[:, :, i]) for i in shown]))]
    i, j = np.unravel_index(np.nanargmax(middles[:, :, most]), middles.shape[:2])
    return Picture(
        f"map_over_{_plain(down.name)}_{_plain(across.name)}",
        f"The most {points.what} is {points.text(high)}: {points.story.told[most]} at"
        f" {down.name} {down.values[i]}, {across.name} {across.values[j]}",
        f"{points.what.capitalize()} of each variant over {down.name} (down) and"
        f" {across.name} (across), the darker the more. Medians over all else.",
        f"From {points.text(low)} to {points.text(high)}",
        lambda sheet: _draw_amounts(sheet, points, down, across, shown, middles),
    )


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name.lower())


def _middles(points: Points, down: Setting, across: Setting) -> np.ndarray:
    """Return the median amounts, [value of down][value of across][variant]."""
    count = len(points.story.names)
    found = np.full((len(down.values), len(across.values), count), np.nan)
    for i, one in enumerate(down.values):
        for j, other in enumerate(across.values):
            runs = points.where({down.name: one, across.name: other})
            for variant in range(count):
                row = [points.amounts[run][variant] for run in runs]
                known = [value for value in row if value is not None]
                if known:
                    found[i, j, variant] = np.median(known)
    return found


def _axes(axes: "Axes", down: Setting, across: Setting) -> None:
    axes.set_xticks(range(len(across.values)), across.values)
    axes.set_yticks(range(len(down.values)), down.values)
    axes.set_xlim(-0.5, len(across.values) - 0.5)
    axes.set_ylim(len(down.values) - 0.5, -0.5)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _cell(axes: "Axes", at: tuple[int, int], colour: str, alpha: float) -> None:
    from matplotlib.patches import Rectangle

    corner = (at[1] - 0.48, at[0] - 0.48)
    axes.add_patch(
        Rectangle(corner, 0.96, 0.96, facecolor=colour, alpha=alpha, linewidth=0)
    )


def _draw_best(
    sheet: Sheet,
    points: Points,
    down: Setting,
    across: Setting,
    winners: dict[tuple[int, int], int],
    middles: np.ndarray,
) -> "Figure":
    figure, (axes,) = sheet.figure(sheet.lines(2.6 * len(down.values) + 3))
    for at, winner in winners.items():
        _cell(axes, at, points.story.colour(winner), 0.45)
        known = np.sort(middles[at][~np.isnan(middles[at])])
        near = known[:2] if points.is_time else known[::-1][:2]
        lead = near[-1] / near[0] if points.is_time else near[0] / max(near[-1], 1e-30)
        text = points.story.names[winner]
        text += f"\nnext x{lead:.2f}" if len(near) > 1 else ""
        axes.text(
            at[1], at[0], text, ha="center", va="center", fontsize=sheet.font * 0.88
        )
    _axes(axes, down, across)
    axes.set_xlabel(across.name)
    axes.set_ylabel(down.name)
    return figure


def _draw_amounts(
    sheet: Sheet,
    points: Points,
    down: Setting,
    across: Setting,
    shown: Sequence[int],
    middles: np.ndarray,
) -> "Figure":
    rows, columns = sheet.panels(len(shown))
    each = sheet.lines(1.7 * len(down.values) + 2.4)
    figure, panels = sheet.figure(
        rows * each + sheet.lines(1), rows, columns, sharex=True, sharey=True
    )
    top = np.nanmax(middles)
    numbered = len(across.values) * columns <= 18
    for axes, variant in zip(panels, shown, strict=False):
        for (i, j), value in np.ndenumerate(middles[:, :, variant]):
            if np.isnan(value):
                continue
            _cell(axes, (i, j), palette.HEAT, max(value / top, 0.0))
            if numbered:
                axes.text(
                    *(j, i, points.text(value)),
                    ha="center",
                    va="center",
                    fontsize=sheet.font * 0.8,
                )
        _axes(axes, down, across)
        chip(axes, points.story.names[variant], points.story.colour(variant))
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    figure.supxlabel(across.name, fontsize=sheet.font)
    figure.supylabel(down.name, fontsize=sheet.font)
    return figure

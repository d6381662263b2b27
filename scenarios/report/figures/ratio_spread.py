"""How far do the ratios hold?  The range of each under changed costs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..sheet import Picture, Sheet
from ..story import Story, few
from . import bars
from .lines import grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: A range that has room for words below it.
_LONG = 1.6
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def picture(story: Story) -> Picture | None:
    """Return the picture; None if the run was made without ``--uncertainty``."""
    ranges = [row for row in story.found.get("ratios", []) if row["ratio"] is not None]
    if len(ranges) < 2:
        return None
    names = {row_name(story, row): row for row in ranges}
    ordered = sorted(names, key=lambda name: names[name]["ratio"])
    return Picture(
        "ratio_ranges",
        _title(names),
        "Ratio of each variant to the best, and its range if each cost that nobody has"
        " measured well is halved and doubled, one at a time; at each end the change"
        " that makes it.",
        "; ".join(
            f"{name} x{names[name]['ratio']:.2f}, from x{names[name]['ratio_low']:.2f}"
            f" to x{names[name]['ratio_high']:.2f}"
            for name in ordered
        ),
        lambda sheet: _draw(sheet, story, names, ordered),
    )


def row_name(story: Story, row: Mapping[str, Any]) -> str:
    """Return the name of the variant of a row."""
    return ", ".join(str(row[one]) for one in story.dimensions)


def _title(names: Mapping[str, Mapping[str, Any]]) -> str:
    rivals = [
        name
        for name, row in names.items()
        if row["ratio"] != 1 and row["ratio_low"] <= 1 <= row["ratio_high"]
    ]
    best = [name for name, row in names.items() if row["ratio"] == 1]
    if rivals:
        return f"One change of a cost makes another one the best: {few(rivals)}"
    return f"No change of one cost makes another one the best: {few(best)} stays"


def _draw(
    sheet: Sheet,
    story: Story,
    names: Mapping[str, Mapping[str, Any]],
    ordered: Sequence[str],
) -> "Figure":
    figure, (axes,) = sheet.figure(sheet.lines(2.4 * len(ordered) + 3))
    for at, name in enumerate(ordered):
        row = names[name]
        low, high = row["ratio_low"], row["ratio_high"]
        colour = story.colour(story.names.index(name))
        axes.plot([low, high], [at, at], color=colour, linewidth=2.2)
        axes.plot(row["ratio"], at, "o", color=colour, markersize=5)
        axes.annotate(
            f"x{row['ratio']:.2f}",
            xy=(row["ratio"], at),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=sheet.font * 0.94,
        )
        if not sheet.is_paper and high > low:
            _say_changes(axes, at, row, sheet)
    bars.name_rows(axes, ordered)
    axes.set_ylim(len(ordered) - 0.4, -0.7)
    lows, highs = ([names[n][k] for n in ordered] for k in ("ratio_low", "ratio_high"))
    if min(lows) > 0 and max(highs) / min(lows) > 3:
        axes.set_xscale("log")
        axes.minorticks_off()
        ends = min(lows) / 1.5, max(highs) * 1.5
        ticks = [t for t in _TICKS if ends[0] <= t <= ends[1]]
        axes.set_xticks(ticks, [f"x{t:g}" for t in ticks])
    axes.set_xlim(min(lows) * 0.8, max(highs) * 1.25)
    axes.set_xlabel("ratio to the best")
    grid(axes, "x")
    return figure


def _say_changes(axes: "Axes", at: int, row: Mapping[str, Any], sheet: Sheet) -> None:
    """Write at each end of a range which change of a cost makes it.

    Below a long range, beside a short one.
    """
    is_long = row["ratio_high"] / row["ratio_low"] > _LONG
    for side, out in (("low", -1), ("high", 1)):
        axes.annotate(
            row[f"ratio_{side}_by"].replace("_ns ", " "),
            xy=(row[f"ratio_{side}"], at),
            xytext=(-2 * out, -3) if is_long else (4 * out, 0),
            textcoords="offset points",
            ha="right" if is_long == (out > 0) else "left",
            va="top" if is_long else "center",
            fontsize=sheet.font * 0.75,
        )

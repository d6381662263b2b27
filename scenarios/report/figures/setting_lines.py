"""What does a setting change?  A line for each variant over the values of it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..sheet import Picture, Sheet
from ..story import time_axis
from ..swept_points import Points, Setting
from .lines import chip, grid, name_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Most small pictures, one for each value of another setting.
_PANELS = 6


def picture(points: Points, setting: Setting) -> Picture | None:
    """Return the picture; None if there is nothing to compare."""
    if not any(value is not None for row in points.amounts for value in row):
        return None
    others = [one for one in points.settings if one is not setting]
    panel = next((one for one in others if len(one.values) <= _PANELS), None)
    rest = [one.name for one in others if one is not panel]
    over = rest + (["seed"] if points.seeds > 1 else [])
    text = f" Lines are medians over {' and '.join(over)}"
    band = text + ("." if rest else ", bands go from the least to the most.")
    return Picture(
        f"over_{_plain(setting.name)}",
        _title(points, setting),
        f"{points.what.capitalize()} over {setting.name}"
        + (f", for each {panel.name}." if panel else ".")
        + (band if over else ""),
        "; ".join(_said(points, setting, i) for i in points.story.shown),
        lambda sheet: _draw(sheet, points, setting, panel, not rest),
    )


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name.lower())


def _values(points: Points, variant: int, fixed: Mapping[str, str]) -> np.ndarray:
    """Return the amounts of a variant in the runs with given settings."""
    runs = points.where(fixed)
    row = [points.amounts[run][variant] for run in runs]
    return np.array([value for value in row if value is not None], float)


def _middle(points: Points, variant: int, setting: Setting, value: str) -> float | None:
    found = _values(points, variant, {setting.name: value})
    return float(np.median(found)) if len(found) else None


def _change(points: Points, setting: Setting, variant: int) -> float | None:
    """Return the last value's amount as a multiple of the first one's."""
    ends = (setting.values[0], setting.values[-1])
    first, last = (_middle(points, variant, setting, value) for value in ends)
    return last / first if first and last else None


def _title(points: Points, setting: Setting) -> str:
    changes = {i: _change(points, setting, i) for i in points.story.shown}
    known = {i: change for i, change in changes.items() if change}
    way = f"From {setting.name} {setting.values[0]} to {setting.values[-1]}"
    if not known:
        return f"What {setting.name} changes"
    most = max(known, key=lambda i: abs(np.log(known[i])))
    least = min(known, key=lambda i: abs(np.log(known[i])))
    name = points.story.told
    if abs(np.log(known[most])) < 0.01:
        return f"{way} nothing changes by more than 1 %"
    text = f"{way} {name[most]} takes x{known[most]:.2f}"
    return text + (f", {name[least]} x{known[least]:.2f}" if least != most else "")


def _said(points: Points, setting: Setting, variant: int) -> str:
    middles = [_middle(points, variant, setting, value) for value in setting.values]
    told = ["none" if one is None else points.text(one) for one in middles]
    return f"{points.story.told[variant]}: {', '.join(told)}"


def _draw(
    sheet: Sheet,
    points: Points,
    setting: Setting,
    panel: Setting | None,
    has_band: bool,
) -> "Figure":
    panels = [{panel.name: value} for value in panel.values] if panel else [{}]
    rows, columns = sheet.panels(len(panels), 2)
    each = (2.2 if sheet.is_paper else 2.7) if rows == 1 else 1.9
    figure, all_axes = sheet.figure(each * rows, rows, columns, sharey=True)
    top = max(value for row in points.amounts for value in row if value is not None)
    unit = time_axis(top) if points.is_time else None
    length, name = (
        (unit.length, f"{points.what}, {unit.unit}") if unit else (1, points.what)
    )
    for axes, fixed in zip(all_axes, panels, strict=False):
        axes.set_ylim(0, 1.05 * top / length)
        _panel(axes, points, setting, fixed, length, sheet, has_band)
        if panel:
            chip(axes, f"{panel.name} {fixed[panel.name]}", None)
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    figure.supxlabel(setting.name, fontsize=sheet.font)
    figure.supylabel(name, fontsize=sheet.font)
    return figure


def _panel(
    axes: "Axes",
    points: Points,
    setting: Setting,
    fixed: Mapping[str, str],
    length: float,
    sheet: Sheet,
    has_band: bool,
) -> None:
    """Draw the lines of all variants, and their names at the end."""
    places = _places(setting)
    ends: list[tuple[str, str, float, float]] = []
    for variant in points.story.shown:
        colour, name = points.story.colour(variant), points.story.names[variant]
        found = [
            _values(points, variant, {**fixed, setting.name: value}) / length
            for value in setting.values
        ]
        there = [at for at, values in enumerate(found) if len(values)]
        if not there:
            continue
        x = [places[at] for at in there]
        y = [float(np.median(found[at])) for at in there]
        low, high = ([float(pick(found[at])) for at in there] for pick in (min, max))
        if has_band and high != low:
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(x, y, "-o", color=colour, markersize=3)
        ends.append((name, colour, x[-1], y[-1]))
    axes.set_xticks(places, setting.values)
    axes.minorticks_off()
    axes.margins(x=0.03)
    grid(axes)
    name_ends(axes, ends, sheet)


def _places(setting: Setting) -> Sequence[float]:
    """Return where values lie: by their numbers if these are evenly apart enough."""
    numbers = setting.numbers
    evenly = list(range(len(setting.values)))
    if numbers is None or len(numbers) < 3:
        return evenly
    steps = np.diff(numbers)
    return numbers if steps.min() * 4 >= steps.max() else evenly

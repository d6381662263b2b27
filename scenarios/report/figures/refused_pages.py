"""Why pages were refused: a bar for each variant, its parts the reasons."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ....engine.study.figures import count
from .. import palette
from ..sheet import Picture, Sheet
from ..story import Story
from . import bars
from .lines import key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMN = "pages_refused_by"


def picture(story: Story) -> Picture | None:
    """Return the picture; None if not two numbers of pages were refused."""
    by = [row.get(_COLUMN) or {} for row in story.rows]
    if not isinstance(by[0], Mapping):
        return None
    total = [sum(value or 0 for value in one.values()) for one in by]
    variants = [i for i in story.shown if total[i]]
    if not variants:
        return None
    reasons = {
        name: np.array([by[i][name] or 0 for i in variants], float) for name in by[0]
    }
    reasons = {name: row for name, row in reasons.items() if row.any()}
    if len(variants) * len(reasons) == 1:
        return None  # the verdict of one bar is a number in the table
    most = max(variants, key=total.__getitem__)
    why = max(reasons, key=lambda name: by[most][name] or 0)
    return Picture(
        "refused_pages",
        f"{story.told[most]} is refused most pages ({count(total[most])}): {why}",
        "Pages that were not marked, moved or reclaimed, by the reason for it. A page"
        " counts each time.",
        "; ".join(f"{story.told[i]}: {count(total[i])}" for i in variants),
        lambda sheet: _draw(sheet, story, variants, reasons),
    )


def _draw(
    sheet: Sheet,
    story: Story,
    variants: Sequence[int],
    reasons: Mapping[str, np.ndarray],
) -> "Figure":
    totals = np.sum(list(reasons.values()), axis=0)
    figure, (axes,) = sheet.figure(bars.height(sheet, len(variants), 2.2))
    bars.stacked(
        axes,
        [story.names[i] for i in variants],
        reasons,
        [light for light, _ in palette.CAUSES.values()],
        [count(int(total)) for total in totals],
    )
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    key(figure, 3 if sheet.is_paper else 6)
    return figure

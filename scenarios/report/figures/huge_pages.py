"""What happened to huge pages: counts of each variant, and what khugepaged found."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ....engine.output.counter_names import MEANINGS
from ....engine.study.figures import count
from ....kernels.counters import Vm
from ..sheet import Picture, Sheet
from ..story import Story
from .lines import chip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The counters that are drawn, the first ones first.
_FIRST = (
    *("thp_fault_alloc", "thp_fault_fallback", "thp_migration_success"),
    *("thp_migration_split", "thp_split_page", "thp_split_pmd", "thp_collapse_alloc"),
    *("numa_huge_pte_updates", "thp_swpout", "thp_zero_page_alloc", "compact_stall"),
    *("compact_success", "thp_deferred_split_page"),
)
_PANELS = 9
_SUCCEED = "succeed"


def picture(story: Story) -> Picture | None:
    """Return the picture of counters; None if nothing happened to huge pages."""
    huge: Mapping[str, Sequence[int]] = story.found["huge"]
    names = [one for one in _FIRST if one in huge][:_PANELS]
    if not names:
        return None
    counts = {name: huge[name] for name in names}
    return Picture(
        "huge_pages",
        _title(story, counts),
        "Events of huge pages over the whole run, each on a scale of its own."
        f" {_meanings(names)}",
        "; ".join(f"{name}: {_listed(story, counts[name])}" for name in names),
        lambda sheet: _draw(sheet, story, counts),
    )


def khugepaged(story: Story) -> Picture | None:
    """Return the picture of khugepaged's scans; None if it did not scan."""
    scans: Mapping[str, Sequence[int]] = story.found["khugepaged"]
    if not scans:
        return None
    names = sorted(scans, key=lambda one: (one != _SUCCEED, -sum(scans[one])))
    counts = {name: scans[name] for name in names[:_PANELS]}
    made = scans.get(_SUCCEED, [0] * len(story.rows))
    most = max(range(len(made)), key=made.__getitem__)
    title = "khugepaged made no huge page"
    if any(made):
        title = f"khugepaged made most huge pages in {story.told[most]}"
        title += f": {count(made[most])}"
    return Picture(
        "khugepaged",
        title,
        "What khugepaged's scans of 2 MiB blocks came to, by the name of the kernel's"
        " scan_result, each on a scale of its own.",
        "; ".join(f"{name}: {_listed(story, row)}" for name, row in counts.items()),
        lambda sheet: _draw(sheet, story, counts),
    )


def _meanings(names: Sequence[str]) -> str:
    said = [f"{name}: {MEANINGS[Vm[name.upper()]][1]}" for name in names]
    return f"{'; '.join(said)}."


def _listed(story: Story, row: Sequence[int]) -> str:
    return ", ".join(f"{story.told[i]} {count(row[i])}" for i in story.shown)


def _title(story: Story, counts: Mapping[str, Sequence[int]]) -> str:
    """Say of which event variants differ most, and how."""

    def spread(name: str) -> float:
        return (max(counts[name]) - min(counts[name])) / max(counts[name])

    name = max(("thp_split_page", *counts), key=lambda n: n in counts and spread(n))
    if len(story.rows) == 1:
        name = max(counts, key=lambda one: counts[one][0])
        return f"{count(counts[name][0])} {MEANINGS[Vm[name.upper()]][1]}"
    if name not in counts or not spread(name):
        return "The same happened to the huge pages of all"
    row = counts[name]
    most, least = (pick(range(len(row)), key=row.__getitem__) for pick in (max, min))
    what = MEANINGS[Vm[name.upper()]][1]
    return (
        f"{what[0].upper()}{what[1:]}: {count(row[most])} of {story.told[most]},"
        f" {count(row[least])} of {story.told[least]}"
    )


def _draw(sheet: Sheet, story: Story, counts: Mapping[str, Sequence[int]]) -> "Figure":
    variants = story.shown
    rows, columns = sheet.panels(len(counts))
    each = sheet.lines(1.25 * len(variants) + 2)
    figure, panels = sheet.figure(rows * each, rows, columns, sharey=True)
    places = range(len(variants))
    for axes, (name, row) in zip(panels, counts.items(), strict=False):
        values = [row[i] for i in variants]
        axes.barh(places, values, color=[story.colour(i) for i in variants], height=0.7)
        for place, value in zip(places, values, strict=True):
            axes.annotate(
                count(value),
                xy=(value, place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=sheet.font * 0.85,
            )
        axes.set_xlim(0, max(values) * 1.35 or 1)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        chip(axes, name, None)
    panels[0].set_yticks(places, [story.names[i] for i in variants])
    for axes in panels:
        axes.tick_params(axis="y", length=0)
    panels[0].invert_yaxis()
    for axes in panels[len(counts) :]:
        axes.set_axis_off()
    return figure

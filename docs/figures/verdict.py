"""Draw the picture of the README: where the time of a job goes after its threads move.

    pip install -e '.[docs]' && python docs/figures/verdict.py docs/verdict.svg

Runs ``mechanisms`` with huge pages, some seconds once the kernels are compiled.  The
same run gives the same file.  A name that ends in ``.png`` gives a bitmap.
"""

import sys
from dataclasses import replace
from typing import NamedTuple

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt

from lazynuma.engine import Column, Simulation, Study, Thp, Variant, run_study
from lazynuma.kernels.counters import Cause
from lazynuma.scenarios import mechanisms

MEMORY = 64 << 30
FAULTS = (
    Cause.MINOR_FAULT,
    Cause.COW,
    Cause.HINT_FAULT,
    Cause.LAZY_FAULT,
    Cause.HUGE_FAULT,
)
#: (label, colour, causes) of each part of a bar; colour-blind people can tell them.
PARTS = (
    ("remote accesses", "#D55E00", (Cause.ACCESS_REMOTE,)),
    ("local accesses", "#56B4E9", (Cause.ACCESS_LOCAL,)),
    ("faults", "#F0E442", FAULTS),
    ("migration", "#009E73", (Cause.MIGRATION,)),
    ("system call", "#333333", (Cause.SYSCALL,)),
)


class Bar(NamedTuple):
    """What the picture says of one mechanism; ``parts`` in seconds, as in ``PARTS``."""

    name: str
    parts: list[float]
    seconds: float
    huge: float
    slots: int
    refused: int


def _timed(variant: Variant) -> Variant:
    """Return a variant that also says where the time of the first thread went."""

    def steps(simulation: Simulation) -> dict:
        values = variant.steps(simulation) or {}
        spent = simulation.spent[0]
        return values | {cause.name.lower(): int(spent[cause]) for cause in Cause}

    return replace(variant, steps=steps)


def study() -> Study:
    """Return ``mechanisms``, with columns for the time of the thread that calls."""
    plain = mechanisms.build(
        mechanisms.Parameters(memory=MEMORY, thp=Thp(enabled="always"))
    )
    times = tuple(
        Column(cause.name.lower(), "time", "ns", f"first thread: {cause.name}")
        for cause in Cause
    )
    variants = tuple(_timed(variant) for variant in plain.variants)
    return replace(plain, variants=variants, columns=(*plain.columns, *times))


def bars() -> list[Bar]:
    """Run the study; return a bar for each mechanism."""
    return [
        Bar(
            row["mechanism"],
            [
                sum(row[cause.name.lower()] for cause in causes) / 1e9
                for _, _, causes in PARTS
            ],
            row["run_time_ns"] / 1e9,
            row["thp_share"],
            row["swap_slots_peak"],
            row["pages_refused"],
        )
        for row in run_study(study())
    ]


def title(found: list[Bar]) -> str:
    """Return what was found, in two lines."""
    time = {bar.name: bar.seconds for bar in found}
    best = min(time, key=time.__getitem__)
    faster, slower = time["none"] / time[best], time["lazy_migcache"] / time["none"]
    return (
        f"After threads move, {best} makes the run {faster:.1f} times as fast and"
        f" keeps\nall huge pages; the migration cache makes it {slower:.1f} times as"
        " slow"
    )


def _note(bar: Bar) -> str:
    """Return what the right side says in words."""
    slots = f"{bar.slots:,} swap slots" if bar.slots else "no swap slots"
    more = f"\n{bar.refused / 1e6:.1f} M pages refused" if bar.refused else ""
    return f"{100 * bar.huge:.0f} %, {slots}{more}"


def draw(found: list[Bar], path: str) -> None:
    """Write the picture."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.2, 4.5), width_ratios=(2.1, 1), layout="constrained"
    )
    rows = range(len(found))
    begin = [0.0] * len(found)
    for part, (label, colour, _) in enumerate(PARTS):
        width = [bar.parts[part] for bar in found]
        left.barh(
            rows,
            width,
            left=begin,
            color=colour,
            label=label,
            edgecolor="white",
            linewidth=0.5,
        )
        begin = [at + wide for at, wide in zip(begin, width, strict=True)]
    longest = max(max(begin), max(bar.seconds for bar in found))
    for row, bar in zip(rows, found, strict=True):
        end = max(begin[row], bar.seconds)
        left.text(end + longest / 80, row, f"{bar.seconds:.1f} s", va="center")
    left.set_yticks(rows, [bar.name for bar in found])
    left.set_xlim(0, longest * 1.12)
    left.set_xlabel("simulated s of the thread that calls; number: whole run")
    right.barh(rows, [100 * bar.huge for bar in found], color="#CCCCCC")
    for row, bar in zip(rows, found, strict=True):
        right.text(3, row, _note(bar), va="center", linespacing=1.05)
    right.set_yticks([])
    right.set_xlim(0, 100)
    right.set_xlabel("memory still in huge pages, %")
    for axes in (left, right):
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=len(PARTS), frameon=False)
    figure.suptitle(title(found), fontsize=13, fontweight="bold")
    figure.savefig(path, metadata={"Date": None} if path.endswith("svg") else None)


def main() -> None:
    """Run, and draw."""
    plt.rcParams.update(
        {"svg.hashsalt": "lazynuma", "svg.fonttype": "path", "font.size": 11.5}
    )
    found = bars()
    for path in sys.argv[1:]:
        draw(found, path)


if __name__ == "__main__":
    main()

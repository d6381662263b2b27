"""Ours beside a published table, on a screen of 80 columns."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from ..common.table import Row, blocks, count, percent, seconds
from .programs import LOADS
from .published import Kernel, Table

#: Rows by (program, kernel).
Cells = Mapping[tuple[str, str], Row]


def cells(rows: Iterable[Row]) -> Cells:
    """Return the rows of a study by program and kernel."""
    return {(row["workload"], row["variant"]): row for row in rows}


def kernels_of(table: Table, there: Cells) -> dict[str, Kernel]:
    """Return the kernels of a table that were run."""
    ran = {kernel for _, kernel in there}
    return {name: one for name, one in table.kernels.items() if name in ran}


def elapsed(table: Table, there: Cells, programs: list[str]) -> str:
    """Return elapsed seconds of each kernel, and their ratios."""
    shown = [("elapsed", programs)]
    for name, kernel in kernels_of(table, there).items():
        if not kernel.elapsed:
            continue
        ours = [there[one, name]["run_time_ns"] / 1e9 for one in programs]
        theirs = [kernel.elapsed[one] for one in programs]
        shown += _beside(name, ours, theirs)
    for above, below in table.ratios:
        if not {above, below} <= set(kernels_of(table, there)):
            continue
        ours = [_ratio(there, one, above, below) for one in programs]
        theirs = [published_ratio(table, one, above, below) for one in programs]
        name = f"{above}/{below}"
        shown += [
            (f"{name} here", [f"{one:.2f}" for one in ours]),
            (f"{name} published", [f"{one:.2f}" for one in theirs]),
            (f"{name} error", errors(ours, theirs)),
        ]
    return blocks(shown)


def _ratio(there: Cells, program: str, above: str, below: str) -> float:
    times = [there[program, name]["run_time_ns"] for name in (above, below)]
    return float(times[0] / times[1])


def published_ratio(table: Table, program: str, above: str, below: str) -> float:
    """Return the published elapsed time of a kernel over that of another."""
    kernels = table.kernels
    return kernels[above].elapsed[program] / kernels[below].elapsed[program]


def system(table: Table, there: Cells, programs: list[str]) -> str:
    """Return the System seconds of each kernel, spinning on locks among them."""
    everything = set(programs) == set(LOADS)
    lines = [*programs, "together"] if everything else programs
    shown = [("System", lines)]
    for name, kernel in kernels_of(table, there).items():
        ours = [there[one, name]["system_time_ns"] / 1e9 for one in programs]
        theirs = [kernel.system.get(one) for one in programs]
        if everything:
            ours, theirs = [*ours, sum(ours)], [*theirs, kernel.system_total]
        if any(theirs):
            shown += _beside(name, ours, theirs)
    return blocks(shown) if len(shown) > 1 else ""


def counts(table: Table, there: Cells, programs: list[str]) -> str:
    """Return the counts of all programs together."""
    kernels = kernels_of(table, there)
    names = list(dict.fromkeys(n for one in kernels.values() for n in one.counts))
    shown = [("all programs", [_heading(name) for name in names])]
    for name, kernel in kernels.items():
        if not kernel.counts:
            continue
        ours = [total(there, programs, name, counter) for counter in names]
        theirs = [kernel.counts.get(counter) for counter in names]
        shown += _beside(name, ours, theirs, count)
    return blocks(shown)


def total(there: Cells, programs: list[str], kernel: str, counter: str) -> int:
    """Return a count of a kernel, all programs together."""
    return sum(int(there[one, kernel][counter]) for one in programs)


def _heading(counter: str) -> str:
    return counter.removeprefix("numa_").replace("_", " ")


def _seconds(one: float) -> str:
    return seconds(1e9 * one)


def _beside(
    name: str,
    ours: Sequence[float],
    theirs: Sequence[float | None],
    show: Callable[..., str] = _seconds,
) -> list[tuple[str, list[str]]]:
    """Return three columns: ours, what was published, and the error."""
    return [
        (f"{name} here", [show(one) for one in ours]),
        (f"{name} published", ["-" if one is None else show(one) for one in theirs]),
        (f"{name} error", errors(ours, theirs)),
    ]


def errors(here: Iterable[float], there: Iterable[float | None]) -> list[str]:
    """Return how far ours are from what was published."""
    return [percent(a / b - 1) if b else "-" for a, b in zip(here, there, strict=True)]

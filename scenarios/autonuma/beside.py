"""Ours beside a published table, on a screen of 80 columns."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from ..common.table import Row, blocks, count, percent, seconds
from .programs import LOADS
from .published import TICKS, Kernel, Table

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
    """Return the System seconds of each kernel, ticks and spinning on locks in them."""
    everything = set(programs) == set(LOADS)
    lines = [*programs, "together"] if everything else programs
    figures = {
        name: _system_of(kernel, name, there, programs, everything)
        for name, kernel in kernels_of(table, there).items()
    }
    shown = [("System", lines)]
    for name, (ours, theirs) in figures.items():
        if any(theirs):
            shown += _beside(name, ours, theirs)
    for above, below in table.ratios:
        if not {above, below} <= set(figures):
            continue
        here, published = (_over(figures[above][i], figures[below][i]) for i in (0, 1))
        if any(published):
            shown += _beside(f"{above}/{below}", here, published, _times)
    return blocks(shown) if len(shown) > 1 else ""


def system_ns(row: Row) -> float:
    """Return the System time of a row, and that of the ticks which the model lacks."""
    return row["system_time_ns"] + TICKS * row["user_time_ns"]


def _system_of(
    kernel: Kernel, name: str, there: Cells, programs: list[str], everything: bool
) -> tuple[list[float], list[float | None]]:
    """Return System seconds of each program and of all together: (ours, published)."""
    ours = [system_ns(there[one, name]) / 1e9 for one in programs]
    theirs = [kernel.system.get(one) for one in programs]
    if everything:
        ours, theirs = [*ours, sum(ours)], [*theirs, kernel.system_total]
    return ours, theirs


def _over(
    above: Iterable[float | None], below: Iterable[float | None]
) -> list[float | None]:
    """Return ratios; None if one of the two is not known, or nothing."""
    return [a / b if a and b else None for a, b in zip(above, below, strict=True)]


def _times(one: float | None) -> str:
    return "-" if one is None else f"{one:.2f}"


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
    return blocks(shown) if names else ""


def more(table: Table, there: Cells, programs: list[str]) -> str:
    """Return what the first kernel of the first pair has more of than the second."""
    if not table.more or not set(table.ratios[0]) <= set(kernels_of(table, there)):
        return ""
    ours = [excess(table, there, programs, one) for one in table.more]
    name = " less ".join(table.ratios[0])
    shown = [("all programs", [_heading(one) for one in table.more])]
    return blocks(shown + _beside(name, ours, list(table.more.values()), count))


def excess(table: Table, there: Cells, programs: list[str], counter: str) -> int:
    """Return a count of the first kernel of the first pair, less that of the second."""
    above, below = table.ratios[0]
    first = total(there, programs, above, counter)
    return first - total(there, programs, below, counter)


def total(there: Cells, programs: list[str], kernel: str, counter: str) -> int:
    """Return a count of a kernel, all programs together."""
    return sum(int(there[one, kernel][counter]) for one in programs)


def _heading(counter: str) -> str:
    return counter.removeprefix("numa_").replace("_", " ")


def _seconds(one: float) -> str:
    return seconds(1e9 * one)


def _beside(
    name: str,
    ours: Sequence[float | None],
    theirs: Sequence[float | None],
    show: Callable[..., str] = _seconds,
) -> list[tuple[str, list[str]]]:
    """Return three columns: ours, what was published, and the error."""
    return [
        (f"{name} here", [show(one) for one in ours]),
        (f"{name} published", ["-" if one is None else show(one) for one in theirs]),
        (f"{name} error", errors(ours, theirs)),
    ]


def errors(here: Iterable[float | None], there: Iterable[float | None]) -> list[str]:
    """Return how far ours are from what was published."""
    return ["-" if one is None else percent(one - 1) for one in _over(here, there)]

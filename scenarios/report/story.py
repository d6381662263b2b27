"""What a run has to tell: its variants in order, their colours and a sentence."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...engine.study.figures import listed, seconds
from . import palette

#: Variants that have a colour, a name at their line and a picture of their own.
SHOWN = len(palette.VARIANTS)
#: Most small pictures side by side of one kind.
PANELS = 12
_UNITS = ((3600e9, "h", 2), (1e9, "s", 1), (1e6, "ms", 1), (1e3, "us", 1), (1, "ns", 0))


class Axis(NamedTuple):
    """The unit that times are drawn in."""

    unit: str
    length: float


class Story:
    """The file of a run, as ``gather`` has it, in the words of its pictures.

    Variants go by their numbers in the file.
    """

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.found = found
        self.rows: Sequence[Mapping[str, Any]] = found["rows"]
        self.dimensions: list[str] = found["dimension"].split(", ")
        self.names = [
            ", ".join(str(row[one]) for one in self.dimensions) for row in self.rows
        ]
        #: The names as a sentence has them.
        self.told = [f"({one})" if ", " in one else one for one in self.names]
        self.series: Sequence[Mapping[str, list]] = found["series"]
        self.nodes: Sequence[int] = found["nodes"]
        self._colours = self._coloured()

    def _coloured(self) -> list[str]:
        """Return the colour of each variant, by the last thing that they differ in."""
        keys = [str(row[self.dimensions[-1]]) for row in self.rows]
        order = list(dict.fromkeys(keys))
        colours = [light for light, _ in palette.VARIANTS]
        colours += [palette.OTHERS[0]] * (len(order) - len(colours))
        return [colours[order.index(key)] for key in keys]

    @property
    def stem(self) -> str:
        """The name of the file without its ending."""
        return Path(self.found["file"]).stem

    @property
    def many(self) -> bool:
        """Whether there are more variants than colours."""
        return len({row[self.dimensions[-1]] for row in self.rows}) > SHOWN

    def colour(self, variant: int) -> str:
        """Return the colour of a variant, which is its own throughout a page."""
        return self._colours[variant]

    def node_colour(self, node: int) -> str:
        """Return the colour of a node, by its number."""
        places = sorted({*self.nodes, node})
        return palette.nodes(len(places))[places.index(node)]

    def time(self, variant: int) -> float | None:
        """Return the simulated time of a variant that has ended, None for others."""
        return self.rows[variant].get("run_time_ns")

    @property
    def ranked(self) -> bool:
        """Whether the times of variants that do the same work are to be compared."""
        column = self.found["columns"].get("run_time_ns")
        return column is not None and column["style"] == "ratio"

    @property
    def works(self) -> dict[str, list[int]]:
        """The variants by the work that they do, in the order of the file."""
        works: dict[str, list[int]] = {}
        for variant, work in enumerate(self.found["work"]):
            works.setdefault(work, []).append(variant)
        return works

    @property
    def order(self) -> list[int]:
        """The variants of each work by their time, those without one last.

        In the order of the file if their times are not to be compared.
        """
        if not self.ranked:
            return list(range(len(self.rows)))
        return [
            variant
            for variants in self.works.values()
            for variant in sorted(
                variants, key=lambda one: (self.time(one) is None, self.time(one))
            )
        ]

    @property
    def shown(self) -> list[int]:
        """The variants that have small pictures of their own, in order."""
        return self.order[:PANELS]

    def groups(self) -> Iterator[tuple[str, list[int]]]:
        """Yield (heading, variants) of each line picture, ``PANELS`` at most.

        One for all variants, or one for each value of the dimensions before the last.
        """
        if len(self.dimensions) == 1:
            yield "", self.order
            return
        headings = [self._heading(row) for row in self.rows]
        for heading in list(dict.fromkeys(headings))[:PANELS]:
            yield heading, [i for i in self.order if headings[i] == heading]

    def _heading(self, row: Mapping[str, Any]) -> str:
        """Return the values of the dimensions before the last."""
        return ", ".join(str(row[name]) for name in self.dimensions[:-1])

    def short(self, variant: int) -> str:
        """Return a variant's name inside of its group."""
        return str(self.rows[variant][self.dimensions[-1]])

    def axis(self) -> Axis:
        """Return the unit of time for all pictures of the run."""
        return time_axis(self.longest)

    @property
    def longest(self) -> float:
        """When the last epoch of all ended, ns."""
        return max(map(self.last, range(len(self.rows))))

    def last(self, variant: int) -> float:
        """Return when the last epoch of a variant ended, 0 if it has none, ns."""
        times = self.series[variant]["time_ns"]
        return times[-1] if times else 0

    def verdict(self) -> str:
        """Return the verdict of the file, or how far the run has come."""
        return self.found.get("verdict") or self._unfinished()

    @property
    def is_empty(self) -> bool:
        """Whether no variant has come to the end of an epoch."""
        return not self.longest and not any(row["ended"] for row in self.rows)

    def _unfinished(self) -> str:
        ended = [i for i in self.order if self.rows[i]["ended"]]
        if len(ended) == len(self.rows):
            return ""
        so = f"{len(ended)} of {len(self.rows)} variants have ended."
        timed = [i for i in ended if self.time(i) is not None]
        if not timed or not self.ranked or len(self.works) > 1:
            return so
        best = min(timed, key=lambda i: self.time(i) or 0)
        return f"{so} The fastest of them is {self.names[best]}: {self.took(best)}."

    def took(self, variant: int) -> str:
        """Return the time of a variant for people."""
        time = self.time(variant)
        if time is not None:
            return seconds(time)
        return "killed" if self.rows[variant]["ended"] else "not ended"


def time_axis(longest: float) -> Axis:
    """Return the unit in which a time is at least one or two, and its length in ns."""
    for length, unit, least in _UNITS:
        if longest >= length * least:
            return Axis(unit, length)
    return Axis("ns", 1)


def few(names: Sequence[str], most: int = 3) -> str:
    """Return names as a sentence has them: ``a, b and 4 others``."""
    if len(names) > most + 1:
        names = [*names[:most], f"{len(names) - most} others"]
    return listed(list(names))


def percent(share: float) -> str:
    """Return a share as a whole number of percent: ``83 %``."""
    return f"{100 * share:.0f} %"

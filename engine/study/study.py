"""What a scenario hands to the runner: one question, several variants, some columns.

A study is plain data.  Its variants differ in one thing (the mechanism, the swap size
...) and are run one after the other by ``engine.run.run_study``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import product
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from ..settings.costs import Costs
from .columns import Column, Records
from .handed import check_study, check_variant

if TYPE_CHECKING:
    from ..doors.lazy_design import LazyDesign
    from ..doors.placement_policy import PlacementPolicy
    from ..machines.machine import Machine
    from ..settings.settings import Settings
    from ..simulation import Simulation


#: A name, or one for each of several dimensions.
Name = str | tuple[str, ...]


#: Most characters of names that an error shows.
_SHOWN = 400


def scales(dimension: Name, variants: Sequence[Name]) -> dict[str, list[str]]:
    """Return the dimensions, and the values of each in order.

    Raises BadInput if variants of several dimensions are not every value of each with
    every value of the others, the last running fastest.
    """
    if isinstance(dimension, str):
        return {dimension: [label(variant) for variant in variants]}
    values = [list(dict.fromkeys(names)) for names in zip(*variants, strict=True)]
    if list(product(*values)) != list(variants):
        raise BadInput(
            f"{label(dimension)} must have every value of the one with every value of"
            f" the other, in order, got {', '.join(map(label, variants))[:_SHOWN]}"
        )
    return dict(zip(dimension, values, strict=True))


def named(dimension: Name, variant: Name) -> dict[str, str]:
    """Return a variant's value of each dimension."""
    if isinstance(dimension, str):
        return {dimension: label(variant)}
    return dict(zip(dimension, variant, strict=True))


def label(name: Name) -> str:
    """Return a name as one text."""
    return name if isinstance(name, str) else ", ".join(name)


@dataclass(frozen=True)
class Variant:
    """One run of a study.

    ``name`` is its value of the study's dimension, or one of each if it has several.
    ``steps`` drives the simulation and returns the values of the study's own columns,
    by name, if it has any.  ``accesses`` (events expected) feeds the progress bar,
    ``mapped_pages`` (most 4 KiB pages mapped at once) the estimate of the host memory
    needed.  ``costs`` changes the cost model of the run for this variant alone.
    ``daemons``: objects with ``wakes_ns`` and ``wake``; each run starts copies of them.
    ``policy`` has functions of one's own that decide where pages go.
    ``lazy`` is a design of lazy migration of one's own, for ``Mechanism.OWN``.
    Raises BadInput if a field is not what it must be.
    """

    name: Name
    machine: Machine
    settings: Settings
    steps: Callable[[Simulation], dict | None]
    accesses: int
    mapped_pages: int
    costs: Callable[[Costs], Costs] | None = None
    daemons: tuple[Any, ...] = ()
    policy: PlacementPolicy | None = None
    lazy: LazyDesign | None = None

    def __post_init__(self) -> None:
        check_variant(self)


@dataclass(frozen=True)
class Study:
    """A question, the variants that answer it, and what is shown of each.

    ``question``: its first line is the title of the file and of the table, so that a
    scenario may give its docstring.
    ``dimension`` names what the variants differ in, and the dimension of ``/summary``.
    It may be several: the variants then are every value of each with every value of
    the others, the last running fastest.
    ``report`` makes the text for the screen if the plain table will not do.
    ``records`` are more groups of the file.
    ``verdict`` makes one or two sentences from the rows, if not the fastest variant is
    the best (``verdict.fastest``).
    ``group`` gives what the rows have in common whose times are compared with each
    other; all rows are compared if it is left out.
    ``varied`` names settings (``balancing.mode``) that the variants are about, beside
    those which differ among them: a user cannot set them.
    ``compared`` names what variants are ranked by with ``--uncertainty``: a column or a
    value of ``Simulation.summary``; the shortest time (``_ns``) is best, of anything
    else the most.
    ``related`` makes what hangs on several rows, such as a gain: from all rows, when
    all have ended, the values that replace those of each.  Steps must not look at other
    variants: these may run at the same time, in another process.
    ``kept`` names what steps return beside the columns and the rows keep, for the
    report: plain values, as JSON has them.
    Raises BadInput if a field is not what it must be, there is no variant, two have one
    name, or one of several dimensions lacks a value of another.
    """

    question: str
    dimension: Name
    variants: tuple[Variant, ...]
    columns: tuple[Column, ...]
    report: Callable[[Study, list[dict]], str] | None = None
    records: tuple[Records, ...] = ()
    verdict: Callable[[Study, list[dict]], str] | None = None
    group: Callable[[dict], str] | None = None
    varied: tuple[str, ...] = ()
    compared: str = "run_time_ns"
    related: Callable[[list[dict]], list[dict]] | None = None
    kept: tuple[str, ...] = ()

    def work_of(self, name: Name) -> str:
        """Return what work a variant does: those of the same are compared."""
        return self.group(named(self.dimension, name)) if self.group else ""

    def __post_init__(self) -> None:
        check_study(self, Variant)
        title = self.question.strip().partition("\n")[0]
        object.__setattr__(self, "question", title)
        names = [variant.name for variant in self.variants]
        if not names:
            raise BadInput(
                f"{label(self.dimension)} must have at least one value, got none"
            )
        if len(set(names)) < len(names):
            raise BadInput(
                f"{label(self.dimension)} must have different values, got {names}"
            )
        scales(self.dimension, names)

    def _repr_html_(self) -> str:
        """Return the question and the variants, as a notebook shows them."""
        names = (f"<li>{escape(label(one.name))}</li>" for one in self.variants)
        return (
            f"<p><b>{escape(self.question)}</b></p>"
            f"<p>{escape(label(self.dimension))}:</p><ul>{''.join(names)}</ul>"
        )

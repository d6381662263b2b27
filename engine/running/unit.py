"""One run of many: a variant of a study with a seed, perhaps with a cost changed."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from ..study.study import Study, Variant, label
from ..study.uncertainty import Change, changed
from .row_observer import Put
from .run_variant import Outcome

if TYPE_CHECKING:
    from .checkpoints import Checkpoints


@dataclass(frozen=True)
class Unit:
    """What is run on its own, here or by a worker.

    index   of the variant in the study
    seed    of its draws
    change  of a cost, if there is one
    keeps   whether its rows are kept
    """

    index: int
    seed: int
    change: Change | None = None
    keeps: bool = False

    def variant(self, study: Study) -> Variant:
        """Return the variant that is run."""
        variant = study.variants[self.index]
        return variant if self.change is None else changed(variant, self.change)


def with_seed(variant: Variant, seed: int) -> Variant:
    """Return a variant under a name that tells its seed."""
    return replace(variant, name=f"{label(variant.name)}, seed {seed}")


class Desk(Protocol):
    """Who is told what units do; it may raise what ends all of them."""

    def put(self, unit: Unit) -> Put | None:
        """Return what takes the rows of a unit, None if they are not kept."""

    def progress(self, unit: Unit, accesses: int, now_ns: int) -> None:
        """Take note of ``accesses`` more: first of all 0, and 0 now and then."""

    def end(self, unit: Unit, outcome: Outcome) -> None:
        """Take what a unit came to."""

    @property
    def checkpoints(self) -> "Checkpoints | None":
        """The checkpoints of the run, if it has any."""

"""What tasks do: streams of accesses, made inside the kernels from these parameters.

Every class is one kind of ``docs/model/quantum.md`` 5.  ``count`` is the number of
accesses; ``for_ns`` is given instead if they are to last for simulated time.  ``refs``
are the cache-line references that an access stands for, ``write`` is the share of
writes.  ``first`` and ``pages`` restrict it to a part of the region (4 KiB pages; None:
to its end).
"""

from dataclasses import dataclass
from math import gcd
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from ...kernels.words import REFS_CLASSES
from ..errors import BadInput

if TYPE_CHECKING:
    from ..state.process import Region, Task

#: Fields that are numbers of accesses or pages.
_WHOLE = set(
    "count for_ns first pages start stride hot_pages period period_ns step halo"
    " lower upper shift".split()
)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What all kinds have in common."""

    task: "Task"
    region: "Region"
    count: int | None = None
    for_ns: int | None = None
    refs: int = 64
    write: float = 0.5
    first: int = 0
    pages: int | None = None

    @property
    def streamed(self) -> bool:
        """Whether it is paid by bandwidth, as prefetchers foresee it, or by latency."""
        return False

    @property
    def length(self) -> int:
        """Pages that the workload covers."""
        return self.region.pages - self.first if self.pages is None else self.pages

    @property
    def classes(self) -> tuple[int, ...]:
        """All values of ``refs`` that an access may have."""
        return (self.refs,)

    def __post_init__(self) -> None:
        _check(self)
        _check_refs(self.classes)


@dataclass(frozen=True, kw_only=True)
class Sweep(Workload):
    """Pages in order, ``stride`` apart, round and round.

    ``streamed``: paid by bandwidth, as bzero is; otherwise by latency.
    """

    start: int = 0
    stride: int = 1
    write: float = 1.0
    streamed: bool = False


@dataclass(frozen=True, kw_only=True)
class Uniform(Workload):
    """Pages at random, all alike."""


@dataclass(frozen=True, kw_only=True)
class Gups(Workload):
    """Random updates of single words (RandomAccess of the HPC Challenge suite)."""

    refs: int = 1
    write: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Zipf(Workload):
    """Rank k with probability about 1 / k**exponent; ranks are scattered.

    All ranks move ``step`` pages on after every ``period_ns`` of simulated time.
    """

    exponent: float = 1.0
    period_ns: int | None = None
    step: int = 0

    @property
    def odd(self) -> int:
        """Multiplier that scatters the ranks over the pages."""
        return coprime(self.length)


@dataclass(frozen=True, kw_only=True)
class HotCold(Workload):
    """``hot_share`` of the accesses go to ``hot_pages`` pages.

    The hot window moves ``step`` pages on after every ``period`` accesses, and after
    every ``period_ns`` of simulated time since the run began, as a quantum's start has
    it.
    """

    hot_pages: int
    hot_share: float = 0.9
    period: int = 1 << 62
    period_ns: int | None = None
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class Stream(Workload):
    """Triad a = b + s c over three thirds of the region, paid by bandwidth."""

    @property
    def streamed(self) -> bool:
        """Bandwidth pays."""
        return True


@dataclass(frozen=True, kw_only=True)
class Stencil(Workload):
    """A slab that is swept again and again, with its neighbours' ``halo`` pages.

    ``lower`` and ``upper`` are the first page offsets of the neighbours' halo pages
    in the region, or None at an end.
    """

    halo: int = 1
    lower: int | None = None
    upper: int | None = None


@dataclass(frozen=True, kw_only=True)
class NextTouch(Workload):
    """Every page once in scattered order, then again from the start."""

    shift: int = 0
    write: float = 1.0

    @property
    def odd(self) -> int:
        """Step between successive pages."""
        return coprime(self.length)


@dataclass(frozen=True, kw_only=True)
class Recorded(Workload):
    """Accesses of one task: ``vpn`` int64[count] offsets in the region, ``writes``.

    What several tasks did in some order is a ``Recording``.
    """

    vpn: np.ndarray
    writes: np.ndarray


def coprime(n: int) -> int:
    """Return an odd number near the golden section of ``n`` with no common divisor."""
    odd = int(n * 0.6180339887498949) | 1
    while gcd(odd, n) != 1:
        odd += 2
    return odd


def _check_refs(classes: tuple[int, ...]) -> None:
    if not 1 <= len(classes) <= REFS_CLASSES or len(set(classes)) < len(classes):
        got = ", ".join(str(one) for one in classes)
        raise BadInput(f"refs must be 1 to {REFS_CLASSES} different ones, got {got}")
    for one in classes:
        if not isinstance(one, Integral):
            raise BadInput(f"refs must be an integer, got {one!r}")
        if one < 1:
            raise BadInput(f"refs must be at least 1, got {one}")


def _check(load: Workload) -> None:
    for name in _WHOLE & vars(load).keys():
        value = getattr(load, name)
        if value is not None and not isinstance(value, Integral):
            raise BadInput(f"{name} must be an integer, got {value!r}")
    if load.count is not None and load.for_ns is not None:
        raise BadInput("count or for_ns must be given, got both")
    least = {"count": 0, "for_ns": 1, "period": 1, "period_ns": 1}
    for name, low in least.items():
        value = getattr(load, name, None)
        if value is not None and value < low:
            raise BadInput(f"{name} must be at least {low}, got {value}")
    if not 0 <= load.write <= 1:
        raise BadInput(f"write must be from 0 to 1, got {load.write}")
    if load.length < 1 or load.first < 0:
        raise BadInput(f"pages must be at least 1, got {load.length}")
    if load.first + load.length > load.region.pages:
        raise BadInput(
            f"pages {load.first} to {load.first + load.length} must lie in the region"
            f" of {load.region.pages} pages"
        )

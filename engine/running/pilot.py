"""How long a study will take on this host: each variant runs a moment and is ended."""

import time
import warnings
from typing import NamedTuple

from ...kernels.jit.compiling import Compiling, compiled
from ..study.study import Name, Study, Variant
from .row_observer import RowObserver
from .run_variant import Setup, run_variant

#: How long a variant runs at least after its first access, and at most.
_MOMENT_S, _PATIENCE_S = 0.2, 2.0
#: A variant is fit to be measured when it has served so many accesses.
_ENOUGH = 200_000
#: Accesses a second that variants of our scenarios are served at, if none was measured.
KNOWN_RATES = 2e6, 40e6
#: What a variant takes beside its accesses.
_BESIDE_S = 0.05
#: The time is known but for this factor: a variant does not go on as it begins.
_DOUBT = 2.0


class Pace(NamedTuple):
    """What was seen of the variants of a study, by their names.

    rates  accesses a second, of those that were ended
    ended  (wall seconds, accesses expected), of those that ended in a moment
    """

    rates: dict[Name, float]
    ended: dict[Name, tuple[float, int]]


class _Enough(BaseException):
    """A variant has run for a moment."""


class _NotCompiled(BaseException):
    """A kernel is missing, and nobody wants to wait for the compiler."""


def measured_pace(study: Study, setup: Setup) -> Pace | None:
    """Run each variant for a moment; None if the kernels are not compiled yet.

    A variant that fails, or is not seen to access anything, has no part in it.
    """
    pace = Pace({}, {})
    before, compiled.tell = compiled.tell, _refuse
    try:
        for variant in study.variants:
            _see(study, variant, setup, pace)
    except _NotCompiled:
        return None
    finally:
        compiled.tell = before
    return pace


def _refuse(compiling: Compiling) -> None:
    raise _NotCompiled


def _see(study: Study, variant: Variant, setup: Setup, pace: Pace) -> None:
    """Add to ``pace`` what a variant shows in a moment."""
    begin = time.perf_counter()
    moment = _Moment()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run_variant(study, variant, setup, RowObserver(None, moment.progress))
        took = time.perf_counter() - begin
        pace.ended[variant.name] = took, variant.accesses
    except _Enough:
        if moment.served:
            pace.rates[variant.name] = moment.rate
    except Exception:  # the run itself will say it
        return


class _Moment:
    """Measures the rate of a variant from its first accesses on, and ends it."""

    def __init__(self) -> None:
        self.served = 0
        self.begin = self.end = 0.0

    def progress(self, accesses: int, now_ns: int) -> None:
        self.end = time.perf_counter()
        if not self.begin:
            self.begin = self.end if accesses else 0.0
            return
        self.served += accesses
        took = self.end - self.begin
        if took >= _MOMENT_S and (self.served >= _ENOUGH or took >= _PATIENCE_S):
            raise _Enough

    @property
    def rate(self) -> float:
        return self.served / (self.end - self.begin)


def time_needed(study: Study, pace: Pace | None) -> tuple[float, float] | None:
    """Return the least and the most wall seconds that a study may take, one by one.

    pace  of this study or of one like it: variants that it lacks go at the mean rate.
          Without it, known rates are taken.

    None if a variant does not say how many accesses it has, and was not seen to end.
    """
    low = high = 0.0
    for variant in study.variants:
        took = _variant_time(variant, pace)
        if took is None:
            return None
        low, high = low + took[0], high + took[1]
    return low, high


def _variant_time(variant: Variant, pace: Pace | None) -> tuple[float, float] | None:
    if pace is not None and variant.name in pace.ended:
        took, accesses = pace.ended[variant.name]
        took *= variant.accesses / accesses if accesses else 1
        return took / _DOUBT, took * _DOUBT
    if not variant.accesses:
        return None
    slow, fast = KNOWN_RATES
    rate = _rate(variant, pace)
    if rate:
        slow, fast = rate / _DOUBT, rate * _DOUBT
    return variant.accesses / fast + _BESIDE_S, variant.accesses / slow + _BESIDE_S


def _rate(variant: Variant, pace: Pace | None) -> float:
    """Return the rate of a variant, the mean of others, or 0 if none is known."""
    if pace is None or not pace.rates:
        return 0.0
    mean = len(pace.rates) / sum(1 / rate for rate in pace.rates.values())
    return pace.rates.get(variant.name, mean)

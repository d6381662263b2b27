"""Numbers as people read them: counts, times, shares, ratios."""

import math

# Unit of time, its length in ns, the smallest number of units that is shown in it.
_UNITS = (
    ("days", 86_400e9, 1),
    ("h", 3_600e9, 2),
    ("s", 1e9, 1),
    ("ms", 1e6, 1),
    ("us", 1e3, 1),
)


def count(number: float) -> str:
    """Return a number for people: ``12,345``, ``33.6 M``, ``0.25``."""
    if math.isnan(number):
        return "-"
    if abs(number) < 1_000_000:
        return f"{number:,}" if isinstance(number, int) else _three_digits(number)
    power = 0
    while abs(number) >= 999.5 and power < 5:
        number /= 1000
        power += 1
    return f"{_three_digits(number)} {' kMGTP'[power]}"


def seconds(nanoseconds: float) -> str:
    """Return a time for people: ``7.59 days``, ``1,203 s``, ``3.40 ms``."""
    for unit, length, least in _UNITS:
        if nanoseconds >= least * length:
            return f"{_three_digits(nanoseconds / length)} {unit}"
    return f"{nanoseconds:.0f} ns" if nanoseconds >= 0 else "-"


def percent(fraction: float) -> str:
    """Return a fraction for people: ``12.5 %``, ``-`` for NaN."""
    return "-" if math.isnan(fraction) else f"{100 * fraction:.1f} %"


def ratio(value: float, base: float) -> str:
    """Return ``value`` as a multiple of ``base``: ``x1.43``, ``-`` if there is none."""
    return f"x{_three_digits(value / base)}" if base > 0 and value == value else "-"


def listed(names: list[str], last: str = "and") -> str:
    """Return names as a sentence has them: ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def _three_digits(number: float) -> str:
    """Return ``number`` with at least three digits and at most two decimals."""
    size = abs(number)
    decimals = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{number:,.{decimals}f}"

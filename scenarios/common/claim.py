"""A published figure beside ours: is it reproduced, and if not, why not?

A scenario that is held against published figures has ``claims(parameters, rows)``,
which returns a ``Claim`` for each of them, or none at a reduced size.
``docs/claims.py`` makes docs/claims.md of them.
"""

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from ...engine.settings.parameters import describe

#: How far ours may be from what was published, as a share of that.
NEAR = 0.25
#: A ratio or a share that differs by less than this from that of no effect has none.
NOTHING = 0.02
_WIDTH = 80
_NEVER = "never"


class Word(StrEnum):
    """What became of a published figure."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    WRONG_SIGN = "wrong sign"


class Why(NamedTuple):
    """A sentence on what became of a figure, true as long as that does not change."""

    word: Word
    text: str


class Claim(NamedTuple):
    """A published figure and ours.

    what    what is measured, in a few words
    low, high  the published figure, or its range; NaN: it never happened
    ours    our figure, NaN: never
    show    turns a figure into text
    none    the figure of no effect: ours beyond it has the wrong sign; None: a figure
            without a sign, such as a count
    why     a sentence for what is to be explained
    """

    what: str
    low: float
    high: float
    ours: float
    show: Callable[[float], str]
    none: float | None = None
    why: Why | None = None

    @property
    def word(self) -> Word:
        """Whether it is reproduced.

        It is if ours is within a quarter of the effect: of what the figure is above or
        below that of no effect.
        """
        if math.isnan(self.low) or math.isnan(self.ours):
            both = math.isnan(self.low) and math.isnan(self.ours)
            return Word.REPRODUCED if both else Word.NOT_REPRODUCED
        low, high, ours = (one - (self.none or 0) for one in self._figures())
        if self.none is not None and ours * (low + high) < 0 and abs(ours) >= NOTHING:
            return Word.WRONG_SIGN
        slack = NEAR * min(abs(low), abs(high))
        near = low - slack <= ours <= high + slack
        return Word.REPRODUCED if near else Word.NOT_REPRODUCED

    @property
    def published(self) -> str:
        """The published figure as text."""
        if self.low == self.high or math.isnan(self.low):
            return self.text(self.low)
        return f"{self.text(self.low)} to {self.text(self.high)}"

    @property
    def explained(self) -> str:
        """Why it is so; empty if nobody has said that of this outcome."""
        fits = self.why is not None and self.why.word == self.word
        return self.why.text if self.why and fits else ""

    def text(self, figure: float) -> str:
        """Return a figure as text."""
        return _NEVER if math.isnan(figure) else self.show(figure)

    def _figures(self) -> tuple[float, float, float]:
        return self.low, self.high, self.ours


def figure(what: str, published: float, ours: float, **more: object) -> Claim:
    """Return a claim of one published figure; ``more``: other fields of ``Claim``."""
    return Claim(what, published, published, ours, **more)  # type: ignore[arg-type]


def times(number: float) -> str:
    """Return a ratio as text."""
    return f"x{number:.2f}"


def wrong_signs(claims: Iterable[Claim]) -> list[str]:
    """Return lines that say which published effects come out the other way round."""
    lines = []
    for claim in claims:
        if claim.word == Word.WRONG_SIGN:
            ours, published = claim.text(claim.ours), claim.published
            text = f"Wrong sign: {claim.what} is {ours} here, {published} published."
            lines += textwrap.wrap(f"{text} {claim.explained}".rstrip(), _WIDTH)
    return lines


def reduced(parameters: object, full: object, names: Sequence[str]) -> list[str]:
    """Return a note if a run is not of the size of ``full``, which has the defaults.

    names  of the parameters that make the size; empty if it is of that size
    """
    typed = {name: text for name, text, _ in describe(type(full))}
    different = [
        f"{name}={typed[name]}"
        for name in names
        if getattr(full, name) != getattr(parameters, name)
    ]
    if not different:
        return []
    text = (
        "No comparison with published figures: they are of another size, that of"
        f" {', '.join(different)}."
    )
    return textwrap.wrap(text, _WIDTH)

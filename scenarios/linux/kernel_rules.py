"""The rules in which kernels differ: a table, ``rules.toml`` beside the records."""

import tomllib
from dataclasses import dataclass
from importlib.resources.abc import Traversable

from ...engine.errors import BadInput

FILE = "rules.toml"


@dataclass(frozen=True)
class Rule:
    """A rule that some kernels have and others do not have.

    name     a few words
    says     what Linux does by it, one sentence
    source   the functions of Linux, their files, and the commit if it is known
    since    versions that have it, in words
    kernels  recorded kernels that have it
    switch   the setting that has it in the model, "" if the model has it not
    decides  what it decides: ``SCRIPT`` or ``SCRIPT:LINE``
    """

    name: str
    says: str
    source: str
    since: str
    kernels: tuple[str, ...]
    switch: str
    decides: tuple[str, ...]

    def tells_apart(self, one: str, other: str) -> bool:
        """Return whether one of two kernels has it, and the other does not."""
        return (one in self.kernels) != (other in self.kernels)

    def about(self, script: str, line: int) -> bool:
        """Return whether it decides a line of a script."""
        return script in self.decides or f"{script}:{line}" in self.decides


def rules(place: Traversable) -> tuple[Rule, ...]:
    """Return the rules beside records, none if nobody wrote some.

    Raises BadInput if the table is none.
    """
    file = place / FILE
    if not file.is_file():
        return ()
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
        return tuple(
            Rule(**row | {key: tuple(row[key]) for key in ("kernels", "decides")})
            for row in found.get("rule", ())
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{file} must be a table of rules, got {error}") from None

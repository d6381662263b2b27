"""Every exception that lazynuma raises on purpose, and what their messages say."""

from collections.abc import Iterable
from difflib import get_close_matches


class LazyNumaError(ValueError):
    """Root of the errors of this package."""


class BadInput(LazyNumaError):
    """An input refused before anything was done: ``name must ..., got ...``."""


class BadTrace(BadInput):
    """A line of a trace or a memory script that is refused while it is run."""


class SimulationError(LazyNumaError):
    """A run that could not go on; what it had written stays readable."""


class Later(SimulationError):
    """Work is left, and the same command goes on with it: exit status 75."""


class Segfault(SimulationError):
    """An access outside every mapping, or not permitted there.

    process  name; ``page``: virtual page in its address space; ``write``: of the access
    """

    def __init__(self, task: int, process: str, page: int, write: bool) -> None:
        self.process, self.page, self.write = process, page, write
        super().__init__(
            f"task {task} of process {process} must not {'write' if write else 'read'}"
            f" page {page}: it is not mapped so"
        )


class BadScenario(BadInput):
    """What a scenario's file hands over is not what it must be; known when it runs."""


def printable(text: object) -> str:
    """Return a text with control characters, and bytes that are no text, escaped."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode()
        for one in str(text)
    )


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return " (did you mean ...?)" with the names nearest to ``name``, or nothing."""
    near = get_close_matches(name, list(known), n=3, cutoff=0.5)
    if not near:
        return ""
    return f" (did you mean {' or '.join(prefix + n for n in near)}?)"

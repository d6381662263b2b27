"""Which function of a user's file kernels are in: one that does not return is named."""

from typing import Protocol
from weakref import WeakSet


class Watched(Protocol):
    """Who knows of functions that kernels call."""

    def running(self) -> str | None:
        """Return ``FILE.py:LINE: NAME`` of the function that runs now, or None."""


_WATCHED: WeakSet[Watched] = WeakSet()


def watch(watched: Watched) -> None:
    """Ask ``watched``, as long as it lives."""
    _WATCHED.add(watched)


def what_runs() -> str | None:
    """Return ``FILE.py:LINE: NAME`` of a user's function that runs now, or None."""
    for one in list(_WATCHED):
        found = one.running()
        if found is not None:
            return found
    return None

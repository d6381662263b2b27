"""What this process has compiled, and who is told of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


class Compiling(NamedTuple):
    """A kernel that is about to be compiled.

    number   how many this process has compiled, this one included
    most     how many there can be at most: those not in the cache at the first one
    waiting  whether another process compiles it and this one waits
    """

    number: int
    most: int
    waiting: bool


def _tell_nobody(compiling: Compiling) -> None:
    """Tell nobody."""


@dataclass
class _Compiled:
    """Kernels of this process.

    kernels  how many it has compiled
    seconds  how long that took, with the time that it waited for other processes
    unused   names of those that it has defined, and neither compiled nor loaded
    tell     called before each compilation, and again and again while it waits
    """

    kernels: int = 0
    seconds: float = 0.0
    unused: set[str] = field(default_factory=set)
    tell: Callable[[Compiling], None] = _tell_nobody


compiled = _Compiled()

"""Say that kernels are being compiled: a line that changes, or lines in a log."""

import sys
import time

from ...kernels.jit.compiling import Compiling
from .say import note, on_screen

_HEARTBEAT_S = 10


class CompileNotice:
    """Prints which kernel is compiled, at once and then every ten seconds in a log."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def __call__(self, compiling: Compiling) -> None:
        """Tell of a kernel that is about to be compiled."""
        now = time.monotonic()
        if now - self._last < _HEARTBEAT_S and not on_screen():
            return
        self._last = now
        if on_screen():  # the next one, or a bar, is printed over it
            print(f"\r{text(compiling):70}\r", end="", file=sys.stderr, flush=True)
        else:
            note(text(compiling))


def text(compiling: Compiling) -> str:
    """Return what is said of a compilation."""
    if compiling.waiting:
        return "waiting for another process, which is compiling kernels"
    return f"compiling kernels ({compiling.number} of at most {compiling.most}), once"

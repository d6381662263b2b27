"""A lock that is held alone, as a closed queue (``docs/model/locks.md`` 5).

Mean values of such a queue are found by Chandy and Neuse's Linearizer (Communications
of the ACM 25, 1982) for classes of tasks that use the lock alike.
"""

from enum import auto
from typing import Final

from ..jit.compile import called, inlined
from ..state import Columns
from ..words import NONE

#: Most classes of tasks; in each the greatest use is less than twice the least.
CLASSES: Final = 8
#: Rounds of the Linearizer (Chandy and Neuse use three), and most steps of each.
_ROUNDS: Final = 3
_STEPS: Final = 2000
_PRECISE: Final = 1e-7


class Of(Columns):
    """Rows of ``LockWork.classes``, float64[len(Of), CLASSES]: a class of tasks."""

    TASKS = auto()
    HELD = auto()  # ns of the window, all its tasks
    TAKEN = auto()  # acquisitions, all its tasks
    HOLD = auto()  # ns of one
    THINK = auto()  # ns between two
    QUEUED = auto()  # mean number that wait or hold
    FEWER = auto()  # the same with one task less
    NEXT = auto()
    RESIDENCE = auto()  # ns of waiting and holding


@inlined
def _seen(w, count, c, gone, objects):
    """Return the work that a task of class ``c`` finds before it, ns.

    gone  a class that has a task less, NONE: none has
    """
    found = 0.0
    for g in range(count):
        there = w.classes[Of.TASKS, g] - (g == gone)
        others = there - (g == c)
        if others > 0:
            queued = w.classes[Of.FEWER, g] / there + w.loss[g, c]
            queued = min(max(queued, 0.0), 1.0)
            found += w.classes[Of.HOLD, g] * others * queued
    return found / objects


@inlined
def _solve(w, count, gone, objects):
    """Find Of.FEWER, the queue of each class, with a task less of class ``gone``."""
    for g in range(count):
        there = w.classes[Of.TASKS, g] - (g == gone)
        w.classes[Of.FEWER, g] = there * w.classes[Of.QUEUED, g]
        w.classes[Of.FEWER, g] /= w.classes[Of.TASKS, g]
    for _ in range(_STEPS):
        change = 0.0
        for c in range(count):
            there = w.classes[Of.TASKS, c] - (c == gone)
            hold = w.classes[Of.HOLD, c]
            stay = hold + _seen(w, count, c, gone, objects)
            w.classes[Of.RESIDENCE, c] = stay
            w.classes[Of.NEXT, c] = there * stay / (stay + w.classes[Of.THINK, c])
        for c in range(count):
            step = w.classes[Of.NEXT, c] - w.classes[Of.FEWER, c]
            change = max(change, abs(step))
            w.classes[Of.FEWER, c] += step / 2
        if change < _PRECISE:
            break


@called
def solve_queue(w, count, objects):
    """Find Of.QUEUED and Of.RESIDENCE of ``count`` classes at one of ``objects`` locks.

    Of.TASKS, Of.HOLD and Of.THINK are given.
    """
    for c in range(count):
        hold = w.classes[Of.HOLD, c]
        share = hold / (hold + w.classes[Of.THINK, c])
        w.classes[Of.QUEUED, c] = w.classes[Of.TASKS, c] * share
        for g in range(count):
            w.loss[g, c] = 0.0
    for i in range(_ROUNDS):
        _solve(w, count, NONE, objects)
        for c in range(count):
            w.classes[Of.QUEUED, c] = w.classes[Of.FEWER, c]
        if i == _ROUNDS - 1:
            break
        for c in range(count):
            _solve(w, count, c, objects)
            for g in range(count):
                there = w.classes[Of.TASKS, g] - (g == c)
                w.less[g, c] = 0.0
                if there > 0:
                    w.less[g, c] = w.classes[Of.FEWER, g] / there
                    w.less[g, c] -= w.classes[Of.QUEUED, g] / w.classes[Of.TASKS, g]
        for c in range(count):
            for g in range(count):
                w.loss[g, c] = w.less[g, c]

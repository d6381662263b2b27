"""A design of lazy migration from outside the package.

None is given yet.
"""

from ..counters import Refusal
from ..frames.account import refuse
from ..jit.compile import inlined
from ..state import NO_MEMORY


@inlined
def mark(m, pfn):
    return refuse(m, Refusal.BUSY)


@inlined
def faults(m, s, k, run):
    return k


@inlined
def fault(m, s, task, at, v, vpn, write):
    return NO_MEMORY


@inlined
def fork(m, s, pte):
    return 0


@inlined
def zap(m, s, pte, vpn, exiting):
    return 0


@inlined
def reclaim(m, n, pfn):
    return 0

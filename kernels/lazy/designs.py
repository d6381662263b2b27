"""The designs of lazy migration that park pages: one row each, asked by kind.

A design is a file of this folder with the verbs of ``Design``, and its row here.  The
rest of the simulator asks the functions below, which choose the row by the kind that a
PTE or a frame is of; a kind that is known when a kernel is compiled costs nothing.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from ..frames.swap_state import kind_of
from ..jit.compile import inlined
from ..words import Kind
from . import migcache, own, swapcache


class Design(NamedTuple):
    """What a design does; ``m`` Memory, ``s`` shard (S: serial work)."""

    #: (m, pfn): park a page, take it out of its PTEs; return 1, 0: refused.  Serial.
    mark: Callable
    #: (m, s, k, run): serve a row of faults from access ``k``; return the first that
    #: is not served, ``k``: there is no row.
    faults: Callable
    #: (m, s, task, at, v, vpn, write): serve a fault on a parked page, whose PTE is at
    #: ``at``; return SERVED, NO_MEMORY or PUT_ASIDE.
    fault: Callable
    #: (m, s, pte): a child has a parked PTE, too.  Serial.
    fork: Callable
    #: (m, s, pte, vpn, exiting): a parked PTE is gone; return 1 if its page is lost.
    zap: Callable
    #: (m, n, pfn): put a page of node ``n`` into the swap cache, to be swapped out;
    #: return 1, 0: it finds no slot.  Serial.
    reclaim: Callable


def _row(file) -> Design:
    """Return the row of a design: its file has a function for each verb."""
    return Design(*(getattr(file, verb) for verb in Design._fields))


SWAP: Final = _row(swapcache)
MIGCACHE: Final = _row(migcache)
OWN: Final = _row(own)

#: Hot-remove parks pages for the time of their way: the cache was made for that.
park_to_evacuate = MIGCACHE.mark


@inlined
def park_page(m, pfn, kind):
    """Park a page as a kind says; return 1 or 0."""
    if kind == Kind.SWAP:
        return SWAP.mark(m, pfn)
    if kind == Kind.MIGCACHE:
        return MIGCACHE.mark(m, pfn)
    return OWN.mark(m, pfn)


@inlined
def parked_faults(m, s, k, run, kind):
    """Serve a row of faults on pages of a kind; return the first not served."""
    if kind == Kind.SWAP:
        return SWAP.faults(m, s, k, run)
    if kind == Kind.MIGCACHE:
        return MIGCACHE.faults(m, s, k, run)
    return OWN.faults(m, s, k, run)


@inlined
def do_parked_page(m, s, task, at, v, vpn, write):
    """Serve a fault on a parked page (do_swap_page and its likes)."""
    kind = kind_of(m.pte[at])
    if kind == Kind.SWAP:
        return SWAP.fault(m, s, task, at, v, vpn, write)
    if kind == Kind.MIGCACHE:
        return MIGCACHE.fault(m, s, task, at, v, vpn, write)
    return OWN.fault(m, s, task, at, v, vpn, write)


@inlined
def fork_parked(m, s, pte):
    """Copy a parked PTE to a child."""
    kind = kind_of(pte)
    if kind == Kind.SWAP:
        SWAP.fork(m, s, pte)
    elif kind == Kind.MIGCACHE:
        MIGCACHE.fork(m, s, pte)
    else:
        OWN.fork(m, s, pte)


@inlined
def zap_parked(m, s, pte, vpn, exiting):
    """Release what a parked PTE held; return the pages that are lost."""
    kind = kind_of(pte)
    if kind == Kind.SWAP:
        return SWAP.zap(m, s, pte, vpn, exiting)
    if kind == Kind.MIGCACHE:
        return MIGCACHE.zap(m, s, pte, vpn, exiting)
    return OWN.zap(m, s, pte, vpn, exiting)


@inlined
def reclaim_parked(m, n, pfn, kind):
    """Put a page in a cache into swap; return 1 or 0."""
    if kind == Kind.SWAP:
        return SWAP.reclaim(m, n, pfn)
    if kind == Kind.MIGCACHE:
        return MIGCACHE.reclaim(m, n, pfn)
    return OWN.reclaim(m, n, pfn)

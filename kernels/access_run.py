"""A run: accesses of one task that follow each other in a shard's queue."""

from enum import auto
from typing import Final, NamedTuple

import numpy as np

from .jit.compile import inlined
from .state import Columns
from .words import (
    ACCESS_REFS_SHIFT,
    ACCESS_SAMPLED,
    ACCESS_TASK,
    ACCESS_TASK_SHIFT,
    ACCESS_VPN,
    ACCESS_WRITE,
    REFS_CLASSES,
)


class HitCount(Columns):
    """Columns of what a run counts, int64[hit_counts(nodes)]."""

    PAID = auto()  # pages that have paid for their move
    #: Walks that found their line of entries in the cache; by size: 4 KiB, 2 MiB.
    CACHED = auto()
    CACHED_2M = auto()
    #: Hits by the page's node, then walks that went to memory, by size and by the
    #: table's node (``walks_at``), then hits on pages whose lines another node's caches
    #: hold, by that node (``lines_at``).
    NODES = auto()


#: Parts of ``nodes`` columns from NODES on: hits, walks of 4 KiB and 2 MiB, lines.
_PARTS: Final = 4


def hit_counts(nodes: int) -> int:
    """Return how many columns the counts of a run have on a machine."""
    return HitCount.NODES + _PARTS * nodes


@inlined
def walks_at(size, nodes, nid):
    """Return the column of walks to a table on ``nid``; size 0: 4 KiB, 1: 2 MiB."""
    return HitCount.NODES + (1 + size) * nodes + nid


@inlined
def lines_at(nodes, nid):
    """Return the column of hits on lines that caches of ``nid`` hold modified."""
    return HitCount.NODES + 3 * nodes + nid


class Run(NamedTuple):
    """A run, as the functions that serve it hand it on."""

    #: int64[accesses]: the queues of all shards, one after the other.
    queued: np.ndarray
    #: First access that is not to be served, and first that belongs to another shard.
    end: int
    last: int
    #: What the words of the run's accesses share: task, class of refs, tail bit.
    bits: int
    #: int64[hit_counts(nodes)], zero before the run and after ``settle_run``.
    counts: np.ndarray


@inlined
def run_of(word):
    """Return the bits of an access that say which run it belongs to.

    Those of a sampled one are no run's: it is served by itself.
    """
    return word & ~(ACCESS_VPN | ACCESS_WRITE)


@inlined
def bits_of(word):
    """Return the bits of the run that an access belongs to, sampled or not."""
    return run_of(word) & ~ACCESS_SAMPLED


@inlined
def task_in(word):
    """Return the task of an access."""
    return word >> ACCESS_TASK_SHIFT & ACCESS_TASK


@inlined
def task_of(run):
    return task_in(run.bits)


@inlined
def class_in(word):
    """Return which of its workload's ``refs`` an access has."""
    return word >> ACCESS_REFS_SHIFT & (REFS_CLASSES - 1)

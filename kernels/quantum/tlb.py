"""Second-level TLBs: one for each task and shard, sets of 4 tags in true LRU order.

``docs/model/quantum.md`` 11.  A row of ``Memory.tlb`` holds the sets for 4 KiB, the
sets for 2 MiB, then for each size the 64-byte line of page-table entries of the last
miss.
"""

from typing import Final

from ..access_run import HitCount, walks_at
from ..jit.compile import inlined
from ..state import WAYS

_SCATTER: Final = 0x85EBCA6B
_LOW_32: Final = (1 << 32) - 1


@inlined
def tlb_miss(row, first, sets, tag):
    """Look a tag up and put it first in its set; return whether it was missing.

    first  where the sets of the size begin in the row; a word is tag + 1, or 0: empty
    """
    at = first + ((tag * _SCATTER & _LOW_32) * sets >> 32) * WAYS
    entry = tag + 1
    t0 = row[at]
    if t0 == entry:
        return False
    t1 = row[at + 1]
    row[at] = entry
    row[at + 1] = t0
    if t1 == entry:
        return False
    t2 = row[at + 2]
    row[at + 2] = t1
    if t2 == entry:
        return False
    t3 = row[at + 3]
    row[at + 3] = t2
    return t3 != entry


@inlined
def walk(row, size, tag, nid, nodes, counts):
    """Count a page walk; return whether it went to memory, on ``nid``.

    Otherwise the line of the last walk has the entry.

    size  0: 4 KiB, 1: 2 MiB
    """
    last = row.size - 2 + size
    line = (tag >> 3) + 1
    if row[last] == line:
        counts[HitCount.CACHED + size] += 1
        return False
    row[last] = line
    counts[walks_at(size, nodes, nid)] += 1
    return True

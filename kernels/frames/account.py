"""What a shard notes: charges of a task, pages of a process, refusals."""

from ..jit.compile import inlined
from ..state import Change, Info, Task


@inlined
def charge(m, s, task, cause, ns):
    """Charge ``ns`` to a task for a Cause."""
    m.cause[s, task, cause] += ns


@inlined
def count_op(m, s, task, op, times):
    """Count what takes locks: an Op of a task, so many times."""
    m.ops[s, task, op] += times


@inlined
def node_worker(m, who, n):
    """Return the row of a node's Worker in ``Memory.worker_ops``."""
    return who * m.node.shape[0] + n


@inlined
def add_rss(m, s, task, rss, swapents):
    """Add to the rss and the swapents of a task's process, both in pages."""
    m.mm_change[s, m.task[task, Task.MM], Change.RSS] += rss
    m.mm_change[s, m.task[task, Task.MM], Change.SWAPENTS] += swapents


@inlined
def refuse(m, reason):
    """Count a Refusal of serial work; return 0, as nothing was done."""
    m.refused[m.info[Info.SHARDS], reason] += 1
    return 0

"""What a shard notes: charges of a task, pages of a process, refusals."""

from ..counters import Cause, Op, Vm
from ..jit.compile import inlined
from ..state import Change, Cost, Info, Mm, Task


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
def charge_walk_flushes(m, s, task, flushes):
    """Charge a task for TLB flushes of its process, each within an rmap walk."""
    others = max(0, m.mm[m.task[task, Task.MM], Mm.USERS] - 1)
    nid = m.task[task, Task.NID]
    each = m.cost[Cost.TLB_FLUSH] + m.cost[Cost.TLB_FLUSH_CPU] * others
    charge(m, s, task, Cause.MIGRATION, flushes * each)
    m.vm[s, nid, Vm.TLB_FLUSHES] += flushes
    m.vm[s, nid, Vm.NR_TLB_REMOTE_FLUSH_RECEIVED] += flushes * others
    count_op(m, s, task, Op.FLUSH, flushes)
    count_op(m, s, task, Op.WALK_FLUSH, flushes)


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

"""Quanta of simulated time: who may do how much, what an access costs, the sums.

``docs/model.md`` §6 and §7.  Tables are those of ``kernels/state.py``.
"""

from ..jit.compile import inlined, kernel
from ..state import (
    CHANGE_HUGE,
    CHANGE_LOCAL,
    CHANGE_REMOTE,
    CHANGE_RSS,
    CHANGE_SWAPENTS,
    DEFERRED,
    ENTRIES,
    IN_USE,
    IN_USE_AT_START,
    INACTIVE,
    KCOMPACTD_WOKEN,
    KSWAPD_WOKEN,
    MM_HUGE,
    MM_RSS,
    MM_SWAPENTS,
    POSITION,
    QUEUE_END,
    QUEUE_SERVED,
    SET_ASIDE,
    SHARD_SEEN,
    SHARDS,
    SLOTS,
    TASK_CLOCK,
    TASK_MEAN,
    TASK_NUMBER,
    TASK_QUOTA,
    TASK_RAN,
    TASK_RUNTIME,
)


@kernel
def open_quantum(m):
    """Note what shards see as of the quantum's start, and rewind the barrier."""
    m.info[SLOTS + IN_USE_AT_START] = m.info[SLOTS + IN_USE]
    m.info[ENTRIES + IN_USE_AT_START] = m.info[ENTRIES + IN_USE]
    m.info[POSITION] = 0
    for s in range(m.shard.shape[0]):
        m.shard[s, SHARD_SEEN] = 0


@kernel
def is_daemon_woken(m):
    """Tell whether kswapd or kcompactd of some node was woken."""
    for n in range(m.node.shape[0]):
        if m.node[n, KSWAPD_WOKEN] or m.node[n, KCOMPACTD_WOKEN]:
            return True
    return False


@kernel
def unserved(m):
    """Return how many accesses are not served yet, and how many of them shards may."""
    left, for_shards = 0, 0
    for s in range(m.info[SHARDS]):
        waiting = m.shard[s, QUEUE_END] - m.shard[s, QUEUE_SERVED]
        left += waiting
        if m.shard[s, SET_ASIDE] == 0:
            for_shards += waiting
    return left, for_shards


@kernel
def fold_lists(m):
    """Add the shards' changes to the LRU counts of the nodes."""
    for s in range(m.lru_change.shape[0]):
        for n in range(m.node.shape[0]):
            for k in range(2):
                m.node[n, INACTIVE + k] += m.lru_change[s, n, k]
            m.node[n, DEFERRED] += m.lru_change[s, n, 2]
            m.lru_change[s, n] = 0


@kernel
def fold_processes(m, touched):
    """Add the shards' changes to rss, swapents, huge pages and ``touched``.

    touched  int64[processes, 2]  accesses served by local and by remote memory
    """
    for s in range(m.mm_change.shape[0]):
        for mm in range(touched.shape[0]):
            m.mm[mm, MM_RSS] += m.mm_change[s, mm, CHANGE_RSS]
            m.mm[mm, MM_HUGE] += m.mm_change[s, mm, CHANGE_HUGE]
            m.mm[mm, MM_SWAPENTS] += m.mm_change[s, mm, CHANGE_SWAPENTS]
            touched[mm, 0] += m.mm_change[s, mm, CHANGE_LOCAL]
            touched[mm, 1] += m.mm_change[s, mm, CHANGE_REMOTE]
            m.mm_change[s, mm] = 0


@inlined
def _fold_causes(m):
    """Add what all shards charged to the first one's, in the order of memory."""
    for s in range(1, m.cause.shape[0]):
        for t in range(m.cause.shape[1]):
            for k in range(m.cause.shape[2]):
                m.cause[0, t, k] += m.cause[s, t, k]
                m.cause[s, t, k] = 0


@kernel
def fold_clocks(m, spent):
    """Advance the clocks by what was charged, and add it to ``spent`` by cause.

    spent  int64[tasks, len(Cause)], ns
    Return nothing; a task that was served gets its new mean cost an access.
    """
    _fold_causes(m)
    for t in range(m.task.shape[0]):
        total = 0
        for k in range(spent.shape[1]):
            ns = m.cause[0, t, k]
            total += ns
            spent[t, k] += ns
            m.cause[0, t, k] = 0
        m.task[t, TASK_CLOCK] += total
        m.task[t, TASK_RUNTIME] += total
        quota = m.task[t, TASK_QUOTA]
        m.task[t, TASK_RAN] |= quota > 0
        if quota > 0:
            m.task[t, TASK_MEAN] = max(1, total // quota)
            m.task[t, TASK_NUMBER] += quota
            m.task[t, TASK_QUOTA] = 0

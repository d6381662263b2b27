"""Quanta of simulated time: who may do how much, what an access costs, the sums.

``docs/model.md`` §6 and §7.  Tables are those of ``kernels/state.py``.
"""

from typing import Final

from ._jit import inlined, kernel
from .constants import CACHE_LINE, HPAGE_PMD_NR, NONE
from .state import (
    CHANGE_HUGE,
    CHANGE_LOCAL,
    CHANGE_REMOTE,
    CHANGE_RSS,
    CHANGE_SWAPENTS,
    COST_WALK,
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
    TASK_ALIVE,
    TASK_CLOCK,
    TASK_COUNT,
    TASK_MEAN,
    TASK_MM,
    TASK_NID,
    TASK_NUMBER,
    TASK_QUOTA,
    TASK_RAN,
    TASK_REFS,
    TASK_RUNTIME,
    TASK_STREAM,
)

SECOND: Final = 1_000_000_000
UTILISATION_MAX: Final = 950
STREAM_FACTOR_ONE: Final = 1000
STREAM_FACTOR_MAX: Final = 1_000_000
#: Accesses that a task may contribute to its first quantum of a run.
FIRST_ACCESSES: Final = 4


@inlined
def _left(task, t):
    if not task[t, TASK_ALIVE]:
        return 0
    return task[t, TASK_COUNT] - task[t, TASK_NUMBER]


@inlined
def _assign(task, now, end):
    """Set every task's quota of a quantum; return their sum."""
    total = 0
    for t in range(task.shape[0]):
        task[t, TASK_QUOTA] = 0
        task[t, TASK_RAN] = 0
        left = _left(task, t)
        if left <= 0:
            continue
        clock = max(task[t, TASK_CLOCK], now)
        task[t, TASK_CLOCK] = clock
        if clock < end:
            quota = min(left, max(1, (end - clock) // task[t, TASK_MEAN]))
            task[t, TASK_QUOTA] = quota
            total += quota
    return total


@inlined
def _pace(task, now, end):
    """Return the end of a quantum in which no task doubles what it has done.

    What faults will cost is not known before: a task that found none yet would else
    be given so many accesses that it took all of them.
    """
    for t in range(task.shape[0]):
        if _left(task, t) <= 0:
            continue
        clock = max(task[t, TASK_CLOCK], now)
        if clock < end:
            allowed = max(FIRST_ACCESSES, task[t, TASK_NUMBER])
            end = min(end, clock + allowed * task[t, TASK_MEAN])
    return end


@inlined
def _earliest(task):
    found = NONE
    for t in range(task.shape[0]):
        if _left(task, t) > 0:
            clock = task[t, TASK_CLOCK]
            if found == NONE or clock < found:
                found = clock
    return found


@kernel
def plan(task, now, quantum, most):
    """Fix how many accesses each task contributes to the next quantum.

    Return (start, end) of the quantum in ns, or (now, NONE) where nothing is left.
    """
    end = _pace(task, now, now + quantum)
    total = _assign(task, now, end)
    if total == 0:
        now = _earliest(task)
        if now == NONE:
            return now, NONE
        end = _pace(task, now, now + quantum)
        total = _assign(task, now, end)
    if total > most:
        end = now + max(1, (end - now) * most // total)
        _assign(task, now, end)
    return now, end


@inlined
def _loaded(latency, utilisation, queueing, c, n):
    u = utilisation[c, n]
    return latency[c, n] * (1000 + queueing * u // (1000 - u)) // 1000


@inlined
def _streamed(latency, bandwidth, factor, core_bandwidth, refs, c, n):
    rate = min(bandwidth[c, n], core_bandwidth * latency[c, c] // latency[c, n])
    return max(1, refs * CACHE_LINE * SECOND // rate * factor[c, n] // 1000)


@kernel
def price(m, latency, bandwidth, utilisation, factor, queueing, core_bandwidth):
    """Set what an access of each task to each node costs in this quantum, ns.

    latency, bandwidth, utilisation (thousandths), factor (thousandths)
        int64[nodes, nodes], row: node of the CPU
    """
    for t in range(m.task.shape[0]):
        c = m.task[t, TASK_NID]
        refs = m.task[t, TASK_REFS]
        for n in range(m.node.shape[0]):
            if m.task[t, TASK_STREAM]:
                m.access_ns[t, n] = _streamed(
                    latency, bandwidth, factor, core_bandwidth, refs, c, n
                )
            else:
                m.access_ns[t, n] = refs * _loaded(latency, utilisation, queueing, c, n)


@inlined
def _miss_permille(cache, entries):
    """Return how many of 1000 walks find their entry in memory only."""
    return 1000 - min(1000, cache * 1000 // max(1, entries * 8))


@kernel
def price_walks(m, latency, utilisation, queueing, cache):
    """Set what a page walk of each task costs in this quantum, ns.

    cache  bytes of a core's caches that hold entries of page tables
    """
    for t in range(m.task.shape[0]):
        mm = m.task[t, TASK_MM]
        c = m.task[t, TASK_NID]
        huge = m.mm[mm, MM_HUGE]
        small = _miss_permille(cache, m.mm[mm, MM_RSS] - huge)
        large = _miss_permille(cache, huge // HPAGE_PMD_NR)
        for n in range(m.node.shape[0]):
            loaded = _loaded(latency, utilisation, queueing, c, n)
            m.walk_ns[t, 0, n] = m.cost[COST_WALK] + loaded * small // 1000
            m.walk_ns[t, 1, n] = m.cost[COST_WALK] + loaded * large // 1000


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


@inlined
def _permille(refs, bandwidth, length):
    capacity = bandwidth // 1000 * length // 1_000_000
    return refs * CACHE_LINE * 1000 // max(1, capacity)


@kernel
def utilise(m, bandwidth, utilisation, factor, length):
    """Turn the quantum's traffic into the next quantum's utilisation.

    length  of the quantum, ns
    """
    nodes = m.node.shape[0]
    for n in range(nodes):
        into = 0
        for c in range(nodes):
            for s in range(m.traffic.shape[0]):
                into += m.traffic[s, c, n]
        for c in range(nodes):
            refs = 0
            for s in range(m.traffic.shape[0]):
                refs += m.traffic[s, c, n]
                m.traffic[s, c, n] = 0
            u = _permille(into, bandwidth[n, n], length)
            if c != n:
                u = max(u, _permille(refs, bandwidth[c, n], length))
            utilisation[c, n] = min(u, UTILISATION_MAX)
            # Half a step: a whole one swings for ever, as prices come a quantum late.
            grown = factor[c, n] * (1000 + u) // 2000
            factor[c, n] = min(max(grown, STREAM_FACTOR_ONE), STREAM_FACTOR_MAX)

"""What shards did in a quantum is added up: lists, processes, clocks.

``docs/model/quantum.md`` 9.  Tables are those of ``kernels/state.py``.
"""

from ..frames.line_transfer import QUANTA
from ..jit.compile import inlined, kernel
from ..state import INFO_WIDTH, Change, Ids, Info, Mm, Node, Shard, Task

_IDS = len(Ids)


@kernel
def open_quantum(m):
    """Note what shards see of the quantum's start, and rewind the barrier."""
    for ids in range(Info.SLOTS, INFO_WIDTH, _IDS):
        m.info[ids + Ids.IN_USE_AT_START] = m.info[ids + Ids.IN_USE]
    m.info[Info.POSITION] = 0
    m.info[Info.QUANTUM] = (m.info[Info.QUANTUM] + 1) % QUANTA
    for s in range(m.shard.shape[0]):
        m.shard[s, Shard.SEEN] = 0
        m.shard[s, Shard.SAMPLES] = 0


@kernel
def is_daemon_woken(m):
    """Tell whether kswapd or kcompactd of any node was woken."""
    for n in range(m.node.shape[0]):
        if m.node[n, Node.KSWAPD_WOKEN] or m.node[n, Node.KCOMPACTD_WOKEN]:
            return True
    return False


@kernel
def unserved(m):
    """Return (accesses not served yet, those of them that shards may serve)."""
    left, for_shards = 0, 0
    for s in range(m.info[Info.SHARDS]):
        waiting = m.shard[s, Shard.QUEUE_END] - m.shard[s, Shard.QUEUE_SERVED]
        left += waiting
        if m.shard[s, Shard.SET_ASIDE] == 0:
            for_shards += waiting
    return left, for_shards


@kernel
def fold_lists(m):
    """Add the shards' changes to the LRU counts of the nodes."""
    for s in range(m.lru_change.shape[0]):
        for n in range(m.node.shape[0]):
            for k in range(2):
                m.node[n, Node.INACTIVE + k] += m.lru_change[s, n, k]
            m.node[n, Node.DEFERRED] += m.lru_change[s, n, 2]
            m.lru_change[s, n] = 0


@kernel
def fold_processes(m, touched):
    """Add the shards' changes to rss, swapents, huge pages and ``touched``.

    touched  int64[processes, 2]  accesses served by local and by remote memory
    """
    for s in range(m.mm_change.shape[0]):
        for mm in range(touched.shape[0]):
            m.mm[mm, Mm.RSS] += m.mm_change[s, mm, Change.RSS]
            m.mm[mm, Mm.HUGE] += m.mm_change[s, mm, Change.HUGE]
            m.mm[mm, Mm.SWAPENTS] += m.mm_change[s, mm, Change.SWAPENTS]
            touched[mm, 0] += m.mm_change[s, mm, Change.LOCAL]
            touched[mm, 1] += m.mm_change[s, mm, Change.REMOTE]
            m.mm_change[s, mm] = 0


@inlined
def _fold_causes(m, tasks):
    """Add the charges of all shards to the first shard's, in the order of memory."""
    for s in range(1, m.cause.shape[0]):
        for t in range(tasks):
            for k in range(m.cause.shape[2]):
                m.cause[0, t, k] += m.cause[s, t, k]
                m.cause[s, t, k] = 0


@kernel
def fold_clocks(m, spent):
    """Advance the clocks by what was charged, and add it to ``spent`` by cause.

    spent  int64[tasks, len(Cause)], ns
    A task that was served also gets the new mean cost of its accesses.
    """
    _fold_causes(m, spent.shape[0])
    for t in range(spent.shape[0]):
        total = 0
        for k in range(spent.shape[1]):
            ns = m.cause[0, t, k]
            total += ns
            spent[t, k] += ns
            m.cause[0, t, k] = 0
        m.task[t, Task.CLOCK] += total
        m.task[t, Task.RUNTIME] += total
        quota = m.task[t, Task.QUOTA]
        m.task[t, Task.RAN] |= quota > 0
        if quota > 0:
            m.task[t, Task.MEAN] = max(1, total // quota)
            m.task[t, Task.NUMBER] += quota
            m.task[t, Task.QUOTA] = 0

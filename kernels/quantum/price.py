"""What an access and a page walk cost in this quantum.

``docs/model/time.md`` 1 to 3 and ``docs/model/quantum.md`` 11.
"""

from typing import Final

from ..jit.compile import inlined, kernel
from ..state import Cost, Mm, Task
from ..words import CACHE_LINE, HPAGE_PMD_NR, PAGE_SIZE

SECOND: Final = 1_000_000_000
UTILISATION_MAX: Final = 950
STREAM_FACTOR_ONE: Final = 1000
STREAM_FACTOR_MAX: Final = 1_000_000
#: Cache lines of a page.
CACHE_LINES: Final = PAGE_SIZE // CACHE_LINE


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

    latency, bandwidth, utilisation, factor
        int64[nodes, nodes], row: node of the CPU; the last two are in thousandths
    Writes ``m.access_ns``.
    """
    for t in range(m.task.shape[0]):
        c = m.task[t, Task.NID]
        refs = m.task[t, Task.REFS]
        for n in range(m.node.shape[0]):
            if m.task[t, Task.STREAM]:
                m.access_ns[t, n] = _streamed(
                    latency, bandwidth, factor, core_bandwidth, refs, c, n
                )
            else:
                m.access_ns[t, n] = refs * _loaded(latency, utilisation, queueing, c, n)


@kernel
def price_copies(m, latency, bandwidth, factor, alone, core_bandwidth):
    """Set what copying a page costs in this quantum, ns.

    alone  int64[nodes, nodes] ns: the copy while nobody else uses the memory
    A CPU of the target reads the page; each line written is read before.
    Writes ``m.copy_ns``.
    """
    nodes = m.node.shape[0]
    for a in range(nodes):
        for b in range(nodes):
            ns = _streamed(
                latency, bandwidth, factor, core_bandwidth, CACHE_LINES, b, a
            ) + _streamed(
                latency, bandwidth, factor, core_bandwidth, 2 * CACHE_LINES, b, b
            )
            m.copy_ns[a, b] = max(alone[a, b], ns)


@inlined
def _miss_permille(cache, entries):
    """Return how many of 1000 walks find their entry in memory, not in a cache."""
    return 1000 - min(1000, cache * 1000 // max(1, entries * 8))


@kernel
def price_walks(m, latency, utilisation, queueing, cache):
    """Set what a page walk of each task costs in this quantum, ns.

    cache  bytes of a core's caches that hold entries of page tables
    Writes ``m.walk_ns``.
    """
    for t in range(m.task.shape[0]):
        mm = m.task[t, Task.MM]
        c = m.task[t, Task.NID]
        huge = m.mm[mm, Mm.HUGE]
        small = _miss_permille(cache, m.mm[mm, Mm.RSS] - huge)
        large = _miss_permille(cache, huge // HPAGE_PMD_NR)
        for n in range(m.node.shape[0]):
            loaded = _loaded(latency, utilisation, queueing, c, n)
            m.walk_ns[t, 0, n] = m.cost[Cost.WALK] + loaded * small // 1000
            m.walk_ns[t, 1, n] = m.cost[Cost.WALK] + loaded * large // 1000


@inlined
def _permille(refs, bandwidth, length):
    capacity = bandwidth // 1000 * length // 1_000_000
    return refs * CACHE_LINE * 1000 // max(1, capacity)


@kernel
def utilise(m, bandwidth, utilisation, factor, length):
    """Turn the quantum's traffic into the next quantum's utilisation, and clear it.

    length  ns of the quantum
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
            # Half a step: a full one oscillates, because prices lag by a quantum.
            grown = factor[c, n] * (1000 + u) // 2000
            factor[c, n] = min(max(grown, STREAM_FACTOR_ONE), STREAM_FACTOR_MAX)

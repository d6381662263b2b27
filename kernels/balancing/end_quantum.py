"""NUMA balancing at a quantum's end: sums, groups, placement, scans, limits.

``docs/model/balancing.md`` 3, 9, 10 and 16.  Serial work, by tasks in order of their
numbers.
"""

from typing import Final

from ..jit.compile import called, inlined, kernel
from ..state import Info, Mm, Node, NodeSeen, Numa, Numab, NumaFaults, Seen, Task
from ..words import NONE
from .numa_scan_period import lengthen_period, task_scan_max
from .task_numa_migrate import (
    ENV_WORDS,
    is_running,
    numa_migrate_preferred,
    set_task_cpu,
)
from .task_numa_placement import (
    join_numa_group,
    make_numa_group,
    task_numa_free,
    task_numa_placement,
)
from .task_numa_work import Left, task_tick_numa

_MS: Final = 1_000_000
_SECOND_MS: Final = 1000
#: migrate_interval_millisecs (mm/migrate.c, 3.8).
_MIGRATE_WINDOW_MS: Final = 100
#: pteupdate_interval_millisecs (mm/migrate.c, 3.8).
_PTE_UPDATE_MS: Final = 1000
#: NUMA_MIGRATION_ADJUST_STEPS
_STEPS: Final = 16
_LOW_32: Final = (1 << 32) - 1

#: int64 scratch of ``end_quantum``: task_numa_env, then what is left of a scan.
SCRATCH: Final = ENV_WORDS + len(Left)


@called
def fold_faults(m, row):
    """Add up the faults of a row, a task or a place, of all shards."""
    task = m.task[row, Task.OWNER]
    numa = m.numa[task]
    nodes = m.node.shape[0]
    d = m.task[row, Task.NID]
    total, local, failed, longer = 0, 0, 0, 0
    for s in range(m.numa_seen.shape[0]):
        seen = m.numa_seen[s, row]
        local += seen[Seen.LOCAL]
        failed += seen[Seen.FAILED]
        longer += seen[Seen.LONGER]
        for n in range(nodes):
            for private in range(2):
                pages = seen[Seen.FAULTS + 2 * n + private]
                m.numa_faults[task, NumaFaults.MEMBUF, n, private] += pages
                m.numa_faults[task, NumaFaults.CPUBUF, d, private] += pages
                total += pages
        seen[:] = 0
    numa[Numa.LOCAL] += local
    numa[Numa.REMOTE] += total - local
    numa[Numa.FAILED] += failed
    lengthen_period(m, task, longer)
    if total > 0:
        numa[Numa.COUNTED] = 1
        numa[Numa.FAULTED] = 1


@inlined
def _fold_pids(m):
    for s in range(m.numa_pids.shape[0]):
        for i in range(m.numa_pids.shape[1]):
            m.numab[i, Numab.PIDS] |= m.numa_pids[s, i]
            m.numa_pids[s, i] = 0


@inlined
def _has_met(m, task, other):
    """Return how a task met another in any shard, and clear the note.

    0: it did not, 1: on a private page, 2 or 3: on a shared mapping's
    """
    met = 0
    for s in range(m.numa_met.shape[0]):
        met |= m.numa_met[s, task, other]
        m.numa_met[s, task, other] = 0
    return met


@called
def _task_numa_group(m, task):
    """Let a task make a group, and join the groups of tasks that it met."""
    if _has_met(m, task, task) == 0:
        return
    alive = m.task[task, Task.ALIVE] == 1
    if alive:
        make_numa_group(m, task)
    for other in range(m.info[Info.TASKS]):
        met = _has_met(m, task, other)
        if met and alive:
            join_numa_group(m, task, other, met > 1)


@inlined
def _adjust_threshold(m, n, now_ms):
    """Adapt a node's hot threshold (numa_promotion_adjust_threshold)."""
    node = m.node[n]
    if now_ms - node[Node.THRESHOLD_START] <= m.info[Info.SCAN_PERIOD_MAX]:
        return
    node[Node.THRESHOLD_START] = now_ms
    ref = m.info[Info.PROMOTE_LIMIT] * m.info[Info.SCAN_PERIOD_MAX] // _SECOND_MS
    found = node[Node.CANDIDATES] - node[Node.THRESHOLD_CANDIDATES]
    hot = m.info[Info.HOT_THRESHOLD]
    unit = hot * 2 // _STEPS
    threshold = node[Node.THRESHOLD] if node[Node.THRESHOLD] else hot
    if found > ref * 11 // 10:
        threshold = max(threshold - unit, unit)
    elif found < ref * 9 // 10:
        threshold = min(threshold + unit, hot * 2)
    node[Node.THRESHOLD_CANDIDATES] = node[Node.CANDIDATES]
    node[Node.THRESHOLD] = threshold


@inlined
def _note_limited(m, n, moved):
    """Note until when a node that is over its limit is not scanned from.

    migrate_ratelimited (mm/migrate.c, 3.8): only a fault begins a new window.
    """
    node = m.node[n]
    limit = m.info[Info.MIGRATE_LIMIT]
    if limit > 0 and node[Node.MIGRATE_PAGES] >= limit:
        window = node[Node.MIGRATE_START] + _MIGRATE_WINDOW_MS
        node[Node.LIMITED_UNTIL] = window + _PTE_UPDATE_MS + 1
    elif moved > 0:
        node[Node.LIMITED_UNTIL] = 0


@called
def _fold_node(m, n, now_ms):
    """Add up a quantum's candidates and migrations, and move the windows on."""
    node = m.node[n]
    found, moved = 0, 0
    for s in range(m.node_seen.shape[0]):
        found += m.node_seen[s, n, NodeSeen.CANDIDATES]
        moved += m.node_seen[s, n, NodeSeen.MIGRATED]
        m.node_seen[s, n, :] = 0
    node[Node.CANDIDATES] += found
    node[Node.MIGRATE_PAGES] += moved
    _note_limited(m, n, moved)
    if node[Node.ROOMY]:
        node[Node.THRESHOLD] = 0
    if node[Node.ASKED]:
        _adjust_threshold(m, n, now_ms)
    node[Node.ROOMY] = 0
    node[Node.ASKED] = 0
    if found > 0 and now_ms - node[Node.PROMOTE_START] > _SECOND_MS:
        node[Node.PROMOTE_START] = now_ms
        node[Node.PROMOTE_BASE] = node[Node.CANDIDATES]
    if now_ms - node[Node.MIGRATE_START] > _MIGRATE_WINDOW_MS:
        node[Node.MIGRATE_START] = now_ms
        node[Node.MIGRATE_PAGES] = 0


@inlined
def _runs_at(m, task, at):
    if m.task[task, Task.ALIVE] == 0:
        return False
    return is_running(m, task) or (
        m.task[task, Task.RAN] == 1 and m.task[task, Task.CLOCK] >= at
    )


@called
def _tick(m, start, end, left):
    """Ask every task at each tick in (start, end] whether it scans."""
    tick = m.info[Info.TICK_NS]
    at = (start // tick + 1) * tick
    while at <= end:
        for task in range(m.info[Info.TASKS]):
            if _runs_at(m, task, at):
                ahead = max(0, m.task[task, Task.CLOCK] - at)
                runtime = m.task[task, Task.RUNTIME] - ahead
                task_tick_numa(m, task, at // _MS, runtime, left)
        at += tick


@kernel
def end_quantum(m, start, end, scratch):
    """Do what NUMA balancing does at the end of a quantum of [start, end) ns.

    scratch  int64[SCRATCH], its contents do not matter
    """
    now_ms = end // _MS
    for task in range(m.info[Info.TASKS]):
        fold_faults(m, task)
    _fold_pids(m)
    for n in range(m.node.shape[0]):
        _fold_node(m, n, now_ms)
    for task in range(m.info[Info.TASKS]):
        _task_numa_group(m, task)
    for task in range(m.info[Info.TASKS]):
        alive = m.task[task, Task.ALIVE] == 1
        faulted = m.numa[task, Numa.FAULTED] == 1
        m.numa[task, Numa.FAULTED] = 0
        if faulted and alive and now_ms > m.numa[task, Numa.RETRY]:
            task_numa_placement(m, task, end)
            numa_migrate_preferred(m, scratch[:ENV_WORDS], task, now_ms)
    _tick(m, start, end, scratch[ENV_WORDS:])


@kernel
def init_numa_balancing(m, task, parent, now_ms):
    """Set up a new task (init_numa_balancing, fair.c).

    parent  oldest live task of the process, or NONE; Mm.USERS does not count ``task``
    """
    mm = m.task[task, Task.MM]
    users = m.mm[mm, Mm.USERS]
    if users <= 1:
        m.mm[mm, Mm.NEXT_SCAN] = now_ms + m.info[Info.SCAN_DELAY]
        m.mm[mm, Mm.NEXT_RESET] = now_ms
        m.mm[mm, Mm.SCAN_SEQ] = 0
    numa = m.numa[task]
    numa[:] = 0
    numa[Numa.PERIOD] = m.info[Info.SCAN_DELAY]
    numa[Numa.SEQ] = m.mm[mm, Mm.SCAN_SEQ]
    numa[Numa.PREFERRED] = NONE
    numa[Numa.GROUP] = NONE
    if parent == NONE:
        return
    numa[Numa.PREFERRED] = m.numa[parent, Numa.PREFERRED]
    if not m.info[Info.SCAN_STAGGER]:
        return
    # As in Linux, milliseconds and nanoseconds are compared here, in 32 bits.
    delay = m.numa[parent, Numa.PERIOD] * users * _MS & _LOW_32
    numa[Numa.STAMP] = min(task_scan_max(m, parent), delay) + 2 * m.info[Info.TICK_NS]


@kernel
def move_task(m, task, cpu):
    """Put a task on a CPU, as a scheduler would."""
    set_task_cpu(m, task, cpu)


@kernel
def leave(m, task):
    """Take a task that ends out of its group."""
    task_numa_free(m, task)

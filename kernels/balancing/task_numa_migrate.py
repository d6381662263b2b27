"""Moving a task to its memory, or swapping it with another (fair.c, 6.12).

``docs/model/balancing.md`` 15.  Every running task has the same load and fills a CPU.
``env`` is Linux's task_numa_env, int64[len(Env)].
"""

from enum import auto
from typing import Final

from ..counters import Vm
from ..jit.compile import called, inlined
from ..knobs import PeriodRule, Topology
from ..state import Columns, Group, Info, Node, Numa, Task
from ..words import NONE
from .numa_scan_period import task_scan_min, task_scan_start
from .numa_weight import group_weight, task_weight

SMALLIMP: Final = 30
_IMBALANCE_MIN: Final = 2
#: 100 + (sd->imbalance_pct - 100) / 2, of 125.
_IMBALANCE_PCT: Final = 112
_RETRY_MS: Final = 1000


class Env(Columns):
    """Words of Linux's task_numa_env, int64[len(Env)]."""

    SRC = auto()  # nodes
    DST = auto()
    DISTANCE = auto()
    SRC_RUNNING = auto()
    DST_RUNNING = auto()
    DST_SPARE = auto()  # 1: has spare
    IDLE_CPU = auto()
    BEST_CPU = auto()
    BEST_TASK = auto()
    BEST_IMP = auto()
    MAY_MOVE = auto()
    TASK_IMP = auto()
    GROUP_IMP = auto()


ENV_WORDS: Final = len(Env)


@inlined
def is_running(m, t):
    """Tell whether a task is alive and has accesses left."""
    left = m.task[t, Task.NUMBER] < m.task[t, Task.COUNT]
    return left and m.task[t, Task.ALIVE] == 1


@inlined
def _current(m, cpu):
    """Return the lowest running task of a CPU, or NONE if it is idle."""
    for t in range(m.info[Info.TASKS]):
        if m.task[t, Task.CPU] == cpu and is_running(m, t):
            return t
    return NONE


@inlined
def _running_on(m, n):
    running = 0
    for t in range(m.info[Info.TASKS]):
        if m.task[t, Task.NID] == n and is_running(m, t):
            running += 1
    return running


@inlined
def _idle_cpu(m, n):
    for cpu in range(m.cpu_node.size):
        if m.cpu_node[cpu] == n and _current(m, cpu) == NONE:
            return cpu
    return NONE


@inlined
def _has_spare(cpus, running):
    """Tell whether a node has room for another task (numa_classify)."""
    util = min(running, cpus)
    if running > cpus and cpus * 100 < util * _IMBALANCE_PCT:
        return False
    if running > cpus and cpus * _IMBALANCE_PCT < running * 100:
        return False
    if running < cpus:
        return True
    return cpus * 100 > util * _IMBALANCE_PCT and cpus * _IMBALANCE_PCT > running * 100


@inlined
def _set_destination(m, env, n):
    """Make a node the target of the search (update_numa_stats)."""
    env[Env.DST] = n
    env[Env.DST_RUNNING] = _running_on(m, n)
    env[Env.DST_SPARE] = _has_spare(m.node[n, Node.CPUS], env[Env.DST_RUNNING])
    env[Env.IDLE_CPU] = _idle_cpu(m, n)


@inlined
def _too_imbalanced(m, env):
    """Tell whether a move would make the loads less equal (load_too_imbalanced)."""
    source, target = m.node[env[Env.SRC], Node.CPUS], m.node[env[Env.DST], Node.CPUS]
    there, here = env[Env.DST_RUNNING], env[Env.SRC_RUNNING]
    after = abs((there + 1) * source - (here - 1) * target)
    return after > abs(there * source - here * target)


@inlined
def _assign(env, task, cpu, imp):
    env[Env.BEST_TASK] = task
    env[Env.BEST_CPU] = cpu
    env[Env.BEST_IMP] = imp


@inlined
def _swap_imp(m, env, task, cur):
    """Return what a swap with ``cur`` is worth to both tasks."""
    source, target, limit = env[Env.SRC], env[Env.DST], env[Env.DISTANCE]
    own, other = m.numa[task, Numa.GROUP], m.numa[cur, Numa.GROUP]
    if own == other:
        imp = env[Env.TASK_IMP]
        imp += task_weight(m, cur, source, limit) - task_weight(m, cur, target, limit)
        return imp - _part(imp, 16) if own != NONE else imp
    imp = env[Env.GROUP_IMP] if own != NONE else env[Env.TASK_IMP]
    if own != NONE and other != NONE:
        gain = group_weight(m, cur, source, limit)
        return imp + gain - group_weight(m, cur, target, limit)
    gain = task_weight(m, cur, source, limit)
    return imp + gain - task_weight(m, cur, target, limit)


@inlined
def _part(value, parts):
    """Divide as C does, rounding towards zero."""
    return value // parts if value >= 0 else -(-value // parts)


@inlined
def _take_idle(env, cpu, imp):
    """Choose an idle CPU; return True: the search is over."""
    _assign(env, NONE, cpu, imp)
    return True


@inlined
def _compare_swap(m, env, task, cpu, cur, move_imp):
    """Weigh a swap with the task of a CPU; return whether the search is over."""
    same = m.numa[task, Numa.GROUP] == m.numa[cur, Numa.GROUP]
    if m.task[cur, Task.PINNED] or (same and env[Env.DST_SPARE]):
        return False
    imp = _swap_imp(m, env, task, cur)
    preferred = m.numa[cur, Numa.PREFERRED]
    if preferred == env[Env.DST]:
        imp -= _part(imp, 16)
    goes_home = preferred == env[Env.SRC]
    if goes_home:
        imp += _part(imp, 8)
    may_move = env[Env.MAY_MOVE] == 1
    if may_move and move_imp > imp and move_imp > env[Env.BEST_IMP]:
        # The move is worth more; it needs an idle CPU, if the node has one.
        idle = env[Env.IDLE_CPU]
        if idle == NONE and env[Env.BEST_CPU] != NONE:
            # Otherwise the best CPU so far, of a node searched before, if it is idle.
            if _current(m, env[Env.BEST_CPU]) == NONE:
                idle = env[Env.BEST_CPU]
        _assign(env, NONE, cpu if idle == NONE else idle, move_imp)
        return idle != NONE
    best = env[Env.BEST_TASK]
    best_goes_home = best != NONE and m.numa[best, Numa.PREFERRED] == env[Env.SRC]
    if not (best != NONE and goes_home and not best_goes_home):
        if imp < SMALLIMP or imp <= env[Env.BEST_IMP] + SMALLIMP // 2:
            return False
    _assign(env, cur, cpu, imp)
    return not may_move and goes_home


@inlined
def _task_numa_compare(m, env, task, cpu):
    """Consider a CPU; return whether the search on this node is over."""
    cur = _current(m, cpu)
    if cur == task:
        return True
    grouped = m.numa[task, Numa.GROUP] != NONE
    move_imp = env[Env.GROUP_IMP] if grouped else env[Env.TASK_IMP]
    if cur == NONE:
        if env[Env.MAY_MOVE] and move_imp >= env[Env.BEST_IMP]:
            return _take_idle(env, cpu, move_imp)
        return False
    best = env[Env.BEST_TASK]
    if best != NONE and m.numa[best, Numa.PREFERRED] == env[Env.SRC]:
        if m.numa[cur, Numa.PREFERRED] != env[Env.SRC]:
            return False
    return _compare_swap(m, env, task, cpu, cur, move_imp)


@inlined
def _imbalance(m, env):
    """Return how many more tasks the target would run (adjust_numa_imbalance)."""
    running = env[Env.DST_RUNNING] + 1
    imbalance = max(0, running - (env[Env.SRC_RUNNING] - 1))
    allowed = max(1, m.node[env[Env.SRC], Node.CPUS] // 8)
    if running <= allowed and imbalance <= _IMBALANCE_MIN:
        return 0
    return imbalance


@called
def _task_numa_find_cpu(m, env, task):
    """Look for a CPU of the target node, unless the task may be on no other."""
    if m.task[task, Task.PINNED]:
        return
    env[Env.MAY_MOVE] = 0
    if env[Env.DST_SPARE]:
        if _imbalance(m, env) == 0:
            env[Env.MAY_MOVE] = 1
            if env[Env.IDLE_CPU] != NONE:
                _assign(env, NONE, env[Env.IDLE_CPU], 0)
                return
    elif not _too_imbalanced(m, env):
        env[Env.MAY_MOVE] = 1
    for cpu in range(m.cpu_node.size):
        if m.cpu_node[cpu] == env[Env.DST] and _task_numa_compare(m, env, task, cpu):
            return


@inlined
def _weigh(m, env, task, n):
    """Set what a move to a node is worth to the task and to its group."""
    source, limit = env[Env.SRC], env[Env.DISTANCE]
    here = task_weight(m, task, source, limit)
    env[Env.TASK_IMP] = task_weight(m, task, n, limit) - here
    here = group_weight(m, task, source, limit)
    env[Env.GROUP_IMP] = group_weight(m, task, n, limit) - here


@inlined
def _try_other_nodes(m, env, task):
    preferred = m.numa[task, Numa.PREFERRED]
    for n in range(m.node.shape[0]):
        if m.node[n, Node.CPUS] == 0 or n == env[Env.SRC] or n == preferred:
            continue
        # Linux takes the distance of the last target here, not of this node.
        distance = m.distance[env[Env.SRC], env[Env.DST]]
        if m.info[Info.TOPOLOGY] != Topology.BACKPLANE:
            distance = env[Env.DISTANCE]
        env[Env.DISTANCE] = distance
        _weigh(m, env, task, n)
        if env[Env.TASK_IMP] < 0 and env[Env.GROUP_IMP] < 0:
            continue
        _set_destination(m, env, n)
        _task_numa_find_cpu(m, env, task)


@called
def set_task_cpu(m, task, cpu):
    """Put a task on a CPU; on another node its scan period may start anew.

    update_scan_period (fair.c).
    """
    source, target = m.task[task, Task.NID], m.cpu_node[cpu]
    m.task[task, Task.CPU] = cpu
    m.task[task, Task.NID] = target
    if m.numa.shape[0] == 0 or source == target or not m.numa[task, Numa.COUNTED]:
        return
    if m.info[Info.PERIOD_RULE] != PeriodRule.STATISTICS:
        return
    preferred = m.numa[task, Numa.PREFERRED]
    if m.numa[task, Numa.SEQ]:
        if target == preferred or (preferred != NONE and source != preferred):
            return
    m.numa[task, Numa.PERIOD] = task_scan_start(m, task)


@called
def _move(m, env, task):
    """Make the move or the swap that was found to be best."""
    cpu, other = env[Env.BEST_CPU], env[Env.BEST_TASK]
    s = m.info[Info.SHARDS]
    old = m.task[task, Task.CPU]
    if m.info[Info.PERIOD_RULE] == PeriodRule.LOCAL_SHARE:
        m.numa[task, Numa.PERIOD] = task_scan_min(m, task)
    set_task_cpu(m, task, cpu)
    if other == NONE:
        m.vm[s, env[Env.SRC], Vm.NUMA_TASK_MIGRATED] += 1
        return
    set_task_cpu(m, other, old)
    m.vm[s, env[Env.SRC], Vm.NUMA_TASK_SWAPPED] += 1


@called
def _task_numa_migrate(m, env, task):
    """Find a better CPU for a task that is not on its preferred node."""
    source, target = m.task[task, Task.NID], m.numa[task, Numa.PREFERRED]
    env[Env.SRC] = source
    env[Env.SRC_RUNNING] = _running_on(m, source)
    env[Env.DISTANCE] = m.distance[source, target]
    _assign(env, NONE, NONE, 0)
    _set_destination(m, env, target)
    _weigh(m, env, task, target)
    _task_numa_find_cpu(m, env, task)
    group = m.numa[task, Numa.GROUP]
    spread = group != NONE and m.group[group, Group.ACTIVE] > 1
    if env[Env.BEST_CPU] == NONE or spread:
        _try_other_nodes(m, env, task)
    if group != NONE:
        cpu = env[Env.BEST_CPU]
        m.numa[task, Numa.PREFERRED] = source if cpu == NONE else m.cpu_node[cpu]
    if env[Env.BEST_CPU] != NONE:
        _move(m, env, task)


@called
def numa_migrate_preferred(m, env, task, now_ms):
    """Try to bring a task to its preferred node, and set the time of the next try."""
    preferred = m.numa[task, Numa.PREFERRED]
    if preferred == NONE:
        return
    interval = min(_RETRY_MS, m.numa[task, Numa.PERIOD] // 16)
    m.numa[task, Numa.RETRY] = now_ms + interval
    if m.task[task, Task.NID] != preferred and m.info[Info.NUMA_PLACEMENT]:
        _task_numa_migrate(m, env, task)

"""The load balancer: CPUs take tasks from busier ones (load_balance, fair.c).

``docs/model/sched.md``.  Serial work at a quantum's end, tick by tick, by CPUs in order
of their numbers.
"""

from typing import Final

import numpy as np

from ..balancing.task_numa_migrate import is_running
from ..counters import Lb
from ..draws import draw, low_bits, stream_key, unit
from ..jit.compile import called, inlined, kernel
from ..state import Cpu, Domain, Info, Node, Task
from ..words import NONE
from .detach_tasks import (
    cache_nice_tries,
    current_task,
    detach_task,
    is_too_heavy,
    move_to,
)
from .find_busiest_queue import find_busiest_queue, running_on, span_weight

_MS: Final = 1_000_000
#: max_load_balance_interval: HZ / 10 jiffies for each CPU.
_INTERVAL_MAX_MS: Final = 100
#: Values of a draw's low bits.
_PARTS: Final = 2048
#: Stream of the disturbances.
_STREAM: Final = np.uint64((1 << 63) + 2)


@inlined
def _count_running(m):
    for cpu in range(m.cpu.shape[0]):
        m.cpu[cpu, Cpu.RUNNING] = 0
    for t in range(m.info[Info.TASKS]):
        if is_running(m, t):
            m.cpu[m.task[t, Task.CPU], Cpu.RUNNING] += 1


@called
def _disturb(m, at, tick):
    """Begin what else runs on CPUs in the tick that ends at ``at``."""
    period, length = m.info[Info.DISTURB_PERIOD], m.info[Info.DISTURB]
    if length == 0:
        return
    key = stream_key(m.info[Info.SEED], _STREAM)
    cpus = m.cpu_node.size
    for cpu in range(cpus):
        if m.cpu_node[cpu] == NONE or m.cpu[cpu, Cpu.UNTIL] > at:
            continue
        r = draw(key, at // tick * cpus + cpu)
        if unit(r) * period >= tick:
            continue
        since = at - low_bits(r) * tick // _PARTS
        m.cpu[cpu, Cpu.SINCE] = since
        m.cpu[cpu, Cpu.UNTIL] = since + length
        m.cpu[cpu, Cpu.STOLEN] += length
        m.lb[Lb.DISTURBED] += 1


@inlined
def _interval(m, cpu, level, idle):
    """Return the time between two balances, ns (get_sd_balance_interval)."""
    weight = span_weight(m, m.cpu_node[cpu], level)
    interval = max(weight, m.domain[cpu, level, Domain.INTERVAL])
    if not idle:
        interval *= m.info[Info.BUSY_FACTOR]
    cpus = 0
    for n in range(m.node.shape[0]):
        cpus += m.node[n, Node.CPUS]
    return min(interval, _INTERVAL_MAX_MS * cpus) * _MS


@inlined
def _should_we_balance(m, cpu, level, at):
    """Tell whether a CPU balances for its group: the first idle one, or the first."""
    if level == 0:
        return True
    first = NONE
    for other in range(m.cpu_node.size):
        if m.cpu_node[other] != m.cpu_node[cpu]:
            continue
        if running_on(m, other, at) == 0:
            return other == cpu
        if first == NONE:
            first = other
    return first == cpu


@inlined
def _note_balanced(m, cpu, level):
    """Look less often from now on."""
    domain = m.domain[cpu, level]
    domain[Domain.FAILED] = 0
    _back_off(m, cpu, level)


@inlined
def _back_off(m, cpu, level):
    domain = m.domain[cpu, level]
    weight = span_weight(m, m.cpu_node[cpu], level)
    if domain[Domain.INTERVAL] < 2 * weight:
        domain[Domain.INTERVAL] = 2 * max(weight, domain[Domain.INTERVAL])


@inlined
def _note_moved(m, cpu, level):
    domain = m.domain[cpu, level]
    domain[Domain.FAILED] = 0
    domain[Domain.INTERVAL] = span_weight(m, m.cpu_node[cpu], level)


@called
def _note_failed(m, cpu, source, level, at):
    """Count a failure; push the running task after too many (active balance)."""
    domain = m.domain[cpu, level]
    domain[Domain.FAILED] += 1
    tries = cache_nice_tries(level)
    if domain[Domain.FAILED] <= tries + 2:
        domain[Domain.INTERVAL] = span_weight(m, m.cpu_node[cpu], level)
        return False
    task = current_task(m, source, at)
    if task == NONE or m.task[task, Task.PINNED]:
        _back_off(m, cpu, level)
        return False
    domain[Domain.FAILED] = tries + 1
    _back_off(m, cpu, level)
    move_to(m, task, cpu, Lb.PUSHED)
    return True


@called
def _take_task(m, cpu, level, newly, at):
    """Take a task from the busiest CPU of a domain; return whether one came.

    newly  whether the CPU had something to do at the last tick
    """
    idle = running_on(m, cpu, at) == 0
    source, imbalance = find_busiest_queue(m, cpu, level, at)
    if source == NONE:
        m.lb[Lb.BALANCED] += 1
        if not newly:
            _note_balanced(m, cpu, level)
        return False
    task = NONE
    if is_too_heavy(m, m.domain[cpu, level, Domain.FAILED], imbalance):
        m.lb[Lb.FAILED] += 1
    else:
        task = detach_task(m, source, cpu, level, idle and not newly, at)
    if task != NONE:
        how = Lb.MOVED_NEWLY_IDLE if newly else Lb.MOVED_IDLE
        move_to(m, task, cpu, how if idle else Lb.MOVED_BUSY)
        _note_moved(m, cpu, level)
        return True
    return False if newly else _note_failed(m, cpu, source, level, at)


@called
def _rebalance_cpu(m, cpu, at):
    """Let a CPU balance the domains for which it is time."""
    idle = running_on(m, cpu, at) == 0
    newly = idle and m.cpu[cpu, Cpu.BUSY] == 1
    m.cpu[cpu, Cpu.BUSY] = 0 if idle else 1
    for level in range(m.reach.size):
        if newly:
            if _take_task(m, cpu, level, True, at):
                m.cpu[cpu, Cpu.BUSY] = 1
                return
            continue
        if at - m.domain[cpu, level, Domain.LAST] < _interval(m, cpu, level, idle):
            continue
        m.domain[cpu, level, Domain.LAST] = at
        if not _should_we_balance(m, cpu, level, at):
            return
        if _take_task(m, cpu, level, False, at):
            m.cpu[cpu, Cpu.BUSY], idle = 1, False


@kernel
def rebalance_domains(m, start, end):
    """Balance the load at each tick in (start, end], ns."""
    _count_running(m)
    tick = m.info[Info.TICK_NS]
    at = (start // tick + 1) * tick
    while at <= end:
        _disturb(m, at, tick)
        for cpu in range(m.cpu_node.size):
            if m.cpu_node[cpu] != NONE:
                _rebalance_cpu(m, cpu, at)
        at += tick

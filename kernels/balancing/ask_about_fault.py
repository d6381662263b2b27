"""A hint fault as a user's policy sees it: what it is asked, in one row of numbers.

``docs/model/own_policy.md`` 2.
"""

from typing import Final

from ..doors import Asked, Door
from ..frames.last_cpupid import (
    TIME_MASK,
    cpupid_nid,
    cpupid_pid,
    folio_last_cpupid,
    pid_of,
    uses_access_time,
)
from ..jit.compile import called, inlined
from ..knobs import Balancing
from ..placement.asked import DEFAULT, MS, Fault, ask, has_answer, may_ask
from ..state import Cost, Info, Node, Numa, NumaFaults, Task, Vma
from ..words import HPAGE_PMD_ORDER, NONE
from .numa_weight import group_faults

_HINT_FAULT, _PROMOTE = int(Door.HINT_FAULT), int(Door.PROMOTE)
_TIERING: Final = int(Balancing.TIERING)


@inlined
def _describe_task(m, row, task, n, d):
    """Fill in what NUMA balancing knows of a task and of its group."""
    first = Asked.ARGUMENTS
    row[first + Fault.PREFERRED_NODE] = NONE
    row[first + Fault.GROUP] = NONE
    row[first + Fault.SCAN_SEQ] = 0
    row[first + Fault.GROUP_CPU_HERE : first + Fault.GROUP_MEMORY_THERE + 1] = 0
    if not m.info[Info.BALANCING]:
        return
    numa = m.numa[m.task[task, Task.OWNER]]
    group = numa[Numa.GROUP]
    row[first + Fault.PREFERRED_NODE] = numa[Numa.PREFERRED]
    row[first + Fault.SCAN_SEQ] = numa[Numa.SEQ]
    row[first + Fault.GROUP] = group
    if group == NONE:
        return
    cpu, mem = NumaFaults.CPU, NumaFaults.MEM
    row[first + Fault.GROUP_CPU_HERE] = group_faults(m, group, cpu, d)
    row[first + Fault.GROUP_CPU_THERE] = group_faults(m, group, cpu, n)
    row[first + Fault.GROUP_MEMORY_HERE] = group_faults(m, group, mem, d)
    row[first + Fault.GROUP_MEMORY_THERE] = group_faults(m, group, mem, n)


@called
def _fill(m, s, door, task, n, pages):
    """Fill in what all faults of a task on pages of a node share in a quantum."""
    row, first, d = m.asked[s], Asked.ARGUMENTS, m.task[task, Task.NID]
    row[Asked.FILLED], row[Asked.FOR_TASK] = door, task
    row[Asked.FOR_NODE], row[Asked.FOR_PAGES] = n, pages
    row[first + Fault.TASK] = m.task[task, Task.OWNER]
    row[first + Fault.PROCESS] = m.task[task, Task.MM]
    row[first + Fault.NODE] = n
    row[first + Fault.CPU_NODE] = d
    row[first + Fault.PAGES] = pages
    row[first + Fault.NODE_TIER] = m.node[n, Node.TIER]
    row[first + Fault.CPU_TIER] = m.node[d, Node.TIER]
    row[first + Fault.NODE_SLOW] = m.node[n, Node.SLOW]
    row[first + Fault.FREE] = m.node[d, Node.FREE]
    row[first + Fault.HIGH] = m.node[d, Node.HIGH]
    ns = m.cost[Cost.MIGRATE_PAGE] + pages * m.copy_ns[n, d]
    row[first + Fault.MOVE_NS] = ns
    row[first + Fault.NOW_NS] = m.info[Info.NOW_MS] * MS
    row[first + Fault.TIERING] = m.info[Info.BALANCING] & _TIERING != 0
    _describe_task(m, row, task, n, d)


@inlined
def _describe_last(m, row, task, word):
    """Fill in who took the last hint fault; the word is one of ``last_cpupid.py``."""
    first = Asked.ARGUMENTS
    same = word != 0 and cpupid_pid(word) == pid_of(m, task)
    row[first + Fault.LAST_NODE] = cpupid_nid(m, word) if word != 0 else NONE
    row[first + Fault.LAST_SAME_TASK] = same
    row[first + Fault.SINCE_MARK_MS] = NONE


@inlined
def _describe_mark(m, row, word):
    """Fill in when a slow page was marked."""
    first = Asked.ARGUMENTS
    since = (m.info[Info.NOW_MS] - word + 1) & TIME_MASK
    row[first + Fault.LAST_NODE] = NONE
    row[first + Fault.LAST_SAME_TASK] = 0
    row[first + Fault.SINCE_MARK_MS] = since if word != 0 else NONE


@inlined
def _describe(m, s, door, fault):
    row, first, task = m.asked[s], Asked.ARGUMENTS, fault.task
    if (
        row[Asked.FILLED] != door
        or row[Asked.FOR_TASK] != task
        or row[Asked.FOR_NODE] != fault.nid
        or row[Asked.FOR_PAGES] != fault.pages
        or s == m.info[Info.SHARDS]
    ):
        _fill(m, s, door, task, fault.nid, fault.pages)
    row[first + Fault.PAGE] = fault.at
    row[first + Fault.BLOCK] = fault.at >> HPAGE_PMD_ORDER
    row[first + Fault.WRITE] = fault.write
    row[first + Fault.SHARED] = m.vma[fault.v, Vma.SHARED]
    row[first + Fault.LAZY] = m.vma[fault.v, Vma.MOF]
    word = folio_last_cpupid(m, fault.pfn) if m.info[Info.BALANCING] else 0
    if door == _PROMOTE:
        _describe_mark(m, row, word)
    else:
        _describe_last(m, row, task, word)


@inlined
def ask_about_fault(m, s, fault):
    """Return what a user's policy answers to a hint fault; DEFAULT: there is none.

    fault  a HintFault; asked once, however often it is tried
    """
    door = _PROMOTE if uses_access_time(m, fault.nid) else _HINT_FAULT
    if not may_ask(m, s, door):
        return DEFAULT
    if has_answer(m, s, door, fault.task, fault.at, fault.pfn):
        return m.asked[s, Asked.ANSWER]
    _describe(m, s, door, fault)
    answer = ask(m, s, door)
    m.asked[s, Asked.ANSWER] = answer
    return answer

"""What a task is charged and a process holds, noted by shard."""

from ..jit.compile import inlined
from ..state import Change, Info, Task


@inlined
def charge(m, s, task, cause, ns):
    m.cause[s, task, cause] += ns


@inlined
def add_rss(m, s, task, rss, swapents):
    m.mm_change[s, m.task[task, Task.MM], Change.RSS] += rss
    m.mm_change[s, m.task[task, Task.MM], Change.SWAPENTS] += swapents


@inlined
def refuse(m, reason):
    m.refused[m.info[Info.SHARDS], reason] += 1
    return 0

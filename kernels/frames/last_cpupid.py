"""Which task took the last hint fault on a page, or when a slow page was marked.

``docs/model/page.md`` 4.  One int32 for each frame and one for each folio.  0 is unset,
otherwise it is 1 + (CPU << 8 | low 8 bits of the pid).  On slow nodes of tiered memory
it is 1 + milliseconds (folio_use_access_time, mm/memory.c).  None of it is touched
unless NUMA balancing is on.
"""

from typing import Final

from ..jit.compile import inlined
from ..knobs import Balancing
from ..state import Info, Node, Task
from ..words import HPAGE_PMD_NR, HPAGE_PMD_ORDER

PID_MASK: Final = 0xFF
_PID_BITS: Final = 8
TIME_MASK: Final = (1 << 30) - 1
_TIERING: Final = int(Balancing.TIERING)


@inlined
def uses_access_time(m, n):
    """Tell whether pages of a node keep the time of their mark: slow ones do."""
    return m.info[Info.BALANCING] & _TIERING != 0 and m.node[n, Node.SLOW] == 1


@inlined
def pid_of(m, task):
    """Return the low bits of the pid of a row of the tasks' table."""
    return (m.task[task, Task.OWNER] + 1) & PID_MASK


@inlined
def cpupid_of(m, task):
    """Return the word for a fault that a task takes now."""
    return (m.task[task, Task.CPU] << _PID_BITS | pid_of(m, task)) + 1


@inlined
def cpupid_pid(word):
    return (word - 1) & PID_MASK


@inlined
def cpupid_cpu(word):
    return (word - 1) >> _PID_BITS


@inlined
def cpupid_nid(m, word):
    """Return the node of the CPU that took the last hint fault; the word is not 0."""
    return m.cpu_node[cpupid_cpu(word)]


@inlined
def folio_last_cpupid(m, pfn):
    """Return the word of the page, or of the folio that it is part of."""
    b = pfn >> HPAGE_PMD_ORDER
    if m.block_huge[b] != 0:
        return int(m.block_cpupid[b])
    return int(m.frame_cpupid[pfn])


@inlined
def set_last_cpupid(m, pfn, word):
    b = pfn >> HPAGE_PMD_ORDER
    if m.block_huge[b] != 0:
        m.block_cpupid[b] = word
    else:
        m.frame_cpupid[pfn] = word


@inlined
def reset_last_cpupid(m, pfn):
    """Forget which task used a frame that is freed (free_pages_prepare)."""
    if m.info[Info.BALANCING]:
        m.frame_cpupid[pfn] = 0


@inlined
def reset_last_cpupids(m, pfn, frames):
    """Forget which tasks used frames in a row."""
    if m.info[Info.BALANCING]:
        m.frame_cpupid[pfn : pfn + frames] = 0


@inlined
def reset_last_cpupid_huge(m, b):
    if m.info[Info.BALANCING]:
        m.block_cpupid[b] = 0


@inlined
def _taken_over(m, word, source, target):
    """Return the word that a page has after its move (folio_migrate_flags)."""
    if uses_access_time(m, source) != uses_access_time(m, target):
        return 0
    return word


@inlined
def migrate_last_cpupid(m, old, new, source, target):
    """Let the frame ``new`` of node ``target`` take over the word of ``old``."""
    if m.info[Info.BALANCING]:
        m.frame_cpupid[new] = _taken_over(m, m.frame_cpupid[old], source, target)


@inlined
def migrate_last_cpupid_huge(m, old, new, source, target):
    """Do ``migrate_last_cpupid`` for the folios of two pageblocks."""
    if m.info[Info.BALANCING]:
        m.block_cpupid[new] = _taken_over(m, m.block_cpupid[old], source, target)


@inlined
def split_last_cpupid(m, b):
    """Give every frame of a folio that is split the folio's word."""
    if m.info[Info.BALANCING]:
        first = b << HPAGE_PMD_ORDER
        m.frame_cpupid[first : first + HPAGE_PMD_NR] = m.block_cpupid[b]
        m.block_cpupid[b] = 0

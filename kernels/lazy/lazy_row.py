"""A row of faults, each of which moves a page from one node to the task's.

Rows of hint faults and of parked pages share this: when a row may begin, what becomes
of the frames of one page, and what is counted for all pages at its end.
"""

from typing import NamedTuple

from ..access_run import HitCount, run_of
from ..counters import Cause, Op, Vm
from ..frames.account import charge, count_op
from ..frames.allotment import take_next
from ..frames.folio import count_lru
from ..frames.page_alloc import count_freed, free_later
from ..frames.vma import find_vma
from ..jit.compile import inlined
from ..knobs import Mode
from ..placement.mempolicy import count_allocations, policy_of
from ..placement.migrate import ns_between
from ..placement.moves import count_moved, goes_back, moved_from, uses_to_pay
from ..state import Info, Node, Task, Vma
from ..words import (
    ACCESS_VPN,
    FRAME_ACTIVE,
    FRAME_COMPOUND,
    FRAME_KIND,
    FRAME_MAPCOUNT,
    FRAME_SHMEM,
    NONE,
    OWES_MAX,
    PTE_OWES_ONE,
)

#: What a frame's word says of those who map or hold the page.
HOLDERS = FRAME_MAPCOUNT | FRAME_COMPOUND | FRAME_KIND | FRAME_SHMEM


class Row(NamedTuple):
    """What all faults of a row have in common."""

    task: int
    #: Pages of the VMA: [low, high).
    low: int
    high: int
    #: Index of a PTE less its vpn.
    delta: int
    #: The node that the pages are on, and the task's node.
    source: int
    target: int
    #: Bits of a PTE that say what the page owes after its first use.
    owed: int


class Moved(NamedTuple):
    """What a row has moved so far."""

    #: The frames that are left (``frames/allotment.py``).
    frames: tuple
    #: Pages that were on the active list, and that came back to their node.
    active: int
    back: int


@inlined
def is_of(word, run, low, high):
    """Tell whether an access belongs to a run, and to a page of [low, high)."""
    vpn = word & ACCESS_VPN
    return run_of(word) == run.bits and low <= vpn and vpn < high


@inlined
def private_vma(m, task, vpn):
    """Return the row of a page's VMA; NONE if it is shared or there is none."""
    v = find_vma(m, m.task[task, Task.MM], vpn)
    return v if v == NONE or not m.vma[v, Vma.SHARED] else NONE


@inlined
def _goes_to_task(m, task, v):
    """Tell whether pages of a VMA belong on their task's node (MPOL_LOCAL)."""
    mode, _, _ = policy_of(m, task, v)
    return mode == Mode.DEFAULT or mode == Mode.LOCAL


@inlined
def may_move(m, task, v, source, mark, margin):
    """Tell whether pages of node ``source`` may go to their task's node.

    With NUMA balancing each page takes its last CPU and pid along: no row does that.
    mark, margin  the free frames that the task's node must have more than
    """
    nid = m.task[task, Task.NID]
    if source == nid or m.info[Info.BALANCING] or not _goes_to_task(m, task, v):
        return False
    above = m.node[nid, Node.FREE] > m.node[nid, mark] + margin
    return m.node[nid, Node.ONLINE] == 1 and above


@inlined
def row_to_task(m, task, v, source):
    """Return a row of moves from node ``source`` to the task's node."""
    nid = m.task[task, Task.NID]
    uses = uses_to_pay(m, task, source, nid, ns_between(m, source, nid), OWES_MAX)
    return Row(
        task,
        m.vma[v, Vma.START],
        m.vma[v, Vma.END],
        m.task[task, Task.DELTA],
        source,
        nid,
        (uses - 1) * PTE_OWES_ONE,
    )


@inlined
def move_frame(m, s, row, moved, old, word):
    """Let a new frame take the place of ``old``, which is freed at the barrier.

    word    of the new frame, but for the node that the page comes from
    Return the new frame, and what the row has moved now.
    """
    new, frames = take_next(m, s, row.target, moved.frames)
    m.frame[new] = moved_from(word, row.source)
    m.frame[old] = 0
    free_later(m, s, old)
    active = moved.active + (word & FRAME_ACTIVE != 0)
    return new, Moved(frames, active, moved.back + goes_back(word, row.target))


@inlined
def count_moves(m, s, row, moved, pages):
    """Count and charge the moves of a row, and its page faults."""
    source, target, active = row.source, row.target, moved.active
    count_allocations(m, s, target, target, target, Mode.DEFAULT, pages)
    count_lru(m, s, source, 0, active - pages)
    count_lru(m, s, source, 1, -active)
    count_lru(m, s, target, 0, pages - active)
    count_lru(m, s, target, 1, active)
    count_freed(m, s, source, pages)
    count_moved(m, s, target, pages, moved.back)
    m.vm[s, target, Vm.PGMIGRATE_SUCCESS] += pages
    m.vm[s, target, Vm.PGFAULT] += pages
    charge(m, s, row.task, Cause.MIGRATION, pages * ns_between(m, source, target))
    count_op(m, s, row.task, Op.MIGRATE, pages)


@inlined
def count_hits(run, row, pages):
    """Count the accesses of a row: each is served where its page is now."""
    run.counts[HitCount.NODES + row.target] += pages
    run.counts[HitCount.PAID] += pages if row.owed == 0 else 0

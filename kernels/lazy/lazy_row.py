"""What the rows of hint faults and of parked pages share."""

from ..counters import Cause, Vm
from ..frames.vma import find_vma
from ..jit.compile import inlined
from ..knobs import Mode
from ..placement.mempolicy import count_allocations, policy_of
from ..placement.moves import uses_to_pay
from ..state import Cost, Node, Pool, Task, Vma
from ..words import (
    ACCESS_VPN,
    ACCESS_WRITE,
    FRAME_COMPOUND,
    FRAME_DIRTY,
    FRAME_FROM,
    FRAME_FROM_SHIFT,
    FRAME_MAPCOUNT,
    FRAME_MIGCACHE,
    FRAME_SHMEM,
    FRAME_SWAPCACHE,
    NONE,
    OWES_MAX,
    PTE_DIRTY,
    PTE_OWES_ONE,
)

#: What a page that one PTE maps, and nothing else holds, has of these.
HELD = FRAME_MAPCOUNT | FRAME_COMPOUND | FRAME_SWAPCACHE | FRAME_MIGCACHE | FRAME_SHMEM


@inlined
def is_of(word, run, low, high):
    """Tell whether an access is the run's, and to a page of [low, high)."""
    vpn = word & ACCESS_VPN
    return word & ~(ACCESS_VPN | ACCESS_WRITE) == run and low <= vpn and vpn < high


@inlined
def private_vma(m, task, vpn):
    """Return the row of the VMA of a page, NONE where it is shared or there is none."""
    v = find_vma(m, m.task[task, Task.MM], vpn)
    return v if v == NONE or not m.vma[v, Vma.SHARED] else NONE


# --- moves ----------------------------------------------------------------------------


@inlined
def goes_to_task(m, task, v):
    """Tell whether pages of a VMA belong on their task's node (MPOL_LOCAL)."""
    mode, _, _, _ = policy_of(m, task, v)
    return mode == Mode.DEFAULT or mode == Mode.LOCAL


@inlined
def has_room(m, nid, mark, margin):
    return (
        m.node[nid, Node.ONLINE] == 1
        and m.node[nid, Node.FREE] > m.node[nid, mark] + margin
    )


@inlined
def moved(word, pte, old_nid):
    """Return the word of a page that moves: what its PTE knew of writes it knows."""
    if pte & PTE_DIRTY:
        word |= FRAME_DIRTY
    return word & ~FRAME_FROM | (old_nid + 1) << FRAME_FROM_SHIFT


@inlined
def count_moves(m, s, task, old, nid, pages, active, back):
    """Count pages that moved from node ``old`` to the task's, ``nid``."""
    count_allocations(m, s, nid, nid, nid, Mode.DEFAULT, pages)
    m.lru_change[s, old, 0] -= pages - active
    m.lru_change[s, old, 1] -= active
    m.lru_change[s, nid, 0] += pages - active
    m.lru_change[s, nid, 1] += active
    m.vm[s, old, Vm.PGFREE] += pages
    m.pool[s, old, Pool.FREED] += pages
    m.vm[s, nid, Vm.PGMIGRATE_SUCCESS] += pages
    m.vm[s, nid, Vm.PAGES_MOVED] += pages
    m.vm[s, nid, Vm.PAGES_MOVED_BACK] += back
    m.vm[s, nid, Vm.PGFAULT] += pages
    ns = m.cost[Cost.MIGRATE_PAGE] + m.copy_ns[old, nid]
    m.cause[s, task, Cause.MIGRATION] += pages * ns


@inlined
def owed_of(m, task, old, nid):
    """Return the bits of a PTE through which a page moved, after its first use."""
    ns = m.cost[Cost.MIGRATE_PAGE] + m.copy_ns[old, nid]
    return (uses_to_pay(m, task, old, nid, ns, OWES_MAX) - 1) * PTE_OWES_ONE

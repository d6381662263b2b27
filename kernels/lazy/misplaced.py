"""What hint faults on small and on huge pages share (mm/memory.c, mm/migrate.c)."""

from typing import Final

from ..balancing.should_numa_migrate_memory import MIGRATE, numa_misplaced
from ..counters import Cause, Vm
from ..frames.last_cpupid import folio_last_cpupid, uses_access_time
from ..jit.compile import inlined
from ..knobs import Balancing
from ..placement.mempolicy import mpol_misplaced
from ..state import Cost, Info, Node, Task, Vma
from ..words import PTE_WRITE

_TIERING: Final = int(Balancing.TIERING)


@inlined
def misplaced(m, s, task, v, vpn, pfn, n, pages):
    """Return (target or NONE, answer, whether the filter ran), as numa_misplaced."""
    if m.info[Info.BALANCING]:
        return numa_misplaced(m, s, task, v, vpn, pfn, n, pages)
    return mpol_misplaced(m, task, v, vpn, pfn), MIGRATE, False


@inlined
def last_cpupid(m, pfn, n):
    """Return who took the last fault on a page of node ``n``, 0 for nobody known."""
    return 0 if uses_access_time(m, n) else folio_last_cpupid(m, pfn)


@inlined
def mapping_is_writable(m, v, entry, mapcount):
    """Tell whether a fault says something about who shares the page (no NO_GROUP)."""
    if not m.vma[v, Vma.WRITE]:
        return False
    return entry & PTE_WRITE != 0 or mapcount == 1


@inlined
def wake_demotion(m, target):
    """Let kswapd make room where a page found none, in a machine of tiers."""
    if m.info[Info.BALANCING] & _TIERING:
        m.node[target, Node.KSWAPD_WOKEN] = 1


@inlined
def count_numa_migration(m, s, n, target, pages):
    """Count a page that a hint fault has moved from node ``n``."""
    m.vm[s, target, Vm.NUMA_PAGES_MIGRATED] += pages
    if uses_access_time(m, n):
        m.vm[s, target, Vm.PGPROMOTE_SUCCESS] += pages


@inlined
def count_hint_fault(m, s, task, page_nid):
    cpu_nid = m.task[task, Task.NID]
    m.vm[s, cpu_nid, Vm.NUMA_HINT_FAULTS] += 1
    if page_nid == cpu_nid:
        m.vm[s, cpu_nid, Vm.NUMA_HINT_FAULTS_LOCAL] += 1
    m.cause[s, task, Cause.HINT_FAULT] += m.cost[Cost.HINT_FAULT]

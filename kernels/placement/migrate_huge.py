"""Move a huge page as one unit.

``docs/model/placement.md`` 9, steps 13 to 22.
"""

from ..counters import Cause, Op, Vm
from ..frames.account import charge, count_op
from ..frames.folio import defer, folio_nid, lru_add_huge, maps_folio, undefer
from ..frames.last_cpupid import migrate_last_cpupid_huge
from ..frames.page_alloc import put_huge
from ..frames.rmap import first_mm, mapcount, maps_frame
from ..frames.vma import next_vma, vm_page_prot
from ..jit.compile import called, inlined
from ..state import Cost, Mm, Vma
from ..words import (
    FOLIO_COMPOUND,
    FOLIO_REMAPPED,
    FRAME_VPN,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PTE_PAYLOAD,
    PTE_PROTNONE,
)


@inlined
def _repoint_ptes(m, mm, vpn, old, new):
    """Point the PTEs of a process that map folio ``old`` at folio ``new``."""
    first = vpn + m.mm[mm, Mm.DELTA]
    for i in range(HPAGE_PMD_NR):
        pte = m.pte[first + i]
        if maps_frame(pte, old + i):
            prot = vm_page_prot(m, mm, vpn + i, pte)
            m.pte[first + i] = (pte & ~(PTE_PAYLOAD | PTE_PROTNONE)) | (new + i) | prot


@inlined
def _remove_migration_pmds(m, old, new, compound):
    vpn = m.block_huge[new] & FRAME_VPN
    mm = first_mm(m, vpn)
    first = new << HPAGE_PMD_ORDER
    while mm != NONE:
        block = (vpn + m.mm[mm, Mm.DELTA]) >> HPAGE_PMD_ORDER
        pmd = m.pmd[block]
        if maps_folio(pmd, old):
            prot = vm_page_prot(m, mm, vpn, pmd)
            m.pmd[block] = (pmd & ~(PTE_PAYLOAD | PTE_PROTNONE)) | first | prot
        elif compound:
            _repoint_ptes(m, mm, vpn, old << HPAGE_PMD_ORDER, first)
        mm = m.mm[mm, Mm.NEXT]


@inlined
def _maps_part(m, v, mm, vpn, pfn):
    """Tell whether PTEs of a VMA map a page of the folio that begins at ``pfn``."""
    first = max(m.vma[v, Vma.START] - vpn, 0)
    for i in range(first, min(m.vma[v, Vma.END] - vpn, HPAGE_PMD_NR)):
        if maps_frame(m.pte[vpn + m.mm[mm, Mm.DELTA] + i], pfn + i):
            return True
    return False


@inlined
def _unmapping_defers(m, b):
    """Tell whether unmapping a folio for its migration queues it to be split.

    The rmap walk visits the VMAs.  While PMD entries are left, PG_double_map counts as
    one more mapping of each page.  It goes with the last PMD entry, and from then on a
    page that loses its last PTE queues the folio.
    """
    if m.block_huge[b] & FOLIO_REMAPPED:
        return True
    by_pte = False
    vpn = m.block_huge[b] & FRAME_VPN
    v, mm = next_vma(m, vpn, HPAGE_PMD_NR, NONE)
    while v != NONE:
        if maps_folio(m.pmd[(vpn + m.mm[mm, Mm.DELTA]) >> HPAGE_PMD_ORDER], b):
            by_pte = False
        elif _maps_part(m, v, mm, vpn, b << HPAGE_PMD_ORDER):
            by_pte = True
        v, mm = next_vma(m, vpn, HPAGE_PMD_NR, v)
    return by_pte


@called
def migrate_huge(m, s, task, old, new):
    """Let the folio of block ``new`` take the place of that of ``old``.

    The task is charged for it; return the ns.
    """
    source, target = folio_nid(m, old), folio_nid(m, new)
    ns = m.cost[Cost.MIGRATE_PAGE] + HPAGE_PMD_NR * m.copy_ns[source, target]
    charge(m, s, task, Cause.MIGRATION, ns)
    count_op(m, s, task, Op.MIGRATE_HUGE, 1)
    move_folio(m, s, old, new)
    return ns


@called
def move_folio(m, s, old, new):
    """Let the folio of block ``new`` take the place of that of ``old``."""
    source, target = folio_nid(m, old), folio_nid(m, new)
    migrate_last_cpupid_huge(m, old, new, source, target)
    compound = m.block_huge[old] & FOLIO_COMPOUND != 0
    if compound and _unmapping_defers(m, old):
        defer(m, s, old)
    undefer(m, s, old)
    lru_add_huge(m, s, old, -1)
    m.block_huge[new] = m.block_huge[old]
    if compound and mapcount(m.block_huge[new]) > 0:
        m.block_huge[new] |= FOLIO_REMAPPED
    lru_add_huge(m, s, new, 1)
    if compound:
        first, freed = new << HPAGE_PMD_ORDER, old << HPAGE_PMD_ORDER
        m.block_mapped[new] = m.block_mapped[old]
        for i in range(HPAGE_PMD_NR):
            m.frame[first + i] = m.frame[freed + i]
    _remove_migration_pmds(m, old, new, compound)
    m.vm[s, target, Vm.PGMIGRATE_SUCCESS] += HPAGE_PMD_NR
    m.vm[s, target, Vm.THP_MIGRATION_SUCCESS] += 1
    put_huge(m, s, old)

"""Move a huge page as one unit.

``docs/model/placement.md`` 9, steps 13 to 22.
"""

from ..counters import Cause, Op, Vm
from ..frames.account import charge, count_op
from ..frames.folio import defer, folio_nid, lru_add_huge, maps_folio, undefer
from ..frames.last_cpupid import migrate_last_cpupid_huge
from ..frames.mapped_shared import maps_part
from ..frames.page_alloc import put_huge
from ..frames.rmap import first_mm, made_anew, mapcount, maps_frame
from ..jit.compile import called, inlined
from ..state import Cost, Mm
from ..words import (
    FOLIO_COMPOUND,
    FOLIO_REMAPPED,
    FRAME_VPN,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_EXCLUSIVE,
    PTE_EXCLUSIVE,
    PTE_PAYLOAD,
)


@inlined
def _repoint_ptes(m, mm, vpn, old, new):
    """Point the PTEs of a process that map folio ``old`` at folio ``new``."""
    first = vpn + m.mm[mm, Mm.DELTA]
    for i in range(HPAGE_PMD_NR):
        pte = m.pte[first + i]
        if maps_frame(pte, old + i):
            pte = made_anew(m, mm, vpn + i, pte, PTE_EXCLUSIVE)
            m.pte[first + i] = pte & ~PTE_PAYLOAD | (new + i)


@inlined
def _remove_migration_pmds(m, old, new, compound):
    vpn = m.block_huge[new] & FRAME_VPN
    mm = first_mm(m, vpn)
    first = new << HPAGE_PMD_ORDER
    while mm != NONE:
        block = (vpn + m.mm[mm, Mm.DELTA]) >> HPAGE_PMD_ORDER
        pmd = m.pmd[block]
        if maps_folio(pmd, old):
            pmd = made_anew(m, mm, vpn, pmd, PMD_EXCLUSIVE)
            m.pmd[block] = pmd & ~PTE_PAYLOAD | first
        elif compound:
            _repoint_ptes(m, mm, vpn, old << HPAGE_PMD_ORDER, first)
        mm = m.mm[mm, Mm.NEXT]


@inlined
def _unmapping_defers(m, b):
    """Tell whether unmapping a folio for its migration queues it to be split.

    The rmap walk visits the processes, the oldest first.  While PMD entries are left,
    PG_double_map counts as one more mapping of each page.  It goes with the last PMD
    entry, and from then on a page that loses its last PTE queues the folio.
    """
    if m.block_huge[b] & FOLIO_REMAPPED:
        return True
    by_pte = False
    vpn = m.block_huge[b] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        if maps_folio(m.pmd[(vpn + m.mm[mm, Mm.DELTA]) >> HPAGE_PMD_ORDER], b):
            by_pte = False
        elif maps_part(m, mm, vpn, b << HPAGE_PMD_ORDER):
            by_pte = True
        mm = m.mm[mm, Mm.NEXT]
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

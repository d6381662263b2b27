"""Move a huge page as one unit.

``docs/model/placement.md`` 9, steps 13 to 22.
"""

from ..counters import Cause, Op, Vm
from ..frames.account import charge, count_op
from ..frames.folio import (
    defer,
    folio_nid,
    lru_add_huge,
    maps_folio,
    split_huge_page,
    undefer,
    unmapping_defers,
)
from ..frames.last_cpupid import migrate_last_cpupid_huge
from ..frames.page_alloc import put_huge
from ..frames.rmap import first_mm, made_anew, mapcount, maps_frame
from ..frames.zero_filled import copy_folio
from ..jit.compile import called, inlined
from ..state import Cost, Info, Mm
from ..words import (
    FOLIO_COMPOUND,
    FOLIO_DEFERRED,
    FOLIO_QUEUED,
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
def split_to_migrate(m, s, b):
    """Split a folio that waits to be split, if that comes before its migration.

    Return whether it was split.  Pages that nobody maps count as moved: they are freed
    while they are on the list (migrate_pages_batch, mm/migrate.c, 6.12).
    """
    if not m.info[Info.SPLIT_TO_MIGRATE] or not m.block_huge[b] & FOLIO_DEFERRED:
        return False
    n = folio_nid(m, b)
    m.vm[s, n, Vm.THP_MIGRATION_FAIL] += 1
    m.vm[s, n, Vm.THP_MIGRATION_SPLIT] += 1
    m.vm[s, n, Vm.PGMIGRATE_SUCCESS] += split_huge_page(m, s, b, 0)
    return True


@called
def move_folio(m, s, old, new):
    """Let the folio of block ``new`` take the place of that of ``old``."""
    source, target = folio_nid(m, old), folio_nid(m, new)
    migrate_last_cpupid_huge(m, old, new, source, target)
    copy_folio(m, old, new)
    compound = m.block_huge[old] & FOLIO_COMPOUND != 0
    if compound and unmapping_defers(m, old):
        defer(m, s, old)
    deferred = m.block_huge[old] & FOLIO_DEFERRED != 0
    undefer(m, s, old)
    lru_add_huge(m, s, old, -1)
    m.block_huge[new] = m.block_huge[old]
    if not m.info[Info.DEFERRED_MOVES]:
        m.block_huge[new] &= ~FOLIO_QUEUED
    elif deferred:
        defer(m, s, new)
    if compound and m.info[Info.DOUBLE_MAP] and mapcount(m.block_huge[new]) > 0:
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

"""Bits, enumerations and dtypes that every kernel shares.

Words are signed 64-bit integers with the sign bit clear, so that compiled and
interpreted kernels compute alike (``docs/model/page.md`` gives the bit budgets).
"""

from enum import IntEnum
from typing import Final

PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 1 << PAGE_SHIFT
HPAGE_PMD_ORDER: Final = 9
HPAGE_PMD_NR: Final = 1 << HPAGE_PMD_ORDER
CACHE_LINE: Final = 64

#: No frame, no block, no slot: payloads that stand for "none".
NONE: Final = -1
#: Of ``Mm.FIRST_NID`` (include/linux/mm_types.h, 3.8): never ran, or is scanned.
NUMA_PTE_SCAN_INIT: Final = -1
NUMA_PTE_SCAN_ACTIVE: Final = -2

# --- PTE: int64 -------------------------------------------------------------
#: Payload: frame number, swap slot or migration-cache entry (40 bits).
PTE_PAYLOAD: Final = (1 << 40) - 1
PTE_PRESENT: Final = 1 << 40
PTE_ZERO: Final = 1 << 41
#: Of an entry whose page is parked: a Kind, times PTE_KIND_ONE.
PTE_KIND_SHIFT: Final = 42
PTE_KIND_ONE: Final = 1 << PTE_KIND_SHIFT
PTE_KIND: Final = 3 * PTE_KIND_ONE
PTE_WRITE: Final = 1 << 44
PTE_YOUNG: Final = 1 << 45
PTE_DIRTY: Final = 1 << 46
PTE_PROTNONE: Final = 1 << 47
#: Of an entry whose WRITE a protection took: nobody else may map the page
#: (PG_anon_exclusive).
PTE_EXCLUSIVE: Final = 1 << 48
#: Of a present entry: uses left until the page's last move has paid (14 bits).
PTE_OWES_ONE: Final = 1 << 49
OWES_MAX: Final = (1 << 14) - 1
PTE_OWES: Final = OWES_MAX * PTE_OWES_ONE

# --- frame: int64 -----------------------------------------------------------
#: Reverse map: the page of the fork family's address space (36 bits).
FRAME_VPN: Final = (1 << 36) - 1
FRAME_MAPCOUNT_SHIFT: Final = 36
FRAME_MAPCOUNT_ONE: Final = 1 << FRAME_MAPCOUNT_SHIFT
FRAME_MAPCOUNT: Final = 0xFFF << FRAME_MAPCOUNT_SHIFT
#: Most page tables that may map one frame.
MAPCOUNT_MAX: Final = 0xFFF
FRAME_IN_USE: Final = 1 << 48
FRAME_ACTIVE: Final = 1 << 49
FRAME_REFERENCED: Final = 1 << 50
#: With ``lru_gen`` both say how old a page is (``frames/mm_inline.py``); folios' too.
FRAME_GEN: Final = FRAME_ACTIVE | FRAME_REFERENCED
FRAME_DIRTY: Final = 1 << 51
#: Of a page that a cache holds: the cache's Kind.
FRAME_KIND_SHIFT: Final = 52
FRAME_KIND: Final = 3 << FRAME_KIND_SHIFT
#: Left behind in a cache by a lost race at exit: in use for ever, on no list.
FRAME_WEDGED: Final = 1 << 54
#: The same bit of a frame that is in no cache.  Freed by advice (PG_swapbacked is
#: clear): reclaim forgets it, if it is clean still.
FRAME_LAZYFREE: Final = 1 << 54
#: Part of a huge page that PTEs map too: the frame's word holds its own mapcount.
FRAME_COMPOUND: Final = 1 << 55
#: A page of a shared mapping's object: mapped or not, its page cache holds it.
FRAME_SHMEM: Final = 1 << 56
#: 1 + the node that the page left when it last moved (6 bits); folios' too.
FRAME_FROM_SHIFT: Final = 57
FRAME_FROM: Final = 0x3F << FRAME_FROM_SHIFT


class Kind(IntEnum):
    """How a page is parked until its next touch: two bits of a PTE and of a frame.

    Each is a design of lazy migration (``lazy/designs.py``).  The swap cache is more
    than that: reclaim takes pages through it to the disk.
    """

    SWAP = 1
    MIGCACHE = 2
    #: A design that is given from outside.
    OWN = 3


PTE_SWAP: Final = Kind.SWAP << PTE_KIND_SHIFT
FRAME_SWAPCACHE: Final = Kind.SWAP << FRAME_KIND_SHIFT

# --- PMD entry: int64, as a PTE, and --------------------------------------------
#: There is a page table.
PMD_TABLE: Final = 1 << 48
#: Node of the page table, or of the one deposited for a split.
PMD_NID_SHIFT: Final = 49
PMD_NID: Final = 0x3F << PMD_NID_SHIFT
#: The last move of the folio has not paid; ``block_owes`` counts.
PMD_OWES: Final = 1 << 55
#: As PTE_EXCLUSIVE.
PMD_EXCLUSIVE: Final = 1 << 56
#: Of a page table: its marked entries fault together (pmd_numa, to 3.12).
PMD_NUMA: Final = 1 << 57
#: The entry maps 2 MiB: a huge page or the huge zero page.
PMD_LEAF: Final = PTE_PRESENT | PTE_ZERO

# --- folio of 2 MiB: int64 a pageblock, as a frame, and -----------------------------
FOLIO_COMPOUND: Final = FRAME_COMPOUND
#: Mapped both ways when it moved: PG_double_map is lost, until a PMD split sets it.
FOLIO_REMAPPED: Final = 1 << 51
#: Partly unmapped: waits to be split.
FOLIO_DEFERRED: Final = 1 << 56
FOLIO_LAZYFREE: Final = 1 << 52
#: New: the shrinker asks once whether its pages are zero-filled.
FOLIO_QUEUED: Final = 1 << 53

ACCESS_VPN: Final = (1 << 36) - 1
ACCESS_WRITE_SHIFT: Final = 36
ACCESS_WRITE: Final = 1 << ACCESS_WRITE_SHIFT
ACCESS_TAIL: Final = 1 << 37
ACCESS_TASK_SHIFT: Final = 38
#: Of a word that was shifted by this: its task (bits 38-58).
ACCESS_TASK_BITS: Final = 21
ACCESS_TASK: Final = (1 << ACCESS_TASK_BITS) - 1
#: Which of its workload's ``refs`` an access has (bits 59-61); 0 but for a user's own.
ACCESS_REFS_SHIFT: Final = 59
REFS_CLASSES: Final = 8
#: A sample is taken of the access (``quantum/sampled.py``).
ACCESS_SAMPLED: Final = 1 << 62

"""Bits, enumerations and dtypes that every kernel shares.

Words are signed 64-bit integers with the sign bit clear, so that compiled and
interpreted kernels compute alike (``docs/model.md`` gives the bit budgets).
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

# --- PTE: int64 -------------------------------------------------------------
#: Payload: frame number, swap slot or migration-cache entry (40 bits).
PTE_PAYLOAD: Final = (1 << 40) - 1
PTE_PRESENT: Final = 1 << 40
PTE_ZERO: Final = 1 << 41
PTE_SWAP: Final = 1 << 42
PTE_PARKED: Final = 1 << 43
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
FRAME_DIRTY: Final = 1 << 51
FRAME_SWAPCACHE: Final = 1 << 52
FRAME_MIGCACHE: Final = 1 << 53
#: Left behind by a lost race at exit: in use for ever, on no list.
FRAME_WEDGED: Final = 1 << 54
#: The same bit of a frame that is in no cache.  Freed by advice (PG_swapbacked is
#: clear): reclaim forgets it, if it is clean still.
FRAME_LAZYFREE: Final = 1 << 54
#: Part of a huge page that PTEs map too: the frame's word holds its own mapcount.
FRAME_COMPOUND: Final = 1 << 55
#: 1 + the node that the page left when it last moved (6 bits); folios' too.
#: A page of a shared mapping's object: mapped or not, its page cache holds it.
FRAME_SHMEM: Final = 1 << 56
FRAME_FROM_SHIFT: Final = 57
FRAME_FROM: Final = 0x3F << FRAME_FROM_SHIFT

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
#: The entry maps 2 MiB: a huge page or the huge zero page.
PMD_LEAF: Final = PTE_PRESENT | PTE_ZERO

# --- folio of 2 MiB: int64 a pageblock, as a frame, and -----------------------------
FOLIO_COMPOUND: Final = FRAME_COMPOUND
#: Mapped both ways when it moved: PG_double_map is lost, until a PMD split sets it.
FOLIO_REMAPPED: Final = 1 << 51
#: Partly unmapped: waits to be split.
FOLIO_DEFERRED: Final = 1 << 56
FOLIO_LAZYFREE: Final = 1 << 52


class Vm(IntEnum):
    """Event counters; the lower-case name is that of /proc/vmstat, or ours.

    A fault counts on the node of the CPU that took it, a page on its own node.
    """

    PGFAULT = 0
    PGMAJFAULT = 1
    PGALLOC_NORMAL = 2
    PGFREE = 3
    NUMA_HIT = 4
    NUMA_MISS = 5
    NUMA_FOREIGN = 6
    NUMA_LOCAL = 7
    NUMA_OTHER = 8
    NUMA_INTERLEAVE = 9
    NUMA_PTE_UPDATES = 10
    NUMA_HINT_FAULTS = 11
    NUMA_HINT_FAULTS_LOCAL = 12
    NUMA_PAGES_MIGRATED = 13
    PGMIGRATE_SUCCESS = 14
    PGMIGRATE_FAIL = 15
    PGSCAN_KSWAPD = 16
    PGSCAN_DIRECT = 17
    PGSTEAL_KSWAPD = 18
    PGSTEAL_DIRECT = 19
    PGREFILL = 20
    PGACTIVATE = 21
    PGDEACTIVATE = 22
    ALLOCSTALL_NORMAL = 23
    PAGEOUTRUN = 24
    PSWPIN = 25
    PSWPOUT = 26
    OOM_KILL = 27
    NUMA_HUGE_PTE_UPDATES = 28
    THP_FAULT_ALLOC = 29
    THP_FAULT_FALLBACK = 30
    THP_COLLAPSE_ALLOC = 31
    THP_COLLAPSE_ALLOC_FAILED = 32
    THP_SPLIT_PAGE = 33
    THP_DEFERRED_SPLIT_PAGE = 34
    THP_SPLIT_PMD = 35
    THP_SCAN_EXCEED_NONE_PTE = 36
    THP_SCAN_EXCEED_SWAP_PTE = 37
    THP_SCAN_EXCEED_SHARE_PTE = 38
    THP_ZERO_PAGE_ALLOC = 39
    THP_SWPOUT = 40
    THP_SWPOUT_FALLBACK = 41
    THP_MIGRATION_SUCCESS = 42
    THP_MIGRATION_FAIL = 43
    THP_MIGRATION_SPLIT = 44
    COMPACT_STALL = 45
    COMPACT_SUCCESS = 46
    COMPACT_FAIL = 47
    COMPACT_MIGRATE_SCANNED = 48
    COMPACT_FREE_SCANNED = 49
    COMPACT_ISOLATED = 50
    #: Ours from here on.
    ACCESSES_LOCAL = 51
    ACCESSES_REMOTE = 52
    LAZY_PAGES_MARKED = 53
    LAZY_FAULTS = 54
    LAZY_PAGES_MIGRATED = 55
    MIGCACHE_TO_SWAP = 56
    COW_FAULTS = 57
    ZERO_PAGE_FAULTS = 58
    TLB_MISSES_4K = 59
    TLB_MISSES_2M = 60
    #: Moved for the users' sake; paid for by use; moved to where they came from.
    PAGES_MOVED = 61
    PAGES_PAID = 62
    PAGES_MOVED_BACK = 63
    #: Of /proc/vmstat again.
    NUMA_TASK_MIGRATED = 64
    NUMA_TASK_SWAPPED = 65
    PGPROMOTE_SUCCESS = 66
    PGPROMOTE_CANDIDATE = 67
    PGDEMOTE_KSWAPD = 68
    PGDEMOTE_DIRECT = 69
    PGDEMOTE_KHUGEPAGED = 70
    PGLAZYFREE = 71
    PGLAZYFREED = 72


class Mode(IntEnum):
    """Memory policies, with the values of include/uapi/linux/mempolicy.h (6.12)."""

    DEFAULT = 0
    PREFERRED = 1
    BIND = 2
    INTERLEAVE = 3
    LOCAL = 4
    PREFERRED_MANY = 5
    WEIGHTED_INTERLEAVE = 6


class Mechanism(IntEnum):
    """How MPOL_MF_LAZY makes the next touch of a page fault."""

    SWAPCACHE = 0
    MIGCACHE = 1
    HINTING = 2


class Refusal(IntEnum):
    """Why a page was not marked, not migrated or not reclaimed."""

    #: Marking: mapped by others and MOVE_ALL was not asked for.
    SHARED = 0
    #: Marking or reclaim: no swap slot was free.
    NO_SWAP_SLOT = 1
    #: Marking or reclaim: the page is wedged, or already in the cache.
    BUSY = 2
    #: Lazy fault: another page table maps the page already (mapcount > 0).
    NOT_FIRST_TOUCH = 3
    #: Migration: the target node has no frame above its watermark.
    TARGET_FULL = 4
    #: Reclaim: a parked page of the migration cache found no swap slot.
    MIGCACHE_NO_SWAP_SLOT = 5
    #: Hint fault: the page is part of a huge page that PTEs map (before 6.10).
    PTE_MAPPED_THP = 6
    #: Hint fault: the last one was of another node (should_numa_migrate_memory).
    TWO_STAGE = 7
    #: Hint fault: the group uses the page's node enough.
    GROUP_WEIGHT = 8
    #: Hint fault on a slow node: too long after the mark.
    COLD = 9
    #: Hint fault: the limit of migrations or promotions is used up.
    RATE_LIMIT = 10


class Cause(IntEnum):
    """Where a task's simulated time goes."""

    ACCESS_LOCAL = 0
    ACCESS_REMOTE = 1
    MINOR_FAULT = 2
    COW = 3
    HINT_FAULT = 4
    LAZY_FAULT = 5
    MIGRATION = 6
    SWAP_IN = 7
    RECLAIM = 8
    SYSCALL = 9
    HUGE_FAULT = 10
    COMPACTION = 11
    PAGE_WALK = 12
    SCAN = 13


class ThpEnabled(IntEnum):
    """/sys/kernel/mm/transparent_hugepage/enabled."""

    NEVER = 0
    MADVISE = 1
    ALWAYS = 2


class Advice(IntEnum):
    """What madvise(2) said of a VMA."""

    NONE = 0
    HUGEPAGE = 1
    NOHUGEPAGE = 2


class ThpDefrag(IntEnum):
    """/sys/kernel/mm/transparent_hugepage/defrag."""

    NEVER = 0
    MADVISE = 1
    DEFER_MADVISE = 2
    DEFER = 3
    ALWAYS = 4


class TargetRule(IntEnum):
    """How khugepaged chooses the node of a collapse.

    ``first_page`` 2.6.38 to 3.12, ``majority_round_robin`` 3.13, ``majority_mask`` 6.1;
    ``random`` is what van Riel feared in July 2012.
    """

    FIRST_PAGE = 0
    MAJORITY_ROUND_ROBIN = 1
    MAJORITY_MASK = 2
    RANDOM = 3


class ScanResult(IntEnum):
    """What khugepaged says of a block (enum scan_result, mm/khugepaged.c)."""

    SUCCEED = 0
    PMD_NONE = 1
    PMD_MAPPED = 2
    EXCEED_NONE_PTE = 3
    EXCEED_SWAP_PTE = 4
    EXCEED_SHARED_PTE = 5
    PTE_NON_PRESENT = 6
    PAGE_RO = 7
    LACK_REFERENCED_PAGE = 8
    SCAN_ABORT = 9
    ALLOC_HUGE_PAGE_FAIL = 10
    VMA_CHECK = 11


class Balancing(IntEnum):
    """kernel.numa_balancing."""

    OFF = 0
    NORMAL = 1
    TIERING = 2
    BOTH = 3


class Filter(IntEnum):
    """What a hint fault must pass: nothing, ``last_nid`` of 3.8, or 6.12's rules."""

    NONE = 0
    LAST_NID = 1
    LAST_CPUPID = 2


class Topology(IntEnum):
    """init_numa_topology_type (kernel/sched/topology.c)."""

    DIRECT = 0
    GLUELESS_MESH = 1
    BACKPLANE = 2


class ScanSkip(IntEnum):
    """Why task_numa_work passes over a VMA (enum numa_vmaskip_reason, 6.7)."""

    UNSUITABLE = 0
    INACCESSIBLE = 1
    SCAN_DELAY = 2
    SEQ_COMPLETED = 3
    PID_INACTIVE = 4


class Event(IntEnum):
    """Rare things that the run file keeps with their time."""

    OOM_KILL = 0
    SEGV = 1
    WEDGED = 2
    NODE_OFFLINE = 3
    NODE_OFFLINE_FAILED = 4
    FORK = 5
    EXIT = 6

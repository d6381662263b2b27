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
#: Free frames: one plus the offset in its block of the next free one.
FRAME_NEXT: Final = 0x3FF


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
    #: Ours from here on.
    ACCESSES_LOCAL = 28
    ACCESSES_REMOTE = 29
    LAZY_PAGES_MARKED = 30
    LAZY_FAULTS = 31
    LAZY_PAGES_MIGRATED = 32
    MIGCACHE_TO_SWAP = 33
    COW_FAULTS = 34
    ZERO_PAGE_FAULTS = 35


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


class Event(IntEnum):
    """Rare things that the run file keeps with their time."""

    OOM_KILL = 0
    SEGV = 1
    WEDGED = 2
    NODE_OFFLINE = 3
    NODE_OFFLINE_FAILED = 4
    FORK = 5
    EXIT = 6

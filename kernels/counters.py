"""What is counted, and the names of what happens."""

from enum import IntEnum

#: Marks a counter that /proc/vmstat does not have.
OURS = True


class Vm(IntEnum):
    """Event counters; the lower-case name is that of /proc/vmstat, unless ``ours``.

    A fault counts on the node of the CPU that took it, a page on its own node.
    """

    _value_: int
    ours: bool

    def __new__(cls, number: int, ours: bool = False) -> "Vm":
        counter = int.__new__(cls, number)
        counter._value_, counter.ours = number, ours
        return counter

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
    ACCESSES_LOCAL = 51, OURS
    ACCESSES_REMOTE = 52, OURS
    LAZY_PAGES_MARKED = 53, OURS
    LAZY_FAULTS = 54, OURS
    LAZY_PAGES_MIGRATED = 55, OURS
    MIGCACHE_TO_SWAP = 56, OURS
    COW_FAULTS = 57, OURS
    ZERO_PAGE_FAULTS = 58, OURS
    TLB_MISSES_4K = 59, OURS
    TLB_MISSES_2M = 60, OURS
    #: Moved for the users' sake; paid for by use; moved to where they came from.
    PAGES_MOVED = 61, OURS
    PAGES_PAID = 62, OURS
    PAGES_MOVED_BACK = 63, OURS
    NUMA_TASK_MIGRATED = 64
    NUMA_TASK_SWAPPED = 65
    PGPROMOTE_SUCCESS = 66
    PGPROMOTE_CANDIDATE = 67
    PGDEMOTE_KSWAPD = 68
    PGDEMOTE_DIRECT = 69
    PGDEMOTE_KHUGEPAGED = 70
    PGLAZYFREE = 71
    PGLAZYFREED = 72
    #: Rounds of interrupts that calls, the scanner and hint faults have paid for; the
    #: CPUs that they interrupted.
    TLB_FLUSHES = 73, OURS
    NR_TLB_REMOTE_FLUSH_RECEIVED = 74
    #: Accesses to pages that another node wrote lately.
    LINE_TRANSFERS = 75, OURS
    #: Samples of accesses that wait to be taken, or found no room.
    SAMPLES_TAKEN = 76, OURS
    SAMPLES_LOST = 77, OURS
    #: Demoted because a daemon asked (6.17, of memory.reclaim and DAMON there).
    PGDEMOTE_PROACTIVE = 78


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
    #: A user's placement policy says that the page stays, or says a node that does not
    #: exist, is offline, has no memory or is beyond the memory policy's nodes.
    POLICY = 11
    POLICY_NODE = 12


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
    #: Waiting for a lock that sleeps, and for one that spins.
    LOCK_SLEEP = 14
    LOCK_SPIN = 15
    #: Writing samples of accesses, and the interrupts that empty their buffers.
    SAMPLE = 16


class Level(IntEnum):
    """What a sampled access met; of several the one with the highest number."""

    #: Memory of the CPU's node, of another one, of one below every tier with CPUs.
    LOCAL = 0
    REMOTE = 1
    SLOW = 2
    #: A line that another node's caches hold, if such lines cost.
    CACHE = 3
    #: A page walk that went to memory, if there are TLBs.
    WALK = 4
    #: It took a fault before it could be made.
    FAULT = 5


class Op(IntEnum):
    """What takes locks, counted by task: ``engine/settings/locks.py`` says which."""

    #: Faults on 4 KiB and on 2 MiB; hint faults alike; faults on parked pages.
    FAULT = 0
    HUGE_FAULT = 1
    HINT_FAULT = 2
    HUGE_HINT_FAULT = 3
    LAZY_FAULT = 4
    #: Pages read from swap; pages that direct reclaim looks at, and writes.
    SWAP_IN = 5
    RECLAIM = 6
    SWAP_OUT = 7
    #: Pages and folios that move, whoever moves them.
    MIGRATE = 8
    MIGRATE_HUGE = 9
    #: Chunks of the scanner of NUMA balancing, and entries that it marks.
    SCAN = 10
    MARK = 11
    SPLIT = 12
    #: TLB flushes that others' CPUs take part in.
    FLUSH = 13
    #: System calls that read and that write the map of a process; their length, ns.
    READ_CALL = 14
    READ_CALL_NS = 15
    WRITE_CALL = 16
    WRITE_CALL_NS = 17
    #: Pages and huge pages that are freed when they are unmapped.
    ZAP = 18
    ZAP_HUGE = 19
    #: munmap once the VMAs are detached: calls, their length from there on, ns.
    UNMAP = 20
    UNMAP_NS = 21
    #: Those of Op.FLUSH that are done while an rmap walk has the page's locks.
    WALK_FLUSH = 22
    #: Entries of a fork; page tables that khugepaged reads; blocks that are collapsed.
    FORK = 23
    SCAN_PMD = 24
    COLLAPSE = 25
    #: ns that a Worker works.
    WORK_NS = 26


class Worker(IntEnum):
    """Who takes locks and is no task; the first ones are there once for each node."""

    KSWAPD = 0
    KCOMPACTD = 1
    #: Processes that end, on the node that gets their pages.
    EXIT = 2
    #: In a process: khugepaged, which stands for users' daemons, too, and its fork.
    KHUGEPAGED = 3
    FORK = 4


#: Workers of a node, and of a process.
NODE_WORKERS, MM_WORKERS = 3, 2


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


class ScanSkip(IntEnum):
    """Why task_numa_work passes over a VMA (enum numa_vmaskip_reason, 6.7)."""

    UNSUITABLE = 0
    INACCESSIBLE = 1
    SCAN_DELAY = 2
    SEQ_COMPLETED = 3
    PID_INACTIVE = 4
    #: Below 2 MiB (to 3.12; ours).
    SMALL = 5


class Lb(IntEnum):
    """What the load balancer did, each time that it looked (lb_* of /proc/schedstat).

    CPUs look for a group that is busier, then for a task of its busiest CPU.
    """

    #: No group is too much busier, or none of its CPUs has a task that may move.
    BALANCED = 0
    #: A task that waited was moved to a CPU that is busy, idle, newly idle.
    MOVED_BUSY = 1
    MOVED_IDLE = 2
    MOVED_NEWLY_IDLE = 3
    #: A running task was pushed to the CPU, after too many failures (alb_pushed).
    PUSHED = 4
    #: Nothing was moved: no task waits, or each is heavier than the imbalance ...
    FAILED = 5
    #: ... or the last that waits is cache-hot; or NUMA balancing is against its move.
    HOT = 6
    LOCALITY = 7
    #: Of those moved: hot ones (lb_hot_gained), and those that came to another node.
    MOVED_HOT = 8
    MOVED_NODE = 9
    #: Disturbances that began.
    DISTURBED = 10


class Event(IntEnum):
    """Rare things that the run file keeps with their time."""

    OOM_KILL = 0
    SEGV = 1
    WEDGED = 2
    NODE_OFFLINE = 3
    NODE_OFFLINE_FAILED = 4
    FORK = 5
    EXIT = 6

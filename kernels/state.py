"""The state of a simulation: every array, with dtype, shape, unit and bytes for a page.

This is the only declaration; ``engine/state/allocate.py`` allocates the arrays.  Tables
are int64 matrices whose columns are the enumerations below.  ``docs/model/page.md``
gives the bits of the words.
"""

from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Final

import numpy as np

from .jit.arrays import Arrays
from .words import Kind

#: New pages in a full batch at most (include/linux/pagevec.h, 6.12).
PAGEVEC_SIZE: Final = 31
#: Generations that a node has at least, and at most (include/linux/mmzone.h, 6.12).
MIN_NR_GENS: Final = 2
MAX_NR_GENS: Final = 4


class Columns(IntEnum):
    """Columns of a table, numbered from 0 in the order in which they are declared."""

    @staticmethod
    def _generate_next_value_(name, start, count, last_values):
        return last_values[-1] + 1 if last_values else 0


class Ids(Columns):
    """Columns of an allocator of identities: each Kind has one, from Info.SLOTS on."""

    TOTAL = auto()
    VIRGIN_ID = auto()  # lowest never used
    STACK = auto()  # freed last, or NONE
    IN_USE = auto()
    PEAK = auto()  # most that were ever in use
    IN_USE_AT_START = auto()


class Info(Columns):
    """Columns of ``Memory.info``, int64[INFO_WIDTH]: scalars."""

    NODE_SHIFT = auto()  # log2 of the frame numbers that a node owns
    SHARDS = auto()  # S; row S of a per-shard table belongs to serial work
    SEED = auto()
    WEDGE_PPM = auto()
    POSITION = auto()  # next access of the layout that the barrier looks at
    NO_PROGRESS = auto()  # direct reclaims in a row that freed nothing
    SCANNED = auto()  # pages scanned by direct reclaim, not yet charged
    WRITTEN = auto()  # pages written by direct reclaim, not yet charged
    # Huge pages: settings, and whether something has ever happened.
    THP_ENABLED = auto()  # ThpEnabled
    THP_DEFRAG = auto()  # ThpDefrag
    USE_ZERO_PAGE = auto()
    UNIT_MIGRATION = auto()
    COPY_HUGE = auto()  # 1: a write copies a huge page that others map
    # What a kernel does with huge pages that are partly mapped (``docs/model/thp.md``).
    SPLIT_TO_ZERO = auto()
    SPLIT_UNDERUSED = auto()
    MAX_PTES_NONE = auto()  # khugepaged's
    DOUBLE_MAP = auto()
    SPLIT_AT_ONCE = auto()
    ZAP_BATCHES = auto()
    UNMAP_BATCHES = auto()
    DEFERRED_MOVES = auto()
    SPLIT_TO_MIGRATE = auto()
    SWAP_OUT_PTES = auto()
    ADVISE_WHOLE = auto()
    MM_IDS = auto()
    COPY_HUGE_ZERO = auto()
    DISCARD_WHOLE = auto()
    SWAP_ZEROMAP = auto()
    CONTENT = auto()  # 1: frame_written and slot_written are kept
    HUGE_ZERO = auto()  # 1: the huge zero page exists
    MAY_BE_HUGE = auto()  # 1: some PMD entry may map 2 MiB
    TLB_SETS_4K = auto()  # sets of a task's TLB in a shard; 0: no TLBs
    TLB_SETS_2M = auto()
    SPLITS = auto()  # PMD splits of an operation, not yet charged
    UNIT_HINTING = auto()
    # NUMA balancing: settings, the machine's shape, and the time.
    BALANCING = auto()  # Balancing
    FILTER = auto()  # Filter
    LOCAL_CPUPID = auto()
    VMA_PIDS = auto()
    NUMA_GROUPS = auto()
    NUMA_PLACEMENT = auto()
    SCAN_SIZE_MB = auto()
    SCAN_PERIOD_MIN = auto()  # ms, as the next three
    SCAN_PERIOD_MAX = auto()
    SCAN_DELAY = auto()
    HOT_THRESHOLD = auto()
    PROMOTE_LIMIT = auto()  # pages a second
    MIGRATE_LIMIT = auto()  # pages in 100 ms; 0: none
    DEMOTION = auto()
    TICK_NS = auto()
    # The scanner's rules, by kernel (``docs/model/balancing.md`` 20).
    PERIOD_RULE = auto()  # PeriodRule
    PERIOD_RESET = auto()  # ms; 0: never
    FIRST_NID = auto()  # 1: no scan before a process runs on a second node
    SCAN_LIMITED = auto()  # 0: no scan from a node over its limit of migrations
    SCAN_SMALL_VMAS = auto()
    SCAN_COUNTS = auto()  # ScanCounts
    SCAN_TURNS = auto()
    SCAN_COST_CAP = auto()
    SCAN_STAGGER = auto()
    SCAN_LOCAL = auto()  # 1: PTEs on the node of the only task, too
    SCAN_SHARED_HUGE = auto()
    COUNT_MARKED = auto()  # 1: an update of a huge entry that is marked counts
    PMD_NUMA = auto()  # 1: a table is marked, too, and faults as one
    LIMIT_BY_PAGES = auto()  # 0: a huge page counts as 1 against the limit
    SPLIT_MARKS = auto()  # 1: PTEs of a folio that a hint fault splits stay marked
    SPLIT_LAST = auto()  # 1: and keep who took the last fault
    WRITE_BIT = auto()  # WriteBit
    GROUP_IF = auto()  # GroupIf
    SLOW_ON_FAILURE = auto()  # 1: a failed migration makes the period longer
    HINT_FLUSH = auto()  # 1: a small page that a hint fault moves costs a flush
    MARK_UNLESS = auto()  # MarkUnless
    SCAN_SHMEM = auto()  # 1: shared mappings without a policy are scanned
    SCAN_LOCAL_HUGE = auto()  # 0: SCAN_LOCAL holds for huge entries, too
    SWAP_IN_WRITABLE = auto()
    HINT_FOLIOS = auto()  # 1: a hint fault on a PTE of a folio serves all of them
    TOPOLOGY = auto()  # Topology
    # The load balancer (``docs/model/sched.md``).
    BUSY_FACTOR = auto()
    IMBALANCE_PCT = auto()  # of domains of more than a node
    SMALL_IMBALANCE = auto()  # 1: fix_small_imbalance
    MIGRATION_COST = auto()  # ns
    LOCALITY = auto()  # Locality
    DISTURB_PERIOD = auto()  # ns, as the next
    DISTURB = auto()
    MAX_DISTANCE = auto()  # SLIT, between nodes with CPUs
    NOW_MS = auto()  # at the quantum's start, or of the operation
    LINES = auto()  # 1: lines that other nodes' caches hold cost more
    QUANTUM = auto()  # its number, from 1, modulo line_transfer.QUANTA
    LAZYFREE = auto()  # 1: some page may have been freed by advice
    LRU_BATCHES = auto()  # new pages wait in batches of so many, 0: they do not
    LRU_DRAIN_AT_MOVE = auto()  # 1: a hint fault that moves a page empties a batch
    MBIND_LIKELY_SHARED = auto()  # 1: mbind asks folio_likely_mapped_shared
    MBIND_QUEUES_ONCE = auto()  # 1: mbind passes over what it has queued
    MBIND_INTERLEAVE_BASE = auto()  # 1: mbind's first page says where counting begins
    WP_SEES_BATCHES = auto()  # 1: a write copies a page that one of them holds
    LRU_GEN = auto()  # 1: generations in place of two lists
    LRU_GEN_SECOND = auto()  # 1: new pages are in the second youngest
    MMLIST_JOINS = auto()  # processes that ever joined the list of swapoff
    LRU_GEN_SPREAD = auto()  # 1: aging waits until generations are uneven
    MIGRATE_PAGES_BATCH = auto()  # 1: calls flush once for a batch of pages
    FOLLOW_PROTNONE = auto()  # 1: move_pages sees pages behind PROT_NONE
    TASKS = auto()  # rows of Memory.task that are tasks; those behind are places
    PLACES = auto()  # places of this quantum
    DROPPED = auto()  # accesses of processes that were dead
    SAMPLE_PERIOD = auto()  # accesses of a task from sample to sample; 0: no samples
    SAMPLE_NS = auto()  # what a sample costs its task
    NUMA_SCANS = auto()  # scans of NUMA balancing so far
    LONGEST_SCAN = auto()  # ns
    #: First column of the allocators (Ids), in the order of Kind: swap slots first.
    SLOTS = auto()


INFO_WIDTH: Final = Info.SLOTS + len(Kind) * len(Ids)


class Node(Columns):
    """Columns of ``Memory.node``, int64[nodes, NODE_WIDTH]."""

    FREE = auto()  # frames
    MIN = auto()
    LOW = auto()
    HIGH = auto()
    SPAN = auto()  # frames from the node's first to its ballast
    END_BLOCK = auto()  # first block that may never be used
    VIRGIN = auto()  # lowest block that was never used
    PARTIAL_HEAD = auto()
    RETURNED_HEAD = auto()
    INACTIVE = auto()  # pages on the LRU lists
    ACTIVE = auto()
    HAND_INACTIVE = auto()  # offsets in frames
    HAND_ACTIVE = auto()
    # Generations: their number; pages of the fourth, of the second at the last aging.
    GENS = auto()
    FOURTH = auto()
    SECOND = auto()
    KSWAPD_FAILURES = auto()
    KSWAPD_WOKEN = auto()
    ONLINE = auto()
    WHOLE = auto()  # wholly free blocks
    WHOLE_AT_START = auto()  # of the quantum
    DEFERRED = auto()  # folios that wait to be split
    HAND_MIGRATE = auto()  # compaction: blocks up from the node's first
    HAND_FREE = auto()  # blocks down from its last
    COMPACT_CONSIDERED = auto()
    COMPACT_SHIFT = auto()
    KCOMPACTD_WOKEN = auto()
    PROMO = auto()
    TIER = auto()
    SLOW = auto()  # 1: below every tier that has CPUs
    CPUS = auto()
    # Tiering: threshold in ms (0: hot_threshold), windows in ms, counts in pages.
    THRESHOLD = auto()
    THRESHOLD_START = auto()
    THRESHOLD_CANDIDATES = auto()
    PROMOTE_START = auto()
    PROMOTE_BASE = auto()
    CANDIDATES = auto()
    ROOMY = auto()  # noted by faults of the quantum
    ASKED = auto()
    MIGRATE_START = auto()
    MIGRATE_PAGES = auto()
    LIMITED_UNTIL = auto()  # ms: no scan from this node before
    BATCHED = auto()  # new pages that are not on the LRU yet, ...
    BATCH = auto()  # ... and which (31 columns, PAGEVEC_SIZE of 6.12)


NODE_WIDTH: Final = Node.BATCH + PAGEVEC_SIZE


class BlockList(IntEnum):
    """Values of ``Memory.block_list``: the list that a pageblock is on."""

    UNLISTED = 0
    PARTIAL = 1
    RETURNED = 2
    LENT = 3
    HUGE = 4


class Mm(Columns):
    """Columns of ``Memory.mm``, int64[processes, len(Mm)]."""

    DELTA = auto()  # index of a PTE minus its vpn
    FAMILY = auto()
    NEXT = auto()  # next live process of the family, or NONE
    FIRST_VMA = auto()
    END_VMA = auto()
    RSS = auto()
    SWAPENTS = auto()
    HUGE = auto()  # pages of the rss that PMD entries map
    PGD_NID = auto()  # node of the upper page tables
    USERS = auto()  # live tasks
    SCAN_SEQ = auto()
    SCAN_OFFSET = auto()  # vpn
    NEXT_SCAN = auto()  # ms
    NEXT_RESET = auto()  # ms
    FIRST_NID = auto()  # node on which it first asked for a scan, or NUMA_PTE_SCAN_*
    # The list by which swapoff goes: the number of its joins so far, from 1; 0: not on
    # it.  1 + the process that it joined behind; 0: it joined at the head.
    MMLIST = auto()
    MMLIST_AFTER = auto()


class Family(Columns):
    """Columns of ``Memory.family``, int64[families, len(Family)]."""

    HEAD = auto()  # oldest live process, or NONE
    CACHE = auto()  # index of a page-cache entry minus its vpn, or NONE
    FIRST_VMA = auto()  # pseudo VMAs: the policies of its shared mappings
    END_VMA = auto()


class Vma(Columns):
    """Columns of ``Memory.vma``, int64[vmas, len(Vma)]."""

    START = auto()  # vpn
    END = auto()
    READ = auto()
    WRITE = auto()
    MOF = auto()
    MODE = auto()
    MASK = auto()
    WEIGHTS = auto()  # row of Memory.weights; bind: home node + 1
    ADVICE = auto()
    BALANCING = auto()  # MPOL_F_NUMA_BALANCING
    NUMAB = auto()  # row of Memory.numab
    SHARED = auto()  # 1: MAP_SHARED
    PGOFF = auto()  # vm_pgoff of a page, minus its vpn
    LINKED = auto()  # rmap walks go by START, then by this


class Numab(Columns):
    """Columns of ``Memory.numab``, int64[VMAs ever, len(Numab)]."""

    MET = auto()  # 1: the scanner has seen it
    START_SEQ = auto()
    NEXT_SCAN = auto()  # ms
    RESET = auto()  # ms
    PREV_SEQ = auto()
    OLD_PIDS = auto()  # bits
    PIDS = auto()


class Task(Columns):
    """Columns of ``Memory.task``, int64[rows, len(Task)]: tasks, then places."""

    MM = auto()
    NID = auto()  # node of its CPU
    DELTA = auto()  # Mm.DELTA of its process
    ALIVE = auto()
    MODE = auto()
    MASK = auto()
    WEIGHTS = auto()
    CLOCK = auto()  # ns
    NUMBER = auto()  # accesses served of the current workload
    COUNT = auto()  # accesses of the current workload
    TAIL = auto()  # access number from which the tail is counted
    MEAN = auto()  # ns: mean cost of an access in the last quantum
    REFS = auto()  # references to cache lines that an access stands for
    STREAM = auto()  # 1: paid by bandwidth
    QUOTA = auto()  # accesses in this quantum
    CPU = auto()
    RUNTIME = auto()  # ns, all that was charged
    BALANCING = auto()  # MPOL_F_NUMA_BALANCING
    RAN = auto()  # 1: had accesses in the last quantum
    PINNED = auto()  # 1: sched_setaffinity to its CPU alone
    SHARED_AT = auto()  # ns of runtime for which it has waited for others' turns
    RUN_DELAY = auto()  # ns that it waited for its CPU (sched_info.run_delay)
    # A place is a row of its own for what a task of a recording does on another CPU in
    # a quantum (``docs/model/quantum.md`` 13).
    OWNER = auto()  # the task that a row belongs to, itself but for a place
    PLACE = auto()  # next row of the same task in this quantum, or 0
    LAST = auto()  # row of the task's last access in this quantum
    EXPECTED = auto()  # ns: when the next access of a recorded task may begin
    BEGUN = auto()  # NUMBER of the first access of the workload's phase
    UNTIL = auto()  # ns: when a workload ends that lasts for a time; 0: no time
    #: As REFS, of accesses of another class (``words.ACCESS_REFS_SHIFT``).
    REFS_1 = auto()
    REFS_2 = auto()
    REFS_3 = auto()
    REFS_4 = auto()
    REFS_5 = auto()
    REFS_6 = auto()
    REFS_7 = auto()
    NEXT_SAMPLE = auto()  # accesses from now on before one is sampled


class Cpu(Columns):
    """Columns of ``Memory.cpu``, int64[CPUs, len(Cpu)]."""

    RUNNING = auto()  # tasks
    BUSY = auto()  # 1: had something to run at the last tick
    SINCE = auto()  # ns: when something else has last begun to run there, ...
    UNTIL = auto()  # ... and when it is over
    STOLEN = auto()  # ns that such took, for which its tasks have not waited yet
    SHARED = auto()  # tasks that ran in the quantum


class Domain(Columns):
    """Columns of ``Memory.domain``, int64[CPUs, levels, len(Domain)]: sched_domain.

    Level 0 is a CPU's node, level 1 all nodes of the least distance to it, and so on.
    """

    LAST = auto()  # ns: last_balance
    INTERVAL = auto()  # ms: balance_interval; 0: the least
    FAILED = auto()  # nr_balance_failed


class Numa(Columns):
    """Columns of ``Memory.numa``, int64[tasks, len(Numa)]."""

    PERIOD = auto()  # ms
    PERIOD_MAX = auto()
    STAMP = auto()  # ns of runtime
    SEQ = auto()
    PREFERRED = auto()  # node, or NONE
    RETRY = auto()  # ms
    GROUP = auto()  # row of Memory.group, or NONE
    TOTAL = auto()  # MEM faults
    REMOTE = auto()  # numa_faults_locality
    LOCAL = auto()
    FAILED = auto()
    LAST_RUNTIME = auto()  # ns, at the last placement
    LAST_PLACEMENT = auto()  # ns, 0: never
    COUNTED = auto()  # 1: has statistics
    FAULTED = auto()  # 1: had hint faults in the last quantum


class NumaFaults(Columns):
    """Kinds of ``Memory.numa_faults``: int64[tasks, kinds, nodes, 2]."""

    MEM = auto()
    CPU = auto()
    MEMBUF = auto()
    CPUBUF = auto()


class Group(Columns):
    """Columns of ``Memory.group``, int64[tasks, len(Group)]; row: its maker."""

    TASKS = auto()
    TOTAL = auto()
    MAX_CPU = auto()
    ACTIVE = auto()
    NODES = auto()  # mask of the active nodes, with the filter active_nodes


class Seen(Columns):
    """Columns of ``Memory.numa_seen``, int64[S + 1, rows, Seen.FAULTS + 2 * nodes]."""

    LOCAL = auto()
    FAILED = auto()
    LONGER = auto()  # faults that make the scan period longer
    #: First of the columns of MEMBUF, by node and kind: 2 * node + priv.
    FAULTS = auto()


class NodeSeen(Columns):
    """Columns of ``Memory.node_seen``, int64[S + 1, nodes, 2]."""

    CANDIDATES = auto()
    MIGRATED = auto()


class Chain(Columns):
    """Columns of a chain of freed identities, from a column of Shard on."""

    NEWEST = auto()
    OLDEST = auto()
    COUNT = auto()


class Shard(Columns):
    """Columns of ``Memory.shard``, int64[S + 1, SHARD_WIDTH]."""

    QUEUE_FIRST = auto()
    QUEUE_END = auto()
    QUEUE_SERVED = auto()  # position in the queue
    SET_ASIDE = auto()  # 1: the rest of the queue waits for the barrier
    FREED_BLOCK_HEAD = auto()  # chain of freed huge pages' blocks, oldest first
    FREED_BLOCK_TAIL = auto()
    TAIL_LOCAL = auto()
    TAIL_ALL = auto()
    SEEN = auto()  # accesses of the shard that the barrier has passed; samples taken
    SAMPLES = auto()  # notes of sampled accesses (``quantum/sampled.py``)
    #: First column of the chains (Chain) of freed identities, in the order of Kind.
    FREED_IDS = auto()


#: Three cache lines.
SHARD_WIDTH: Final = 24


#: Parts of the blocks, whose frames threads free side by side.
FREED_PARTS: Final = 8


class Pool(Columns):
    """Columns of ``Memory.pool``, int64[S, nodes, len(Pool)]."""

    HEAD = auto()  # first lent block with a free frame
    LEFT = auto()  # frames of the allotment not yet used
    GIVEN = auto()  # frames of the allotment when it was lent
    HUGE_HEAD = auto()  # first lent block that is wholly free
    HUGE_LEFT = auto()  # blocks
    HUGE_GIVEN = auto()
    HUGE_USED = auto()  # blocks that the shard took in the last quantum
    WANTED = auto()  # frames that it may be lent
    FREED = auto()  # frames of the node that the shard freed in the quantum


class Cost(Columns):
    """Columns of ``Memory.cost``, int64[len(Cost)]: ns."""

    MINOR_FAULT = auto()
    HINT_FAULT = auto()
    CACHE_LOOKUP = auto()
    SWAP_IN = auto()
    SWAP_OUT = auto()
    MIGRATE_PAGE = auto()
    RECLAIM_PAGE = auto()
    HUGE_FAULT = auto()
    SPLIT_PMD = auto()
    WALK = auto()
    MARK_PTE = auto()
    TLB_FLUSH = auto()
    TLB_FLUSH_CPU = auto()


# --- Memory.tlb, int64[tasks, S, width]: sets of WAYS tags, then the last lines -------
WAYS: Final = 4


@dataclass(frozen=True, eq=False, repr=False)
class Memory(Arrays):
    """All that kernels read and write; no field is ever reallocated in a kernel."""

    #: int64[virtual pages], sparse: 8 bytes for each page that has a page table.  Page
    #: caches of shared mappings are ranges of it, too: 8 bytes more for a page.
    pte: np.ndarray
    #: int64[virtual blocks], sparse: PMD entries, 8 bytes for 2 MiB of address space.
    pmd: np.ndarray
    #: int64[frames], sparse: 8 bytes for each frame that was ever a small page's.
    frame: np.ndarray
    #: int32[frames], sparse: 4 bytes for each frame that was ever in a cache.
    frame_entry: np.ndarray
    #: int64[blocks]: the word of the huge page that fills the block, or 0.
    block_huge: np.ndarray
    #: int16[blocks]: frames in use (0: wholly free).
    block_used: np.ndarray
    #: int16[blocks]: frames of a huge page that PTEs map.
    block_mapped: np.ndarray
    #: int64[8 * blocks], sparse: a bit for each free frame of blocks in use.
    block_free: np.ndarray
    #: int8[blocks]: a BlockList.
    block_list: np.ndarray
    #: int32[blocks]: neighbours on the list.
    block_next: np.ndarray
    block_prev: np.ndarray
    #: int32[blocks], sparse: uses left until the last move of a folio has paid.
    block_owes: np.ndarray
    #: int32[frames], int32[blocks], sparse: pid and CPU of the last hint fault, or the
    #: time of the mark; touched only if NUMA balancing is on (4 bytes for a page).
    frame_cpupid: np.ndarray
    #: int64[frames], sparse: who wrote a page lately (``frames/line_transfer.py``);
    #: touched only if line transfers cost (8 bytes for a page).
    frame_writers: np.ndarray
    block_cpupid: np.ndarray
    #: int8[frames], int8[slots], sparse: what pages hold (``frames/zero_filled.py``);
    #: touched only if a setting asks (1 byte for a page).
    frame_written: np.ndarray
    slot_written: np.ndarray
    #: int16[slots], int64[slots]: PTEs that hold the slot; its frame, or NONE.
    slot_count: np.ndarray
    slot_frame: np.ndarray
    #: int16[entries], int64[entries]: the same of the migration cache, ...
    entry_count: np.ndarray
    entry_frame: np.ndarray
    #: ... and of a design of one's own, whose verbs are called by address, int64[5],
    #: with words, int64[S + 1, VERB_WORDS] (``lazy/own.py``).
    own_count: np.ndarray
    own_frame: np.ndarray
    verbs: np.ndarray
    verb_words: np.ndarray
    #: int32[virtual blocks], sparse: 1 + fork family that owns the block.
    vpn_family: np.ndarray
    #: Tables: a row for each node, process, family, VMA and task.  ``rows`` below are
    #: those of ``task``, which has places, too.
    node: np.ndarray
    mm: np.ndarray
    family: np.ndarray
    vma: np.ndarray
    task: np.ndarray
    #: int64[rows, nodes]: cumulated weights of weighted interleave.
    weights: np.ndarray
    #: int64[nodes, nodes]: the zonelist of each node, a row.
    zonelist: np.ndarray
    #: int64[CPUs]: node of each, or NONE.
    cpu_node: np.ndarray
    #: int64[nodes, nodes]: SLIT.
    distance: np.ndarray
    #: The load balancer: tables of CPUs and their domains; int64[levels]: the distance
    #: to which each reaches; int64[len(Lb)]: what it did.
    cpu: np.ndarray
    domain: np.ndarray
    reach: np.ndarray
    lb: np.ndarray
    #: int64[nodes, nodes], ns: unloaded latency; row: node of the CPU.
    latency: np.ndarray
    #: int64[nodes, nodes], ns: what a line costs more that caches of the node of the
    #: column hold modified; row: node of the CPU.
    line_ns: np.ndarray
    #: int64[nodes, nodes], ns: copying a page from node to node.
    copy_ns: np.ndarray
    #: int64[rows, nodes], ns: an access of the task to the node in this quantum.
    access_ns: np.ndarray
    #: int64[rows, 2, nodes], ns: a page walk (4 KiB, 2 MiB) by its table's node.
    walk_ns: np.ndarray
    #: int64[tasks, S, TLB_SETS_4K * WAYS + TLB_SETS_2M * WAYS + 2]: tags, newest first.
    tlb: np.ndarray
    #: int64[len(Cost)], ns.
    cost: np.ndarray
    #: int64[INFO_WIDTH].
    info: np.ndarray
    #: int64[S + 1, SHARD_WIDTH], int64[S, nodes, len(Pool)].
    shard: np.ndarray
    pool: np.ndarray
    #: int64[FREED_PARTS, most accesses of a quantum], sparse: frames that shards freed,
    #: by part; those of a shard begin at the first position of its queue, ...
    freed: np.ndarray
    #: int64[S, 2 * FREED_PARTS]: ... and this is their number.  Half of a row is not
    #: used, so that two shards, which count at every fault, share no cache line.
    freed_count: np.ndarray
    #: int64[S + 1, nodes, len(Vm)]: counters not yet folded into totals.
    vm: np.ndarray
    #: int64[S + 1, len(Refusal)].
    refused: np.ndarray
    #: int64[S + 1, rows, len(Cause)], ns not yet folded into clocks.
    cause: np.ndarray
    #: int64[S + 1, rows, len(Op)]: what takes locks, since they were last waited for.
    ops: np.ndarray
    #: int64[NODE_WORKERS * nodes + MM_WORKERS * processes, len(Op)]: those of Workers.
    worker_ops: np.ndarray
    #: int64[S + 1, processes, len(Change)]: changes of rss, swapents and huge pages,
    #: and numbers of local and of remote accesses.
    mm_change: np.ndarray
    #: int64[S + 1, nodes, 3]: changes of the inactive, active and deferred counts.
    lru_change: np.ndarray
    #: int64[S + 1, nodes, nodes]: references from CPU node to memory node.
    traffic: np.ndarray
    #: NUMA balancing: tables of the scans of VMAs, of tasks and of their groups.
    numab: np.ndarray
    numa: np.ndarray
    numa_faults: np.ndarray
    group: np.ndarray
    #: int64[tasks, 2, nodes, 2]: MEM and CPU.
    group_faults: np.ndarray
    #: int64[len(ScanSkip)]: VMAs that scans skipped, by reason.
    scan_skips: np.ndarray
    #: What the hint faults of a quantum noted, by shard: statistics (Seen), tasks that
    #: a task met (int8[S + 1, tasks, tasks]), pids that used a VMA (int64[S + 1, VMAs
    #: ever]), pages against the limits of a node (NodeSeen).
    numa_seen: np.ndarray
    numa_met: np.ndarray
    numa_pids: np.ndarray
    node_seen: np.ndarray
    #: Functions of a user's file: addresses (Door); what each shard asks them (Asked);
    #: int64[3 * arrays], what their own arrays are (``jit/by_address.py``).
    door: np.ndarray
    asked: np.ndarray
    own: np.ndarray


class Change(Columns):
    """Columns of ``Memory.mm_change``, int64[S + 1, processes, len(Change)]."""

    RSS = auto()
    SWAPENTS = auto()
    LOCAL = auto()
    REMOTE = auto()
    HUGE = auto()


# --- what a fault or an allocation returns instead of a frame number ---------------
NO_MEMORY: Final = -1
PUT_ASIDE: Final = -2
SEGV: Final = -3
#: There is no huge page: the fault maps a small one.
FALLBACK: Final = -4
SERVED: Final = 0

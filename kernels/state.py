"""The state of a simulation: every array, with dtype, shape, unit and bytes a page.

This is the only declaration; ``engine/memory.py`` allocates it.  Tables are int64
matrices whose columns are the constants below.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from .jit.arrays import Arrays

# --- columns of Memory.info, int64[INFO_WIDTH]: scalars -----------------------
NODE_SHIFT: Final = 0  # log2 of the frame numbers that a node owns
SHARDS: Final = 1  # S; row S of a per-shard table belongs to serial work
SEED: Final = 2
WEDGE_PPM: Final = 3
POSITION: Final = 4  # next access of the layout that the barrier looks at
NO_PROGRESS: Final = 5  # direct reclaims in a row that gave nothing
SCANNED: Final = 6  # pages scanned by direct reclaim, not yet charged
WRITTEN: Final = 7  # pages written by direct reclaim, not yet charged
#: First column of the swap slots' and of the migration entries' allocator ...
SLOTS: Final = 8
ENTRIES: Final = 14
#: ... and their columns from there.
TOTAL: Final = 0
VIRGIN_ID: Final = 1
STACK: Final = 2
IN_USE: Final = 3
PEAK: Final = 4
IN_USE_AT_START: Final = 5
# Huge pages: settings, and what was ever done.
THP_ENABLED: Final = 20  # ThpEnabled
THP_DEFRAG: Final = 21  # ThpDefrag
USE_ZERO_PAGE: Final = 22
UNIT_MIGRATION: Final = 23
HUGE_ZERO: Final = 24  # 1: the huge zero page exists
MAY_BE_HUGE: Final = 25  # 1: some PMD entry may map 2 MiB
TLB_SETS_4K: Final = 26  # sets of a task's TLB in a shard; 0: no TLBs
TLB_SETS_2M: Final = 27
SPLITS: Final = 28  # PMD splits of an operation, not yet charged
UNIT_HINTING: Final = 29
# NUMA balancing: settings, the machine's shape, and the time.
BALANCING: Final = 30  # Balancing
FILTER: Final = 31  # Filter
LOCAL_CPUPID: Final = 32
VMA_PIDS: Final = 33
NUMA_GROUPS: Final = 34
NUMA_PLACEMENT: Final = 35
SCAN_SIZE_MB: Final = 36
SCAN_PERIOD_MIN: Final = 37  # ms, as the next three
SCAN_PERIOD_MAX: Final = 38
SCAN_DELAY: Final = 39
HOT_THRESHOLD: Final = 40
PROMOTE_LIMIT: Final = 41  # pages a second
MIGRATE_LIMIT: Final = 42  # pages in 100 ms; 0: none
DEMOTION: Final = 43
TICK_NS: Final = 44
TOPOLOGY: Final = 45  # Topology
MAX_DISTANCE: Final = 46  # SLIT, between nodes with CPUs
NOW_MS: Final = 47  # at the quantum's start, or of the operation
LAZYFREE: Final = 48  # 1: some page may have been freed by advice
LRU_BATCHES: Final = 49  # 1: new pages wait in batches
INFO_WIDTH: Final = 50

# --- columns of Memory.node, int64[nodes, NODE_WIDTH] ---------------------------
FREE: Final = 0  # frames
MIN: Final = 1
LOW: Final = 2
HIGH: Final = 3
SPAN: Final = 4  # frames from the node's first to its ballast
END_BLOCK: Final = 5  # first block that may never be used
VIRGIN: Final = 6  # lowest never-used block
PARTIAL_HEAD: Final = 7
RETURNED_HEAD: Final = 8
INACTIVE: Final = 9  # pages on the LRU lists
ACTIVE: Final = 10
HAND_INACTIVE: Final = 11  # offsets in frames
HAND_ACTIVE: Final = 12
KSWAPD_FAILURES: Final = 13
KSWAPD_WOKEN: Final = 14
ONLINE: Final = 15
WHOLE: Final = 16  # wholly free blocks
WHOLE_AT_START: Final = 17  # of the quantum
DEFERRED: Final = 18  # folios that wait to be split
HAND_MIGRATE: Final = 19  # compaction: blocks up from the node's first
HAND_FREE: Final = 20  # blocks down from its last
COMPACT_CONSIDERED: Final = 21
COMPACT_SHIFT: Final = 22
KCOMPACTD_WOKEN: Final = 23
PROMO: Final = 24
TIER: Final = 25
SLOW: Final = 26  # 1: below every tier that has CPUs
CPUS: Final = 27
# Tiering: threshold in ms (0: hot_threshold), windows in ms, counts in pages.
THRESHOLD: Final = 28
THRESHOLD_START: Final = 29
THRESHOLD_CANDIDATES: Final = 30
PROMOTE_START: Final = 31
PROMOTE_BASE: Final = 32
CANDIDATES: Final = 33
ROOMY: Final = 34  # noted by faults of the quantum
ASKED: Final = 35
MIGRATE_START: Final = 36
MIGRATE_PAGES: Final = 37
BATCHED: Final = 38  # new pages that are not on the LRU yet, ...
BATCH: Final = 39  # ... and which (15 columns)
NODE_WIDTH: Final = 54

# --- Memory.block_list ------------------------------------------------------------
UNLISTED: Final = 0
PARTIAL: Final = 1
RETURNED: Final = 2
LENT: Final = 3
BALLAST: Final = 4
HUGE: Final = 5

# --- columns of Memory.mm, int64[processes, MM_WIDTH] -----------------------------
MM_DELTA: Final = 0  # index of a PTE minus its vpn
MM_FAMILY: Final = 1
MM_NEXT: Final = 2  # next live process of the family, or NONE
MM_FIRST_VMA: Final = 3
MM_END_VMA: Final = 4
MM_RSS: Final = 5
MM_SWAPENTS: Final = 6
MM_HUGE: Final = 7  # pages mapped by PMD entries
MM_PGD_NID: Final = 8  # node of the upper page tables
MM_USERS: Final = 9  # live tasks
MM_SCAN_SEQ: Final = 10
MM_SCAN_OFFSET: Final = 11  # vpn
MM_NEXT_SCAN: Final = 12  # ms
MM_WIDTH: Final = 13

# --- columns of Memory.family, int64[families, FAMILY_WIDTH] ----------------------
FAMILY_HEAD: Final = 0  # oldest live process, or NONE
FAMILY_FIRST_VPN: Final = 1
FAMILY_CACHE: Final = 2  # index of a page-cache entry minus its vpn, or NONE
FAMILY_FIRST_VMA: Final = 3  # pseudo VMAs: the policies of its shared mappings
FAMILY_END_VMA: Final = 4
FAMILY_WIDTH: Final = 5

# --- columns of Memory.vma, int64[vmas, VMA_WIDTH] --------------------------------
VMA_START: Final = 0  # vpn
VMA_END: Final = 1
VMA_READ: Final = 2
VMA_WRITE: Final = 3
VMA_MOF: Final = 4
VMA_MODE: Final = 5
VMA_MASK: Final = 6
VMA_WEIGHTS: Final = 7  # row of Memory.weights
VMA_ADVICE: Final = 8
VMA_BALANCING: Final = 9  # MPOL_F_NUMA_BALANCING
VMA_NUMAB: Final = 10  # row of Memory.numab
VMA_SHARED: Final = 11  # 1: MAP_SHARED
VMA_INTERLEAVE: Final = 12  # of a shared one: vpn + this is what is interleaved by
VMA_WIDTH: Final = 13

# --- columns of Memory.numab, int64[VMAs ever, NUMAB_WIDTH] ------------------------
NUMAB_MET: Final = 0  # 1: the scanner has seen it
NUMAB_START_SEQ: Final = 1
NUMAB_NEXT_SCAN: Final = 2  # ms
NUMAB_RESET: Final = 3  # ms
NUMAB_PREV_SEQ: Final = 4
NUMAB_OLD_PIDS: Final = 5  # bits
NUMAB_PIDS: Final = 6
NUMAB_WIDTH: Final = 7

# --- columns of Memory.task, int64[tasks, TASK_WIDTH] -----------------------------
TASK_MM: Final = 0
TASK_NID: Final = 1  # node of its CPU
TASK_DELTA: Final = 2  # its process's MM_DELTA
TASK_ALIVE: Final = 3
TASK_MODE: Final = 4
TASK_MASK: Final = 5
TASK_WEIGHTS: Final = 6
TASK_IL_PREV: Final = 7
TASK_IL_LEFT: Final = 8  # weighted interleave: pages left on il_prev
TASK_CLOCK: Final = 9  # ns
TASK_NUMBER: Final = 10  # accesses served of the current workload
TASK_COUNT: Final = 11  # accesses of the current workload
TASK_TAIL: Final = 12  # access number from which the tail is counted
TASK_MEAN: Final = 13  # ns an access cost in the last quantum
TASK_REFS: Final = 14  # cache-line references an access stands for
TASK_STREAM: Final = 15  # 1: paid by bandwidth
TASK_QUOTA: Final = 16  # accesses of this quantum
TASK_CPU: Final = 17
TASK_RUNTIME: Final = 18  # ns, all that was charged
TASK_BALANCING: Final = 19  # MPOL_F_NUMA_BALANCING
TASK_RAN: Final = 20  # 1: had accesses in the last quantum
TASK_WIDTH: Final = 21

# --- columns of Memory.numa, int64[tasks, NUMA_WIDTH] -------------------------------
NUMA_PERIOD: Final = 0  # ms
NUMA_PERIOD_MAX: Final = 1
NUMA_STAMP: Final = 2  # ns of runtime
NUMA_SEQ: Final = 3
NUMA_PREFERRED: Final = 4  # node, or NONE
NUMA_RETRY: Final = 5  # ms
NUMA_GROUP: Final = 6  # row of Memory.group, or NONE
NUMA_TOTAL: Final = 7  # MEM faults
NUMA_REMOTE: Final = 8  # numa_faults_locality
NUMA_LOCAL: Final = 9
NUMA_FAILED: Final = 10
NUMA_LAST_RUNTIME: Final = 11  # ns, at the last placement
NUMA_LAST_PLACEMENT: Final = 12  # ns, 0: never
NUMA_COUNTED: Final = 13  # 1: has statistics
NUMA_FAULTED: Final = 14  # 1: had hint faults in the last quantum
NUMA_WIDTH: Final = 15

# --- Memory.numa_faults, int64[tasks, kinds, nodes, 2], and of groups ----------------
MEM: Final = 0
CPU: Final = 1
MEMBUF: Final = 2
CPUBUF: Final = 3

# --- columns of Memory.group, int64[tasks, GROUP_WIDTH]; row of the task that made it -
GROUP_TASKS: Final = 0
GROUP_TOTAL: Final = 1
GROUP_MAX_CPU: Final = 2
GROUP_ACTIVE: Final = 3
GROUP_WIDTH: Final = 4

# --- columns of Memory.numa_seen, int64[S + 1, tasks, 2 * nodes + SEEN_WIDTH] ---------
SEEN_LOCAL: Final = 0
SEEN_FAILED: Final = 1
#: ... then MEMBUF by node and kind: 2 * node + priv.
SEEN_FAULTS: Final = 2

# --- columns of Memory.node_seen, int64[S + 1, nodes, 2] -----------------------------
SEEN_CANDIDATES: Final = 0
SEEN_MIGRATED: Final = 1

# --- columns of Memory.shard, int64[S + 1, SHARD_WIDTH] ---------------------------
QUEUE_FIRST: Final = 0
QUEUE_END: Final = 1
QUEUE_SERVED: Final = 2  # position in the queue
SET_ASIDE: Final = 3  # 1: the rest of the queue waits for the barrier
FREED_BLOCK_HEAD: Final = 4  # chain of freed huge pages' blocks, oldest first
FREED_BLOCK_TAIL: Final = 5
#: First column of a chain of freed slots and of freed entries ...
FREED_SLOTS: Final = 6
FREED_ENTRIES: Final = 9
#: ... and their columns from there.
NEWEST: Final = 0
OLDEST: Final = 1
COUNT: Final = 2
TAIL_LOCAL: Final = 12
TAIL_ALL: Final = 13
SHARD_SEEN: Final = 14  # barrier: accesses of the shard passed so far
SHARD_WIDTH: Final = 16

#: Parts that frames are freed in, side by side.
FREED_PARTS: Final = 8

# --- columns of Memory.pool, int64[S, nodes, POOL_WIDTH] --------------------------
POOL_HEAD: Final = 0  # first lent block with a free frame
POOL_LEFT: Final = 1  # frames of the allotment not yet used
POOL_GIVEN: Final = 2
POOL_HUGE_HEAD: Final = 3  # first lent block that is wholly free
POOL_HUGE_LEFT: Final = 4
POOL_HUGE_GIVEN: Final = 5
POOL_HUGE_USED: Final = 6  # blocks that the shard took in the last quantum
POOL_WANTED: Final = 7  # frames that it may be lent
POOL_FREED: Final = 8  # frames of the node that the shard freed in the quantum
POOL_WIDTH: Final = 9

# --- columns of Memory.cost, int64[COST_WIDTH]: ns ----------------------------------
COST_MINOR_FAULT: Final = 0
COST_HINT_FAULT: Final = 1
COST_CACHE_LOOKUP: Final = 2
COST_SWAP_IN: Final = 3
COST_SWAP_OUT: Final = 4
COST_MIGRATE_PAGE: Final = 5
COST_RECLAIM_PAGE: Final = 6
COST_HUGE_FAULT: Final = 7
COST_SPLIT_PMD: Final = 8
COST_WALK: Final = 9
COST_MARK_PTE: Final = 10
COST_TLB_FLUSH: Final = 11
COST_TLB_FLUSH_CPU: Final = 12
COST_WIDTH: Final = 13

# --- Memory.tlb, int64[tasks, S, width]: sets of WAYS tags, then the last lines -------
WAYS: Final = 4


@dataclass(frozen=True, eq=False, repr=False)
class Memory(Arrays):
    """All that kernels read and write; no field is ever reallocated in a kernel."""

    #: int64[virtual pages], sparse: 8 bytes a page that has a page table.  The page
    #: caches of shared mappings are ranges of it, too: 8 bytes a page that is in one.
    pte: np.ndarray
    #: int64[virtual blocks], sparse: PMD entries, 8 bytes a 2 MiB of address space.
    pmd: np.ndarray
    #: int64[frames], sparse: 8 bytes a frame that was ever used by itself.
    frame: np.ndarray
    #: int32[frames], sparse: 4 bytes a frame that was ever in a cache.
    frame_entry: np.ndarray
    #: int64[blocks]: the word of the huge page that fills the block, or 0.
    block_huge: np.ndarray
    #: int16[blocks]: frames in use (0: wholly free).
    block_used: np.ndarray
    #: int16[blocks]: frames of a huge page that PTEs map.
    block_mapped: np.ndarray
    #: int64[8 * blocks], sparse: a bit for each free frame of blocks in use.
    block_free: np.ndarray
    #: int8[blocks]: UNLISTED, PARTIAL, RETURNED, LENT, BALLAST or HUGE.
    block_list: np.ndarray
    #: int32[blocks]: neighbours on the list.
    block_next: np.ndarray
    block_prev: np.ndarray
    #: int32[blocks], sparse: uses until the last move of a folio has paid.
    block_owes: np.ndarray
    #: int32[frames], int32[blocks], sparse: pid and CPU of the last hint fault, or the
    #: time of the mark; touched only with NUMA balancing (4 bytes a page).
    frame_cpupid: np.ndarray
    block_cpupid: np.ndarray
    #: int16[slots], int64[slots]: PTEs that hold the slot; its frame, or NONE.
    slot_count: np.ndarray
    slot_frame: np.ndarray
    #: int16[entries], int64[entries]: the same of the migration cache.
    entry_count: np.ndarray
    entry_frame: np.ndarray
    #: int32[virtual blocks], sparse: 1 + fork family that owns the block.
    vpn_family: np.ndarray
    #: Tables: one row a node, process, family, VMA, task.
    node: np.ndarray
    mm: np.ndarray
    family: np.ndarray
    vma: np.ndarray
    task: np.ndarray
    #: int64[rows, nodes]: cumulated weights of weighted interleave.
    weights: np.ndarray
    #: int64[nodes, nodes]: zonelist of each node.
    zonelist: np.ndarray
    #: int64[CPUs]: node of each, or NONE.
    cpu_node: np.ndarray
    #: int64[nodes, nodes]: SLIT.
    distance: np.ndarray
    #: int64[nodes, nodes], ns: unloaded latency, row the CPU's node.
    latency: np.ndarray
    #: int64[nodes, nodes], ns: copy of a page from node to node.
    copy_ns: np.ndarray
    #: int64[tasks, nodes], ns: an access of the task to the node, this quantum.
    access_ns: np.ndarray
    #: int64[tasks, 2, nodes], ns: a page walk (4 KiB, 2 MiB) by its table's node.
    walk_ns: np.ndarray
    #: int64[tasks, S, TLB_SETS_4K * WAYS + TLB_SETS_2M * WAYS + 2]: tags, newest first.
    tlb: np.ndarray
    #: int64[COST_WIDTH], ns.
    cost: np.ndarray
    #: int64[INFO_WIDTH].
    info: np.ndarray
    #: int64[S + 1, SHARD_WIDTH], int64[S, nodes, POOL_WIDTH].
    shard: np.ndarray
    pool: np.ndarray
    #: int64[FREED_PARTS, most accesses of a quantum], sparse: frames that shards freed,
    #: by part, each shard from its queue's first position on ...
    freed: np.ndarray
    #: int64[S, 2 * FREED_PARTS]: ... and how many; the other half keeps the rows of two
    #: shards, whose threads count every fault, in cache lines of their own.
    freed_count: np.ndarray
    #: int64[S + 1, nodes, len(Vm)]: counters not yet folded into totals.
    vm: np.ndarray
    #: int64[S + 1, len(Refusal)].
    refused: np.ndarray
    #: int64[S + 1, tasks, len(Cause)], ns not yet folded into clocks.
    cause: np.ndarray
    #: int64[S + 1, processes, CHANGE_WIDTH]: changes of rss, swapents and huge pages;
    #: accesses local and remote.
    mm_change: np.ndarray
    #: int64[S + 1, nodes, 3]: changes of the inactive, active and deferred lists.
    lru_change: np.ndarray
    #: int64[S + 1, nodes, nodes]: references from CPU node to memory node.
    traffic: np.ndarray
    #: NUMA balancing: rows of VMAs' scans, of tasks and of their groups.
    numab: np.ndarray
    numa: np.ndarray
    numa_faults: np.ndarray
    group: np.ndarray
    #: int64[tasks, 2, nodes, 2]: MEM and CPU.
    group_faults: np.ndarray
    #: int64[len(ScanSkip)]: VMAs that scans passed over.
    scan_skips: np.ndarray
    #: What the hint faults of a quantum noted, by shard: statistics, tasks met
    #: (int8[S + 1, tasks, tasks]), pids of VMAs (int64[S + 1, VMAs ever]), pages.
    numa_seen: np.ndarray
    numa_met: np.ndarray
    numa_pids: np.ndarray
    node_seen: np.ndarray


# --- columns of Memory.mm_change ---------------------------------------------------
CHANGE_RSS: Final = 0
CHANGE_SWAPENTS: Final = 1
CHANGE_LOCAL: Final = 2
CHANGE_REMOTE: Final = 3
CHANGE_HUGE: Final = 4
CHANGE_WIDTH: Final = 5

# --- what a fault or an allocation says instead of a frame number ------------------
NO_MEMORY: Final = -1
PUT_ASIDE: Final = -2
SEGV: Final = -3
#: A huge page cannot be had: the fault maps a small one.
FALLBACK: Final = -4
SERVED: Final = 0

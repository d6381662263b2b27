"""Which rules a kernel has: settings by the kernel's name.

A profile says what cannot be changed while the kernel runs, and what its knobs are at
the start; ``docs/model`` says what each switch means.
"""

from dataclasses import fields, replace

from .locks import Locks
from .multigen_lru import LruGen
from .numa_balancing import Balancing
from .sched import Sched
from .settings import Settings
from .system_calls import SystemCalls
from .thp import Khugepaged, Thp

#: 6.1, with THP always, as Debian builds it.
_LINUX_6_1 = Settings(
    # mbind(2) refuses MPOL_MF_LAZY with EINVAL: hidden from users since 3.8.
    mpol_mf_lazy=False,
    lru_batches=True,
    lru_drain_at_move=True,
    wp_sees_batches=True,
    thp=Thp(enabled="always", defrag="always", min_free=True),
    khugepaged=Khugepaged(target="majority_mask"),
    # The scanner's memory of who used a VMA came in 6.4, tiering's knobs are off.
    balancing=Balancing(vma_pids=False, mark_unless="page_count"),
    calls=SystemCalls(
        # 6.10, 6.9, 6.7.
        preferred_many_balancing=False,
        mpol_weighted_interleave=False,
        populate_stops_at_hole=False,
        mbind_queues_once=False,
        mbind_likely_shared=False,
        mbind_interleave_base=False,
        # From 6.1 to 6.5.
        follow_protnone=False,
    ),
)

#: 6.4: as 6.1, the scanner asks who used a VMA (fc137c0ddab2), migrate_pages flushes
#: TLBs once a batch (6.3), and faults on anonymous memory read a lock of their VMA.
_LINUX_6_4 = replace(
    _LINUX_6_1,
    balancing=Balancing(mark_unless="page_count", write_bit="lost_at_move"),
    # PG_double_map went in 6.2.
    thp=replace(_LINUX_6_1.thp, double_map=False),
    migrate_pages_batch=True,
    lru_drain_at_move=False,
    locks=Locks(mmap_lock_vma=True),
)

#: 6.12: as 6.4, batches of the LRU are twice as large; all calls; shared mappings are
#: scanned (6.7), huge pages that small entries map move at hint faults (6.10).
_LINUX_6_12 = replace(
    _LINUX_6_4,
    balancing=replace(
        _LINUX_6_4.balancing,
        mark_unless="mapped_shared",
        scan_shmem=True,
        hint_folios=True,
    ),
    calls=SystemCalls(),
    locks=replace(_LINUX_6_4.locks, lru_lock_batch=31),
    # Built with CONFIG_LRU_GEN_ENABLED; 6.1 and 6.4 are not.
    lru_gen=LruGen(enabled=True),
    swap_zeromap=True,
    swap_in_writable=True,
    khugepaged=replace(_LINUX_6_4.khugepaged, shared_folios=True),
    thp=replace(
        _LINUX_6_4.thp,
        split_to_zero_pages=True,
        split_underused=True,
        split_at_once=True,
        zap_batches=True,
        deferred_moves=True,
        split_to_migrate=True,
        swap_out_ptes=True,
        advise_whole=True,
    ),
)

#: 6.16: as 6.12, folios know who maps them (6.15), a write to the huge zero page maps a
#: huge page, lazily freed huge pages go whole, and one that moves waits no more.
_LINUX_6_16 = replace(
    _LINUX_6_12,
    merge_into_unfaulted=True,
    calls=replace(_LINUX_6_12.calls, dontneed_frees_tables=True),
    # 6.14.
    lru_gen=LruGen(enabled=True, new_second=True, spread=False),
    thp=replace(
        _LINUX_6_12.thp,
        deferred_moves=False,
        mm_ids=True,
        copy_huge_zero_page=True,
        discard_whole=True,
    ),
)

#: 6.18: as 6.16; a block is collapsed without a writable page.
_LINUX_6_18 = replace(
    _LINUX_6_16,
    khugepaged=replace(_LINUX_6_16.khugepaged, needs_writable=False),
)

#: 7.3: as 6.18, but huge pages that move still wait to be split, and lazily freed ones
#: are split again, all their PTEs at once; huge pages are marked as small ones are
#: (6.19, folio_can_map_prot_numa).
_LINUX_7_3 = replace(
    _LINUX_6_18,
    balancing=replace(
        _LINUX_6_18.balancing, scan_local_huge=False, scan_shared_huge=False
    ),
    calls=replace(_LINUX_6_18.calls, fork_heads_mmlist=True),
    thp=replace(
        _LINUX_6_18.thp, deferred_moves=True, discard_whole=False, unmap_batches=True
    ),
)

#: Batches and munmap before 4.16, 4.19 and 4.20.
_LOCKS_3_13 = Locks(lru_lock_batch=14, zone_lock_batch=31, mmap_lock_downgrade=False)
#: The load balancer to 3.12, and of 3.13 to 4.1.
_SCHED_2012 = Sched(
    busy_factor=32, imbalance_pct=125, small_imbalance=True, locality="none"
)
_SCHED_2013 = replace(_SCHED_2012, locality="improves")

#: The scanner and the filter that v4 to 3.12 share.
_BALANCING_2012 = Balancing(
    filter="last_nid",
    local_last_cpupid=True,
    vma_pids=False,
    groups=False,
    placement=False,
    migrate_rate_limit_mbps=1280,
    scan_period_min_ms=100,
    scan_period_max_ms=5000,
    scan_limited=False,
    scan_small_vmas=False,
    scan_counts="entries",
    scan_turns=False,
    scan_cost_cap=False,
    scan_stagger=False,
    scan_local=True,
    scan_shared_huge=False,
    count_marked=True,
    pmd_numa=True,
    hint_flush=True,
)

#: 3.8: the first NUMA balancing, by the node of the last fault, at most 1280 MB/s to a
#: node, where a huge page counts as one page; system calls split huge pages that they
#: move; khugepaged goes by a first page; a write copies a shared huge page whole (until
#: 5.7, 3917c80280c9); fallback lists forget who was first of equals (until 5.16);
#: nothing of what came after 3.8 exists.
_LINUX_3_8 = replace(
    _LINUX_6_1,
    wp_sees_batches=False,
    thp=replace(_LINUX_6_1.thp, unit_migration=False, copy_on_write=True),
    lru_drain_at_move=False,
    accumulated_node_load=False,
    calls=SystemCalls(
        **{one.name: False for one in fields(SystemCalls)} | {"follow_protnone": True}
    ),
    khugepaged=Khugepaged(target="first_page"),
    # Page tables of huge pages had no lock of their own before 3.13.
    locks=replace(_LOCKS_3_13, pmd_lock_scope="mm"),
    sched=_SCHED_2012,
    balancing=replace(
        _BALANCING_2012,
        scan_period_rule="unmoved_fault",
        scan_period_reset_ms=60_000,
        first_nid=True,
        limit_by_pages=False,
    ),
)

#: 3.9 to 3.12: as 3.8, but a huge page counts as 512 against the limit (3abef4e6c23f).
_LINUX_3_9 = replace(
    _LINUX_3_8, balancing=replace(_LINUX_3_8.balancing, limit_by_pages=True)
)

#: balancenuma v4 on 3.7-rc6 (Gorman, 21 November 2012, patches 1 to 37): as 3.8, but
#: each accounted fault makes the period longer, up to 1.6 s, and nothing shorter.
_BALANCENUMA_V4 = replace(
    _LINUX_3_8,
    # 3.7: rmap walks hold a mutex.
    locks=replace(_LINUX_3_8.locks, anon_vma_alone=True),
    balancing=replace(
        _BALANCING_2012,
        scan_period_rule="every_fault",
        scan_period_max_ms=1600,
        limit_by_pages=False,
    ),
)

#: 3.13 to 3.19: tasks form groups and move to their memory; periods follow statistics
#: and the size of the memory (598f0ec0bc99), not yet groups (4.14); small VMAs and
#: shared pages are scanned; groups spread pages over active nodes (3.15 to 4.5).
_LINUX_3_13 = replace(
    _LINUX_3_8,
    khugepaged=Khugepaged(target="majority_round_robin"),
    locks=_LOCKS_3_13,
    sched=_SCHED_2013,
    balancing=Balancing(
        filter="active_nodes",
        scan_period_rule="local_share",
        local_last_cpupid=True,
        vma_pids=False,
        migrate_rate_limit_mbps=1280,
        scan_cost_cap=False,
        scan_stagger=False,
        scan_local=True,
        slow_on_failure=False,
        group_if="write_bit",
        hint_flush=True,
    ),
)

#: 4.0-rc1 to rc3: marks are PROT_NONE (4d9424669946). An entry of a private mapping is
#: made anew by mark and fault, without its write bit: no task joins a group any more,
#: and each page that is written takes a second fault.
_LINUX_4_0_RC1 = replace(
    _LINUX_3_13, balancing=replace(_LINUX_3_13.balancing, write_bit="lost_at_mark")
)

#: 4.0 to 4.4: the write bit is kept (b191f9b106ea), groups go by the VMA (bea66fbd11af,
#: until 4.9), failed migrations slow the scan (074c238177a7).
_LINUX_4_0 = replace(
    _LINUX_3_13,
    balancing=replace(_LINUX_3_13.balancing, group_if="vm_write", slow_on_failure=True),
)

DEFAULT = "linux-6.1"
PROFILES = {
    "balancenuma-v4": _BALANCENUMA_V4,
    "linux-3.8": _LINUX_3_8,
    "linux-3.9": _LINUX_3_9,
    "linux-3.13": _LINUX_3_13,
    "linux-3.19": _LINUX_3_13,
    "linux-4.0-rc1": _LINUX_4_0_RC1,
    "linux-4.0": _LINUX_4_0,
    "linux-6.1": _LINUX_6_1,
    "linux-6.4": _LINUX_6_4,
    "linux-6.12": _LINUX_6_12,
    "linux-6.16": _LINUX_6_16,
    "linux-6.18": _LINUX_6_18,
    "linux-7.3": _LINUX_7_3,
}

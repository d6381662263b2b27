"""Write the knobs of the settings into the state."""

import numpy as np

from ...kernels import state as st
from ...kernels.words import PAGE_SIZE
from .numa_balancing import FILTERS, MODES, Balancing
from .settings import Settings
from .thp import DEFRAG, ENABLED

COSTS = {
    st.Cost.MINOR_FAULT: "minor_fault_ns",
    st.Cost.HINT_FAULT: "hint_fault_ns",
    st.Cost.CACHE_LOOKUP: "cache_lookup_ns",
    st.Cost.SWAP_IN: "swap_in_ns",
    st.Cost.SWAP_OUT: "swap_out_ns",
    st.Cost.MIGRATE_PAGE: "migrate_page_ns",
    st.Cost.RECLAIM_PAGE: "reclaim_page_ns",
    st.Cost.HUGE_FAULT: "huge_fault_ns",
    st.Cost.SPLIT_PMD: "split_pmd_ns",
    st.Cost.WALK: "walk_ns",
    st.Cost.MARK_PTE: "mark_pte_ns",
    st.Cost.TLB_FLUSH: "tlb_flush_ns",
    st.Cost.TLB_FLUSH_CPU: "tlb_flush_cpu_ns",
}


def set_knobs(info: np.ndarray, settings: Settings) -> None:
    """Tell the kernels the settings that may change while a simulation runs."""
    thp = settings.thp
    info[st.Info.THP_ENABLED] = ENABLED.index(thp.enabled)
    info[st.Info.THP_DEFRAG] = DEFRAG.index(thp.defrag)
    info[st.Info.USE_ZERO_PAGE] = thp.use_zero_page
    info[st.Info.UNIT_MIGRATION] = thp.unit_migration
    info[st.Info.UNIT_HINTING] = thp.unit_hinting
    info[st.Info.LRU_BATCHES] = settings.lru_batches and settings.sequential
    info[st.Info.MAY_BE_HUGE] |= thp.enabled != "never"
    _set_balancing(info, settings.balancing)


def _set_balancing(info: np.ndarray, knobs: Balancing) -> None:
    info[st.Info.BALANCING] = MODES.index(knobs.mode)
    info[st.Info.FILTER] = FILTERS.index(knobs.filter)
    info[st.Info.LOCAL_CPUPID] = knobs.local_last_cpupid
    info[st.Info.VMA_PIDS] = knobs.vma_pids
    info[st.Info.NUMA_GROUPS] = knobs.groups
    info[st.Info.NUMA_PLACEMENT] = knobs.placement
    info[st.Info.SCAN_SIZE_MB] = knobs.scan_size_mb
    info[st.Info.SCAN_PERIOD_MIN] = knobs.scan_period_min_ms
    info[st.Info.SCAN_PERIOD_MAX] = knobs.scan_period_max_ms
    info[st.Info.SCAN_DELAY] = knobs.scan_delay_ms
    info[st.Info.HOT_THRESHOLD] = knobs.hot_threshold_ms
    pages = (1 << 20) // PAGE_SIZE
    info[st.Info.PROMOTE_LIMIT] = knobs.promote_rate_limit_mbps * pages
    info[st.Info.MIGRATE_LIMIT] = knobs.migrate_rate_limit_mbps * pages // 10
    info[st.Info.DEMOTION] = knobs.demotion
    info[st.Info.TICK_NS] = knobs.tick_ns

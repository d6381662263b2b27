"""Write the knobs of the settings into the state."""

import numpy as np

from ...kernels import state as st
from ...kernels.words import PAGE_SIZE
from .numa_balancing import FILTERS, MODES, Balancing
from .settings import Settings
from .thp import DEFRAG, ENABLED

COSTS = {
    st.COST_MINOR_FAULT: "minor_fault_ns",
    st.COST_HINT_FAULT: "hint_fault_ns",
    st.COST_CACHE_LOOKUP: "cache_lookup_ns",
    st.COST_SWAP_IN: "swap_in_ns",
    st.COST_SWAP_OUT: "swap_out_ns",
    st.COST_MIGRATE_PAGE: "migrate_page_ns",
    st.COST_RECLAIM_PAGE: "reclaim_page_ns",
    st.COST_HUGE_FAULT: "huge_fault_ns",
    st.COST_SPLIT_PMD: "split_pmd_ns",
    st.COST_WALK: "walk_ns",
    st.COST_MARK_PTE: "mark_pte_ns",
    st.COST_TLB_FLUSH: "tlb_flush_ns",
    st.COST_TLB_FLUSH_CPU: "tlb_flush_cpu_ns",
}


def set_knobs(info: np.ndarray, settings: Settings) -> None:
    """Tell the kernels the settings that may change while a simulation runs."""
    thp = settings.thp
    info[st.THP_ENABLED] = ENABLED.index(thp.enabled)
    info[st.THP_DEFRAG] = DEFRAG.index(thp.defrag)
    info[st.USE_ZERO_PAGE] = thp.use_zero_page
    info[st.UNIT_MIGRATION] = thp.unit_migration
    info[st.UNIT_HINTING] = thp.unit_hinting
    info[st.LRU_BATCHES] = settings.lru_batches and settings.sequential
    info[st.MAY_BE_HUGE] |= thp.enabled != "never"
    _set_balancing(info, settings.balancing)


def _set_balancing(info: np.ndarray, knobs: Balancing) -> None:
    info[st.BALANCING] = MODES.index(knobs.mode)
    info[st.FILTER] = FILTERS.index(knobs.filter)
    info[st.LOCAL_CPUPID] = knobs.local_last_cpupid
    info[st.VMA_PIDS] = knobs.vma_pids
    info[st.NUMA_GROUPS] = knobs.groups
    info[st.NUMA_PLACEMENT] = knobs.placement
    info[st.SCAN_SIZE_MB] = knobs.scan_size_mb
    info[st.SCAN_PERIOD_MIN] = knobs.scan_period_min_ms
    info[st.SCAN_PERIOD_MAX] = knobs.scan_period_max_ms
    info[st.SCAN_DELAY] = knobs.scan_delay_ms
    info[st.HOT_THRESHOLD] = knobs.hot_threshold_ms
    pages = (1 << 20) // PAGE_SIZE
    info[st.PROMOTE_LIMIT] = knobs.promote_rate_limit_mbps * pages
    info[st.MIGRATE_LIMIT] = knobs.migrate_rate_limit_mbps * pages // 10
    info[st.DEMOTION] = knobs.demotion
    info[st.TICK_NS] = knobs.tick_ns

"""Which calls, modes and flags a kernel has, by the version that brought them.

What a kernel does not have is EINVAL, or ENOSYS if it is a whole call.
"""

from dataclasses import dataclass

from .knob import check_knobs, knob


@dataclass(frozen=True)
class SystemCalls:
    """Calls of the memory manager; BadInput if a value is not allowed."""

    madv_free: bool = knob(True, "MADV_FREE (4.5)")
    madv_cold: bool = knob(True, "MADV_COLD (5.4)")
    madv_pageout: bool = knob(True, "MADV_PAGEOUT (5.4)")
    madv_populate: bool = knob(True, "MADV_POPULATE_READ and _WRITE (5.14)")
    madv_collapse: bool = knob(True, "MADV_COLLAPSE (6.1)")
    mpol_f_numa_balancing: bool = knob(True, "MPOL_F_NUMA_BALANCING (5.12)")
    mpol_preferred_many: bool = knob(True, "MPOL_PREFERRED_MANY (5.15)")
    preferred_many_balancing: bool = knob(
        True, "MPOL_F_NUMA_BALANCING with it (6.10, 133d04b1eee9)"
    )
    mpol_weighted_interleave: bool = knob(True, "MPOL_WEIGHTED_INTERLEAVE (6.9)")
    set_mempolicy_home_node: bool = knob(True, "the call of this name (5.17)")
    migrate_to_absent: bool = knob(
        True,
        "migrate_pages passes over target nodes that do not exist"
        " (4.16, 0486a38bcc47); else EINVAL",
    )
    populate_stops_at_hole: bool = knob(
        True,
        "MADV_POPULATE_READ and _WRITE end where nothing is mapped (6.9,"
        " 631426ba1d45); else they go on behind it",
    )
    mbind_queues_once: bool = knob(
        True,
        "mbind strict passes over a huge page that it has queued by another small"
        " entry (6.7, 1cb5d11a370f); else EIO",
        column="MBIND_QUEUES_ONCE",
    )
    mbind_likely_shared: bool = knob(
        True,
        "mbind passes over huge pages by all their entries (6.11,"
        " folio_likely_mapped_shared); else by those of the first page",
        column="MBIND_LIKELY_SHARED",
    )
    mbind_interleave_base: bool = knob(
        True,
        "pages that mbind moves are interleaved as its first one begins, shared ones"
        " from their inode's number on (6.7, ddc1a5cbc05d); else each by its VMA",
        column="MBIND_INTERLEAVE_BASE",
    )
    fork_heads_mmlist: bool = knob(
        False,
        "a fork puts the child before all others for swapoff (7.3); else behind its"
        " parent",
    )
    follow_protnone: bool = knob(
        True,
        "move_pages and smaps see pages behind PROT_NONE, marked ones too"
        " (not from 6.1, 474098edac26, to 6.5)",
        column="FOLLOW_PROTNONE",
    )

    dontneed_frees_tables: bool = knob(
        False,
        "MADV_DONTNEED of a whole block frees its page table (6.14, 6375e95f381e)",
    )

    def __post_init__(self) -> None:
        check_knobs(self, "calls.")

"""The knobs of huge pages, spelled as in /sys/kernel/mm/transparent_hugepage."""

from dataclasses import dataclass

from ...kernels.knobs import Advice, TargetRule, ThpDefrag, ThpEnabled
from ...kernels.words import HPAGE_PMD_NR
from .knob import check_knobs, knob

ENABLED = tuple(one.name.lower() for one in ThpEnabled)
#: "defer+madvise" is what the file of sysfs says.
DEFRAG = tuple(one.name.lower().replace("_", "+") for one in ThpDefrag)
#: The most that sysfs takes.
UINT_MAX = (1 << 32) - 1
TARGETS = tuple(one.name.lower() for one in TargetRule)


@dataclass(frozen=True)
class Thp:
    """Huge pages at faults and in migration; BadInput if a value is not allowed."""

    enabled: str = knob(
        "never", "which VMAs get huge pages", choices=ENABLED, column="THP_ENABLED"
    )
    defrag: str = knob(
        "madvise", "who compacts for one", choices=DEFRAG, column="THP_DEFRAG"
    )
    use_zero_page: bool = knob(
        True, "map the huge zero page at a read fault", column="USE_ZERO_PAGE"
    )
    unit_migration: bool = knob(
        True,
        "mbind, move_pages and migrate_pages move huge pages whole (4.14)",
        column="UNIT_MIGRATION",
    )
    unit_hinting: bool = knob(
        True,
        "hint faults move huge pages whole (3.8); else they split (AutoNUMA)",
        column="UNIT_HINTING",
    )
    copy_on_write: bool = knob(
        False,
        "a write to a shared huge page copies all of it (before 5.8)",
        column="COPY_HUGE",
    )
    split_to_zero_pages: bool = knob(
        False,
        "a split maps its zero-filled pages to the zero page (6.12, b1f202060afe)",
        column="SPLIT_TO_ZERO",
    )
    split_underused: bool = knob(
        False,
        "the shrinker splits huge pages with more than max_ptes_none zero-filled"
        " pages (6.12, dafff3f4c850)",
        column="SPLIT_UNDERUSED",
    )
    double_map: bool = knob(
        True,
        "one that is mapped both ways counts that as a mapping of each page"
        " (PG_double_map, to 6.1)",
        column="DOUBLE_MAP",
    )
    split_at_once: bool = knob(
        False,
        "a folio's split takes a huge entry at once, not page by page"
        " (6.8, 91b2978a3480)",
        column="SPLIT_AT_ONCE",
    )
    zap_batches: bool = knob(
        False,
        "zap takes PTEs of a huge page in a row at once (6.9, 10ebac4f95e7)",
        column="ZAP_BATCHES",
    )
    unmap_batches: bool = knob(
        False,
        "reclaim takes all PTEs of a lazily freed huge page at once (7.3)",
        column="UNMAP_BATCHES",
    )
    deferred_moves: bool = knob(
        False,
        "one that waits to be split still does after its migration"
        " (6.12.117 and 7.3, not 6.16.12 and 6.18.15)",
        column="DEFERRED_MOVES",
    )
    split_to_migrate: bool = knob(
        False,
        "a folio that waits to be split is split to be moved (6.10, 7262f208ca68)",
        column="SPLIT_TO_MIGRATE",
    )
    swap_out_ptes: bool = knob(
        False,
        "reclaim splits only what waits to be split, else what no huge entry maps"
        " (6.10, 5ed890ce5147)",
        column="SWAP_OUT_PTES",
    )
    advise_whole: bool = knob(
        False,
        "advice keeps a huge page whole whose 512 PTEs are in the range (6.10,"
        " 3931b871c494; free dce7d10be4bb)",
        column="ADVISE_WHOLE",
    )
    mm_ids: bool = knob(
        False,
        "a huge page knows whether more than one process maps it, else it guesses"
        " (folio_maybe_mapped_shared, 6.15)",
        column="MM_IDS",
    )
    copy_huge_zero_page: bool = knob(
        False,
        "a write to the huge zero page maps a huge page (6.13, 1ced09e0331f)",
        column="COPY_HUGE_ZERO",
    )
    discard_whole: bool = knob(
        False,
        "reclaim drops a lazily freed huge page without a split"
        " (unmap_huge_pmd_locked: 6.16 and 6.18, not 7.3)",
        column="DISCARD_WHOLE",
    )
    min_free: bool = knob(
        False, "they raise min_free_kbytes (set_recommended_min_free_kbytes)"
    )

    def __post_init__(self) -> None:
        check_knobs(self, "thp.")


def eligible(enabled: str, advice: Advice) -> bool:
    """Tell whether a VMA so advised may have huge pages (thp_vma_allowable_order)."""
    if advice == Advice.NOHUGEPAGE or enabled == "never":
        return False
    return enabled == "always" or advice == Advice.HUGEPAGE


@dataclass(frozen=True)
class Khugepaged:
    """khugepaged's knobs (6.1); BadInput if a value is not allowed."""

    pages_to_scan: int = knob(
        8 * HPAGE_PMD_NR, "pages a wake-up looks at", unit="page", min=1, max=UINT_MAX
    )
    scan_sleep_millisecs: int = knob(
        10_000, "time between wake-ups", unit="ms", min=1, max=UINT_MAX
    )
    alloc_sleep_millisecs: int = knob(
        60_000, "time after a failed one", unit="ms", min=1, max=UINT_MAX
    )
    max_ptes_none: int = knob(
        HPAGE_PMD_NR - 1,
        "most pages that are none",
        unit="page",
        min=0,
        max=HPAGE_PMD_NR - 1,
        column="MAX_PTES_NONE",
    )
    max_ptes_swap: int = knob(
        HPAGE_PMD_NR // 8,
        "most pages in swap",
        unit="page",
        min=0,
        max=HPAGE_PMD_NR - 1,
    )
    max_ptes_shared: int = knob(
        HPAGE_PMD_NR // 2, "most pages shared", unit="page", min=0, max=HPAGE_PMD_NR - 1
    )
    defrag: bool = knob(True, "compact where no huge page is free")
    target: str = knob("majority_mask", "rule for the node", choices=TARGETS)
    needs_writable: bool = knob(
        True, "a block is collapsed only if one of its pages is writable (before 6.18)"
    )
    shared_folios: bool = knob(
        False,
        "a page is shared if any page of its huge page is (6.10,"
        " folio_likely_mapped_shared)",
    )
    node_reclaim: bool = knob(False, "vm.zone_reclaim_mode: far nodes do not mix")

    def __post_init__(self) -> None:
        check_knobs(self, "khugepaged.")


#: It hardly ever wakes up: the longest sleep that sysfs takes, 50 days.
ASLEEP = Khugepaged(scan_sleep_millisecs=UINT_MAX)

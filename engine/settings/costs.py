"""What things cost: every constant with its unit and its source."""

from dataclasses import dataclass, fields

from .knob import check_knobs, knob


@dataclass(frozen=True)
class Costs:
    """Cost model (``docs/model/time.md``); a command line sets ``cost.NAME=...``.

    All fields are integers, and the phrase of each says where its default comes from.
    Raises BadInput for a negative one, and for a bandwidth of 0.
    """

    minor_fault_ns: int = knob(
        1013, "median 4 KiB anonymous fault, Core i7 11th gen., Linux 6.6", unit="ns"
    )
    huge_fault_ns: int = knob(
        160_000,
        "2 MiB demand fault, 11.82 to 14.55 GB/s on AMD Milan before the"
        " folio_zero_user series: 144 to 177 us",
        unit="ns",
    )
    hint_fault_ns: int = knob(
        1900,
        "derived: (1254.00 - 94.93) s system time / 604,878,754 hint faults,"
        " balancenuma 'moron', Gorman 21 Nov 2012",
        unit="ns",
    )
    cache_lookup_ns: int = knob(
        200,
        "assumption: one radix-tree walk and a page lock",
        unit="ns",
        uncertain=True,
    )
    swap_in_ns: int = knob(
        80_000, "assumption: one 4 KiB read from NVMe", unit="ns", uncertain=True
    )
    swap_out_ns: int = knob(
        20_000, "assumption: one 4 KiB write to NVMe, queued", unit="ns", uncertain=True
    )
    migrate_page_ns: int = knob(
        700,
        "derived: move_pages of 256 x 64 KiB 2543.65 us against 16 MiB in 2202.17 us"
        " on Power8 (Zi Yan), the part that is not copying",
        unit="ns",
    )
    copy_bandwidth: int = knob(
        3_184_000_000,
        "2 MiB THP in 658.54 us, Xeon E5-2640 v3 across sockets (Zi Yan)",
        unit="byte/s",
        min=1,
    )
    core_bandwidth: int = knob(
        8_436_000_000,
        "perf bench numa RAM-bw-local, one thread, 4-node Opteron (Molnar, Dec 2012)",
        unit="byte/s",
        min=1,
    )
    queueing_permille: int = knob(
        150,
        "assumption: latency grows as 1 + q u / (1 - u) with load u",
        unit="1e-3",
        uncertain=True,
    )
    line_transfer_permille: int = knob(
        0,
        "a line that another node's cache holds modified costs so much more, of the"
        " latency to that node; 0: nothing, as no source has it for whole pages",
        unit="1e-3",
        max=1_000_000,
    )
    mark_pte_ns: int = knob(
        100, "mprotect(PROT_NONE) over 4 KiB PTEs: 60 to 270 ns measured", unit="ns"
    )
    park_page_ns: int = knob(
        700,
        "assumption: as migrate_page_ns, isolate and unmap without a copy",
        unit="ns",
        uncertain=True,
    )
    fork_pte_ns: int = knob(
        50, "assumption: one PTE copied by copy_page_range", unit="ns", uncertain=True
    )
    zap_pte_ns: int = knob(
        300, "MADV_DONTNEED of 4 KiB pages: 0.33 to 3.2 M a second measured", unit="ns"
    )
    split_pmd_ns: int = knob(
        11_000, "PMD split: 89,000 a second measured on Linux", unit="ns"
    )
    collapse_ns: int = knob(
        376_000,
        "collapse with 384 PTEs none, mmap lock held, Core i5 (lkml, March 2024)",
        unit="ns",
    )
    walk_ns: int = knob(
        7,
        "assumption: page walk that finds its entry in the first or second level cache,"
        " about 20 cycles",
        unit="ns",
        uncertain=True,
    )
    tlb_flush_ns: int = knob(
        1000,
        "shootdown interrupt, about 1 us (low confidence)",
        unit="ns",
        uncertain=True,
    )
    tlb_flush_cpu_ns: int = knob(
        200,
        "each receiver of a shootdown, 0.2 us (low confidence)",
        unit="ns",
        uncertain=True,
    )
    syscall_ns: int = knob(
        500,
        "assumption: entry, exit and the VMA walk of one call",
        unit="ns",
        uncertain=True,
    )
    lru_drain_ns: int = knob(
        59_000,
        "derived: move_pages of one 4 KiB page in 62.47 us, Xeon E5-2640 v3 (Zi Yan),"
        " less call, migration and flush: every CPU drains its pages to the LRU",
        unit="ns",
    )
    reclaim_page_ns: int = knob(
        500,
        "assumption: isolate, rmap walk and put back of one page",
        unit="ns",
        uncertain=True,
    )

    def __post_init__(self) -> None:
        check_knobs(self, "cost.")


def uncertain_costs() -> tuple[str, ...]:
    """Return the names of the costs that nobody has measured well."""
    known = fields(Costs)
    return tuple(one.name for one in known if one.metadata.get("uncertain"))

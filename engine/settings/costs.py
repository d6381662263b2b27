"""What things cost: every constant with its unit and its source."""

from dataclasses import dataclass, field, fields

from ..errors import BadInput


def _cost(default: int, unit: str, source: str):
    return field(default=default, metadata={"unit": unit, "source": source, "min": 0})


@dataclass(frozen=True)
class Costs:
    """Cost model (``docs/model.md`` §7); a command line sets ``cost.NAME=...``.

    All fields are integers.  Raises BadInput for a negative one.
    """

    minor_fault_ns: int = _cost(
        1013, "ns", "median 4 KiB anonymous fault, Core i7 11th gen., Linux 6.6"
    )
    huge_fault_ns: int = _cost(
        160_000,
        "ns",
        "2 MiB demand fault, 11.82 to 14.55 GB/s on AMD Milan before the"
        " folio_zero_user series: 144 to 177 us",
    )
    hint_fault_ns: int = _cost(
        1900,
        "ns",
        "derived: (1254.00 - 94.93) s system time / 604,878,754 hint faults,"
        " balancenuma 'moron', Gorman 21 Nov 2012",
    )
    cache_lookup_ns: int = _cost(
        200, "ns", "assumption: one radix-tree walk and a page lock"
    )
    swap_in_ns: int = _cost(80_000, "ns", "assumption: one 4 KiB read from NVMe")
    swap_out_ns: int = _cost(
        20_000, "ns", "assumption: one 4 KiB write to NVMe, queued"
    )
    migrate_page_ns: int = _cost(
        700,
        "ns",
        "derived: move_pages of 256 x 64 KiB 2543.65 us against 16 MiB in 2202.17 us"
        " on Power8 (Zi Yan), the part that is not copying",
    )
    copy_bandwidth: int = _cost(
        3_184_000_000,
        "byte/s",
        "2 MiB THP in 658.54 us, Xeon E5-2640 v3 across sockets (Zi Yan)",
    )
    core_bandwidth: int = _cost(
        8_436_000_000,
        "byte/s",
        "perf bench numa RAM-bw-local, one thread, 4-node Opteron (Molnar, Dec 2012)",
    )
    queueing_permille: int = _cost(
        150, "1e-3", "assumption: latency grows as 1 + q u / (1 - u) with load u"
    )
    mark_pte_ns: int = _cost(
        100, "ns", "mprotect(PROT_NONE) over 4 KiB PTEs: 60 to 270 ns measured"
    )
    park_page_ns: int = _cost(
        700, "ns", "assumption: as migrate_page_ns, isolate and unmap without a copy"
    )
    fork_pte_ns: int = _cost(50, "ns", "assumption: one PTE copied by copy_page_range")
    zap_pte_ns: int = _cost(
        300, "ns", "MADV_DONTNEED of 4 KiB pages: 0.33 to 3.2 M a second measured"
    )
    split_pmd_ns: int = _cost(
        11_000, "ns", "PMD split: 89,000 a second measured on Linux"
    )
    collapse_ns: int = _cost(
        376_000,
        "ns",
        "collapse with 384 PTEs none, mmap lock held, Core i5 (lkml, March 2024)",
    )
    walk_ns: int = _cost(
        7,
        "ns",
        "assumption: page walk that finds its entry in the first or second level cache,"
        " about 20 cycles",
    )
    tlb_flush_ns: int = _cost(
        1000, "ns", "shootdown interrupt, about 1 us (low confidence)"
    )
    tlb_flush_cpu_ns: int = _cost(
        200, "ns", "each receiver of a shootdown, 0.2 us (low confidence)"
    )
    syscall_ns: int = _cost(
        500, "ns", "assumption: entry, exit and the VMA walk of one call"
    )
    reclaim_page_ns: int = _cost(
        500, "ns", "assumption: isolate, rmap walk and put back of one page"
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value < 0:
                raise BadInput(f"cost.{item.name} must be at least 0, got {value}")
        for name in ("copy_bandwidth", "core_bandwidth"):
            if getattr(self, name) == 0:
                raise BadInput(f"cost.{name} must be above 0, got 0")

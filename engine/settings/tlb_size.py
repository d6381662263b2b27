"""The TLB of a task's CPU, and what a miss may find in the caches."""

from dataclasses import dataclass

from .knob import check_knobs, knob


@dataclass(frozen=True)
class Tlb:
    """Second-level TLB (``docs/model/quantum.md`` 11); BadInput where a value is bad.

    Defaults are of a Skylake-SP core (Intel optimization reference manual): 1536
    entries shared by both sizes, modelled apart; 1 MiB L2 and its 1.375 MiB of the last
    level hold entries of page tables.
    """

    enabled: bool = knob(False, "model TLBs")
    entries_4k: int = knob(1536, "4 KiB entries", min=4)
    entries_2m: int = knob(1536, "2 MiB entries", min=4)
    walk_cache_bytes: int = knob(
        2432 << 10, "caches of a core that hold page tables", unit="byte", min=1
    )

    def __post_init__(self) -> None:
        check_knobs(self, "tlb.")

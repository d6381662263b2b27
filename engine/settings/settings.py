"""The settings of a simulation: what is not the machine, the costs or the workload."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..errors import BadInput
from .knob import check_knobs, knob
from .locks import Locks
from .multigen_lru import LruGen
from .numa_balancing import Balancing
from .sampled_accesses import Sampling
from .sched import Sched
from .system_calls import SystemCalls
from .thp import Khugepaged, Thp
from .tlb_size import Tlb


@dataclass(frozen=True)
class Settings:
    """Model parameters; results depend on each of them (``docs/model/quantum.md``).

    Raises BadInput if a field is out of its range.
    """

    # Shards and accesses are capped by the bits of a ticket (kernels/quantum/team.py).
    shards: int = knob(
        64,
        "independent parts of a quantum's work",
        min=1,
        max=1 << 16,
        column="SHARDS",
    )
    quantum_ns: int = knob(50_000_000, "length of a quantum", unit="ns", min=1)
    quantum_accesses: int = knob(
        1 << 21, "most accesses in a quantum", min=1, max=1 << 31
    )
    epoch_ns: int = knob(1_000_000_000, "length of an output epoch", unit="ns", min=1)
    swap_bytes: int = knob(0, "swap space", kind="size", unit="byte")
    wedge_ppm: int = knob(
        0,
        "share of migration-cache entries lost by a racing exit",
        unit="1e-6",
        max=1_000_000,
        column="WEDGE_PPM",
    )
    policy: str = knob(
        "default",
        "memory policy that tasks begin with, as of numactl: interleave, bind:0,1",
    )
    sequential: bool = knob(False, "serve accesses one by one in script order")
    mpol_mf_lazy: bool = knob(True, "accept MPOL_MF_LAZY (mainline: EINVAL)")
    lru_batches: bool = knob(
        False, "new pages reach the LRU in batches (sequential alone)"
    )
    lru_drain_at_move: bool = knob(
        False,
        "a hint fault that moves a page empties its CPU's batch (5.18 to 6.2)",
        column="LRU_DRAIN_AT_MOVE",
    )
    wp_sees_batches: bool = knob(
        False,
        "a write copies a page that a fork shared while another CPU's batch holds it"
        " (5.9, 09854ba94c6a)",
    )
    migrate_pages_batch: bool = knob(
        False,
        "a call flushes TLBs once for up to 512 pages that it moves (6.3)",
        column="MIGRATE_PAGES_BATCH",
    )
    merge_into_unfaulted: bool = knob(
        False,
        "a VMA that was written merges with one before its first fault"
        " (by 6.16, mm/vma: fix incorrectly disallowed anonymous VMA merges)",
    )
    loaded_copies: bool = knob(
        False,
        "a copy of a page gets no more bandwidth than a stream, as loaded as memory is",
    )
    swap_in_writable: bool = knob(
        False,
        "a read that swaps a page in maps it writable, if it is nobody else's (6.11)",
        column="SWAP_IN_WRITABLE",
    )
    swap_zeromap: bool = knob(
        False,
        "zero-filled pages are not written to swap (6.12, 0ca0c24e3211)",
        column="SWAP_ZEROMAP",
    )
    accumulated_node_load: bool = knob(
        True,
        "fallback lists add up who was first of equals (5.17, 54d032ced983)",
    )
    watermark_scale_factor: int = knob(
        10,
        "share of a node between its watermarks, vm.watermark_scale_factor",
        unit="1e-4",
        min=1,
        max=3000,
    )
    min_free_kbytes: int = knob(
        0,
        "memory below the min watermarks, vm.min_free_kbytes; 0: by the memory there",
        unit="KiB",
        max=1 << 40,
    )
    ballast: tuple[int, ...] = knob(
        (), "memory taken out of use on each node", unit="byte"
    )
    snapshots_ns: tuple[int, ...] = knob(
        (), "when snapshots of all processes are written", unit="ns"
    )

    thp: Thp = Thp()
    khugepaged: Khugepaged = Khugepaged()
    lru_gen: LruGen = LruGen()
    tlb: Tlb = Tlb()
    balancing: Balancing = Balancing()
    calls: SystemCalls = SystemCalls()
    locks: Locks = Locks()
    sched: Sched = Sched()
    sampling: Sampling = Sampling()

    def __post_init__(self) -> None:
        check_knobs(self)
        _check_times(self.snapshots_ns)
        if self.sequential and self.shards != 1:
            object.__setattr__(self, "shards", 1)


#: Metadata of a scenario's parameter of type ``tuple[float, ...]``.
SNAPSHOTS = {"help": "simulated seconds of snapshots, as 0.5,1"}


def nanoseconds(seconds: Sequence[float]) -> tuple[int, ...]:
    """Return times in seconds as ``snapshots_ns`` takes them."""
    return tuple(round(time * 1e9) for time in seconds)


def _check_times(times: Sequence[int]) -> None:
    """Raise BadInput if times of snapshots are negative or do not ascend."""
    if times and times[0] < 0:
        raise BadInput(f"snapshots_ns must be at least 0, got {times[0]}")
    if any(later <= time for time, later in pairwise(times)):
        raise BadInput(f"snapshots_ns must ascend, got {list(times)}")

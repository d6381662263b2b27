"""The settings of a simulation: what is not the machine, the costs or the workload."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..errors import BadInput
from .knob import check_ranges
from .numa_balancing import Balancing
from .thp import Khugepaged, Thp
from .tlb_size import Tlb


def _at_least(minimum: int, default: int, unit: str, text: str, **limit: int):
    about = {"min": minimum, "unit": unit, "help": text}
    return field(default=default, metadata=about | limit)


@dataclass(frozen=True)
class Settings:
    """Model parameters; results depend on each of them (``docs/model.md`` §6).

    Raises BadInput where a field is out of its range.
    """

    # The most of both are what a ticket of a team can number (kernels/team.py).
    shards: int = _at_least(
        1, 64, "1", "independent parts of a quantum's work", max=1 << 16
    )
    quantum_ns: int = _at_least(1, 50_000_000, "ns", "length of a quantum")
    quantum_accesses: int = _at_least(
        1, 1 << 21, "1", "most accesses in a quantum", max=1 << 31
    )
    epoch_ns: int = _at_least(1, 1_000_000_000, "ns", "length of an output epoch")
    swap_bytes: int = field(
        default=0,
        metadata={"kind": "size", "min": 0, "unit": "byte", "help": "swap space"},
    )
    wedge_ppm: int = field(
        default=0,
        metadata={
            "min": 0,
            "max": 1_000_000,
            "unit": "1e-6",
            "help": "share of migration-cache entries lost by a racing exit",
        },
    )
    sequential: bool = field(
        default=False, metadata={"help": "serve accesses one by one in script order"}
    )
    mpol_mf_lazy: bool = field(
        default=True, metadata={"help": "accept MPOL_MF_LAZY (mainline: EINVAL)"}
    )
    lru_batches: bool = field(
        default=False,
        metadata={"help": "new pages reach the LRU in batches (sequential alone)"},
    )
    ballast: tuple[int, ...] = field(
        default=(),
        metadata={"unit": "byte", "help": "memory taken out of use on each node"},
    )
    snapshots_ns: tuple[int, ...] = field(
        default=(),
        metadata={"unit": "ns", "help": "when snapshots of all processes are written"},
    )

    thp: Thp = Thp()
    khugepaged: Khugepaged = Khugepaged()
    tlb: Tlb = Tlb()
    balancing: Balancing = Balancing()

    def __post_init__(self) -> None:
        check_ranges(self)
        _check_times(self.snapshots_ns)
        if self.sequential and self.shards != 1:
            object.__setattr__(self, "shards", 1)


#: Metadata of a scenario's parameter of type ``tuple[float, ...]``.
SNAPSHOTS = {"help": "simulated seconds of snapshots, as 0.5,1"}


def nanoseconds(seconds: Sequence[float]) -> tuple[int, ...]:
    """Return times given in seconds as ``snapshots_ns`` takes them."""
    return tuple(round(time * 1e9) for time in seconds)


def _check_times(times: Sequence[int]) -> None:
    """Raise BadInput where times of snapshots are negative or do not ascend."""
    if times and times[0] < 0:
        raise BadInput(f"snapshots_ns must be at least 0, got {times[0]}")
    if any(later <= time for time, later in pairwise(times)):
        raise BadInput(f"snapshots_ns must ascend, got {list(times)}")

"""Tables that were published with autonuma-benchmark, as data.

A table has a column for each kernel, and a kernel has its rules: settings of ours that
say what its balancing and its locks did.  Programs, machine and costs are the same for
all tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ...engine.settings.profiles import PROFILES
from ...engine.settings.settings import Settings
from ...engine.settings.thp import Thp

_EPOCH_NS = 10_000_000_000
#: What a CPU loses to an interrupt of another's TLB flush: sources say from 200 ns to
#: 1.5 us a CPU (``docs/model/time.md`` 4).  The one hold that is not a default.
_INTERRUPT_NS = 1500


#: System over User seconds of the kernel without balancing, 94.93 s and 140,276 s: its
#: ticks, which the model does not have.
TICKS = 94.93 / 140_276


@dataclass(frozen=True)
class Kernel:
    """A kernel of a published table: its rules, and what was measured.

    settings  whose rules it has
    elapsed   seconds of each program; programs that were not published are left out
    system    System seconds of each program, likewise
    system_total  System seconds of all four programs together, None: not published
    counts    of all four programs together, by the names of our columns
    """

    settings: Settings
    elapsed: Mapping[str, float]
    system: Mapping[str, float] = field(default_factory=dict)
    system_total: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A published table.

    source    who, when, and which column of the table each kernel is
    kernels   by our name for each
    ratios    pairs of kernels whose elapsed times are compared
    change    what the first kernel of the first pair does that the second does not
    more      what the first kernel of the first pair counts more than the second, all
              programs together
    baseline  the kernel that costs are calibrated to, if it is in the table: its
              elapsed times are no prediction
    """

    source: str
    kernels: Mapping[str, Kernel]
    ratios: tuple[tuple[str, str], ...] = ()
    change: str = ""
    more: Mapping[str, int] = field(default_factory=dict)
    baseline: str = ""


def kernel_settings(
    profile: str, mode: str = "normal", unit_hinting: bool = True
) -> Settings:
    """Return the rules of a profile with huge pages always, and with its locks."""
    rules = PROFILES[profile]
    return replace(
        rules,
        epoch_ns=_EPOCH_NS,
        balancing=replace(rules.balancing, mode=mode),
        thp=Thp(enabled="always", unit_hinting=unit_hinting),
        locks=replace(
            rules.locks,
            enabled=True,
            tlb_flush_interrupts=True,
            tlb_flush_hold_ns=_INTERRUPT_NS,
        ),
        loaded_copies=True,
    )


def by_program(*seconds: float) -> dict[str, float]:
    """Return seconds of programs, in the order of the published tables."""
    names = ("numa01", "numa01_thread_alloc", "numa02", "numa02_smt")
    return dict(zip(names, seconds, strict=False))


_NOVEMBER_2012 = Table(
    source=(
        "Gorman, balancenuma v4, 21 November 2012, kernels stats (off), twostage"
        " (split) and thpmigrate (native)"
    ),
    kernels={
        "off": Kernel(
            kernel_settings("balancenuma-v4", "off"),
            by_program(1668.03, 1266.49, 175.75, 163.55),
            by_program(47.87, 43.52, 1.94),
            94.93,
        ),
        "split": Kernel(
            kernel_settings("balancenuma-v4", unit_hinting=False),
            by_program(1575.52, 542.26, 68.64, 59.85),
            by_program(896.21, 593.89, 43.01),
            1565.05,
            {
                "thp_splits": 7426,
                "numa_pte_updates": 221_698_496,
                "numa_hint_faults": 105_489_260,
                "numa_hint_faults_local": 48_972_507,
                "numa_pages_migrated": 8_265_970,
            },
        ),
        "native": Kernel(
            kernel_settings("balancenuma-v4"),
            by_program(1066.67, 369.38, 49.42, 46.21),
            by_program(489.09, 144.30, 9.28),
            646.94,
            {
                "thp_splits": 2,
                "numa_pte_updates": 458_517_124,
                "numa_hint_faults": 1_431_976,
                "numa_hint_faults_local": 621_116,
                # A huge page was counted as one: 14,679.
                "numa_pages_migrated": 14_679 * 512,
            },
        ),
    },
    ratios=(("split", "native"), ("split", "off"), ("native", "off")),
    change="To split huge pages",
    baseline="off",
)

_LINUX_3_9 = Table(
    source="Gorman, 3.9.0 vanilla, autonumabench",
    kernels={
        "3.9": Kernel(
            kernel_settings("linux-3.9"),
            by_program(1201.52, 393.91, 50.30, 58.48),
            system_total=532.89,
            counts={
                "numa_pte_updates": 119_292_401,
                "numa_hint_faults": 755_901,
                "numa_hint_faults_local": 595_478,
                "numa_pages_migrated": 9_020_528,
            },
        ),
    },
)

#: Those of the first kernels with NUMA balancing.
TABLES = {"B": _NOVEMBER_2012, "D": _LINUX_3_9}

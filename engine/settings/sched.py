"""The scheduler's load balancer: constants of a kernel, and what disturbs its CPUs."""

from dataclasses import dataclass

from ...kernels.knobs import Locality
from .knob import check_knobs, knob

LOCALITIES = tuple(one.name.lower() for one in Locality)


@dataclass(frozen=True)
class Sched:
    """What moves tasks that are not pinned from CPU to CPU (``docs/model/sched.md``).

    The defaults are those of 6.12.  Raises BadInput if a value is not allowed.
    """

    load_balance: bool = knob(False, "tasks move to CPUs with less load")
    time_sharing: bool = knob(
        False, "tasks of one CPU run in turns, and wait for each other"
    )
    busy_factor: int = knob(
        16,
        "a busy CPU balances so much less often (before 5.10: 32)",
        min=1,
        max=1 << 10,
        column="BUSY_FACTOR",
    )
    imbalance_pct: int = knob(
        117,
        "load of a node, in percent of this one's, that is too much (before 5.10: 125)",
        min=100,
        max=1000,
        column="IMBALANCE_PCT",
    )
    small_imbalance: bool = knob(
        False,
        "a task moves if that makes loads no worse (before 5.5, 0b0695f2b34a)",
        column="SMALL_IMBALANCE",
    )
    migration_cost_ns: int = knob(
        500_000,
        "a task that ran so lately is hot (sysctl_sched_migration_cost)",
        unit="ns",
        max=1 << 62,
        column="MIGRATION_COST",
    )
    locality: str = knob(
        "degrades",
        "what NUMA balancing says of a move (3.13: improves, 4.2: degrades)",
        choices=LOCALITIES,
        column="LOCALITY",
    )
    disturb_period_ns: int = knob(
        1_000_000_000,
        "mean time between two disturbances of a CPU, as vm.stat_interval has it",
        unit="ns",
        min=1,
        max=1 << 62,
        column="DISTURB_PERIOD",
    )
    disturb_ns: int = knob(
        0,
        "how long a disturbance takes its CPU; 0: there is none",
        unit="ns",
        max=1 << 40,
        column="DISTURB",
    )

    def __post_init__(self) -> None:
        check_knobs(self, "sched.")

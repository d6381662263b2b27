"""The mechanisms that are compared with each other, by the names that users type."""

from dataclasses import replace

from ...engine.errors import BadInput
from ...engine.settings.numa_balancing import Balancing
from ...engine.settings.settings import Settings
from ...engine.simulation import Simulation
from ...engine.state.policies import Policy
from ...engine.state.process import Region, Task
from ...kernels.knobs import Mechanism, Mode
from ...kernels.words import PAGE_SIZE
from .tasks import memory_of

LAZY = {
    "lazy_swapcache": Mechanism.SWAPCACHE,
    "lazy_migcache": Mechanism.MIGCACHE,
    "hinting": Mechanism.HINTING,
}
BALANCING = "balancing"
#: Do nothing, move at once, three ways to move on the next touch, and NUMA balancing,
#: which has to find out by itself.
MECHANISMS = ("none", "eager", *LAZY, BALANCING)


#: The settings that the mechanisms themselves set (``Study.varied``).
VARIED = ("balancing.mode",)


def check_mechanism(name: str) -> str:
    """Return ``name`` if it is a mechanism; BadInput otherwise."""
    if name not in MECHANISMS:
        raise BadInput(
            f"mechanism must be one of {', '.join(MECHANISMS)}, got {name!r}"
        )
    return name


def check_knobs(balancing: Balancing) -> None:
    """Raise BadInput if the knobs turn balancing on; only the mechanism may do that."""
    if balancing.mode != "off":
        raise BadInput(
            "balancing.mode must be left alone, the mechanism of that name sets it,"
            f" got {balancing.mode}"
        )


def settings_for(name: str, settings: Settings) -> Settings:
    """Return the settings of a variant: only ``balancing`` has NUMA balancing on."""
    if name != BALANCING:
        return settings
    return replace(settings, balancing=replace(settings.balancing, mode="normal"))


def acts(name: str) -> bool:
    """Tell whether ``repair`` does anything for a mechanism."""
    return name == "eager" or name in LAZY


def repair(
    simulation: Simulation,
    task: Task,
    region: Region,
    name: str,
    node: int,
    first: int = 0,
    pages: int | None = None,
) -> None:
    """Let mechanism ``name`` bring pages of a region to their users.

    first  first page in the region
    pages  how many, None: to the end of the region

    ``eager`` moves them to ``node``, or to the nearest one if that has no memory, at
    once (mbind with MPOL_MF_MOVE).  The lazy
    mechanisms mark them, and each page goes to the node of the task that touches it
    next (MPOL_NOOP, next-touch).  ``none`` and ``balancing`` do nothing here.
    """
    check_mechanism(name)
    if name == "eager":
        policy = Policy(Mode.PREFERRED, (memory_of(simulation.machine, node),))
        simulation.mbind(task, region, policy, move=True, first=first, pages=pages)
    elif name in LAZY:
        simulation.mark(task, region, LAZY[name], first=first, pages=pages)


def pages_by_ptes(name: str, pages: int, settings: Settings) -> int:
    """Return the most of ``pages`` that a mechanism may leave mapped by PTEs.

    The estimate of host memory needs this: pages of huge pages take almost none.
    """
    if settings.thp.enabled == "never" or name == "lazy_migcache":
        return pages
    if name == "lazy_swapcache":
        return min(pages, settings.swap_bytes // PAGE_SIZE)
    return pages if name == "eager" and not settings.thp.unit_migration else 0

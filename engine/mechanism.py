"""The mechanisms that are held against each other, by the names users type."""

from ..kernels.constants import PAGE_SIZE, Mechanism, Mode
from .errors import BadInput
from .policy import Policy
from .process import Region, Task
from .settings import Settings
from .simulation import Simulation

LAZY = {
    "lazy_swapcache": Mechanism.SWAPCACHE,
    "lazy_migcache": Mechanism.MIGCACHE,
    "hinting": Mechanism.HINTING,
}
#: Nothing, move at once, and the three ways to move on the next touch.
MECHANISMS = ("none", "eager", *LAZY)


def check_mechanism(name: str) -> str:
    """Return ``name`` if it is a mechanism; BadInput otherwise."""
    if name not in MECHANISMS:
        raise BadInput(
            f"mechanism must be one of {', '.join(MECHANISMS)}, got {name!r}"
        )
    return name


def repair(
    simulation: Simulation,
    task: Task,
    region: Region,
    name: str,
    node: int,
    first: int = 0,
    pages: int | None = None,
) -> None:
    """Let a mechanism bring a part of a region to its users.

    ``eager`` moves it to ``node`` at once (mbind MOVE); the lazy ones mark it, and each
    page goes to the node of its first toucher (MPOL_NOOP, next-touch).
    """
    check_mechanism(name)
    if name == "eager":
        policy = Policy(Mode.PREFERRED, (node,))
        simulation.mbind(task, region, policy, move=True, first=first, pages=pages)
    elif name in LAZY:
        simulation.mark(task, region, LAZY[name], first=first, pages=pages)


def pages_by_ptes(name: str, pages: int, settings: Settings) -> int:
    """Return how many of ``pages`` a mechanism may leave mapped by PTEs.

    For the estimate of the host's memory: pages of huge pages take next to none.
    """
    if settings.thp.enabled == "never" or name == "lazy_migcache":
        return pages
    if name == "lazy_swapcache":
        return min(pages, settings.swap_bytes // PAGE_SIZE)
    return pages if name == "eager" and not settings.thp.unit_migration else 0

"""The policies of the league: who decides which pages are in fast memory.

A file is one policy, written from what was published (its docstring cites it; no code
was taken): ``rival(scale)`` returns how to run it.  ``docs/model/league.md`` has what
is followed of each and what is left out.

The world is smaller than the machines of the papers, by one rule for all policies
(``Scale``): memory is ``shrunk`` times smaller, and every time and every size that a
policy names is divided by it.  Rates stay: bytes a second, samples a reference, costs a
page.  So the time in which all memory is read, or the fast tier filled, is to the
policy's times as it is on the large machine.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from ...engine.machines.zones import calculated_min_free_kbytes

if TYPE_CHECKING:
    from ...engine.doors.placement_policy import PlacementPolicy
    from ...engine.machines.machine import Machine
    from ...engine.settings.settings import Settings
    from ...engine.simulation import Simulation
    from ...engine.state.process import Process, Region


class Scale(NamedTuple):
    """How the simulated world differs from that of the papers.

    shrunk  how many times less memory it has, and shorter its times are
    refs    references that one simulated access stands for
    """

    shrunk: float = 1.0
    refs: int = 1

    def time(self, value: float, least: int = 1) -> int:
        """Return a time or a size of a paper as it is here, in the same unit."""
        return max(least, round(value / self.shrunk))

    def period(self, references: int) -> int:
        """Return every how many accesses one in so many references is sampled."""
        return max(1, round(references / self.refs))


#: A world as large as those of the papers.
UNSCALED = Scale()


class Rival(NamedTuple):
    """A policy of the league.

    name      its value of the dimension ``policy``
    settings  the settings it needs on a machine; all others are free for the caller
    policy    what it decides inside kernels (PlacementPolicy), or None
    start     lets it begin: called once, when the tasks of the process have started and
              the region is mapped, before its first page is touched
    """

    name: str
    settings: "Callable[[Machine], Settings]"
    policy: "PlacementPolicy | None" = None
    start: "Callable[[Simulation, Process, Region], None]" = lambda *_: None


#: In which file each policy is, and which function of it makes it.
_FILES = {
    "none": "no_tiering",
    "numa_balancing": "numab_tiering",
    "tpp": "tpp",
    "damon": "damon_tiering",
    "pghot": "pghot",
    "pghot_precise": "pghot.precise",
    "hemem": "hemem",
    "memtis": "memtis",
    "colloid": "colloid",
    "nomad": "nomad",
    "weighted_interleave": "weighted_auto",
}
#: Names of all policies, in the order of the table.
NAMES = tuple(_FILES)


def rival(name: str, scale: Scale = UNSCALED) -> Rival:
    """Return a policy by its name, which is one of ``NAMES``."""
    file, _, maker = _FILES[name].partition(".")
    module = import_module(f".{file}", __name__)
    one = getattr(module, maker or "rival")(scale)
    return one._replace(settings=partial(_settled, one.settings, scale))


def _settled(
    settings: "Callable[[Machine], Settings]", scale: Scale, machine: "Machine"
) -> "Settings":
    """Return settings with the reserve of the large machine, as much smaller.

    The kernel's own goes with the root of the memory.
    """
    large = sum(machine.memory) // 1024 * scale.shrunk
    reserve = calculated_min_free_kbytes(int(large))
    return replace(settings(machine), min_free_kbytes=scale.time(reserve))

"""No tiering: a page stays on the node of its first touch.

First touch takes the nearest node with free memory (mm/page_alloc.c, Linux 6.12), so
fast memory holds what was touched first.  What every paper calls its first baseline.
"""

from ...engine.machines.machine import Machine
from ...engine.settings.numa_balancing import Balancing
from ...engine.settings.settings import Settings
from . import Rival, Scale


def rival(_scale: Scale) -> Rival:
    """Return the policy."""
    return Rival("none", _settings)


def _settings(_machine: Machine) -> Settings:
    return Settings(balancing=Balancing(mode="off", demotion=False))

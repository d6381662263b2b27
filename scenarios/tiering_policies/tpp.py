"""TPP: promote what is touched twice, and always keep some fast memory free.

Al Maruf et al., "TPP: Transparent Page Placement for CXL-Enabled Tiered-Memory",
ASPLOS 2023.  Pages of slow nodes alone are marked.  A hint fault finds a page on the
inactive list or on the active one: the first fault makes it active, the second promotes
it at once (section 5.3), without a limit of bytes a second.  Reclaim demotes in
place of swapping (5.1) and begins early: 2 % of a node are kept free for new pages and
promotions (5.2, ``demote_scale_factor`` 200).

Left out: an active page of a slow node stays so until it is promoted; the watermarks
of new pages and of demotion are one set, 2 % apart (``watermark_scale_factor``), where
TPP has two; placement by type of page (5.4), as all pages are anonymous.
Scaled: the scanner, as with NUMA balancing.
"""

from functools import partial
from typing import Any

from ...engine.doors.answers import STAY
from ...engine.doors.own_array import Own
from ...engine.doors.placement_policy import PlacementPolicy
from ...engine.machines.machine import Machine
from ...engine.settings.settings import Settings
from . import Rival, Scale
from .numab_tiering import scaled_balancing

#: Free memory that demotion keeps, ten thousandths of a node (section 5.2).
DEMOTE_SCALE_FACTOR = 200


def rival(scale: Scale) -> Rival:
    """Return the policy."""
    return Rival("tpp", partial(_settings, scale), POLICY)


def _settings(scale: Scale, _machine: Machine) -> Settings:
    return Settings(
        balancing=scaled_balancing(scale), watermark_scale_factor=DEMOTE_SCALE_FACTOR
    )


def promote(fault: Any, mine: Any) -> int:
    """Promote a page at its second hint fault since it was promoted or mapped."""
    page = fault.page // fault.pages * fault.pages
    if mine.tpp_active[page]:
        mine.tpp_active[page] = 0
        return fault.cpu_node
    mine.tpp_active[page] = 1
    return STAY


POLICY = PlacementPolicy(promote=promote, arrays=(Own("tpp_active", "uint8", "page"),))

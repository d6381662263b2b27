"""What a placement policy answers if it does not name a node.

Constants and a function for the functions of a user's file, which Numba compiles.
"""

import numba

from ...kernels.counters import Refusal
from ...kernels.placement import asked

__all__ = ["DEFAULT", "STAY", "Refusal", "stay"]

#: The page stays on its node; counted as refused, for the reason ``policy``.
STAY = int(asked.STAY)
#: The kernel decides, as if there were no policy.
DEFAULT = int(asked.DEFAULT)
_REFUSED = int(asked.REFUSED)


@numba.njit
def stay(refusal: int) -> int:
    """Return the answer that a page stays where it is, for a reason of ``Refusal``."""
    return _REFUSED - refusal

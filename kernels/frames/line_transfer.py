"""Which nodes wrote a page lately: their caches may hold its lines modified.

``docs/model/time.md`` 6.  A frame's word has the two nodes that wrote it last, the
newer one in its low half, each with the number of the quantum.
"""

from typing import Final

from ..jit.compile import inlined
from ..state import Info
from ..words import NONE

_NID_BITS: Final = 6
WRITER_NID: Final = (1 << _NID_BITS) - 1
#: Numbers of quanta begin anew after so many.
QUANTA: Final = 1 << 24
WRITER_BITS: Final = 30
_HALF: Final = (1 << WRITER_BITS) - 1


@inlined
def _is_recent(half, quantum):
    """Tell whether half a word is of a write in this quantum or in the last one."""
    return half != 0 and (quantum - (half >> _NID_BITS)) & (QUANTA - 1) <= 1


@inlined
def other_writer(m, frame, nid):
    """Return the node, other than ``nid``, that lately wrote a page last; or NONE."""
    word, quantum = m.frame_writers[frame], m.info[Info.QUANTUM]
    for half in (word & _HALF, word >> WRITER_BITS):
        if half & WRITER_NID != nid and _is_recent(half, quantum):
            return half & WRITER_NID
    return NONE


@inlined
def note_writer(m, frame, nid):
    """Note that a task of a node writes a page."""
    word = m.frame_writers[frame]
    newest = m.info[Info.QUANTUM] << _NID_BITS | nid
    if word & _HALF & WRITER_NID == nid:
        word >>= WRITER_BITS
    else:
        word &= _HALF
    m.frame_writers[frame] = word << WRITER_BITS | newest

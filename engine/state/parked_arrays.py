"""What the caches of parked pages are, by kind: ``kernels/frames/swap_state.py``.

Kernels' own functions can be called by kernels alone.
"""

import numpy as np

from ...kernels import state as st
from ...kernels.words import (
    FRAME_KIND,
    FRAME_KIND_SHIFT,
    PTE_KIND,
    PTE_KIND_SHIFT,
    PTE_PAYLOAD,
    Kind,
)

#: The arrays of each: PTEs that hold an identity, and its frame.
_ARRAYS = {
    Kind.SWAP: ("slot_count", "slot_frame"),
    Kind.MIGCACHE: ("entry_count", "entry_frame"),
    Kind.OWN: ("own_count", "own_frame"),
}


def kind_of(pte: int) -> int:
    """Return how the page of a PTE is parked, a Kind; 0: it is not."""
    return (pte & PTE_KIND) >> PTE_KIND_SHIFT


def cached_by(word: int) -> int:
    """Return the Kind of the cache that holds a page; 0: none does."""
    return (word & FRAME_KIND) >> FRAME_KIND_SHIFT


def ids_of(kind: Kind) -> int:
    """Return the first column of Info of a kind's allocator."""
    return st.Info.SLOTS + (kind - 1) * len(st.Ids)


def holders_of(memory: st.Memory, kind: int) -> np.ndarray:
    """Return int16[ids]: how many PTEs hold each identity of a kind."""
    return getattr(memory, _ARRAYS[Kind(kind)][0])


def frames_of(memory: st.Memory, kind: int) -> np.ndarray:
    """Return int64[ids]: the frame of each identity of a kind."""
    return getattr(memory, _ARRAYS[Kind(kind)][1])


def frame_of_parked(memory: st.Memory, pte: int) -> int:
    """Return the frame of a parked page; NONE if it is on disk alone."""
    return int(frames_of(memory, kind_of(pte))[pte & PTE_PAYLOAD])

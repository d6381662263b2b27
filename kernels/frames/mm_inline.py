"""The generation of a page, with ``lru_gen`` (include/linux/mm_inline.h, 6.12).

``docs/model/reclaim.md`` 13.  Linux numbers generations; here a page has its age: how
many generations it is behind the youngest, 0 to 3.  The age is in the bits ACTIVE and
REFERENCED, so that a word without them is a new page's: ACTIVE says that the page is in
neither of the two youngest, and the counts of the lists are those of such pages and of
the others.
"""

from ..jit.compile import inlined
from ..state import Info
from ..words import FRAME_ACTIVE, FRAME_GEN, FRAME_REFERENCED


@inlined
def aged_word(m, word, age):
    """Return the word of a frame or folio with another age."""
    word &= ~FRAME_GEN
    if age > 1:
        word |= FRAME_ACTIVE
    if age & 1 != m.info[Info.LRU_GEN_SECOND]:
        word |= FRAME_REFERENCED
    return word


@inlined
def age_of(m, word):
    """Return how many generations a page is behind the youngest."""
    odd = m.info[Info.LRU_GEN_SECOND]
    if word & FRAME_REFERENCED:
        odd = 1 - odd
    return odd + 2 if word & FRAME_ACTIVE else odd


@inlined
def clear_referenced(m, word):
    """Return a word without PG_referenced, which generations have no use for."""
    return word if m.info[Info.LRU_GEN] else word & ~FRAME_REFERENCED

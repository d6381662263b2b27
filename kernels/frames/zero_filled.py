"""Which pages hold something else than zeros (pages_identical, is_folio_zero_filled).

``docs/model/page.md`` 14.  One byte for each frame, one for each swap slot, touched
only if a setting asks what pages hold.  A byte and not a bit: shards write pages of
the same pageblock side by side.  The bytes of free frames are 0.
"""

from typing import Final

from ..jit.compile import inlined
from ..state import Info
from ..words import HPAGE_PMD_NR, HPAGE_PMD_ORDER

#: Of a slot: the page holds something else than zeros.
SLOT_WRITTEN: Final = 1
#: Of a slot: nothing was written to disk, and nothing need be read (zeromap).
SLOT_ZEROMAP: Final = 2


@inlined
def note_written(m, pfn):
    """Note that an access writes a page."""
    if m.frame_written[pfn] == 0:
        m.frame_written[pfn] = 1


@inlined
def is_zero_filled(m, pfn):
    return m.frame_written[pfn] == 0


@inlined
def clear_pages(m, pfn, frames):
    """Forget what frames in a row held that are freed."""
    if m.info[Info.CONTENT]:
        m.frame_written[pfn : pfn + frames] = 0


@inlined
def copy_page(m, old, new):
    """Let the frame ``new`` hold what ``old`` holds (copy_highpage)."""
    if m.info[Info.CONTENT]:
        m.frame_written[new] = m.frame_written[old]


@inlined
def copy_folio(m, old, new):
    """Let the folio of block ``new`` hold what that of ``old`` holds."""
    if m.info[Info.CONTENT]:
        for i in range(HPAGE_PMD_NR):
            held = m.frame_written[(old << HPAGE_PMD_ORDER) + i]
            m.frame_written[(new << HPAGE_PMD_ORDER) + i] = held


@inlined
def swap_writepage(m, pfn, slot):
    """Put what a page holds into a slot; return the pages that go to disk: 1 or 0."""
    if not m.info[Info.CONTENT]:
        return 1
    written = int(m.frame_written[pfn])
    if written == 0 and m.info[Info.SWAP_ZEROMAP]:
        m.slot_written[slot] = SLOT_ZEROMAP
        return 0
    m.slot_written[slot] = written
    return 1


@inlined
def swap_write_folio(m, b, slot):
    """Do ``swap_writepage`` for a folio and 512 slots in a row; return 512 or 0.

    Only if all of it is zero-filled nothing goes to disk.
    """
    if not m.info[Info.CONTENT]:
        return HPAGE_PMD_NR
    first, some = b << HPAGE_PMD_ORDER, 0
    for i in range(HPAGE_PMD_NR):
        m.slot_written[slot + i] = m.frame_written[first + i]
        some |= m.frame_written[first + i]
    if some or not m.info[Info.SWAP_ZEROMAP]:
        return HPAGE_PMD_NR
    m.slot_written[slot : slot + HPAGE_PMD_NR] = SLOT_ZEROMAP
    return 0


@inlined
def swap_pages_read(m, slot):
    """Return how many pages a read of a slot takes from disk: 1 or 0."""
    if not m.info[Info.CONTENT]:
        return 1
    return 0 if m.slot_written[slot] & SLOT_ZEROMAP else 1


@inlined
def swap_read_folio(m, pfn, slot):
    """Let a frame hold what a slot does; return the pages that this reads from disk."""
    if m.info[Info.CONTENT]:
        m.frame_written[pfn] = m.slot_written[slot] & SLOT_WRITTEN
    return swap_pages_read(m, slot)

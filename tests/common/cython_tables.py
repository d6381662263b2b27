"""Words and sizes for tests of the two Cython modules."""

from lazynuma.kernels.words import (
    FRAME_IN_USE,
    FRAME_MAPCOUNT_SHIFT,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    PTE_PRESENT,
    PTE_WRITE,
    PTE_YOUNG,
)

NR, ORDER = HPAGE_PMD_NR, HPAGE_PMD_ORDER
#: log2 of the frames of a node, and nodes, of the machines below.
SHIFT, NODES = 10, 3
FRAMES = NODES << SHIFT
MAPPED = PTE_PRESENT | PTE_WRITE | PTE_YOUNG


def folio_word(mapcount, flags=0, vpn=5 * NR):
    return vpn | mapcount << FRAME_MAPCOUNT_SHIFT | FRAME_IN_USE | flags

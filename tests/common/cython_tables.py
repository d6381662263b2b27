"""Words and sizes for tests of the two Cython modules."""

from lazynuma.kernels import constants as k

NR, ORDER = k.HPAGE_PMD_NR, k.HPAGE_PMD_ORDER
#: log2 of the frames of a node, and nodes, of the machines below.
SHIFT, NODES = 10, 3
FRAMES = NODES << SHIFT
MAPPED = k.PTE_PRESENT | k.PTE_WRITE | k.PTE_YOUNG


def folio_word(mapcount, flags=0, vpn=5 * NR):
    return vpn | mapcount << k.FRAME_MAPCOUNT_SHIFT | k.FRAME_IN_USE | flags

"""What khugepaged sees and does in page tables (mm/khugepaged.c).

Responsible for the decision on a block, with a named result, for the target node, and
for taking the PTEs of a block that is collapsed out of its page table.  Agnostic of
memory, counters of pages and time, which are the caller's.  Arrays are those of
``kernels/state.py``; results those of ``counters.ScanResult``.
"""

from libc.stdint cimport int64_t, uint8_t

from words cimport (
    EXCEED_NONE_PTE,
    EXCEED_SHARED_PTE,
    EXCEED_SWAP_PTE,
    FIRST_PAGE,
    FRAME_ACTIVE,
    FRAME_COMPOUND,
    FRAME_DIRTY,
    FRAME_FROM,
    FRAME_IN_USE,
    FRAME_MAPCOUNT,
    FRAME_MAPCOUNT_ONE,
    FRAME_REFERENCED,
    FRAME_VPN,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    LACK_REFERENCED_PAGE,
    MAJORITY_ROUND_ROBIN,
    PAGE_RO,
    PMD_MAPPED,
    PMD_NONE,
    PTE_KIND,
    PTE_NON_PRESENT,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
    SCAN_ABORT,
    SUCCEED,
)

cdef enum:
    NODES_MAX = 64

# What plain pages may differ in.
cdef int64_t FREE_TO_DIFFER = (
    FRAME_VPN | FRAME_ACTIVE | FRAME_REFERENCED | FRAME_DIRTY | FRAME_FROM
)


cdef struct Limits:
    int64_t none
    int64_t swap
    int64_t shared
    bint referenced  # whether a block must have been used
    bint writable  # whether one of its pages must be writable
    int64_t node_shift


cdef struct Seen:
    int64_t first_nid  # node of the first page that is present, or -1
    int64_t load[NODES_MAX]


cdef bint shared_page(
    int64_t pte,
    const int64_t* frame,
    const int64_t* block_huge,
    const uint8_t* shared_folio,
) noexcept nogil:
    """Tell whether more than one entry maps a page; a writable one is nobody else's.

    shared_folio  whether folios are shared; NULL: that does not matter
    """
    cdef int64_t pfn, word, count
    if shared_folio != NULL:
        pfn = pte & PTE_PAYLOAD
        if frame[pfn] & FRAME_COMPOUND:
            return shared_folio[pfn >> HPAGE_PMD_ORDER]
    if pte & PTE_WRITE:
        return False
    pfn = pte & PTE_PAYLOAD
    word = frame[pfn]
    count = word & FRAME_MAPCOUNT
    if word & FRAME_COMPOUND:
        count += block_huge[pfn >> HPAGE_PMD_ORDER] & FRAME_MAPCOUNT
    return count > FRAME_MAPCOUNT_ONE


cdef bint uniform_block(
    const int64_t* ptes, const Limits* limits, Seen* seen, int64_t* result
) noexcept nogil:
    """Decide on a block that is present and writable throughout; False: it is not.

    Almost every block is: one pass without a branch, and no look at a frame.
    """
    cdef int64_t every = -1, any_bits = 0, differ = 0
    cdef int64_t first = ptes[0]
    cdef Py_ssize_t i
    for i in range(HPAGE_PMD_NR):
        every &= ptes[i]
        any_bits |= ptes[i]
        differ |= ptes[i] ^ first
    if not every & PTE_PRESENT or not every & PTE_WRITE or any_bits & PTE_PROTNONE:
        return False
    if (differ & PTE_PAYLOAD) >> limits.node_shift:
        return False
    seen.first_nid = (first & PTE_PAYLOAD) >> limits.node_shift
    seen.load[seen.first_nid] = HPAGE_PMD_NR
    result[0] = SUCCEED
    if limits.referenced and not any_bits & PTE_YOUNG:
        result[0] = LACK_REFERENCED_PAGE
    return True


cdef bint too_far(
    const uint8_t* far, int64_t nodes, int64_t nid, const Seen* seen
) noexcept nogil:
    """Tell whether a page's node is far from another that has pages (scan_abort)."""
    cdef int64_t other
    if far == NULL or seen.load[nid]:
        return False
    for other in range(nodes):
        if seen.load[other] and far[nid * nodes + other]:
            return True
    return False


cdef int64_t scan_ptes(
    const int64_t* ptes,
    const int64_t* frame,
    const int64_t* block_huge,
    const uint8_t* shared_folio,
    const uint8_t* far,
    int64_t nodes,
    const Limits* limits,
    Seen* seen,
) noexcept nogil:
    """Decide on a block PTE by PTE (hpage_collapse_scan_pmd, 6.1)."""
    cdef int64_t none = 0, swap = 0, shared = 0, young = 0, nid, pte
    cdef bint writable = False
    cdef Py_ssize_t i
    for i in range(HPAGE_PMD_NR):
        pte = ptes[i]
        if pte & PTE_KIND == PTE_SWAP:
            swap += 1
            if swap > limits.swap:
                return EXCEED_SWAP_PTE
            continue
        if pte & PTE_KIND:
            return PTE_NON_PRESENT
        if not pte & PTE_PRESENT:
            none += 1
            if none > limits.none:
                return EXCEED_NONE_PTE
            continue
        if pte & PTE_WRITE and not pte & PTE_PROTNONE:
            writable = True
        if shared_page(pte, frame, block_huge, shared_folio):
            shared += 1
            if shared > limits.shared:
                return EXCEED_SHARED_PTE
        nid = (pte & PTE_PAYLOAD) >> limits.node_shift
        if too_far(far, nodes, nid, seen):
            return SCAN_ABORT
        if seen.first_nid < 0:
            seen.first_nid = nid
        seen.load[nid] += 1
        young += pte & PTE_YOUNG != 0
    if limits.writable and not writable:
        return PAGE_RO
    if limits.referenced:
        if young == 0 or (swap > 0 and young < HPAGE_PMD_NR // 2):
            return LACK_REFERENCED_PAGE
    return SUCCEED


cdef int64_t scan_block(
    int64_t pmd,
    const int64_t* ptes,
    const int64_t* frame,
    const int64_t* block_huge,
    const uint8_t* shared_folio,
    const uint8_t* far,
    int64_t nodes,
    const Limits* limits,
    Seen* seen,
) noexcept nogil:
    """Decide on the block of a PMD entry; ``seen`` is filled."""
    cdef int64_t result = SUCCEED
    cdef int64_t nid
    if pmd == 0:
        return PMD_NONE
    if pmd & (PTE_PRESENT | PTE_ZERO):
        return PMD_MAPPED
    seen.first_nid = -1
    for nid in range(nodes):
        seen.load[nid] = 0
    if shared_folio == NULL and uniform_block(ptes, limits, seen, &result):
        return result
    return scan_ptes(ptes, frame, block_huge, shared_folio, far, nodes, limits, seen)


def scan_blocks(
    const int64_t[::1] pmd,
    const int64_t[::1] pte,
    const int64_t[::1] frame,
    const int64_t[::1] block_huge,
    const uint8_t[::1] shared_folio,
    const uint8_t[:, ::1] far,
    const int64_t[::1] limits,
    int64_t first,
    int64_t blocks,
    int64_t[::1] tally,
    int64_t[:, ::1] by_table,
    int64_t[::1] load,
):
    """Scan blocks up to the first that may be collapsed; return how many were scanned.

    shared_folio  uint8[blocks]: whether a folio is shared; [0]: does not matter
    far       uint8[nodes, nodes]: nodes that must not share a huge page; [0, 0]: none
    limits    int64[6]: max_ptes_none, max_ptes_swap, max_ptes_shared, whether a block
              must have been used, log2 of the frame numbers that a node owns, whether
              a page must be writable
    first     index of the first block's entry in ``pmd``
    tally     int64[results]: how often each result came out; added to
    by_table  int64[results, nodes]: the same by the node of the page table; added to
    load      int64[nodes + 1]: of the last block: pages on each node; node of the first

    The last block scanned came to SUCCEED if ``tally[SUCCEED]`` grew.
    """
    cdef Limits given
    cdef Seen seen
    cdef int64_t done = 0, result, nodes = load.shape[0] - 1, nid
    cdef const uint8_t* distances = &far[0, 0] if far.shape[0] else NULL
    given.none, given.swap, given.shared = limits[0], limits[1], limits[2]
    given.referenced, given.node_shift = limits[3] != 0, limits[4]
    given.writable = limits[5] != 0
    cdef const uint8_t* folios = &shared_folio[0] if shared_folio.shape[0] else NULL
    with nogil:
        while done < blocks:
            result = scan_block(
                pmd[first + done],
                &pte[(first + done) * HPAGE_PMD_NR],
                &frame[0],
                &block_huge[0],
                folios,
                distances,
                nodes,
                &given,
                &seen,
            )
            tally[result] += 1
            by_table[result, pmd[first + done] >> 49 & 0x3F] += 1
            done += 1
            if result == SUCCEED:
                break
    if done and result == SUCCEED:
        for nid in range(nodes):
            load[nid] = seen.load[nid]
        load[nodes] = seen.first_nid
    return done


def find_target_node(const int64_t[::1] load, int64_t rule, int64_t last):
    """Return the node where a block is collapsed (hpage_collapse_find_target_node).

    load  int64[nodes + 1]: pages on each node, node of the first page; some page counts
    rule  constants.TargetRule, RANDOM excepted
    last  target of the last collapse, for MAJORITY_ROUND_ROBIN
    """
    cdef int64_t nodes = load.shape[0] - 1
    cdef int64_t nid, best = 0
    if rule == FIRST_PAGE:
        return load[nodes]
    for nid in range(nodes):
        if load[nid] > load[best]:
            best = nid
    if rule == MAJORITY_ROUND_ROBIN and best <= last:
        for nid in range(last + 1, nodes):
            if load[nid] == load[best]:
                return nid
    return best


cdef bint plain_block(const int64_t* ptes, const int64_t* frame) noexcept nogil:
    """Tell whether a table maps one whole pageblock, in order, of pages of its own.

    Their words say that one PTE maps them, and no cache and no huge page has them.
    """
    cdef int64_t first = ptes[0] & (PTE_PAYLOAD | PTE_PRESENT)
    cdef int64_t differ = first & (HPAGE_PMD_NR - 1)
    cdef const int64_t* words = frame + (first & PTE_PAYLOAD)
    cdef Py_ssize_t i
    if not first & PTE_PRESENT or differ:
        return False
    for i in range(HPAGE_PMD_NR):
        differ |= (ptes[i] & (PTE_PAYLOAD | PTE_PRESENT)) ^ (first + i)
        differ |= (words[i] & ~FREE_TO_DIFFER) ^ (FRAME_MAPCOUNT_ONE | FRAME_IN_USE)
    return differ == 0


def collapse_ptes(
    int64_t[::1] pte, int64_t[::1] frame, int64_t block, int64_t[::1] taken
):
    """Empty the page table of a block that is collapsed (pmdp_collapse_flush).

    pte, frame  int64[n]  page tables and frame words, changed in place
    block  index of the block's entry in ``pmd``
    taken  int64[512]  what the PTEs were

    Almost every table maps a pageblock of plain pages: then their words are emptied at
    once, and (pageblock, pages that were active) is returned; else (-1, 0).
    """
    cdef int64_t* ptes = &pte[block * HPAGE_PMD_NR]
    cdef int64_t pfn, whole = -1, active = 0
    cdef Py_ssize_t i
    with nogil:
        if plain_block(ptes, &frame[0]):
            pfn = ptes[0] & PTE_PAYLOAD
            whole = pfn >> HPAGE_PMD_ORDER
            for i in range(HPAGE_PMD_NR):
                active += frame[pfn + i] & FRAME_ACTIVE != 0
                frame[pfn + i] = 0
        for i in range(HPAGE_PMD_NR):
            taken[i] = ptes[i]
            ptes[i] = 0
    return whole, active

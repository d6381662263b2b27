"""Page tables of 2 MiB blocks at a time (mm/huge_memory.c).

Responsible for the words of whole blocks: PTEs, frames, the PMD entry and the folio.
Agnostic of policy, counters and lists, which are the caller's.  ``split_pmd_api`` is
called from Numba kernels by its address, with the arrays' addresses; a ``def`` of the
same arguments serves Python.  Arrays are those of ``kernels/state.py``.
"""

from libc.stdint cimport int16_t, int64_t

from words cimport (
    FRAME_ACTIVE,
    FRAME_COMPOUND,
    FRAME_DIRTY,
    FRAME_IN_USE,
    FRAME_MAPCOUNT,
    FRAME_MAPCOUNT_ONE,
    FRAME_VPN,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    PMD_EXCLUSIVE,
    PMD_NID,
    PMD_TABLE,
    PTE_DIRTY,
    PTE_EXCLUSIVE,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
)

cdef bint none_in_block(const int64_t* pte) noexcept nogil:
    """Tell whether all PTEs of a block are none."""
    cdef int64_t any_bits = 0
    cdef Py_ssize_t i
    for i in range(HPAGE_PMD_NR):
        any_bits |= pte[i]
    return any_bits == 0


cdef void fill_block(int64_t* words, int64_t first, int64_t step) noexcept nogil:
    """Write 512 words that grow by ``step``."""
    cdef Py_ssize_t i
    for i in range(HPAGE_PMD_NR):
        words[i] = first + i * step


def populate_blocks(
    int64_t[::1] pmd,
    int64_t[::1] pte,
    int64_t[::1] frame,
    int64_t at,
    int64_t pfn,
    int64_t pmd_word,
    int64_t pte_word,
    int64_t frame_word,
    int64_t blocks,
):
    """Map whole blocks by PTEs, up to the first that maps something; return how many.

    pmd, pte, frame  int64[n]  page tables and frame words, changed in place
    at          index of the first block's first PTE
    pfn         frame that page gets; the others follow
    pmd_word    entry of a block that had no page table
    pte_word, frame_word  words of the first page; page number and vpn grow by one
    """
    cdef int64_t done = 0
    cdef int64_t block = at >> HPAGE_PMD_ORDER
    cdef int64_t offset
    with nogil:
        while done < blocks:
            offset = done * HPAGE_PMD_NR
            if pmd[block + done] & (PTE_PRESENT | PTE_ZERO):
                break
            if not none_in_block(&pte[at + offset]):
                break
            if pmd[block + done] == 0:
                pmd[block + done] = pmd_word
            fill_block(&pte[at + offset], pte_word + offset, 1)
            fill_block(&frame[pfn + offset], frame_word + offset, 1)
            done += 1
    return done


cdef void map_subpages(
    int64_t* frame, int64_t* block_huge, int16_t* block_mapped, int64_t pfn
) noexcept nogil:
    """Let a PMD entry's mapping of a folio count as 512 mappings of its frames."""
    cdef int64_t block = pfn >> HPAGE_PMD_ORDER
    cdef int64_t word = block_huge[block]
    cdef int64_t* words = frame + pfn
    cdef Py_ssize_t i
    if word & FRAME_COMPOUND:
        for i in range(HPAGE_PMD_NR):
            words[i] += FRAME_MAPCOUNT_ONE
    else:
        fill_block(words, (word & FRAME_VPN) | FRAME_MAPCOUNT_ONE | FRAME_IN_USE | FRAME_COMPOUND, 1)
    block_huge[block] = (word - FRAME_MAPCOUNT_ONE) | FRAME_COMPOUND
    block_mapped[block] = HPAGE_PMD_NR


cdef api void split_pmd_api(
    int64_t* pmd,
    int64_t* pte,
    int64_t* frame,
    int64_t* block_huge,
    int16_t* block_mapped,
    int64_t block,
) noexcept nogil:
    """Replace a huge entry by a page table that maps the same (__split_huge_pmd).

    PTE_PROTNONE is lost.  ``block`` is the index of the entry in ``pmd``.
    """
    cdef int64_t entry = pmd[block]
    cdef int64_t* ptes = pte + block * HPAGE_PMD_NR
    cdef int64_t kept = PTE_PAYLOAD | PTE_PRESENT | PTE_WRITE | PTE_YOUNG | PTE_DIRTY
    cdef int64_t exclusive = PTE_EXCLUSIVE if entry & PMD_EXCLUSIVE else 0
    if entry & PTE_ZERO:
        fill_block(ptes, PTE_ZERO, 0)
    else:
        fill_block(ptes, (entry & kept) | exclusive, 1)
        map_subpages(frame, block_huge, block_mapped, entry & PTE_PAYLOAD)
    pmd[block] = PMD_TABLE | (entry & PMD_NID)


def split_pmd(
    int64_t[::1] pmd,
    int64_t[::1] pte,
    int64_t[::1] frame,
    int64_t[::1] block_huge,
    int16_t[::1] block_mapped,
    int64_t block,
):
    """Do ``split_pmd_api`` from Python."""
    with nogil:
        split_pmd_api(
            &pmd[0], &pte[0], &frame[0], &block_huge[0], &block_mapped[0], block
        )


cdef api int64_t split_folio_api(
    int64_t* frame, int64_t* block_huge, int64_t block
) noexcept nogil:
    """Make 512 pages of a folio that no PMD entry maps (split_huge_page).

    Dirty pages: an anonymous folio is dirty from its first fault on.  Frames that no
    PTE maps get the word 0; return how many.
    """
    cdef int64_t* words = frame + (block << HPAGE_PMD_ORDER)
    cdef int64_t kept = (block_huge[block] & FRAME_ACTIVE) | FRAME_DIRTY
    cdef int64_t unmapped = 0
    cdef Py_ssize_t i
    for i in range(HPAGE_PMD_NR):
        if words[i] & FRAME_MAPCOUNT:
            words[i] = (words[i] & ~FRAME_COMPOUND) | kept
        else:
            words[i] = 0
            unmapped += 1
    block_huge[block] = 0
    return unmapped


def split_folio(int64_t[::1] frame, int64_t[::1] block_huge, int64_t block):
    """Do ``split_folio_api`` from Python."""
    cdef int64_t unmapped
    with nogil:
        unmapped = split_folio_api(&frame[0], &block_huge[0], block)
    return unmapped

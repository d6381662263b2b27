"""Page tables of 2 MiB blocks at a time (mm/huge_memory.c).

Responsible for filling the PTEs and the frame words of whole blocks with consecutive
frames; splits and collapses join it with huge pages.  Agnostic of policy, counters and
lists, which are the caller's.
"""

from libc.stdint cimport int64_t

DEF HPAGE_PMD_NR = 512


cdef bint none_in_block(const int64_t* pte) noexcept nogil:
    """Tell whether all PTEs of a block are none."""
    cdef int64_t any_bits = 0
    cdef Py_ssize_t i
    for i in range(HPAGE_PMD_NR):
        any_bits |= pte[i]
    return any_bits == 0


cdef void fill_block(
    int64_t* pte, int64_t* frame, int64_t pte_word, int64_t frame_word
) noexcept nogil:
    """Map a block's pages to consecutive frames; words are those of the first page."""
    cdef Py_ssize_t i
    for i in range(HPAGE_PMD_NR):
        pte[i] = pte_word + i
        frame[i] = frame_word + i


def populate_blocks(
    int64_t[::1] pte,
    int64_t[::1] frame,
    int64_t at,
    int64_t pfn,
    int64_t pte_word,
    int64_t frame_word,
    int64_t blocks,
):
    """Map whole blocks whose PTEs are none, up to the first that is not; return how many.

    pte, frame  int64[n]  the page table and the frame words, changed in place
    at          index of the first block's first PTE
    pfn         frame that page gets; the others follow
    pte_word, frame_word  words of the first page; page number and vpn grow by one
    """
    cdef int64_t done = 0
    cdef int64_t offset
    with nogil:
        while done < blocks:
            offset = done * HPAGE_PMD_NR
            if not none_in_block(&pte[at + offset]):
                break
            fill_block(
                &pte[at + offset],
                &frame[pfn + offset],
                pte_word + offset,
                frame_word + offset,
            )
            done += 1
    return done

# The words of ``words.py`` that Cython needs, and the enumerations of ``counters.py`` and
# ``knobs.py``.  tests/kernels/test_words.py reads both sides and holds them together.
# Macros, because a variable would be loaded at every use.

from libc.stdint cimport int64_t

cdef extern from *:
    """
    #include <stdint.h>
    #define PTE_PAYLOAD (((int64_t)1 << 40) - 1)
    #define PTE_PRESENT ((int64_t)1 << 40)
    #define PTE_ZERO ((int64_t)1 << 41)
    #define PTE_SWAP ((int64_t)1 << 42)
    #define PTE_KIND ((int64_t)3 << 42)
    #define PTE_WRITE ((int64_t)1 << 44)
    #define PTE_YOUNG ((int64_t)1 << 45)
    #define PTE_DIRTY ((int64_t)1 << 46)
    #define PTE_PROTNONE ((int64_t)1 << 47)
    #define PTE_EXCLUSIVE ((int64_t)1 << 48)
    #define PMD_TABLE ((int64_t)1 << 48)
    #define PMD_NID ((int64_t)0x3F << 49)
    #define PMD_EXCLUSIVE ((int64_t)1 << 56)
    #define FRAME_VPN (((int64_t)1 << 36) - 1)
    #define FRAME_MAPCOUNT_ONE ((int64_t)1 << 36)
    #define FRAME_MAPCOUNT ((int64_t)0xFFF << 36)
    #define FRAME_IN_USE ((int64_t)1 << 48)
    #define FRAME_ACTIVE ((int64_t)1 << 49)
    #define FRAME_REFERENCED ((int64_t)1 << 50)
    #define FRAME_DIRTY ((int64_t)1 << 51)
    #define FRAME_COMPOUND ((int64_t)1 << 55)
    #define FRAME_FROM ((int64_t)0x3F << 57)
    """
    const int64_t PTE_PAYLOAD
    const int64_t PTE_PRESENT
    const int64_t PTE_ZERO
    const int64_t PTE_SWAP
    const int64_t PTE_KIND
    const int64_t PTE_WRITE
    const int64_t PTE_YOUNG
    const int64_t PTE_DIRTY
    const int64_t PTE_PROTNONE
    const int64_t PTE_EXCLUSIVE
    const int64_t PMD_TABLE
    const int64_t PMD_NID
    const int64_t PMD_EXCLUSIVE
    const int64_t FRAME_VPN
    const int64_t FRAME_MAPCOUNT_ONE
    const int64_t FRAME_MAPCOUNT
    const int64_t FRAME_IN_USE
    const int64_t FRAME_ACTIVE
    const int64_t FRAME_REFERENCED
    const int64_t FRAME_DIRTY
    const int64_t FRAME_COMPOUND
    const int64_t FRAME_FROM

cdef enum:
    HPAGE_PMD_ORDER = 9
    HPAGE_PMD_NR = 512

cdef enum ScanResult:
    SUCCEED = 0
    PMD_NONE = 1
    PMD_MAPPED = 2
    EXCEED_NONE_PTE = 3
    EXCEED_SWAP_PTE = 4
    EXCEED_SHARED_PTE = 5
    PTE_NON_PRESENT = 6
    PAGE_RO = 7
    LACK_REFERENCED_PAGE = 8
    SCAN_ABORT = 9

cdef enum TargetRule:
    FIRST_PAGE = 0
    MAJORITY_ROUND_ROBIN = 1
    MAJORITY_MASK = 2

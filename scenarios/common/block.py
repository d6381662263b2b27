"""Sizes that questions count in."""

from ...kernels.words import HPAGE_PMD_NR, PAGE_SIZE

#: Bytes of a huge page, which one PMD entry maps.
BLOCK = HPAGE_PMD_NR * PAGE_SIZE

"""Number the recorded addresses and threads without gaps.

A recorded address space is sparse.  Its blocks of 2 MiB get the numbers 0, 1, .. in the
order of their first appearance, so that a process of the replay maps one region that
grows at its end.
"""

import numpy as np

#: Pages of a block, as a power of two.
BLOCK_SHIFT = 9


class AddressMap:
    """Numbers of the 2 MiB blocks of each process, in the order of their appearance."""

    def __init__(self) -> None:
        self._dense: dict[int, dict[int, int]] = {}

    def translate(self, process: int, vpn: np.ndarray) -> np.ndarray:
        """Return the dense numbers of recorded pages; new blocks get the next numbers.

        vpn      int64[n], recorded pages of 4 KiB
        returns  int64[n], number of the block * 512 + page in the block
        """
        dense = self._dense.setdefault(process, {})
        blocks, first, inverse = np.unique(
            vpn >> BLOCK_SHIFT, return_index=True, return_inverse=True
        )
        number = np.empty(blocks.size, np.int64)
        for i in np.argsort(first):
            number[i] = dense.setdefault(int(blocks[i]), len(dense))
        within = vpn & ((1 << BLOCK_SHIFT) - 1)
        return (number[inverse.ravel()] << BLOCK_SHIFT) | within

    def blocks(self, process: int) -> int:
        """Return how many blocks a process has touched so far."""
        return len(self._dense.get(process, ()))


class ThreadMap:
    """Numbers of the threads of a trace, in the order of their appearance."""

    def __init__(self) -> None:
        self._dense: dict[tuple[int, int], int] = {}

    def number(self, process: int, thread: int) -> int:
        """Return the number of a thread; a new thread gets the next one."""
        return self._dense.setdefault((process, thread), len(self._dense))

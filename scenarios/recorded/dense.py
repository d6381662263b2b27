"""Recorded addresses and threads, as pages and tasks without gaps."""

import numpy as np

BLOCK_SHIFT = 9


class AddressMap:
    """Dense 2 MiB blocks for each process, in order of their first appearance."""

    def __init__(self) -> None:
        self._dense: dict[int, dict[int, int]] = {}

    def translate(self, process: int, vpn: np.ndarray) -> np.ndarray:
        """Return dense page numbers int64[n]: block * 512 + page in the block."""
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
        """Return how many blocks a process has touched."""
        return len(self._dense.get(process, ()))

    def ranges(self, process: int) -> list[tuple[int, int]]:
        """Return the recorded pages as merged [first, end) runs of adjacent blocks."""
        runs: list[tuple[int, int]] = []
        for block in sorted(self._dense.get(process, ())):
            first, end = block << BLOCK_SHIFT, block + 1 << BLOCK_SHIFT
            if runs and runs[-1][1] == first:
                first = runs.pop()[0]
            runs.append((first, end))
        return runs


class ThreadMap:
    """Dense numbers for the threads of a trace, in order of their appearance."""

    def __init__(self) -> None:
        self._dense: dict[tuple[int, int], int] = {}

    def number(self, process: int, thread: int) -> int:
        """Return the number of a thread of a process."""
        return self._dense.setdefault((process, thread), len(self._dense))

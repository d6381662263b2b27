"""Number the recorded addresses and threads without gaps.

A recorded address space is sparse.  Its blocks of 2 MiB get the numbers 0, 1, .. in the
order of their first appearance, so that a process of the replay maps one region that
grows at its end.
"""

from typing import NamedTuple

import numpy as np

#: Pages of a block, as a power of two.
BLOCK_SHIFT = 9


class Distinct(NamedTuple):
    """The distinct values of an array, in the order of their first appearance.

    first  int64[values], where each appears first
    which  int64[n], the index in ``values`` of each item
    """

    values: np.ndarray
    first: np.ndarray
    which: np.ndarray


def distinct(items: np.ndarray) -> Distinct:
    """Return the distinct values of int64[n]; quick if equal items come in rows."""
    changes = items[1:] != items[:-1]
    rows = np.flatnonzero(np.concatenate([np.ones(min(1, items.size), bool), changes]))
    values, first, index = np.unique(
        items[rows], return_index=True, return_inverse=True
    )
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    index = np.repeat(rank[index.ravel()], np.diff(rows, append=items.size))
    return Distinct(values[order], rows[first[order]], index)


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
        blocks = distinct(vpn >> BLOCK_SHIFT)
        numbers = [dense.setdefault(one, len(dense)) for one in blocks.values.tolist()]
        within = vpn & ((1 << BLOCK_SHIFT) - 1)
        return (np.array(numbers, np.int64)[blocks.which] << BLOCK_SHIFT) | within

    def blocks(self, process: int) -> int:
        """Return how many blocks a process has touched so far."""
        return len(self._dense.get(process, ()))

    def recorded(self, process: int) -> np.ndarray:
        """Return int64[blocks]: the recorded block of each number."""
        return np.array(list(self._dense.get(process, ())), np.int64)


class ThreadMap:
    """Numbers of the threads of a trace, in the order of their appearance."""

    def __init__(self) -> None:
        self._dense: dict[tuple[int, int], int] = {}

    def number(self, process: int, thread: int) -> int:
        """Return the number of a thread; a new thread gets the next one."""
        return self._dense.setdefault((process, thread), len(self._dense))

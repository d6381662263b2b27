"""Where the blocks of a process are, and how they are mapped: one look at its tables.

Decides what a snapshot shows; knows neither when it is taken nor the file.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum

import numpy as np

from ...kernels import state as st
from ...kernels.words import (
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PMD_TABLE,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_ZERO,
)
from .process import Process, Vma

# Blocks looked at together: their page tables take 8 MiB.
_PIECE = 1 << 11


class BlockKind(IntEnum):
    """What 2 MiB of an address space are."""

    NONE = 0
    HUGE = 1
    HUGE_ZERO = 2
    #: A page table with an entry that is not none.
    SMALL = 3


def take(memory: st.Memory, process: Process) -> tuple[np.ndarray, np.ndarray]:
    """Return (node, kind), int8[blocks], of every block that a VMA of ``process`` has.

    Blocks of 2 MiB in address order, those of all VMAs one after the other, each once.
    kind is a ``BlockKind``.  node is that of the huge page; of small pages it is the
    node of most present ones, the lowest of equals; otherwise it is -1.
    """
    spans = list(_spans(process.vmas))
    count = sum(end - first for first, end in spans)
    node, kind = np.full(count, NONE, np.int8), np.zeros(count, np.int8)
    at, moved = 0, process.delta >> HPAGE_PMD_ORDER
    for first, end in spans:
        for block in range(first, end, _PIECE):
            stop = min(block + _PIECE, end)
            out = slice(at, at + stop - block)
            _look(memory, slice(block + moved, stop + moved), node[out], kind[out])
            at = out.stop
    return node, kind


def huge_by_node(memory: st.Memory, process: Process) -> np.ndarray:
    """Return int64[nodes]: how many huge pages ``process`` maps on each node."""
    moved, shift = (
        process.delta >> HPAGE_PMD_ORDER,
        int(memory.info[st.Info.NODE_SHIFT]),
    )
    counts = np.zeros(len(memory.node), np.int64)
    for first, end in _spans(process.vmas):
        pmd = memory.pmd[first + moved : end + moved]
        nid = (pmd[(pmd & PTE_PRESENT) != 0] & PTE_PAYLOAD) >> shift
        counts += np.bincount(nid, minlength=len(counts))
    return counts


def _spans(vmas: Sequence[Vma]) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of the blocks of VMAs; one cut by two VMAs counts once."""
    seen = 0
    for vma in vmas:
        first = max(seen, vma.start >> HPAGE_PMD_ORDER)
        seen = -(-vma.end >> HPAGE_PMD_ORDER)
        if first < seen:
            yield first, seen


def _look(memory: st.Memory, blocks: slice, node: np.ndarray, kind: np.ndarray) -> None:
    """Fill ``node`` and ``kind`` of a piece, ``blocks`` of the page tables."""
    pmd = memory.pmd[blocks]
    huge = (pmd & PTE_PRESENT) != 0
    kind[huge] = BlockKind.HUGE
    node[huge] = (pmd[huge] & PTE_PAYLOAD) >> memory.info[st.Info.NODE_SHIFT]
    kind[(pmd & PTE_ZERO) != 0] = BlockKind.HUGE_ZERO
    table = (pmd & (PMD_TABLE | PMD_LEAF)) == PMD_TABLE
    if not table.any():
        return
    nr = HPAGE_PMD_NR
    ptes = memory.pte[blocks.start * nr : blocks.stop * nr].reshape(-1, nr)
    node[table], kind[table] = _look_at_tables(
        ptes if table.all() else ptes[table],
        int(memory.info[st.Info.NODE_SHIFT]),
        len(memory.node),
    )


def _look_at_tables(
    ptes: np.ndarray, shift: int, nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (node, kind), int8[tables], of page tables, int64[tables, 512]."""
    every = np.bitwise_and.reduce(ptes, axis=1)
    some = np.bitwise_or.reduce(ptes, axis=1)
    kind = np.where(some != 0, BlockKind.SMALL, BlockKind.NONE).astype(np.int8)
    first = (every & PTE_PAYLOAD) >> shift
    # Almost every block is like that: all present, all on one node.
    alike = first == (some & PTE_PAYLOAD) >> shift
    alike &= (every & PTE_PRESENT) != 0
    node = np.where(alike, first, NONE)
    mixed = ~alike & ((some & PTE_PRESENT) != 0)
    if mixed.any():
        node[mixed] = _majority(ptes[mixed], shift, nodes)
    return node.astype(np.int8), kind


def _majority(ptes: np.ndarray, shift: int, nodes: int) -> np.ndarray:
    """Return int64[tables]: the node of most present pages, the lowest of equals."""
    nid = (ptes & PTE_PAYLOAD) >> shift
    # Pages that are not present count for a node after the last.
    nid[(ptes & PTE_PRESENT) == 0] = nodes
    nid += np.arange(len(ptes))[:, None] * (nodes + 1)
    counts = np.bincount(nid.ravel(), minlength=len(ptes) * (nodes + 1))
    return counts.reshape(len(ptes), nodes + 1)[:, :nodes].argmax(axis=1)

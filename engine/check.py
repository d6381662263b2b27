"""Proof of the invariants: every count is made again from the page tables."""

import numpy as np

from ..kernels import constants as k
from ..kernels import state as st


def check(simulation) -> None:
    """Raise AssertionError where a count, a list or a mapping is wrong.

    Frames are conserved, no frame is mapped at two pages, mapcounts equal PTEs, slots
    and entries equal the PTEs that hold them, lists hold what they count.  Walks all
    memory that was ever used: for tests and for doubts.
    """
    memory = simulation._sync()
    simulation._fold()
    _check_blocks(memory)
    _check_free_counts(memory)
    mapped, slots, entries = _walk_processes(simulation, memory)
    _check_frames(memory, mapped)
    _check_entries(memory, slots, "slot", st.SLOTS, memory.slot_count)
    _check_entries(memory, entries, "entry", st.ENTRIES, memory.entry_count)
    _check_cached(memory)


def _frames(memory: st.Memory) -> np.ndarray:
    """Return the numbers of all frames in blocks that were ever used."""
    used = []
    for nid, row in enumerate(memory.node):
        first = nid << int(memory.info[st.NODE_SHIFT])
        used.append(np.arange(first, int(row[st.VIRGIN]) << k.HPAGE_PMD_ORDER))
    return np.concatenate(used)


def _chain(memory: st.Memory, head: int) -> list[int]:
    blocks = []
    while head != k.NONE:
        blocks.append(head)
        head = int(memory.block_next[head])
    return blocks


def _check_blocks(memory: st.Memory) -> None:
    frames = _frames(memory)
    in_use = (memory.frame[frames] & k.FRAME_IN_USE) != 0
    blocks = np.unique(frames >> k.HPAGE_PMD_ORDER)
    recount = np.bincount(
        np.searchsorted(blocks, frames >> k.HPAGE_PMD_ORDER),
        weights=in_use,
        minlength=len(blocks),
    )
    wrong = blocks[memory.block_used[blocks] != recount]
    assert not wrong.size, f"block_used is wrong in blocks {wrong[:5]}"


def _check_free_counts(memory: st.Memory) -> None:
    for nid, row in enumerate(memory.node):
        partial = _chain(memory, int(row[st.PARTIAL_HEAD]))
        returned = _chain(memory, int(row[st.RETURNED_HEAD]))
        used = memory.block_used
        assert all(0 < used[b] < k.HPAGE_PMD_NR for b in partial), "partial list"
        assert all(used[b] == 0 for b in returned), "returned list"
        free = sum(k.HPAGE_PMD_NR - int(used[b]) for b in partial)
        virgin = int(row[st.END_BLOCK] - row[st.VIRGIN])
        free += (len(returned) + virgin) * k.HPAGE_PMD_NR
        assert free == row[st.FREE], f"node {nid}: {free} free, counted {row[st.FREE]}"


def _walk_processes(simulation, memory: st.Memory):
    """Return ({frame: (page, PTEs)}, {slot: PTEs}, {entry: PTEs})."""
    mapped, slots, entries = {}, {}, {}
    for process in simulation.processes:
        rss = swapents = 0
        for vma in process.vmas:
            ptes = memory.pte[vma.start + process.delta : vma.end + process.delta]
            for at in np.flatnonzero(ptes):
                pte, vpn = int(ptes[at]), vma.start + int(at)
                payload = pte & k.PTE_PAYLOAD
                kinds = (k.PTE_PRESENT, k.PTE_ZERO, k.PTE_SWAP, k.PTE_PARKED)
                assert sum(bool(pte & kind) for kind in kinds) == 1, f"PTE {pte:x}"
                if pte & k.PTE_PRESENT:
                    rss += 1
                    page, count = mapped.get(payload, (vpn, 0))
                    assert page == vpn, f"frame {payload} is at pages {page}, {vpn}"
                    mapped[payload] = (vpn, count + 1)
                elif not pte & k.PTE_ZERO:
                    swapents += 1
                    held = slots if pte & k.PTE_SWAP else entries
                    held[payload] = held.get(payload, 0) + 1
        row = memory.mm[process.id]
        assert row[st.MM_RSS] == rss, f"rss of {process.name}: {row[st.MM_RSS]}, {rss}"
        assert row[st.MM_SWAPENTS] == swapents, f"swapents of {process.name}"
    return mapped, slots, entries


def _check_frames(memory: st.Memory, mapped: dict) -> None:
    frames = _frames(memory)
    words = memory.frame[frames]
    live = (words & k.FRAME_IN_USE) != 0
    assert set(mapped) <= set(frames[live].tolist()), "a mapped frame is not in use"
    cached = k.FRAME_SWAPCACHE | k.FRAME_MIGCACHE
    for pfn, word in zip(frames[live].tolist(), words[live].tolist(), strict=True):
        page, count = mapped.get(pfn, (word & k.FRAME_VPN, 0))
        found = (word & k.FRAME_MAPCOUNT) >> k.FRAME_MAPCOUNT_SHIFT
        assert found == count, f"mapcount of frame {pfn} is {found}, has {count} PTEs"
        assert word & k.FRAME_VPN == page, f"reverse map of frame {pfn}"
        assert count or word & cached, f"frame {pfn} leaked"
    _check_lists(memory, frames[live], words[live])


def _check_lists(memory: st.Memory, frames: np.ndarray, words: np.ndarray) -> None:
    nodes = frames >> int(memory.info[st.NODE_SHIFT])
    listed = (words & k.FRAME_WEDGED) == 0
    active = (words & k.FRAME_ACTIVE) != 0
    for nid, row in enumerate(memory.node):
        here = listed & (nodes == nid)
        assert (here & active).sum() == row[st.ACTIVE], f"active list of node {nid}"
        assert (here & ~active).sum() == row[st.INACTIVE], f"inactive list of {nid}"


def _check_entries(memory: st.Memory, held: dict, what: str, first: int, count) -> None:
    free, at = set(), int(memory.info[first + st.STACK])
    frames = memory.slot_frame if what == "slot" else memory.entry_frame
    while at != k.NONE:
        free.add(at)
        at = int(frames[at])
    given = set(range(int(memory.info[first + st.VIRGIN_ID]))) - free
    used = int(memory.info[first + st.IN_USE])
    assert len(given) == used, f"{what}s in use: {used}, found {len(given)}"
    assert set(held) <= given, f"a free {what} is held by a PTE"
    for one in given:
        found = int(count[one])
        assert found == held.get(one, 0), (
            f"{what} {one}: count {found}, {held.get(one)}"
        )


def _check_cached(memory: st.Memory) -> None:
    frames = _frames(memory)
    for pfn in frames.tolist():
        word = int(memory.frame[pfn])
        if not word & k.FRAME_IN_USE:
            continue
        entry = int(memory.frame_entry[pfn])
        if word & k.FRAME_SWAPCACHE:
            assert memory.slot_frame[entry] == pfn, f"slot {entry} and frame {pfn}"
        if word & k.FRAME_MIGCACHE:
            assert memory.entry_frame[entry] == pfn, f"entry {entry} and frame {pfn}"
            dead = memory.entry_count[entry] == 0
            assert dead == bool(word & k.FRAME_WEDGED), (
                f"entry {entry} outlived its PTEs"
            )

"""Proof of the invariants: every count is made again from the page tables."""

import numpy as np

from ...kernels import state as st
from ...kernels.words import (
    FOLIO_COMPOUND,
    FOLIO_DEFERRED,
    FRAME_ACTIVE,
    FRAME_COMPOUND,
    FRAME_IN_USE,
    FRAME_KIND,
    FRAME_MAPCOUNT,
    FRAME_MAPCOUNT_SHIFT,
    FRAME_SHMEM,
    FRAME_VPN,
    FRAME_WEDGED,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PMD_TABLE,
    PTE_KIND,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_ZERO,
    Kind,
)
from .parked_arrays import (
    cached_by,
    frames_of,
    holders_of,
    ids_of,
    kind_of,
)
from .process import Process, Vma
from .world import World

#: (virtual page, how many entries map it there)
Pages = tuple[int, int]


def check(world: World) -> None:
    """Prove the invariants of ``docs/model``, or raise AssertionError.

    Frames are conserved, no frame is mapped at two pages, mapcounts equal PTEs and PMD
    entries, slots and entries equal the PTEs that hold them, lists hold what they
    count, free pages remember no faults, groups' statistics are the sums of their
    tasks'.  Walks all memory that was ever used: for tests and for doubts.
    """
    world.fold()
    memory = world.memory
    _check_blocks(memory)
    _check_free_counts(memory)
    mapped, parked, huge = _walk_processes(world, memory)
    _walk_page_caches(world, memory, mapped, parked[Kind.SWAP])
    _check_frames(memory, mapped)
    _check_folios(memory, huge, mapped)
    _check_lists(memory)
    for kind, held in parked.items():
        _check_identities(memory, kind, held)
    _check_cached(memory, parked)
    _check_cpupids(memory)
    _check_numa(memory)


def _frames(memory: st.Memory) -> np.ndarray:
    """Return the numbers of all frames in blocks that were ever used."""
    used = []
    for nid, row in enumerate(memory.node):
        first = nid << int(memory.info[st.Info.NODE_SHIFT])
        used.append(np.arange(first, int(row[st.Node.VIRGIN]) << HPAGE_PMD_ORDER))
    return np.concatenate(used)


def _small(memory: st.Memory) -> np.ndarray:
    """Return the numbers of all frames ever used, except those of huge pages."""
    frames = _frames(memory)
    return frames[memory.block_list[frames >> HPAGE_PMD_ORDER] != st.BlockList.HUGE]


def _folios(memory: st.Memory) -> list[int]:
    """Return the pageblocks that huge pages fill."""
    blocks = np.unique(_frames(memory) >> HPAGE_PMD_ORDER)
    return blocks[memory.block_list[blocks] == st.BlockList.HUGE].tolist()


def _chain(memory: st.Memory, head: int) -> list[int]:
    blocks = []
    while head != NONE:
        blocks.append(head)
        head = int(memory.block_next[head])
    return blocks


def _check_blocks(memory: st.Memory) -> None:
    frames = _small(memory)
    in_use = (memory.frame[frames] & FRAME_IN_USE) != 0
    blocks = np.unique(frames >> HPAGE_PMD_ORDER)
    recount = np.bincount(
        np.searchsorted(blocks, frames >> HPAGE_PMD_ORDER),
        weights=in_use,
        minlength=len(blocks),
    )
    wrong = blocks[memory.block_used[blocks] != recount]
    assert not wrong.size, f"block_used is wrong in blocks {wrong[:5]}"


def _check_free_counts(memory: st.Memory) -> None:
    for nid, row in enumerate(memory.node):
        partial = _chain(memory, int(row[st.Node.PARTIAL_HEAD]))
        returned = _chain(memory, int(row[st.Node.RETURNED_HEAD]))
        used = memory.block_used
        assert all(0 < used[b] < HPAGE_PMD_NR for b in partial), "partial list"
        assert all(used[b] == 0 for b in returned), "returned list"
        free = sum(HPAGE_PMD_NR - int(used[b]) for b in partial)
        virgin = int(row[st.Node.END_BLOCK] - row[st.Node.VIRGIN])
        free += (len(returned) + virgin) * HPAGE_PMD_NR
        whole = len(returned) + virgin
        assert whole == row[st.Node.WHOLE], (
            f"node {nid}: {whole} whole, {row[st.Node.WHOLE]}"
        )
        assert free == row[st.Node.FREE], (
            f"node {nid}: {free} free, counted {row[st.Node.FREE]}"
        )


def _walk_processes(
    world: World, memory: st.Memory
) -> tuple[dict[int, Pages], dict[Kind, dict[int, int]], dict[int, Pages]]:
    """Return what all page tables map, and check each process's counts.

    {frame: (page, PTEs)}, {kind: {identity: PTEs}}, {block: (page, PMD entries)}
    """
    mapped: dict[int, Pages] = {}
    parked: dict[Kind, dict[int, int]] = {kind: {} for kind in Kind}
    huge: dict[int, Pages] = {}
    for process in world.processes:
        rss = swapents = whole = 0
        for vma in process.vmas:
            whole += _walk_pmds(memory, process, vma, huge)
            ptes = memory.pte[vma.start + process.delta : vma.end + process.delta]
            for at in np.flatnonzero(ptes):
                pte, vpn = int(ptes[at]), vma.start + int(at)
                payload = pte & PTE_PAYLOAD
                states = (PTE_PRESENT, PTE_ZERO, PTE_KIND)
                assert sum(bool(pte & bits) for bits in states) == 1, f"PTE {pte:x}"
                pmd = memory.pmd[(vpn + process.delta) >> HPAGE_PMD_ORDER]
                assert pmd & PMD_TABLE, f"page {vpn} has a PTE, no page table"
                if pte & PTE_PRESENT:
                    rss += 1
                    page, count = mapped.get(payload, (vpn, 0))
                    assert page == vpn, f"frame {payload} is at pages {page}, {vpn}"
                    mapped[payload] = (vpn, count + 1)
                elif not pte & PTE_ZERO:
                    swapents += 1
                    held = parked[Kind(kind_of(pte))]
                    held[payload] = held.get(payload, 0) + 1
        row, rss = memory.mm[process.id], rss + whole
        assert row[st.Mm.RSS] == rss, f"rss of {process.name}: {row[st.Mm.RSS]}, {rss}"
        assert row[st.Mm.HUGE] == whole, f"huge pages of {process.name}"
        assert row[st.Mm.SWAPENTS] == swapents, f"swapents of {process.name}"
    return mapped, parked, huge


def _walk_page_caches(
    world: World,
    memory: st.Memory,
    mapped: dict[int, Pages],
    slots: dict[int, int],
) -> None:
    """Add what the objects of shared mappings hold to ``mapped`` and ``slots``."""
    shared = set()
    for one in world.objects:
        cache = world.caches[one.family]
        held = memory.pte[one.first + cache : one.first + one.pages + cache]
        for at in np.flatnonzero(held):
            entry, vpn = int(held[at]), one.first + int(at)
            payload = entry & PTE_PAYLOAD
            if kind_of(entry) == Kind.SWAP:
                slots[payload] = slots.get(payload, 0) + 1
                continue
            assert entry == payload | PTE_PRESENT, f"page cache holds {entry:x}"
            page, count = mapped.get(payload, (vpn, 0))
            assert page == vpn, f"frame {payload} is at pages {page}, {vpn}"
            mapped[payload] = (vpn, count)
            shared.add(payload)
    frames = _small(memory)
    flagged = frames[(memory.frame[frames] & FRAME_SHMEM) != 0]
    flagged = flagged[(memory.frame[flagged] & FRAME_IN_USE) != 0]
    assert set(flagged.tolist()) == shared, "shared pages that no object holds"


def _walk_pmds(
    memory: st.Memory, process: Process, vma: Vma, huge: dict[int, Pages]
) -> int:
    """Add a VMA's huge entries to ``huge``; return the pages they map."""
    pages, nr = 0, HPAGE_PMD_NR
    for block in range(
        (vma.start + process.delta) // nr, -(-(vma.end + process.delta) // nr)
    ):
        pmd = int(memory.pmd[block])
        if not pmd & PMD_LEAF:
            continue
        vpn = block * nr - process.delta
        assert vma.start <= vpn and vpn + nr <= vma.end, f"huge entry at page {vpn}"
        assert not memory.pte[block * nr : (block + 1) * nr].any(), f"table at {vpn}"
        if pmd & PTE_PRESENT:
            pages += nr
            b = (pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER
            page, count = huge.get(b, (vpn, 0))
            assert page == vpn, f"huge page {b} is at pages {page} and {vpn}"
            huge[b] = (vpn, count + 1)
    return pages


def _mapcount(word: int) -> int:
    return (word & FRAME_MAPCOUNT) >> FRAME_MAPCOUNT_SHIFT


def _check_frames(memory: st.Memory, mapped: dict[int, Pages]) -> None:
    frames = _small(memory)
    words = memory.frame[frames]
    live = (words & FRAME_IN_USE) != 0
    cached = FRAME_KIND | FRAME_SHMEM
    small = {}
    for pfn, word in zip(frames[live].tolist(), words[live].tolist(), strict=True):
        page, count = small[pfn] = mapped.get(pfn, (word & FRAME_VPN, 0))
        found = _mapcount(word)
        assert found == count, f"mapcount of frame {pfn} is {found}, has {count} PTEs"
        assert word & FRAME_VPN == page, f"reverse map of frame {pfn}"
        assert count or word & cached, f"frame {pfn} leaked"
        assert not word & FRAME_COMPOUND, f"frame {pfn} is of no huge page"
    for pfn in set(mapped) - set(small):
        b = pfn >> HPAGE_PMD_ORDER
        assert memory.block_list[b] == st.BlockList.HUGE, (
            f"frame {pfn} is mapped, not in use"
        )


def _check_folios(
    memory: st.Memory, huge: dict[int, Pages], mapped: dict[int, Pages]
) -> None:
    folios, deferred = _folios(memory), np.zeros(len(memory.node), np.int64)
    assert set(huge) <= set(folios), "a PMD entry maps what is no huge page"
    for b in folios:
        word, first = int(memory.block_huge[b]), b << HPAGE_PMD_ORDER
        page, count = huge.get(b, (word & FRAME_VPN, 0))
        assert word & FRAME_IN_USE and memory.block_used[b] == HPAGE_PMD_NR
        assert word & FRAME_VPN == page, f"reverse map of huge page {b}"
        assert _mapcount(word) == count, f"huge page {b} has {count} PMD entries"
        ptes = [mapped.get(first + i, (0, 0))[1] for i in range(HPAGE_PMD_NR)]
        if word & FOLIO_COMPOUND:
            words = memory.frame[first : first + HPAGE_PMD_NR].tolist()
            assert [_mapcount(one) for one in words] == ptes, f"PTEs of huge page {b}"
            assert memory.block_mapped[b] == sum(one > 0 for one in ptes)
        else:
            assert not any(ptes), f"huge page {b} is mapped by PTEs"
        assert count or any(ptes), f"huge page {b} leaked"
        nid = first >> int(memory.info[st.Info.NODE_SHIFT])
        deferred[nid] += bool(word & FOLIO_DEFERRED)
    assert (deferred == memory.node[:, st.Node.DEFERRED]).all(), "deferred splits"


def _check_lists(memory: st.Memory) -> None:
    """Count the pages on every list again, from the words of frames and folios."""
    frames, folios = _small(memory), np.array(_folios(memory), np.int64)
    words = np.concatenate([memory.frame[frames], memory.block_huge[folios]])
    first = np.concatenate([frames, folios << HPAGE_PMD_ORDER])
    pages = np.repeat([1, HPAGE_PMD_NR], [frames.size, folios.size])
    wedged = (words & FRAME_WEDGED != 0) & (words & FRAME_KIND != 0)
    pages[(words & FRAME_IN_USE == 0) | wedged] = 0
    nodes = first >> int(memory.info[st.Info.NODE_SHIFT])
    active = (words & FRAME_ACTIVE) != 0
    for nid, row in enumerate(memory.node):
        here = nodes == nid
        assert pages[here & active].sum() == row[st.Node.ACTIVE], (
            f"active list of {nid}"
        )
        assert pages[here & ~active].sum() == row[st.Node.INACTIVE], (
            f"inactive of {nid}"
        )


def _check_identities(memory: st.Memory, kind: Kind, held: dict[int, int]) -> None:
    first, what = ids_of(kind), kind.name
    free, at = set(), int(memory.info[first + st.Ids.STACK])
    frames, count = frames_of(memory, kind), holders_of(memory, kind)
    while at != NONE:
        free.add(at)
        at = int(frames[at])
    given = set(range(int(memory.info[first + st.Ids.VIRGIN_ID]))) - free
    used = int(memory.info[first + st.Ids.IN_USE])
    assert len(given) == used, f"{what} in use: {used}, found {len(given)}"
    assert set(held) <= given, f"a free one of {what} is held by a PTE"
    # A design of one's own may count as it likes.
    for one in given if kind != Kind.OWN else ():
        found = int(count[one])
        assert found == held.get(one, 0), (
            f"{what} {one}: count {found}, {held.get(one)}"
        )


def _check_cached(memory: st.Memory, parked: dict[Kind, dict[int, int]]) -> None:
    for pfn in _small(memory).tolist():
        word = int(memory.frame[pfn])
        if not word & FRAME_IN_USE:
            continue
        entry = int(memory.frame_entry[pfn])
        if not cached_by(word):
            continue
        kind = Kind(cached_by(word))
        what = f"{kind.name} {entry}"
        assert frames_of(memory, kind)[entry] == pfn, f"{what} and frame {pfn}"
        if kind != Kind.SWAP:
            dead = entry not in parked[kind]
            assert dead == bool(word & FRAME_WEDGED), f"{what} outlived its PTEs"


def _check_cpupids(memory: st.Memory) -> None:
    frames = _small(memory)
    free = frames[(memory.frame[frames] & FRAME_IN_USE) == 0]
    assert not memory.frame_cpupid[free].any(), "a free frame remembers a fault"
    assert not memory.frame_written[free].any(), "a free frame remembers a write"
    blocks = np.unique(frames >> HPAGE_PMD_ORDER)
    assert not memory.block_cpupid[blocks].any(), "a block of no folio remembers one"


def _check_numa(memory: st.Memory) -> None:
    """Compare the totals of tasks and groups with the numbers that they sum up."""
    totals = memory.numa_faults[:, st.NumaFaults.MEM].sum(axis=(1, 2))
    assert (memory.numa[:, st.Numa.TOTAL] == totals).all(), "a task's total"
    for number, group in enumerate(memory.group):
        members = memory.numa[:, st.Numa.GROUP] == number
        assert group[st.Group.TASKS] == members.sum(), f"tasks of group {number}"
        if members.any():
            faults = memory.numa_faults[members, : st.NumaFaults.MEMBUF].sum(axis=0)
            assert (memory.group_faults[number] == faults).all(), f"group {number}"

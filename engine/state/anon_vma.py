"""VMAs are cut and merged, and what decides it: whose pages they hold (anon_vma).

``docs/model/page.md`` 15.  mm/mmap.c and mm/rmap.c, 6.1; mm/vma.c, 6.12.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Protocol

import numpy as np

from ...kernels.calls.zap import find_anon_pages
from ...kernels.words import NONE
from ..settings.settings import Settings
from .process import Process, Vma, change, overlapping, set_vmas
from .world import World


class Owner(Protocol):
    """What anon_vmas belong to: a World, or whatever has the same of it.

    links  anon_vmas that were made, and VMAs that were put into their trees, so far
    """

    links: int
    settings: Settings
    processes: list[Process]


def _take_number(owner: Owner) -> int:
    owner.links += 1
    return owner.links


def _link(owner: Owner, vma: Vma) -> None:
    """Put a VMA into the trees of its anon_vmas, behind those that begin with it."""
    if vma.anon_vma != NONE:
        vma.linked = _take_number(owner)


# --- the first anonymous page ---------------------------------------------------------


def prepare(world: World, process: Process) -> None:
    """Give an anon_vma to each VMA that has its first page (anon_vma_prepare).

    Faults leave that to whoever asks next, so VMAs get one in the order of addresses;
    whatever takes pages away or changes VMAs asks before.
    """
    bare = [i for i, vma in enumerate(process.vmas) if is_bare(vma)]
    if not bare:
        return
    delta, vmas = process.delta, process.vmas
    firsts = np.array([vmas[i].start + delta for i in bare], np.int64)
    ends = np.array([vmas[i].end + delta for i in bare], np.int64)
    found = np.zeros(len(bare), np.bool_)
    find_anon_pages(world.memory, firsts, ends, found)
    prepare_vmas(world, process, [i for i, has in zip(bare, found, strict=True) if has])


def prepare_neighbours(world: World) -> None:
    """Note what a run has faulted in, if it must be known before the next."""
    for process in world.processes:
        if must_prepare(world, process):
            prepare(world, process)


def must_prepare(owner: Owner, process: Process) -> bool:
    """Tell whether it matters later that a VMA has had its first page by now.

    The next run may fault in a neighbour's, or split a page that holds only zeros.
    """
    if owner.settings.thp.split_to_zero_pages:
        return any(map(is_bare, process.vmas))
    return any(
        is_bare(a) and is_bare(b) and _compatible(a, b)
        for a, b in pairwise(process.vmas)
    )


def is_bare(vma: Vma) -> bool:
    """Tell whether a VMA may get an anon_vma, and has none."""
    return vma.anon_vma == NONE and vma.shmem is None


def prepare_vmas(owner: Owner, process: Process, rows: Sequence[int]) -> None:
    """Give an anon_vma to VMAs, by their places in the list (__anon_vma_prepare)."""
    for i in rows:
        vma = process.vmas[i]
        number = _find_mergeable(process.vmas, i)
        if number == NONE:
            number = _take_number(owner)
        vma.anon_vma, vma.chain = number, ((number, number),)
        _link(owner, vma)
        process.tables.stale = True


def _find_mergeable(vmas: Sequence[Vma], i: int) -> int:
    """Return the anon_vma that VMA ``i`` takes over from a neighbour, or NONE.

    find_mergeable_anon_vma: the next one's, otherwise the last one's, if no fork has
    made it a part of several.
    """
    pairs = []
    if i + 1 < len(vmas):
        pairs.append((vmas[i + 1], vmas[i], vmas[i + 1]))
    if i > 0:
        pairs.append((vmas[i - 1], vmas[i - 1], vmas[i]))
    for other, a, b in pairs:
        if _compatible(a, b) and len(other.chain) == 1:
            return other.anon_vma
    return NONE


def _compatible(a: Vma, b: Vma) -> bool:
    """Tell whether mprotect alone could make two VMAs one (anon_vma_compatible)."""
    return a.end == b.start and a == replace(
        b, start=a.start, end=a.end, read=a.read, write=a.write
    )


# --- fork -----------------------------------------------------------------------------


def fork_vmas(owner: Owner, process: Process) -> list[Vma]:
    """Return the VMAs of a child (dup_mmap, anon_vma_fork)."""
    everybody = [
        vma
        for one in owner.processes
        if one.family == process.family
        for vma in one.vmas
    ]
    active = Counter(vma.anon_vma for vma in everybody)
    children = Counter(parent for _, parent in {a for v in everybody for a in v.chain})
    copies = []
    for vma in process.vmas:
        copy = vma.copy(vma.start, vma.end)
        if vma.anon_vma != NONE:
            copy.anon_vma = _reusable(vma, active, children)
            if copy.anon_vma == NONE:
                copy.anon_vma = _take_number(owner)
                copy.chain += ((copy.anon_vma, vma.anon_vma),)
                children[vma.anon_vma] += 1
            active[copy.anon_vma] += 1
            _link(owner, copy)
        copies.append(copy)
    return copies


def _reusable(vma: Vma, active: Counter, children: Counter) -> int:
    """Return the anon_vma of the dead that a child of a VMA takes over, or NONE.

    anon_vma_clone: one that is no VMA's own and has one child at most.  The first of
    a family is its own child, too.
    """
    for number, _ in vma.chain:
        if children[number] < 2 and not active[number]:
            return number
    return NONE


# --- cut and merge --------------------------------------------------------------------


def differing(
    process: Process, first: int, end: int, values: dict[str, object]
) -> Iterator[tuple[int, int]]:
    """Yield the parts [start, end) of a range whose VMAs have other ``values``.

    VMAs may be changed between two parts.
    """
    at = first
    while at < end:
        vma = next((one for one in process.vmas if one.end > at), None)
        if vma is None:
            return
        start, stop = max(at, vma.start), min(vma.end, end)
        if start < stop and any(getattr(vma, n) != v for n, v in values.items()):
            yield start, stop
        at = max(at, stop)


def modify(
    owner: Owner, process: Process, start: int, end: int, values: dict[str, object]
) -> None:
    """Give other attributes to [start, end), which lies in one VMA (vma_modify).

    It merges with its neighbours if it can, otherwise it is cut out.
    """
    vmas = process.vmas
    i = next(i for i, vma in enumerate(vmas) if vma.end > start)
    vma, dups = vmas[i], owner.settings.merge_into_unfaulted
    wanted = replace(vma, start=start, end=end, **values)  # type: ignore[arg-type]
    before = vmas[i - 1] if i and start == vma.start else None
    after = vmas[i + 1] if i + 1 < len(vmas) and end == vma.end else None
    if before and not (before.end == start and _can_merge(wanted, before, dups)):
        before = None
    if after and not (after.start == end and _can_merge(wanted, after, dups)):
        after = None
    if before and after and not _same(before, after):
        after = None
    if before or after:
        _merge(owner, vma, before, after, start, end)
        set_vmas(process, [one for one in vmas if one.start < one.end])
        return
    set_vmas(process, [*vmas[:i], *_cut_out(owner, vma, start, end), *vmas[i + 1 :]])
    change(process, [vma], **values)


def _can_merge(vma: Vma, other: Vma, dups: bool) -> bool:
    """Tell whether a VMA that changes may become a part of a neighbour.

    is_mergeable_vma and is_mergeable_anon_vma; what comes from a parent stays apart.

    dups  whether the neighbour may get its first anon_vma so
    """
    if other != replace(vma, start=other.start, end=other.end):
        return False
    if vma.anon_vma == other.anon_vma:
        return True
    if vma.anon_vma == NONE:
        return len(other.chain) == 1
    return dups and other.anon_vma == NONE and len(vma.chain) == 1


def _same(a: Vma, b: Vma) -> bool:
    """Tell whether two VMAs may have one anon_vma (are_anon_vmas_compatible)."""
    return NONE in (a.anon_vma, b.anon_vma) or a.anon_vma == b.anon_vma


def _merge(
    owner: Owner,
    vma: Vma,
    before: Vma | None,
    after: Vma | None,
    start: int,
    end: int,
) -> None:
    """Give [start, end) of a VMA to neighbours; what is gone is left without pages."""
    if before:
        _take_over(before, after if after and after.chain else vma)
        before.end, vma.start = end, end
        if after:
            before.end = after.start = after.end
        grown = [before, vma]
    elif after:
        _take_over(after, vma)
        after.start = vma.end = start
        grown = [vma, after]
    for one in grown:
        if one.start < one.end:
            _link(owner, one)


def _take_over(vma: Vma, other: Vma) -> None:
    """Let a VMA without an anon_vma have those of another (dup_anon_vma)."""
    if vma.anon_vma == NONE:
        vma.anon_vma, vma.chain = other.anon_vma, other.chain


def _cut_out(owner: Owner, vma: Vma, start: int, end: int) -> list[Vma]:
    """Cut a VMA to [start, end); return it, with what it was before and behind."""
    parts = [vma]
    if start > vma.start:
        parts.insert(0, split_vma(owner, vma, start, new_below=True))
    if end < vma.end:
        parts.append(split_vma(owner, vma, end, new_below=False))
    return parts


def split_vma(owner: Owner, vma: Vma, at: int, new_below: bool) -> Vma:
    """Cut a VMA in two and return the new one (__split_vma), the lower or the upper."""
    if new_below:
        new, vma.start = vma.copy(vma.start, at), at
    else:
        new, vma.end = vma.copy(at, vma.end), at
    _link(owner, new)
    _link(owner, vma)
    return new


def detach(owner: Owner, process: Process, first: int, pages: int) -> list[Vma]:
    """Cut a range out of the VMAs of a process, and return those that lay in it.

    Of a VMA that is cut, the lower part stays what it was (do_vmi_align_munmap).
    Raises BadInput if a page of the range is not mapped.
    """
    overlapping(process, first, pages)
    end, kept, gone = first + pages, list[Vma](), list[Vma]()
    for vma in process.vmas:
        parts = [vma]
        if vma.start < first < vma.end:
            parts.append(split_vma(owner, vma, first, new_below=False))
        if parts[-1].start < end < parts[-1].end:
            parts.insert(-1, split_vma(owner, parts[-1], end, new_below=True))
        for part in parts:
            inside = first <= part.start and part.end <= end
            (gone if inside else kept).append(part)
    set_vmas(process, kept)
    return gone

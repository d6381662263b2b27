"""What one page is, for a person who asks."""

from typing import NamedTuple

from ...kernels import state as st
from ...kernels.words import (
    FOLIO_COMPOUND,
    FRAME_MAPCOUNT,
    FRAME_MAPCOUNT_SHIFT,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PTE_DIRTY,
    PTE_KIND,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
    Kind,
)
from .parked_arrays import (
    cached_by,
    frame_of_parked,
    holders_of,
    kind_of,
)
from .process import Process
from .world import World

#: What ``Page.cache`` says, by Kind; 0: no cache.
_CACHES = ("", "swap", "mig", "own")


class Page(NamedTuple):
    """What one virtual page is: see ``Simulation.page``."""

    kind: str
    node: int = -1
    frame: int = -1
    write: bool = False
    young: bool = False
    dirty: bool = False
    protnone: bool = False
    mapcount: int = 0
    entry: int = -1
    count: int = 0  # type: ignore[assignment]  # a tuple has a method of that name
    cache: str = ""
    #: Part of a huge page; mapped by a PMD entry.
    huge: bool = False
    pmd: bool = False


def page(world: World, process: Process, vpn: int) -> Page:
    """Return what virtual page ``vpn`` of a process is."""
    memory = world.memory
    pmd = int(memory.pmd[(vpn + process.delta) >> HPAGE_PMD_ORDER])
    huge = bool(pmd & PMD_LEAF)
    pte = pmd if huge else int(memory.pte[vpn + process.delta])
    payload = pte & PTE_PAYLOAD
    if pte & PTE_PRESENT:
        pfn = payload + (vpn % HPAGE_PMD_NR if huge else 0)
        return _mapped(_framed("present", memory, pfn), pte, huge)
    if pte & PTE_ZERO:
        return _mapped(Page("zero"), pte, huge)
    if pte & PTE_KIND:
        return _parked(memory, pte)
    return Page("none")


def _mapped(found: Page, pte: int, huge: bool) -> Page:
    """Return a page with the bits of the entry that maps it."""
    return found._replace(
        write=bool(pte & PTE_WRITE),
        young=bool(pte & PTE_YOUNG),
        dirty=bool(pte & PTE_DIRTY),
        protnone=bool(pte & PTE_PROTNONE),
        pmd=huge,
    )


def _parked(memory: st.Memory, pte: int) -> Page:
    """Return the page behind the identity that a PTE holds."""
    pfn, kind = frame_of_parked(memory, pte), kind_of(pte)
    name = "swap" if kind == Kind.SWAP else "parked"
    if pfn != NONE:
        return _framed(name, memory, pfn)
    entry = pte & PTE_PAYLOAD
    return Page(name, entry=entry, count=int(holders_of(memory, kind)[entry]))


def _framed(kind: str, memory: st.Memory, pfn: int) -> Page:
    """Return a page that has a frame, with what is known of the frame."""
    folio = int(memory.block_huge[pfn >> HPAGE_PMD_ORDER])
    whole = folio and not folio & FOLIO_COMPOUND
    word = 0 if whole else int(memory.frame[pfn])
    found = Page(
        kind,
        node=pfn >> int(memory.info[st.Info.NODE_SHIFT]),
        frame=pfn,
        mapcount=((word & FRAME_MAPCOUNT) + (folio & FRAME_MAPCOUNT))
        >> FRAME_MAPCOUNT_SHIFT,
        huge=folio != 0,
    )
    cache = cached_by(word)
    if not cache:
        return found
    entry = int(memory.frame_entry[pfn])
    count = int(holders_of(memory, cache)[entry])
    return found._replace(entry=entry, count=count, cache=_CACHES[cache])

"""The locks of a kernel: what takes each, how, and for how long.

``docs/model/locks.md`` has the sources.  One row a lock, in the kernel's own words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ...kernels.counters import Op
from ...kernels.quantum.lock_words import PS, READ, WRITE, Scope
from .knob import check_knobs, knob

#: No kernel spins or sleeps longer for one hold: the watchdogs would bark.
_LONGEST = 10_000_000_000
SCOPES = tuple(scope.name.lower() for scope in Scope)


def _scope(default: str, text: str, *others: str) -> str:
    """Return a knob: one lock of each ``default``, or of what else makes sense."""
    allowed = {"none", "global", default, *others}
    return knob(default, text, choices=tuple(s for s in SCOPES if s in allowed))


def _hold(default: int, text: str) -> int:
    return knob(default, text, unit="ns", min=1, max=_LONGEST)


def _batch(default: int, text: str) -> int:
    return knob(default, text, unit="page", min=1, max=512)


@dataclass(frozen=True)
class Locks:
    """What there is one of each lock of, and how long one acquisition holds it.

    ``NAME_hold_ns`` is that of the commonest use; all others of the lock scale with it.
    Raises BadInput if a value is not allowed.
    """

    enabled: bool = knob(True, "tasks wait for locks that others hold")
    mmap_lock_scope: str = _scope("mm", "one a process")
    mmap_lock_hold_ns: int = _hold(1013, "a fault, as long as minor_fault_ns")
    mmap_lock_vma: bool = knob(
        False,
        "faults on anonymous memory read a lock of their VMA instead (6.4,"
        " 0bff0aaea03e)",
    )
    mmap_lock_downgrade: bool = knob(
        True, "munmap only reads it while it zaps (4.20, dd2283f2605e)"
    )
    mmap_count_scope: str = _scope("mm", "one a process: the word of mmap_lock")
    mmap_count_hold_ns: int = _hold(
        50, "assumption: a cache line goes from one core to another"
    )
    anon_vma_scope: str = _scope(
        "anon_vma", "one a process and its forked relatives", "mm"
    )
    anon_vma_hold_ns: int = _hold(300, "assumption: an rmap walk that finds one entry")
    anon_vma_alone: bool = knob(
        False, "rmap walks hold it alone (before 3.8, 4fc3f1d66b1e)"
    )
    folio_lock_scope: str = _scope("folio", "one a page or a huge page", "mm")
    folio_lock_hold_ns: int = _hold(2000, "a migration without its copy, twice over")
    pte_lock_scope: str = _scope("page_table", "one a page table", "mm")
    pte_lock_hold_ns: int = _hold(100, "assumption: one entry written, and its counts")
    pmd_lock_scope: str = _scope(
        "page_table", "one a page table (3.13, bf929152e9f6)", "mm"
    )
    pmd_lock_hold_ns: int = _hold(100, "assumption: as pte_lock")
    zone_lock_scope: str = _scope("node", "one a zone")
    zone_lock_hold_ns: int = _hold(
        3000, "assumption: a batch of 63 pages between the zone and a CPU"
    )
    zone_lock_batch: int = _batch(
        63, "pages of a batch (4.19, d8a759b57035; 31 before)"
    )
    lru_lock_scope: str = _scope(
        "node", "one a node (4.8); mm: a memcg for each process (5.11)", "mm"
    )
    lru_lock_hold_ns: int = _hold(750, "assumption: a batch of 15 pages")
    lru_lock_batch: int = _batch(
        15, "pages of a batch, PAGEVEC_SIZE (14 before 4.16, 31 in 6.12)"
    )
    swap_lock_scope: str = _scope("global", "one a swap device", "node")
    swap_lock_hold_ns: int = _hold(3000, "assumption: a batch of 64 slots")
    tlb_flush_scope: str = _scope("mm", "interrupts of one process are served in turn")
    tlb_flush_hold_ns: int = _hold(200, "as tlb_flush_cpu_ns: what a receiver does")
    tlb_flush_interrupts: bool = knob(
        False, "a flush takes tlb_flush_hold_ns from each other task of the process"
    )

    def __post_init__(self) -> None:
        check_knobs(self, "locks.")


class Use(NamedTuple):
    """How an Op takes a lock.

    mode     READ, shared with other readers, or WRITE, alone
    times    acquisitions
    ns       how long it is held, all acquisitions together, with the lock's default
    flushes  TLB flushes that last while it is held
    pages    that come or go in batches: an acquisition, and a hold, for each batch
    """

    mode: int
    times: float
    ns: float
    flushes: float = 0.0
    pages: float = 0.0


@dataclass(frozen=True)
class Row:
    """A lock: whether who waits for it sleeps, and what takes it."""

    name: str
    sleeps: bool
    uses: Mapping[Op, Use]


class Batch(NamedTuple):
    """How long a lock is held for pages in batches, with its default.

    of       pages of a batch by default (zone_batchsize, PAGEVEC_SIZE)
    full     ns that such a batch takes
    nothing  ns of that which a batch of no pages would take
    """

    of: int
    full: float
    nothing: float


#: Assumptions, as the holds: a block of 2 MiB leaves its zone after 300 ns, a page its
#: list of the LRU after 50 ns.
BATCHES = {"zone_lock": Batch(63, 3000, 300), "lru_lock": Batch(15, 750, 50)}
#: Slots of a cache (SWAP_SLOTS_CACHE_SIZE).
_SLOTS = 1 / 64
_WALK = Use(READ, 2, 600)
#: A flush that lasts while whoever flushes holds the lock.
_FLUSHED = Use(READ, 0, 0, 1)
_PAGE, _TWO_PAGES = Use(WRITE, 0, 0, pages=1), Use(WRITE, 0, 0, pages=2)
#: down_read and up_read.
_READ_TWICE = Use(WRITE, 2, 100)

ROWS = (
    # A fault reads it while it is served; a call that changes the map has it alone.
    Row(
        "mmap_lock",
        True,
        {
            Op.FAULT: Use(READ, 1, 1013),
            Op.LAZY_FAULT: Use(READ, 1, 1213),
            Op.SWAP_IN: Use(READ, 1, 1013),
            Op.HUGE_FAULT: Use(READ, 1, 160_000),
            Op.HINT_FAULT: Use(READ, 1, 1900),
            Op.HUGE_HINT_FAULT: Use(READ, 1, 1900),
            # change_protection flushes before it returns.
            Op.SCAN: Use(READ, 1, 0, 1),
            Op.MARK: Use(READ, 0, 100),
            Op.READ_CALL: Use(READ, 1, 0),
            Op.READ_CALL_NS: Use(READ, 0, 1),
            Op.WRITE_CALL: Use(WRITE, 1, 0),
            Op.WRITE_CALL_NS: Use(WRITE, 0, 1),
            # 10 ns a PTE, an assumption (hpage_collapse_scan_pmd).
            Op.SCAN_PMD: Use(READ, 1, 5120),
            Op.UNMAP: Use(READ, 1, 0),
            Op.UNMAP_NS: Use(READ, 0, 1),
        },
    ),
    # Readers do not wait for each other, but each writes the lock's own word.
    Row(
        "mmap_count",
        False,
        {
            Op.FAULT: _READ_TWICE,
            Op.LAZY_FAULT: _READ_TWICE,
            Op.SWAP_IN: _READ_TWICE,
            Op.HUGE_FAULT: _READ_TWICE,
            Op.HINT_FAULT: _READ_TWICE,
            Op.HUGE_HINT_FAULT: _READ_TWICE,
            Op.SCAN: _READ_TWICE,
            Op.READ_CALL: _READ_TWICE,
            Op.SCAN_PMD: _READ_TWICE,
        },
    ),
    # The rmap walks that take a page from its page tables, and put it back.
    Row(
        "anon_vma",
        True,
        {
            Op.MIGRATE: _WALK,
            Op.MIGRATE_HUGE: _WALK,
            Op.WALK_FLUSH: _FLUSHED,
            Op.SWAP_OUT: Use(READ, 1, 300, 1),
            # folio_referenced, and a collapse until its pages are isolated.
            Op.RECLAIM: Use(READ, 1, 300),
            Op.COLLAPSE: Use(WRITE, 1, 25_600, 1),
        },
    ),
    Row(
        "folio_lock",
        True,
        {Op.MIGRATE: Use(WRITE, 1, 2000), Op.MIGRATE_HUGE: Use(WRITE, 1, 650_000)},
    ),
    Row(
        "pte_lock",
        False,
        {
            Op.FAULT: Use(WRITE, 1, 100),
            Op.HINT_FAULT: Use(WRITE, 1, 100),
            Op.LAZY_FAULT: Use(WRITE, 1, 100),
            Op.SWAP_IN: Use(WRITE, 1, 100),
            Op.SWAP_OUT: Use(WRITE, 1, 100),
            Op.MIGRATE: Use(WRITE, 2, 200),
            Op.MARK: Use(WRITE, 1 / 512, 20),
            Op.RECLAIM: Use(WRITE, 1, 100),
            Op.ZAP: Use(WRITE, 1 / 512, 20),
            Op.FORK: Use(WRITE, 1 / 512, 20),
            Op.SCAN_PMD: Use(WRITE, 1, 5120),
            # Once to isolate the pages, and for each when it is copied.
            Op.COLLAPSE: Use(WRITE, 513, 2 * 25_600),
            Op.WALK_FLUSH: _FLUSHED._replace(mode=WRITE),
        },
    ),
    Row(
        "pmd_lock",
        False,
        {
            Op.HUGE_FAULT: Use(WRITE, 1, 100),
            Op.HUGE_HINT_FAULT: Use(WRITE, 1, 100),
            Op.SPLIT: Use(WRITE, 1, 11_000),
            Op.MIGRATE_HUGE: Use(WRITE, 2, 200),
            Op.ZAP_HUGE: Use(WRITE, 1, 100),
            Op.COLLAPSE: Use(WRITE, 2, 200),
        },
    ),
    Row(
        "zone_lock",
        False,
        {
            Op.FAULT: _PAGE,
            Op.SWAP_IN: _PAGE,
            Op.SWAP_OUT: _PAGE,
            Op.ZAP: _PAGE,
            Op.MIGRATE: _TWO_PAGES,
            Op.HUGE_FAULT: Use(WRITE, 1, 300),
            Op.ZAP_HUGE: Use(WRITE, 1, 300),
            Op.MIGRATE_HUGE: Use(WRITE, 2, 600),
            Op.COLLAPSE: Use(WRITE, 1, 300, pages=512),
        },
    ),
    Row(
        "lru_lock",
        False,
        {
            Op.FAULT: _PAGE,
            Op.SWAP_IN: _PAGE,
            Op.RECLAIM: _PAGE,
            Op.HUGE_FAULT: _PAGE,
            Op.ZAP: _PAGE,
            Op.ZAP_HUGE: _PAGE,
            # Isolated one by one, put back in a batch.
            Op.MIGRATE: Use(WRITE, 1, 50, pages=1),
            Op.MIGRATE_HUGE: Use(WRITE, 1, 50, pages=1),
            Op.COLLAPSE: Use(WRITE, 512, 512 * 50),
        },
    ),
    Row(
        "swap_lock",
        False,
        {
            Op.SWAP_OUT: Use(WRITE, _SLOTS, 3000 * _SLOTS),
            Op.SWAP_IN: Use(WRITE, _SLOTS, 3000 * _SLOTS),
        },
    ),
    # Who flushes asks the other CPUs of its process; each answers all in turn.
    Row(
        "tlb_flush",
        False,
        {Op.FLUSH: Use(WRITE, 1, 200), Op.COLLAPSE: Use(WRITE, 1, 200)},
    ),
)

_ANONYMOUS = (Op.FAULT, Op.LAZY_FAULT, Op.SWAP_IN, Op.HUGE_FAULT)


def used(row: Row, locks: Locks) -> dict[Op, Use]:
    """Return how each Op takes a lock of a kernel, holds scaled."""
    default = Locks.__dataclass_fields__[f"{row.name}_hold_ns"].default
    scale = getattr(locks, f"{row.name}_hold_ns") / default
    uses = {op: _in_batches(row.name, use, locks) for op, use in row.uses.items()}
    uses = {op: use._replace(ns=use.ns * scale) for op, use in uses.items()}
    if row.name in ("mmap_lock", "mmap_count") and locks.mmap_lock_vma:
        uses = {op: use for op, use in uses.items() if op not in _ANONYMOUS}
    if row.name == "mmap_lock" and not locks.mmap_lock_downgrade:
        # It is still the lock that the call took to begin with.
        uses.pop(Op.UNMAP)
        uses[Op.UNMAP_NS] = uses[Op.UNMAP_NS]._replace(mode=WRITE)
    if row.name == "anon_vma" and locks.anon_vma_alone:
        return {op: use._replace(mode=WRITE) for op, use in uses.items()}
    return uses


def _in_batches(name: str, use: Use, locks: Locks) -> Use:
    """Return a use with the acquisitions and the holds of its batches in it."""
    if not use.pages:
        return use
    batch, size = BATCHES[name], getattr(locks, f"{name}_batch")
    hold = batch.nothing + (batch.full - batch.nothing) * size / batch.of
    batches = use.pages / size
    return use._replace(times=use.times + batches, ns=use.ns + batches * hold, pages=0)


def sleeps(row: Row, locks: Locks) -> bool:
    """Tell whether who waits for a lock sleeps.

    The mutex of anon_vma (3.7) is spun on while its owner runs
    (CONFIG_MUTEX_SPIN_ON_OWNER, 0d66bf6d3514).
    """
    return row.sleeps and not (row.name == "anon_vma" and locks.anon_vma_alone)


def interrupts_ps(row: Row, locks: Locks) -> int:
    """Return the ps that an acquisition takes from each other task of the process."""
    asks = row.name == "tlb_flush" and locks.tlb_flush_interrupts
    return locks.tlb_flush_hold_ns * PS if asks else 0

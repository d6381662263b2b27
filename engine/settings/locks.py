"""The locks of a kernel: what takes each, how, and for how long.

``docs/model/locks.md`` has the sources.  One row a lock, in the kernel's own words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...kernels.counters import Op
from ...kernels.quantum.lock_wait import PPM, PS, READ, WRITE, Scope
from .knob import check_knobs, knob

SCOPES = tuple(scope.name.lower() for scope in Scope)


def _scope(default: str, text: str) -> str:
    return knob(default, text, choices=SCOPES)


def _hold(default: int, text: str) -> int:
    return knob(default, text, unit="ns", min=1)


@dataclass(frozen=True)
class Locks:
    """What there is one of each lock of, and how long one acquisition holds it.

    ``NAME_hold_ns`` is that of the commonest use; all others of the lock scale with it.
    Raises BadInput if a value is not allowed.
    """

    enabled: bool = knob(False, "tasks wait for locks that others hold")
    mmap_lock_scope: str = _scope("mm", "one a process")
    mmap_lock_hold_ns: int = _hold(1013, "a fault, as long as minor_fault_ns")
    mmap_lock_vma: bool = knob(
        False, "faults on anonymous memory read a lock of their VMA instead (6.4)"
    )
    anon_vma_scope: str = _scope("anon_vma", "one a process and its forked relatives")
    anon_vma_hold_ns: int = _hold(300, "assumption: an rmap walk that finds one entry")
    anon_vma_alone: bool = knob(
        False, "rmap walks hold it alone (before 3.8, 4fc3f1d66b1e)"
    )
    folio_lock_scope: str = _scope("folio", "one a page or a huge page")
    folio_lock_hold_ns: int = _hold(2000, "a migration without its copy, twice over")
    pte_lock_scope: str = _scope("page_table", "one a page table")
    pte_lock_hold_ns: int = _hold(100, "assumption: one entry written, and its counts")
    pmd_lock_scope: str = _scope("page_table", "one a page table (3.13, bf929152e9f6)")
    pmd_lock_hold_ns: int = _hold(100, "assumption: as pte_lock")
    zone_lock_scope: str = _scope("node", "one a zone")
    zone_lock_hold_ns: int = _hold(
        3000, "assumption: a batch of 63 pages between the zone and a CPU"
    )
    lru_lock_scope: str = _scope("node", "one a node (4.8), a memcg's (5.11)")
    lru_lock_hold_ns: int = _hold(750, "assumption: a batch of 15 pages")
    swap_lock_scope: str = _scope("global", "one a swap device")
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
    """

    mode: int
    times: float
    ns: float
    flushes: float = 0.0


@dataclass(frozen=True)
class Row:
    """A lock: whether who waits for it sleeps, and what takes it."""

    name: str
    sleeps: bool
    uses: Mapping[Op, Use]


#: Pages that go between a zone and the list of a CPU at once (zone_batchsize).
_PCP = 1 / 63
#: Pages of a batch of the LRU (PAGEVEC_SIZE), slots of a cache (SWAP_SLOTS_CACHE_SIZE).
_LRU, _SLOTS = 1 / 15, 1 / 64
_WALK = Use(READ, 2, 600)
#: A flush that lasts while whoever flushes holds the lock.
_FLUSHED = Use(READ, 0, 0, 1)

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
        },
    ),
    Row(
        "zone_lock",
        False,
        {
            Op.FAULT: Use(WRITE, _PCP, 3000 * _PCP),
            Op.SWAP_IN: Use(WRITE, _PCP, 3000 * _PCP),
            Op.SWAP_OUT: Use(WRITE, _PCP, 3000 * _PCP),
            Op.MIGRATE: Use(WRITE, 2 * _PCP, 6000 * _PCP),
            Op.HUGE_FAULT: Use(WRITE, 1, 300),
            Op.MIGRATE_HUGE: Use(WRITE, 2, 600),
        },
    ),
    Row(
        "lru_lock",
        False,
        {
            Op.FAULT: Use(WRITE, _LRU, 750 * _LRU),
            Op.SWAP_IN: Use(WRITE, _LRU, 750 * _LRU),
            Op.RECLAIM: Use(WRITE, _LRU, 750 * _LRU),
            Op.HUGE_FAULT: Use(WRITE, _LRU, 750 * _LRU),
            # Isolated one by one, put back in a batch.
            Op.MIGRATE: Use(WRITE, 1 + _LRU, 50 + 750 * _LRU),
            Op.MIGRATE_HUGE: Use(WRITE, 1 + _LRU, 50 + 750 * _LRU),
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
        {Op.FLUSH: Use(WRITE, 1, 200)},
    ),
)

_ANONYMOUS = (Op.FAULT, Op.LAZY_FAULT, Op.SWAP_IN, Op.HUGE_FAULT)


def used(row: Row, locks: Locks) -> dict[Op, Use]:
    """Return how each Op takes a lock of a kernel, holds scaled."""
    default = Locks.__dataclass_fields__[f"{row.name}_hold_ns"].default
    scale = getattr(locks, f"{row.name}_hold_ns") / default
    uses = {op: use._replace(ns=use.ns * scale) for op, use in row.uses.items()}
    if row.name == "mmap_lock" and locks.mmap_lock_vma:
        return {op: use for op, use in uses.items() if op not in _ANONYMOUS}
    if row.name == "anon_vma" and locks.anon_vma_alone:
        return {op: use._replace(mode=WRITE) for op, use in uses.items()}
    return uses


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


def tables(locks: Locks) -> dict[str, np.ndarray]:
    """Return what ``LockWork`` has of a kernel's locks, by field."""
    shape = len(ROWS), 2, len(Op)
    acquire, hold, flush = (np.zeros(shape, np.int64) for _ in range(3))
    for i, row in enumerate(ROWS):
        for op, use in used(row, locks).items():
            acquire[i, use.mode, op] = round(use.times * PPM)
            hold[i, use.mode, op] = round(use.ns * PS)
            flush[i, use.mode, op] = round(use.flushes * PPM)
    scopes = [SCOPES.index(getattr(locks, f"{row.name}_scope")) for row in ROWS]
    return dict(
        acquire=acquire,
        hold=hold,
        flush=flush,
        scope=np.array(scopes, np.int64),
        sleeps=np.array([sleeps(row, locks) for row in ROWS], np.int64),
        interrupts=np.array([interrupts_ps(row, locks) for row in ROWS], np.int64),
    )

"""The events of a perf.data file, and where their samples have their fields.

Source: perf_event_open(2), ``perf_event_attr`` and ``PERF_RECORD_SAMPLE``.
"""

import struct
from typing import NamedTuple

from . import perf_samples as ps  # type: ignore[attr-defined]
from .text import RECORD

_ATTR = struct.Struct("<IIQQQQQ")
#: Where ``perf_event_attr`` has these, in bytes.
_BRANCH_TYPE_AT, _REGS_USER_AT = 72, 80
ATTR_LEAST = _ATTR.size

# PERF_SAMPLE_*.
_IDENTIFIER, _IP, _TID, _TIME, _ADDR = 1 << 16, 1, 2, 4, 8
_ID, _STREAM_ID, _CPU, _PERIOD, _RAW = 1 << 6, 1 << 9, 1 << 7, 1 << 8, 1 << 10
_READ, _CALLCHAIN, _BRANCH_STACK = 1 << 4, 1 << 5, 1 << 11
_REGS_USER, _STACK_USER, _DATA_SRC = 1 << 12, 1 << 13, 1 << 15
#: PERF_SAMPLE_BRANCH_HW_INDEX and _COUNTERS.
_HW_INDEX, _COUNTERS = 1 << 17, 1 << 19
#: Fields of 8 bytes, in the order in which a sample has them; then those of any size.
_FIXED = (_IDENTIFIER, _IP, _TID, _TIME, _ADDR, _ID, _STREAM_ID, _CPU, _PERIOD)
_WEIGHTS = 1 << 14 | 1 << 24
_VARIABLE = _READ | _CALLCHAIN | _RAW | _BRANCH_STACK | _REGS_USER | _STACK_USER

_HARDWARE, _SOFTWARE, TRACEPOINT = 0, 1, 2
#: PERF_COUNT_SW_PAGE_FAULTS, _MIN and _MAJ.
_PAGE_FAULTS = (2, 5, 6)
_EXCEPTIONS = ("exceptions:page_fault_user", "exceptions:page_fault_kernel")
_NAMES = {
    _HARDWARE: "cycles instructions cache-references cache-misses branches"
    " branch-misses bus-cycles stalled-cycles-frontend stalled-cycles-backend"
    " ref-cycles",
    _SOFTWARE: "cpu-clock task-clock page-faults context-switches cpu-migrations"
    " minor-faults major-faults alignment-faults emulation-faults dummy bpf-output"
    " cgroup-switches",
}
HOW = f"record with {RECORD}"
_INT64_MAX = (1 << 63) - 1


class Event(NamedTuple):
    """One event of a file: some of its perf_event_attr, its identifiers, its name.

    branch, registers  PERF_SAMPLE_BRANCH_* bits, and how many registers a sample has
    """

    kind: int
    config: int
    sample_type: int
    read_format: int
    branch: int
    registers: int
    ids: tuple[int, ...]
    name: str


def event_of(attr: bytes, ids: tuple[int, ...]) -> Event:
    """Return the event of a perf_event_attr of at least ``ATTR_LEAST`` bytes."""
    kind, _, config, _, sample_type, read_format, _ = _ATTR.unpack_from(attr)
    branch, registers = (
        int.from_bytes(attr[at : at + 8], "little")
        for at in (_BRANCH_TYPE_AT, _REGS_USER_AT)
    )
    names = _NAMES.get(kind, "").split()
    name = names[config] if config < len(names) else ""
    bits = registers.bit_count()
    return Event(kind, config, sample_type, read_format, branch, bits, ids, name)


def row(event: Event, riscv: bool) -> list[int]:
    """Return an event's row, of ``perf_samples.EVENT`` items."""
    at = _offsets(event.sample_type)
    row = [0] * ps.EVENT
    kind = row[ps.KIND] = _kind(event)
    row[ps.TID_AT], row[ps.TIME_AT] = at.get(_TID, -1), at.get(_TIME, -1)
    row[ps.ADDRESS_AT], row[ps.CPU_AT] = at.get(_ADDR, -1), at.get(_CPU, -1)
    row[ps.ID_AT] = at.get(_IDENTIFIER, at.get(_ID, -1))
    row[ps.RISCV] = riscv
    # An int64 takes all bits that a kernel has; a damaged file may have the sign's.
    row[ps.FIELDS], row[ps.FIELDS_AT] = event.sample_type & _INT64_MAX, 8 + 8 * len(at)
    row[ps.READ_FORMAT], row[ps.REGISTERS] = event.read_format, event.registers
    row[ps.BRANCH_BYTES] = 24 + 8 * bool(event.branch & _COUNTERS)
    row[ps.HW_INDEX_BYTES] = 8 * bool(event.branch & _HW_INDEX)
    # Of a page fault the field says little: it is looked up if it has a fixed place.
    fixed = event.sample_type & _DATA_SRC and not event.sample_type & _VARIABLE
    row[ps.HAS_CODE] = kind in (ps.EXCEPTION, ps.MEMORY) or bool(fixed)
    row[ps.CODE_AT] = -1
    if fixed and kind != ps.EXCEPTION:
        row[ps.CODE_AT] = row[ps.FIELDS_AT] + 8 * bool(event.sample_type & _WEIGHTS)
    row[ps.ENOUGH] = 8 + max(row[ps.TID_AT : ps.CODE_AT + 1])
    return row


def _offsets(sample_type: int) -> dict[int, int]:
    """Return where a sample has its fields of 8 bytes."""
    present = [bit for bit in _FIXED if sample_type & bit]
    return {bit: 8 + 8 * i for i, bit in enumerate(present)}


def _kind(event: Event) -> int:
    """Return what an event's samples are, as far as they have what is needed."""
    has = event.sample_type
    if not has & _TID:
        return ps.OTHER
    if event.name in _EXCEPTIONS and has & _RAW:
        return ps.EXCEPTION
    if event.kind in (_HARDWARE, TRACEPOINT) or not has & _ADDR:
        return ps.OTHER
    if event.kind == _SOFTWARE:
        return ps.FAULT if event.config in _PAGE_FAULTS else ps.OTHER
    return ps.MEMORY if has & _DATA_SRC else ps.OTHER


def lack(event: Event, named: bool) -> str:
    """Return why an event is of no use; ``named``: whether the file could be searched.

    Raises nothing; the text goes on from "got ".
    """
    what = event.name or f"an event of type {event.kind}, config {event.config:#x}"
    if not event.sample_type & _TID:
        return f"{what} without process numbers"
    if event.name in _EXCEPTIONS:
        return f"{what} without its data"
    if event.kind == TRACEPOINT and not event.name:
        if named:
            return f"{what}, a tracepoint that the file does not name"
        return f"{what}, a tracepoint whose name comes last: use a file, no pipe"
    if event.kind in (_HARDWARE, TRACEPOINT):
        return f"{what}, which is no page fault"
    if event.kind == _SOFTWARE and event.config not in _PAGE_FAULTS:
        return f"{what}, which is no page fault"
    if not event.sample_type & _ADDR:
        return f"{what} without addresses"
    return f"{what} without what says loads from stores (perf mem record)"

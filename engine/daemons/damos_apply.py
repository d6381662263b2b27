"""DAMON's schemes at work: which regions, in which order, and what is done with them.

``docs/model/damon.md`` 5 to 7; kdamond_apply_schemes (mm/damon/core.c, 6.12 to 6.16)
and the actions of vaddr.c and paddr.c.
"""

from typing import TYPE_CHECKING

import numpy as np

from ...kernels.calls.madvise import PageAdvice, madvise_range
from ...kernels.damon.damon_pages import (
    Young,
    frames_elsewhere,
    mapped_elsewhere,
    reclaim_frames,
)
from ...kernels.damon.damon_regions import DamonRegion
from ...kernels.knobs import Advice
from ...kernels.state import Info
from ...kernels.words import PAGE_SHIFT
from ..calls.cut import change_range
from ..state.anon_vma import prepare
from ..state.process import Process, Region
from ..state.ranges import pieces
from ..state.world import flush_tlbs, lru_add_drain
from .damos import Scheme
from .damos_quota import SchemeState, adjust_quota, is_full, matches, scores

if TYPE_CHECKING:
    from ..simulation import Simulation
    from .damon import Damon

_TARGET, _START, _END = DamonRegion.TARGET, DamonRegion.START, DamonRegion.END
#: A region while schemes look at it: its columns; bits of the schemes that may act on
#: it; of those that go on before it; whether it has changed, so that they are asked.
Row = list[int]
_ALLOWED, _REACHED, _CHANGED = range(len(DamonRegion), len(DamonRegion) + 3)


def apply_schemes(simulation: "Simulation", damon: "Damon") -> None:
    """Let schemes whose time has come act (kdamond_apply_schemes)."""
    ready = [
        number
        for number, state in enumerate(damon.states)
        if damon.passed >= state["next_apply"] and state["activated"]
    ]
    if not ready:
        return
    for number in ready:
        scheme, state = damon.schemes[number], damon.states[number]
        priority = _priorities(damon, scheme, damon.table)
        adjust_quota(simulation, scheme, state, damon.table, priority)
    open_ = [n for n in ready if not is_full(damon.schemes[n], damon.states[n])]
    _walk(simulation, damon, open_)
    for number in ready:
        wait = damon.schemes[number].apply_interval_ns or damon.aggregation_ns
        damon.states[number]["next_apply"] = damon.passed + wait // damon.sampling_ns


def _priorities(damon: "Damon", scheme: Scheme, table: np.ndarray) -> np.ndarray:
    return scores(scheme, table, damon.window, damon.aggregation_ns)


def _walk(simulation: "Simulation", damon: "Damon", numbers: list[int]) -> None:
    """Let schemes, by number, act on the regions, region by region."""
    begins = [_begin_behind(damon, damon.states[number]) for number in numbers]
    bits = np.zeros((2, len(damon.table)), np.int64)
    target, start = damon.table[:, _TARGET], damon.table[:, _START]
    for bit, (number, (t, page)) in enumerate(zip(numbers, begins, strict=True)):
        reached = (target > t) | (target == t) & (start >= page)
        wanted = reached & _wants(damon, number, damon.table)
        bits |= np.array([wanted, reached], np.int64) << bit
    if bits[0].any():
        rows = np.column_stack([damon.table, *bits, 0 * start]).tolist()
        _visit(simulation, damon, numbers, rows)
        damon.table = np.array(rows, np.int64)[:, :_ALLOWED].copy()
    for number in numbers:
        if not is_full(damon.schemes[number], damon.states[number]):
            damon.states[number]["charge_target"] = -1


def _begin_behind(damon: "Damon", state: SchemeState) -> tuple[int, int]:
    """Return the (target, page) at which a scheme goes on; cut the region there.

    damos_skip_charged_region
    """
    target, page = state["charge_target"], state["charge_page"]
    if target < 0:
        return -1, 0
    table = damon.table
    over = (table[:, _START] < page) & (page < table[:, _END])
    for i in np.flatnonzero((table[:, _TARGET] == target) & over):
        damon.table = np.insert(table, i, table[i], axis=0)
        damon.table[i, _END] = damon.table[i + 1, _START] = page
    return target, page


def _visit(
    simulation: "Simulation", damon: "Damon", numbers: list[int], rows: list[Row]
) -> None:
    """Act on the rows; one that a quota cuts becomes two."""
    i = 0
    while i < len(rows):
        if rows[i][_ALLOWED]:
            for bit, number in enumerate(numbers):
                if rows[i][_ALLOWED] >> bit & 1:
                    _try(simulation, damon, number, rows, i)
        i += 1


def _wants(damon: "Damon", number: int, table: np.ndarray) -> np.ndarray:
    """Return bool[regions]: which a scheme may act on (damos_valid_target)."""
    scheme, state = damon.schemes[number], damon.states[number]
    which = matches(scheme, table)
    if state["esz"]:
        which &= _priorities(damon, scheme, table) >= state["min_score"]
    return which


def _try(
    simulation: "Simulation", damon: "Damon", number: int, rows: list[Row], i: int
) -> None:
    """Let a scheme act on a row, or on what its quota has left (damos_apply_scheme)."""
    scheme, state, row = damon.schemes[number], damon.states[number], rows[i]
    if is_full(scheme, state):
        return
    if row[_CHANGED] and not _wants(damon, number, np.array([row], np.int64))[0]:
        return
    pages = row[_END] - row[_START]
    left = (state["esz"] - state["charged"]) >> PAGE_SHIFT
    state["nr_tried"] += 1
    if state["esz"] and pages > left:
        if not left:
            return
        _note_change(row)
        behind = row.copy()
        row[_END] = behind[_START] = row[_START] + left
        rows.insert(i + 1, behind)
        pages = left
    before = simulation.daemon_time_ns
    applied = _act(simulation, damon, scheme, row) << PAGE_SHIFT
    state["total_charged_ns"] += simulation.daemon_time_ns - before
    _count(state, pages << PAGE_SHIFT, applied)
    if is_full(scheme, state):
        state["charge_target"], state["charge_page"] = row[_TARGET], row[_END]
    if scheme.action != "stat":
        row[DamonRegion.AGE] = 0
        _note_change(row)


def _note_change(row: Row) -> None:
    """Let every scheme that goes on before a row be asked again."""
    row[_ALLOWED], row[_CHANGED] = row[_REACHED], 1


def _count(state: SchemeState, tried: int, applied: int) -> None:
    state["charged"] += tried
    state["sz_tried"] += tried
    state["nr_applied"] += applied > 0
    state["sz_applied"] += applied


# --- the actions ----------------------------------------------------------------------


def _act(simulation: "Simulation", damon: "Damon", scheme: Scheme, row: Row) -> int:
    """Do what a scheme says with a region; return the pages that it was done with."""
    first, end, young = row[_START], row[_END], _YOUNG[scheme.young]
    if scheme.action == "stat":
        return 0
    if damon.node is None:
        process = simulation.processes[damon.targets[row[_TARGET]]]
        if not process.alive:
            return 0
        if scheme.action.startswith("migrate"):
            return _migrate(simulation, process, first, end, scheme.node, young)
        return _advise(simulation, process, first, end, scheme.action)
    if scheme.action.startswith("migrate"):
        return _migrate_frames(simulation, first, end, scheme.node, young)
    if scheme.action == "pageout":
        return _page_out_frames(simulation, first, end, young)
    return 0  # not supported by paddr


#: In the order of ``Young``.
_YOUNG = {"any": Young.ANY, "young": Young.YOUNG, "old": Young.OLD}


def _move(
    simulation: "Simulation", process: Process, pages: np.ndarray, node: int
) -> int:
    """Move pages of an address space to a node; return pages moved.

    Up or down, the node is filled to its watermark min: no reclaim, but kswapd is woken
    (__damon_pa_migrate_folio_list).  ``Simulation.demote`` fills so, to any node.
    """
    whole = Region(process, process.first_vpn, process.span)
    return simulation.demote(whole, pages, node)


def _migrate(
    simulation: "Simulation",
    process: Process,
    first: int,
    end: int,
    node: int,
    young: Young,
) -> int:
    """Move the pages of a range to a node (damos_va_migrate, 6.17)."""
    found = np.empty(end - first, np.int64)
    at, stop = first + process.delta, end + process.delta
    count = mapped_elsewhere(simulation.memory, at, stop, node, int(young), found)
    if not count:
        return 0
    pages = found[:count] - process.delta - process.first_vpn
    return _move(simulation, process, pages, node)


def _migrate_frames(
    simulation: "Simulation", first: int, end: int, node: int, young: Young
) -> int:
    """Move the pages of a range of frames to a node (damon_pa_migrate)."""
    found = np.empty((end - first, 2), np.int64)
    count = frames_elsewhere(simulation.memory, first, end, node, int(young), found)
    moved, owners = 0, found[:count, 0]
    for number in np.unique(owners):
        process = simulation.processes[number]
        pages = found[:count, 1][owners == number] - process.first_vpn
        moved += _move(simulation, process, pages, node)
    return moved


def _advise(
    simulation: "Simulation", process: Process, first: int, end: int, action: str
) -> int:
    """Advise on a range, as its process would (damos_madvise).

    Nothing counts as done if a part of it is not mapped: madvise says ENOMEM.
    """
    parts = [
        (max(vma.start, first), min(vma.end, end))
        for vma in process.vmas
        if vma.start < end and first < vma.end
    ]
    for start, stop in parts:
        if action == "pageout":
            _page_out(simulation, process, start, stop)
        else:
            wanted = Advice[action.upper()]
            change_range(simulation, process, start, stop - start, advice=wanted)
    simulation.charge(simulation.costs.syscall_ns)
    mapped = sum(stop - start for start, stop in parts)
    return mapped if mapped == end - first else 0


def _page_out(simulation: "Simulation", process: Process, first: int, end: int) -> None:
    """Page a part of a VMA out (MADV_PAGEOUT); it costs what reclaim costs."""
    prepare(simulation, process)
    lru_add_drain(simulation)
    memory, delta = simulation.memory, process.delta
    written = int(memory.info[Info.WRITTEN])
    before = _resident(simulation)
    for at, pages in pieces(first, end):
        where = process.id, delta, at + delta, pages
        madvise_range(memory, *where, int(PageAdvice.PAGEOUT))
    flush_tlbs(simulation, process)
    simulation.fold()
    _charge_reclaim(simulation, before - _resident(simulation), written)


def _page_out_frames(
    simulation: "Simulation", first: int, end: int, young: Young
) -> int:
    """Page a range of frames out; by default what was not used of late."""
    lru_add_drain(simulation)
    memory = simulation.memory
    written = int(memory.info[Info.WRITTEN])
    only = Young.OLD if young == Young.ANY else young
    freed = int(reclaim_frames(memory, first, end, int(only)))
    for process in simulation.processes:
        flush_tlbs(simulation, process)
    simulation.fold()
    _charge_reclaim(simulation, freed, written)
    return freed


def _resident(simulation: "Simulation") -> int:
    """Return the pages that all processes have."""
    return sum(simulation.rss(one) for one in simulation.processes if one.alive)


def _charge_reclaim(simulation: "Simulation", freed: int, written: int) -> None:
    """Charge what it took to free pages, and to write those that were dirty."""
    costs, info = simulation.costs, simulation.memory.info
    writes = int(info[Info.WRITTEN]) - written
    info[Info.WRITTEN] = written
    simulation.charge(freed * costs.reclaim_page_ns + writes * costs.swap_out_ns)

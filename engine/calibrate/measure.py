"""What the running machine's own memory operations cost, as settings of ``Costs``.

Only what a user without privileges can measure on his own memory; what cannot be is
reported with its reason, and no value is made up for it.
"""

import mmap
import os
import platform
import resource
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ..settings.cost_file import Finding
from . import probe
from .contended import BEYOND, HOLDS
from .repeats import BLOCK, PAGE, REPEATS, Unmeasured, findings_of, new_memory

#: Huge pages' worth of memory that a measurement goes over: beyond most caches.
BLOCKS = 32
PAGES = BLOCKS * BLOCK // PAGE

_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_NONE = 0
#: Linux 6.1; Python's mmap has no name for it.
_MADV_COLLAPSE = 25
_NODES = Path("/sys/devices/system/node/has_normal_memory")


class _Probe(NamedTuple):
    """``run()`` measures once and returns {setting: value}; ``how``: its settings."""

    run: Callable[[], dict[str, float]]
    how: dict[str, str]


def measure_costs(check: Callable[[], None] = lambda: None) -> list[Finding]:
    """Measure what can be measured.

    Return a finding for every setting of ``Costs``, and for every hold of ``Locks`` one
    whose name begins with ``locks.``.  ``check`` is called between measurements and may
    raise to end them.  Takes about 192 MiB of memory and some seconds.
    """
    findings = []
    for each in _PROBES:
        findings += findings_of(*each, check)
    for name, (run, how) in HOLDS.items():
        findings += findings_of(lambda: {name: run()}, {name: how}, check)  # noqa: B023
    beyond = _BEYOND | BEYOND
    costs_first = sorted(beyond, key=lambda name: name.startswith("locks."))
    return findings + [Finding(name, None, beyond[name]) for name in costs_first]


def source() -> str:
    """Return the line that says where and when the findings were made."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    cpu = names[0] if names else platform.machine()
    return (
        f"{cpu}, CPUs: {os.cpu_count()}, nodes: {len(_nodes())},"
        f" Linux {platform.release()}, {datetime.now(UTC).date()};"
        f" medians of {REPEATS}, CPU time of the calling thread"
    )


def _memory(advice: int) -> memoryview:
    return new_memory(advice, BLOCKS)


def _advise(memory: memoryview, advice: int) -> int:
    """Call madvise on all of ``memory``; return ns."""
    return probe.advise(memory, advice, len(memory), len(memory))


def _protect(memory: memoryview, protection: int) -> int:
    """Call mprotect on all of ``memory``; return ns."""
    return probe.protect(memory, protection, len(memory), len(memory))


# --- the probes: one repeat each ------------------------------------------------------


def _small_pages() -> dict[str, float]:
    """Fault, mark, fork and zap pages of 4 KiB."""
    memory = _memory(mmap.MADV_NOHUGEPAGE)
    fault = probe.touch(memory, PAGE)
    call = probe.protect(memory, _READ_WRITE, PAGE, PAGE)
    mark = _protect(memory, _NONE)
    _protect(memory, _READ_WRITE)
    _advise(memory, mmap.MADV_DONTFORK)
    without = probe.fork_once()
    _advise(memory, mmap.MADV_DOFORK)
    fork = probe.fork_once() - without
    zap = _advise(memory, mmap.MADV_DONTNEED)
    return {
        "minor_fault_ns": fault / PAGES,
        "mark_pte_ns": mark / PAGES,
        "fork_pte_ns": fork / PAGES,
        "zap_pte_ns": zap / PAGES,
        "syscall_ns": call / PAGES,
    }


def _huge_pages() -> dict[str, float]:
    """Fault huge pages, and split their PMD entries by discarding a part."""
    memory = _memory(mmap.MADV_HUGEPAGE)
    fault = probe.touch(memory, BLOCK)
    _check_huge(memory)
    discard = mmap.MADV_DONTNEED
    first = probe.advise(memory, discard, BLOCK, PAGE)
    second = probe.advise(memory[PAGE:], discard, BLOCK, PAGE)
    return {
        "huge_fault_ns": fault / BLOCKS,
        "split_pmd_ns": first / BLOCKS - second / (BLOCKS - 1),
    }


def _check_huge(memory: memoryview) -> None:
    """Raise Unmeasured if a page of ``memory`` beyond the first is not mapped."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    probe.touch(memory, PAGE)
    faults = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    if faults >= BLOCKS:
        raise Unmeasured("Linux gave no huge pages: disabled, or memory is fragmented")


def _collapse() -> dict[str, float]:
    """Collapse small pages, all of them present, in one call."""
    memory = _memory(mmap.MADV_NOHUGEPAGE)
    probe.touch(memory, PAGE)
    _advise(memory, mmap.MADV_HUGEPAGE)
    try:
        return {"collapse_ns": _advise(memory, _MADV_COLLAPSE) / BLOCKS}
    except OSError as error:
        raise Unmeasured(
            f"MADV_COLLAPSE needs Linux 6.1 and THP not disabled: {error.strerror}"
        ) from error


def _copies() -> dict[str, float]:
    """Copy pages, to another node if there is one."""
    source, target = _touched(), _touched()
    nodes = _nodes()
    if len(nodes) > 1:
        probe.move(source, nodes[0])
        probe.move(target, nodes[1])
    return {"copy_bandwidth": len(source) * 1e9 / probe.copy(target, source)}


def _migrations() -> dict[str, float]:
    """Migrate pages to another node, less the time of copying them."""
    nodes = _nodes()
    if len(nodes) < 2:
        raise Unmeasured("this machine has no second node to migrate to")
    source, target = _touched(), _touched()
    probe.move(source, nodes[0])
    probe.move(target, nodes[1])
    copy = probe.copy(target, source)
    return {"migrate_page_ns": (probe.move(source, nodes[1]) - copy) / PAGES}


def _touched() -> memoryview:
    memory = _memory(mmap.MADV_NOHUGEPAGE)
    probe.touch(memory, PAGE)
    return memory


def _nodes() -> list[int]:
    """Return the nodes with memory; the only one if Linux has no NUMA."""
    if not _NODES.exists():
        return [0]
    nodes: list[int] = []
    for part in _NODES.read_text().strip().split(","):
        low, _, high = part.partition("-")
        nodes += range(int(low), int(high or low) + 1)
    return nodes


_PROBES = (
    _Probe(
        _small_pages,
        {
            "minor_fault_ns": "first write to each 4 KiB page of new anonymous memory",
            "mark_pte_ns": "one mprotect(PROT_NONE) over present 4 KiB pages, a page",
            "fork_pte_ns": "fork with the pages less fork without (MADV_DONTFORK),"
            " a page",
            "zap_pte_ns": "one MADV_DONTNEED over present 4 KiB pages, a page",
            "syscall_ns": "mprotect that changes nothing",
        },
    ),
    _Probe(
        _huge_pages,
        {
            "huge_fault_ns": "first write to each 2 MiB of new MADV_HUGEPAGE memory",
            "split_pmd_ns": "MADV_DONTNEED of 4 KiB of a huge page, less the same of"
            " one already split",
        },
    ),
    _Probe(
        _collapse,
        {"collapse_ns": "MADV_COLLAPSE of 512 present pages, the copy included"},
    ),
    _Probe(
        _copies,
        {
            "copy_bandwidth": "memcpy of cold 4 KiB pages, to another node where there"
            " is one"
        },
    ),
    _Probe(
        _migrations,
        {"migrate_page_ns": "move_pages to another node less the copy, a page"},
    ),
)

#: Settings that no program can measure from outside the kernel, and why.
_BEYOND = {
    "hint_fault_ns": "not measured: needs numa_balancing, which root sets for all",
    "cache_lookup_ns": "not measured: inside the kernel",
    "swap_in_ns": "not measured: needs a swap device and memory pressure",
    "swap_out_ns": "not measured: needs a swap device and memory pressure",
    "core_bandwidth": "not measured: see perf bench numa mem, RAM-bw-local",
    "queueing_permille": "not measured: needs the latencies of a loaded machine",
    "park_page_ns": "not measured: no released Linux parks pages",
    "walk_ns": "not measured: needs performance counters",
    "tlb_flush_cpu_ns": "not measured: needs a third CPU, to tell it from tlb_flush_ns",
    "lru_drain_ns": "not measured: cannot be told from the call that drains",
    "line_transfer_permille": "not measured: needs a second node",
    "reclaim_page_ns": "not measured: needs memory pressure",
}

"""Machines on which khugepaged works, and what its tests do again and again."""

from common.huge_pages import BLOCK, World
from lazynuma.engine import Khugepaged, Mechanism, Mode, Policy, Thp
from lazynuma.kernels.counters import ScanResult

EINVAL, ENOMEM = 22, 12
MILLISECOND, WAKE = 1_000_000, 10_000_000_000


def world(nodes=4, thp=None, slit=None, blocks=32, swap_bytes=0, **knobs):
    """Return a world where huge pages are for who asks; knobs are khugepaged's."""
    return World(
        nodes=nodes,
        blocks=blocks,
        slit=slit,
        thp=thp or Thp(enabled="madvise"),
        khugepaged=Khugepaged(**knobs),
        swap_bytes=swap_bytes,
    )


def results(w):
    """Return {name: times} of what scans came to so far."""
    found = w.sim.scan_results()
    return {one.name: int(found[one]) for one in ScanResult if found[one]}


def wake(w, region=None, times=1):
    """Let khugepaged, asked for a region, wake up; return all results so far."""
    if region is not None:
        w.sim.advise(w.task, region, "hugepage")
    w.sim.idle(times * WAKE)
    w.sim.check()
    return results(w)


def small(w, blocks=1, cpu=0):
    """Return a region of small pages that are all written."""
    region = w.map(blocks * BLOCK)
    w.touch(region, 0, region.pages, cpu=cpu)
    return region


def place(w, region, block, *parts):
    """Write pages of a block: (pages, node) or (pages, None) for none, in order."""
    at = block * BLOCK
    for pages, node in parts:
        if node is not None:
            w.touch(region, at, pages, cpu=node)
        at += pages


def huge_at(w, region, block=0):
    """Return whether a PMD entry maps a block."""
    return w.page(region, block * BLOCK).pmd


def heir(w):
    """Return (task, region) of a child that owns 512 pages alone, none of them used.

    Its pages are not writable and not young until they are touched.
    """
    region = small(w)
    child = w.sim.fork(w.process)
    task = w.sim.start_task(child, 0)
    w.sim.exit(w.process)
    return task, region.of(child)


def ask(w, task, region):
    """Let the child's region be scanned once; return the results."""
    w.sim.advise(task, region, "hugepage")
    w.sim.idle(WAKE)
    w.sim.check()
    return results(w)


def one_vma(w, region, task=None):
    """Let a region be one VMA again after a part of it was marked.

    Pages that are not misplaced are left alone, and both parts are alike then.
    """
    policy = Policy(Mode.BIND, tuple(range(len(w.sim.machine.memory))))
    found = w.sim.mark(task or w.task, region, Mechanism.SWAPCACHE, policy)
    assert found == 0 and len(region.process.vmas) == 1

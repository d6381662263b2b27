"""What khugepaged of Linux 6.1 did on a machine of four nodes."""

from common.huge_pages import BLOCK, HUGE, SLIT
from common.khugepaged import EINVAL, one_vma, place, small, wake, world
from lazynuma.engine import Mechanism, Mode, Policy, Thp


def recorded(w, region):
    """Return (runs, kB mapped by PMDs, kB of rss), as the recordings have it."""
    kb = w.sim.huge_pages(w.process) * 4, w.sim.rss(w.process) * 4
    return w.runs(region), *kb


def linux(**knobs):
    """Return the recordings' machine."""
    return world(slit=SLIT, thp=Thp(enabled="madvise", defrag="always"), **knobs)


def there(pages, node):
    return pages, "present", node, True


def test_linux_max_ptes_none():
    w = linux(max_ptes_none=64)
    region = w.map(4096)
    for block, pages in enumerate((512, 448, 447, 449, 1)):
        w.touch(region, block * BLOCK, pages, cpu=1)
    wake(w, region, times=3)
    runs = [
        there(1024, 1),
        (447, "present", 1, False),
        (65, "none", None, False),
        there(512, 1),
        (1, "present", 1, False),
        (2047, "none", None, False),
    ]
    assert recorded(w, region) == (runs, 6144, 7936)
    assert w.changes() == {"thp_collapse_alloc": 3}


def test_linux_patterns():
    """One page, ties, a majority of one, alternating pages, zero pages."""
    w = linux()
    region = w.map(8192)
    w.touch(region, 0, 513, cpu=0)
    place(w, region, 2, (256, 0), (256, 1))
    place(w, region, 3, (255, 1), (257, 2))
    w.touch(region, 2048, 512, stride=2, cpu=3)
    w.touch(region, 2049, 511, stride=2, cpu=2)
    w.touch(region, 3072, 512, write=False)
    w.touch(region, 3584, 511, write=False)
    w.touch(region, 4095, 1)
    assert w.sim.rss(w.process) * 4 == 8200
    wake(w, region, times=3)
    runs = [
        there(1536, 0),
        there(1024, 2),
        (512, "none", None, False),
        (512, "zero", None, False),
        there(512, 2),
        (4096, "none", None, False),
    ]
    assert recorded(w, region) == (runs, 12288, 12288)
    assert w.changes() == {"thp_collapse_alloc": 6}


def test_linux_max_ptes_shared():
    w = linux()
    region = small(w, 4, cpu=1)
    kid = w.sim.fork(w.process, "kid")
    w.touch(region, 0, 256)
    w.touch(region, 512, 255)
    w.touch(region, 1024, 257)
    wake(w, region, times=3)
    one, other = there(512, 1), (512, "present", 1, False)
    assert recorded(w, region) == ([one, other, one, other], 4096, 8192)
    assert w.runs(region, process=kid) == [(2048, "present", 1, False)]
    assert w.changes() == {"thp_collapse_alloc": 2}
    w.sim.exit(kid)
    wake(w, times=3)
    # The last block has no page that is writable.
    assert recorded(w, region) == ([there(1536, 1), other], 6144, 8192)
    assert w.changes() == {"thp_collapse_alloc": 1}


def test_linux_collapse_of_ties():
    w = linux()
    region = w.map(4096)
    place(w, region, 0, (256, 0), (256, 3))
    place(w, region, 1, (256, 3), (256, 0))
    place(w, region, 2, (128, 1), (128, 2), (128, 3), (128, 0))
    place(w, region, 3, (255, 2), (257, 0))
    w.sim.move_task(w.task, 2)
    called = [
        w.sim.collapse(w.task, region, block * BLOCK, BLOCK) for block in range(5)
    ]
    assert called == [0, 0, 0, 0, EINVAL]
    runs = [there(2048, 0), (2048, "none", None, False)]
    assert recorded(w, region) == (runs, 8192, 8192)
    assert w.changes() == {"thp_collapse_alloc": 4}


def test_linux_no_none_pages_allowed():
    w = linux(max_ptes_none=0)
    region = w.map(4096)
    w.touch(region, 0, cpu=2)
    place(w, region, 1, (512, 0))
    place(w, region, 2, (257, 3), (233, 1), (22, 2))
    w.touch(region, 1536, cpu=1)
    place(w, region, 4, (240, None), (272, 0))
    w.touch(region, 2560, cpu=2)
    w.touch(region, 3072, cpu=0)
    place(w, region, 7, (170, 1), (178, 3), (151, 2), (13, 0))
    wake(w, region, times=3)
    seen = [w.runs(region, block * BLOCK, BLOCK) for block in (1, 2, 7)]
    assert seen == [[there(512, 0)], [there(512, 3)], [there(512, 3)]]
    assert w.sim.huge_pages(w.process) * 4 == 6144
    assert w.sim.rss(w.process) * 4 == 7248
    assert w.changes() == {"thp_collapse_alloc": 3}


def test_linux_collapse_of_a_whole_mapping():
    """Single pages, alternating nodes, zero pages, under one call."""
    w = linux()
    region = w.map(4096)
    w.touch(region, 0, cpu=3)
    w.touch(region, 512, 512, stride=2, cpu=3)
    w.touch(region, 513, 511, stride=2, cpu=0)
    w.touch(region, 1024, cpu=1)
    w.touch(region, 1536, 512, write=False, cpu=0)
    w.touch(region, 1536, 316)
    w.touch(region, 2048, cpu=1)
    w.touch(region, 2560, cpu=0)
    w.touch(region, 3072, 512, stride=2)
    w.touch(region, 3073, 511, stride=2, cpu=1)
    w.touch(region, 3774, 322, cpu=0)
    w.sim.move_task(w.task, 1)
    assert w.sim.rss(w.process) * 4 == 6664
    assert w.sim.collapse(w.task, region) == 0
    order = (3, 1), (0, 1), (1, 1), (0, 1), (1, 1), (0, 3)
    runs = [there(blocks * BLOCK, node) for node, blocks in order]
    assert recorded(w, region) == (runs, 16384, 16384)
    assert w.changes() == {"thp_collapse_alloc": 8}


def test_linux_max_ptes_swap():
    """64 pages in swap are read back, 65 are too many, one is no obstacle.

    Recorded with pages on disk; pages parked in the swap cache count alike.
    """
    w = linux(swap_bytes=4 * HUGE)
    region = small(w, 4, cpu=1)
    for first, pages in ((0, 64), (512, 65), (1024, 1)):
        w.sim.mark(w.task, region, Mechanism.SWAPCACHE, first=first, pages=pages)
    one_vma(w, region)
    assert w.sim.rss(w.process) * 4 == 7672
    wake(w, region, times=3)
    runs = [
        there(512, 1),
        (65, "swap", None, False),
        (447, "present", 1, False),
        there(1024, 1),
    ]
    assert recorded(w, region) == (runs, 6144, 7932)
    assert w.changes()["thp_collapse_alloc"] == 3


def test_a_policy_is_not_asked_for_the_target():
    w = linux()
    region = small(w, cpu=1)
    w.sim.mbind(w.task, region, Policy(Mode.BIND, (3,)))
    wake(w, region)
    assert w.runs(region) == [there(512, 1)]

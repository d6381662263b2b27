"""Huge pages are swapped whole, or split when there are too few slots in a row.

Written from ``docs/model/thp.md``.
"""

from common.huge_pages import BLOCK, HUGE, PAGE, World


def pressed():
    """Return (world, region of huge pages, region of small pages that pushed some out).

    Faults on huge pages do not reclaim; those on small pages do.
    """
    world = World(nodes=1, blocks=16, swap_bytes=64 * HUGE)
    region = world.map(14 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    small = world.map(4 * BLOCK, "nohugepage")
    world.touch(small, 0, small.pages)
    return world, region, small


def test_huge_pages_are_swapped_whole_into_slots_in_a_row():
    world, region, small = pressed()
    names = "pswpout", "thp_swpout", "thp_swpout_fallback", "thp_split_page", "oom_kill"
    pages, whole, *others = world.changes(*names).values()
    assert whole >= 2 and others == [0, 0, 0]
    out = [at for at in range(0, region.pages, BLOCK) if _on_disk(world, region, at)]
    assert len(out) == whole
    for at in out:
        slots = [world.page(region, at + i).entry for i in range(BLOCK)]
        assert slots == list(range(slots[0], slots[0] + BLOCK))
    alone = sum(_on_disk(world, small, at) for at in range(small.pages))
    assert pages == whole * BLOCK + alone == world.sim.swapents(world.process)
    world.sim.check()


def _on_disk(world, region, at):
    page = world.page(region, at)
    return page.kind == "swap" and page.frame == -1


def test_a_swap_out_of_a_whole_folio_splits_its_mapping_as_on_linux():
    """Recorded: a huge page paged out counted thp_swpout 1, thp_split_pmd 1."""
    world, _, _ = pressed()
    found = world.changes("thp_swpout", "thp_split_pmd")
    assert found["thp_split_pmd"] == found["thp_swpout"] > 0


def test_what_was_swapped_whole_comes_back_page_by_page():
    world, region, _ = pressed()
    at = next(at for at in range(0, region.pages, BLOCK) if _on_disk(world, region, at))
    world.changes()
    world.touch(region, at + 3, 2, write=False)
    assert world.runs(region, at, 6) == [
        (3, "swap", None, False),
        (2, "present", 0, False),
        (1, "swap", None, False),
    ]
    assert world.changes("pswpin")["pswpin"] == 2
    world.sim.check()


def test_without_enough_slots_in_a_row_a_folio_is_split():
    world = World(nodes=1, blocks=16, swap_bytes=(BLOCK - 1) * PAGE)
    region = world.map(15 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    small = world.map(BLOCK, "nohugepage")
    world.touch(small, 0, BLOCK)
    found = world.changes("thp_swpout", "thp_swpout_fallback", "thp_split_page")
    assert found["thp_swpout"] == 0
    assert found["thp_split_page"] == found["thp_swpout_fallback"] > 0
    assert 0 < world.sim.swapents(world.process) < BLOCK
    world.sim.check()


def test_exactly_enough_slots_in_a_row_keep_a_folio_whole():
    world = World(nodes=1, blocks=16, swap_bytes=BLOCK * PAGE)
    region = world.map(15 * BLOCK)
    world.touch(region, 0, region.pages, stride=BLOCK)
    small = world.map(BLOCK, "nohugepage")
    world.touch(small, 0, BLOCK)
    names = "thp_swpout", "thp_swpout_fallback", "pswpout"
    assert list(world.changes(*names).values()) == [1, 0, BLOCK]
    world.sim.check()


def test_a_shared_folio_is_swapped_whole_from_both_processes():
    world = World(nodes=1, blocks=16, swap_bytes=64 * HUGE)
    region = world.map(BLOCK)
    world.touch(region, 0)
    child = world.sim.fork(world.process)
    small = world.map(17 * BLOCK, "nohugepage")
    world.touch(small, 0, small.pages)
    assert world.changes("thp_swpout", "thp_swpout_fallback", "thp_split_page") == {
        "thp_swpout": 1,
        "thp_swpout_fallback": 0,
        "thp_split_page": 0,
    }
    mine, theirs = world.page(region, 9), world.page(region, 9, child)
    assert mine == theirs and (mine.kind, mine.count, mine.frame) == ("swap", 2, -1)
    assert world.sim.rss(child) == 0 and world.sim.swapents(child) == BLOCK
    world.sim.check()
    world.sim.exit(child)
    assert world.page(region, 9).count == 1
    world.sim.check()


def test_reclaim_splits_a_folio_that_ptes_map():
    """A child's, since 512 PTEs that were used would keep it on the active list."""
    world = World(nodes=1, blocks=16, swap_bytes=64 * HUGE)
    region = world.map(BLOCK)
    world.touch(region, 0)
    child = world.sim.fork(world.process)
    task = world.sim.start_task(child, 0)
    world.sim.exit(world.process)
    world.sim.advise(task, region.of(child), "nohugepage", 0, 1)
    assert world.page(region, 5, child).mapcount == 1
    world.changes()
    small = world.map(17 * BLOCK, "nohugepage", process=child)
    world.touch(small, 0, small.pages, by=task)
    found = world.changes("thp_split_page", "thp_swpout", "thp_split_pmd")
    assert list(found.values()) == [1, 0, 0]
    assert not world.page(region, 5, child).huge
    world.sim.check()

"""What the time of ``eager`` hangs on: who calls, and how often TLBs are flushed."""

import pytest

from lazynuma.engine import Thp
from lazynuma.engine.run import run_study
from lazynuma.scenarios import mechanisms
from lazynuma.scenarios.common.hangs_on import _others, hangs_on
from lazynuma.scenarios.common.table import seconds

MIB = 1 << 20
PAGES = 64 * MIB // 8 // 4096
FLUSH, MOVE = 1000 + 31 * 200, 700 + 1286
#: A call drains the batches of the LRU, and enters the kernel.
ONCE = 59_000 + 500


def eager(**parameters):
    study = mechanisms.build(
        mechanisms.Parameters(memory=64 * MIB, mechanisms=("eager",), **parameters)
    )
    (row,) = run_study(study)
    return row, study.report(study, [row])


def test_one_thread_pays_a_flush_for_each_page():
    row, text = eager()
    assert row["call_flushes"] == PAGES
    assert row["call_ns"] == PAGES * (MOVE + FLUSH) + ONCE
    assert row["flush_share"] == PAGES * FLUSH / row["call_ns"]
    text = " ".join(text.split())
    assert "one thread moves everything, while 31 others wait" in text
    assert "one for each page or huge page, are 78.1 % of that" in text
    assert "It would take 647 us by each thread for itself (eager_by=each)" in text
    assert "4.16 ms with one flush for up to 512 pages (migrate" in text
    assert "188 us both ways." in text


def test_what_it_would_take_is_what_it_takes():
    row, _ = eager()
    each, batched = eager(eager_by="each")[0], eager(migrate_pages_batch=True)[0]
    others = _others(row, 32, "one", False)
    assert others.startswith(seconds(each["call_ns"]))
    assert f", {seconds(batched['call_ns'])} with one flush" in others
    huge = row | {"call_flushes": 4}
    assert "migrate_pages_batch" not in _others(huge, 32, "one", False)
    assert _others(row, 1, "one", True) == ""


def test_each_thread_moves_its_own_part_at_the_same_time():
    row, text = eager(eager_by="each")
    assert row["call_flushes"] == row["pages_migrated"] == PAGES
    assert row["call_ns"] == PAGES // 32 * (MOVE + FLUSH) + ONCE
    assert row["local_fraction"] == 1
    assert "each thread moves its own part" in " ".join(text.split())


@pytest.mark.parametrize("by", ["one", "each"])
def test_a_batch_flushes_once(by):
    row, text = eager(eager_by=by, migrate_pages_batch=True)
    callers = 32 if by == "each" else 1
    batches = -(-(PAGES // callers) // 512)
    assert row["call_flushes"] == batches * callers
    assert row["call_ns"] == PAGES // callers * MOVE + batches * FLUSH + ONCE
    assert "migrate_pages_batch=true" not in text


def test_huge_pages_flush_once_each():
    row, _ = eager(thp=Thp(enabled="always"), tasks=4)
    assert row["call_flushes"] == PAGES // 512


def test_nothing_is_said_where_nothing_was_moved():
    assert hangs_on([], 32, "one", False) == ""
    assert hangs_on([{"mechanism": "eager", "call_flushes": 0}], 1, "one", False) == ""

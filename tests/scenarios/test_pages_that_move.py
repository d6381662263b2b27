"""move_pages by size, TLB flushes of pages that move, and scans that stop a thread."""

from dataclasses import replace

import pytest

from lazynuma.engine import BadInput, Balancing, Costs, Locks
from lazynuma.engine.run import run_study
from lazynuma.scenarios import move_pages_rate, scan_stall, tlb_shootdown
from lazynuma.scenarios.common.claim import Claim, figure
from lazynuma.scenarios.common.claim_table import claim_table

MIB, COSTS = 1 << 20, Costs()


def rows_of(module, **parameters):
    """Run a scenario; return its rows by variant."""
    study = module.build(module.Parameters(**parameters))
    return {tuple(row[one] for one in study.dimension): row for row in run_study(study)}


# --- move_pages -----------------------------------------------------------------------

CALL = 500 + 59_000


@pytest.mark.parametrize(
    "pages, call, took",
    [
        # A call, and 700 ns, a copy and a flush for each page.
        ("4 KiB, E5-2640 v3", "1", CALL + 700 + 1286 + 1000),
        ("4 KiB, E5-2640 v3", "600", CALL + 600 * (700 + 1286 + 1000)),
        # 380 ns a copy, and a flush for every 512.
        ("4 KiB, Zen 3", "600", CALL + 600 * (700 + 380) + 2 * 1000),
        # One flush a huge page.
        ("2 MiB, Zen 3", "2", CALL + 2 * (700 + 512 * 380 + 1000)),
    ],
)
def test_a_call_takes_its_price_and_that_of_each_page(pages, call, took):
    rows = rows_of(move_pages_rate, counts=(1, 2, 600), sizes=("4 KiB",), whole=0)
    rows |= rows_of(move_pages_rate, counts=(1, 2), sizes=("2 MiB",), whole=0)
    assert rows[pages, call]["call_ns"] == took


def test_the_rows_that_are_calibrated_come_out_right():
    """Costs were taken from 62.47 us for a page, 10.67 GB/s of huge pages."""
    rows = rows_of(move_pages_rate, counts=(1, 512), whole=0)
    assert rows["4 KiB, E5-2640 v3", "1"]["call_ns"] == pytest.approx(62_470, rel=1e-3)
    rate = rows["2 MiB, Zen 3", "512"]["bytes_per_s"]
    assert rate == pytest.approx(10.67e9, rel=2e-3)


def test_threads_side_by_side_are_no_published_figure():
    rows = rows_of(move_pages_rate, counts=(64,), whole=0, threads=4)
    parameters = move_pages_rate.Parameters(counts=(64,), whole=0, threads=4)
    assert move_pages_rate.claims(parameters, list(rows.values())) == []
    alone = rows_of(move_pages_rate, counts=(64,), whole=0)
    for name, row in rows.items():
        assert row["bytes_per_s"] > 2 * alone[name]["bytes_per_s"]


def test_a_thread_alone_waits_for_no_lock():
    study = move_pages_rate.build(move_pages_rate.Parameters(counts=(64,), whole=0))
    calls = []
    for locked in (False, True):
        locks = Locks(enabled=locked)
        variants = [
            replace(one, settings=replace(one.settings, locks=locks))
            for one in study.variants
        ]
        rows = run_study(replace(study, variants=tuple(variants)))
        calls.append([row["call_ns"] for row in rows])
    assert calls[0] == calls[1]


def test_memory_that_is_no_huge_pages_is_refused():
    with pytest.raises(BadInput, match="whole must be a multiple of 2 MiB, got 3"):
        move_pages_rate.build(move_pages_rate.Parameters(whole=3 * MIB))


# --- shootdowns -----------------------------------------------------------------------


def test_one_caller_gains_the_flushes_that_are_left_out():
    rows = rows_of(tlb_shootdown, mapped=8 * MIB, threads=8, rounds=1)
    before, after = (rows["migratepages", name] for name in ("before", "after"))
    assert before["tlb_flushes"] == 2048 and after["tlb_flushes"] == 4
    assert before["interrupts"] == 8 * 2048 and after["interrupts"] == 8 * 4
    flush = COSTS.tlb_flush_ns + 8 * COSTS.tlb_flush_cpu_ns
    assert before["time_ns"] - after["time_ns"] == (2048 - 4) * flush


def test_threads_that_move_their_own_parts_wait_for_each_other_s_flushes():
    rows = rows_of(tlb_shootdown, mapped=8 * MIB, threads=8, rounds=1)
    for way in ("own parts", "hint faults"):
        before, after, free, batched = (
            rows[way, name] for name in tlb_shootdown.KERNELS
        )
        assert free["lock_wait_share"] == batched["lock_wait_share"] == 0
        assert before["pages_per_s"] < free["pages_per_s"]
        waits = [row["lock_wait_share"] * row["time_ns"] for row in (before, after)]
        assert waits[0] > waits[1] > 0
        assert before["interrupts"] > 50 * after["interrupts"]


# --- scans ----------------------------------------------------------------------------


@pytest.mark.parametrize("pages, entries", [("4 KiB", 4096), ("2 MiB", 8)])
@pytest.mark.parametrize("threads", [2, 8])
def test_a_scan_takes_its_marks_and_a_flush(pages, entries, threads):
    rows = rows_of(
        scan_stall, sizes_mb=(16,), threads=(threads,), pages=(pages,), seconds=2
    )
    row = rows[f"16 MB of {pages}", str(threads)]
    scan = entries * 100 + 1000 + (threads - 1) * 200
    assert row["longest_ns"] == row["mean_ns"] == scan and row["scans"] > 1
    # A writer finds a scan so often, and then half of it is left.
    assert row["writer_ns"] == pytest.approx(row["held_share"] * scan / 2)
    assert row["thread_share"] == pytest.approx(row["held_share"] / threads)


def test_the_scanner_is_the_scenario_s_own():
    study = scan_stall.build(
        scan_stall.Parameters(balancing=Balancing(tick_ns=1_000_000))
    )
    knobs = study.variants[0].settings.balancing
    assert (knobs.mode, knobs.scan_size_mb, knobs.tick_ns) == ("normal", 64, 1_000_000)


# --- published figures ----------------------------------------------------------------


def test_the_table_has_the_error_of_each_figure():
    claims = [
        figure("a", 2.0, 3.0, show=str),
        Claim("b", 1.0, 4.0, 3.0, show=str),
        Claim("c", 1.0, 4.0, 5.0, show=str),
    ]
    lines = claim_table(claims, "somebody").splitlines()
    assert [line.split()[-1] for line in lines[2:5]] == ["+50.0%", "+0.0%", "+25.0%"]
    assert lines[-1] == "Published: somebody."
    assert claim_table([], "somebody") == ""

"""What the time of a mechanism hangs on: who calls, and how often TLBs are flushed."""

import textwrap
from collections.abc import Sequence

from .table import Row, percent, seconds

_WIDTH = 80


def hangs_on(rows: Sequence[Row], tasks: int, eager_by: str, batched: bool) -> str:
    """Return what moving all memory at once hangs on, empty if nothing did.

    rows  of mechanisms, with the columns of ``moved_job.CALL``
    """
    eager = {row["mechanism"]: row for row in rows}.get("eager")
    if eager is None or not eager["call_flushes"]:
        return ""
    call = f"{seconds(eager['call_ns'])} of {seconds(eager['run_time_ns'])}"
    who = "each thread moves its own part"
    if eager_by == "one":
        wait = f", while {tasks - 1} others wait" if tasks > 1 else ""
        who = f"one thread moves everything{wait}"
    how = "one for up to 512 pages" if batched else "one for each page or huge page"
    text = (
        f"eager: {who}, {call}. TLB flushes, {how}, are"
        f" {percent(eager['flush_share'])} of that. {_other(eager_by, batched)}"
    )
    return textwrap.fill(text, _WIDTH)


def _other(eager_by: str, batched: bool) -> str:
    """Return which settings the answer should be looked at with, too."""
    ways = []
    if eager_by == "one":
        ways.append("eager_by=each lets each thread move its own part")
    if not batched:
        ways.append("migrate_pages_batch=true flushes as Linux does since 6.3")
    ways.append("--uncertainty says what the costs that nobody has measured change")
    return f"Settings that change this: {'; '.join(ways)}."

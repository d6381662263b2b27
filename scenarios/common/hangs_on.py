"""What the time of a mechanism hangs on: who calls, and how often TLBs are flushed."""

import textwrap
from collections.abc import Sequence

from ...kernels.words import HPAGE_PMD_NR
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
        f" {percent(eager['flush_share'])} of that."
    )
    others = _others(eager, tasks, eager_by, batched)
    sentences = [text, f"It would take {others}."] if others else [text]
    more = "--uncertainty says what the costs that nobody has measured change."
    return textwrap.fill(" ".join([*sentences, more]), _WIDTH)


def _others(eager: Row, tasks: int, eager_by: str, batched: bool) -> str:
    """Return how long the call would take in other ways, from what it took in this.

    Huge pages flush one by one in any case.
    """
    took, each = eager["call_ns"], "by each thread for itself (eager_by=each)"
    once = eager["call_once_ns"]
    saved = took * eager["flush_share"] * (1 - 1 / HPAGE_PMD_NR)
    small = eager["call_flushes"] == eager["pages_migrated"] and not batched
    ways = []
    if eager_by == "one" and tasks > 1:
        ways.append(f"{seconds(once + (took - once) / tasks)} {each}")
    if small:
        batch = "with one flush for up to 512 pages"
        how = f"{batch} (migrate_pages_batch=true, Linux since 6.3)"
        ways.append(f"{seconds(took - saved)} {how}")
    if len(ways) > 1:
        ways.append(f"{seconds(once + (took - saved - once) / tasks)} both ways")
    return ", ".join(ways)

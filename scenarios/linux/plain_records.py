"""Two records of one place in words: only that in which they differ."""

import errno
from collections.abc import Sequence
from typing import Any

from .kernel_differences import differing_counters
from .recorded_kernels import Record

#: Ranges of pages that are told; the rest is counted.
MOST = 3
_SIGNALS = {9: "by the OOM killer", 11: "for an access that is not mapped"}
_SIZES = {
    "pmd_mapped_kb": "mapped by PMDs",
    "rss_kb": "resident",
    "swap_kb": "in swap",
}


def in_words(one: Record | None, other: Record | None) -> tuple[str, str]:
    """Return what each of two records says that the other does not say."""
    some = one or other or {}
    if "counters" in some and one and other:
        names = differing_counters(one, other)
        first, second = (
            ", ".join(f"{name} {record['counters'].get(name, 0)}" for name in names)
            for record in (one, other)
        )
        return first, second
    if "runs" in some and one and other and "runs" in one and "runs" in other:
        return _observed(one, other)
    if "status" in some and one and other:
        return _ranges(one["status"], other["status"], _status)
    return _alone(one, some), _alone(other, some)


def _alone(record: Record | None, some: Record) -> str:
    """Return a record in words that stands for itself; None: nothing went wrong."""
    if record is None:
        return "succeeds" if "result" in some else "lives on"
    if "result" in record:
        return f"fails: {record['result']}"
    if "killed" in record:
        how = _SIGNALS.get(record.get("signal", 0), f"signal {record.get('signal')}")
        return f"{record['killed']} is killed {how}"
    order = ", ".join(map(str, record.get("fill_order", ())))
    return f"nodes are filled in the order {order}" if order else "no node is filled"


def _observed(one: Record, other: Record) -> tuple[str, str]:
    told = _ranges(_pages(one["runs"]), _pages(other["runs"]), _page)
    sizes = [key for key in _SIZES if one.get(key) != other.get(key)]
    first, second = (
        ", ".join(filter(None, [text, *(f"{r[k]:,} KiB {_SIZES[k]}" for k in sizes)]))
        for text, r in zip(told, (one, other), strict=True)
    )
    return first, second


def _pages(runs: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Return (state, node, huge) of every page."""
    return [tuple(page) for count, *page in runs for _ in range(count)]


def _page(page: Sequence[Any]) -> str:
    state, node, huge = page
    size = "huge, " if huge else ""
    if state == "present" and node is None:
        return f"{size}there, its node not told"
    if state == "present":
        return f"{size}on node {node}"
    words = {"none": "not there", "zero": "zero pages", "marked": "marked"}
    return size + words.get(state, f"in {state}")


def _status(status: int) -> str:
    """Return what move_pages says of a page: its node, or why it stays."""
    if status >= 0:
        return f"status {status}"
    return f"status -{errno.errorcode.get(-status, -status)}"


def _ranges(one: Sequence[Any], other: Sequence[Any], word: Any) -> tuple[str, str]:
    """Return what two lists of pages say, of the pages that differ."""
    pairs = zip(one, other, strict=False)
    differ = [(page, *pair) for page, pair in enumerate(pairs) if pair[0] != pair[1]]
    first, second = (
        _told([(page[0], word(page[side])) for page in differ]) for side in (1, 2)
    )
    return first, second


def _told(pages: Sequence[tuple[int, str]]) -> str:
    """Return pages and what is said of each: neighbours of which the same is said."""
    runs: list[list[Any]] = []
    for page, said in pages:
        if runs and runs[-1][1] == page - 1 and runs[-1][2] == said:
            runs[-1][1] = page
        else:
            runs.append([page, page, said])
    told = [f"{_range(first, last)} {said}" for first, last, said in runs[:MOST]]
    if len(runs) > MOST:
        left = sum(last - first + 1 for first, last, _ in runs[MOST:])
        told.append(f"and {left:,} pages more")
    return "; ".join(told)


def _range(first: int, last: int) -> str:
    return f"page {first}" if first == last else f"pages {first}-{last}"

"""Kinds of difference between a record of Linux's and ours: what, not where.

A kind is a few words: ``node``, ``present -> swap``, ``rss_kb``, ``result EIO -> none``
or ``thp_split_page fewer``; what is after an arrow, and how many there are, is ours.
"""

from compare import COUNTERS, kind

SIZES = ("pmd_mapped_kb", "rss_kb", "swap_kb")


def kinds(want, got):
    """Return the kinds in which two records differ; None is no record.

    want  Linux's
    got   ours
    """
    about = kind(want or got)
    if about in ("result", "killed"):
        return {f"{about} {_said(want, about)} -> {_said(got, about)}"}
    if got is None:
        return {f"{about} missing"}
    if about == "counters":
        return _counters(want, got)
    if about == "status":
        pairs = zip(want["status"], got["status"], strict=True)
        return {f"status {one} -> {other}" for one, other in pairs if one != other}
    if "fill_order" in want:
        return {"fill order"}
    return _observed(want, got)


def _said(record, about):
    if record is None:
        return "none"
    return f"{record[about]}" if about == "result" else f"signal {record['signal']}"


def _counters(want, got):
    found = set()
    for name in set(COUNTERS) - set(want.get("unstable", ())):
        theirs, ours = want["counters"].get(name, 0), got["counters"].get(name, 0)
        if theirs != ours:
            found.add(f"{name} {'more' if ours > theirs else 'fewer'}")
    return found


def _pages(record):
    return [page for count, *page in record["runs"] for _ in range(count)]


def _observed(want, got):
    found = {size for size in SIZES if want[size] != got[size]}
    ours, theirs = _pages(got), _pages(want)
    if len(ours) != len(theirs):
        found.add("pages")
    for one, other in zip(theirs, ours, strict=False):
        found |= _seen(one, other)
    return found


def _seen(one, other):
    """Return the kinds in which two pages differ, as [state, node, huge]."""
    if one[0] != other[0]:
        return {f"{one[0]} -> {other[0]}"}
    found = {"node"} if one[1] != other[1] else set()
    return found | ({f"huge {one[2]} -> {other[2]}"} if one[2] != other[2] else set())

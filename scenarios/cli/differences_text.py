"""What ``lazynuma compare`` prints: figures for people, in 80 columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from .info_text import WIDTH, figure, sized, wrapped

#: How many of a kind are shown.
MOST = 20
#: How wide the names of settings may be.
_NAME = 32


def differences_text(found: Mapping[str, Any]) -> str:
    """Return the text for what ``engine.output.differences`` found."""
    parts = [
        "\n".join(
            f"{side}  {path}" for side, path in zip("AB", found["files"], strict=True)
        ),
        _pairs("provenance", found["provenance"]),
        _pairs("settings", found["settings"]),
        *(_only(kind, names) for kind, names in found["only"].items()),
        _results(found),
        _tables(found["tables"]),
        _verdict(found),
    ]
    return "\n\n".join(filter(None, parts))


def _cut(text: str, width: int) -> str:
    """Return a text that fits, with three dots for what is left out."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _some(lines: Sequence[str], most: int = MOST) -> list[str]:
    """Return the first lines, and how many there are beside them."""
    return [*lines[:most], *(f"  {one}" for one in _more(lines, most))]


def _more(names: Sequence[Any], most: int = MOST) -> list[str]:
    """Return a word for what is beyond ``most``, if there is something."""
    return [f"and {len(names) - most} more"] if len(names) > most else []


def _pairs(title: str, pairs: Mapping[str, Sequence[Any]]) -> str:
    """Return a line for each name: what A has, and what B has."""
    if not pairs:
        return ""
    names = min(_NAME, max(map(len, pairs)))
    room = (WIDTH - names - 7) // 2
    lines = []
    for name, values in pairs.items():
        said = " | ".join(_said(name, value, room) for value in values)
        lines.append(f"  {_cut(name, names):<{names}}  {said}")
    return "\n".join([title, *_some(lines, 2 * MOST)])


def _said(name: str, value: Any, room: int) -> str:
    return "-" if value is None else _cut(sized(name, value), room)


def _only(kind: str, names: Sequence[Sequence[str]]) -> str:
    """Return which variants, variables or points one of both has alone."""
    parts = [
        wrapped(f"{kind} of {side} alone: ", [*own[:MOST], *_more(own)], ",")
        for side, own in zip("AB", names, strict=True)
        if own
    ]
    return "\n".join(parts)


def _results(found: Mapping[str, Any]) -> str:
    """Return a line for each value that differs, the largest difference first."""
    results = found["results"]
    if not results:
        return ""
    heads = ["variant", "value", "A", "B", "B - A", ""]
    table = [_cells(one) for one in results[:MOST]]
    if any(row[-1] for row in table):
        heads[-1] = "spread"
    widths = [max(map(len, column)) for column in zip(heads, *table, strict=True)]
    room = max(24, WIDTH - 2 * len(heads) - sum(widths[2:]))
    widths[1] = min(widths[1], max(room // 2, room - widths[0]))
    widths[0] = min(widths[0], room - widths[1])
    lines: dict[str, list[str]] = {}
    for one, row in zip(results, table, strict=False):
        lines.setdefault(one["place"], []).append(_line(row, widths))
    count = f"results: {len(results)} of {found['compared']} values differ"
    more = [f"  {one}" for one in _more(results)]
    each = [
        line
        for place, of in lines.items()
        for line in ([f" {_cut(place, WIDTH - 1)}"] if place else []) + of
    ]
    return "\n".join([count, _line(heads, widths), *each, *more])


def _cells(one: Mapping[str, Any]) -> list[str]:
    name, unit = one["variable"], one["unit"]
    a, b = (figure(name, unit, value, True) for value in (one["a"], one["b"]))
    spread = {None: "", True: "within", False: "beyond"}[one["within"]]
    return [one["variant"], name, a, b, _change(one["relative"]), spread]


def _change(relative: float | None) -> str:
    """Return a relative difference, as a factor if it is a large one."""
    if relative is None:
        return ""
    return f"{100 * relative:+.3g} %" if relative < 10 else f"x{1 + relative:.3g}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        f"{_cut(text, width):<{width}}" if i < 2 else f"{text:>{width}}"
        for i, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return f"  {'  '.join(cells)}".rstrip()


def _tables(tables: Mapping[str, Any]) -> str:
    """Return a line for each table that differs, or for each point of a sweep."""
    lines = []
    for name, differ in tables.items():
        inner = {name: differ} if {"rows", "variables"} & differ.keys() else differ
        point = "" if inner is not differ else f"{name}: "
        lines += [
            _cut(f"  {point}{table}: {_how(of)}", WIDTH) for table, of in inner.items()
        ]
    return "\n".join(["tables that differ", *_some(lines)]) if lines else ""


def _how(differ: Mapping[str, Sequence[Any]]) -> str:
    if "rows" in differ:
        return "{} | {} rows".format(*differ["rows"])
    return ", ".join(differ["variables"])


def _verdict(found: Mapping[str, Any]) -> str:
    if found["equal"]:
        return f"Results are equal: {found['compared']} values, and all tables."
    spread = [one["within"] for one in found["results"]]
    outside = spread.count(False)
    if spread and None not in spread:
        return (
            f"Results differ; {outside} of {len(spread)} differences exceed the spread."
        )
    return "Results differ."

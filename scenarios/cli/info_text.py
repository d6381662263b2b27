"""What ``lazynuma info`` prints of a run file: figures for people, in 80 columns."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from ...engine.output.provenance import flat
from ...engine.settings.costs import Costs
from ...engine.settings.settings import Settings
from ...engine.settings.sizes import format_size
from ..common.table import count, percent, seconds

WIDTH = 80
_HEAD = (
    *(
        "file",
        "title",
        "verdict",
        "state",
        "software",
        "format",
        "command",
        "date",
        "host",
    ),
    *("seed", "threads"),
)
#: Endings of names of fractions, which are shown as percent.
_FRACTIONS = ("_share", "_fraction", "_fraction_end", "_utilisation")

#: What no value says of a variant that has ended.
_NONE = {"converged_ns": "never", "run_time_ns": "killed"}
#: Parts of names of settings that are bytes.
_SIZES = ("memory", "bytes", "size", "mapped")
MIB = 1 << 20

Row = Mapping[str, Any]


def info_text(found: Mapping[str, Any]) -> str:
    """Return the text for what ``engine.output.describe`` found in a file."""
    parts = [
        _head(found),
        _packed("parameters", found["parameters"]),
        _settings(found["settings"]),
        _costs(found["costs"]),
        *_summary(found),
        *_times(found),
    ]
    return "\n\n".join(filter(None, parts))


def visible(text: str) -> str:
    """Return a text whose control characters are written out, as ``\\x1b``."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _head(found: Mapping[str, Any]) -> str:
    lines = []
    for name in _HEAD:
        if found.get(name, ""):
            indent = " " * 12
            text = textwrap.wrap(visible(str(found[name])), WIDTH - len(indent))
            lines += [f"{name:<12}{text[0] if text else ''}".rstrip()]
            lines += [indent + line for line in text[1:]]
    tables = [f"{count(rows)} {name}" for name, rows in found["tables"].items()]
    return "\n".join([*lines, wrapped(f"{'rows':<12}", tables, ", ")])


def wrapped(head: str, words: Sequence[str], between: str) -> str:
    """Return words on lines that fit, the first one after ``head``."""
    lines, line = [], head
    for i, word in enumerate(words):
        last = i == len(words) - 1
        word = visible(word) + ("" if last else between.rstrip())
        if len(line) > len(head) and len(line) + len(word) > WIDTH:
            lines.append(line.rstrip())
            line = " " * len(head)
        line += word + ("" if last else " ")
    return "\n".join([*lines, line.rstrip()])


def _packed(title: str, values: Mapping[str, Any]) -> str:
    """Return settings as ``name=value``, many on a line."""
    words = [f"{name}={sized(name, value)}" for name, value in values.items()]
    return f"{title}\n{wrapped('  ', words, '')}" if words else ""


def as_typed(value: Any) -> str:
    """Return a value as it would be typed."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(as_typed, value)) or "none"
    return str(value)


def sized(name: str, value: Any) -> str:
    """Return a value as it would be typed; whole MiB of a size with their unit."""
    is_size = any(part in name for part in _SIZES) and isinstance(value, int)
    if is_size and value >= MIB and value % MIB == 0:
        return format_size(value).replace(" ", "")
    return as_typed(value)


def _settings(settings: Mapping[str, Any]) -> str:
    """Return what is set otherwise than by default, of all variants and of each."""
    first, *each = [
        _packed(visible(heading), values)
        for heading, values in changed_settings(settings)
    ] or [""]
    return "\n".join(filter(None, [first, *(_indented(one) for one in each)]))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n")) if text else ""


def changed_settings(
    settings: Mapping[str, Any],
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (heading, settings) of all variants, then of each, without the defaults."""
    if not settings:
        return
    default = flat(asdict(Settings()))
    plain = {key: as_typed(_listed(value)) for key, value in default.items()}
    common = settings["common"].items()
    changed = {k: v for k, v in common if plain.get(k) != as_typed(v)}
    yield "settings (all others are the defaults)", changed
    for name, values in settings["variants"].items():
        yield f"of {name}", values


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _costs(costs: Mapping[str, Any]) -> str:
    """Return all costs with their units; those that were set also with the default."""
    known = {one.name: one for one in fields(Costs)}
    words = []
    for name, value in costs.items():
        unit = known[name].metadata.get("unit", "") if name in known else ""
        in_name = name.endswith((f"_{unit}", "_permille"))
        word = f"{name}={value}" + ("" if in_name else f" {unit}")
        if name in known and value != known[name].default:
            word += f" (default {known[name].default})"
        words.append(word.rstrip())
    return f"costs\n{wrapped('  ', words, ',')}" if words else ""


# --- one column for each variant ------------------------------------------------------


def _summary(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield blocks of the variables of ``/summary``."""
    rows, units = found["rows"], found["units"]
    lines = []
    for name, unit in units.items():
        if _is_cause(name):
            continue
        if isinstance(rows[0][name], Mapping):
            lines += _by_reason(name, rows)
        else:
            cells = [figure(name, unit, row[name], row["ended"]) for row in rows]
            lines.append((name, _shown(unit), cells))
    yield from _blocks(found, "summary", lines)


def _by_reason(name: str, rows: Sequence[Row]) -> list[tuple[str, str, list[str]]]:
    """Return a line for each reason for which something was refused."""
    return [
        (
            f"  {reason}",
            "",
            [figure(name, "page", row[name][reason], True) for row in rows],
        )
        for reason in rows[0][name]
        if any(row[name][reason] for row in rows)
    ]


def figure(name: str, unit: str, value: float | None, ended: bool) -> str:
    """Return a value of ``/summary`` for people, with the unit that it is scaled to.

    ``-`` is not written; a variant that has ended may have a reason for it.
    """
    if value is None:
        return _NONE.get(name, "-") if ended else "-"
    if unit == "ns":
        return seconds(value)
    if unit == "byte":
        return format_size(int(value))
    if isinstance(value, float) and name.endswith(_FRACTIONS):
        return percent(value)
    return count(value)


def _shown(unit: str) -> str:
    """Return the unit that stands in its own column: not one that figures have."""
    return "" if unit in ("1", "ns", "byte") else unit


def _is_cause(name: str) -> bool:
    """Tell whether a variable of ``/summary`` is a part of the time of the job."""
    return name.startswith("time_") and name.endswith("_ns")


def _times(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield blocks of where time went: of the job, or of all tasks until a kill."""
    rows = found["rows"]
    names = [name for name in found["units"] if _is_cause(name)]
    means = {
        name[len("time_") : -len("_ns")]: [row[name] or 0 for row in rows]
        for name in names
    }
    yield from _by_cause(found, "time by cause, mean over tasks", means)
    if not names or not all(row["ended"] for row in rows):
        causes = rows[0]["time_by_cause"]
        sums = {
            cause: [row["time_by_cause"][cause] for row in rows] for cause in causes
        }
        yield from _by_cause(found, "time by cause, all tasks together", sums)


def _by_cause(
    found: Mapping[str, Any], title: str, times: Mapping[str, Sequence[int]]
) -> Iterator[str]:
    """Yield blocks of times, and which share of their sum each is."""
    totals = [sum(column) for column in zip(*times.values(), strict=True)]
    if not any(totals):
        return
    lines = [
        (cause, "", list(map(_with_share, values, totals)))
        for cause, values in times.items()
        if any(values)
    ]
    lines.append(("total", "", [seconds(total) if total else "-" for total in totals]))
    yield from _blocks(found, title, lines)


def _with_share(time: int, total: int) -> str:
    return f"{seconds(time)} {100 * time / total:3.0f} %" if total else "-"


def _blocks(
    found: Mapping[str, Any], title: str, lines: list[tuple[str, str, list[str]]]
) -> Iterator[str]:
    """Yield tables of at most 80 columns: a line a variable, a column a variant."""
    if not lines:
        return
    dimensions = found["dimension"].split(", ")
    heads = [
        (name, "", [visible(str(row[name])) for row in found["rows"]])
        for name in dimensions
    ]
    table = [*heads, *lines]
    left = [max(len(line[i]) for line in table) for i in (0, 1)]
    begin = sum(left) + 2
    widths = [max(len(line[2][i]) for line in table) for i in range(len(found["rows"]))]
    for chosen in _fitting(widths, WIDTH - begin):
        yield "\n".join([title, *(_line(line, left, widths, chosen) for line in table)])
        title = f"{title.removesuffix(' (more)')} (more)"


def _line(
    line: tuple[str, str, list[str]],
    left: Sequence[int],
    widths: Sequence[int],
    chosen: Sequence[int],
) -> str:
    name, unit, cells = line
    shown = "".join(f"  {cells[i]:>{widths[i]}}" for i in chosen)
    return f"{name:<{left[0]}}  {unit:<{left[1]}}{shown}".rstrip()


def _fitting(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yield the numbers of columns that fit beside each other, one at least."""
    chosen: list[int] = []
    used = 0
    for i, width in enumerate(widths):
        if chosen and used + width + 2 > room:
            yield chosen
            chosen, used = [], 0
        chosen.append(i)
        used += width + 2
    yield chosen

"""What a run ends with: a verdict, and tables of 80 columns, numbers for people.

A table has a line for each variant.  Its columns are laid in blocks that fit on a
screen: first the answer, then where the time went, then the rest.
"""

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from ...engine.settings.cost_file import Finding, setting_of
from ...engine.study.figures import count as count
from ...engine.study.figures import percent as percent
from ...engine.study.figures import ratio as ratio
from ...engine.study.figures import seconds as seconds
from ...engine.study.shown import Row as Row
from ...engine.study.shown import Shown, groups, names_of, refusals
from ...engine.study.study import Study
from ...engine.study.verdict import verdict_of

#: Columns of a screen.
WIDTH = 80
_GAP = "  "


def table(study: Study, rows: Sequence[Row]) -> str:
    """Return the verdict and the table of ``rows``, which ``run_study`` returned.

    Counts that are 0 in all rows are left out; the file has them.
    """
    parts = [filled(study.question), filled(verdict_of(study, rows))]
    for title, columns in groups(study, rows):
        text = blocks([names_of(study, rows), *columns]) if columns else ""
        parts.append(f"{title}\n{text}" if title and text else text)
    parts.append("\n".join(_hanging(line) for line in refusals(study, rows)))
    return "\n\n".join(part for part in parts if part)


def legend(study: Study, rows: Sequence[Row]) -> str:
    """Return what each column of ``table`` means, a line each."""
    shown = [one for _, columns in groups(study, rows) for one in columns]
    width = max(len(one.heading) for one in shown)
    indent = " " * (width + 2)
    return "\n".join(
        textwrap.fill(
            f"{one.heading:{width}}  {one.meaning}", WIDTH, subsequent_indent=indent
        )
        for one in shown
    )


def filled(text: str) -> str:
    """Return a text as lines that fit on a screen."""
    return textwrap.fill(text, WIDTH)


def _hanging(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=_GAP)


def blocks(columns: Sequence[tuple[str, Sequence[str]] | Shown]) -> str:
    """Return tables that fit on a screen, each with the first column before others."""
    name, *others = [(one[0], list(one[1])) for one in columns]
    pages: list[list] = [[name]]
    for column in others:
        if len(pages[-1]) > 1 and _width([*pages[-1], column]) > WIDTH:
            pages.append([name])
        pages[-1].append(column)
    return "\n\n".join("\n".join(aligned(page)) for page in pages)


def _width(columns: Sequence[tuple[str, Sequence[str]]]) -> int:
    widths = [max(map(len, (*heading_lines(h), *cells))) for h, cells in columns]
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def heading_lines(heading: str) -> list[str]:
    """Return the lines of a heading: two at most, and what stands in brackets."""
    words, bracket, unit = heading.partition(" (")
    return [*words.split(" ", 1), *([f"({unit}"] if bracket else [])]


# --- lines ----------------------------------------------------------------------------


def aligned(columns: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the head of a table of (heading, cells), and a line for each row."""
    headings = [heading_lines(heading) for heading, _ in columns]
    widths = [
        max(map(len, (*heading, *cells)))
        for heading, (_, cells) in zip(headings, columns, strict=True)
    ]
    upper = zip_longest(*(heading[::-1] for heading in headings), fillvalue="")
    head = [_line(words, widths) for words in reversed(list(upper))]
    head.append(_GAP.join("-" * width for width in widths))
    rows = zip(*(cells for _, cells in columns), strict=True)
    return ["\n".join(head), *(_line(cells, widths) for cells in rows)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return one line: the name aligned to the left, numbers to the right."""
    name, *numbers = cells
    padded = [name.ljust(widths[0])]
    padded += [n.rjust(w) for n, w in zip(numbers, widths[1:], strict=True)]
    return _GAP.join(padded).rstrip()


# --- costs ----------------------------------------------------------------------------


def cost_table(findings: Sequence[Finding], source: str) -> str:
    """Return the table of all costs, with ``-`` for those that were not measured."""
    known = {finding.name: setting_of(finding.name) for finding in findings}
    lines = aligned(
        [
            ("cost", [finding.name for finding in findings]),
            ("measured", [_measured(finding.value) for finding in findings]),
            ("default", [f"{known[f.name].default:,}" for f in findings]),
            ("unit", [known[f.name].metadata["unit"] for f in findings]),
        ]
    )
    rows = [_beside(row, f.how) for row, f in zip(lines[1:], findings, strict=True)]
    return "\n".join([filled(source), "", lines[0], *rows])


def _beside(row: str, text: str) -> str:
    """Return a line with a text after it, or below it if both do not fit."""
    if len(row) + len(_GAP) + len(text) <= WIDTH:
        return f"{row}{_GAP}{text}"
    indent = 2 * _GAP
    below = textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
    return f"{row}\n{below}"


def _measured(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"

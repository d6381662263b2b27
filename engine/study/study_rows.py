"""The rows that a run returns: a list of dicts, which a notebook shows as a table."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from .shown import Row, Shown, groups, names_of, refusals
from .study import Study
from .verdict import verdict_of

_RIGHT = ' style="text-align: right"'
_LEFT = ' style="text-align: left"'


class Rows(list[Row]):
    """The rows of a study; a copy, or what pickle makes of it, is a plain list."""

    def __init__(self, study: Study, rows: Iterable[Row]) -> None:
        super().__init__(rows)
        self._study = study

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the study, whose steps cannot be pickled, behind."""
        return list, (list(self),)

    def _repr_html_(self) -> str:
        """Return the verdict and the tables, as ``lazynuma run`` prints them."""
        return rows_html(self._study, self)


def rows_html(study: Study, rows: Sequence[Row]) -> str:
    """Return what a run ends with as HTML; every text in it is escaped."""
    if not rows:
        return f"<p>{escape(study.question)}</p>"
    parts = [f"<p><b>{escape(study.question)}</b></p>"]
    parts.append(f"<p>{escape(verdict_of(study, rows))}</p>")
    names = names_of(study, rows)
    for title, columns in groups(study, rows):
        if columns:
            parts.append(_table(title, [names, *columns]))
    parts += [f"<p>{escape(line)}</p>" for line in refusals(study, rows)]
    if study.report:  # which may say more
        text = escape(str(study.report(study, list(rows))))
        summary = "<summary>as on the screen</summary>"
        parts.append(f"<details>{summary}<pre>{text}</pre></details>")
    return "\n".join(parts)


def _table(title: str, columns: Sequence[Shown]) -> str:
    """Return a table; what a column means is shown when it is pointed at."""
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    heads = (
        f'<th title="{escape(one.meaning)}">{escape(one.heading)}</th>'
        for one in columns
    )
    lines = zip(*(one.cells for one in columns), strict=True)
    body = (f"<tr>{_cells(line)}</tr>" for line in lines)
    return (
        f"<table>{caption}<thead><tr>{''.join(heads)}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _cells(line: Sequence[str]) -> str:
    name, *numbers = (escape(cell) for cell in line)
    return f"<td{_LEFT}>{name}</td>" + "".join(f"<td{_RIGHT}>{n}</td>" for n in numbers)

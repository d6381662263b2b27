"""The rows of a study as JSON: what ``run --json`` and ``replay --json`` print."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...engine.study.replicas import REPLICAS
from ...kernels.counters import Refusal

if TYPE_CHECKING:
    from ...engine.study.study import Study
    from ..common.table import Row


def json_rows(study: "Study", rows: list["Row"]) -> dict[str, Any]:
    """Return the question, the verdict and the rows, named as in ``/summary``.

    Numbers are plain ones, None for what has no value; refusals go by their names.
    """
    from ...engine.study.verdict import verdict_of

    by_reason = {column.name for column in study.columns if column.by_reason}
    plain = []
    for row in rows:
        values = _plain_row(row, by_reason)
        if REPLICAS in row:
            values[REPLICAS] = [_plain_row(one, by_reason) for one in row[REPLICAS]]
        plain.append(values)
    verdict = verdict_of(study, rows)
    return {"question": study.question, "verdict": verdict, "rows": plain}


def _plain_row(row: Mapping[str, Any], by_reason: set[str]) -> dict[str, Any]:
    values = {name: _plain(value) for name, value in row.items()}
    reasons = [reason.name.lower() for reason in Refusal]
    for name in by_reason:
        values[name] = dict(zip(reasons, values[name], strict=True))
    return values


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; NaN is none of its numbers."""
    value = getattr(value, "tolist", lambda: value)()
    return None if isinstance(value, float) and value != value else value

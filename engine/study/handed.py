"""What a scenario hands over, checked when it does: types, names and bounds."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...kernels.counters import Refusal
from ..daemons.user_daemon import check_daemon
from ..errors import BadInput, BadScenario, printable
from .columns import STYLES, Column, Field, Records

if TYPE_CHECKING:
    from .study import Study, Variant

#: Names of dimensions, columns and records: HDF5 and netCDF take them as they are.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: A variable of a file has 32 at most (H5S_MAX_RANK), one or two of them its own.
MOST_DIMENSIONS = 30
_NUMBERS = ("i8", "f8")
_FIELDS = re.compile(r"i1|i8|f8|S[1-9][0-9]{0,3}")


def place(function: Any) -> str:
    """Return `` (FILE, line N)``, where a function begins; empty if it does not say."""
    while isinstance(function, partial):
        function = function.func
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    return f" ({Path(code.co_filename).name}, line {code.co_firstlineno})"


def _shown(value: Any) -> str:
    return printable(repr(value))[:80]


def _check(right: bool, rule: str, value: Any) -> None:
    if not right:
        raise BadInput(f"{rule}, got {_shown(value)}")


def _is_count(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, Integral):
        return False
    return int(value) >= 0


def _is_text(value: Any) -> bool:
    """Whether a value is a text that a file can hold: UTF-8 without NUL."""
    if not isinstance(value, str) or "\0" in value:
        return False
    return value.encode("utf-8", "replace").decode() == value


def _check_name(value: Any, what: str) -> None:
    is_name = isinstance(value, str) and _NAME.fullmatch(value) is not None
    _check(is_name, f"{what} must be a name of letters, digits and _", value)


def _check_texts(value: Any, what: str) -> tuple[Any, ...]:
    """Return the one text of a name, or its several."""
    names = value if isinstance(value, tuple) else (value,)
    texts = all(one and _is_text(one) for one in names)
    right = texts and 1 <= len(names) <= MOST_DIMENSIONS
    rule = f"{what} must be a text, or a tuple of at most {MOST_DIMENSIONS}"
    _check(right, rule, value)
    return names


def check_variant(variant: "Variant") -> None:
    """Raise BadInput if a field of a variant is not what it must be."""
    from ..machines.machine import Machine  # here: the command's help needs no NumPy
    from ..settings.settings import Settings

    _check_texts(variant.name, "name of a variant")
    machine, settings = variant.machine, variant.settings
    _check(isinstance(machine, Machine), "machine must be a Machine", machine)
    _check(isinstance(settings, Settings), "settings must be Settings", settings)
    _check(callable(variant.steps), "steps must be a function", variant.steps)
    costs = variant.costs
    _check(costs is None or callable(costs), "costs must be a function", costs)
    _check(
        isinstance(variant.daemons, tuple), "daemons must be a tuple", variant.daemons
    )
    for daemon in variant.daemons:
        check_daemon(daemon)
    if variant.policy is not None:
        from ..doors.placement_policy import PlacementPolicy

        right = isinstance(variant.policy, PlacementPolicy)
        _check(right, "policy must be a PlacementPolicy", variant.policy)
    if variant.lazy is not None:
        from ..doors.lazy_design import LazyDesign  # here: nor does it need Numba

        right = isinstance(variant.lazy, LazyDesign)
        _check(right, "lazy must be a LazyDesign", variant.lazy)
    for name in ("accesses", "mapped_pages"):
        value = getattr(variant, name)
        _check(_is_count(value), f"{name} must be an integer of at least 0", value)


def check_study(study: "Study", variant: type) -> None:
    """Raise BadInput if a field of a study is not what it must be."""
    question = study.question
    right = isinstance(question, str) and "\0" not in question
    _check(right, "question must be a text", question)
    dimensions = _check_texts(study.dimension, "dimension")
    for name in dimensions:
        _check_name(name, "dimension")
    different = len(set(dimensions)) == len(dimensions)
    _check(different, "dimension must be different names", dimensions)
    _check_items(study.variants, variant, "variants")
    _check_items(study.columns, Column, "columns")
    _check_items(study.records, Records, "records")
    width = 1 if isinstance(study.dimension, str) else len(study.dimension)
    for one in study.variants:
        names = _check_texts(one.name, "name of a variant")
        _check(len(names) == width, f"name of a variant must have {width} texts", names)
    for column in study.columns:
        _check_column(column)
    for records in study.records:
        _check_records(records)
    for name in ("report", "verdict", "group", "related"):
        value = getattr(study, name)
        _check(value is None or callable(value), f"{name} must be a function", value)
    _check_items(study.varied, str, "varied")
    _check_items(study.kept, str, "kept")


def _check_items(items: Any, kind: type, what: str) -> None:
    _check(
        isinstance(items, Sequence) and all(isinstance(one, kind) for one in items),
        f"{what} must be a tuple of {kind.__name__}",
        items,
    )


def _check_column(column: Column) -> None:
    _check_name(column.name, "name of a column")
    for text in (column.heading, column.unit, column.long_name):
        _check(_is_text(text), f"texts of column {column.name} must be", text)
    _check(column.dtype in _NUMBERS, "dtype of a column must be i8 or f8", column.dtype)
    styles = ", ".join(STYLES)
    _check(column.style in STYLES, f"style must be one of {styles}", column.style)


def _check_records(records: Records) -> None:
    for name in (records.name, records.dimension):
        _check_name(name, "name of records")
    _check_items(records.fields, Field, "fields of records")
    for field in records.fields:
        _check_name(field.name, "name of a field")
        kind = field.dtype
        right = isinstance(kind, str) and _FIELDS.fullmatch(kind) is not None
        _check(right, "dtype of a field must be i1, i8, f8 or as S64", kind)


def checked_row(columns: Sequence[Column], values: Any, steps: Any) -> dict[str, Any]:
    """Return the value of each column; raise BadScenario if one is none, or no number.

    values  what the simulation says, and what ``steps`` returned
    """
    missing = [column.name for column in columns if column.name not in values]
    if missing:
        raise BadScenario(
            f"steps must return {', '.join(missing)}, got none{place(steps)}"
        )
    for column in columns:
        value = values[column.name]
        if not _fits(column, value):
            raise BadScenario(
                f"steps must return a number for {column.name}, got"
                f" {_shown(value)}{place(steps)}"
            )
    return {column.name: values[column.name] for column in columns}


def _fits(column: Column, value: Any) -> bool:
    """Whether a value is what a column of its kind takes."""
    import numpy as np

    if column.by_reason:
        return np.shape(value) == (len(Refusal),)
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value[()]
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        return False
    # NaN is none, such as the time of a job that was killed: a fill value in the file.
    return column.dtype != "i8" or not abs(float(value)) >= 2**63


def checked_values(values: Any, steps: Any) -> Mapping[str, Any]:
    """Return what ``steps`` returned; raise BadScenario if it is no dict, or None."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        got = f"{type(values).__name__}{place(steps)}"
        raise BadScenario(f"steps must return a dict or nothing, got {got}")
    return values

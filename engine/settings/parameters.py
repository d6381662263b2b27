"""Settings as people type them, checked and turned into a dataclass of parameters.

A field's annotation gives its type; its ``metadata`` may say more: ``knob.About``.

A field whose type is a dataclass is a group: ``khugepaged.defrag=false`` sets a field
of it, and the group's own name (``thp=always``) its first field.  A field that only one
group has also goes by its own name: ``max_ptes_none=0``.  What Linux calls otherwise
may be called so: ``kernel.numa_balancing=1`` is ``balancing.mode=normal``.
"""

import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from typing import Any

from ..errors import BadInput, did_you_mean
from .durations import format_duration, parse_duration
from .knob import checked
from .linux_names import our_name, refuse_linux_name
from .sizes import format_size, parse_size

_COST = "cost."
#: What people type for true and false.
_SWITCHES = {
    **dict.fromkeys((True, 1, "1", "true", "yes", "on"), True),
    **dict.fromkeys((False, 0, "0", "false", "no", "off"), False),
}


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """Return the settings of ``KEY=VALUE`` texts; of a repeated key the last counts.

    A value is read as TOML (``8``, ``true``, ``1e-3``, ``[1, 2]``, ``"x y"``) and is a
    plain string if it is none.  Raises BadInput for a text without a key or a ``=``.
    """
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key.strip() or not equals:
            raise BadInput(f"a setting must read KEY=VALUE, got {pair!r}")
        settings[key.strip()] = _toml(value)
    return settings


def split_costs(settings: Mapping[str, Any]) -> tuple[dict, dict]:
    """Return the settings proper, and those named ``cost.NAME`` under their NAME."""
    costs = {k[len(_COST) :]: v for k, v in settings.items() if k.startswith(_COST)}
    rest = {k: v for k, v in settings.items() if not k.startswith(_COST)}
    return rest, costs


def split_settings(
    parameters: type, others: type, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of ``parameters``, and those that only ``others`` has.

    Both are dataclasses.  The latter go by their full name: ``thp.enabled``.
    Raises BadInput for a name that a group of ``others`` does not have.
    """
    own: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in settings.items():
        name = _known(key, parameters) or _known(our_name(key), parameters)
        full = name or _known(our_name(key), others)
        if not full:
            _check_group(our_name(key), parameters, others)
        (rest if full and not name else own)[full or key] = value
    return own, rest


def _check_group(key: str, parameters: type, others: type) -> None:
    """Raise BadInput if a key is of a group of ``others`` that does not have it."""
    group, _, inner = key.partition(".")
    hints = typing.get_type_hints(others)
    mine = {field.name for field in fields(parameters)}
    if inner and group not in mine and is_dataclass(hints.get(group)):
        names = [f"{group}.{one.name}" for one in fields(hints[group])]
        near = did_you_mean(key, names)
        raise BadInput(f"setting must be one of {', '.join(names)}, got {key!r}{near}")


def _known(key: str, parameters: type) -> str:
    """Return the full name of a field of a dataclass or its groups, "" if it has none.

    A group's own name means its first field.
    """
    hints = typing.get_type_hints(parameters)
    known = {field.name: field for field in fields(parameters) if field.init}
    name, _, inner = (key if key in known else _full(key, known, hints)).partition(".")
    if name not in known:
        return ""
    if not is_dataclass(hints[name]):
        return "" if inner else name
    names = [one.name for one in fields(hints[name])]
    inner = inner or names[0]
    return f"{name}.{inner}" if inner in names else ""


def override(base: Any, settings: Mapping[str, Any]) -> Any:
    """Return ``base``, an instance of a dataclass, with other values of its fields.

    ``settings`` go by the names that ``split_settings`` returns.  Raises BadInput for a
    value of the wrong type or out of bounds.
    """
    hints = typing.get_type_hints(type(base))
    known = {field.name: field for field in fields(base) if field.init}
    plain, groups = _grouped(settings, known, hints)
    changed = {
        name: _convert(value, hints[name], known[name].metadata, name)
        for name, value in plain.items()
    }
    for name, inner in groups.items():
        group = getattr(base, name)
        changed[name] = replace(group, **_converted(type(group), inner, f"{name}."))
    return replace(base, **changed)


def fill(parameters: type, settings: Mapping[str, Any], prefix: str = "") -> Any:
    """Return an instance of the dataclass ``parameters`` with ``settings`` converted.

    ``prefix`` goes before the names in messages (``"cost."``).  Raises BadInput for an
    unknown key, a value of the wrong type or out of bounds, a field left without value.
    """
    hints = typing.get_type_hints(parameters)
    known = {field.name: field for field in fields(parameters) if field.init}
    settings = {
        name if name in known else our_name(name): value
        for name, value in settings.items()
    }
    settings, groups = _grouped(settings, known, hints)
    _check_names([*settings, *groups], known, hints, prefix)
    for name, field in known.items():
        if name not in settings and name not in groups and _default(field) is MISSING:
            raise BadInput(f"{prefix}{name} must be given, got no value")
    converted = {
        name: _convert(value, hints[name], known[name].metadata, prefix + name)
        for name, value in settings.items()
    }
    for name, inner in groups.items():
        own, inside = _default(known[name]), f"{prefix}{name}."
        converted[name] = replace(own, **_converted(type(own), inner, inside))
    return parameters(**converted)


def _converted(group: type, settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the settings of a group as its fields' types."""
    filled = fill(group, settings, prefix)
    return {name: getattr(filled, name) for name in settings}


def _grouped(
    settings: Mapping[str, Any], known: Mapping, hints: Mapping
) -> tuple[dict[str, Any], dict[str, dict]]:
    """Return the settings of plain fields, and those of each group by its name."""
    plain: dict[str, Any] = {}
    groups: dict[str, dict] = {}
    for key, value in settings.items():
        name, _, inner = (key if key in known else _full(key, known, hints)).partition(
            "."
        )
        if name not in known or not is_dataclass(hints[name]):
            plain[key] = value
            continue
        inner = inner or fields(hints[name])[0].name
        groups.setdefault(name, {})[inner] = value
    return plain, groups


def _full(key: str, known: Mapping, hints: Mapping) -> str:
    """Return the full name of a field that only one group has, otherwise ``key``."""
    owners = [
        name
        for name in known
        if is_dataclass(hints[name])
        and key in (one.name for one in fields(hints[name]))
    ]
    return f"{owners[0]}.{key}" if len(owners) == 1 else key


def _check_names(
    names: Iterable[str], known: Mapping, hints: Mapping, prefix: str
) -> None:
    """Raise BadInput if a name is not known, and say which are."""
    choices = [
        f"{name}.{inner.name}" if inner else name
        for name in known
        for inner in (fields(hints[name]) if is_dataclass(hints[name]) else (None,))
    ]
    for name in names:
        if name in known:
            continue
        refuse_linux_name(name)
        near = did_you_mean(name, choices, prefix)
        all_names = ", ".join(prefix + n for n in choices) or "none at all"
        wanted = "one that there is" if near else f"one of {all_names}"
        raise BadInput(f"setting must be {wanted}, got {prefix + name!r}{near}")


def describe(parameters: type) -> list[tuple[str, str, str]]:
    """Return (name, default as it would be typed, help) for each field.

    The help ends with the choices and the unit, if the field has any.
    """
    return _described(parameters, {}, "")


def _described(parameters: type, defaults: Mapping, prefix: str) -> list:
    """Do ``describe``; ``defaults`` are a group's, if its type has others."""
    lines = []
    for field in fields(parameters):
        default = defaults.get(field.name, _default(field))
        if is_dataclass(default):
            inner = f"{prefix}{field.name}."
            lines += _described(type(default), vars(default), inner)
        elif field.init:
            text = _default_text(default, field)
            # ``machine=4s`` is how a group's ``name`` is set.
            full = prefix.rstrip(".") if field.name == "name" else ""
            about = _about(field.metadata)
            lines.append((full or prefix + field.name, text, about))
    return lines


def _about(metadata: Mapping) -> str:
    """Return the help of a field with its unit and its choices."""
    text = metadata.get("help", "")
    if "choices" in metadata:
        text += f": {', '.join(map(str, metadata['choices']))}"
    unit = metadata.get("unit")
    return f"{text} ({unit})" if unit else text


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # not TOML, or too many digits or brackets
        return text.strip()


def _convert(value: Any, hint: Any, metadata: Mapping, name: str) -> Any:
    """Return ``value`` as the annotated type ``hint``, or raise BadInput."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(value, typing.get_args(hint), metadata, name)
    if hint in (tuple, list) or origin in (tuple, list):
        return _convert_items(value, hint, metadata, name)
    if metadata.get("kind") == "size":
        value = _size(value, name)
    elif metadata.get("kind") == "duration" or _is_time(value, metadata):
        value = parse_duration(value, name)
    elif hint is bool:
        value = _switch(value)
    elif "choices" in metadata:
        value = _choice(value, metadata)
    return checked(value, hint, metadata, name)


def _is_time(value: Any, metadata: Mapping) -> bool:
    """Tell whether a value is a text with a unit in the place of nanoseconds."""
    named = isinstance(value, str) and value[-1:].isalpha()
    return named and metadata.get("unit") == "ns"


def _switch(value: Any) -> Any:
    """Return what ``1``, ``on``, ``yes`` and their likes mean; others as they are."""
    key = value.lower() if isinstance(value, str) else value
    return _SWITCHES.get(key, value) if isinstance(key, bool | int | str) else value


def _choice(value: Any, metadata: Mapping) -> Any:
    """Return the choice that a value means: its number in Linux, or any spelling."""
    choices = metadata["choices"]
    if metadata.get("numbered") and type(value) is int and 0 <= value < len(choices):
        return choices[value]
    spelt = {_spelt(str(choice)): choice for choice in choices}
    return spelt.get(_spelt(value), value) if isinstance(value, str) else value


def _spelt(choice: str) -> str:
    """Return a choice spelt alike, be it ``defer+madvise`` or ``Defer_Madvise``."""
    return choice.lower().replace("_", "-").replace("+", "-")


def _size(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadInput(f"{name} must be a size such as 64GiB, got {value!r}")
    return parse_size(str(value), name)


def _convert_union(value: Any, hints: tuple, metadata: Mapping, name: str) -> Any:
    """Take the first member that fits; ``None`` is written ``none``."""
    if value == "none" and types.NoneType in hints:
        return None
    members = [hint for hint in hints if hint is not types.NoneType]
    for hint in members[:-1]:
        try:
            return _convert(value, hint, metadata, name)
        except BadInput:
            continue
    return _convert(value, members[-1], metadata, name)


def _convert_items(value: Any, hint: Any, metadata: Mapping, name: str) -> Any:
    """Convert a list, ``1,2,3`` or a single value, item by item."""
    if isinstance(value, str):
        value = [_toml(item) for item in value.strip("[]() ").split(",")]
    if not isinstance(value, list | tuple):
        value = [value]
    if metadata.get("kind") == "matrix":
        value = [one for row in value for one in (row if type(row) is list else [row])]
    if not value or value == [""]:
        raise BadInput(f"{name} must have at least one item, got none")
    item_hint = (typing.get_args(hint) or (Any,))[0]
    container = typing.get_origin(hint) or hint
    return container(_convert(item, item_hint, metadata, name) for item in value)


def _default(field: Field) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _default_text(default: Any, field: Field) -> str:
    if default is MISSING:
        return ""
    if default is None and "shown" in field.metadata:
        return str(field.metadata["shown"])
    if field.metadata.get("kind") == "duration":
        return format_duration(default)
    return _text(default, field.metadata.get("kind") == "size")


def _text(value: Any, is_size: bool) -> str:
    if isinstance(value, tuple | list):
        return ",".join(_text(item, is_size) for item in value)
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if is_size:
        short = format_size(int(value)).replace(" ", "")
        return short if parse_size(short) == value else str(value)
    return str(value)

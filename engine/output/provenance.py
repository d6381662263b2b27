"""How a run file came to be: versions, parameters and the host, as tskit says it."""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import h5py
import numpy as np

from ..study.study import Variant, label


def provenance(attributes: Mapping[str, Any]) -> str:
    """Return JSON after tskit's provenance schema 1.0.0."""
    return json.dumps(
        {
            "schema_version": "1.0.0",
            "software": {"name": "lazynuma", "version": version("lazynuma")},
            "parameters": dict(attributes),
            "environment": {
                "os": {"system": platform.system(), "release": platform.release()},
                "python": platform.python_version(),
                "libraries": {"h5py": h5py.__version__, "numpy": np.__version__},
            },
        },
        default=str,
    )


def settings_text(variants: Sequence[Variant]) -> str:
    """Return JSON: the settings that all variants share, and what is each one's own.

    ``{"common": {..}, "variants": {name: {..}}}``; knobs go by their full names
    (``balancing.mode``), and ``machine`` is the name of the machine.
    """
    each = {
        label(one.name): {"machine": one.machine.name, **flat(asdict(one.settings))}
        for one in variants
    }
    first, *others = each.values()
    common = {
        key: value
        for key, value in first.items()
        if all(other[key] == value for other in others)
    }
    own = {
        name: {key: value for key, value in values.items() if key not in common}
        for name, values in each.items()
    }
    return json.dumps({"common": common, "variants": own}, default=str)


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings by their full names: ``{"thp.enabled": "always"}``."""
    return dict(_flattened(values, ""))


def _flattened(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value

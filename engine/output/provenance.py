"""How a run file came to be: versions, parameters and the host, as tskit says it."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import h5py
import numpy as np


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

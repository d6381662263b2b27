"""Find a scenario by its name or its file.

Our scenarios are the files directly in ``scenarios/``.
"""

import importlib.util
import os
import sys
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType

from ...engine.errors import BadInput, did_you_mean
from .say import OWN, located


def scenario_names() -> list[str]:
    """Return the names of our scenarios, in order, without importing them."""
    return sorted(path.stem for path in Path(__file__).parents[1].glob("[!_]*.py"))


def scenario_module(name: str) -> ModuleType:
    """Import our scenario of that name."""
    return importlib.import_module(f"...{name}", __name__)


def find_scenario(name: str) -> ModuleType:
    """Return the scenario of that name, or the one in the file of that path.

    Raises BadInput if there is none, or if it is no scenario.
    """
    if name.endswith(".py") or os.sep in name:
        return _load(Path(name))
    names = scenario_names()
    if name not in names:
        raise BadInput(
            f"scenario must be one of {', '.join(names)} or a FILE.py, "
            f"got {name!r}{did_you_mean(name, names)}"
        )
    return scenario_module(name)


def _load(path: Path) -> ModuleType:
    """Import a user's file; raise BadInput if it is no scenario."""
    if not path.is_file():
        raise BadInput(f"scenario must be a file that exists, got {path}")
    if path.suffix != ".py":
        raise BadInput(f"scenario must be a Python file, FILE.py, got {path}")
    spec = importlib.util.spec_from_file_location(f"{OWN}{path.stem}", path)
    assert spec is not None and spec.loader is not None  # as for every .py file
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look here for annotations
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # it may raise whatever it wants
        raise BadInput(f"{path} must import, got {located(error)}") from error
    if not is_dataclass(getattr(module, "Parameters", None)):
        raise BadInput(f"{path} must define a dataclass Parameters, got none")
    if not callable(getattr(module, "build", None)):
        raise BadInput(f"{path} must define build(parameters), got none")
    return module

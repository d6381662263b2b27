"""Make a study again in another process: from its scenario and what was typed."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ...engine.study.study import Study
from .find import find_scenario
from .say import OWN


def origin(module: ModuleType) -> str:
    """Return what ``again`` finds a scenario by: a module, or the path of a file."""
    if not module.__name__.startswith(OWN):
        return module.__name__
    return str(Path(str(module.__file__)).resolve())


def again(scenario: str, settings: Mapping[str, Any]) -> Study:
    """Return the study of a scenario with these settings."""
    from ..common.typed import built, typed  # it loads NumPy

    of_a_user = scenario.endswith(".py")
    module = find_scenario(scenario) if of_a_user else importlib.import_module(scenario)
    return built(module, typed(module, settings))

"""From what a user types to a study: parameters, settings of all variants, costs."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from types import ModuleType
from typing import Any, NamedTuple

from ...engine.errors import BadInput
from ...engine.settings.costs import Costs
from ...engine.settings.parameters import (
    fill,
    override,
    split_costs,
    split_settings,
)
from ...engine.settings.settings import Settings
from ...engine.study.handed import place
from ...engine.study.overrides import with_overrides
from ...engine.study.study import Study
from .sampling import sampled, split_sampling


class Typed(NamedTuple):
    """What ``--set`` came to.

    parameters  an instance of the scenario's ``Parameters``
    sampling    what is written when (``Sampling``), by name
    overrides   settings of every variant, by names such as ``thp.enabled``
    costs       costs by their names
    """

    parameters: Any
    sampling: dict[str, Any]
    overrides: dict[str, Any]
    costs: dict[str, Any]

    def described(self) -> dict[str, Any]:
        """Return all that was set but costs, and the defaults, by name."""
        return asdict(self.parameters) | self.sampling | self.overrides

    def as_json(self) -> str:
        """Return ``described`` as the file of a run has it."""
        return json.dumps(self.described(), default=str)


def typed(module: ModuleType, settings: Mapping[str, Any]) -> Typed:
    """Return what settings of a scenario mean; BadInput if one is none or bad."""
    rest, costs = split_costs(settings)
    rest, sampling = split_sampling(rest, module.Parameters)
    own, overrides = split_settings(module.Parameters, Settings, rest)
    override(Settings(), overrides)
    fill(Costs, costs, "cost.")
    return Typed(fill(module.Parameters, own), sampling, overrides, costs)


def built(module: ModuleType, given: Typed) -> Study:
    """Return the study of a scenario; BadInput if it does not fit."""
    study = module.build(given.parameters)
    if not isinstance(study, Study):
        got = f"{type(study).__name__}{place(module.build)}"
        raise BadInput(f"build must return a Study, got {got}")
    return with_overrides(sampled(study, given.sampling), given.overrides)

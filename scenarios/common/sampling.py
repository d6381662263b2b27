"""What every scenario and ``replay`` can be told of the file: how often it is written.

``epoch=100ms`` is the length of an epoch, ``snapshots=0.5,1`` when snapshots are taken.
A scenario whose own parameters have one of these names keeps it for itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ...engine.settings.parameters import fill
from ...engine.settings.settings import SNAPSHOTS, nanoseconds
from ...engine.study.study import Study


@dataclass(frozen=True)
class Sampling:
    """What can be set."""

    epoch_ns: int = field(
        default=1_000_000_000,
        metadata={
            "kind": "duration",
            "min": 1,
            "help": "simulated time between two rows of /epochs, as 100ms",
        },
    )
    snapshots: tuple[float, ...] = field(default=(), metadata=SNAPSHOTS)


def split_sampling(
    settings: Mapping[str, Any], parameters: type
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of ``parameters``, and those of ``Sampling``, converted.

    ``epoch`` is short for ``epoch_ns``.  Raises BadInput for values that do not fit.
    """
    own = {one.name for one in fields(parameters)}
    names = {one.name: one.name for one in fields(Sampling)} | {"epoch": "epoch_ns"}
    names = {name: full for name, full in names.items() if name not in own}
    rest = {key: value for key, value in settings.items() if key not in names}
    given = {names[k]: value for k, value in settings.items() if k in names}
    filled = fill(Sampling, given)
    return rest, {name: getattr(filled, name) for name in given}


def sampled(study: Study, sampling: Mapping[str, Any]) -> Study:
    """Return the study with what was set of ``Sampling`` in all of its variants."""
    changes = {}
    if "epoch_ns" in sampling:
        changes["epoch_ns"] = sampling["epoch_ns"]
    if "snapshots" in sampling:
        changes["snapshots_ns"] = nanoseconds(sampling["snapshots"])
    variants = tuple(
        replace(variant, settings=replace(variant.settings, **changes))
        for variant in study.variants
    )
    return replace(study, variants=variants) if changes else study

"""Settings that a user gives to every variant of a study: ``--set thp.enabled=always``.

A scenario need not know of them.  Refused are those that its variants differ in.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from ...kernels.words import PAGE_SIZE
from ..errors import BadInput
from ..settings.parameters import override
from ..state.policies import policy_of
from .study import Study, Variant

if TYPE_CHECKING:
    from ..settings.settings import Settings


def with_overrides(study: Study, overrides: Mapping[str, Any]) -> Study:
    """Return ``study`` with settings of all its variants replaced.

    overrides  values as they were typed, by names such as ``thp.enabled``

    Raises BadInput for a setting that the variants differ in or are about, and for a
    value that is not allowed.
    """
    if not overrides:
        return study
    for key, value in overrides.items():
        if key in study.varied or _differs(study, key):
            raise BadInput(
                f"{key} must be left alone, as the variants set it themselves,"
                f" got {value}"
            )
    variants = tuple(_changed(variant, overrides) for variant in study.variants)
    return replace(study, variants=variants)


def _differs(study: Study, key: str) -> bool:
    """Tell whether the variants have several values of a setting."""
    values = {repr(_value(variant.settings, key)) for variant in study.variants}
    return len(values) > 1


def _value(settings: "Settings", key: str) -> Any:
    group, _, name = key.partition(".")
    value = getattr(settings, group)
    return getattr(value, name) if name else value


def _changed(variant: Variant, overrides: Mapping[str, Any]) -> Variant:
    settings = override(variant.settings, overrides)
    policy_of(settings.policy, variant.machine)
    pages = _mapped(variant, settings)
    return replace(variant, settings=settings, mapped_pages=pages)


def _mapped(variant: Variant, settings: "Settings") -> int:
    """Return the most pages that PTEs may map, if huge pages are other than before.

    That many fit in the machine and its swap: more than there are, so that a job which
    the host has no memory for is refused.
    """
    before = variant.settings
    more = max(0, settings.swap_bytes - before.swap_bytes) // PAGE_SIZE
    if asdict(settings.thp) == asdict(before.thp) or settings.thp.enabled == "always":
        return variant.mapped_pages + more
    whole = (sum(variant.machine.memory) + settings.swap_bytes) // PAGE_SIZE
    return max(variant.mapped_pages, whole)

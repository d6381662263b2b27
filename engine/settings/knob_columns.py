"""Write knobs and costs into the kernels' state."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...kernels.state import PAGEVEC_SIZE, Cost, Info
from ...kernels.words import PAGE_SIZE
from .costs import Costs
from .settings import Settings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_PAGES_PER_MB = (1 << 20) // PAGE_SIZE

#: The columns that are not simply the value of the knob that names them.
_OTHERWISE: dict[Info, Callable[[Settings], int]] = {
    # Quanta have no order in which a CPU's pages would wait in a batch.
    Info.LRU_BATCHES: lambda s: (
        min(s.locks.lru_lock_batch, PAGEVEC_SIZE) * (s.lru_batches and s.sequential)
    ),
    Info.WP_SEES_BATCHES: lambda s: s.lru_batches and s.wp_sees_batches,
    # A knob of what a new page's word means counts while there are generations only.
    Info.LRU_GEN_SECOND: lambda s: s.lru_gen.enabled and s.lru_gen.new_second,
    # Who asks whether a page is zero-filled.
    Info.CONTENT: lambda s: (
        s.thp.split_to_zero_pages or s.thp.split_underused or s.swap_zeromap
    ),
    # Kernels count pages: a second for promotions, in 100 ms for migrations.
    Info.PROMOTE_LIMIT: lambda s: s.balancing.promote_rate_limit_mbps * _PAGES_PER_MB,
    Info.MIGRATE_LIMIT: lambda s: (
        s.balancing.migrate_rate_limit_mbps * _PAGES_PER_MB // 10
    ),
}


def set_knobs(info: np.ndarray, settings: Settings) -> None:
    """Write the columns of ``info``, int64[INFO_WIDTH], that knobs name.

    A knob that has choices is written as the number of its choice.
    """
    for column, number in _numbers(settings):
        info[column] = number
    for column, number_of in _OTHERWISE.items():
        info[column] = number_of(settings)
    # Huge pages stay when the knob goes back to "never", and so does this.
    info[Info.MAY_BE_HUGE] |= settings.thp.enabled != "never"


def _numbers(knobs: "DataclassInstance") -> Iterator[tuple[Info, int]]:
    """Return (column, number) of each knob that has a column, those of groups too."""
    for one in fields(knobs):
        value, choices = getattr(knobs, one.name), one.metadata.get("choices")
        if is_dataclass(value) and not isinstance(value, type):
            yield from _numbers(value)
        elif "column" in one.metadata:
            number = value if choices is None else choices.index(value)
            yield Info[one.metadata["column"]], number


def cost_columns(costs: Costs) -> np.ndarray:
    """Return int64[len(Cost)], ns: ``Cost.WALK`` is ``walk_ns``, and so on."""
    return np.array([getattr(costs, f"{one.name.lower()}_ns") for one in Cost])

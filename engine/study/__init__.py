"""What a scenario asks: variants of one machine and workload, and the columns to show.

``verdict`` is what the rows come to, ``uncertainty`` how far that hangs on costs which
nobody has measured, ``overrides`` are settings that a user gives to all variants, and
``host_limits`` says whether this host has the memory for it.  May import the observer,
settings and errors; types of what is above it only for type checkers.
"""

from .columns import (
    SUMMARY,
    THP,
    THP_SHARE,
    TIMES,
    VERDICT,
    Column,
    Field,
    Records,
    hide,
)
from .study import Study, Variant

__all__ = [
    "SUMMARY",
    "THP",
    "THP_SHARE",
    "TIMES",
    "VERDICT",
    "Column",
    "Field",
    "Records",
    "Study",
    "Variant",
    "hide",
]

"""What a scenario asks: variants of one machine and workload, and the columns to show.

It may import settings, machine, workloads and state.
"""

from .columns import SUMMARY, THP, THP_SHARE, VERDICT, Column, Field, Records, hide
from .study import Study, Variant

__all__ = [
    "SUMMARY",
    "THP",
    "THP_SHARE",
    "VERDICT",
    "Column",
    "Field",
    "Records",
    "Study",
    "Variant",
    "hide",
]

"""The knobs of generations of pages, spelled as in /sys/kernel/mm/lru_gen."""

from dataclasses import dataclass

from .knob import check_knobs, knob


@dataclass(frozen=True)
class LruGen:
    """How reclaim chooses pages (MGLRU); BadInput if a value is not allowed."""

    enabled: bool = knob(
        False, "generations in place of two lists (on: 6.12)", column="LRU_GEN"
    )
    new_second: bool = knob(
        False, "new pages enter the second youngest generation (6.14)"
    )
    spread: bool = knob(
        True,
        "three generations are aged when their sizes are uneven (to 6.13); else always",
        column="LRU_GEN_SPREAD",
    )

    def __post_init__(self) -> None:
        check_knobs(self, "lru_gen.")

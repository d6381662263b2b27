"""The colours of pictures and pages, by day and by night; colour-blind people can tell.

The colours of variants are those of Okabe and Ito, darker where they were too light to
be seen as a line on white; each has a partner that is seen on a dark page.
"""

from collections.abc import Mapping

#: (on a light page, on a dark one) of the variants, in the order of the file.
VARIANTS = (
    ("#0072b2", "#4da3d9"),
    ("#d55e00", "#f08a3c"),
    ("#009e73", "#2fbf93"),
    ("#b04f8a", "#dd93be"),
    ("#9a7400", "#d9b036"),
    ("#56b4e9", "#8ccef5"),
    ("#5b5b5b", "#b5b5b5"),
    ("#7a3e00", "#c08a5b"),
)
#: Variants after these share this one, and are not named in lines.
OTHERS = ("#a3a3a3", "#6d6d6d")

#: Of what time goes into.
CAUSES = {
    "access_local": ("#86bfe0", "#6aa9cf"),
    "access_remote": ("#d55e01", "#e8762a"),
    "minor_fault": ("#f0d348", "#e3c63f"),
    "huge_fault": ("#f4e495", "#d9cb84"),
    "cow": ("#c9a227", "#c9a228"),
    "hint_fault": ("#b8860b", "#c7921a"),
    "lazy_fault": ("#8a6508", "#a67c1e"),
    "migration": ("#009e74", "#1fae86"),
    "swap_in": ("#7b3294", "#a566bd"),
    "reclaim": ("#a6611a", "#bd7a34"),
    "syscall": ("#444445", "#8f8f90"),
    "compaction": ("#b2abd2", "#b2abd3"),
    "page_walk": ("#cc79a7", "#cc79a8"),
    "scan": ("#8073ac", "#9488bd"),
    "sample": ("#56b4e8", "#3f93c2"),
    "lock_sleep": ("#c51b7d", "#de4d9c"),
    "lock_spin": ("#e9a3c9", "#b8608f"),
    "others": ("#999998", "#77777a"),
    "idle": ("#d9d9d8", "#4c4f55"),
}

#: From the first node to the last.
_NODES = (
    *("#5c55a8", "#3f6ba3", "#277f8e", "#1fa187"),
    *("#4ac16d", "#a0da39", "#fde725"),
)
#: The ink of pictures, their paper, and lines that hold nothing but the eye.
INK, PAPER, FAINT = "#111112", "#fefefe", "#cfcfd0"
#: Of heat maps: the more, the less one sees through it.
HEAT = "#3f8fc9"


def nodes(count: int) -> list[str]:
    """Return a colour for each of ``count`` nodes, in their order."""
    if count == 1:
        return [_NODES[1]]
    last = len(_NODES) - 1
    return [_mixed(number * last / (count - 1)) for number in range(count)]


def _mixed(place: float) -> str:
    """Return the colour between two of ``_NODES``."""
    low = min(int(place), len(_NODES) - 2)
    return between(_NODES[low], _NODES[low + 1], place - low)


def between(one: str, other: str, share: float) -> str:
    """Return a colour on the way from one to another."""
    parts = zip(_rgb(one), _rgb(other), strict=True)
    mixed = (round(a + (b - a) * share) for a, b in parts)
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def themed() -> Mapping[str, tuple[str, str]]:
    """Return each colour that differs on a dark page: (light, dark) by its name."""
    pairs = (*VARIANTS, OTHERS, *CAUSES.values())
    return {light.removeprefix("#"): (light, dark) for light, dark in pairs}

"""The runs of a sweep as points: which settings vary, and what each run came to.

Runs are compared if they have the same variants; what varies is found in their
parameters, settings, costs and seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...engine.errors import BadInput
from ...engine.study.figures import count, seconds
from .story import Story

SEED = "seed"


@dataclass(frozen=True)
class Setting:
    """A setting that varies: its name, and its values in order, as they are typed."""

    name: str
    values: list[str]
    numbers: list[float] | None = None


@dataclass(frozen=True)
class Points:
    """The runs of a sweep: a value of each setting and of each variant.

    settings  those that vary, seeds apart
    at        for each run the value of each setting by its name
    amounts   [run][variant]: what is compared, None for what has no value
    what      its name
    is_time   whether it is in ns, and the least is best
    """

    story: Story
    settings: Sequence[Setting]
    at: Sequence[Mapping[str, str]]
    amounts: Sequence[Sequence[float | None]]
    what: str
    is_time: bool
    seeds: int = 1

    def text(self, value: float) -> str:
        """Return an amount for people."""
        return seconds(value) if self.is_time else count(value)

    def best(self, run: int, variants: Sequence[int]) -> int | None:
        """Return the best of some variants in a run, None if there is none."""
        row = self.amounts[run]
        known = [i for i in variants if row[i] is not None]
        pick = min if self.is_time else max
        return pick(known, key=lambda i: row[i] or 0.0) if known else None

    @property
    def rivals(self) -> dict[str, list[int]]:
        """The variants that are compared with each other, by the work that they do."""
        works = self.story.works if self.story.ranked else {}
        return {work: rivals for work, rivals in works.items() if len(rivals) > 1}

    def where(self, fixed: Mapping[str, str]) -> list[int]:
        """Return the runs with given values of settings."""
        return [
            run
            for run, at in enumerate(self.at)
            if all(at[name] == value for name, value in fixed.items())
        ]


def points_of(stories: Sequence[Story]) -> Points | None:
    """Return the runs as points of a sweep, None if they are not to be compared."""
    if len(stories) < 2 or len({_kind(story) for story in stories}) > 1:
        return None
    settings = [_settings_of(story) for story in stories]
    varied = _varied(settings)
    seeds = len({one[SEED] for one in settings})
    if not varied and seeds < 2:
        return None
    first = stories[0]
    what = compared_by(first)
    if what is None:
        return None
    amounts = [[row[what] for row in story.rows] for story in stories]
    return Points(first, varied, settings, amounts, *named(first, what), seeds)


def named(story: Story, what: str) -> tuple[str, bool]:
    """Return what a column is called, and whether it is a time."""
    return story.found["columns"][what]["heading"], what.endswith("_ns")


def _kind(story: Story) -> tuple:
    return story.found["title"], story.found["dimension"], tuple(story.names)


def compared_by(story: Story) -> str | None:
    """Return the column that runs are compared by."""
    if "run_time_ns" in story.found["units"]:
        return "run_time_ns"
    columns = story.found["columns"]
    first = (name for name in story.found["units"] if columns[name]["first"])
    return next(first, None)


def _settings_of(story: Story) -> dict[str, str]:
    """Return all settings of a run by their names, as texts."""
    from ..cli.info_text import sized

    found = story.found
    values = dict(found["settings"].get("common", {}))
    values |= {f"cost.{name}": value for name, value in found["costs"].items()}
    values |= found["parameters"]
    texts = {name: sized(name, value) for name, value in values.items()}
    return texts | {SEED: str(found.get(SEED, ""))}


def _varied(settings: Sequence[Mapping[str, str]]) -> list[Setting]:
    """Return the settings that vary, those apart that only follow another one."""
    names = list(dict.fromkeys(name for one in settings for name in one))
    # What the user has set comes before what follows from it.
    names.sort(key=lambda name: name.startswith(("cost.", "machine.")))
    found: list[Setting] = []
    patterns: list[tuple[int, ...]] = []
    for name in names:
        values = [one.get(name, "") for one in settings]
        order = ordered(values)
        pattern = tuple(list(dict.fromkeys(values)).index(value) for value in values)
        if name == SEED or len(order.values) < 2 or pattern in patterns:
            continue
        patterns.append(pattern)
        found.append(Setting(name, order.values, order.numbers))
    return found


def ordered(values: Sequence[str]) -> Setting:
    """Return the values in the order of their numbers, or as they came."""
    from ...engine.settings.sizes import parse_size

    different = list(dict.fromkeys(values))
    numbers: dict[str, float] = {}
    for value in different:
        try:
            numbers[value] = float(value)
        except ValueError:
            try:
                numbers[value] = float(parse_size(value, "size"))
            except (BadInput, ValueError):
                return Setting("", different)
    different.sort(key=numbers.__getitem__)
    return Setting("", different, [numbers[value] for value in different])

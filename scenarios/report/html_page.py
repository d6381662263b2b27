"""The page: one HTML file that needs nothing else, made from a template."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ..cli.info_text import changed_settings, sized
from . import palette
from .figures import pictures
from .sheet import Picture, for_page
from .story import Story
from .summary_rows import answer, others

if TYPE_CHECKING:
    from .many_runs import Comparison

#: (what it says, attribute of the file) at the end of a page.
_PROVENANCE = ("command", "software", "format", "date", "host", "seed", "threads")
_STATES = {
    "running": "This run is still going: what is shown is what it has written so far.",
    "stopped": "This run was stopped: what is shown is what it had written.",
    "failed": "This run failed: what is shown is what it had written.",
    "killed": "This run was killed: what is shown is what it had written.",
}


def page(stories: Sequence[Story], comparison: "Comparison | None" = None) -> str:
    """Return the page of some runs, and of what they are compared by, if anything."""
    sections = [_section(story, f"run{i + 1}") for i, story in enumerate(stories)]
    title = stories[0].found["title"] if stories else ""
    if comparison is not None:
        title = comparison.title
    elif len(stories) > 1:
        title = f"{len(stories)} runs"
    return _template().render(
        title=title,
        style=_file("page.css")
        .replace("{{ light }}", _variables(0))
        .replace("{{ dark }}", _variables(1)),
        script=_file("page.js"),
        sections=sections,
        sweep=_sweep(comparison) if comparison is not None else None,
    )


@cache
def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(_file("page.html.jinja"))


def _file(name: str) -> str:
    return (files(__package__) / "template" / name).read_text(encoding="utf-8")


def _variables(theme: int) -> str:
    """Return the colours of pictures by day (0) or by night (1), as variables."""
    pairs = palette.themed().items()
    return " ".join(f"--c-{name}: {pair[theme]};" for name, pair in pairs)


def _section(story: Story, place: str) -> dict[str, Any]:
    """Return what the template says of one run."""
    found = story.found
    return {
        "place": place,
        "name": story.stem,
        "title": found["title"],
        "verdict": story.verdict(),
        "state": _STATES.get(
            found["state"],
            "" if found["state"] == "done" else f"This run is {found['state']}.",
        ),
        "meta": _meta(story),
        "dimension": found["dimension"],
        "caption": _caption(story),
        "answer": _coloured(answer(story)),
        "others": _coloured(others(story)),
        "figures": drawn(pictures(story), place),
        "notes": _notes(story),
        "provenance": _provenance(story),
        "settings": list(_settings(found)),
    }


def drawn(found: Sequence[Picture], place: str) -> list[tuple[str, Picture, str]]:
    """Return (id, picture, SVG) of pictures; none if the page shows HTML."""
    return [
        (
            f"{place}-{one.name}",
            one,
            "" if one.html else for_page(one, f"{place}-{one.name}"),
        )
        for one in found
    ]


def _sweep(comparison: "Comparison") -> dict[str, Any]:
    return {
        "title": comparison.title,
        "verdict": comparison.verdict,
        "meta": comparison.meta,
        "caption": comparison.caption,
        "rows": comparison.rows,
        "figures": drawn(comparison.pictures, "sweep"),
    }


def _coloured(rows: Any) -> dict[str, Any]:
    """Return a table whose colours are those of the page's theme."""
    return {
        "heads": rows.heads,
        "rows": [
            (name, f"var(--c-{colour.removeprefix('#')})", cells)
            for name, colour, cells in rows.rows
        ],
    }


def _meta(story: Story) -> str:
    """Return scenario, machine and size in a line."""
    found = story.found
    common: Mapping[str, Any] = found["settings"].get("common", {})
    words = [
        story.stem,
        f"machine {common['machine']}" if common.get("machine") else "",
        f"seed {found['seed']}" if "seed" in found else "",
        f"{len(story.rows)} variants",
        str(found.get("date", ""))[:10],
    ]
    return " \u00b7 ".join(word for word in words if word)


def _caption(story: Story) -> str:
    if not story.ranked:
        return "In the order of the scenario."
    return (
        "The fastest of each work first."
        if len(story.works) > 1
        else "The fastest first."
    )


def _notes(story: Story) -> list[str]:
    """Return what would make a page say more."""
    epochs = max((len(one["time_ns"]) for one in story.series), default=0)
    notes = []
    if epochs < 2:
        notes.append(
            "No variant ran for two epochs, so nothing is drawn over time: --set"
            " epoch=100ms makes epochs shorter."
        )
    if story.found["replicas"]:
        notes.append("What is drawn over time is of the first seed.")
    if not story.found["snapshots"]:
        notes.append(
            "There are no snapshots: --set snapshots=0.5,1 takes some, and shows where"
            " the blocks are."
        )
    return notes


def _provenance(story: Story) -> list[tuple[str, str]]:
    found = story.found
    values = [(name, str(found[name])) for name in _PROVENANCE if found.get(name)]
    return [("file", found["file"]), *values]


def _settings(found: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield (heading, settings) of the parameters, the settings and the costs."""
    for name in ("parameters", "costs"):
        if found[name]:
            values = [(key, sized(key, value)) for key, value in found[name].items()]
            yield name.capitalize(), values
    for heading, changed in changed_settings(found["settings"]):
        pairs = [(key, sized(key, value)) for key, value in changed.items()]
        if pairs:
            yield heading, pairs

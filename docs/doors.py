"""Write the reference of what a user's file may use into ``docs/doors.md``.

It is made of the docstrings and comments of the code itself.

python docs/doors.py
"""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any

from lazynuma import engine
from lazynuma.engine.doors.generator import Access
from lazynuma.engine.simulation import Simulation
from lazynuma.kernels.counters import Level, Refusal
from lazynuma.kernels.placement.asked import Cold, Fault, Touch

PAGE = Path(__file__).with_name("doors.md")
MARKS = "<!-- Written by docs/doors.py: {} -->", "<!-- End of {}. -->"
#: Columns of ``Simulation`` under one of these headings are calls of the doors, ...
HEADINGS = ("What daemons do, in bulk", "Time")
#: ... and these others.
OTHERS = ("take_samples", "samples_lost", "own", "set_own")
#: Defaults of so many characters are not shown.
SHORT = 16
#: Arguments of the functions of a policy, and which of them get it.
ASKED = {
    Fault: "`hint_fault` and `promote`",
    Touch: "`first_touch`",
    Cold: "`demote`",
}
#: What fields are that say nothing in the code.
UNCOMMENTED = {
    "task": "number of the task",
    "process": "number of the process",
    "cpu_tier": "the tier of cpu_node",
}
#: Modules whose public names the page has, by the section that has them.
SECTIONS = {
    "policy": (".doors.placement_policy", ".doors.own_array", ".doors.answers"),
    "workload": (".doors.random_numbers", ".workloads"),
    "lazy": (".doors.lazy_design",),
    "daemon": (".daemons", ".settings.sampled_accesses"),
}


def page(text: str) -> str:
    """Return the text of the page with its parts made anew."""
    for name, make in PARTS.items():
        begin, end = (mark.format(name) for mark in MARKS)
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{make()}\n\n{end}{rest.split(end)[1]}"
    return text


def fields() -> str:
    """Return tables of the arguments of a policy's functions."""
    parts = []
    for kind, used in ASKED.items():
        parts += [f"### `{kind.__name__.lower()}` of {used}", table(commented(kind))]
    return "\n\n".join(parts)


def commented(kind: type) -> Iterator[tuple[str, str]]:
    """Yield (name, comment) of what an enumeration declares, in lower case."""
    for line in inspect.getsource(kind).splitlines():
        if found := re.match(r"\s+([A-Z_]+) = auto\(\)(?:\s+# (.*))?$", line):
            name = found[1].lower()
            yield name, found[2] or UNCOMMENTED.get(name) or comment_in_fault(name)


def comment_in_fault(name: str) -> str:
    """Return what a field is that says nothing, and that ``Fault`` has, too."""
    return dict(commented(Fault))[name]


def table(rows: Iterator[tuple[str, str]]) -> str:
    lines = (f"| `{name}` | {cell(text)} |" for name, text in rows)
    return "\n".join(["| field | meaning |", "|---|---|", *lines])


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def access() -> str:
    """Return the docstring of what a generator gets."""
    return entry("access", Access, "")


def names_of(section: str) -> list[str]:
    """Return the names of ``lazynuma.engine`` that a section has."""
    modules = SECTIONS[section]
    return sorted(n for n, at in engine._WHERE.items() if at.startswith(modules))


def section(name: str) -> str:
    """Return an entry for each name of a section."""
    return "\n\n".join(entry(one, getattr(engine, one)) for one in names_of(name))


def entry(name: str, what: Any, arguments: str | None = None) -> str:
    """Return the heading and the docstring of a class, a function or a constant."""
    what = getattr(what, "py_func", what)
    if isinstance(what, int):
        return f"### `{name}`\n\n{comment_of(name)}"
    if what in (Refusal, Level):
        members = ", ".join(f"`{one.name}`" for one in what)
        return f"### `{name}`\n\n{cell(inspect.getdoc(what) or '')} {members}."
    if arguments is None:
        arguments = signature(what)
    return f"### `{name}{arguments}`\n\n```text\n{inspect.getdoc(what)}\n```"


def comment_of(name: str) -> str:
    """Return the comment before a constant, where it is declared."""
    module = import_module(engine._WHERE[name], engine.__name__)
    before = Path(module.__file__).read_text().split(f"\n{name} = ")[0]
    lines = takewhile(lambda line: line.startswith("#: "), before.splitlines()[::-1])
    return " ".join(line[3:] for line in [*lines][::-1])


class Long:
    """Stands for a default that is too long to be shown."""

    def __repr__(self) -> str:
        return ".."


def signature(what: Any, without: str = "") -> str:
    """Return the parameters of a call, without their types."""
    bare = inspect.Signature.empty
    given = inspect.signature(what).parameters.values()
    plain = [shown(p.replace(annotation=bare)) for p in given if p.name != without]
    return str(inspect.Signature(plain))


def shown(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter whose default is short."""
    default = repr(parameter.default)
    if parameter.default is inspect.Signature.empty or len(default) < SHORT:
        return parameter
    return parameter.replace(default=Long())


def calls() -> str:
    """Return an entry for each call of a simulation that the doors have."""
    return "\n\n".join(call(name) for name in call_names())


def call_names() -> list[str]:
    """Return the calls under the headings, and the others that there are."""
    found, heading = [], ""
    for line in inspect.getsource(Simulation).splitlines():
        if line.strip().startswith("# "):
            heading = line.strip()[2:]
        elif heading in HEADINGS and " = " in line:
            found += [one.strip() for one in line.split(" = ")[0].split(",")]
    return [*found, *(name for name in OTHERS if hasattr(Simulation, name))]


def call(name: str) -> str:
    what = inspect.getattr_static(Simulation, name)
    if isinstance(what, property):
        return entry(f"simulation.{name}", what.fget, "")
    return entry(f"simulation.{name}", what, signature(what, "simulation"))


PARTS = {
    "arguments": fields,
    "policies": lambda: section("policy"),
    "access": access,
    "workloads": lambda: section("workload"),
    "calls": calls,
    "daemons": lambda: section("daemon"),
    "lazy designs": lambda: section("lazy"),
}

if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))

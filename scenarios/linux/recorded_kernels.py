"""Find and read records: what kernels said of memory scripts.

``KERNEL/NAME.mm`` is a script, ``KERNEL/NAME.json`` what Linux did.  In a checkout they
are in ``tests/linux``; in an installed package they are packed beside this file.
"""

import json
import re
import zipfile
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

from ...engine.errors import BadInput, did_you_mean

#: A record, as ``lazynuma replay --json`` prints it.
Record = dict[str, Any]

PACKED = Path(__file__).with_name("records.zip")
CHECKOUT = Path(__file__).parents[2] / "tests" / "linux"
#: Folders of records are named as profiles are.
_KERNEL = re.compile(r"linux-[0-9]+(\.[0-9]+)*")


class Case(NamedTuple):
    """A script, and what a kernel did.

    script   lines of the script
    release  the kernel's own name
    expect   records that two runs agreed on
    lost     lines at which they did not agree
    """

    script: tuple[str, ...]
    release: str
    expect: tuple[Record, ...]
    lost: tuple[int, ...]


def records_place(given: str | None = None) -> Traversable:
    """Return the folder of the records: the one that is given, or our own.

    Raises BadInput if there are none.
    """
    if given is not None:
        folder = Path(given)
        if not folder.is_dir() or not kernels(folder):
            raise BadInput(
                "--records must be a folder with a folder for each kernel"
                f" (linux-6.1/NAME.mm and NAME.json), got {given}"
            )
        return folder
    if PACKED.is_file():
        return zipfile.Path(PACKED)
    if not CHECKOUT.is_dir() or not kernels(CHECKOUT):
        raise BadInput("--records must be given: this package was built without any")
    return CHECKOUT


def kernels(place: Traversable) -> list[str]:
    """Return the kernels that have records, the oldest first."""
    found = [one.name for one in place.iterdir() if one.is_dir()]
    return sorted(filter(_KERNEL.fullmatch, found), key=_version)


def _version(kernel: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", kernel)]


def cases(place: Traversable, kernel: str) -> dict[str, Case]:
    """Return the cases of a kernel by their names, in order.

    Raises BadInput if it has none, or if a record is none.
    """
    known = kernels(place)
    if kernel not in known:
        raise BadInput(
            f"kernel must be one that was recorded: {', '.join(known)}, got"
            f" {kernel!r}{did_you_mean(kernel, known)}"
        )
    return dict(sorted(_read(place / kernel)))


def _read(folder: Traversable) -> Iterator[tuple[str, Case]]:
    for one in folder.iterdir():
        if not one.name.endswith(".json"):
            continue
        name = one.name.removesuffix(".json")
        script = folder / f"{name}.mm"
        try:
            found = json.loads(one.read_text(encoding="utf-8"))
            text = script.read_text(encoding="utf-8").splitlines()
            case = Case(
                tuple(text),
                str(found["kernel"]),
                tuple(found["expect"]),
                tuple(found.get("lost", ())),
            )
            if any(not 1 <= record["line"] <= len(text) for record in case.expect):
                raise ValueError("lines that the script does not have")
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"{one} must be the record of {name}.mm, got {error!r}"
            ) from None
        yield name, case

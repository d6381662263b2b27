"""The descriptions of machines that can be read, told by their content."""

import os
import posixpath
from collections.abc import Callable
from typing import NamedTuple

from ..errors import BadInput, did_you_mean
from . import hwloc_xml, lscpu, numactl, sysfs, tree
from .firmware import Firmware
from .presets import PRESETS

#: hwloc writes some 100 kB of XML for the largest machines.
_TEXT_MAX = 1 << 26


class Format(NamedTuple):
    """A kind of text: its name, how it is told, and what it says of the nodes."""

    name: str
    is_mine: Callable[[str], bool]
    facts: Callable[[str], Firmware]


FORMATS = (
    Format("hwloc XML", hwloc_xml.is_hwloc, hwloc_xml.hwloc_facts),
    Format("numactl --hardware", numactl.is_numactl, numactl.numactl_facts),
    Format("lscpu", lscpu.is_lscpu, lscpu.lscpu_facts),
)


def host() -> Firmware:
    """Return what this computer's sysfs says; BadInput if it has none."""
    return sysfs.tree_facts(tree.folder("/sys", sysfs.wanted))


def read(path: str) -> tuple[str, Firmware]:
    """Return the name and the facts of a file or a folder; BadInput if it has none."""
    name = posixpath.basename(path.rstrip("/"))
    if os.path.isdir(path):
        return name, sysfs.tree_facts(tree.folder(path, sysfs.wanted))
    if not os.path.isfile(path):
        raise BadInput(
            f"machine must be one of {', '.join(PRESETS)}, host, a folder of sysfs or a"
            f" file with the output of {_names()}, "
            f"got {path!r}{did_you_mean(path, (*PRESETS, 'host'))}"
        )
    if tree.is_archive(path):
        return name, sysfs.tree_facts(tree.archive(path, sysfs.wanted))
    text = text_of(path, "machine")
    form = next((one for one in FORMATS if one.is_mine(text)), None)
    if form is None:
        raise BadInput(
            f"machine must be a file with the output of {_names()}, or an archive of"
            f" sysfs, got {path!r}: {_begins(text)}"
        )
    return name, form.facts(text)


def _names() -> str:
    return ", ".join(one.name for one in FORMATS)


def _begins(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return f"it begins with {line[:60]!r}" if line else "it is empty"


def text_of(path: str, name: str) -> str:
    """Return the text of a file, in the encodings of Linux and of Windows.

    Raises BadInput, with the name of the setting, if it cannot be read.
    """
    if not os.path.isfile(path):
        raise BadInput(f"{name} must be a file, got {path!r}")
    try:
        with open(path, "rb") as file:
            data = file.read(_TEXT_MAX)
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
        return _decoded(data)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{name} must be a file of text, got {path!r}: {error}"
        ) from None


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")

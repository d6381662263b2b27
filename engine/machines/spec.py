"""The machine that a user's text names: a preset, a file, or this host."""

import warnings
from dataclasses import replace

from ..settings.sizes import parse_size
from . import formats
from .firmware import from_firmware
from .machine import Machine, default_system, split_cpus
from .presets import PRESETS, preset
from .sysfs import from_sysfs


def machine(spec: str, memory: str | int | None = None) -> Machine:
    """Return the machine that ``spec`` means: a preset, ``"host"``, or a file.

    The file is what ``formats`` reads.  With ``memory``, a size, the machine has that
    much RAM in all, split in the proportions of its nodes.

    Raises BadInput if nothing is found, with the nearest names, or what is found
    cannot be used.
    """
    if spec in PRESETS:
        return preset(spec, memory)
    found = from_sysfs() if spec == "host" else from_firmware(*formats.read(spec))
    if memory is None:
        return found
    sizes = split_cpus(parse_size(memory, "memory"), found.memory, found.name)
    with warnings.catch_warnings():
        # An asymmetric SLIT was warned about when the machine was found.
        warnings.simplefilter("ignore", UserWarning)
        return replace(found, memory=sizes, system=default_system(sizes))

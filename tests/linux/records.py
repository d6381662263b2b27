"""The cases: what Linux said of a memory script, and what of it ours do not say.

``KERNEL/NAME.json`` holds what a kernel said in two runs of ``KERNEL/NAME.mm`` on
freshly started machines; what the runs did not agree on is left out.  A record of ours
has to hold everything that the recorded one says.  ``known_differences.toml`` says
which cases the model does not reach, and why.
"""

import json
import sys
import tomllib
from functools import cache
from pathlib import Path

from lazynuma.scenarios.script.grammar import read
from lazynuma.scenarios.script.player import play

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "recorder"))
import compare  # noqa: E402

#: What was recorded, oldest first; each is a folder and a profile.
KERNELS = ("linux-6.1", "linux-6.12", "linux-6.16", "linux-6.18", "linux-7.3")


@cache
def known():
    """Return {kernel: {case: why the model differs}}."""
    found = tomllib.loads((HERE / "known_differences.toml").read_text())
    return {kernel: found.get(kernel, {}) for kernel in KERNELS}


def names(kernel):
    """Return the names of a kernel's cases."""
    return sorted(path.stem for path in (HERE / kernel).glob("*.mm"))


def recorded(kernel, name):
    """Return what Linux said of a case."""
    return json.loads((HERE / kernel / f"{name}.json").read_text())


@cache
def differences(kernel, name, threads=None):
    """Return [(Linux's record or None, ours or None)] where they differ.

    threads  see ``player.play``
    """
    played = play(read(HERE / kernel / f"{name}.mm"), kernel, threads=threads)
    ours = [json.loads(json.dumps(record)) for record in played]
    return compare.differences(recorded(kernel, name), ours)

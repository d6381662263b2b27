"""The cases: what Linux said of a memory script, and what of it ours do not say.

``cases/NAME.json`` holds what the kernel of Debian 12 said in two runs of
``cases/NAME.mm`` on freshly started machines; what the runs did not agree on is left
out.  A record of ours has to hold everything that the recorded one says.
"""

import json
import sys
from functools import cache
from pathlib import Path

from lazynuma.scenarios.script.grammar import read
from lazynuma.scenarios.script.player import play

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "recorder"))
import compare  # noqa: E402

CASES = HERE / "cases"


def names():
    """Return the names of all cases."""
    return sorted(path.stem for path in CASES.glob("*.mm"))


def recorded(name):
    """Return what Linux said of a case."""
    return json.loads((CASES / f"{name}.json").read_text())["expect"]


@cache
def differences(name, threads=None):
    """Return [(Linux's record, ours or None)] where they differ.

    threads  see ``player.play``
    """
    played = play(read(CASES / f"{name}.mm"), threads=threads)
    ours = [json.loads(json.dumps(record)) for record in played]
    return compare.differences(recorded(name), ours)

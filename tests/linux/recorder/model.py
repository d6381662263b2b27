"""What lazynuma says of a script, in this process: no start for each."""

import json
import os


def interpret():
    """Have nothing compiled, unless NUMBA_DISABLE_JIT is set; before the first replay.

    Scripts are short: a second of interpreting is less than minutes of compiling.
    """
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")


def replay(text, profile):
    """Return (lazynuma's records of a script's text, what went wrong or "")."""
    from lazynuma.engine.errors import BadInput, SimulationError
    from lazynuma.scenarios.script.grammar import parse
    from lazynuma.scenarios.script.player import play

    records, trouble = [], ""
    try:
        records.extend(play(parse(text.splitlines()), profile))
    except (BadInput, SimulationError) as error:
        trouble = str(error)
    return json.loads(json.dumps(records)), trouble

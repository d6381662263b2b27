"""What can be set in a scenario, as ``scenarios NAME`` and ``run NAME -h`` show it."""

import shutil
import textwrap
from types import ModuleType

#: Settings that are longer do not make the column of all settings wider.
_SETTING_WIDTH = 34
#: Columns that a text has at least, however narrow the terminal is.
_TEXT_WIDTH = 30


def question(module: ModuleType) -> str:
    """Return the first line of a module's docstring, empty if there is none."""
    return (module.__doc__ or "").strip().partition("\n")[0]


def in_short(module: ModuleType) -> str:
    """Return the parameters with their defaults, each group by one name."""
    from ...engine.settings.parameters import describe

    words = [
        f"{name.partition('.')[0]}.*" if "." in name else f"{name}={value}"
        for name, value, _ in describe(module.Parameters)
    ]
    return ", ".join(dict.fromkeys(words))


def explained(module: ModuleType) -> str:
    """Return a scenario's docstring, and its parameters with defaults and choices."""
    from ...engine.machines.presets import PRESETS
    from ...engine.settings.parameters import describe
    from ..common.sampling import Sampling

    settings = [
        (f"  {name}={value}", text) for name, value, text in describe(module.Parameters)
    ]
    width = min(_SETTING_WIDTH, max((len(left) for left, _ in settings), default=0))
    lines = [(module.__doc__ or "").strip(), "", "parameters (--set KEY=VALUE):"]
    for left, text in settings:
        lines += row(left, width, text)
    lines += ["", "every scenario also takes:"]
    for name, value, text in describe(Sampling):
        lines += row(f"  {name}={value}", width, text)
    machines = f"machines: {', '.join(PRESETS)}, or a file (README)"
    return "\n".join([*lines, "", machines])


def row(left: str, width: int, text: str) -> list[str]:
    """Return the lines of a name and its text: beside it, or below if it is long."""
    columns = max(_TEXT_WIDTH, shutil.get_terminal_size().columns - width - 2)
    lines = textwrap.wrap(text, columns) or [""]
    first = f"{left:<{width}}  {lines.pop(0)}" if len(left) <= width else left
    return [first.rstrip(), *(f"{'':{width}}  {line}" for line in lines)]

"""Simulates lazy page migration on large NUMA machines, mechanism against mechanism.

``lazynuma.engine`` is the simulator, ``lazynuma.scenarios`` are the questions that it
answers.  ``run`` answers one from Python, as ``lazynuma run`` does it in a shell.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lazynuma.scenarios.cli.from_python import run as run

__all__ = ["__version__", "run"]


def __getattr__(name: str) -> object:
    """Return what is loaded at its first use."""
    if name == "__version__":
        return import_module("importlib.metadata").version("lazynuma")
    if name == "run":
        return import_module("lazynuma.scenarios.cli.from_python").run
    raise AttributeError(f"lazynuma has no {name!r}")

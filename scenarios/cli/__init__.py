"""The command line: arguments in, a table, files and an exit status out.

It may import everything; only what lies here prints.
"""

from .commands import main

__all__ = ["main"]

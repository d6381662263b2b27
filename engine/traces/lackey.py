"""Loads and stores, as valgrind's lackey prints them.

``valgrind --tool=lackey --trace-mem=yes``.  A line that crosses a page boundary is one
access a page, and M counts as a write.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import text
from .trace_chunk import TraceChunk
from .trace_text import LACKEY
from .window import Window

if TYPE_CHECKING:
    from .trace import Trace

NAME = "lackey"
_EXPECTED = "' L|S|M ADDRESS,SIZE' or 'I  ADDRESS,SIZE'"


def is_mine(window: Window) -> bool:
    """Return whether a text has a line of this format."""
    return text.look(window, LACKEY).samples > 0


def chunks(window: Window, trace: "Trace") -> Iterator[TraceChunk]:
    """Return the chunks of a text."""
    return text.chunks(window, trace, LACKEY, _EXPECTED)

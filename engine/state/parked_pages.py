"""Of parked pages, what kernels ask: their functions are for machine code alone."""

from collections.abc import Callable
from typing import Any

from ...kernels import state as st
from ...kernels.frames import swap_state
from ...kernels.words import PTE_PAYLOAD


def _for_python(function: Any) -> Callable[..., Any]:
    """Return a kernel's part as Python may call it."""
    return getattr(function, "py_func", function)


ids_of = _for_python(swap_state.ids_of)
cached_by = _for_python(swap_state.cached_by)
kind_of = _for_python(swap_state.kind_of)
frames_of = _for_python(swap_state.frames_of)
holders_of = _for_python(swap_state.holders_of)


def frame_of_parked(memory: st.Memory, pte: int) -> int:
    """Return the frame of a parked page; NONE if it is on disk alone."""
    return int(frames_of(memory, kind_of(pte))[pte & PTE_PAYLOAD])

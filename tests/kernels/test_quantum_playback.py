"""Recordings: the order of the trace, the CPU of each access, and its time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.pair import MIB, Engines
from common.recordings import recording_story
from lazynuma.engine import BadInput, Recording, Settings, Simulation, uniform
from lazynuma.kernels.counters import Vm


@pytest.mark.parametrize("balanced", [False, True])
@given(st.integers(0, 1 << 32))
@settings(max_examples=60, derandomize=True)
def test_engine_and_reference_play_alike(balanced, seed):
    recording_story(seed, 5, balanced)


@pytest.mark.parametrize("balanced", [False, True])
@given(st.integers(0, 1 << 32))
@settings(max_examples=20, derandomize=True)
def test_recordings_never_depend_on_batch_or_threads(balanced, seed):
    recording_story(seed, 6, balanced, Engines)

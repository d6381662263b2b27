"""Files of runs that tests write, and the rows they write to them."""

from pathlib import Path

import numpy as np

from lazynuma.engine.output.writer import RunWriter
from lazynuma.engine.study.columns import SUMMARY
from lazynuma.kernels.counters import Cause, Vm

NODES = 3


def writer(path: Path, **changes) -> RunWriter:
    options = {
        "title": "What is it?",
        "attributes": {"seed": 7, "costs": "x" * 70_000},
        "nodes": NODES,
        "dimension": "mechanism",
        "variants": ["none", "lazy_migcache"],
        "columns": SUMMARY,
    }
    return RunWriter(path, **(options | changes))


def process(number: int) -> dict:
    return {
        "process": number,
        "name": f"rank {number} é" + "é" * 20,
        "policy": "preferred_many",
        "rss_pages": 11,
        "swap_pages": 12,
        "accesses_local": 13,
        "accesses_remote": 14,
        "time_ns": np.arange(len(Cause)) + 100,
    }


def counters(epoch: int, nodes: int = NODES) -> np.ndarray:
    return np.arange(nodes * len(Vm)).reshape(nodes, len(Vm)) + epoch

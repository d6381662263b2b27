"""The engine: state, time, daemons and output.

Names resolve on first use, so that importing the package does not load Numba.
"""

from importlib import import_module

_WHERE = {
    "Simulation": "simulation",
    "Settings": "settings",
    "Costs": "costs",
    "read_costs": "cost_file",
    "measure_costs": "calibrate",
    "Thp": "transparent_hugepage",
    "Khugepaged": "transparent_hugepage",
    "Tlb": "tlb",
    "Balancing": "balancing",
    "Machine": "topology",
    "machine": "topology",
    "preset": "topology",
    "uniform": "topology",
    "watermarks": "topology",
    "Policy": "policy",
    "Sweep": "workload",
    "Uniform": "workload",
    "Gups": "workload",
    "Zipf": "workload",
    "HotCold": "workload",
    "Stream": "workload",
    "Stencil": "workload",
    "NextTouch": "workload",
    "Recorded": "workload",
    "Study": "study",
    "Variant": "study",
    "Column": "study",
    "Field": "study",
    "Records": "study",
    "run_study": "run",
    "RunFile": "run_file",
    "recover": "run_file",
    "RunWriter": "output",
    "LazyNumaError": "errors",
    "BadInput": "errors",
    "SimulationError": "errors",
    "parse_size": "sizes",
    "format_size": "sizes",
    "Mechanism": "..kernels.constants",
    "Mode": "..kernels.constants",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str):
    if name not in _WHERE:
        raise AttributeError(f"lazynuma.engine has no {name!r}")
    where = _WHERE[name]
    module = import_module(where if where[0] == "." else f".{where}", __name__)
    return getattr(module, name)

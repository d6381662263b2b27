"""Every exception that lazynuma raises on purpose."""


class LazyNumaError(ValueError):
    """Root of the errors of this package."""


class BadInput(LazyNumaError):
    """An input refused before anything was done: ``name must ..., got ...``."""


class BadTrace(BadInput):
    """A line of a trace or a memory script that is refused while it is run."""


class SimulationError(LazyNumaError):
    """A run that could not go on; what it had written stays readable."""


class Segfault(SimulationError):
    """An access outside every mapping, or not permitted there.

    process  name; ``page``: virtual page in its address space; ``write``: of the access
    """

    def __init__(self, task: int, process: str, page: int, write: bool) -> None:
        self.process, self.page, self.write = process, page, write
        super().__init__(
            f"task {task} of process {process} must not {'write' if write else 'read'}"
            f" page {page}: it is not mapped so"
        )

"""Every exception that lazynuma raises on purpose."""


class LazyNumaError(ValueError):
    """Root of the errors of this package."""


class BadInput(LazyNumaError):
    """An input refused before anything was done: ``name must ..., got ...``."""


class BadTrace(BadInput):
    """A recorded trace with a line that cannot be read, met while it is run."""


class SimulationError(LazyNumaError):
    """A run that could not go on; what it had written stays readable."""

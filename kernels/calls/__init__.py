"""kernels.calls."""

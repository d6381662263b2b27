"""kernels.frames."""

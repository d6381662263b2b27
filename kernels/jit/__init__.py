"""kernels.jit."""

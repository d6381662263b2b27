"""kernels.quantum."""

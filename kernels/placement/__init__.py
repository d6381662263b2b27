"""kernels.placement."""

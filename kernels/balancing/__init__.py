"""kernels.balancing."""

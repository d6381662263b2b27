"""kernels.reclaim."""

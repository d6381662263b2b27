"""kernels.lazy."""

"""kernels.thp."""

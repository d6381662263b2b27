"""kernels.fault."""

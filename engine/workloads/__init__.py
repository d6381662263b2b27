"""engine.workloads."""

"""scenarios.recorded."""

"""scenarios.common."""

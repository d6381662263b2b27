"""scenarios.script."""

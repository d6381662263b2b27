"""engine.machine."""

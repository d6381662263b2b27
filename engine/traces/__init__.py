"""engine.traces."""

"""engine.quantum."""

"""engine.daemons."""

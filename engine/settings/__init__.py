"""engine.settings."""

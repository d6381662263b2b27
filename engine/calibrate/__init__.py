"""engine.calibrate."""

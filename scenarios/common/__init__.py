"""What several questions share.

It answers no question of its own, and imports the engine and the kernels' words only.
"""

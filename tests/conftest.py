"""What all tests share: hypothesis without deadlines, since kernels compile once."""

from hypothesis import settings

settings.register_profile("lazynuma", deadline=None)
settings.load_profile("lazynuma")

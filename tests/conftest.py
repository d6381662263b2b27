"""What all tests share: hypothesis without deadlines, and the golden files' option."""

from hypothesis import settings

# Kernels compile at their first call, so no example may be held to a deadline.
settings.register_profile("lazynuma", deadline=None)
settings.load_profile("lazynuma")


def pytest_addoption(parser):
    """Add ``--update-golden``."""
    parser.addoption("--update-golden", action="store_true", help="write golden files")

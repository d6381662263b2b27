"""``python -m lazynuma`` is the command ``lazynuma``."""

from lazynuma.scenarios.cli import console

if __name__ == "__main__":  # a worker process imports this file, too
    console()

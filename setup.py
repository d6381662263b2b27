"""Build script: the root folders become the subpackages of ``lazynuma``."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

FOLDERS = ("engine", "kernels", "scenarios")
DEBUG = os.environ.get("LAZYNUMA_DEBUG") == "1"
ROOT = Path(__file__).parent


def extensions() -> list[Extension]:
    """Return one extension for each Cython file."""
    paths = sorted(path.relative_to(ROOT) for path in ROOT.glob("*/*.pyx"))
    modules = (path.with_suffix("").parts for path in paths)
    return [
        Extension(f"lazynuma.{folder}.{name}", [f"{folder}/{name}.pyx"])
        for folder, name in modules
    ]


setup(
    packages=[f"lazynuma.{folder}" for folder in FOLDERS],
    package_dir={f"lazynuma.{folder}": folder for folder in FOLDERS},
    package_data={"": ["*.pyx", "*.pxd"]},
    ext_modules=cythonize(
        extensions(),
        build_dir="build",
        force=DEBUG,
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": DEBUG,
            "initializedcheck": DEBUG,
            "cdivision": not DEBUG,
        },
    ),
)

"""Build script: the root folders become the subpackages of ``lazynuma``."""

import os
import zipfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_py import build_py

LAYERS = ("engine", "kernels", "scenarios")
DEBUG = os.environ.get("LAZYNUMA_DEBUG") == "1"
ROOT = Path(__file__).parent


def sources(layer: str, pattern: str) -> list[Path]:
    """Return the files of a layer and of its folders, relative to the root."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / layer).rglob(pattern))


def folders() -> dict[str, str]:
    """Return each package's folder: ``engine/calls`` is ``lazynuma.engine.calls``."""
    found = (path.parent for la in LAYERS for path in sources(la, "__init__.py"))
    inside = {".".join(["lazynuma", *path.parts]): str(path) for path in found}
    return {"lazynuma": "package"} | inside


def extensions() -> list[Extension]:
    """Return one extension for each Cython file."""
    return [
        Extension(".".join(["lazynuma", *path.with_suffix("").parts]), [str(path)])
        for layer in LAYERS
        for path in sources(layer, "*.pyx")
    ]


class Build(build_py):
    """Copies the sources, and packs what kernels did, for `lazynuma kernels`.

    An editable install reads it from ``tests/linux`` itself.
    """

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            pack(Path(self.build_lib) / "lazynuma/scenarios/linux/records.zip")


def pack(target: Path) -> None:
    """Write the records of all kernels into one file, always the same."""
    place = ROOT / "tests" / "linux"
    paths = [place / "rules.toml", *place.glob("linux-*/*.mm")]
    paths += place.glob("linux-*/*.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(paths):
            # Without the file's time.
            entry = zipfile.ZipInfo(path.relative_to(place).as_posix())
            packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


setup(
    cmdclass={"build_py": Build},
    packages=list(folders()),
    package_dir=folders(),
    package_data={"": ["*.pyx", "*.pxd", "py.typed", "template/*"]},
    ext_modules=cythonize(
        extensions(),
        build_dir="build",
        include_path=[str(ROOT / "kernels"), str(ROOT / "engine" / "traces")],
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

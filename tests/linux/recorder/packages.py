"""Kernels from Debian's packages: fetched by version, nothing is installed.

apt gets a configuration of its own, made of the machine's own sources: the same mirror
and the same keyring, and the suites that are asked for besides.
"""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

from tools import Unrecorded, told

VERSION = re.compile(r"\d+(\.\d+)*([-+~.][\w+~.-]*)?")
#: Packages with an image: since 6.19 linux-image-* is empty, and linux-binary-* has it.
_IMAGE = re.compile(r"linux-(image|binary)-(\d[\w.+~]*(?:-\d+)?-amd64)")
_MODULES = "linux-modules-"
#: Suites that name no release.
_MOVING = ("stable", "oldstable", "testing", "unstable", "sid")
_SHOWN = 40


class Source(NamedTuple):
    """Where packages are: the fields of a stanza in a .sources file."""

    uris: str
    suites: tuple[str, ...]
    components: str
    signed: str

    def stanza(self):
        """Return the stanza."""
        lines = ["Types: deb", f"URIs: {self.uris}", f"Suites: {' '.join(self.suites)}"]
        lines += [f"Components: {self.components}"]
        return "\n".join([*lines, *([f"Signed-By: {self.signed}"] * bool(self.signed))])


class Package(NamedTuple):
    """A package with a kernel's image."""

    name: str
    version: str

    @property
    def release(self):
        """What `uname -r` says."""
        return _IMAGE.fullmatch(self.name)[2]


# --- the machine's own sources --------------------------------------------------------


def sources(folder, codename):
    """Return the sources of Debian itself in a folder as /etc/apt.

    codename  the release's; sources of other people have suites of other names
    """
    found = []
    for path in sorted(folder.glob("sources.list.d/*.sources")):
        for text in re.split(r"\n\s*\n", path.read_text()):
            found += _from_stanza(text)
    lists = [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]
    for path in lists:
        lines = path.read_text().splitlines() if path.exists() else []
        found += [one for line in lines for one in _from_line(line)]
    own = (codename, *_MOVING)
    return [one for one in found if all(s.split("-")[0] in own for s in one.suites)]


def _from_stanza(text):
    fields, last = {}, None
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace() and last:
            fields[last] += "\n" + line
            continue
        last, _, value = line.partition(":")
        last = last.lower()
        fields[last] = value.strip()
    binary = "deb" in fields.get("types", "").split()
    if binary and fields.get("suites") and fields.get("enabled", "yes") != "no":
        suites = tuple(fields["suites"].split())
        signed = fields.get("signed-by", "")
        yield Source(fields["uris"], suites, fields.get("components", ""), signed)


def _from_line(line):
    found = re.fullmatch(
        r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)([^#]*)(#.*)?", line.strip()
    )
    if found:
        signed = re.search(r"signed-by=(\S+)", found[1] or "")
        suite, components = (found[3],), " ".join(found[4].split())
        yield Source(found[2], suite, components, signed[1] if signed else "")


def with_suites(found, suites):
    """Return sources with more suites: those for security where such ones are."""

    def of_security(suite):
        return suite.endswith("-security")

    return [
        one._replace(
            suites=one.suites
            + tuple(s for s in suites if of_security(s) == of_security(one.suites[0]))
        )
        for one in found
    ]


# --- apt ------------------------------------------------------------------------------


class Apt:
    """apt with a configuration of its own, in a folder."""

    def __init__(self, folder, found):
        self.folder = folder
        for name in ("lists/partial", "cache/archives/partial", "parts", "packages"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        text = "\n\n".join(one.stanza() for one in found)
        (folder / "parts/kernels.sources").write_text(text + "\n")
        places = {
            "Dir::State::lists": folder / "lists",
            "Dir::Cache": folder / "cache",
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": folder / "parts",
            "APT::Sandbox::User": "root",
        }
        self.options = [f"-o{name}={value}" for name, value in places.items()]

    def kernels(self):
        """Return the packages with kernels that there are."""
        _, _, trouble = told("apt-get", *self.options, "update")
        _, output, _ = told("apt-cache", *self.options, "pkgnames", "linux-")
        names = sorted(filter(_IMAGE.fullmatch, output.decode().split()))
        if not names:
            raise Unrecorded(f"apt must know kernels, got none: {trouble}")
        _, output, _ = told("apt-cache", *self.options, "show", *names)
        found = re.findall(r"^(Package|Version): (.*)$", output.decode(), re.MULTILINE)
        values = [value for _, value in found]
        packages = map(Package, values[::2], values[1::2])
        return _with_images(set(packages))

    def download(self, package):
        """Return the files of a package, and of its modules if they are apart."""
        names = [f"{package.name}={package.version}"]
        if package.name.startswith("linux-binary-"):
            names.append(f"{_MODULES}{package.release}={package.version}")
        into = self.folder / "packages"
        status, _, trouble = told(
            "apt-get", *self.options, "download", *names, cwd=into
        )
        if status:
            raise Unrecorded(f"{package.name} cannot be fetched: {trouble}")
        return sorted(into.glob("*.deb"))


def _with_images(packages):
    """Return the packages without those that are empty."""
    apart = {one.release for one in packages if one.name.startswith("linux-binary-")}
    return [
        one
        for one in packages
        if one.name.startswith("linux-binary-") or one.release not in apart
    ]


def chosen(packages, version):
    """Return the newest package of a version, which may be the beginning of one."""
    found = [
        one
        for one in packages
        if _begins(version, one.version) or _begins(version, one.release)
    ]
    if not found:
        known = sorted({one.version.split("-")[0] for one in packages}, key=_numbers)
        raise Unrecorded(
            f"--kernel must be a version that there is, got {version!r}:"
            f" {', '.join(known[-_SHOWN:])}; --suite NAME adds those of a suite"
        )
    return max(found, key=lambda one: _numbers(one.version))


def _begins(version, name):
    return re.match(re.escape(version) + r"(?!\d)", name)


def _numbers(version):
    return [int(number) for number in re.findall(r"\d+", version)]


# --- packages -------------------------------------------------------------------------


def fetched(version, suites, folder):
    """Return the image of a kernel by its version, from the machine's own mirror.

    folder  gets the kernel; one that is there of an earlier time is taken at once
    """
    folder = folder.absolute()
    there = [path.parent.parent for path in folder.glob("*/boot/vmlinuz-*")]
    there = [one for one in there if _begins(version, one.name)]
    if there:
        return image_in(max(there, key=lambda one: _numbers(one.name)))
    found = sources(Path("/etc/apt"), _codename(Path("/etc/os-release")))
    if not found:
        raise Unrecorded("/etc/apt must name sources of Debian, got none")
    apt = Apt(folder / "apt", with_suites(found, suites))
    package = chosen(apt.kernels(), version)
    files = apt.download(package)
    into = folder / f"{package.version.split('-')[0]}-of-{package.release}"
    for file in files:
        extract(file, into)
        file.unlink()
    return image_in(into)


def _codename(release):
    text = release.read_text() if release.exists() else ""
    found = re.search(r"^VERSION_CODENAME=(\w+)", text, re.MULTILINE)
    return found[1] if found else ""


def extract(package, folder):
    """Unpack a package's files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    status, _, trouble = told("dpkg-deb", "-x", str(package), str(folder))
    if status:
        raise Unrecorded(f"--kernel must be a Debian package, got {package}: {trouble}")


def image_in(folder):
    """Return the image in an unpacked package, at boot/vmlinuz-RELEASE.

    Since 6.19 it is beside the modules, and is copied.
    """
    for image in folder.glob("usr/lib/modules/*/vmlinuz"):
        copy = folder / "boot" / f"vmlinuz-{image.parent.name}"
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(image, copy)
    images = sorted(folder.glob("boot/vmlinuz-*"))
    if not images:
        raise Unrecorded("--kernel must be a package with a kernel, got none in it")
    return images[0]


def from_file(package, folder):
    """Return the image of a package, with the modules of one that is beside it."""
    extract(package, folder)
    image = image_in(folder)
    release = image.name.removeprefix("vmlinuz-")
    for modules in package.parent.glob(f"{_MODULES}{release}_*.deb"):
        extract(modules, folder)
    return image

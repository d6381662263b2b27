"""Files of a folder or of a tar archive by their paths, read in memory alone."""

import bz2
import gzip
import lzma
import os
import re
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from ..errors import BadInput

#: A file of sysfs has a page at most, /proc/meminfo less than two.
_FILE_MAX = 1 << 16
#: What an archive may hold when unpacked, and how many files.
_BYTES_MAX = 1 << 28
_FILES_MAX = 1 << 18

_OPENERS: tuple[tuple[bytes, Callable[[str], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\0", lzma.open),
)


class Tree(NamedTuple):
    """Files by path, without a slash before the first name.

    name   what it was read from
    paths  the paths that may be read, and those of links
    read   gives the text of a path, None if there is no such file
    """

    name: str
    paths: frozenset[str]
    read: Callable[[str], str | None]


def folder(root: str | os.PathLike, wanted: Callable[[str], bool]) -> Tree:
    """Return the files of a folder whose paths are ``wanted``, links followed."""
    top = Path(root)

    def read(path: str) -> str | None:
        try:
            with open(top / path, "rb") as file:
                return _text(file.read(_FILE_MAX))
        except OSError:
            return None

    found: list[str] = []
    left = [("", 0)]
    while left and len(found) < _FILES_MAX:
        path, depth = left.pop()
        for entry in _entries(top / path):
            inner = f"{path}/{entry.name}".removeprefix("/")
            leads = depth == 0 or _LEADS.fullmatch(entry.name)
            if leads and entry.is_dir(follow_symlinks=False) and depth < _DEPTH_MAX:
                left.append((inner, depth + 1))
            if wanted(inner):
                found.append(inner)
    return Tree(str(root), frozenset(found), read)


#: Folders below the top: NAME/sys/devices/system/node/node0/access0/initiators/x.
_DEPTH_MAX = 9
#: Their names; /sys as a whole has 100,000 others.
_LEADS = re.compile(
    r"sys|devices|system|node[0-9]*|cpu|virtual|memory_tiering|memory_tier[0-9]+"
    r"|access[01]|initiators|proc"
)


def _entries(path: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError:
        return []


def is_archive(path: str) -> bool:
    """Tell whether a file is a tar archive, packed or not, by its first bytes."""
    try:
        with _opened(path) as file:
            return file.read(263)[257:262] == b"ustar"
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        return False


def archive(path: str, wanted: Callable[[str], bool]) -> Tree:
    """Return the files of a tar archive whose paths are ``wanted``.

    Nothing is written to disk, whatever the names of members.  Raises BadInput if the
    archive is damaged or unpacks to more than any such archive.
    """
    texts: dict[str, str] = {}
    links: set[str] = set()
    try:
        with _opened(path) as raw, _stream(raw) as tar:
            for number, member in enumerate(tar):
                if number >= _FILES_MAX:
                    raise _TooMuch
                name = member.name.removeprefix("./").lstrip("/")
                if not wanted(name):
                    continue
                links.add(name)
                file = tar.extractfile(member) if member.isreg() else None
                if file is not None:
                    texts[name] = _text(file.read(_FILE_MAX))
    except _TooMuch:
        raise BadInput(
            f"machine must unpack to less than {_BYTES_MAX >> 20} MiB, got {path}"
        ) from None
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error) as error:
        raise BadInput(
            f"machine must be a whole tar archive, got {path}: {error}"
        ) from None
    return Tree(path, frozenset(links), texts.get)


def _stream(raw: IO[bytes]) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast(IO[bytes], _Bounded(raw)), mode="r|")


class _TooMuch(Exception):
    """An archive has more than any that describes a machine."""


class _Bounded:
    """A file of which only so many bytes are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left = file, _BYTES_MAX

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _TooMuch
        return data


def _opened(path: str) -> IO[bytes]:
    with open(path, "rb") as file:
        head = file.read(6)
    opener = next((one for magic, one in _OPENERS if head.startswith(magic)), None)
    return opener(path) if opener else open(path, "rb")


def _text(data: bytes) -> str:
    """Return the text of a file of sysfs; archives may have NUL bytes at its end."""
    return data.rstrip(b"\0").decode("ascii", errors="replace")

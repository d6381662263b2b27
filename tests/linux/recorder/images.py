"""Images of kernels: found, unpacked, and with the module that a guest needs."""

import gzip
import lzma
import re
import struct
from pathlib import Path

from tools import Unrecorded, told

#: Of a bzImage (Documentation/arch/x86/boot.rst): where its header has what.
SETUP_SECTORS, MAGIC, PAYLOAD = 0x1F1, 0x202, 0x248
_ELF, _XZ, _GZIP, _ZSTD = b"\x7fELF", b"\xfd7zXZ\0", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
#: After a payload packed by zstd: the size of what it unpacks to.
_SIZE = 4
#: The head of the note XEN_ELFNOTE_PHYS32_ENTRY, which CONFIG_PVH makes.
_PVH = (
    struct.pack("<III4s", 4, 8, 18, b"Xen\0"),
    struct.pack("<III4s", 4, 4, 18, b"Xen\0"),
)


def newest_kernel():
    """Return the image of the newest kernel that is installed."""
    images = Path("/boot").glob("vmlinuz-*")
    numbers = {image: re.findall(r"\d+", image.name) for image in images}
    if not numbers:
        raise Unrecorded("--kernel must be given, got no kernel in /boot")
    return max(numbers, key=lambda image: [int(number) for number in numbers[image]])


def ram_disk(kernel):
    """Return the module of RAM disks that belongs to a kernel, None if there is none.

    Beside the kernel (an unpacked package: boot/ and lib/ in one folder), or installed.
    """
    release = kernel.name.removeprefix("vmlinuz-")
    for base in (kernel.absolute().parent.parent, Path("/")):
        for lib in ("lib", "usr/lib"):
            folder = base / lib / "modules" / release
            for path in folder.glob("kernel/drivers/block/brd.ko*"):
                return _module(path)
    return None


def _module(path):
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    return path.read_bytes()


def unpacked(image):
    """Return the kernel in a bzImage as QEMU starts it at once; None: it cannot.

    image  bytes of a bzImage, or of a kernel that is unpacked
    """
    found = image if image.startswith(_ELF) else _payload(image)
    starts = found is not None and any(note in found for note in _PVH)
    return found if starts and found.startswith(_ELF) else None


def _payload(image):
    if len(image) < PAYLOAD + 8:
        return None
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    offset += ((image[SETUP_SECTORS] or 4) + 1) * 512
    packed = image[offset : offset + length]
    if packed.startswith(_XZ):
        return lzma.LZMADecompressor().decompress(packed)
    if packed.startswith(_GZIP):
        return gzip.decompress(packed)
    return _from_zstd(packed[:-_SIZE]) if packed.startswith(_ZSTD) else None


def _from_zstd(packed):
    status, output, _ = told("zstd", "-dc", input=packed)
    return None if status else output


def is_kernel(image):
    """Return whether bytes are a kernel's image."""
    return image.startswith(_ELF) or image[MAGIC : MAGIC + 4] == b"HdrS"

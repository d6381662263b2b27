"""The recorder's machines: kernels, packages, QEMU's command, and what failed."""

import argparse
import gzip
import json
import lzma
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "recorder"))

import images  # noqa: E402
import machines  # noqa: E402
import packages  # noqa: E402
import record  # noqa: E402
import states  # noqa: E402
import tools  # noqa: E402

KERNEL = b"\x7fELF" + struct.pack("<III4s", 4, 4, 18, b"Xen\0") + b"kernel" * 99
FIRST = {"kernel": "6.1.0-50-amd64", "build": "Debian 6.1.176-1"}

# --- machines -------------------------------------------------------------------------


def words(script):
    """Return QEMU's words for a script, in one string."""
    asked = machines.machine(script)
    return " ".join(machines.command(asked, "kernel", "initrd", "console"))


@pytest.fixture
def qemu(monkeypatch):
    """Have every program, as far as paths go."""
    monkeypatch.setattr(machines, "tool", lambda name: name)


@pytest.mark.usefixtures("qemu")
def test_nodes_have_the_cpus_that_a_script_gives_them():
    """None, one or several, counted node by node."""
    found = words("machine nodes=3 mem=256M cpus=2,0,1\n")
    assert "-smp 3" in found
    assert "node,nodeid=0,cpus=0-1,memdev=memory0" in found
    assert "node,nodeid=1,memdev=memory1" in found
    assert "node,nodeid=2,cpus=2,memdev=memory2" in found
    assert "hmat" not in found


@pytest.mark.usefixtures("qemu")
def test_nodes_may_have_no_memory():
    found = words("machine nodes=2 mem=256M,0\n")
    assert "-m 256M" in found
    assert found.count("memory-backend-ram") == 1
    assert "-numa node,nodeid=1,cpus=1 " in found


@pytest.mark.usefixtures("qemu")
def test_firmware_tells_the_tiers():
    """A slow node has twice the latency and half the bandwidth, and its initiator."""
    row = "machine nodes=2 cpus=1,0 tier=0,1 distance=10,20/20,10\n"
    found = words(row)
    assert "-machine hmat=on" in found
    assert "node,nodeid=1,memdev=memory1,initiator=0" in found
    about = "hmat-lb,initiator=0,target=1,hierarchy=memory,data-type=access"
    assert f"{about}-latency,latency=400" in found
    assert f"{about}-bandwidth,bandwidth=25600M" in found


# --- kernels --------------------------------------------------------------------------


def packed(payload):
    """Return a bzImage with a payload, after 3 sectors of setup."""
    image = bytearray(4 * 512)
    image[images.SETUP_SECTORS] = 3
    image[images.MAGIC : images.MAGIC + 4] = b"HdrS"
    struct.pack_into("<II", image, images.PAYLOAD, 16, len(payload))
    return bytes(image) + bytes(16) + payload + b"after it"


def zstd(text):
    """Return text as Linux packs it: with its size behind it."""
    if shutil.which("zstd") is None:
        pytest.skip("no zstd")
    done = subprocess.run(
        ["zstd", "-c"], input=text, stdout=subprocess.PIPE, check=True
    )
    return done.stdout + struct.pack("<I", len(text))


@pytest.mark.parametrize(
    "pack", [gzip.compress, lambda text: lzma.compress(text) + b"size", zstd]
)
def test_a_kernel_is_unpacked(pack):
    """What the bzImage says where its payload is, whatever packed it."""
    assert images.unpacked(packed(pack(KERNEL))) == KERNEL
    assert images.unpacked(KERNEL) == KERNEL


def test_a_kernel_that_must_unpack_itself():
    """One without PVH, or packed in another way."""
    assert images.unpacked(packed(gzip.compress(b"\x7fELF without PVH"))) is None
    assert images.unpacked(packed(b"BZh91AY")) is None
    assert images.is_kernel(packed(b""))
    assert not images.is_kernel(b"# a script" * 99)


# --- packages -------------------------------------------------------------------------


SOURCES = """\
# Debian itself
Types: deb deb-src
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://other.test/
Suites: nodistro
Components: main
"""


def test_sources_are_the_machines_own(tmp_path):
    """Of Debian's, in both forms; a suite joins those of its kind."""
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(SOURCES)
    (tmp_path / "sources.list").write_text(
        "# deb http://old.test bookworm main\n"
        "deb [signed-by=/k.gpg] http://list.test bookworm main contrib # ours\n"
        "deb http://cloud.test cloud-sdk-bookworm main\n"
    )
    found = packages.sources(tmp_path, "bookworm")
    assert [one.uris for one in found] == [
        "http://mirror.test/debian",
        "http://mirror.test/debian-security",
        "http://list.test",
    ]
    more = packages.with_suites(found, ["trixie", "trixie-security"])
    assert more[0].suites == ("bookworm", "bookworm-updates", "trixie")
    assert more[1].suites == ("bookworm-security", "trixie-security")
    assert more[2].suites == ("bookworm", "trixie")
    assert "Signed-By: /k.gpg" in more[2].stanza()
    assert "Components: main contrib" in more[2].stanza()


def test_a_version_is_a_package():
    """The newest that begins so; of two packages of a release the one with an image."""
    there = [
        packages.Package("linux-image-6.1.0-50-amd64", "6.1.176-1"),
        packages.Package("linux-image-6.1.0-9-amd64", "6.1.27-1"),
        packages.Package("linux-image-6.12.9+deb12-amd64", "6.12.9-1"),
        packages.Package("linux-image-7.3.4+deb13-amd64", "7.3.4-1"),
        packages.Package("linux-binary-7.3.4+deb13-amd64", "7.3.4-1"),
    ]
    there = packages._with_images(there)
    assert packages.chosen(there, "6.1").version == "6.1.176-1"
    assert packages.chosen(there, "6.1.27").release == "6.1.0-9-amd64"
    assert packages.chosen(there, "6.1.0-9").version == "6.1.27-1"
    assert packages.chosen(there, "7").name.startswith("linux-binary-")
    with pytest.raises(
        record.Unrecorded, match=r"got '6\.2': 6\.1\.27, 6\.1\.176, 6\.12"
    ):
        packages.chosen(there, "6.2")


def test_an_image_may_be_beside_its_modules(tmp_path):
    """Since 6.19: it is found as the older ones are."""
    modules = tmp_path / "usr/lib/modules/7.3.4-amd64"
    (modules / "kernel/drivers/block").mkdir(parents=True)
    (modules / "vmlinuz").write_bytes(KERNEL)
    (modules / "kernel/drivers/block/brd.ko.xz").write_bytes(lzma.compress(b"brd"))
    image = packages.image_in(tmp_path)
    assert image == tmp_path / "boot/vmlinuz-7.3.4-amd64"
    assert images.ram_disk(image) == b"brd"


def test_what_is_no_kernel(tmp_path):
    """Neither a package, nor an image, nor a version."""
    wrong = tmp_path / "linux.deb"
    wrong.write_bytes(b"!<arch>\nnothing")
    if shutil.which("dpkg-deb"):
        with pytest.raises(record.Unrecorded, match="must be a Debian package"):
            record.image(str(wrong), [], tmp_path)
    with pytest.raises(record.Unrecorded, match="or a version, got 'newest'"):
        record.image("newest", [], tmp_path)
    with pytest.raises(argparse.ArgumentTypeError, match="from 1 on"):
        record._jobs("0")


def test_what_is_not_installed(monkeypatch, tmp_path):
    """One line that says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(record.Unrecorded, match="apt-get install qemu-system-x86"):
        tools.tool("qemu-system-x86_64")
    with pytest.raises(record.Unrecorded, match="apt-get install busybox-static"):
        tools.tool("busybox")


# --- what failed ----------------------------------------------------------------------


@pytest.fixture
def played(monkeypatch, tmp_path):
    """Return a function: what a run of "map A 4K" says when QEMU is a shell command."""
    guest = states.Guest(tmp_path, tmp_path, tmp_path, tmp_path, "digest", {})
    kept = states.place("map A 4K\n", guest, "x", 0)

    def played(shell):
        kept.first.write_text(json.dumps(FIRST))
        command = ["sh", "-c", shell, "sh"]
        monkeypatch.setattr(states, "command", lambda *_: command)
        return states.run("map A 4K\n", guest, "x", 0), kept.first.exists()

    return played


def test_a_run_gives_the_records(played):
    """To the end; QEMU is ended then."""
    shell = """echo '{"line":1,"result":"EIO"}'; echo '{"end":true}'; exec sleep 1000"""
    records, kept = played(shell)
    assert records == [FIRST, {"line": 1, "result": "EIO"}, {"end": True}]
    assert kept


def test_qemu_that_ends_is_told(played, tmp_path):
    """Its status and its last words; the state is made again."""
    with pytest.raises(states.Failed, match="status 3: no such machine"):
        played("echo no such machine >&2; exit 3")
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ('{"exit":137}', "it was killed by signal 9"),
        ('{"exit":1}', "it gave up"),
        ('{"line":2,"error":"region B: no"}', "line 2 failed in the guest: region B"),
    ],
)
def test_main_that_does_not_live_is_told(played, last, told):
    """At once, in a sentence."""
    with pytest.raises(record.Unrecorded, match=told):
        played(f"echo '{last}'; exec sleep 1000")


def test_a_failed_machine_is_tried_again(monkeypatch, tmp_path):
    """Once; what the script does wrong is not."""
    tries = []

    def run(script, guest, name, number):
        tries.append(number)
        if len(tries) == 1:
            raise states.Failed("QEMU ended with status 1")
        return [FIRST, {"line": 1, "result": "EIO"}, {"end": True}]

    script = tmp_path / "x.mm"
    script.write_text("map A 4K\n")
    monkeypatch.setattr(record, "run", run)
    assert record.record(script, None) == "1 observations"
    assert tries == [0, 0, 1]


# --- a real machine -------------------------------------------------------------------


def test_a_real_recording(tmp_path):
    """Of the newest kernel there is, if this machine has one and QEMU."""
    programs = ("qemu-system-x86_64", "busybox", "cpio", "gcc")
    if not all(map(shutil.which, programs)) or not list(
        Path("/boot").glob("vmlinuz-*")
    ):
        pytest.skip("no QEMU, or no kernel")
    script = tmp_path / "two.mm"
    script.write_text(
        "machine nodes=2 mem=256M cpus=1,0\nset thp.enabled never\nmap A 32K\n"
        "policy A bind 1\ntouch A 0 16K 4K w\nobserve A\npolicy A bind 3\n"
    )
    record.main([str(tmp_path)])
    expect = json.loads(script.with_suffix(".json").read_text())["expect"]
    (seen, failed) = expect
    assert seen["runs"] == [[4, "present", 1, False], [4, "none", None, False]]
    assert failed == {"line": 7, "result": "EINVAL"}

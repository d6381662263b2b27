"""Guests: machines that have started are kept, and scripts run on copies of these.

A guest says a first record when it waits for its script.  The machine's state is
written to a file then, by QEMU's own migration, and each run goes on from it.
"""

import contextlib
import hashlib
import json
import os
import select
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from images import is_kernel, ram_disk, unpacked
from machines import Machine, command, machine
from tools import Unrecorded, told, tool

HERE = Path(__file__).parent
#: Seconds that one run may take, and starting a machine.
PATIENCE = 180
#: Scripts with these in their names need the kernel's image at a random place (KASLR).
PACKED = ("fallback", "oom")
#: What goes before a script: the port drops what comes until its own state is back.
LOST = b"\n" * 64
#: What a shell adds to the signal that has killed a program.
SIGNALLED = 128
#: Bytes of the console's end that a failure tells.
TAIL = 400


class Failed(Unrecorded):
    """QEMU or the guest ended early: once more may help."""


# --- what every guest starts from -----------------------------------------------------


class Guest(NamedTuple):
    """What every machine of a kernel starts from, in a folder.

    kernel    the image as it was given
    unpacked  the same, unpacked; the packed one if it cannot be
    archive   an initramfs with all but the script
    states    folder of states of machines that have started
    digest    of the kernel and the archive
    locks     of each state that is being made
    """

    kernel: Path
    unpacked: Path
    archive: Path
    states: Path
    digest: str
    locks: dict


@contextlib.contextmanager
def guest(kernel, cache=None):
    """Build the guest of a kernel; what is kept of it goes at the end.

    cache  folder in which states stay; None: they go, too
    """
    with tempfile.TemporaryDirectory(prefix="record-") as temporary:
        folder = Path(temporary)
        tool("qemu-system-x86_64")
        image = kernel.read_bytes()
        if not is_kernel(image):
            raise Unrecorded(f"--kernel must be a kernel's image, got {kernel}")
        archived = _initramfs(kernel, folder / "root")
        (folder / "initrd").write_bytes(archived)
        found = unpacked(image)
        if found is not None:
            (folder / "vmlinux").write_bytes(found)
        states = cache or folder / "states"
        states.mkdir(parents=True, exist_ok=True)
        yield Guest(
            kernel=kernel,
            unpacked=folder / "vmlinux" if found is not None else kernel,
            archive=folder / "initrd",
            states=states,
            digest=hashlib.sha256(image + archived).hexdigest()[:16],
            locks={},
        )


def _initramfs(kernel, root):
    for name in ("bin", "dev", "proc", "sys"):
        (root / name).mkdir(parents=True)
    shutil.copy(tool("busybox"), root / "bin/busybox")
    shutil.copy(HERE / "init", root / "init")
    (root / "init").chmod(0o755)
    module = ram_disk(kernel)
    if module is not None:
        (root / "brd.ko").write_bytes(module)
    source, program = str(HERE / "guest.c"), str(root / "bin/guest")
    status, _, trouble = told("gcc", "-O1", "-static", "-o", program, source)
    if status:
        raise Unrecorded(f"gcc must link static programs (libc6-dev), got {trouble}")
    return archive(root)


def archive(root):
    """Return a folder's files as a cpio archive, the same for the same files."""
    paths = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    for path in paths:
        os.utime(root / path, (0, 0))
    options = ["--create", "--format=newc", "--quiet", "--owner=0:0", "--reproducible"]
    names = "\n".join(paths).encode()
    status, output, trouble = told("cpio", *options, cwd=root, input=names)
    if status:
        raise Unrecorded(f"cpio must write an archive, got {trouble}")
    return output


# --- QEMU -----------------------------------------------------------------------------


class Running:
    """A machine in QEMU: takes a script, gives records."""

    def __init__(self, words, console):
        """Start it; console is the file that gets the kernel's messages."""
        self.console = console
        pipe = subprocess.PIPE
        if shutil.which("setpriv"):
            # Whoever kills this program does not leave a machine that runs on.
            words = ["setpriv", "--pdeathsig", "KILL", "--", *words]
        with (console.parent / "errors").open("w") as errors:
            self.process = subprocess.Popen(
                words, stdin=pipe, stdout=pipe, stderr=errors
            )
        self.end = time.monotonic() + PATIENCE
        self.waiting = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        # What it did not read any more.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()

    def send(self, script):
        """Give the guest its script."""
        text = script.encode()
        try:
            self.process.stdin.write(LOST + b"%d\n%s" % (len(text), text))
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self.ended() from None

    def records(self):
        """Yield records as they come, to the last one or the machine's end."""
        while True:
            *lines, self.waiting = self.waiting.split(b"\n")
            for line in lines:
                text = line.decode(errors="replace").strip()
                if text.endswith("}"):
                    yield json.loads(text)
            self.waiting += self._more()

    def _more(self):
        left = self.end - time.monotonic()
        output = self.process.stdout
        if left <= 0 or not select.select([output], [], [], left)[0]:
            raise self.failed(f"took more than {PATIENCE} s")
        more = output.read1(1 << 16)
        if not more:
            raise self.ended()
        return more

    def ended(self):
        """Return the error that QEMU has closed its end."""
        return self.failed(f"ended with status {self.process.wait(PATIENCE)}")

    def failed(self, how):
        """Return the error that says how QEMU failed, and its last words."""
        last = [self.console.parent / "errors", self.console]
        texts = [
            path.read_text(errors="replace")[-TAIL:] for path in last if path.exists()
        ]
        words = " ".join(" ".join(texts).split())
        return Failed(f"QEMU {how}: {words or 'it said nothing'}")


# --- states ---------------------------------------------------------------------------


class Place(NamedTuple):
    """What a kept machine is, and where.

    machine  a Machine
    kernel   path of its image
    file     its state; its first record is beside it
    """

    machine: Machine
    kernel: Path
    file: Path

    @property
    def first(self):
        return self.file.with_suffix(".json")


def place(script, guest, name, number):
    """Return the place of the machine that a run goes on from.

    script  text of a script: its machine line counts
    name    of the script
    number  which of the machines that are started, one for each run of a script
    """
    packed = any(word in name for word in PACKED)
    asked = machine(script)
    key = hashlib.sha256(repr((guest.digest, asked, packed)).encode()).hexdigest()[:24]
    kernel = guest.kernel if packed else guest.unpacked
    return Place(asked, kernel, guest.states / f"{key}-{number}")


def state(kept, guest):
    """Start a machine and write its state, if it is not there; its first record."""
    with guest.locks.setdefault(kept.file, threading.Lock()):
        if not kept.first.exists():
            record = _started(kept, guest)
            # Last: the state is whole then.
            kept.first.write_text(json.dumps(record))
        return json.loads(kept.first.read_text())


def _started(kept, guest):
    """Start a machine, write its state once it waits for a script; its first record."""
    with tempfile.TemporaryDirectory(prefix="record-") as temporary:
        folder = Path(temporary)
        console, monitor = folder / "console", folder / "monitor"
        words = command(kept.machine, kept.kernel, guest.archive, console)
        words += ["-qmp", f"unix:{monitor},server=on,wait=off"]
        with Running(words, console) as running:
            record = next(running.records())
            _keep(running, monitor, kept.file)
    return record


def _keep(running, monitor, file):
    """Have QEMU write a machine's state to a file."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(monitor))
        with connection.makefile("rw") as lines:
            lines.readline()
            _ask(running, lines, "qmp_capabilities")
            # What runs while it is written may be written halfway.
            _ask(running, lines, "stop")
            unlimited = {"max-bandwidth": 1 << 40}
            _ask(running, lines, "migrate-set-parameters", unlimited)
            uri = f"exec:cat > {shlex.quote(str(file))}"
            _ask(running, lines, "migrate", {"uri": uri})
            told = {"status": "active"}
            while told.get("status") not in ("completed", "failed"):
                time.sleep(0.02)
                told = _ask(running, lines, "query-migrate")
    if told["status"] == "failed":
        raise running.failed("kept no state")


def _ask(running, lines, what, arguments=None):
    lines.write(json.dumps({"execute": what, "arguments": arguments or {}}) + "\n")
    lines.flush()
    for line in lines:
        answer = json.loads(line)
        if "return" in answer:
            return answer["return"]
        if "error" in answer:
            raise running.failed(f"says {answer['error']['desc']!r}")
    raise running.ended()


def run(script, guest, name, number):
    """Run a script once, on a copy of a machine that has started; its records."""
    kept = place(script, guest, name, number)
    try:
        return _went_on(script, kept, guest)
    except Failed:
        # It may be that machine's fault: the next one is started again.
        kept.first.unlink(missing_ok=True)
        raise


def _went_on(script, kept, guest):
    first = state(kept, guest)
    with tempfile.TemporaryDirectory(prefix="record-") as temporary:
        console = Path(temporary) / "console"
        words = command(kept.machine, kept.kernel, guest.archive, console)
        words += ["-incoming", f"exec:cat {shlex.quote(str(kept.file))}"]
        with Running(words, console) as running:
            running.send(script)
            records = [first]
            for record in running.records():
                records.append(record)
                if "end" in record:
                    return records
                if {"error", "exit"} & record.keys():
                    raise Unrecorded(_why(record))
    raise AssertionError


def _why(record):
    """Return why a script did not reach its end, by the guest's last record."""
    if "error" in record:
        return f"line {record['line']} failed in the guest: {record['error']}"
    signal = record["exit"] - SIGNALLED
    how = f"was killed by signal {signal}" if signal > 0 else "gave up"
    return f"main must live to the script's end, got: it {how}"

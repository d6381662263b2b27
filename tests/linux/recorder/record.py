"""Record what a real Linux does with memory scripts: record.py DIR

Runs each DIR/NAME.mm in QEMU, twice and on a freshly started machine each time, and
writes what both runs agree on as DIR/NAME.json.  README.md says what it takes.
"""

import argparse
import gzip
import json
import lzma
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from compare import COUNTERS, FILLED, filling, kind, place

HERE = Path(__file__).parent
RUNS = 2
#: Seconds that one run may take, with starting the machine.
PATIENCE = 180
#: Pages of the kernel's image, which is on another node each time.
IMAGE = 10240
#: Pages by which runs may differ that fill nodes, and by which a model may differ.
AGREED, TOLERANCE = IMAGE + FILLED // 2, IMAGE + FILLED
#: The second line is about starting faster only.
COMMAND_LINE = (
    "console=ttyS0 quiet panic=-1 mitigations=off"
    " tsc=reliable lpj=4000000 no_timer_check cryptomgr.notests edd=off"
)
_UNITS = {"M": 1, "G": 1 << 10}


class Unrecorded(Exception):
    """A script cannot be recorded; says why."""


class Machine(NamedTuple):
    """What a script's machine line asks for: one CPU a node.

    memory    MiB of each node
    distance  rows of the SLIT
    """

    memory: tuple[int, ...]
    distance: tuple[tuple[str, ...], ...]


def machine(script):
    """Return the machine of a script's text; 4 equal nodes where it says nothing."""
    found = re.search(r"^machine\b([^#\n]*)", script, re.MULTILINE)
    given = dict(word.split("=") for word in found[1].split()) if found else {}
    if "cpus" in given or re.search(r"^(in \w+ )?thread\b", script, re.MULTILINE):
        raise Unrecorded("scripts with cpus= or threads are not recorded yet")
    nodes = int(given.get("nodes", 4))
    memory = [_mebibytes(word) for word in given.get("mem", "512M").split(",")]
    memory = memory * nodes if len(memory) == 1 else memory
    everywhere = "/".join(
        ",".join("10" if i == j else "20" for j in range(nodes)) for i in range(nodes)
    )
    rows = given.get("distance", everywhere).split("/")
    distance = tuple(tuple(row.split(",")) for row in rows)
    if len(memory) != nodes or any(len(row) != nodes for row in (distance, *distance)):
        raise Unrecorded(f"machine must have {nodes} nodes all over, got {found[0]!r}")
    return Machine(tuple(memory), distance)


def _mebibytes(word):
    if word[-1] not in _UNITS:
        raise Unrecorded(f"mem must be as 512M or 1G, got {word!r}")
    return int(word[:-1]) * _UNITS[word[-1]]


# --- the guest ------------------------------------------------------------------------


class Guest(NamedTuple):
    """What every run starts from.

    kernel   a kernel's image
    archive  an initramfs with all but the script
    """

    kernel: Path
    archive: bytes


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
                return _unpacked(path)
    return None


def _unpacked(path):
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    return path.read_bytes()


def guest(kernel):
    """Build the guest of a kernel."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for name in ("bin", "dev", "proc", "sys"):
            (root / name).mkdir()
        busybox = shutil.which("busybox")
        if busybox is None:
            raise Unrecorded("busybox must be installed, static, got none")
        shutil.copy(busybox, root / "bin/busybox")
        shutil.copy(HERE / "init", root / "init")
        (root / "init").chmod(0o755)
        module = ram_disk(kernel)
        if module is not None:
            (root / "brd.ko").write_bytes(module)
        flags = ["-O1", "-static", "-o", str(root / "bin/guest")]
        subprocess.run(["gcc", *flags, str(HERE / "guest.c")], check=True)
        return Guest(kernel, archive(root))


def archive(root):
    """Return a folder's files as a cpio archive, as Linux unpacks it."""
    paths = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    return subprocess.run(
        ["cpio", "--create", "--format=newc", "--quiet", "--owner=0:0"],
        cwd=root,
        input="\n".join(paths).encode(),
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def command(machine, kernel, folder):
    """Return the command that starts a machine; its output comes to files in a folder.

    Without KVM: what a script says then does not hang on the host's processor.
    """
    nodes = range(len(machine.memory))
    words = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max"]
    words += ["-nodefaults", "-display", "none", "-no-reboot"]
    words += ["-smp", str(len(nodes)), "-m", f"{sum(machine.memory)}M"]
    for node, size in enumerate(machine.memory):
        words += ["-object", f"memory-backend-ram,size={size}M,id=memory{node}"]
        words += ["-numa", f"node,nodeid={node},cpus={node},memdev=memory{node}"]
    for i in nodes:
        for j in nodes[i + 1 :]:
            words += ["-numa", f"dist,src={i},dst={j},val={machine.distance[i][j]}"]
    words += ["-kernel", str(kernel), "-initrd", str(folder / "initrd")]
    words += ["-append", COMMAND_LINE]
    for output in ("console", "records"):
        words += ["-serial", f"file:{folder / output}"]
    return words


def run(script, guest):
    """Run a script once; return the guest's records."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "archived").mkdir()
        (folder / "archived/script").write_text(script)
        # Linux unpacks one archive after the other.
        archives = guest.archive + archive(folder / "archived")
        (folder / "initrd").write_bytes(archives)
        words = command(machine(script), guest.kernel, folder)
        try:
            subprocess.run(
                words, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=True
            )
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
            raise Unrecorded(f"{error}: {_tail(folder)}"[-1000:]) from None
        records = _parsed(folder / "records")
    if not records or "end" not in records[-1]:
        last = records[-1] if records else "no records"
        raise Unrecorded(f"script must reach its end, got {last}")
    return records


def _tail(folder):
    """Return the last words of the console and of the records."""
    texts = [(folder / name) for name in ("console", "records")]
    return " | ".join(
        path.read_text(errors="replace")[-400:] for path in texts if path.exists()
    )


def _parsed(path):
    lines = path.read_text(errors="replace").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


# --- from runs to a case --------------------------------------------------------------


def cleaned(records):
    """Return the records that cases have, by line and kind."""
    found = {}
    for record in records:
        if "counters" in record:
            counters = record["counters"]
            owned = {name: counters[name] for name in COUNTERS if name in counters}
            record = record | {"counters": owned}
        if kind(record):
            found[place(record)] = record
    return found


def joined(one, other, fills):
    """Return what two runs' records of one place agree on; None: nothing.

    fills  whether the script is about how nodes are filled
    """
    if one == other:
        return one
    if "counters" in one:
        return _joined_counters(one, other)
    if "runs" in one and fills:
        return _joined_filling(one, other)
    return None


def _joined_counters(one, other):
    counts = one["counters"], other["counters"]
    names = [name for name in COUNTERS if any(name in found for found in counts)]
    equal = {name for name in names if counts[0].get(name) == counts[1].get(name)}
    return {
        "line": one["line"],
        "counters": {name: counts[0][name] for name in names if name in equal},
        "unstable": sorted(set(names) - equal),
    }


def _joined_filling(one, other):
    (order, pages), (other_order, other_pages) = (
        filling(record["runs"]) for record in (one, other)
    )
    agreed = []
    for node, other_node in zip(order, other_order, strict=False):
        if node != other_node:
            break
        # The last node may have got the image's size less, or more.
        if (
            node != order[-1]
            or min(pages[str(node)], other_pages[str(node)]) > TOLERANCE
        ):
            agreed.append(node)
    means = {
        node: (pages.get(node, 0) + other_pages.get(node, 0)) // 2
        for node in sorted({*pages, *other_pages})
        if abs(pages.get(node, 0) - other_pages.get(node, 0)) <= AGREED
    }
    return {
        "line": one["line"],
        "proc": one["proc"],
        "region": one["region"],
        "fill_order": agreed,
        "node_pages": means,
        "tolerance_pages": TOLERANCE,
    }


def case(name, runs):
    """Return (a case from two runs' records, lines at which these did not agree)."""
    one, other = (cleaned(records) for records in runs)
    fills = "fallback" in name
    expect, lost = [], []
    for where in sorted({*one, *other}, key=lambda where: where[0]):
        both = where in one and where in other
        record = joined(one[where], other[where], fills) if both else None
        if record is None:
            lost.append(where[0])
        else:
            expect.append(record)
    kernel = kernel_name(runs[0][0])
    return {"script": f"{name}.mm", "kernel": kernel, "expect": expect}, lost


def kernel_name(record):
    """Return a kernel's name from the guest's first record."""
    debian = re.search(r"Debian (\d[\d.]*)", record["build"])
    release = record["kernel"]
    return f"Linux {debian[1]} (Debian {release})" if debian else f"Linux {release}"


def record(path, guest):
    """Record one script; return what there is to say of it."""
    try:
        runs = [run(path.read_text(), guest) for _ in range(RUNS)]
    except Unrecorded as error:
        return f"not recorded: {error}"
    found, lost = case(path.stem, runs)
    text = json.dumps(found, separators=(",", ":"))
    path.with_suffix(".json").write_text(text + "\n")
    told = f"{len(found['expect'])} observations"
    return f"{told}, not stable at lines {lost}" if lost else told


def record_all(scripts, kernel=None, jobs=1, again=False):
    """Record the scripts that are not yet, and print how it went."""
    scripts = [one for one in scripts if again or not one.with_suffix(".json").exists()]
    if not scripts:
        return
    made = guest(kernel or newest_kernel())
    with ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda script: record(script, made), scripts)
        for script, result in zip(scripts, results, strict=True):
            print(f"{script.stem}: {result}", flush=True)


def add_arguments(parser):
    """Add the arguments that say how to record."""
    parser.add_argument("--kernel", type=Path, help="image of a kernel; /boot's newest")
    parser.add_argument("--jobs", type=int, default=1, help="machines at a time")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of scripts, NAME.mm")
    parser.add_argument("--again", action="store_true", help="those with .json, too")
    add_arguments(parser)
    given = parser.parse_args(arguments)
    try:
        scripts = sorted(given.folder.glob("*.mm"))
        record_all(scripts, given.kernel, given.jobs, given.again)
    except Unrecorded as error:
        sys.exit(f"record.py: {error}")


if __name__ == "__main__":
    main()

"""The machines that scripts ask for, and how QEMU is started as one."""

import re
from typing import NamedTuple

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


def command(machine, kernel, archive, console):
    """Return the command that starts a machine; its second serial port is stdio.

    Without KVM: what a script says then is the same on every host.

    machine  a Machine
    kernel   path of a kernel's image, packed or not
    archive  path of an initramfs
    console  file that gets what the kernel says
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
    words += ["-kernel", str(kernel), "-initrd", str(archive)]
    words += ["-append", COMMAND_LINE, "-serial", f"file:{console}"]
    return [*words, "-chardev", "stdio,id=records", "-serial", "chardev:records"]

"""The machines that scripts ask for, and how QEMU is started as one."""

import re
from typing import NamedTuple

from tools import Unrecorded, tool

#: The second line is about starting faster only.
COMMAND_LINE = (
    "console=ttyS0 quiet panic=-1 mitigations=off"
    " tsc=reliable lpj=4000000 no_timer_check cryptomgr.notests edd=off"
)
#: What the HMAT says of memory of tier 0 at distance 10.
LATENCY_NS, BANDWIDTH_MB = 100, 102400
_UNITS = {"M": 1, "G": 1 << 10}


class Machine(NamedTuple):
    """What a script's machine line asks for.

    memory    MiB of each node
    cpus      CPUs of each node; they are counted node by node
    tier      memory tier of each node, 0 the fastest
    distance  rows of the SLIT
    """

    memory: tuple[int, ...]
    cpus: tuple[int, ...]
    tier: tuple[int, ...]
    distance: tuple[tuple[str, ...], ...]

    @property
    def tiers(self):
        """Whether the machine's firmware must tell what its memory is like."""
        return any(self.tier)


def machine(script):
    """Return the machine of a script's text; 4 equal nodes where it says nothing."""
    found = re.search(r"^machine\b([^#\n]*)", script, re.MULTILINE)
    given = dict(word.split("=") for word in found[1].split()) if found else {}
    if re.search(r"^(in \w+ )?thread\b", script, re.MULTILINE):
        raise Unrecorded("scripts with threads are not recorded yet")
    nodes = int(given.get("nodes", 4))
    everywhere = "/".join(
        ",".join("10" if i == j else "20" for j in range(nodes)) for i in range(nodes)
    )
    rows = given.get("distance", everywhere).split("/")
    asked = Machine(
        memory=_each(_mebibytes, given.get("mem", "512M"), nodes),
        cpus=_each(int, given.get("cpus", "1"), nodes),
        tier=_each(int, given.get("tier", "0"), nodes),
        distance=tuple(tuple(row.split(",")) for row in rows),
    )
    if any(len(row) != nodes for row in (*asked, *asked.distance)):
        raise Unrecorded(f"machine must have {nodes} nodes all over, got {found[0]!r}")
    if not any(map(min, asked.cpus, asked.memory)):
        raise Unrecorded(f"a node must have CPUs and memory, got {found[0]!r}")
    return asked


def _each(read, text, nodes):
    values = tuple(read(word) for word in text.split(","))
    return values * nodes if len(values) == 1 else values


def _mebibytes(word):
    if word == "0":
        return 0
    if word[-1] not in _UNITS:
        raise Unrecorded(f"mem must be as 512M or 1G, got {word!r}")
    return int(word[:-1]) * _UNITS[word[-1]]


# --- QEMU's command -------------------------------------------------------------------


def command(machine, kernel, archive, console):
    """Return the command that starts a machine; its second serial port is stdio.

    Without KVM: what a script says then is the same on every host.

    machine  a Machine
    kernel   path of a kernel's image, packed or not
    archive  path of an initramfs
    console  file that gets what the kernel says
    """
    words = [tool("qemu-system-x86_64"), "-accel", "tcg,thread=multi", "-cpu", "max"]
    # Its state is written when it is stopped, and a copy runs at once.
    words += ["-global", "migration.store-global-state=off"]
    words += ["-nodefaults", "-display", "none", "-no-reboot"]
    words += ["-machine", "hmat=on"] if machine.tiers else []
    words += ["-smp", str(sum(machine.cpus)), "-m", f"{sum(machine.memory)}M"]
    words += [*_nodes(machine), *_distances(machine)]
    words += _performance(machine) if machine.tiers else []
    words += ["-kernel", str(kernel), "-initrd", str(archive)]
    words += ["-append", COMMAND_LINE, "-serial", f"file:{console}"]
    return [*words, "-chardev", "stdio,id=records", "-serial", "chardev:records"]


def _nodes(machine):
    first = 0
    for node, (size, cpus) in enumerate(zip(machine.memory, machine.cpus, strict=True)):
        node_is = f"node,nodeid={node}"
        if cpus:
            node_is += f",cpus={first}" + (f"-{first + cpus - 1}" if cpus > 1 else "")
            first += cpus
        if size:
            yield from ("-object", f"memory-backend-ram,size={size}M,id=memory{node}")
            node_is += f",memdev=memory{node}"
        if machine.tiers:
            node_is += f",initiator={_initiator(machine, node)}"
        yield from ("-numa", node_is)


def _initiator(machine, node):
    """Return the nearest node with CPUs."""
    able = [one for one, cpus in enumerate(machine.cpus) if cpus]
    return min(able, key=lambda one: (one != node, int(machine.distance[one][node])))


def _distances(machine):
    nodes = range(len(machine.memory))
    for i in nodes:
        for j in nodes[i + 1 :]:
            yield from ("-numa", f"dist,src={i},dst={j},val={machine.distance[i][j]}")


def _performance(machine):
    """Yield what the HMAT says: each tier has twice the latency, half the bandwidth.

    The factor 4 of abstract distance is more than a tier is wide.
    """
    for i, cpus in enumerate(machine.cpus):
        for j, tier in enumerate(machine.tier):
            if not cpus or not machine.memory[j]:
                continue
            about = f"hmat-lb,initiator={i},target={j},hierarchy=memory"
            far = int(machine.distance[i][j])
            latency = LATENCY_NS * far // 10 << tier
            bandwidth = BANDWIDTH_MB * 10 // far >> tier
            latency = f"data-type=access-latency,latency={latency}"
            yield from ("-numa", f"{about},{latency}")
            bandwidth = f"data-type=access-bandwidth,bandwidth={bandwidth}M"
            yield from ("-numa", f"{about},{bandwidth}")

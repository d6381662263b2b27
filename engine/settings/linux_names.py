"""The names that people know a setting by: sysctls, files of sysfs and debugfs."""

from ..errors import BadInput

#: Where a path begins that ends in such a name.
_ROOTS = ("/proc/sys/", "/sys/kernel/mm/", "/sys/kernel/debug/", "/sys/kernel/")
#: Names of one setting each, and short names of our own.
_NAMES = {
    "kernel.numa_balancing": "balancing.mode",
    "numa_balancing": "balancing.mode",
    "numa.demotion_enabled": "balancing.demotion",
    "vm.zone_reclaim_mode": "khugepaged.node_reclaim",
    "vm.watermark_scale_factor": "watermark_scale_factor",
    "vm.min_free_kbytes": "min_free_kbytes",
    "swap": "swap_bytes",
    "quantum": "quantum_ns",
    "epoch": "epoch_ns",
}
#: What a group of settings is called in Linux.
_GROUPS = {
    "transparent_hugepage.khugepaged.": "khugepaged.",
    "transparent_hugepage.": "thp.",
    "kernel.numa_balancing_": "balancing.",
    "sched.numa_balancing.": "balancing.",
    "numa_balancing.": "balancing.",
}
#: A lock's own settings: ``locks.mmap_lock.scope``.
_LOCKS = "locks."
#: What else is a setting of Linux.
_LINUX = ("vm.", "kernel.", "fs.", "net.")


def our_name(key: str) -> str:
    """Return our name of a setting that may be called as in Linux."""
    for root in _ROOTS:
        if key.startswith(root):
            key = key.removeprefix(root).replace("/", ".")
    if key.startswith(_LOCKS):
        return _LOCKS + key.removeprefix(_LOCKS).replace(".", "_")
    if key in _NAMES:
        return _NAMES[key]
    for group, ours in _GROUPS.items():
        if key.startswith(group):
            return ours + key.removeprefix(group).lower()
    return key


def refuse_linux_name(key: str) -> None:
    """Raise BadInput if a setting that is not ours is one of Linux."""
    if key.startswith((*_LINUX, "/proc/", "/sys/")):
        raise BadInput(
            f"setting must be one that lazynuma models, and it does not model {key!r}"
        )

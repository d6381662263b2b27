"""What a call that moves pages costs its caller."""

from ..counters import Cause
from ..frames.account import charge
from ..jit.compile import kernel
from ..state import Info


@kernel
def charge_call(m, task, syscall_ns, migration_ns):
    """Charge a system call: its own work, and the flushes of its migrations."""
    s = m.info[Info.SHARDS]
    charge(m, s, task, Cause.SYSCALL, syscall_ns)
    charge(m, s, task, Cause.MIGRATION, migration_ns)

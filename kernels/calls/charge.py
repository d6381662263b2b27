"""What a call that moves pages costs its caller."""

from ..counters import Cause
from ..jit.compile import inlined, kernel
from ..state import Info


@inlined
def _charge(m, task, cause, ns):
    m.cause[m.info[Info.SHARDS], task, cause] += ns


@kernel
def charge_call(m, task, syscall_ns, migration_ns):
    """Charge a system call: its own work, and the flushes of its migrations."""
    _charge(m, task, Cause.SYSCALL, syscall_ns)
    _charge(m, task, Cause.MIGRATION, migration_ns)

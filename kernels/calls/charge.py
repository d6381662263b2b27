"""What a call that moves pages costs its caller."""

from ..counters import Cause, Op
from ..frames.account import charge, count_op
from ..jit.compile import kernel
from ..state import Info


@kernel
def charge_call(m, task, syscall_ns, migration_ns, alone):
    """Charge a system call: its own work, and the flushes of its migrations.

    alone  whether it holds mmap_lock alone, in place of reading it
    """
    s = m.info[Info.SHARDS]
    charge(m, s, task, Cause.SYSCALL, syscall_ns)
    charge(m, s, task, Cause.MIGRATION, migration_ns)
    ns = 0  # of the whole call: its pages are charged already
    for cause in range(m.cause.shape[2]):
        ns += m.cause[s, task, cause]
    if alone:
        count_op(m, s, task, Op.WRITE_CALL, 1)
        count_op(m, s, task, Op.WRITE_CALL_NS, ns)
    else:
        count_op(m, s, task, Op.READ_CALL, 1)
        count_op(m, s, task, Op.READ_CALL_NS, ns)

"""NUMA balancing in tiering mode: ``numa_balancing=2`` of Linux 6.12, with demotion.

Pages of slow nodes alone are marked; a hint fault soon after the mark promotes, within
a limit of bytes a second; kswapd makes room by demotion.  Sources: c574bbe91703 and
33024536bafd ("memory tiering: hot page selection with hint page fault latency", Huang
Ying), 26aa2d199d6f ("mm/migrate: demote pages during reclaim"); the rules are those of
``docs/model/balancing.md``.  Defaults of 6.12: Documentation/admin-guide/sysctl and
kernel/sched/fair.c.  Scaled: delay, periods, size and threshold.
"""

from functools import partial

from ...engine.machines.machine import Machine
from ...engine.settings.numa_balancing import Balancing
from ...engine.settings.settings import Settings
from . import Rival, Scale


def rival(scale: Scale) -> Rival:
    """Return the policy."""
    return Rival("numa_balancing", partial(_settings, scale))


def _settings(scale: Scale, _machine: Machine) -> Settings:
    return Settings(balancing=scaled_balancing(scale))


def scaled_balancing(scale: Scale) -> Balancing:
    """Return tiering with the scanner's times and sizes as they are here."""
    usual = Balancing()
    return Balancing(
        mode="tiering",
        demotion=True,
        scan_delay_ms=scale.time(usual.scan_delay_ms),
        scan_period_min_ms=scale.time(usual.scan_period_min_ms),
        scan_period_max_ms=scale.time(usual.scan_period_max_ms),
        scan_size_mb=scale.time(usual.scan_size_mb),
        hot_threshold_ms=scale.time(usual.hot_threshold_ms),
    )

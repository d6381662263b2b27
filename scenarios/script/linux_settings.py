"""The settings of Linux by their names: ours, those under another name, and the rest.

``docs/model/scripts.md`` 4 says how they are set.
"""

import re
from dataclasses import fields, replace
from typing import Any

from ...engine.errors import BadInput, did_you_mean
from ...engine.settings.linux_names import our_name
from ...engine.settings.numa_balancing import MODES as BALANCING_MODES
from ...engine.settings.settings import Settings

_GROUPS = ("thp", "khugepaged", "balancing", "lru_gen")
#: Settings that only have the name of their sysctl.
_SYSCTLS = {
    "balancing.mode": "kernel.numa_balancing",
    "balancing.promote_rate_limit_mbps": (
        "kernel.numa_balancing_promote_rate_limit_MBps"
    ),
    "khugepaged.node_reclaim": "vm.zone_reclaim_mode",
}
#: Settings without a counterpart: the model never overcommits or reads ahead from swap.
_WITHOUT_EFFECT = ("vm.overcommit_memory", "vm.page-cluster")
#: What is not a knob of the model, but of the script's player.
MOVE_STATUS = "move.status"
NODE_WEIGHT = re.compile(r"node\.([0-9]{1,3})\.weight")
#: Numbers and sizes in bytes are below this.
MOST = 1 << 48

#: What Linux has (2.6.32 to 6.18) and the model does not.
_NOT_MODELLED = frozenset(
    "balancing.settle_count balancing.migrate_deferred"
    " khugepaged.full_scans khugepaged.pages_collapsed"
    " thp.debug_cow thp.hpage_pmd_size thp.shmem_enabled thp.shrink_underused"
    " thp.split_underused_thp swap.vma_ra_enabled"
    " lru_gen.min_ttl_ms"
    " ksm.run ksm.merge_across_nodes ksm.pages_to_scan ksm.sleep_millisecs"
    " zswap.enabled"
    " vm.admin_reserve_kbytes vm.block_dump vm.compact_memory"
    " vm.compact_unevictable_allowed vm.compaction_proactiveness vm.defrag_mode"
    " vm.dirty_background_bytes vm.dirty_background_ratio vm.dirty_bytes"
    " vm.dirty_expire_centisecs vm.dirty_ratio vm.dirty_writeback_centisecs"
    " vm.dirtytime_expire_seconds vm.drop_caches vm.enable_soft_offline"
    " vm.extfrag_threshold vm.highmem_is_dirtyable vm.hugepages_treat_as_movable"
    " vm.hugetlb_optimize_vmemmap vm.hugetlb_shm_group vm.laptop_mode"
    " vm.legacy_va_layout vm.lowmem_reserve_ratio vm.max_map_count vm.mem_profiling"
    " vm.memfd_noexec vm.memory_failure_early_kill vm.memory_failure_recovery"
    " vm.min_free_kbytes vm.min_slab_ratio vm.min_unmapped_ratio vm.mmap_min_addr"
    " vm.mmap_rnd_bits vm.mmap_rnd_compat_bits vm.movable_gigantic_pages"
    " vm.nr_hugepages vm.nr_hugepages_mempolicy vm.nr_overcommit_hugepages"
    " vm.nr_pdflush_threads vm.nr_trim_pages vm.numa_stat vm.numa_zonelist_order"
    " vm.oom_dump_tasks vm.oom_kill_allocating_task vm.overcommit_kbytes"
    " vm.overcommit_ratio vm.page_lock_unfairness vm.panic_on_oom"
    " vm.percpu_pagelist_fraction vm.percpu_pagelist_high_fraction"
    " vm.scan_unevictable_pages vm.stat_interval vm.stat_refresh vm.swappiness"
    " vm.unprivileged_userfaultfd vm.user_reserve_kbytes vm.vdso_enabled"
    " vm.vfs_cache_pressure vm.vfs_cache_pressure_denom vm.watermark_boost_factor"
    " vm.watermark_scale_factor".split()
)
#: Files of mTHP sizes, and of one kind of them.
_MTHP = re.compile(r"thp\.(hugepages-[0-9]+kB[./][a-z_]+|[a-z_]*shmem[a-z_]*)")


class NotModelled(BadInput):
    """A setting that Linux has and the model does not."""


def check(setting: str, value: str) -> None:
    """Raise BadInput, or NotModelled, unless a script may set this to this."""
    if setting == MOVE_STATUS:
        if value not in ("0", "1"):
            raise BadInput(f"{setting} must be 0 or 1, got {shown(value)}")
    elif NODE_WEIGHT.fullmatch(setting):
        weight = _number(setting, value)
        if weight > 255:
            raise BadInput(f"{setting} must be from 0 to 255, got {weight}")
    else:
        changed(Settings(), setting, value)


def changed(settings: Settings, setting: str, value: str) -> Settings:
    """Return the settings after ``set``; BadInput if Linux has no such setting.

    NotModelled if it has, but the model has not.
    """
    if setting in _WITHOUT_EFFECT:
        _number(setting, value)
        return settings
    full = our_name(setting)
    group, _, name = full.partition(".")
    known = _known()
    if full not in known or (full == setting and full in _SYSCTLS):
        raise _unknown(setting, known)
    if full == "balancing.mode":
        number = _number(setting, value)
        if number >= len(BALANCING_MODES):
            raise BadInput(f"{setting} must be from 0 to 3, got {number}")
        new: bool | int | str = BALANCING_MODES[number]
    else:
        new = _convert(known[full], setting, value)
    return replace(
        settings, **{group: replace(getattr(settings, group), **{name: new})}
    )


def _unknown(setting: str, known: dict[str, Any]) -> BadInput:
    ours = our_name(setting)
    if {setting, ours} & _NOT_MODELLED or _MTHP.fullmatch(ours):
        return NotModelled(f"lazynuma does not model {setting}")
    names = [*known, *_SYSCTLS.values(), *_NOT_MODELLED]
    hint = did_you_mean(setting, names)
    if setting in _SYSCTLS:
        hint = f" (did you mean {_SYSCTLS[setting]}?)"
    return BadInput(f"setting must be one that Linux has, got {shown(setting)}{hint}")


def _known() -> dict[str, Any]:
    """Return the types of the settings that scripts may change, by their names."""
    base = Settings()
    return {
        f"{group}.{one.name}": one.type
        for group in _GROUPS
        for one in fields(getattr(base, group))
    }


def _convert(kind: type, name: str, value: str) -> bool | int | str:
    """Return the text of a value as a setting of type ``kind`` takes it."""
    if kind is str:
        if len(value) > 60:
            raise BadInput(f"{name} must be a word of its file, got {shown(value)}")
        return value
    if kind is bool:
        return value == "true" or (value != "false" and _number(name, value) != 0)
    return _number(name, value)


def _number(name: str, value: str) -> int:
    number = whole(value)
    if number is None:
        raise BadInput(f"{name} must be a number, got {shown(value)}")
    return number


def whole(word: str) -> int | None:
    """Return a word of ASCII digits as a number, if it is one below 2^48."""
    # Python converts no more than some thousand digits.
    if not word.isascii() or not word.isdigit() or len(word.lstrip("0")) > 15:
        return None
    number = int(word.lstrip("0") or "0")
    return number if number < MOST else None


def shown(word: str) -> str:
    """Return a word as messages show it: quoted, and not longer than a line."""
    return repr(word) if len(word) <= 60 else f"{word[:60]!r}.."

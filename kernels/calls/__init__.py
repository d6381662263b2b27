"""What a system call does to the pages of a range; one file for each call.

Imports ``reclaim``, ``fault`` and ``lazy`` and what is below them.  All of it is serial
work.  In reading order: ``mbind`` and ``move_pages`` (moving at once), ``charge`` (what
that costs), ``fork`` (copying page tables), ``zap`` (munmap, exit, dontneed),
``mprotect``, ``madvise`` (free, cold, pageout; swapoff), ``populate``,
``memory_hotplug`` (hot-remove of a node).
"""

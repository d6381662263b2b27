"""A task moves to its memory, or swaps its CPU with another task.

``docs/model/balancing.md`` states the rules.
"""

from dataclasses import dataclass

from lazynuma.kernels.counters import Vm

from .balancing_words import BACKPLANE, c_div

SMALLIMP = 30


@dataclass
class Stats:
    """A node as task_numa_migrate sees it (struct numa_stats)."""

    running: int
    cpus: int
    idle: int

    @property
    def has_spare(self):
        return self.running < self.cpus

    @property
    def load(self):
        return 1024 * self.running

    @property
    def capacity(self):
        return 1024 * self.cpus


@dataclass
class Env:
    """struct task_numa_env."""

    task: object
    source: int
    src: Stats
    target: int = -1
    distance: int = 0
    dst: Stats = None
    dst_cpu: int = -1
    best_task: object = None
    best_imp: int = 0
    best_cpu: int = -1


class TaskMigration:
    """A part of ``Reference`` (``model.py``)."""

    def numa_migrate_preferred(self, p):
        numa = self.numas[p.id]
        if numa.preferred < 0:
            return
        numa.retry = self.ms() + min(1000, numa.period // 16)
        if self.cpu(p) != numa.preferred and self.knobs.placement:
            self.task_numa_migrate(p)

    def stats_of(self, n):
        """update_numa_stats."""
        cpus = self.cpus_of(n)
        busy = [task.cpu for task in self.running() if task.cpu in cpus]
        running, size = len(busy), len(cpus)
        idle = next((cpu for cpu in cpus if cpu not in busy), -1)
        return Stats(running, size, idle)

    def current(self, cpu):
        """Return the task that runs on a CPU, or None."""
        return next((task for task in self.running() if task.cpu == cpu), None)

    def task_numa_migrate(self, p):
        numa, source = self.numas[p.id], self.cpu(p)
        group = numa.group
        env = Env(p, source, self.stats_of(source))
        env.target = numa.preferred
        dist = env.distance = self.distance(source, env.target)
        mine = self.weight(numa, source, dist)
        ours = self.weight(group, source, dist)
        taskimp = self.weight(numa, env.target, dist) - mine
        groupimp = self.weight(group, env.target, dist) - ours
        env.dst = self.stats_of(env.target)
        self.task_numa_find_cpu(env, taskimp, groupimp)
        if env.best_cpu == -1 or group is not None and group.active > 1:
            for n in self.cpu_nodes:
                if n in (source, numa.preferred):
                    continue
                # Of the node looked at before, as in Linux.
                dist = self.distance(source, env.target)
                if self.topology == BACKPLANE and dist != env.distance:
                    mine = self.weight(numa, source, dist)
                    ours = self.weight(group, source, dist)
                taskimp = self.weight(numa, n, dist) - mine
                groupimp = self.weight(group, n, dist) - ours
                if taskimp < 0 and groupimp < 0:
                    continue
                env.distance, env.target = dist, n
                env.dst = self.stats_of(n)
                self.task_numa_find_cpu(env, taskimp, groupimp)
        if group is not None:
            found = env.best_cpu != -1
            numa.preferred = self.cpu_node[env.best_cpu] if found else source
        if env.best_cpu == -1:
            return
        self.go(env, p, source)

    def go(self, env, p, source):
        """Move a task to the best CPU, or swap it with the best task."""
        other, cpu = env.best_task, p.cpu
        if self.by_local_share:
            self.numas[p.id].period = self.scan_min(p)
        p.cpu = env.best_cpu
        if other is None:
            self.add(source, Vm.NUMA_TASK_MIGRATED)
        else:
            self.add(source, Vm.NUMA_TASK_SWAPPED)
            was, other.cpu = self.cpu(other), cpu
            self.node_changed(other, was)
        self.node_changed(p, source)

    def task_numa_find_cpu(self, env, taskimp, groupimp):
        if env.task.id in self.pinned:
            return
        src, dst = env.src, env.dst
        if dst.has_spare:
            to, left = dst.running + 1, src.running - 1
            imbalance = max(0, to - left)
            allowed = max(1, src.cpus // 8)
            if to <= allowed and imbalance <= 2:
                imbalance = 0
            maymove = imbalance == 0
            if maymove and dst.idle >= 0:
                env.dst_cpu = dst.idle
                self.assign_best(env, None, 0)
                return
        else:
            maymove = not self.too_imbalanced(env, 1024)
        for cpu in self.cpus_of(env.target):
            env.dst_cpu = cpu
            if self.task_numa_compare(env, taskimp, groupimp, maymove):
                break

    @staticmethod
    def too_imbalanced(env, load):
        """load_too_imbalanced of moving so much load."""
        src, dst = env.src, env.dst

        def off(here, there):
            return abs(there * src.capacity - here * dst.capacity)

        now = off(src.load, dst.load)
        return off(src.load - load, dst.load + load) > now

    @staticmethod
    def assign_best(env, task, imp):
        env.best_task, env.best_imp, env.best_cpu = task, imp, env.dst_cpu

    def task_numa_compare(self, env, taskimp, groupimp, maymove):
        """Look at one CPU; tell whether to stop looking."""
        p, numa = env.task, self.numas[env.task.id]
        if env.dst_cpu == env.best_cpu:
            # numa_migrate_on of its runqueue is set.
            return False
        imp = moveimp = taskimp if numa.group is None else groupimp
        cur = self.current(env.dst_cpu)
        if cur is p:
            return True
        if cur is None:
            if not (maymove and moveimp >= env.best_imp):
                return False
        else:
            other = self.numas[cur.id]
            homeward = other.preferred == env.source
            best_homeward = (
                env.best_task is not None
                and self.numas[env.best_task.id].preferred == env.source
            )
            if best_homeward and not homeward:
                return False
            imp = self.swap_importance(env, other, taskimp, imp)
            if imp is None:
                return False
            if maymove and moveimp > imp and moveimp > env.best_imp:
                imp, cur = moveimp, None
            elif env.best_task is not None and homeward and not best_homeward:
                pass
            elif imp < SMALLIMP or imp <= env.best_imp + SMALLIMP // 2:
                return False
        if cur is None:
            self.find_idle(env)
        self.assign_best(env, cur, imp)
        if maymove and cur is None and self.is_idle(env.best_cpu):
            return True
        best = env.best_task
        if not maymove and best is not None:
            return self.numas[best.id].preferred == env.source
        return False

    def is_idle(self, cpu):
        return self.current(cpu) is None

    def find_idle(self, env):
        """Choose the CPU of a move: an idle one of the node if there is one."""
        cpu = env.dst.idle if env.dst.idle >= 0 else env.dst_cpu
        if not self.is_idle(cpu) and env.best_cpu >= 0 and self.is_idle(env.best_cpu):
            cpu = env.best_cpu
        env.dst_cpu = cpu

    def swap_importance(self, env, other, taskimp, imp):
        """Return what a swap with a task is worth; None: it is no candidate."""
        numa, dist = self.numas[env.task.id], env.distance
        gain = self.weight(other, env.source, dist)
        gain -= self.weight(other, env.target, dist)
        if self.current(env.dst_cpu).id in self.pinned:
            return None
        if other.group is numa.group:
            if env.dst.has_spare:
                return None
            imp = taskimp + gain
            if other.group is not None:
                imp -= c_div(imp, 16)
        elif other.group is not None and numa.group is not None:
            imp += self.weight(other.group, env.source, dist)
            imp -= self.weight(other.group, env.target, dist)
        else:
            imp += gain
        if other.preferred == env.target:
            imp -= c_div(imp, 16)
        if other.preferred == env.source:
            imp += c_div(imp, 8)
        return imp

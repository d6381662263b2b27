"""The script of a Slurm job array that runs a sweep."""

import shlex

_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=lazynuma
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={threads}
#SBATCH --time=01:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# A task takes points that no other has, until its time is over (exit status 75: it is
# put into the queue again).  Compile the kernels once for each kind of node before:
#   srun --ntasks=1 lazynuma warm
{command} --task "$SLURM_ARRAY_TASK_ID/{tasks}" --threads {threads}
status=$?
[ "$status" -eq 75 ] && scontrol requeue "$SLURM_JOB_ID"
exit "$status"
"""


def sbatch(file: str, folder: str, tasks: int, threads: int) -> str:
    """Return the script; ``tasks`` is the size of the array."""
    command = shlex.join(["lazynuma", "sweep", file, "-o", folder])
    return _SCRIPT.format(last=tasks - 1, tasks=tasks, threads=threads, command=command)

"""The script of a Slurm job array that runs a sweep."""

import shlex

_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=lazynuma
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={threads}
#SBATCH --time=01:00:00
#SBATCH --signal=USR1@60
#SBATCH --requeue
#SBATCH --open-mode=append
# A task takes points that no other has, until its time is over.  Then it saves its
# point and ends with exit status 75: it is put into the queue again.  Compile the
# kernels once for each kind of node before:
#   srun --ntasks=1 lazynuma warm
# Not SLURM_JOB_ID: that of the last task means the whole array.
task="${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
if [ -z "$SLURM_JOB_END_TIME" ]; then  # older Slurms do not say it
    end=$(squeue --noheader --jobs="$task" --format=%e)
    export SLURM_JOB_END_TIME=$(date --date="$end" +%s)
fi
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" {command} \\
    --task "$SLURM_ARRAY_TASK_ID/{tasks}" --threads "$SLURM_CPUS_PER_TASK"
status=$?
[ "$status" -eq 75 ] && scontrol requeue "$task"
exit "$status"
"""


def sbatch(file: str, folder: str, tasks: int, threads: int) -> str:
    """Return the script; ``tasks`` is the size of the array."""
    command = shlex.join(["lazynuma", "sweep", file, "-o", folder])
    return _SCRIPT.format(last=tasks - 1, tasks=tasks, threads=threads, command=command)

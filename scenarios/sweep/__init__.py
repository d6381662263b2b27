"""What changes over many settings?  Points of one scenario, each run into a file.

``points`` reads a sweep and lists its points, ``folder`` says which are taken, done or
failed, ``work`` runs them, ``sbatch`` is the script of a Slurm job array.  ``cells``
says which runs are looked at together, ``collected`` makes them one dataset,
``sweeps_differ`` holds two folders against each other.
"""

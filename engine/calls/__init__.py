"""System calls, by subject: what a user tells processes and tasks to do.

Each public function that takes a ``Simulation`` first is a method of it.  May import
state and what is below it.
"""

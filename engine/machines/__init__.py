"""What a run simulates: nodes with memory and CPUs, their distances and watermarks.

``spec`` finds a machine by what a user types: a preset, or a description.  ``formats``
tells descriptions by their content: ``numactl``, ``lscpu``, ``hwloc_xml``, and
``sysfs`` in a ``tree``, which is a folder or an archive.  What they say is a
``firmware.Firmware``; what is better than guesses comes in by ``known``, ``hmat`` and
``mlc``.  May import settings and errors.
"""

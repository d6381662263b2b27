"""What memory operations cost on this host: measured values for ``settings.costs``.

May import settings and errors.
"""

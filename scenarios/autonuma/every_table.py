"""All tables that were published with autonuma-benchmark, by their names."""

from . import published, write_bit

#: By the name that ``--set table`` takes.
TABLES = published.TABLES | write_bit.TABLES

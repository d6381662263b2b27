"""Look for differences between Linux and lazynuma: fuzz.py FAMILY SEED... -o DIR

Writes random scripts as generate.py does, records them as record.py does, and prints
where `lazynuma replay` says something else.  Scripts that are there are not recorded
again, so the same command compares again.
"""

import argparse
import sys

import compare
import generate
import record


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    generate.add_arguments(parser)
    record.add_arguments(parser)
    given = parser.parse_args(arguments)
    scripts = generate.write_all(given)
    try:
        record.record_all(scripts, given)
    except record.Unrecorded as error:
        sys.exit(f"fuzz.py: {error}")
    cases = [script.with_suffix(".json") for script in scripts]
    return compare.report_all([case for case in cases if case.exists()])


if __name__ == "__main__":
    sys.exit(main())

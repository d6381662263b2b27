"""Look for differences between Linux and lazynuma: fuzz.py FAMILY SEED... -o DIR

Writes random scripts as generate.py does, records them as record.py does, and sorts
what lazynuma says otherwise as differences.py does.  Scripts that are there are not
recorded again, so the same command compares again.
"""

import argparse
import sys

import differences
import generate
import model
import record


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    generate.add_arguments(parser)
    record.add_arguments(parser)
    differences.add_arguments(parser)
    given = parser.parse_args(arguments)
    model.interpret()
    scripts = generate.write_all(given)
    try:
        record.record_all(scripts, given)
    except record.Unrecorded as error:
        sys.exit(f"fuzz.py: {error}")
    return differences.report(scripts, given.profile, given.table)


if __name__ == "__main__":
    sys.exit(main())

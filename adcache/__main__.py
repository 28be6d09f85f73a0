"""``python -m adcache doctor``: what is here, and what to do about the rest."""

import sys

from adcache import doctor

USAGE = """usage: python -m adcache doctor

doctor   say what was found here, what each lesson needs, and how to mend it
"""


def main(arguments: list[str]) -> int:
    """Run the command named; return its exit code, 2 for an unknown one."""
    if arguments == ["doctor"]:
        return doctor.main()
    sys.stdout.write(USAGE)
    return 0 if arguments in (["-h"], ["--help"]) else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

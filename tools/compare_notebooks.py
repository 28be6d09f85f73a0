"""Run notebooks and compare every output with the committed one (nbval, strict).

    python -m tools.compare_notebooks notebooks solutions
    python -m tools.with_server python -m tools.compare_notebooks notebooks

The backend is the one that ADCACHE_URL names, else embedded fakeredis.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from nbval.plugin import get_sanitize_patterns

from tools import check_outputs, notebooks

SANITISERS = notebooks.ROOT / "tests" / "nbval_sanitize.cfg"
MOST_SANITISERS = 10
UNITS = ("µs", "us", "ms", "s", "bytes", "B", "KB", "MB")
KEPT = ("12", "12.5", "1,234", "3 of 4", "42 micros", "7 bids", "0.81 %", "2 times")
SECONDS_PER_CELL = 60  # nbval's own limit is 2000


def nbval_command(places: list[str]) -> list[str]:
    """Return the pytest call that runs and compares the notebooks in `places`.

    One after the other: a kernel's ports are looked up before it binds them, so
    that of two kernels which start at once, one may find its port taken.
    """
    return [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
        *("-c", str(notebooks.ROOT / "pyproject.toml"), "-p", "tools.nbval_plugin"),
        *("--nbval", "--nbval-current-env", "--nbval-sanitize-with", str(SANITISERS)),
        *(f"--nbval-cell-timeout={SECONDS_PER_CELL}", *places),
    ]


def sanitiser_problems(text: str) -> Iterator[str]:
    """Yield what is wrong with a file of sanitisers: too many, or too greedy.

    Each must rewrite numbers of one of `UNITS`, and no other number.
    """
    patterns = get_sanitize_patterns(text)
    if len(patterns) > MOST_SANITISERS:
        yield f"{len(patterns)} sanitisers; at most {MOST_SANITISERS}"
    for regex, _ in patterns:
        if not any(re.search(regex, f"12.5 {unit}") for unit in UNITS):
            yield f"{regex!r} is bound to no unit of {', '.join(UNITS)}"
        if hits := [text for text in KEPT if re.search(regex, text)]:
            yield f"{regex!r} would hide {hits[0]!r}"


def compare(
    places: list[str],
    *options: str,
    folder: Path = notebooks.ROOT,
    output: IO[str] | None = None,
) -> int:
    """Run nbval in `folder`, its words going to `output`; return its exit code."""
    environment = os.environ | {"PYTHONPATH": str(notebooks.ROOT)}
    command = [*nbval_command(places), f"--rootdir={folder}", *options]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=output, check=False
    )
    return done.returncode


def main(arguments: list[str]) -> int:
    """Refuse outputs that cannot be compared, then compare the rest."""
    problems = list(sanitiser_problems(SANITISERS.read_text(encoding="utf-8")))
    print("".join(f"{SANITISERS.name}: {problem}\n" for problem in problems), end="")
    if check_outputs.main(arguments) or problems:
        return 1
    code = compare(arguments)
    if code:
        changed = subprocess.run(
            ["git", "status", "--short", "--", *arguments],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        if changed:
            print(f"Changed since the last commit:\n{changed}`git restore` undoes it.")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

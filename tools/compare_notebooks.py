"""Run notebooks and compare every output with the committed one (nbval, strict).

    python -m tools.compare_notebooks notebooks solutions
    python -m tools.with_server python -m tools.compare_notebooks notebooks

The backend is the one that ADCACHE_URL names, else embedded fakeredis.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from tools import check_outputs, notebooks

SANITISERS = notebooks.ROOT / "tests" / "nbval_sanitize.cfg"
SECONDS_PER_CELL = 60  # nbval's own limit is 2000


def nbval_command(places: list[str], *, processes: int = 2) -> list[str]:
    """Return the pytest call that runs and compares the notebooks in `places`.

    A notebook's cells stay in one process (loadscope): they share a kernel.
    """
    parallel = ["-n", str(processes), "--dist", "loadscope"] if processes > 1 else []
    return [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
        *("-c", str(notebooks.ROOT / "pyproject.toml"), "-p", "tools.nbval_plugin"),
        *("--nbval", "--nbval-current-env", "--nbval-sanitize-with", str(SANITISERS)),
        f"--nbval-cell-timeout={SECONDS_PER_CELL}",
        *(*parallel, *places),
    ]


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
    if check_outputs.main(arguments):
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

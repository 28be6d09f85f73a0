"""Run what CI runs, stage by stage, and print how long each one took.

    python -m tools.stages            # all
    python -m tools.stages lint unit  # only these

On a laptop a stage whose server or browser is missing is skipped, and says
so; with CI=true it fails. A failed stage does not keep the next from running.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass

from adcache.backends import find_server
from adcache.errors import ServerNotFound
from tools import notebooks

PY = sys.executable
SERVER = (PY, "-m", "tools.with_server")
CLUSTER = (*SERVER, "--cluster")
COMPARE = (PY, "-m", "tools.compare_notebooks", "notebooks", "solutions")
# No exercise is run as a learner left it: only as its solution gives it.
SHIPPED = (PY, "-m", "tools.run_notebooks", "--shipped")


@dataclass(frozen=True)
class Stage:
    """A name, the commands to run one after another, and what they need."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    needs_server: bool = False


STAGES = (
    Stage(
        "lint",
        (
            (PY, "-m", "ruff", "check"),
            (PY, "-m", "ruff", "format", "--check"),
            (PY, "-m", "codespell_lib", "."),
            (PY, "-m", "mypy"),
        ),
    ),
    Stage(
        "house",
        (
            (PY, "-m", "tools.check_source"),
            (PY, "-m", "tools.check_rhythm"),
            (PY, "-m", "tools.make_exercises", "--check"),
        ),
    ),
    Stage("unit", ((PY, "-m", "pytest", "-n", "2", "tests"),)),
    Stage("notebooks", (COMPARE, SHIPPED)),
    Stage("on-a-server", ((*SERVER, *COMPARE), (*SERVER, *SHIPPED)), True),
    Stage("on-a-cluster", ((*CLUSTER, *COMPARE),), True),
    Stage(
        "comparison", ((PY, "-m", "tools.prove_comparison", "notebooks", "solutions"),)
    ),
)


def skip_reason(stage: Stage) -> str:
    """Say why a laptop skips this stage; empty when it can run, or in CI."""
    if not stage.needs_server or os.environ.get("CI"):
        return ""
    try:
        find_server()
    except ServerNotFound as error:
        return str(error)
    return ""


def run(stage: Stage) -> str:
    """Run all commands of one stage, also after one failed; return the verdict."""
    if reason := skip_reason(stage):
        print(f"skipped: {reason}")
        return "skipped"
    verdict = "passed"
    for command in stage.commands:
        print(f"\n== {stage.name}: {' '.join(command[1:])}", flush=True)
        if subprocess.run(command, cwd=notebooks.ROOT, check=False).returncode:
            verdict = "FAILED"
    return verdict


def main(names: list[str]) -> int:
    """Run the stages named, or all; print the table; return 1 if one failed."""
    unknown = set(names) - {stage.name for stage in STAGES}
    if unknown:
        print(f"no such stage: {', '.join(unknown)}", file=sys.stderr)
        return 2
    rows = []
    for stage in STAGES:
        if not names or stage.name in names:
            started = time.monotonic()
            verdict = run(stage)
            rows.append((stage.name, verdict, (time.monotonic() - started) / 60))
    print("\nminutes  stage")
    for name, verdict, minutes in rows:
        print(f"{minutes:7.1f}  {name}: {verdict}")
    print(f"{sum(minutes for *_, minutes in rows):7.1f}  in all")
    counts = {
        v: sum(row[1] == v for row in rows) for v in ("passed", "FAILED", "skipped")
    }
    print(
        f"stages: {counts['passed']} passed, {counts['FAILED']} failed, "
        f"{counts['skipped']} skipped"
    )
    return int(counts["FAILED"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

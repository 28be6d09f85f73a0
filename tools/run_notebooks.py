"""Run notebooks from top to bottom and store their outputs in place.

    python -m tools.run_notebooks notebooks solutions
    python -m tools.run_notebooks --shipped    # exercises: run, store nothing

Stored outputs come from embedded fakeredis: what is committed must not depend
on a server of the author's machine. The exercises run as their solutions give
them, wherever ADCACHE_URL says, and must not raise before they are solved.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, ValidationError

from tools import make_exercises, notebooks

SECONDS_PER_CELL = 60
FAILURES = (CellExecutionError, CellTimeoutError, DeadKernelError, ValidationError)


def execute(path: Path) -> NotebookNode:
    """Return the notebook with the outputs of a fresh run, cells counted 1 to n.

    Raises one of `FAILURES`: nbclient's CellExecutionError, CellTimeoutError
    (60 s a cell) and DeadKernelError, nbformat's ValidationError for an output
    that no notebook may hold.
    """
    notebook = notebooks.read(path)
    for _, cell in notebooks.code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        record_timing=False,
    )
    client.execute(
        env=os.environ | notebooks.apart(path),
        stderr=subprocess.DEVNULL,  # the kernel's own warnings, not the cells'
    )
    return notebook


def run(path: Path, *, store: bool) -> bool:
    """Run one notebook and tell how it went; return whether all cells ran."""
    started = time.perf_counter()
    verdict, went_well = "runs", True
    try:
        notebook = execute(path)
        if store:
            verdict = "stored" if notebooks.write(path, notebook) else "unchanged"
    except FAILURES as error:
        verdict, went_well = f"FAILED\n{error}", False
    seconds = time.perf_counter() - started
    print(f"{path.parent.name}/{path.name}  {seconds:.1f} s  {verdict}", flush=True)
    return went_well


def run_all(paths: list[Path], *, store: bool) -> bool:
    """Run every notebook, also after one failed; return whether all went well."""
    return not [path for path in paths if not run(path, store=store)]


def run_shipped(solutions: Path, folder: Path) -> bool:
    """Run each exercise, unsolved, from a copy of the course in `folder`."""
    notebooks.mirror(folder)
    into = folder / "exercises"
    into.mkdir()
    for path in notebooks.find([solutions]):
        exercise = make_exercises.make_exercise(notebooks.read(path), path.name)
        notebooks.write(into / path.name, exercise)
    return run_all(notebooks.find([into]), store=False)


def main(arguments: list[str]) -> int:
    """Run the notebooks named, or the exercises; return 1 if a cell failed."""
    if arguments == ["--shipped"]:
        with tempfile.TemporaryDirectory(prefix="adcache-shipped-") as folder:
            solutions = notebooks.ROOT / "solutions"
            return int(not run_shipped(solutions, Path(folder).resolve()))
    os.environ.pop("ADCACHE_URL", None)
    return int(not run_all(notebooks.find(arguments), store=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

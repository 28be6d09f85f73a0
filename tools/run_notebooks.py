"""Run notebooks from top to bottom and store their outputs in place.

    python -m tools.run_notebooks notebooks solutions
    python -m tools.run_notebooks --check exercises   # run, store nothing

Outputs come from embedded fakeredis unless --check is given: what is
committed must not depend on the server of the author's machine.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from tools import notebooks

SECONDS_PER_CELL = 60


def execute(path: Path) -> NotebookNode:
    """Return the notebook with the outputs of a fresh run, cells counted 1 to n.

    Raises nbclient's CellExecutionError or CellTimeoutError (60 s a cell).
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
    client.execute()
    return notebook


def run(path: Path, *, check: bool) -> str:
    """Run one notebook; return what to tell about it, raise what it raised."""
    notebook = execute(path)
    if check:
        return "runs"
    return "stored" if notebooks.write(path, notebook) else "unchanged"


def main(arguments: list[str]) -> int:
    """Run the notebooks named; return 1 if a cell failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("places", nargs="+", help="notebooks or folders of them")
    parser.add_argument("--check", action="store_true", help="store nothing")
    options = parser.parse_args(arguments)
    if not options.check:
        os.environ.pop("ADCACHE_URL", None)
    failed = 0
    for path in notebooks.find(options.places):
        started = time.perf_counter()
        try:
            verdict = run(path, check=options.check)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            failed, verdict = failed + 1, f"FAILED\n{error}"
        print(f"{path}  {time.perf_counter() - started:.1f} s  {verdict}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Show that the comparison compares: spoil one number in each cell's output.

    python -m tools.prove_comparison notebooks solutions

Works on copies. Each compared cell whose committed output holds a number gets
one digit changed; nbval must then fail at least 95 of 100 such cells.
"""

import hashlib
import re
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from nbformat import NotebookNode

from tools import check_outputs, compare_notebooks, notebooks

LEAST_CAUGHT = 0.95
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
COMPARED_TEXTS = ("text/plain", "text/html", "text/markdown", "image/svg+xml")

Cell = tuple[str, int]  # name of the notebook, number of the code cell


def spoil(notebook: NotebookNode) -> list[int]:
    """Change one digit in each compared output; return the cells' numbers."""
    spoilt = []
    for number, cell in notebooks.code_cells(notebook):
        compared = check_outputs.UNCOMPARED_TAG not in notebooks.tags(cell)
        if compared and spoil_cell(cell):
            spoilt.append(number)
    return spoilt


def spoil_cell(cell: NotebookNode) -> bool:
    """Change the last digit of one number, chosen by the cell's own source."""
    places = [
        (holder, key, match.end() - 1)
        for output in cell.outputs
        for holder, key in _texts(output)
        for match in NUMBER.finditer(holder[key])
    ]
    if not places:
        return False
    digest = hashlib.sha256(cell.source.encode()).digest()
    holder, key, at = places[int.from_bytes(digest[:4]) % len(places)]
    digit = str((int(holder[key][at]) + 1) % 10)
    holder[key] = holder[key][:at] + digit + holder[key][at + 1 :]
    return True


def _texts(output: NotebookNode) -> list[tuple[NotebookNode, str]]:
    if output.output_type == "stream":
        return [(output, "text")]
    data = output.get("data", {})
    return [(data, kind) for kind in COMPARED_TEXTS if kind in data]


def failed_cells(report: Path) -> set[Cell]:
    """Read which cells failed from pytest's XML report."""
    failed = set()
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - our own report
        if case.find("failure") is not None:
            number = int(case.get("name", "").removeprefix("Cell "))
            failed.add((case.get("classname", ""), number))
    return failed


def prove(paths: list[Path], folder: Path) -> tuple[set[Cell], set[Cell]]:
    """Spoil copies of the notebooks, run nbval; return the spoilt, the caught."""
    notebooks.mirror(folder)
    spoilt: set[Cell] = set()
    for path in paths:
        copy = folder / path.parent.name / path.name
        copy.parent.mkdir(exist_ok=True)
        notebook = notebooks.read(path)
        name = f"{path.parent.name}.{path.name}"  # as pytest's report writes it
        spoilt |= {(name, number) for number in spoil(notebook)}
        notebooks.write(copy, notebook)
    report = folder / "report.xml"
    places = sorted({path.parent.name for path in paths})
    options = (f"--junitxml={report}", "--tb=no", "-r", "N")
    with (folder / "log.txt").open("w+", encoding="utf-8") as log:
        compare_notebooks.compare(places, *options, folder=folder, output=log)
        if not report.exists():
            log.seek(0)
            raise RuntimeError(f"nbval did not run:\n{log.read()}")
    return spoilt, failed_cells(report) & spoilt


def main(arguments: list[str]) -> int:
    """Print how many spoilt cells were caught; return 1 under 95 %."""
    with tempfile.TemporaryDirectory(prefix="adcache-spoilt-") as folder:
        spoilt, caught = prove(notebooks.find(arguments), Path(folder).resolve())
    for name, number in sorted(spoilt - caught):
        print(f"{name}: a wrong number in code cell {number} went unnoticed")
    print(f"comparison: {len(caught)} of {len(spoilt)} spoilt cells were caught")
    return int(not spoilt or len(caught) < LEAST_CAUGHT * len(spoilt))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

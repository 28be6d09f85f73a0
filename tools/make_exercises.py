"""Write exercises/ from solutions/: what stands between the markers is left out.

    python -m tools.make_exercises            # write
    python -m tools.make_exercises --check    # only compare

The markers are those of nbgrader, so instructors may use nbgrader on the
same solutions: lines between ``### BEGIN SOLUTION`` and ``### END SOLUTION``
become a stub that does not raise; ``### BEGIN HIDDEN TESTS`` ...
``### END HIDDEN TESTS`` leave nothing behind; a cell tagged `solution-only`
is dropped. The same solution gives the same bytes.
"""

import argparse
import ast
import os
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools import notebooks

STUB = "# your code here"
MARKER = re.compile(r"^\s*### (BEGIN|END) (SOLUTION|HIDDEN TESTS)\s*$")
MISSPELT = re.compile(r"^\s*#+ *(BEGIN|END) *(SOLUTION|HIDDEN)", re.I | re.M)
DROPPED_TAG = "solution-only"
# Lines that give nothing away: short ones, "else:", "return None", brackets.
HARMLESS = re.compile(r".{0,7}|((return|yield|raise) )?\w*|finally:|\W*")


class ExerciseError(ValueError):
    """A solution from which no exercise can be made; says where and why."""


def make_exercise(solution: NotebookNode, name: str) -> NotebookNode:
    """Return the exercise for a solution whose file is called `name`.

    Raises `ExerciseError` when markers do not pair, nothing is left to solve,
    or a line of the solution would still stand in the exercise.
    """
    exercise = nbformat.from_dict(solution)
    exercise.cells = [c for c in exercise.cells if DROPPED_TAG not in notebooks.tags(c)]
    secrets: list[str] = []
    for number, cell in enumerate(exercise.cells):
        where = f"{name}, cell {number}"
        cell.source, taken = cut(cell.source, where)
        if taken and cell.cell_type != "code":
            raise ExerciseError(
                f"{where}: markers belong in code; "
                f"tag a prose cell '{DROPPED_TAG}' instead"
            )
        if taken:
            refuse_broken(cell.source, taken, where)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        secrets += taken
    if not secrets:
        raise ExerciseError(f"{name}: no '### BEGIN SOLUTION', so nothing to solve")
    exercise.cells[0].source += (
        f"\n\n> This page is generated from `solutions/{name}` by `make exercises`. "
        "To work on it, choose *File > Save Notebook As...* and keep a copy."
    )
    if leaked := leaks(exercise, secrets):
        raise ExerciseError(f"{name}: the exercise would show {leaked[0]!r}")
    return exercise


def cut(source: str, where: str) -> tuple[str, list[str]]:
    """Return the source with a stub for each solution, and the lines taken out."""
    kept: list[str] = []
    taken: list[str] = []
    inside = ""
    for line in source.splitlines():
        marker = MARKER.match(line)
        if not marker:
            (taken if inside else kept).append(line)
        elif (marker[1] == "BEGIN") == bool(inside) or inside not in ("", marker[2]):
            raise ExerciseError(f"{where}: {line.strip()!r} does not pair")
        else:
            inside = marker[2] if marker[1] == "BEGIN" else ""
            if inside == "SOLUTION":
                kept += stub(kept, line[: len(line) - len(line.lstrip())])
    if inside:
        raise ExerciseError(f"{where}: '### BEGIN {inside}' is never ended")
    if misspelt := MISSPELT.search("\n".join(kept)):
        raise ExerciseError(f"{where}: {misspelt[0].strip()!r} is not a marker")
    return "\n".join(kept), [line.strip() for line in taken if line.strip()]


def stub(before: list[str], indent: str) -> list[str]:
    """Return the stub's lines: a comment, and a body where Python wants one."""
    code = [line for line in before if line.strip() and line.strip()[0] != "#"]
    needs_body = bool(code) and code[-1].rstrip().endswith(":")
    return [indent + STUB] + ([indent + "..."] if needs_body else [])


def refuse_broken(source: str, taken: list[str], where: str) -> None:
    """Raise `ExerciseError` when the stub does not run or lost its signature."""
    if taken[0].startswith(("def ", "class ", "@", "async def ")):
        raise ExerciseError(f"{where}: keep {taken[0]!r} outside of the markers")
    try:
        ast.parse(source)
    except SyntaxError as error:
        raise ExerciseError(f"{where}: the stub is not Python: {error}") from error


def leaks(exercise: NotebookNode, secrets: list[str]) -> list[str]:
    """Return the lines of the solution that can still be read in the exercise."""
    visible = "\n".join(cell.source for cell in exercise.cells)
    return [s for s in secrets if s in visible and not HARMLESS.fullmatch(s)]


def stale(solutions: Path, exercises: Path) -> list[str]:
    """Return what differs between the committed exercises and their solutions."""
    problems = []
    expected = {path.name: path for path in notebooks.find([solutions])}
    for name, path in expected.items():
        text = notebooks.to_text(make_exercise(notebooks.read(path), name))
        twin = exercises / name
        if not twin.exists():
            problems.append(f"{twin} is missing")
        elif twin.read_text(encoding="utf-8") != text:
            problems.append(f"{twin} is not what its solution gives")
    strays = [p for p in notebooks.find([exercises]) if p.name not in expected]
    return problems + [f"{path} has no solution" for path in strays]


def main(arguments: list[str]) -> int:
    """Write the exercises, or compare them; return 1 on a difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--solutions", type=Path, default=notebooks.ROOT / "solutions")
    parser.add_argument("--into", type=Path, default=notebooks.ROOT / "exercises")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    try:
        if options.check:
            return report(stale(options.solutions, options.into))
        for path in notebooks.find([options.solutions]):
            exercise = make_exercise(notebooks.read(path), path.name)
            changed = notebooks.write(options.into / path.name, exercise)
            print(f"exercises/{path.name}: {'written' if changed else 'unchanged'}")
    except ExerciseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def report(problems: list[str]) -> int:
    """Print the differences; a learner's own work is no failure at home."""
    print("\n".join(problems) or "exercises: all equal to what the solutions give")
    if problems and not os.environ.get("CI"):
        print("Your own work in exercises/ is fine; else run: make exercises")
        return 0
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Check that committed notebooks hold outputs that can be compared.

    python -m tools.check_outputs notebooks solutions

nbval passes a notebook whose outputs were stripped, for it has nothing to
compare; and a tag can take any cell out of the comparison. So this refuses
cells that were never run, prints without output, errors, tracks of one
machine, and more uncompared cells than a lesson needs.
"""

import ast
import re
import sys
from collections.abc import Iterator

from nbformat import NotebookNode

from tools import notebooks

UNCOMPARED_TAG = "nbval-ignore-output"
MOST_UNCOMPARED = 5  # cells of one notebook: raw times, bytes, live widgets
BANNED_TAGS = {"nbval-skip", "raises-exception", "nbval-raises-exception"}
COMMENT_MARKER = re.compile(r"^\s*#\s*(NBVAL_|PYTEST_VALIDATE_)", re.M)
MACHINE = re.compile(
    r"(?<![\w.])/(home|root|Users|tmp|work|var/folders)/\S+|\bat 0x[0-9a-f]{6,}"
)


def problems(notebook: NotebookNode) -> Iterator[str]:
    """Yield what keeps the outputs of a notebook from being compared."""
    uncompared = 0
    for number, cell in notebooks.code_cells(notebook):
        uncompared += UNCOMPARED_TAG in notebooks.tags(cell)
        yield from (f"code cell {number}: {text}" for text in _cell_problems(cell))
    if uncompared > MOST_UNCOMPARED:
        yield f"{uncompared} uncompared cells; at most {MOST_UNCOMPARED}"


def _cell_problems(cell: NotebookNode) -> Iterator[str]:
    if not cell.source.strip():
        yield "empty"
        return
    if cell.execution_count is None:
        yield "never run; make notebooks"
    elif prints(cell.source) and not cell.outputs:
        yield "prints, but its output is missing; make notebooks"
    if banned := BANNED_TAGS.intersection(notebooks.tags(cell)):
        yield f"the tag {banned.pop()} hides failures; catch the error and print it"
    if COMMENT_MARKER.search(cell.source):
        yield f"a comment marker of nbval; use the tag {UNCOMPARED_TAG}"
    for output in cell.outputs:
        if output.output_type == "error":
            yield f"a committed error, {output.ename}; catch it and print it"
        for text in notebooks.output_texts(output):
            if track := MACHINE.search(text):
                yield f"its output tells of one machine: {track[0]}"


def prints(source: str) -> bool:
    """Whether the cell calls print at its top level, so surely has an output."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:  # a magic or a question mark: nbval compares it anyway
        return False
    return any(
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Name)
        and statement.value.func.id == "print"
        for statement in statements
    )


def main(arguments: list[str]) -> int:
    """Print what is wrong; return 1 if anything is, or if nothing was found."""
    paths = notebooks.find(arguments)
    found = [
        f"{path}: {text}" for path in paths for text in problems(notebooks.read(path))
    ]
    print("\n".join(found) or f"outputs: {len(paths)} notebooks hold theirs")
    return int(bool(found) or not paths)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

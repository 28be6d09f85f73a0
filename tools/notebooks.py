"""Notebook files: read them, and write the same bytes for the same content.

What a machine adds by itself (execution times, widget state, the name of a
kernel, the editor's marks) is taken off, so that a diff shows only what an
author changed.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
KEPT_CELL_METADATA = {"editable", "jupyter", "nbgrader", "slideshow", "tags"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def find(places: list[str] | list[Path]) -> list[Path]:
    """Return the notebooks in `places` (files, or folders one level deep)."""
    found: list[Path] = []
    for place in map(Path, places):
        found += sorted(place.glob("*.ipynb")) if place.is_dir() else [place]
    return found


def read(path: Path) -> NotebookNode:
    """Read one notebook in format 4; raises ValueError with the file's name."""
    try:
        return nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise ValueError(f"{path} is not a notebook: {error}") from error


def write(path: Path, notebook: NotebookNode) -> bool:
    """Write the notebook's text; leave the file alone when it is the same."""
    text = to_text(notebook)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8", newline="\n")
    return True


def to_text(notebook: NotebookNode) -> str:
    """Return the notebook as JSON, the same bytes for the same content."""
    return f"{nbformat.writes(tidied(notebook))}\n"


def tidied(notebook: NotebookNode) -> NotebookNode:
    """Return a copy without what a machine added by itself."""
    copy = nbformat.from_dict(notebook)
    copy.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    copy.nbformat_minor = max(copy.nbformat_minor, 5)
    for cell in copy.cells:
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in cell.metadata if _kept(key)}
        )
        if cell.cell_type == "code":
            cell.outputs = [_tidied_output(output) for output in _joined(cell.outputs)]
    return copy


def code_cells(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """Yield the code cells with their number, counting code cells from 0.

    nbval counts in the same way, so its "Cell 3" is number 3 here.
    """
    yield from enumerate(c for c in notebook.cells if c.cell_type == "code")


def tags(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    return list(cell.metadata.get("tags", []))


def output_texts(output: NotebookNode) -> Iterator[str]:
    """Yield every text of one output: what was printed, and each text form."""
    if output.output_type == "stream":
        yield output.text
    for kind, value in output.get("data", {}).items():
        if isinstance(value, str) and not kind.startswith(("image/png", "image/jp")):
            yield value


def mirror(folder: Path) -> None:
    """Make the course's files reachable from `folder`, all but its notebooks.

    Copies of notebooks put there find what they read by a relative path.
    """
    for entry in ROOT.iterdir():
        if entry.name not in {"notebooks", "solutions", "exercises"}:
            (folder / entry.name).symlink_to(entry)


def apart(path: Path) -> dict[str, str]:
    """Return the settings that keep a notebook's run apart from all others.

    Its keys get a namespace of their own, so two notebooks may share a real
    server; its progress is written to no file of whoever runs it.
    """
    return {
        "ADCACHE_NAMESPACE": f"{path.parent.name}-{path.stem}",
        "ADCACHE_PROGRESS": os.devnull,
    }


def _kept(key: str) -> bool:
    return key in KEPT_CELL_METADATA


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join what was printed piecemeal: the kernel's timing decides the pieces."""
    joined: list[NotebookNode] = []
    for output in map(nbformat.from_dict, outputs):
        last = joined[-1] if joined else None
        both_streams = last is not None and "name" in last and "name" in output
        if both_streams and last.name == output.name:  # type: ignore[union-attr]
            last.text += output.text  # type: ignore[union-attr]
        else:
            joined.append(output)
    return joined


def _tidied_output(output: NotebookNode) -> NotebookNode:
    """Drop the view of a live widget: without its kernel it shows an error.

    Its text, which stands beside it, is what a reader on a web page sees.
    """
    if "data" in output and len(output.data) > 1:
        output.data.pop(WIDGET_VIEW, None)
    return output

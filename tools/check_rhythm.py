"""Check that the lessons keep their rhythm: short cells, prose between them.

    python -m tools.check_rhythm [notebooks]

A lesson has 25 to 45 cells; half of its prose cells have at most 45 words
and half of its code cells at most 5 lines; it opens with what the learner
will do, asks for at least three predictions, and closes with what was learned.
"""

import itertools
import re
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from tools import notebooks

CELLS, CELLS_OF_START = range(25, 46), range(10, 46)
SECTIONS, SECTIONS_OF_START = range(4, 7), range(2, 7)
MEDIAN_WORDS, MEDIAN_LINES, MOST_LINES = 45, 5, 20
MOST_CODE_IN_A_ROW = 2
PREDICTIONS = 3
START = "00_start_here"  # the welcome: shorter, no exercise, no predictions
FRAME = ("you will", "you learned", "exercise", "next", "clean up")
BANNED = {
    "a sleep": r"\bsleep\(",
    "!pip or %pip": r"^\s*[!%]pip\b",
    "import *": r"^\s*from\s+\S+\s+import\s+\*",
    "FLUSHALL": r"(?i)\bflush(all|db)\b",
    "sys.path": r"\bsys\.path\b",
    "muted warnings": r"\b(filterwarnings|simplefilter)\(.ignore",
}
FENCE = re.compile(r"^```.*?^```[^\n]*$|<svg.*?</svg>", re.M | re.S)
HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*$", re.M)
MARKDOWN_IMAGE = re.compile(r"!\[([^\]]*)\]\(")
HTML_IMAGE = re.compile(r"<(img|svg)\b[^>]*>", re.S)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


@dataclass
class Lesson:
    """A notebook taken apart once, for every rule to look at."""

    path: Path
    notebook: NotebookNode

    @property
    def is_start(self) -> bool:
        """The welcome has rules of its own."""
        return self.path.stem == START

    @property
    def prose(self) -> list[str]:
        """The texts of the prose cells."""
        return [c.source for c in self.notebook.cells if c.cell_type == "markdown"]

    @property
    def code(self) -> list[str]:
        """The sources of the code cells."""
        return [c.source for _, c in notebooks.code_cells(self.notebook)]

    @property
    def headings(self) -> list[tuple[int, str]]:
        """Level and text of each heading, those inside code fences left out."""
        text = FENCE.sub("", "\n\n".join(self.prose))
        return [(len(marks), title) for marks, title in HEADING.findall(text)]


def problems(path: Path, notebook: NotebookNode) -> list[str]:
    """Return what breaks the rhythm of one lesson, in words."""
    lesson = Lesson(path, notebook)
    rules = [size, runs_of_code, headings, bullets, banned, alt_texts, links]
    if not lesson.is_start:
        rules += [predictions, exercise_link]
    return [f"{path}: {problem}" for rule in rules for problem in rule(lesson)]


def size(lesson: Lesson) -> Iterator[str]:
    """Number of cells, words per prose cell, lines per code cell."""
    allowed = CELLS_OF_START if lesson.is_start else CELLS
    if (count := len(lesson.notebook.cells)) not in allowed:
        yield f"{count} cells; {allowed[0]} to {allowed[-1]} are a lesson"
    words = [n for text in lesson.prose if (n := len(plain(text).split()))]
    if words and (median := statistics.median(words)) > MEDIAN_WORDS:
        yield f"half of the prose cells have over {median:g} words; aim at 45"
    lines = [len([x for x in code.splitlines() if x.strip()]) for code in lesson.code]
    if lines and (median := statistics.median(lines)) > MEDIAN_LINES:
        yield f"half of the code cells have over {median:g} lines; aim at 5"
    if max(lines, default=0) > MOST_LINES:
        yield f"a code cell of {max(lines)} lines; at most {MOST_LINES}"


def plain(text: str) -> str:
    """Return the words of a prose cell: no headings, code, tables or pictures."""
    text = HEADING.sub("", FENCE.sub("", text))
    return re.sub(r"^\|.*$|<[^>]+>|!\[[^\]]*\]\([^)]*\)", "", text, flags=re.M)


def runs_of_code(lesson: Lesson) -> Iterator[str]:
    """At most two code cells without prose between them."""
    run = 0
    for number, cell in enumerate(lesson.notebook.cells):
        run = run + 1 if cell.cell_type == "code" else 0
        if run == MOST_CODE_IN_A_ROW + 1:
            yield f"cell {number}: the third code cell without prose between"


def headings(lesson: Lesson) -> Iterator[str]:
    """One title, first of all; 4 to 6 sections; no level skipped."""
    levels = [level for level, _ in lesson.headings]
    if not lesson.notebook.cells or not lesson.notebook.cells[0].source.startswith(
        "# "
    ):
        yield "the first cell is not the title ('# ...')"
    if levels.count(1) > 1:
        yield f"{levels.count(1)} headings of the first level; the title alone is one"
    for before, after in itertools.pairwise(levels):
        if after > before + 1:
            yield f"a heading of level {after} follows one of level {before}"
    sections = [
        title
        for level, title in lesson.headings
        if level == 2 and not title.lower().startswith(FRAME)
    ]
    allowed = SECTIONS_OF_START if lesson.is_start else SECTIONS
    if (count := len(sections)) not in allowed:
        yield f"{count} sections ('## ...'); {allowed[0]} to {allowed[-1]} are a lesson"


def bullets(lesson: Lesson) -> Iterator[str]:
    """Three promises under "You will", the same three answered at the end."""
    for name in ("You will", "You learned"):
        cells = [t for t in lesson.prose if re.search(rf"^[#*\s]*{name}\b", t, re.M)]
        if not cells:
            yield f"no '{name}' with its three bullets"
            continue
        after = re.split(rf"^[#*\s]*{name}\b", cells[0], flags=re.M)[1]
        if (count := len(re.findall(r"^[-*] ", after, re.M))) != 3:
            yield f"'{name}' has {count} bullets; three are asked for"


def banned(lesson: Lesson) -> Iterator[str]:
    """What no lesson does to a learner's time, machine or Redis."""
    for name, pattern in BANNED.items():
        if any(re.search(pattern, code, re.M) for code in lesson.code):
            yield f"{name} in a code cell"


def alt_texts(lesson: Lesson) -> Iterator[str]:
    """Each picture says in words what it shows, also those in outputs."""
    texts = list(lesson.prose)
    for _, cell in notebooks.code_cells(lesson.notebook):
        texts += [t for output in cell.outputs for t in notebooks.output_texts(output)]
    for text in texts:
        if any(not alt.strip() for alt in MARKDOWN_IMAGE.findall(text)):
            yield "a picture without alt text: ![what it shows](...)"
        for tag in HTML_IMAGE.finditer(text):
            named = r'\balt="[^"]+"' if tag[1] == "img" else r'\baria-label="[^"]+"'
            if not re.search(named, tag[0]):
                yield f"<{tag[1]}> without {'alt' if tag[1] == 'img' else 'aria-label'}"


def links(lesson: Lesson) -> Iterator[str]:
    """Links to files of the course lead somewhere."""
    for target in LINK.findall("\n".join(lesson.prose)):
        local = "://" not in target and not target.startswith(
            ("mailto:", "attachment:")
        )
        if local and not (lesson.path.parent / target).exists():
            yield f"the link to {target} leads nowhere"


def predictions(lesson: Lesson) -> Iterator[str]:
    """At least three times the learner guesses before running."""
    asked = sum(len(re.findall(r"\bpredict\(", code)) for code in lesson.code)
    if asked < PREDICTIONS:
        yield f"{asked} predict(...); at least {PREDICTIONS} are asked for"


def exercise_link(lesson: Lesson) -> Iterator[str]:
    """A lesson that has an exercise links to it."""
    target = f"../exercises/{lesson.path.name}"
    has_one = (lesson.path.parent / target).exists()
    if has_one and f"]({target})" not in "\n".join(lesson.prose):
        yield f"no link to its exercise, {target}"


def setup_problems(lessons: list[tuple[Path, NotebookNode]]) -> list[str]:
    """Return the lessons whose first code cell differs from the others'.

    The lesson's own number, "07" in 07_caps.ipynb, may stand in it.
    """
    first = {}
    for path, notebook in lessons:
        source = next((cell.source for _, cell in notebooks.code_cells(notebook)), "")
        first[path] = source.replace(f'"{path.name[:2]}"', '"NN"')
    usual = statistics.mode(first.values()) if first else ""
    return [
        f"{path}: its set-up cell is not the one that all lessons share"
        for path, source in first.items()
        if source != usual
    ]


def main(arguments: list[str]) -> int:
    """Print what breaks the rhythm; return 1 if anything does."""
    paths = notebooks.find(arguments or [str(notebooks.ROOT / "notebooks")])
    lessons = [(path, notebooks.read(path)) for path in paths]
    found = [p for path, notebook in lessons for p in problems(path, notebook)]
    found += setup_problems(lessons)
    print("\n".join(found) or f"rhythm: {len(lessons)} lessons keep it")
    return int(bool(found) or not lessons)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Every gate goes red: each is shown something wrong and must say so."""

import shutil
import subprocess
import sys
import types
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from tools import (
    check_outputs,
    check_rhythm,
    check_source,
    compare_notebooks,
    make_exercises,
    notebooks,
    prove_comparison,
    stages,
)

SETUP = "from adcache import connect\nfrom adcache.course import predict"


def ran(source: str, printed: str = "", tags: tuple[str, ...] = ()):
    """Make a code cell that was run and printed something."""
    cell = v4.new_code_cell(source, execution_count=1, metadata={"tags": list(tags)})
    if printed:
        cell.outputs = [v4.new_output("stream", name="stdout", text=printed)]
    return cell


def lesson_cells() -> list:
    """Make the cells of a lesson that keeps the rhythm."""
    prose, code = v4.new_markdown_cell, ran
    bullets = "- count\n- cap\n- refund"
    cells = [
        prose("# Frequency caps\n\nNobody wants the same ad forty times."),
        prose(f"**You will**\n\n{bullets}"),
        code(SETUP),
    ]
    for number in range(4):
        cells += [
            prose(f"## Section {number}\n\nGuess first."),
            code(f"predict('07.{number}', 1, 2)"),
            prose("Then run."),
            code("print(1 + 1)", "2\n"),
            prose("Two, as you may have guessed."),
            code("x = 5"),
        ]
    return [
        *cells,
        prose(f"**You learned**\n\n{bullets}"),
        prose("Now the [exercise](../exercises/07_caps.ipynb)."),
    ]


@pytest.fixture
def lesson(tmp_path):
    """Path of a lesson in a made-up course, and its notebook."""
    for folder in ("notebooks", "exercises"):
        (tmp_path / folder).mkdir()
    (tmp_path / "exercises" / "07_caps.ipynb").touch()
    return tmp_path / "notebooks" / "07_caps.ipynb", v4.new_notebook(
        cells=lesson_cells()
    )


def test_a_good_lesson_passes_every_check(lesson):
    """The made-up lesson is in order, so each red below has its one cause."""
    path, notebook = lesson

    assert [] == check_rhythm.problems(path, notebook)
    assert [] == list(check_outputs.problems(notebook))


def _replace(number, source):
    def change(cells):
        cells[number].source = source

    return change


def _add(*cells):
    def change(all_cells):
        all_cells[9:9] = cells

    return change


RHYTHM = {
    "too few cells": (lambda cells: cells.__delitem__(slice(3, 9)), "cells; 25 to 45"),
    "too many cells": (
        lambda cells: cells.extend(v4.new_markdown_cell("More.") for _ in range(20)),
        "cells; 25 to 45",
    ),
    "wordy prose": (
        lambda cells: [
            setattr(c, "source", c.source + " word" * 46)
            for c in cells
            if c.cell_type == "markdown" and not c.source.startswith("**")
        ],
        "aim at 45",
    ),
    "long code": (
        lambda cells: [
            setattr(c, "source", c.source + "\ny = 1" * 6)
            for c in cells
            if c.cell_type == "code"
        ],
        "aim at 5",
    ),
    "one endless cell": (_replace(6, "x = 1\n" * 21), "a code cell of 21 lines"),
    "code in a row": (_add(ran("a = 1"), ran("b = 2")), "third code cell"),
    "no title": (_replace(0, "Frequency caps"), "not the title"),
    "two titles": (_replace(5, "# Again"), "headings of the first level"),
    "a level skipped": (_replace(5, "#### Deep"), "a heading of level 4"),
    "too few sections": (_replace(3, "Guess first."), None),
    "too many sections": (
        _add(*(v4.new_markdown_cell(f"## More {n}") for n in range(3))),
        "7 sections",
    ),
    "no promise": (_replace(1, "Let us begin."), "no 'You will'"),
    "two promises": (_replace(1, "**You will**\n\n- a\n- b"), "'You will' has 2"),
    "nothing learned": (_replace(27, "Done."), "no 'You learned'"),
    "too few predictions": (
        lambda cells: [_replace(n, "x = 1")(cells) for n in (4, 10)],
        "2 predict(...)",
    ),
    "no exercise link": (_replace(28, "Bye."), "no link to its exercise"),
    "a broken link": (_replace(28, "[x](../exercises/08.ipynb)"), "leads nowhere"),
    "a sleep": (_replace(6, "import time\ntime.sleep(1)"), "a sleep"),
    "pip": (_replace(6, "!pip install redis"), "!pip"),
    "import *": (_replace(6, "from adcache import *"), "import *"),
    "FLUSHALL": (_replace(6, "ad.redis_client.flushall()"), "FLUSHALL"),
    "sys.path": (_replace(6, "sys.path.insert(0, '..')"), "sys.path"),
    "muted warnings": (_replace(6, "filterwarnings('ignore')"), "muted warnings"),
    "a picture without words": (_replace(5, "![](notebook.png)"), "alt text"),
    "an image without words": (_replace(5, '<img src="x.png">'), "<img> without alt"),
    "a drawing without words": (
        lambda cells: cells[6].outputs.append(
            v4.new_output("display_data", {"image/svg+xml": "<svg width='1'></svg>"})
        ),
        "<svg> without aria-label",
    ),
}


@pytest.mark.parametrize("kind", RHYTHM)
def test_a_broken_rhythm_is_named(lesson, kind):
    """Each way to break the rhythm is reported in its own words."""
    path, notebook = lesson
    change, expected = RHYTHM[kind]
    if kind == "too few sections":  # four are left of four; take one away
        expected = "3 sections"
    change(notebook.cells)

    assert expected in "\n".join(check_rhythm.problems(path, notebook))


def test_a_set_up_cell_of_its_own_is_named(lesson):
    """All lessons begin with one set-up cell; the odd one out is reported."""
    path, notebook = lesson
    odd, six, eight = (nbformat.from_dict(notebook) for _ in range(3))
    six.cells[2].source += '\nlesson("06")'
    eight.cells[2].source += '\nlesson("08")'
    odd.cells[2].source += '\nlesson("08")'
    found = check_rhythm.setup_problems(
        [(Path("06_x.ipynb"), six), (path, odd), (Path("08_y.ipynb"), eight)]
    )

    assert [f"{path}: its set-up cell is not the one that all lessons share"] == found


OUTPUTS = {
    "stripped": (ran("print(1)"), {"execution_count": None}, "never run"),
    "emptied": (ran("print(1)"), {}, "its output is missing"),
    "skipped": (ran("x = 1", tags=("nbval-skip",)), {}, "hides failures"),
    "excused": (ran("x = 1", tags=("raises-exception",)), {}, "hides failures"),
    "marked": (ran("# NBVAL_IGNORE_OUTPUT\nx = 1"), {}, "comment marker"),
    "a path": (ran("f()", "in /home/ann/x.py\n"), {}, "one machine"),
    "an address": (ran("f()", "<object at 0x7f21aa>\n"), {}, "one machine"),
    "empty": (ran(""), {}, "empty"),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_an_output_that_cannot_be_compared_is_named(kind):
    """Stripped, skipped or machine-bound outputs are refused, though nbval passes."""
    cell, change, expected = OUTPUTS[kind]
    cell = nbformat.from_dict({**cell, **change})

    (problem,) = check_outputs.problems(v4.new_notebook(cells=[cell]))
    assert expected in problem


def test_a_committed_error_is_named():
    """A traceback in a committed output is refused."""
    cell = ran("1 / 0")
    cell.outputs = [
        v4.new_output("error", ename="ZeroDivisionError", evalue="", traceback=[])
    ]
    (problem,) = check_outputs.problems(v4.new_notebook(cells=[cell]))

    assert "a committed error, ZeroDivisionError" in problem


def test_too_many_uncompared_cells_are_named():
    """The tag that takes a cell out of the comparison is rationed."""
    cells = [ran(f"x = {n}", tags=("nbval-ignore-output",)) for n in range(6)]

    assert ["6 uncompared cells; at most 5"] == list(
        check_outputs.problems(v4.new_notebook(cells=cells))
    )


def test_a_changed_output_fails_the_comparison(tmp_path, lesson):
    """nbval, as the gate calls it, catches each wrong number; a right one passes."""
    path, _ = lesson
    cells = [
        ran("print('a bid of', 2.5)", "a bid of 2.5\n"),
        ran("print('no numbers')", "no numbers\n"),
        ran("print('took 12 ms')", "took 12 ms\n"),
    ]
    notebooks.write(path, v4.new_notebook(cells=cells))
    copies = tmp_path / "copies"
    copies.mkdir()
    spoilt, caught = prove_comparison.prove([path], copies)

    assert {("notebooks.07_caps.ipynb", 0), ("notebooks.07_caps.ipynb", 2)} == spoilt
    assert spoilt == caught
    assert "2 failed, 1 passed" in (copies / "log.txt").read_text()


SANITISERS = {
    "none": ("", ""),
    "with a unit": (r"\d+(\.\d+)? µs", ""),
    "any number": (r"\d+", "would hide '12'"),
    "money": (r"\d+(\.\d+)? m", "would hide '42 micros'"),
    "no unit": (r"0x[0-9a-f]+", "is bound to no unit"),
}


@pytest.mark.parametrize("kind", SANITISERS)
def test_a_sanitiser_is_bound_to_a_unit(kind):
    """A pattern may overlook a measured time or size, and no other number."""
    regex, expected = SANITISERS[kind]
    text = f"[x]\nregex: {regex}\nreplace: N\n" if regex else ""
    problems = list(compare_notebooks.sanitiser_problems(text))

    assert bool(expected) == bool(problems)
    assert expected in "\n".join(problems)


def test_at_most_ten_sanitisers_are_allowed():
    """Eleven are refused, whatever they overlook."""
    text = "\n".join(
        f"[{n}]\nregex: {n} ms\nreplace: N\n" if n else "" for n in range(12)
    )
    problems = list(compare_notebooks.sanitiser_problems(text))

    assert "11 sanitisers; at most 10" == problems[0]


def solution(source: str = "", tags: tuple[str, ...] = ()):
    """Make a solution of one function; `source` goes into a cell of its own."""
    body = (
        "def allowed(count, cap):\n"
        '    """Say whether one more fits."""\n'
        "    ### BEGIN SOLUTION\n"
        "    return count < cap\n"
        "    ### END SOLUTION"
    )
    cells = [v4.new_markdown_cell("# Exercise"), ran(body, "1\n")]
    if source:
        cells.append(ran(source, tags=tags))
    return v4.new_notebook(cells=cells)


def test_an_exercise_keeps_the_signature_and_loses_the_answer():
    """The learner gets the signature, its docstring and a stub; no outputs."""
    exercise = make_exercises.make_exercise(solution(), "07.ipynb")
    cell = exercise.cells[1]

    assert (
        'def allowed(count, cap):\n    """Say whether one more fits."""\n'
        "    # your code here"
    ) == cell.source
    assert ([], None) == (cell.outputs, cell.execution_count)
    assert "generated from `solutions/07.ipynb`" in exercise.cells[0].source


def test_a_stub_without_docstring_still_runs():
    """Where the answer was the whole body, the stub is a body too."""
    source = "if True:\n    ### BEGIN SOLUTION\n    hits = 41 + 1\n    ### END SOLUTION"
    exercise = make_exercises.make_exercise(solution(source), "07.ipynb")

    assert "if True:\n    # your code here\n    ..." == exercise.cells[2].source


def test_hidden_tests_and_tagged_cells_leave_nothing():
    """Hidden tests vanish without a stub; a `solution-only` cell goes as a whole."""
    hidden = "x = 1\n### BEGIN HIDDEN TESTS\nassert allowed(1, 2)\n### END HIDDEN TESTS"
    with_hidden = make_exercises.make_exercise(solution(hidden), "07.ipynb")
    dropped = solution("print('the trick')", tags=("solution-only",))

    assert "x = 1" == with_hidden.cells[2].source
    assert 2 == len(make_exercises.make_exercise(dropped, "07.ipynb").cells)


def test_the_same_solution_gives_the_same_bytes():
    """Two runs over one solution write the same file."""
    first, second = (
        notebooks.to_text(make_exercises.make_exercise(nbformat.from_dict(one), "07"))
        for one in [solution("x = 1")] * 2
    )

    assert first == second


BROKEN = {
    "a leak in code": ("n = 3\nok = lambda: 0  # return count < cap", "would show"),
    "never ended": ("### BEGIN SOLUTION\nx = 1", "never ended"),
    "never begun": ("x = 1\n### END SOLUTION", "does not pair"),
    "nested": (
        "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION",
        "does not pair",
    ),
    "crossed": (
        "### BEGIN SOLUTION\n### END HIDDEN TESTS\n### END SOLUTION",
        "does not pair",
    ),
    "misspelt": ("## begin solution\nx = 1\n## end solution", "is not a marker"),
    "no signature": (
        "### BEGIN SOLUTION\ndef f(x):\n    return x\n### END SOLUTION",
        "outside of the markers",
    ),
    "no Python": (
        "x = (\n### BEGIN SOLUTION\n1)\n### END SOLUTION",
        "the stub is not Python",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_solution_that_would_leak_or_break_is_refused(kind):
    """No exercise comes out of it, and the message says why."""
    source, expected = BROKEN[kind]
    with pytest.raises(make_exercises.ExerciseError, match=r"07\.ipynb") as caught:
        make_exercises.make_exercise(solution(source), "07.ipynb")

    assert expected in str(caught.value)


def test_a_leak_in_prose_is_refused():
    """An answer quoted in a hint's prose is a leak as well."""
    told = solution()
    told.cells[0].source += "\n\nHint: `return count < cap` does it."

    with pytest.raises(make_exercises.ExerciseError, match="would show"):
        make_exercises.make_exercise(told, "07.ipynb")


def test_a_solution_without_markers_is_refused():
    """A page with nothing to solve is no exercise."""
    with pytest.raises(make_exercises.ExerciseError, match="nothing to solve"):
        make_exercises.make_exercise(
            v4.new_notebook(cells=[v4.new_markdown_cell("# Hi")]), "07.ipynb"
        )


def test_an_edited_exercise_fails_in_ci_and_not_at_home(tmp_path, monkeypatch):
    """Edited, missing and stray exercises are named; a learner's work is fine."""
    folders = [tmp_path / "solutions", tmp_path / "exercises"]
    for folder in folders:
        folder.mkdir()
    arguments = ["--solutions", str(folders[0]), "--into", str(folders[1])]
    notebooks.write(folders[0] / "07.ipynb", solution())
    monkeypatch.setenv("CI", "true")

    assert 1 == make_exercises.main([*arguments, "--check"])  # missing
    assert 0 == make_exercises.main(arguments)
    assert 0 == make_exercises.main([*arguments, "--check"])

    edited = notebooks.read(folders[1] / "07.ipynb")
    edited.cells[1].source += "\n    return True"
    notebooks.write(folders[1] / "07.ipynb", edited)
    assert 1 == make_exercises.main([*arguments, "--check"])
    monkeypatch.delenv("CI")
    assert 0 == make_exercises.main([*arguments, "--check"])

    (folders[0] / "07.ipynb").unlink()
    monkeypatch.setenv("CI", "true")
    assert 1 == make_exercises.main([*arguments, "--check"])  # stray


IMPORTS = {
    "components": ("bidding.py", "from adcache.frequency import Cap", "each other"),
    "by name": ("bidding.py", "from adcache import pacing", "each other"),
    "a part": ("bidding_deals.py", "import adcache.frequency", "each other"),
    "inside": ("keys.py", "def f():\n    import ipywidgets", "imports ipywidgets"),
    "plots": ("frequency.py", "import matplotlib.pyplot", "imports matplotlib"),
    "notebook": ("lua.py", "from IPython.display import HTML", "imports IPython"),
    "the fake": ("connection.py", "import fakeredis", "imports fakeredis"),
    "upwards": ("keys.py", "from adcache.bidding import Claim", "stands above"),
    "a room": ("doctor.py", "from adcache.widgets import lab", "stands above"),
    "relative": ("bidding.py", "from .frequency import Cap", "write it in full"),
}


@pytest.mark.parametrize("kind", IMPORTS)
def test_a_wrong_import_is_named(tmp_path, kind):
    """Each import that breaks the house rules is reported with its file."""
    name, source, expected = IMPORTS[kind]
    package = tmp_path / "adcache"
    package.mkdir()
    (package / name).write_text(source)

    (problem,) = check_source.import_problems(package)
    assert f"adcache/{name}" in problem
    assert expected in problem


def test_allowed_imports_pass(tmp_path):
    """Rooms may show things; a component may use its own parts and the foundation."""
    package = tmp_path / "adcache"
    (package / "widgets").mkdir(parents=True)
    (package / "widgets" / "lab.py").write_text("import ipywidgets, matplotlib")
    (package / "adserver.py").write_text("from adcache import bidding, frequency")
    (package / "bidding.py").write_text("from adcache.bidding_deals import x")
    (package / "backends.py").write_text("import fakeredis, adcache.errors, os")

    assert [] == list(check_source.import_problems(package))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("big.py", "x = 1\n" * 301, "301 lines; a module"),
        ("long.py", "def f():\n" + "    x = 1\n" * 50, "f has 51 lines"),
        ("big.lua", "-- why\nlocal x = 1\n" * 71, "71 lines of code"),
    ],
)
def test_what_is_too_long_is_named(tmp_path, name, text, expected):
    """A module, function or script over its ceiling is reported."""
    (tmp_path / name).write_text(text)

    (problem,) = check_source.size_problems(tmp_path)
    assert expected in problem


def test_an_undocumented_name_is_named():
    """A public class without docstring, a constant and a ghost are reported."""
    module = types.ModuleType("made_up")
    module.__all__ = ["Bare", "LIMIT", "ghost"]
    module.Bare = type("Bare", (), {})
    module.LIMIT = 3
    problems = list(check_source.doc_problems(module))

    assert ["Bare", "LIMIT", "ghost"] == [text.split(":")[0] for text in problems]


def test_a_name_that_no_lesson_uses_is_named():
    """Unused names are reported; one whose lesson is to come may wait."""
    names = ["connect", "Forgotten", "UserProfile"]

    assert ["Forgotten: public, but no lesson uses it"] == list(
        check_source.usage_problems(names, {"06_x": "ad = connect()"})
    )
    assert 2 == len(
        list(
            check_source.usage_problems(
                names, {"03_user_profiles": "ad = connect()", "06_x": ""}
            )
        )
    )


def test_a_key_without_ttl_fails_its_test(tmp_path):
    """The fixture that hands out caches refuses a key that would never die."""
    shutil.copy(notebooks.ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_made_up.py").write_text(
        "def test_bad(make_cache):\n"
        "    cache = make_cache('fakeredis')\n"
        "    cache.redis_client.set(cache.get_key('rtb:{x}', x='1'), 1)\n"
        "def test_good(make_cache):\n"
        "    cache = make_cache('fakeredis')\n"
        "    cache.redis_client.set(cache.get_key('rtb:{x}', x='1'), 1, ex=9)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    done = subprocess.run(
        [*command, "-c", str(notebooks.ROOT / "pyproject.toml"), "--rootdir=."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "2 passed, 1 error" in done.stdout, done.stdout
    assert "keys without a TTL" in done.stdout


def test_a_failing_stage_fails_the_run(monkeypatch, capsys):
    """One red stage makes the whole run red, and the others still run."""
    good, bad = ((sys.executable, "-c", f"raise SystemExit({n})") for n in (0, 1))
    monkeypatch.setattr(
        stages, "STAGES", (stages.Stage("bad", (bad,)), stages.Stage("good", (good,)))
    )

    assert 1 == stages.main([])
    assert "stages: 1 passed, 1 failed, 0 skipped" in capsys.readouterr().out
    assert 0 == stages.main(["good"])
    assert 2 == stages.main(["no-such-stage"])


def test_a_missing_server_is_skipped_at_home_and_fails_in_ci(monkeypatch):
    """Without a server binary a laptop skips and says why; CI must not."""

    def missing():
        raise stages.ServerNotFound("no redis-server")

    monkeypatch.setattr(stages, "find_server", missing)
    stage = stages.Stage("server", (), needs_server=True)
    monkeypatch.delenv("CI", raising=False)

    assert "no redis-server" == stages.skip_reason(stage)
    monkeypatch.setenv("CI", "true")
    assert "" == stages.skip_reason(stage)

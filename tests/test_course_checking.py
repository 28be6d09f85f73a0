"""check, hint, solution, progress and reset: kind, local and forgetful on demand."""

import inspect
import json
import os
import shutil

import pytest

from adcache import InvalidValue
from adcache.course import check, hint, progress, puzzle, reset, solution
from adcache.course.checking import TASKS
from tests.wrong_answers_07 import ANSWERS
from tools import notebooks

RIGHT = {key: made[""][0] for key, made in ANSWERS.items()}
WRONG = ANSWERS["07.1"]["no_ttl"][0]


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course to work in: exercises and their sources, no lessons."""
    for folder in ("notebooks", "solutions", "exercises", "tools"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(notebooks.ROOT / folder, tmp_path / folder, ignore=ignored)
    monkeypatch.delenv("ADCACHE_PROGRESS", raising=False)
    monkeypatch.setenv("ADCACHE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def noted(course):
    """What the file of progress says of the tasks."""
    return json.loads((course / "home" / "progress.json").read_text())["tasks"]


def files(folder):
    """Each file below a folder and what is in it, but for compiled Python."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in found if path.suffix != ".pyc"}


def test_hints_climb_and_stop_at_the_third(course, capsys):
    """Each call says more; the last one is repeated."""
    said = []
    for _ in range(4):
        hint("07.1")
        said.append(capsys.readouterr().out)

    assert ["1 of 3", "2 of 3", "3 of 3", "3 of 3"] == [
        text[len("07.1 hint ") :][:6] for text in said
    ]
    assert said[2] == said[3]
    assert 3 == len(set(said))


def test_the_solution_opens_after_three_tries(course, capsys):
    """Before that it says how many are left."""
    for left in (3, 2, 1):
        solution("07.1")
        assert f"opens after {left} more" in capsys.readouterr().out
        check("07.1", "return 1")
    capsys.readouterr()
    solution("07.1")

    assert "redis.call('PEXPIRE', KEYS[1], ARGV[2])" in capsys.readouterr().out


def test_the_solution_opens_after_success(course, capsys):
    """Who has solved it may compare."""
    check("07.1", RIGHT["07.1"])
    assert "07.1 right" in capsys.readouterr().out
    solution("07.1")

    assert "PEXPIRE" in capsys.readouterr().out


def test_a_hint_after_success_promises_no_solution(course, capsys):
    """Who has solved it need not try three times."""
    check("07.1", RIGHT["07.1"])
    for _ in range(3):
        hint("07.1")

    assert "after three tries" not in capsys.readouterr().out


def test_outside_of_the_course_solution_says_where_to_go(course, monkeypatch, capsys):
    """No notebook in reach: the reader hears what to do."""
    check("07.1", RIGHT["07.1"])
    monkeypatch.chdir(course / "home")
    shutil.rmtree(course / "solutions")
    solution("07.1")

    assert "Start the notebook from the course's folder" in capsys.readouterr().out


@pytest.mark.parametrize("key", TASKS)
def test_the_solution_in_the_notebook_is_right(course, capsys, key):
    """What `solution` prints passes the check."""
    for _ in range(3):
        check(key, 7)
    capsys.readouterr()
    solution(key)
    space: dict = {"puzzle": puzzle}
    code = "from adcache import Cap, FrequencyCapManager\n" + capsys.readouterr().out
    exec(compile(code, "solution", "exec"), space)  # noqa: S102
    names = {"07.1": "CAP", "07.2": "REPAIRED", "07.3": "serve"}
    check(key, space[names[key]])

    assert f"{key} right" in capsys.readouterr().out


def test_progress_is_one_readable_file(course, capsys):
    """It stands where ADCACHE_HOME says, and nothing else is written."""
    before = {path for path in course.rglob("*") if "home" not in path.parts}
    check("07.1", "return 1")
    check("07.2", puzzle("07.2"))
    hint("07.1")
    noted = json.loads((course / "home" / "progress.json").read_text())

    task = {"hints": 1, "last": "wrong", "solved": False, "tries": 1}
    assert {"tasks": {"07.1": task}} == noted
    assert before == {path for path in course.rglob("*") if "home" not in path.parts}


def test_progress_is_a_table_of_all_tasks(course, capsys):
    """Solved, wrong or not attempted, with tries and hints."""
    check("07.1", "return 1")
    check("07.1", RIGHT["07.1"])
    rows = {row[0]: row[2:] for row in progress().rows}

    assert {
        "07.1": ("solved", 1, 0),
        "07.2": ("not attempted", 0, 0),
        "07.3": ("not attempted", 0, 0),
    } == rows


def test_reset_restores_one_notebook_and_forgets_its_progress(course, capsys):
    """The exercise is as shipped again; predictions stay."""
    exercise = course / "exercises" / "07_frequency_capping.ipynb"
    shipped = exercise.read_bytes()
    exercise.write_text("{}")
    check("07.1", "return 1")
    file = course / "home" / "progress.json"
    noted = json.loads(file.read_text()) | {"predictions": {"07.1": {"tries": 1}}}
    file.write_text(json.dumps(noted))
    reset("07")

    assert shipped == exercise.read_bytes()
    assert {"tasks": {}, "predictions": {"07.1": {"tries": 1}}} == json.loads(
        file.read_text()
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: check("7.9", 1),
        lambda: hint("x"),
        lambda: solution("07"),
        lambda: reset("99"),
        lambda: puzzle("07.1"),
    ],
)
def test_an_unknown_task_is_told_what_there_is(call):
    """The error is a ValueError that names what exists, or what the task needs."""
    with pytest.raises(InvalidValue, match=r"07|Write Lua"):
        call()


def test_what_is_not_attempted_is_no_try(course, capsys):
    """Running the cells of a fresh exercise notes nothing."""
    before = files(course)
    check("07.1", "")
    check("07.2", puzzle("07.2"))
    check("07.3")

    assert 3 == capsys.readouterr().out.count("not attempted")
    assert before == files(course)


def test_a_crash_is_a_try(course, capsys):
    """Three crashes open the solution as three wrong answers do."""
    for broken in ("x = 1", "return x.y", 7):
        check("07.1", broken)
    solution("07.1")

    assert 3 == noted(course)["07.1"]["tries"]
    assert "PEXPIRE" in capsys.readouterr().out


def test_tries_of_one_task_open_no_other(course, capsys):
    """The solution of another task stays closed."""
    for _ in range(3):
        check("07.1", WRONG)
    capsys.readouterr()
    solution("07.2")

    assert "opens after 3 more tries" in capsys.readouterr().out


@pytest.mark.parametrize("key", TASKS)
def test_what_is_solved_stays_solved(course, capsys, key):
    """A later wrong try takes nothing back; success is not a wrong try."""
    check(key, RIGHT[key])
    check(key, 7)
    capsys.readouterr()
    solution(key)

    assert {"solved": True, "tries": 1, "last": "crashed"} == noted(course)[key]
    assert "opens after" not in capsys.readouterr().out
    assert "solved" == {row[0]: row[2] for row in progress().rows}[key]


def test_the_report_of_a_wrong_answer_reads_well(course, capsys):
    """Outcome and idea first; then probe, expected, got, why, keys, a hint's call."""
    check("07.1", WRONG)
    lines = capsys.readouterr().out.splitlines()

    assert "07.1 wrong: the window that never ends" == lines[0]
    assert [
        "What was done",
        "Expected",
        "Got",
        "Why",
        "Keys before",
        "Keys after",
    ] == [line.strip().split(":")[0] for line in lines[1:7]]
    assert '  Stuck? hint("07.1")' == lines[-1]


def test_a_broken_file_of_progress_is_put_aside(course, capsys):
    """Nobody is stopped by it, and what was in it can still be read."""
    (course / "home").mkdir()
    (course / "home" / "progress.json").write_text("{half")
    check("07.1", RIGHT["07.1"])

    assert noted(course)["07.1"]["solved"]
    assert "{half" == (course / "home" / "progress.json.broken").read_text()


def test_progress_goes_into_the_file_that_is_named(course, monkeypatch, capsys):
    """ADCACHE_PROGRESS wins; nothing is written elsewhere."""
    before = files(course)
    monkeypatch.setenv("ADCACHE_PROGRESS", str(course / "mine.json"))
    hint("07.2")

    assert {course / "mine.json"} == set(files(course)) - set(before)
    assert {"hints": 1} == json.loads((course / "mine.json").read_text())["tasks"][
        "07.2"
    ]


def test_progress_can_be_kept_in_memory_alone(course, monkeypatch, capsys):
    """With the null device no file is written, and hints climb all the same."""
    monkeypatch.setattr("adcache.course.progress_file._memory", {})
    monkeypatch.setenv("ADCACHE_PROGRESS", os.devnull)
    before = files(course)
    hint("07.2")
    hint("07.2")

    assert "hint 2 of 3" in capsys.readouterr().out
    assert before == files(course)


def test_reset_forgets_one_exercise_alone(course, capsys):
    """Tasks of other exercises stay noted; only this one's notebook is written."""
    exercise = course / "exercises" / "07_frequency_capping.ipynb"
    shipped, other = exercise.read_bytes(), course / "exercises" / "08_other.ipynb"
    for key in TASKS:
        check(key, RIGHT[key])
    file = course / "home" / "progress.json"
    kept = {"solved": True, "tries": 2}
    file.write_text(json.dumps({"tasks": noted(course) | {"08.1": kept}}))
    exercise.write_text("spoilt")
    other.write_text("of mine")
    before = files(course)
    reset("07")
    changed = {path for path, text in files(course).items() if before[path] != text}

    assert {"08.1": kept} == noted(course)
    assert {exercise, file} == changed
    assert shipped == exercise.read_bytes()
    assert "written anew" in capsys.readouterr().out
    assert {"not attempted"} == {row[2] for row in progress().rows}


def test_reset_says_when_the_notebook_could_not_be_made(course, capsys):
    """Progress is forgotten, the notebook stays as it is."""
    (course / "tools" / "make_exercises.py").write_text("raise SystemExit(1)")
    hint("07.1")
    reset("07")

    assert {} == noted(course)
    assert "notebook kept" in capsys.readouterr().out


@pytest.mark.parametrize("call", [check, hint, solution, puzzle])
@pytest.mark.parametrize("key", ["07.9", "7.1", "07", "", None, 7.1, [], ("07.1",)])
def test_an_unknown_key_names_the_tasks_there_are(course, call, key):
    """The error is a ValueError that lists them; nothing is noted."""
    with pytest.raises(InvalidValue, match=r"07\.1, 07\.2, 07\.3"):
        call(key)
    assert not (course / "home").exists()


@pytest.mark.parametrize("number", ["7", "07.1", "", "0", None, 7, []])
def test_an_unknown_exercise_names_those_there_are(course, number):
    """Reset touches nothing when it does not know what is meant."""
    before = files(course)
    with pytest.raises(InvalidValue, match="there is: 07"):
        reset(number)

    assert before == files(course)


@pytest.mark.parametrize("key", ["07.1", "07.3"])
def test_a_task_without_a_given_text_has_no_puzzle(key):
    """It says what the task starts from instead."""
    with pytest.raises(InvalidValue, match="starts from nothing"):
        puzzle(key)


@pytest.mark.parametrize("odd", [7, int, lambda: 1, lambda *_: object(), b"x"])
@pytest.mark.parametrize("key", TASKS)
def test_check_prints_and_never_raises(course, capsys, key, odd):
    """Whatever is handed in: one outcome, and a hint's call at the end."""
    check(key, odd)
    out = capsys.readouterr().out

    assert out.startswith((f"{key} wrong: ", f"{key} crashed: "))
    assert f'hint("{key}")' in out
    assert "Traceback" not in out


def test_every_function_of_the_course_is_documented():
    """The learner's help() has an answer."""
    for function in (check, hint, progress, puzzle, reset, solution):
        assert inspect.getdoc(function)

"""check, hint, solution, progress and reset: kind, local and forgetful on demand."""

import json
import shutil

import pytest

from adcache import InvalidValue
from adcache.course import check, hint, progress, puzzle, reset, solution
from adcache.course.checking import TASKS
from tools import notebooks

RIGHT = """
local n = tonumber(redis.call('GET', KEYS[1]) or 0)
if n >= tonumber(ARGV[1]) then return 0 end
if redis.call('INCR', KEYS[1]) == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A copy of the course's folders, to work in and to spoil."""
    for folder in ("notebooks", "solutions", "exercises", "tools"):
        shutil.copytree(notebooks.ROOT / folder, tmp_path / folder)
    monkeypatch.delenv("ADCACHE_PROGRESS", raising=False)
    monkeypatch.setenv("ADCACHE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "exercises")
    return tmp_path


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
    check("07.1", RIGHT)
    assert "07.1 right" in capsys.readouterr().out
    solution("07.1")

    assert "PEXPIRE" in capsys.readouterr().out


def test_a_hint_after_success_promises_no_solution(course, capsys):
    """Who has solved it need not try three times."""
    check("07.1", RIGHT)
    for _ in range(3):
        hint("07.1")

    assert "after three tries" not in capsys.readouterr().out


def test_outside_of_the_course_solution_says_where_to_go(course, monkeypatch, capsys):
    """No notebook in reach: the reader hears what to do."""
    check("07.1", RIGHT)
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
    check("07.1", RIGHT)
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

"""Check an exercise: four outcomes, and the wrong idea by its name.

Everything stays in this process and in one local file of progress.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import copy
from typing import Any

from adcache.course import progress_file
from adcache.course.exercise_07 import TASKS as TASKS_07
from adcache.course.table import Table
from adcache.course.task import NotAttempted, Task, Wrong
from adcache.course.trial import SECONDS, Crashed, TooLong, Trial, time_limit
from adcache.errors import InvalidValue

TASKS: dict[str, Task] = {task.key: task for task in TASKS_07}
TRIES_BEFORE_SOLUTION = 3


def check(key: str, thing: Any = None) -> None:
    """Try what the learner made and say: right, wrong, crashed or not attempted.

    It is judged by what it does, in worlds of its own, within five seconds.
    Raises `InvalidValue` for a task that does not exist.
    """
    task = _task(key)
    state, text = judge(task, thing)
    if state != "not attempted":
        noted = progress_file.entry("tasks", key)
        solved = noted.get("solved", False) or state == "right"
        tries = noted.get("tries", 0) + (state != "right")
        entry = {**noted, "solved": solved, "tries": tries, "last": state}
        progress_file.note("tasks", key, entry)
    print(f"{key} {state}: {text}")  # noqa: T201


def judge(task: Task, thing: Any) -> tuple[str, str]:
    """Return the outcome and what to say of it; notes nothing."""
    worlds: list[Trial] = []

    def make() -> Trial:
        worlds.append(Trial())
        return worlds[-1]

    more = f'\n  Stuck? hint("{task.key}")'
    try:
        with time_limit():
            return "right", task.judge(make, thing)
    except NotAttempted:
        return "not attempted", f"{task.start}{more}"
    except Wrong as wrong:
        return "wrong", _explain(task, wrong) + more
    except TooLong:
        return "crashed", (
            f"it did not end within {SECONDS:.0f} seconds. Does each loop end? Does "
            f"something wait or sleep?{more}"
        )
    except Crashed as crash:
        return "crashed", _crash_text(crash) + more
    except TypeError as problem:
        return "crashed", f"{problem}{more}"
    except Exception as problem:  # an answer so odd that the probe itself fell
        return "crashed", f"{type(problem).__name__}: {problem}{more}"
    finally:
        for world in worlds:
            world.close()


def _explain(task: Task, wrong: Wrong) -> str:
    title, lesson = task.misconceptions[wrong.misconception]
    lines = [
        title,
        f"  What was done: {wrong.probe}",
        f"  Expected:      {wrong.expected}",
        f"  Got:           {wrong.got}",
        f"  Why: {lesson}",
    ]
    for name, table in (("Keys before", wrong.before), ("Keys after", wrong.after)):
        if table is not None:
            indented = str(table).replace("\n", "\n    ")
            lines.append(
                f"  {name}:\n    {indented}" if len(table) else f"  {name}: none"
            )
    return "\n".join(lines)


def _crash_text(crash: Crashed) -> str:
    text = f"{crash}\n  In your code, {crash.line}" if crash.line else str(crash)
    if "global variable" in text:
        text += (
            "\n  Why: a name without `local` is a global, which Redis refuses in a "
            "script. (The fake server that this spoilt was thrown away; your own is "
            "untouched.)"
        )
    return text


def hint(key: str) -> None:
    """Print the next of three hints for a task; each says more than the last."""
    task = _task(key)
    noted = progress_file.entry("tasks", key)
    step = min(noted.get("hints", 0) + 1, len(task.hints))
    progress_file.note("tasks", key, {**noted, "hints": step})
    last = f'; after three tries solution("{key}") opens'
    end = last if step == len(task.hints) and not noted.get("solved") else ""
    print(f"{key} hint {step} of {len(task.hints)}{end}: {task.hints[step - 1]}")  # noqa: T201


def puzzle(key: str) -> str:
    """Return the code that a find-the-bug task starts from."""
    task = _task(key)
    if not task.given:
        raise InvalidValue(f"task {key} starts from nothing: {task.start}")
    return task.given


def solution(key: str) -> None:
    """Print a solution, once the task is solved or three tries were wrong."""
    _task(key)
    noted = progress_file.entry("tasks", key)
    tries = noted.get("tries", 0)
    if not noted.get("solved") and tries < TRIES_BEFORE_SOLUTION:
        left = TRIES_BEFORE_SOLUTION - tries
        wait = f"{key}: the solution opens after {left} more tries."
        print(f'{wait} hint("{key}") helps.')  # noqa: T201
        return
    print(_solution_text(key))  # noqa: T201


def _solution_text(key: str) -> str:
    """The cell of the solution's notebook whose id is the task's."""
    number = key.partition(".")[0]
    for path in (progress_file.course_folder() / "solutions").glob(f"{number}_*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["id"] == f"task-{key.replace('.', '-')}":
                lines = "".join(cell["source"]).splitlines()
                return "\n".join(line for line in lines if "### " not in line)
    return (
        f"{key}: the solution stands in solutions/{number}_*.ipynb of the course; it "
        "is not in this folder or above it. Start the notebook from the course's folder"
    )


def progress() -> Table:
    """Show a map of the tasks: what is solved, after how many tries and hints."""
    rows = []
    for key, task in TASKS.items():
        noted = progress_file.entry("tasks", key)
        state = "solved" if noted.get("solved") else noted.get("last", "not attempted")
        rows.append(
            [key, task.title, state, noted.get("tries", 0), noted.get("hints", 0)]
        )
    return Table(["task", "title", "state", "wrong tries", "hints"], rows)


def reset(number: str) -> None:
    """Write one exercise anew from its solution, and forget its progress only."""
    keys = [key for key in TASKS if key.startswith(f"{number}.")]
    if not keys:
        raise InvalidValue(f"no exercise {number!r}; there is: {_numbers()}")
    for key in keys:
        progress_file.note("tasks", key, None)
    folder = progress_file.course_folder()
    with tempfile.TemporaryDirectory() as one:
        for path in (folder / "solutions").glob(f"{number}_*.ipynb"):
            copy(path, one)
        made = _make_exercise(folder, Path(one))
    print(  # noqa: T201
        f"exercise {number}: progress forgotten, notebook "
        + (
            "written anew; now choose File > Reload Notebook from Disk"
            if made
            else "kept"
        )
    )


def _make_exercise(folder: Path, solutions: Path) -> bool:
    """Run the course's own generator; False where it is not at hand."""
    command = [sys.executable, "-m", "tools.make_exercises"]
    places = ["--solutions", str(solutions), "--into", str(folder / "exercises")]
    done = subprocess.run([*command, *places], cwd=folder, capture_output=True)  # noqa: S603
    return done.returncode == 0


def _task(key: str) -> Task:
    if not isinstance(key, str) or key not in TASKS:
        raise InvalidValue(f"no task {key!r}; there is: {', '.join(TASKS)}")
    return TASKS[key]


def _numbers() -> str:
    return ", ".join(sorted({key.partition(".")[0] for key in TASKS}))

"""What a task is: a judge by behaviour, named wrong ideas, three hints."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adcache.course.table import Table
from adcache.course.trial import Trial

Make = Callable[[], Trial]
# What a probe found: the misconception, what was done, expected, got.
Found = tuple[str, str, object, object] | None


class NotAttempted(Exception):
    """The learner has not written anything yet."""


class Wrong(Exception):
    """A probe found a misconception; it says what was done, expected and got."""

    def __init__(
        self,
        misconception: str,
        *,
        probe: str,
        expected: object,
        got: object,
        before: Table | None = None,
        trial: Trial | None = None,
    ) -> None:
        super().__init__(misconception)
        self.misconception = misconception
        self.probe = probe
        self.expected = expected
        self.got = got
        self.before = before
        self.after = trial.keys() if trial else None


@dataclass(frozen=True)
class Task:
    """One task of an exercise.

    `judge` gets a fresh `Trial` maker and what the learner made; it raises
    `NotAttempted` or `Wrong`, and returns what to say of a right answer.
    `misconceptions` maps each name to its title and to the sentence that teaches.
    """

    key: str
    title: str
    start: str
    hints: tuple[str, str, str]
    misconceptions: dict[str, tuple[str, str]]
    judge: Callable[[Callable[[], Trial], Any], str]
    given: str = ""


def script_text(thing: Any, given: str = "") -> str:
    """Return a learner's Lua script; blank, comments only or as given: not attempted.

    Raises `NotAttempted`, and TypeError for anything that is not text.
    """
    if thing is None or thing is ...:
        raise NotAttempted
    if not isinstance(thing, str):
        raise TypeError(f"a Lua script is text, got a {type(thing).__name__}")
    code = [line for line in thing.splitlines() if not line.lstrip().startswith("--")]
    if not "".join(code).strip() or (given and thing.strip() == given.strip()):
        raise NotAttempted
    return thing


def raise_found(found: Found, before: Table, trial: Trial) -> None:
    """Turn what a probe found into `Wrong`."""
    if found:
        name, done, expected, got = found
        raise Wrong(
            name, probe=done, expected=expected, got=got, before=before, trial=trial
        )

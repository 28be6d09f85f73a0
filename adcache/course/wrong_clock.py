"""A clock that is wrong for the learner's code, and for nobody else.

Of many ad servers one clock is always wrong. A probe sets it wrong on purpose:
an answer that asks its own machine for the time then shows it.
"""

import contextlib
import datetime
import functools
import inspect
import sys
import time
from collections.abc import Iterator
from typing import Any

TRUSTED = ("fakeredis", "redis", "adcache")  # these packages keep the right time


@contextlib.contextmanager
def wrong_clock(function: Any, seconds: float) -> Iterator[None]:
    """Let `function` and its neighbours see a clock that is `seconds` ahead.

    It changes `time` and `datetime`, and the names that the function's module
    took from them (``from time import time``). `cache.clock` and the time of
    the server stay right.
    """
    modules = _wrong_modules(seconds)
    twins = [
        (space[name], twin)
        for space, changed in modules
        for name, twin in changed.items()
    ]
    names = _globals(function)
    taken = {
        name: twin
        for name, value in names.items()
        for real, twin in twins
        if value is real
    }
    changes = [*modules, (names, taken)]
    saved = [{name: space[name] for name in changed} for space, changed in changes]
    try:
        for space, changed in changes:
            space.update(changed)
        yield
    finally:
        for (space, _), right in zip(changes, saved, strict=True):
            space.update(right)


def _wrong_modules(seconds: float) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """For each module of the standard library: its names, and their wrong twins."""
    right, gmtime, localtime = time.time, time.gmtime, time.localtime

    def wrong_for_learner() -> float:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        return right() + (0 if caller.split(".")[0] in TRUSTED else seconds)

    class WrongDatetime(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return cls.fromtimestamp(right() + seconds, tz)

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now(datetime.UTC).replace(tzinfo=None)

    def wrong(convert: Any) -> Any:
        return lambda at=None: convert(right() + seconds if at is None else at)

    clocks = {
        "time": wrong_for_learner,
        "time_ns": lambda: int((right() + seconds) * 1e9),
        "gmtime": wrong(gmtime),
        "localtime": wrong(localtime),
    }
    return [(vars(time), clocks), (vars(datetime), {"datetime": WrongDatetime})]


def _globals(function: Any) -> dict[str, Any]:
    """Names of the module that a function, method or callable object is from."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    if not hasattr(function, "__globals__"):
        function = type(function).__call__
    return getattr(function, "__globals__", {})

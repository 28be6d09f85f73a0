"""A private world to try a learner's code in: own fake, own clock, own limit.

Nothing that is tried here can touch the learner's server: a script that leaks a
global spoils this fake only, and an endless loop ends at the limit.
"""

import contextlib
import itertools
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from adcache import ManualClock, connect
from adcache.backends import rebuild_embedded
from adcache.course.inspect_keys import show_keys
from adcache.course.table import Table

PACKAGE = Path(__file__).parents[1].as_posix() + "/"
SECONDS = 5.0
LUA_STEPS = 30_000_000  # about a second; a script of a lesson needs hundreds
_numbers = itertools.count(1)
# Once over the limit each further step fails: pcall cannot go on for ever.
_STOP_LUA = """local hook, stop = debug.sethook, function() error('{}') end
hook(function() hook(stop, '', 1) stop() end, '', {})"""
ENDLESS_LUA = "the script does not end: look at its loops"


class TooLong(BaseException):
    """The learner's code did not end within the limit.

    No `Exception`: a loop that catches those and goes on must end as well.
    """


class Crashed(Exception):
    """The learner's code raised; `line` points at the learner's own line."""

    def __init__(self, error: BaseException, line: str) -> None:
        super().__init__(f"{type(error).__name__}: {_first_line(error)}")
        self.line = line


class Trial:
    """One fresh world. `redis` is a redis-py client, `cache` what it belongs to."""

    def __init__(self) -> None:
        self._url = f"fakeredis://trial-{next(_numbers)}"
        self.clock = ManualClock()
        self.cache = connect(self._url, namespace="check", clock=self.clock)
        self.redis = self.cache.redis_client
        self.redis.eval("return 1", 0)  # from now on the fake has its Lua

    def run(self, script: str, keys: list[str], *args: Any) -> Any:
        """Run a learner's Lua script; what it raises comes out as `Crashed`."""
        self._limit_lua()
        try:
            return self.redis.eval(script, len(keys), *keys, *args)
        except Exception as error:  # of Redis, of its Lua, or text that is no UTF-8
            raise Crashed(error, _lua_line(str(error), script)) from None

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a learner's function; what it raises comes out as `Crashed`."""
        self._limit_lua()
        try:
            return function(*args)
        except (TooLong, Crashed):
            raise
        except (Exception, SystemExit) as error:
            raise Crashed(error, _own_line(error)) from None

    def pass_time(self, seconds: float) -> None:
        """Let time pass: for the clock, and for the TTL of every key."""
        self.clock.advance(seconds)
        for key in self.redis.scan_iter(count=1000):
            left = self.redis.pttl(key)
            if left >= 0:
                self.redis.pexpire(key, max(0, left - round(seconds * 1000)))

    def all_keys(self) -> set[str]:
        """Every key of this world, in and out of the namespace."""
        return set(self.redis.scan_iter(count=1000))

    def keys(self) -> Table:
        """The keys as a table; by name alone when a value is no text."""
        try:
            return show_keys(self.cache)
        except UnicodeDecodeError:
            return Table(["key"], [[key] for key in sorted(self.all_keys())])

    def close(self) -> None:
        """Throw the world away."""
        rebuild_embedded(self._url)

    def _limit_lua(self) -> None:
        server = self.redis.connection_pool.connection_kwargs["server"]
        stop = _STOP_LUA.format(ENDLESS_LUA, LUA_STEPS)
        server._lua_runtime.execute(stop.encode())


@contextlib.contextmanager
def time_limit(seconds: float = SECONDS) -> Iterator[None]:
    """End the block with `TooLong` after `seconds`.

    An alarm does it where there is one (the main thread of a Unix kernel);
    elsewhere each line of Python that runs looks at the time.
    """
    if hasattr(signal, "setitimer") and threading.current_thread() is (
        threading.main_thread()
    ):

        def alarm(_signal: int, frame: FrameType | None) -> None:
            _fail_at_each_line(frame)
            raise TooLong

        tracer = sys.gettrace()
        before = signal.signal(signal.SIGALRM, alarm)
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)  # again, if it is caught
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            sys.settrace(tracer)
        return
    deadline, tracer = time.monotonic() + seconds, sys.gettrace()

    def watch(_frame: FrameType, _event: str, _arg: Any) -> Any:
        if time.monotonic() > deadline:
            raise TooLong
        return watch

    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(tracer)


def _fail_at_each_line(frame: FrameType | None) -> None:
    """Let every further line of the learner's code fail.

    One `TooLong` is not enough: a bare ``except:`` in a loop catches it.
    """

    def watch(_frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "line":
            raise TooLong
        return watch

    frames = []
    while frame and frame.f_code is not Trial.call.__code__:
        if _is_own(frame.f_code.co_filename):
            frames.append(frame)
        frame = frame.f_back
    if frame:  # called by `Trial.call`: up to there it is the learner's
        sys.settrace(lambda *_: None)
        for own in frames:
            own.f_trace = watch


def _own_line(error: BaseException) -> str:
    """Find the last line of the learner's own code in a traceback, for the report."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_own(frame.filename):
            return f"line {frame.lineno}: {frame.line or ''}".rstrip(": ")
    return ""


def _is_own(file: str) -> bool:
    """Is it the learner's file, or one of the package, of a library, of Python?"""
    libraries = (PACKAGE, "site-packages", "fakeredis", "lupa", "/lib/python")
    return not any(name in file.replace("\\", "/") for name in libraries)


def _lua_line(message: str, script: str) -> str:
    """Find the line that a Lua error names, such as ``]:3: attempt to ...``."""
    found = re.search(r"[\]t]:(\d+):", message)
    lines = script.splitlines()
    if found is None or not 0 < int(found[1]) <= len(lines):
        return ""
    return f"line {found[1]}: {lines[int(found[1]) - 1].strip()}"


def _first_line(error: BaseException) -> str:
    """What went wrong, without the wrapping that fakeredis adds."""
    text = (str(error).strip().splitlines() or [""])[0]
    if ENDLESS_LUA in text:
        return ENDLESS_LUA
    return re.sub(r"^Error running script.*?\]:\d+: ", "", text)

"""What is tried with an answer to task 07.3, in the order it is tried.

Each probe is a story about one user, or a few. It returns None, or which wrong
idea it saw. A probe that an idea would fail by accident stands after the probe
that is about this idea.
"""

import inspect
import time
from typing import Any

from adcache.course.hop import trace
from adcache.course.task import Found, Make, NotAttempted
from adcache.course.trial import Trial
from adcache.course.wrong_clock import wrong_clock

MINUTE, HOUR, DAY = 60, 3600, 86_400
PAIRS = (("ada", "sneakers"), ("b:{e}n", "a:b"))  # a plain pair and an odd one
Pair = tuple[str, str]


def refuse_stub(make: Make, serve: Any) -> None:
    """A function that sends nothing and returns None is the stub."""
    trial = make()
    with trace(trial.cache) as hop:
        answer = _call(trial, serve, "ada", "sneakers", "i")
    if (answer is None or answer is ...) and hop.trips == 0:
        raise NotAttempted


def ask(trial: Trial, serve: Any, pair: Pair, name: str) -> bool:
    """Ask for one impression of this name: was it served?"""
    return bool(_call(trial, serve, *pair, name))


def _call(trial: Trial, serve: Any, *ids: str) -> Any:
    answer = trial.call(serve, trial.cache, *ids)
    if inspect.iscoroutine(answer) or inspect.isgenerator(answer):
        answer.close()
        kind = "async" if inspect.iscoroutine(answer) else "yield"
        raise TypeError(f"serve must return True or False: leave {kind!r} out")
    return answer


def _hour(trial: Trial, serve: Any, pair: Pair) -> Found:
    answers = [_call(trial, serve, *pair, f"i{n}") for n in range(5)]
    expected = [True] * 3 + [False] * 2
    if any(answer is None for answer in answers) and not any(answers):
        return "no_answer", "five ads at once", expected, answers
    got = [bool(answer) for answer in answers]
    if not trial.all_keys() and _remembers(trial, serve, pair):
        return "own_memory", "ads, then a look at all keys", "a count in Redis", "none"
    if got != expected:
        return "hour_missing", "five ads at once", expected, got
    trial.pass_time(30 * MINUTE)
    if ask(trial, serve, pair, "i5"):
        return "hour_missing", "three ads, one more 30 minutes later", False, True
    return None


def _remembers(trial: Trial, serve: Any, pair: Pair) -> bool:
    """Does it tell a new user's fifth ad from the first, with nothing in Redis?"""
    newcomer = (f"{pair[0]}-{time.time_ns()}", pair[1])
    return len({ask(trial, serve, newcomer, f"i{n}") for n in range(5)}) > 1


def _keys(trial: Trial, serve: Any, pair: Pair) -> Found:
    """Every key lives in the namespace, and not for ever."""
    for n in range(4):
        ask(trial, serve, pair, f"i{n}")
    done, own = "four ads, then a look at all keys", trial.cache.keys.match[:-1]
    for key in sorted(trial.all_keys()):
        if not key.startswith(own):
            return "foreign_key", done, "only keys made by cache.get_key", key
        if trial.redis.pttl(key) == -1:
            return "no_ttl", done, "each key with a TTL", f"{key} without"
    return None


def _own_clock(trial: Trial, serve: Any, pair: Pair) -> Found:
    """One server's own clock is wrong by two hours: nothing must change."""
    for shift in (-2 * HOUR, 2 * HOUR):
        for wrong_first in (False, True):
            visitor = (f"{pair[0]}{shift}{wrong_first}", pair[1])
            for n in range(3):
                _ask_at(shift * wrong_first, trial, serve, visitor, f"i{n}")
            if _ask_at(shift * (not wrong_first), trial, serve, visitor, "i9"):
                hours = f"{abs(shift) // HOUR} hours {'slow' if shift < 0 else 'fast'}"
                order = "wrong, then right" if wrong_first else "right, then wrong"
                done = f"three ads, then one; a clock {hours}: {order}"
                return "client_clock", done, False, True
    return None


def _ask_at(shift: int, trial: Trial, serve: Any, pair: Pair, name: str) -> bool:
    if not shift:
        return ask(trial, serve, pair, name)
    with wrong_clock(serve, shift):
        return ask(trial, serve, pair, name)


def _apart(trial: Trial, serve: Any, pair: Pair) -> Found:
    user, campaign = pair
    for n in range(3):
        ask(trial, serve, pair, f"i{n}")
    if not ask(trial, serve, ("someone else", campaign), "i9"):
        done = f"three ads to {user}, then one to another user"
        return "users_share", done, True, False
    if not ask(trial, serve, (user, "another"), "i9"):
        done = "three ads of one campaign, then one of another"
        return "campaigns_share", done, True, False
    return None


def _reopens(trial: Trial, serve: Any, pair: Pair) -> Found:
    got = []
    for n, wait in enumerate((0, 25, 25, 10)):
        trial.pass_time(wait * MINUTE)
        got.append(ask(trial, serve, pair, f"i{n}"))
    expected = [True] * 4
    if got != expected:
        done = "ads at minutes 0, 25, 50 and 60"
        return "window_renewed", done, expected, got
    return None


def _counted_once(trial: Trial, serve: Any, pair: Pair) -> Found:
    got = [ask(trial, serve, pair, name) for name in ("i1", "i1", "i2", "i3", "i4")]
    expected = [True] * 4 + [False]
    if got != expected:
        name = "retry_counts" if got[1] else "retry_refused"
        return name, "ads i1, i1 again, i2, i3, i4", expected, got
    if not ask(trial, serve, pair, "i1"):
        return "retry_refused", "a full hour, then the retry of i1", True, False
    return None


def _hour_leaves_day(trial: Trial, serve: Any, pair: Pair) -> Found:
    """Refusals by the hour must not use up the day."""
    served = sum(ask(trial, serve, pair, f"i{n}") for n in range(20))
    for hour in range(1, 4):
        trial.pass_time(HOUR)
        served += sum(ask(trial, serve, pair, f"h{hour}-{n}") for n in range(3))
    if served != 10:
        name = "not_all_or_nothing" if served < 10 else "day_missing"
        done = "20 ads at once, then 3 in each of the next 3 hours"
        return name, done, "10 served", f"{served} served"
    return None


def _day(trial: Trial, serve: Any, pair: Pair) -> Found:
    got = []
    for n in range(14):
        got.append(ask(trial, serve, pair, f"i{n}"))
        trial.pass_time(30 * MINUTE)
    trial.pass_time(13 * HOUR)  # 20 hours after the first ad
    got.append(ask(trial, serve, pair, "i14"))
    if sum(got) != 10 or not all(got[:10]):
        done = "14 ads, one every 30 minutes, and one 20 hours after the first"
        return "day_missing", done, "10 served", f"{sum(got)} served"
    trial.pass_time(4 * HOUR + 5 * MINUTE)
    if not ask(trial, serve, pair, "i15"):
        done = "a full day, then an ad 24 hours and 5 minutes after its first"
        return "window_renewed", done, True, False
    return None


def _day_leaves_hour(trial: Trial, serve: Any, pair: Pair) -> Found:
    """Refusals by the day must not use up the next day's first hour."""
    for hour in range(4):
        for n in range(1 if hour == 3 else 3):
            ask(trial, serve, pair, f"h{hour}-{n}")
        trial.pass_time(HOUR)
    trial.pass_time(19 * HOUR + 10 * MINUTE)  # 23:10 after the first ad
    late = [ask(trial, serve, pair, f"late-{n}") for n in range(3)]
    trial.pass_time(55 * MINUTE)
    if not any(late) and not ask(trial, serve, pair, "morning"):
        done = "a full day, 3 refusals in its last hour, an ad as the next day begins"
        return "not_all_or_nothing", done, True, False
    return None


def _race(trial: Trial, serve: Any, pair: Pair) -> Found:
    """Another server asks after the first, second, ... trip of this one."""
    for position in range(1, 6):
        visitor = (f"{pair[0]}-{position}", pair[1])
        for n in range(2):
            ask(trial, serve, visitor, f"i{n}")
        hop = _Between(trial, serve, visitor, position)
        with hop:
            ours = ask(trial, serve, visitor, "ours")
        if ours and hop.theirs:
            done = f"one place left; another server asks after trip {position}"
            return "check_then_count", done, "1 served", "2 served"
    return None


class _Between(trace):
    """Watches an answer's trips, and lets another server ask after one of them."""

    def __init__(self, trial: Trial, serve: Any, pair: Pair, position: int) -> None:
        super().__init__(trial.cache)
        self.theirs = False
        self._theirs = (trial, serve, pair, "theirs")
        self._left = position

    def _trip(self, pairs: list[tuple[tuple[Any, ...], Any]], seconds: float) -> None:
        super()._trip(pairs, seconds)
        self._left -= bool(pairs)
        if pairs and self._left == 0:
            self.theirs = ask(*self._theirs)


PROBES = (
    *(_hour, _keys, _own_clock, _apart, _reopens, _counted_once),
    *(_hour_leaves_day, _day, _day_leaves_hour, _race),
)

"""Task 07.3: an order with two caps, served, counted once and measured."""

import time
from typing import Any

from adcache import Cap, FrequencyCapManager
from adcache.course.hop import trace
from adcache.course.task import Found, Make, NotAttempted, Task, raise_found
from adcache.course.trial import Trial

HOUR, DAY = 3600, 86_400
VIEWS = 48  # page views of the measured day
PAIRS = (("ada", "sneakers"), ("b:{e}n", "a:b"))  # a plain pair and an odd one


def reference(cache: Any, user_id: str, campaign_id: str, impression_id: str) -> bool:
    """What the package itself does for this order, to compare costs with."""
    decision = FrequencyCapManager(cache).check_frequency_cap(
        user_id,
        campaign_id,
        caps=[Cap(3, HOUR), Cap(10, DAY)],
        impression_id=impression_id,
    )
    return bool(decision)


def judge_serve(make: Make, thing: Any) -> str:
    """3 an hour and 10 a day, all or nothing, counted once: with a measured score."""
    if thing is None or thing is ...:
        raise NotAttempted
    if not callable(thing):
        raise TypeError(f"serve must be a function, got a {type(thing).__name__}")
    _refuse_stub(make, thing)
    for seed, pair in enumerate(PAIRS):
        for probe in PROBES:
            trial = make()
            trial.clock.advance(seed * 1234.5)
            before = trial.keys()
            raise_found(probe(trial, thing, pair), before, trial)
    return score(make, thing)


def _refuse_stub(make: Make, serve: Any) -> None:
    """A function that sends nothing and returns None is the stub."""
    trial = make()
    with trace(trial.cache) as hop:
        answer = trial.call(serve, trial.cache, "ada", "sneakers", "i")
    if answer in (None, ...) and hop.trips == 0:
        raise NotAttempted


def _ask(trial: Trial, serve: Any, pair: tuple[str, str], name: str) -> bool:
    return bool(trial.call(serve, trial.cache, *pair, name))


def _hour(trial: Trial, serve: Any, pair: tuple[str, str]) -> Found:
    got = [_ask(trial, serve, pair, f"i{n}") for n in range(5)]
    expected = [True] * 3 + [False] * 2
    if got != expected:
        return "hour_missing", "five ads at once", expected, got
    return None


def _reopens(trial: Trial, serve: Any, pair: tuple[str, str]) -> Found:
    got = []
    for n, wait in enumerate((0, 1500, 1500, 600)):
        trial.pass_time(wait)
        got.append(_ask(trial, serve, pair, f"i{n}"))
    expected = [True] * 4
    if got != expected:
        done = "ads at minutes 0, 25, 50 and 60"
        return "window_renewed", done, expected, got
    return None


def _apart(trial: Trial, serve: Any, pair: tuple[str, str]) -> Found:
    user, campaign = pair
    for n in range(3):
        _ask(trial, serve, pair, f"i{n}")
    if not _ask(trial, serve, ("someone else", campaign), "i9"):
        done = f"three ads to {user}, then one to another user"
        return "users_share", done, True, False
    if not _ask(trial, serve, (user, "another"), "i9"):
        done = "three ads of one campaign, then one of another"
        return "campaigns_share", done, True, False
    return None


def _counted_once(trial: Trial, serve: Any, pair: tuple[str, str]) -> Found:
    got = [_ask(trial, serve, pair, name) for name in ("i1", "i1", "i2", "i3", "i4")]
    expected = [True] * 4 + [False]
    if got != expected:
        return "retry_counts", "ads i1, i1 again, i2, i3, i4", expected, got
    if not _ask(trial, serve, pair, "i1"):
        return "retry_refused", "a full hour, then the retry of i1", True, False
    return None


def _day(trial: Trial, serve: Any, pair: tuple[str, str]) -> Found:
    got = []
    for n in range(14):
        got.append(_ask(trial, serve, pair, f"i{n}"))
        trial.pass_time(1800)
    if sum(got) != 10 or not all(got[:10]):
        done = "an ad every 30 minutes, 14 of them"
        return "day_missing", done, "10 served", f"{sum(got)} served"
    return None


def _both(trial: Trial, serve: Any, pair: tuple[str, str]) -> Found:
    """Refusals by the hour must not use up the day."""
    served = 0
    for n in range(20):
        served += _ask(trial, serve, pair, f"i{n}")
    for hour in range(1, 4):
        trial.pass_time(HOUR)
        served += sum(_ask(trial, serve, pair, f"h{hour}-{n}") for n in range(3))
    if served != 10:
        done = "20 ads at once, then 3 in each of the next 3 hours"
        return "not_all_or_nothing", done, "10 served", f"{served} served"
    return None


def _keys(trial: Trial, serve: Any, pair: tuple[str, str]) -> Found:
    """Every key lives in the namespace, and not for ever."""
    for n in range(4):
        _ask(trial, serve, pair, f"i{n}")
    done, own = "four ads, then a look at all keys", trial.cache.keys.match[:-1]
    for key in sorted(trial.all_keys()):
        if not key.startswith(own):
            return "foreign_key", done, "only keys made by cache.get_key", key
        if trial.redis.pttl(key) == -1:
            return "no_ttl", done, "each key with a TTL", f"{key} without"
    return None


def _own_clock(trial: Trial, serve: Any, pair: tuple[str, str]) -> Found:
    """One server's own clock is wrong by two hours: nothing must change."""
    for n in range(3):
        _ask(trial, serve, pair, f"i{n}")
    right_time = time.time
    time.time = lambda: right_time() - 2 * HOUR
    try:
        served = _ask(trial, serve, pair, "i9")
    finally:
        time.time = right_time
    if served:
        done = "three ads, then one from a server whose clock is 2 hours slow"
        return "client_clock", done, False, True
    return None


def _race(trial: Trial, serve: Any, pair: tuple[str, str]) -> Found:
    """Another server asks after the first, second, ... command of this one."""
    for position in range(1, 6):
        visitor = (f"{pair[0]}-{position}", pair[1])
        for n in range(2):
            _ask(trial, serve, visitor, f"i{n}")
        served = _two_servers(trial, serve, visitor, position)
        if sum(served) > 1:
            done = f"one place left; another server asks after command {position}"
            return "check_then_count", done, "1 served", f"{sum(served)} served"
    return None


def _two_servers(
    trial: Trial, serve: Any, pair: tuple[str, str], position: int
) -> list[bool]:
    """Ask once, and once more in between, after so many commands of the first."""
    client, send = trial.redis, trial.redis.execute_command
    served, sent = list[bool](), list[Any]()

    def between(*command: Any, **options: Any) -> Any:
        reply = send(*command, **options)
        sent.append(command)
        if len(sent) == position:
            served.append(_ask(trial, serve, pair, "theirs"))
        return reply

    client.execute_command = between
    try:
        served.append(_ask(trial, serve, pair, "ours"))
    finally:
        del client.execute_command
    return served


PROBES = (
    *(_hour, _own_clock, _reopens, _apart, _counted_once, _day, _both, _race),
    _keys,
)


def score(make: Make, serve: Any) -> str:
    """Measure trips and bytes over a day of page views, beside the package's own."""
    costs = []
    for function in (serve, reference):
        trial, trips, size = make(), 0, 0
        for n in range(VIEWS):
            with trace(trial.cache) as hop:
                _ask(trial, function, PAIRS[0], f"view-{n}")
            trips, size = trips + hop.trips, size + hop.bytes_out + hop.bytes_in
            trial.pass_time(DAY / VIEWS)
        costs.append((trips / VIEWS, size / VIEWS))
    (mine, bytes_mine), (best, bytes_best) = costs
    points = round(60 * best / mine + 40 * bytes_best / bytes_mine)
    return (
        f"Score {points}: {mine:.1f} trips and {bytes_mine:.0f} bytes a decision; the "
        f"package's own answer scores 100 with {best:.1f} and {bytes_best:.0f}."
    )


SERVE = Task(
    key="07.3",
    title="An order, served and measured",
    start="Write the body of `serve`: return True when the ad may be shown.",
    hints=(
        "Two caps, one decision: `check_frequency_cap` takes a list of `Cap`s and "
        "counts in all of them or in none.",
        "The impression id travels with the question: pass `impression_id`, and a "
        "retry is answered as the first call was.",
        "FrequencyCapManager(cache).check_frequency_cap(user_id, campaign_id, "
        "caps=[...], impression_id=impression_id) is the whole body. To score more "
        "than 100, write a script with a shorter question.",
    ),
    misconceptions={
        "hour_missing": (
            "the hourly cap does not hold",
            "At most 3 in 3600 seconds: windows are in seconds here, and a limit of 3 "
            "serves three.",
        ),
        "day_missing": (
            "the daily cap does not hold",
            "At most 10 in 86400 seconds, beside the 3 an hour: both must agree.",
        ),
        "window_renewed": (
            "the hour does not end an hour after its first ad",
            "A window that each ad renews, or that is longer than an hour, locks out a "
            "reader who keeps to the cap.",
        ),
        "users_share": (
            "all users share one count",
            "The key of a cap holds the user: what Ada saw must not stop Ben.",
        ),
        "campaigns_share": (
            "all campaigns share one count",
            "A cap belongs to a campaign: three ads for sneakers leave coffee alone.",
        ),
        "retry_counts": (
            "a retry counts twice",
            "The same impression id is the same ad. Without the id, a repeated "
            "question after a lost reply takes a second place.",
        ),
        "retry_refused": (
            "a retry hears another answer than the first call",
            "The ad was granted and counted. Its retry must hear yes again, even if "
            "the hour is full by now.",
        ),
        "not_all_or_nothing": (
            "a refused ad is counted by the other cap",
            "Two checks, one after the other, count in the first before the second "
            "refuses. Ask both at once: all or nothing.",
        ),
        "no_ttl": (
            "a key that never expires",
            "A record of a retry or a count that lives for ever fills the memory, "
            "user by user: give each key its TTL when it is written.",
        ),
        "foreign_key": (
            "a key outside of the namespace",
            "Other learners and other tenants use the same server: build each key "
            "with cache.get_key, which puts it into your namespace.",
        ),
        "client_clock": (
            "the window hangs on one server's own clock",
            "Of many ad servers one clock is always wrong, and it would open a window "
            "of its own. Take the time from cache.clock here, from Redis in earnest.",
        ),
        "check_then_count": (
            "two servers take the last place",
            "Between looking and counting another server looks, too. Looking and "
            "counting must be one script.",
        ),
    },
    judge=judge_serve,
)

"""Task 07.3: an order with two caps, served, counted once and measured."""

from typing import Any

from adcache import Cap, FrequencyCapManager
from adcache.course.exercise_07.serve_probes import (
    DAY,
    HOUR,
    PAIRS,
    PROBES,
    ask,
    refuse_stub,
)
from adcache.course.hop import trace
from adcache.course.task import Make, NotAttempted, Task, raise_found

VIEWS = 48  # page views of the measured day


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
    refuse_stub(make, thing)
    for seed, pair in enumerate(PAIRS):
        for probe in PROBES:
            trial = make()
            trial.clock.advance(seed * 1234.5)
            before = trial.keys()
            raise_found(probe(trial, thing, pair), before, trial)
    return score(make, thing)


def score(make: Make, serve: Any) -> str:
    """Measure trips and bytes over a day of page views, beside the package's own."""
    costs = []
    for function in (serve, reference):
        trial, trips, size = make(), 0, 0
        for n in range(VIEWS):
            with trace(trial.cache) as hop:
                ask(trial, function, PAIRS[0], f"view-{n}")
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
        "no_answer": (
            "serve gives no answer",
            "Without `return` a function gives None, and a script nil: that is taken "
            "for a refusal. Return what you found out.",
        ),
        "own_memory": (
            "the count lives in one server's memory",
            "A dict in Python is forgotten with its process, and the ad server next "
            "door has another one. What all servers must know belongs into Redis.",
        ),
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
            "a window does not end when it should",
            "A window that each ad renews, or that is longer than agreed, locks out a "
            "reader who keeps to the cap. The time is cache.clock: any other stands "
            "still while check lets hours pass.",
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

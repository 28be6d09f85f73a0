"""Frequency caps to look at: try ads at set times, and see which are served.

The counts are real ones, in Redis. Beside the three algorithms of
`FrequencyCapManager` stands ``clock_aligned``, the naive fixed window that
begins with every full hour or day: it lets twice its limit through in a burst.
"""

from collections.abc import Iterable, Sequence

import msgspec

from adcache.clock import ManualClock, Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue
from adcache.frequency import ALGORITHMS, Cap, CapDecision, FrequencyCapManager
from adcache.widgets.frequency_figures import timeline_figure

__all__ = [
    "CLOCK_ALIGNED",
    "Attempt",
    "aligned_window",
    "burst_times",
    "forget_aligned",
    "most_in_a_window",
    "serve",
    "serve_timeline",
    "timeline_figure",
    "window_end",
]
CLOCK_ALIGNED = "clock_aligned"
USER, CAMPAIGN = "user_1", "sneakers"


class Attempt(msgspec.Struct, frozen=True):
    """One ad that was tried `at` seconds from the start: served or refused.

    `retry_after` (seconds) is 0.0 when served, None when waiting never helps.
    """

    at: float
    served: bool
    remaining: int
    retry_after: float | None

    def __bool__(self) -> bool:
        return self.served


def serve_timeline(
    cache: RedisAdCache,
    clock: ManualClock,
    algorithm: str,
    limit: int,
    window: Seconds,
    times: Iterable[float],
    *,
    user_id: str = USER,
    campaign_id: str = CAMPAIGN,
) -> list[Attempt]:
    """Try one ad at each of `times` and say which were served.

    `times` are seconds from now on, ascending; the clock, which must be the
    cache's own, is moved there. Raises `InvalidValue` for a time that is past.
    """
    start, attempts = clock.now_ms(), []
    for at in times:
        clock.advance((start - clock.now_ms()) / 1000 + at)
        decision = serve(cache, algorithm, limit, window, user_id, campaign_id)
        wait = decision.retry_after
        attempts.append(Attempt(at, decision.allowed, decision.remaining, wait))
    return attempts


def serve(
    cache: RedisAdCache,
    algorithm: str,
    limit: int,
    window: Seconds,
    user_id: str = USER,
    campaign_id: str = CAMPAIGN,
    *,
    look: bool = False,
) -> CapDecision:
    """Try one ad now, by one of the manager's algorithms or by `clock_aligned`.

    With `look` nothing is counted: it says what an ad would be told.
    """
    if algorithm == CLOCK_ALIGNED:
        return aligned_window(cache, limit, window, user_id, campaign_id, look=look)
    manager = FrequencyCapManager(cache, algorithm)
    ask = manager.peek if look else manager.check_frequency_cap
    return ask(user_id, campaign_id, limit, window)


def aligned_window(
    cache: RedisAdCache,
    limit: int,
    window: Seconds,
    user_id: str = USER,
    campaign_id: str = CAMPAIGN,
    *,
    look: bool = False,
) -> CapDecision:
    """Count in the naive way: one counter for each full window of the clock.

    All windows of all users begin at the same moments, so `limit` ads just
    before such a moment and `limit` just after it are all served: 2 * limit
    at once. Needs a cache with a clock of its own.
    """
    if not isinstance(now_ms := cache.now_ms(), int):
        raise InvalidValue("aligned_window needs connect(clock=ManualClock())")
    window_ms = to_ms(Cap(limit, window).window)
    number, into_ms = divmod(now_ms, window_ms)
    key = _aligned_key(cache, window_ms, number, user_id, campaign_id)
    if look:
        count = int(cache.wire.execute("GET", key, safe=True) or 0) + 1
    else:  # the counter must outlive its window also when a clock stands still
        cache.wire.execute("SET", key, 0, "PX", window_ms + 600_000, "NX")
        count = cache.wire.execute("INCR", key)
    allowed, counted = count <= limit, min(limit, count - look)
    wait = 0.0 if allowed else (window_ms - into_ms) / 1000
    return CapDecision(allowed, counted, limit, window_ms / 1000, wait)


def forget_aligned(
    cache: RedisAdCache,
    window: Seconds,
    moments_ms: Iterable[int],
    user_id: str = USER,
    campaign_id: str = CAMPAIGN,
) -> None:
    """Remove the counters of `aligned_window` that stand for these moments."""
    window_ms = to_ms(window, "window")
    for number in sorted({moment // window_ms for moment in moments_ms}):
        key = _aligned_key(cache, window_ms, number, user_id, campaign_id)
        cache.wire.execute("UNLINK", key, safe=True)


def _aligned_key(
    cache: RedisAdCache, window_ms: int, number: int, user_id: str, campaign_id: str
) -> str:
    return cache.get_key(
        "lab:aligned:{{{user_id}}}:{campaign_id}:{window}",
        user_id=user_id,
        campaign_id=campaign_id,
        window=f"{window_ms}-{number}",
    )


def burst_times(
    algorithm: str,
    limit: int,
    window: float,
    now: float = 0.0,
    end: float | None = None,
) -> list[float]:
    """Times (seconds) of a burst around the end of a window, its worst place.

    `limit` tries just before the end and `limit` just after it. `end` is the
    end of a window that is open already. A window that opens with the first
    impression needs one early ad, at `now`, when none is open.
    """
    opening = [now] if end is None and algorithm != CLOCK_ALIGNED else []
    end = window_end(algorithm, window, now) if end is None else end
    step = window / max(30, 3 * limit)
    before = [max(now, end - step * k) for k in range(limit, 0, -1)]
    return opening + before + [end + step * k for k in range(limit)]


def window_end(algorithm: str, window: float, now: float = 0.0) -> float:
    """End (seconds) of the window that an ad at `now` would open or fall into."""
    if algorithm == CLOCK_ALIGNED:
        return (now // window + 1) * window
    if algorithm in ALGORITHMS:
        return now + window
    known = ", ".join([*ALGORITHMS, CLOCK_ALIGNED])
    raise InvalidValue(f"algorithm must be one of {known}, got {algorithm!r}")


def most_in_a_window(times: Sequence[float], window: float) -> int:
    """Return the most of `times` that fall into any one window's length.

    A window takes in its first moment but not its last, wherever it starts. It
    is enough to try those that start at one of the times. Times in seconds
    are compared by the millisecond.
    """
    moments = sorted(round(1000 * at) for at in times)
    return max(
        (
            sum(start <= at < start + round(1000 * window) for at in moments)
            for start in moments
        ),
        default=0,
    )

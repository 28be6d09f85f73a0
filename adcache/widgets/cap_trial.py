"""One visitor, one campaign, one cap, and a clock that moves when it is told."""

import secrets
from copy import copy

from adcache.clock import ManualClock
from adcache.connection import RedisAdCache
from adcache.widgets.frequency import (
    CAMPAIGN,
    CLOCK_ALIGNED,
    Attempt,
    burst_times,
    forget_aligned,
    most_in_a_window,
    serve,
    serve_timeline,
)
from adcache.widgets.frequency_figures import span

NAMES = {
    "fixed": "Fixed window, opened by the first ad",
    CLOCK_ALIGNED: "Fixed window of the clock (naive)",
    "sliding_log": "Sliding log (exact)",
    "sliding_counter": "Sliding counter (estimate)",
}


class CapTrial:
    """What the lab shows: `attempts` so far, and the time `now` (seconds).

    It counts in the Redis of `cache`, for a visitor of its own and by a clock
    of its own, so that a lesson's counts and clock stay as they are.
    """

    def __init__(
        self, cache: RedisAdCache, algorithm: str, limit: int, window: float
    ) -> None:
        self.clock = ManualClock()
        self.cache = copy(cache)  # the same connections, another clock
        self.cache.clock = self.clock
        self.algorithm, self.limit, self.window = algorithm, limit, window
        self.visitor = f"visitor-{secrets.token_hex(4)}"
        self.attempts: list[Attempt] = []
        self._start_ms = self.clock.now_ms()

    @property
    def now(self) -> float:
        """Seconds since the trial began."""
        return (self.clock.now_ms() - self._start_ms) / 1000

    def serve(self) -> Attempt:
        """Try one ad now."""
        return self._try([self.now])[0]

    def advance(self, seconds: float) -> None:
        """Move the clock on."""
        self.clock.advance(seconds)

    def burst(self) -> list[Attempt]:
        """Try many ads around the end of the window, where caps are weakest."""
        end = self._open_until()
        times = burst_times(self.algorithm, self.limit, self.window, self.now, end)
        return self._try(times)

    def most(self) -> int:
        """Most ads served within any one window's length."""
        return most_in_a_window([ad.at for ad in self.attempts if ad], self.window)

    def forget(self) -> None:
        """Remove this visitor's keys from Redis."""
        ids = {"user_id": self.visitor, "campaign_id": CAMPAIGN}
        for pattern in "frequency_cap", "frequency_log":
            key = self.cache.get_key(pattern, **ids)
            self.cache.wire.execute("UNLINK", key, safe=True)
        moments = [self._start_ms + round(1000 * ad.at) for ad in self.attempts]
        forget_aligned(self.cache, self.window, moments, self.visitor)

    def outcome(self) -> str:
        """Say what became of the last ad, and what the cap says now."""
        if not self.attempts or self.attempts[-1].served:
            return f"Served. {self.outlook()}"
        return f"Refused. {self.outlook()}"

    def outlook(self) -> str:
        """Ask the cap, without counting, what it would say to an ad now."""
        cap = (self.algorithm, self.limit, self.window, self.visitor)
        decision = serve(self.cache, *cap, look=True)
        if not decision and decision.retry_after:
            return (
                f"The limit of {self.limit} is reached: none left, the next ad in "
                f"{span(decision.retry_after)} (retry_after "
                f"{decision.retry_after:g} seconds)."
            )
        left = "1 ad is" if decision.remaining == 1 else f"{decision.remaining} ads are"
        return f"Now {left} left of {self.limit} in {span(self.window)}."

    def _try(self, times: list[float]) -> list[Attempt]:
        """Try ads at `times`, in seconds since the trial began."""
        began = self.now
        tried = serve_timeline(
            self.cache,
            self.clock,
            self.algorithm,
            self.limit,
            self.window,
            [at - began for at in times],
            user_id=self.visitor,
        )
        new = [
            Attempt(at, ad.served, ad.remaining, ad.retry_after)
            for at, ad in zip(times, tried, strict=True)
        ]
        self.attempts += new
        return new

    def _open_until(self) -> float | None:
        """End of the window that the served ads keep open; None when none is."""
        if self.algorithm == CLOCK_ALIGNED:
            return None
        end = 0.0
        for ad in self.attempts:
            if ad.served and ad.at >= end:
                end = ad.at + self.window
        return end if end > self.now else None


def span_of_limit(limit: int, window: float) -> str:
    """Say the cap in words."""
    return f"at most {limit} {'ads' if limit > 1 else 'ad'} in {span(window)}"


def burst_table(cache: RedisAdCache, limit: int = 3, window: float = 3600) -> str:
    """Run a burst through each algorithm; return the outcome as plain text."""
    wide = max(map(len, NAMES.values()))
    rows = [f"{'algorithm':<{wide}}  tried  served  most in {span(window)}"]
    for algorithm, name in NAMES.items():
        trial = CapTrial(cache, algorithm, limit, window)
        tried = trial.burst()
        trial.forget()
        served = sum(map(bool, tried))
        rows.append(f"{name:<{wide}}  {len(tried):5}  {served:6}  {trial.most():4}")
    return "\n".join(rows)

"""The server's clock, known without asking for it each time.

A copy says until when it is fresh, by the server's clock. A reader whose own
clock is wrong would take old for fresh or fresh for old. So the difference
between the server's clock and this machine's steady one, which no one can set,
is learnt from each script's reply; then knowing the time costs no trip.
"""

import time

from adcache.connection import RedisAdCache


class ServerTime:
    """Tells the server's time in ms since 1970, or a manual clock's.

    On a cluster the nodes' clocks are taken as equal.
    """

    def __init__(self, redis_cache: RedisAdCache) -> None:
        self._clock = redis_cache.clock
        self._ahead: float | None = None  # ms by which the server's is ahead

    def now_ms(self) -> float | None:
        """Return the time in ms; None before anything was learnt."""
        if self._clock is not None:
            return self._clock.now_ms()
        if self._ahead is None:
            return None
        return time.monotonic() * 1000 + self._ahead

    def learn(self, server_ms: int) -> None:
        """Take note of the time that a reply has just brought."""
        self._ahead = server_ms - time.monotonic() * 1000

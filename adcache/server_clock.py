"""The server's time, known here: asked once a minute, read without a trip.

A key that carries a date must be named before the script that writes it runs,
so the process itself has to know which day it is at the server; and a copy says
until when it is fresh by the server's clock. The process' own wall clock may be
wrong by days; how much time has passed since it asked, it knows.
"""

import time

from adcache.connection import RedisAdCache

ASK_AGAIN = 60.0  # seconds, in which two good clocks drift apart by less than 10 ms
JUMP = 0.5  # seconds: a wall clock that moved against the other was set, or slept


class ServerClock:
    """Tells the server's time in ms since 1970; a manual clock comes first.

    It is off by at most a round trip. The question takes a trip of its own, but
    not where scripts' replies bring the time anyway: see `learn`. On a cluster
    the nodes' clocks are taken as equal. Safe to share among threads and over a
    fork.
    """

    def __init__(self, redis_cache: RedisAdCache) -> None:
        self._cache = redis_cache
        self._known: tuple[float, float, float] | None = None

    def now_ms(self) -> int:
        """Return the time now; raises `RedisUnavailable` or `AccessDenied`."""
        if self._cache.clock is not None:
            return self._cache.clock.now_ms()
        ticks, wall = time.monotonic(), time.time()
        known = self._known
        if known is not None:
            server, asked, asked_wall = known
            passed = ticks - asked
            if passed < ASK_AGAIN and abs(wall - asked_wall - passed) < JUMP:
                return int((server + passed) * 1000)
        return self._ask()

    def learn(self, server_ms: int) -> None:
        """Take note of the time (ms since 1970) that a reply has just brought."""
        self._known = (server_ms / 1000, time.monotonic(), time.time())

    def _ask(self) -> int:
        before = time.monotonic()
        meter = self._cache.metrics.meter("clock")
        seconds, micros = self._cache.wire.execute("TIME", safe=True, meter=meter)
        after = time.monotonic()
        server = int(seconds) + int(micros) / 1_000_000
        self._known = (server, (before + after) / 2, time.time())
        return int(server * 1000)

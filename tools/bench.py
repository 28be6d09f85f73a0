"""Measure a frequency cap and a bid against bare EVALSHA, on a private server.

    make bench

Client and server share one core, and the rows take turns in random order, so
that the ratios hold on a busy machine; the microseconds are this machine's.
"Same script" is the component's own script, its arguments laid out beforehand,
called with redis-py's `evalsha`; "empty script" does nothing at all.
"""

import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import redis

from adcache import FrequencyCapManager, RealTimeBiddingCache, RedisAdCache, connect
from adcache.backends import LocalServer
from adcache.errors import AdCacheError

ROUNDS, CALLS = 60, 200
NAMES = [f"user_{n}" for n in range(CALLS)]
Call = Callable[[], Any]


def record(cache: RedisAdCache, call: Call) -> tuple[Any, ...]:
    """Return the EVALSHA arguments that a component's call sends."""
    sent: list[tuple[Any, ...]] = []
    cache.wire.observer = lambda pairs, _: sent.append(pairs[0][0])
    call()
    cache.wire.observer = None
    return next(command[1:] for command in reversed(sent) if command[0] == "EVALSHA")


def rows(cache: RedisAdCache, client: Any) -> dict[str, Call]:
    """Return what is measured: the components, and the same without them."""
    caps, auctions = FrequencyCapManager(cache), RealTimeBiddingCache(cache)
    for name in NAMES:
        auctions.create_auction(name, 0.5, ttl=3600)

    def cap(name: str) -> Any:
        return caps.check_frequency_cap(name, "sneakers", 1_000_000)

    def bid(name: str) -> Any:
        return auctions.submit_bid(name, "sneakers", 2.5)

    calls: dict[str, Call] = {}
    for label, call in (("cap", cap), ("bid", bid)):
        for name in NAMES:
            call(name)  # the server knows the script, the key exists
        ready = [record(cache, partial(call, name)) for name in NAMES]
        calls[label] = _each(call, NAMES)
        calls[f"{label}: same script"] = _each(
            lambda args: client.evalsha(*args), ready
        )
    empty = client.script_load("return 1")
    calls["empty script"] = lambda: client.evalsha(empty, 1, "key", "argument")
    return calls


def _each(call: Callable[[Any], Any], values: list[Any]) -> Call:
    following = cycle(values).__next__
    return lambda: call(following())


def measure(calls: dict[str, Call]) -> dict[str, float]:
    """Return the median microseconds of each row, the rows taking turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name in random.sample(list(calls), len(calls)):
            call, started = calls[name], time.perf_counter()
            for _ in range(CALLS):
                call()
            times[name].append((time.perf_counter() - started) / CALLS * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> int:
    """Print the table; the exit code does not depend on the numbers."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    try:
        with LocalServer() as server:
            bare = redis.Redis.from_url(server.url, decode_responses=True)
            version = bare.info("server")["redis_version"]
            medians = measure(rows(connect(server.url), bare))
    except AdCacheError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"redis_version {version}, {ROUNDS} rounds of {CALLS} calls, medians")
    for name, micros in medians.items():
        print(f"{name:18} {micros:7.1f} us")
    for label in ("cap", "bid"):
        same, empty = medians[f"{label}: same script"], medians["empty script"]
        ratios = medians[label] / same, medians[label] / empty
        print(f"{label} / same script {ratios[0]:.2f}, / empty script {ratios[1]:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

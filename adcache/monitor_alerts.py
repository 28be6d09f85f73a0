"""What is worth waking somebody for: alerts as data, from two samples.

Counters since the start of a server hide what happens now: after a good year a
hit rate of 99 % stays at 99 % through an hour in which nothing is found. So
counters are compared with the sample before.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

Stats = Mapping[str, Any]  # as CacheMonitor.get_cache_stats returns it


class Thresholds(msgspec.Struct, frozen=True):
    """From where a figure is an alert; None switches one off.

    `hit_rate` (0 to 1) is judged when at least `lookups` were made since the
    last sample. `latency_us` is the median PING in microseconds,
    `memory_share` used memory / maxmemory. `evictions` and `errors` count since
    the last sample, `keys_without_ttl` those found in a bounded scan; each
    alerts above its number.
    """

    hit_rate: float | None = 0.5
    lookups: int = 100
    latency_us: float | None = 10_000
    memory_share: float | None = 0.9
    evictions: int | None = 0
    errors: int | None = 0
    keys_without_ttl: int | None = 0


class Alert(msgspec.Struct, frozen=True):
    """One figure beyond its threshold, and what to do about it.

    `where` is ``server`` or the component (``profiles``) that it is about.
    """

    name: str
    value: float
    threshold: float
    cure: str
    where: str = "server"


CURES = {
    "no_answer": "is the server running, and reachable? see the sample's error",
    "hit_rate": "look for short TTLs, evictions, a restart, or keys nobody writes",
    "latency_us": "see slow_log(); look for KEYS, long scripts, swapping, a full CPU",
    "memory_share": "see memory_by_prefix(); shorten TTLs, or raise maxmemory",
    "evictions": "memory is full and keys go before their time: raise maxmemory, "
    "and keep caps and budgets on a server with noeviction",
    "errors": "calls failed: time-outs, a full memory or missing rights; see the log",
    "keys_without_ttl": "see keys_without_ttl(); repair_ttls() gives each one",
}


def alerts_of(
    stats: Stats | None,
    before: Stats | None,
    latency_us: float | None,
    immortal: int | None,
    thresholds: Thresholds,
) -> tuple[Alert, ...]:
    """Return the alerts of a sample; `stats` is None when Redis did not answer.

    `before` is the last sample that had an answer, `immortal` the number of
    keys without a TTL. Figures that a backend does not give raise no alert.
    """
    if stats is None:
        return (Alert("no_answer", 1, 0, CURES["no_answer"]),)
    old = before or {}
    found = [
        *_too_high("latency_us", latency_us, thresholds.latency_us),
        *_too_high("memory_share", stats.get("memory_share"), thresholds.memory_share),
        *_too_high(
            "evictions", _grown(stats, old, "evicted_keys"), thresholds.evictions
        ),
        *_too_high("keys_without_ttl", immortal, thresholds.keys_without_ttl),
        *_low_hit_rate(
            _grown(stats, old, "keyspace_hits"),
            _grown(stats, old, "keyspace_misses"),
            thresholds,
            "server",
        ),
    ]
    for name, now in stats.get("components", {}).items():
        if name == "monitor":
            continue  # its own errors are questions that a backend does not know
        then = old.get("components", {}).get(name, {})
        hits, misses = _grown(now, then, "hits"), _grown(now, then, "misses")
        found += _low_hit_rate(hits, misses, thresholds, name)
        failed = _grown(now, then, "errors")
        found += _too_high("errors", failed, thresholds.errors, name)
    return tuple(found)


def _grown(now: Stats, before: Stats, name: str) -> int | None:
    """How much a counter grew; after a restart of the server it began at 0."""
    value, old = now.get(name), before.get(name) or 0
    if value is None:
        return None
    return int(value - old) if value >= old else int(value)


def _too_high(
    name: str, value: float | None, limit: float | None, where: str = "server"
) -> Iterator[Alert]:
    if value is not None and limit is not None and value > limit:
        yield Alert(name, value, limit, CURES[name], where)


def _low_hit_rate(
    hits: int | None, misses: int | None, thresholds: Thresholds, where: str
) -> Iterator[Alert]:
    limit = thresholds.hit_rate
    if hits is None or misses is None or limit is None:
        return
    looked_up = hits + misses
    if looked_up and looked_up >= thresholds.lookups and hits / looked_up < limit:
        yield Alert("hit_rate", hits / looked_up, limit, CURES["hit_rate"], where)

"""Watching the cache: how it does, and what is about to go wrong.

The server tells what all its clients did; the meters of `metrics.py` tell what
this process saw, per component. A sample holds both, with the alerts that
follow from it and the sample before.
"""

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from adcache import monitor_keys, monitor_server
from adcache.clock import Seconds, from_epoch_ms, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.monitor_alerts import Alert, Thresholds, alerts_of
from adcache.monitor_keys import HotKeys, KeyReport, MemoryReport
from adcache.monitor_sampler import Sampler
from adcache.monitor_server import Latency, SlowCall

MAX_KEYS = 1_000_000
PINGS, SCANNED = 3, 1000  # of each sample


class Sample(msgspec.Struct, frozen=True):
    """One look at the cache; `error` says why `stats` is None, or "".

    `stats` is what `get_cache_stats` returns, `latency_us` the median of three
    PINGs (microseconds), `keys_without_ttl` what a scan of 1000 keys found.
    """

    at: datetime
    stats: dict[str, Any] | None = None
    latency_us: float | None = None
    keys_without_ttl: int | None = None
    alerts: tuple[Alert, ...] = ()
    error: str = ""


class CacheMonitor:
    """Figures of the server and of each component, now or sampled in the background.

    `on_alert` is called with each `Alert` that was not there in the sample
    before, by the sampling thread. The last `keep` samples are kept.

    Raises `InvalidValue` for a number or time that cannot be, and
    `RedisUnavailable` when the server that is asked does not answer.

    >>> from adcache import connect
    >>> with CacheMonitor(connect("fakeredis://")) as monitor:
    ...     monitor.get_cache_stats()["used_memory"]  # the fake cannot tell: None
    """

    def __init__(
        self,
        redis_cache: RedisAdCache,
        *,
        thresholds: Thresholds | None = None,
        on_alert: Callable[[Alert], object] | None = None,
        keep: int = 1000,
    ) -> None:
        self.cache = redis_cache
        self.thresholds = thresholds or Thresholds()
        self.on_alert = on_alert
        self._samples: deque[Sample] = deque(maxlen=_count(keep, "keep"))
        self._sampler = Sampler(self._sample)

    def start_monitoring(self, interval: Seconds = 60) -> bool:
        """Take a sample now and every `interval` seconds, in a thread.

        False when that thread runs already. It survives a server that is gone
        (its samples say so), not a fork: there, start again.
        """
        return self._sampler.start(to_ms(interval, "interval") / 1000)

    def stop_monitoring(self) -> bool:
        """Stop within 50 ms; True when the thread has ended.

        False when it still waits for a server that hangs: it ends with that
        call and leaves no sample behind.
        """
        return self._sampler.stop()

    @property
    def monitoring(self) -> bool:
        """Does the sampling thread run?"""
        return self._sampler.running

    @property
    def samples(self) -> list[Sample]:
        """The samples kept, oldest first."""
        return list(self._samples)

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """The alerts of the last sample."""
        return self._samples[-1].alerts if self._samples else ()

    def take_sample(self) -> Sample:
        """Take one sample now, as the thread does; it never raises."""
        return self._sample(threading.Event())

    def get_cache_stats(self) -> dict[str, Any]:
        """Return the server's figures and, under "components", each one's own.

        Of the server, and so of all its clients: connected_clients, used_memory
        (bytes), used_memory_human, keyspace_hits, keyspace_misses, hit_rate (0
        to 1), expired_keys, evicted_keys, total_commands_processed, maxmemory
        (bytes, 0 for no limit), memory_share, maxmemory_policy, keys,
        primaries. What the backend does not tell is None, and "unavailable"
        says why; "sums" names what is a sum over a cluster's primaries.

        Of a component, in this process: calls, hits, misses, errors, hit_rate,
        and p50_us, p95_us, p99_us: microseconds of its last 1024 calls.
        """
        stats = monitor_server.server_stats(self.cache)
        stats["components"] = self.component_stats()
        return stats

    def component_stats(self) -> dict[str, dict[str, float | None]]:
        """Return the figures of each component that did something; needs no server."""
        figures = {
            name: monitor_server.component_stats(meter)
            for name, meter in self.cache.metrics.all().items()
        }
        counters = ("calls", "hits", "misses", "errors")
        return {
            name: each
            for name, each in figures.items()
            if any(each[counter] for counter in counters)
        }

    def latency(self, count: int = 100) -> Latency:
        """Time `count` PINGs, to each primary of a cluster; microseconds."""
        return monitor_server.latency(self.cache, _count(count, "count"))

    def slow_log(self, count: int = 10) -> list[SlowCall] | None:
        """Return the server's slow calls, slowest first; None if it has no log.

        It is the whole server's log, of the last `count` calls above its
        ``slowlog-log-slower-than``.
        """
        return monitor_server.slow_log(self.cache, _count(count, "count"))

    def memory_by_prefix(self, limit: int = 1000) -> MemoryReport:
        """Estimate the memory of each key pattern, from up to `limit` keys."""
        return monitor_keys.memory_by_prefix(self.cache, _count(limit, "limit"))

    def hot_keys(self, limit: int = 1000, top: int = 10) -> HotKeys:
        """Return the most used of up to `limit` keys, if the server counts uses."""
        return monitor_keys.hot_keys(
            self.cache, _count(limit, "limit"), _count(top, "top")
        )

    def keys_without_ttl(self, limit: int = 10_000) -> KeyReport:
        """Find keys of the namespace that would live for ever.

        Those that `keys.py` marks durable may; other namespaces are not looked
        at. `limit` bounds the scan; the report says whether it saw all.
        """
        return monitor_keys.keys_without_ttl(self.cache, _count(limit, "limit"))

    def repair_ttls(self, ttl: Seconds = 86400, limit: int = 10_000) -> KeyReport:
        """Give each such key `ttl` seconds to live; report those that got it.

        A TTL that somebody sets in the meantime stays (PEXPIRE NX).
        """
        return monitor_keys.repair_ttls(self.cache, ttl, _count(limit, "limit"))

    def clear_expired_keys(self) -> KeyReport:
        """Give keys without a TTL a day to live, as `repair_ttls` does.

        Expired keys need no clearing, Redis removes them by itself; what never
        goes are keys that somebody forgot to give a TTL.
        """
        return self.repair_ttls()

    def __enter__(self) -> "CacheMonitor":
        self.start_monitoring()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_monitoring()

    def _sample(self, stopped: threading.Event) -> Sample:
        stats = latency_us = immortal = None
        error = ""
        try:
            stats = self.get_cache_stats()
            refused = stats["unavailable"]
            ask = monitor_server.if_allowed
            latency_us, why = ask(self.cache, lambda: self.latency(PINGS).p50_us)
            refused |= {"PING": why} if why else {}
            if self.thresholds.keys_without_ttl is not None:
                found, why = ask(self.cache, lambda: self.keys_without_ttl(SCANNED))
                immortal = len(found.keys) if found else None
                refused |= {"SCAN": why} if why else {}
        except Exception as problem:  # whatever it is, the next sample comes
            stats, error = None, f"{type(problem).__name__}: {problem}"
        before = next((s.stats for s in reversed(self.samples) if s.stats), None)
        alerts = alerts_of(stats, before, latency_us, immortal, self.thresholds)
        if not stopped.is_set():
            error = error or self._tell(alerts)
        sample = Sample(self._now(), stats, latency_us, immortal, alerts, error)
        if not stopped.is_set():
            self._samples.append(sample)
        return sample

    def _tell(self, alerts: tuple[Alert, ...]) -> str:
        """Call `on_alert` for what is new; returns what it raised."""
        known = {(alert.name, alert.where) for alert in self.alerts}
        for alert in alerts:
            if self.on_alert and (alert.name, alert.where) not in known:
                try:
                    self.on_alert(alert)
                except Exception as problem:
                    return f"on_alert raised {type(problem).__name__}: {problem}"
        return ""

    def _now(self) -> datetime:
        clock = self.cache.clock
        return from_epoch_ms(clock.now_ms()) if clock else datetime.now(UTC)


def _count(value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValue(f"{name} must be a whole number, got {shown(value)}")
    if not 1 <= value <= MAX_KEYS:
        raise InvalidValue(f"{name} must be 1 to {MAX_KEYS:,}, got {shown(value)}")
    return value

"""What a server says about itself; None for what it does not say.

The embedded fake has no INFO, SLOWLOG or MEMORY, and a Redis user may not be
allowed to ask. A zero would be a lie then: the figure is None, and the reason
stands beside it. On a cluster every primary is asked.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec
from redis.cluster import RedisCluster

from adcache.connection import RedisAdCache
from adcache.errors import AccessDenied, CommandRefused
from adcache.metrics import Meter

# On a cluster these are sums over its primaries.
SUMS = (
    "connected_clients",
    "used_memory",
    "keyspace_hits",
    "keyspace_misses",
    "expired_keys",
    "evicted_keys",
    "total_commands_processed",
)


class Node(NamedTuple):
    """One primary: its name, and the option that sends redis-py's call there."""

    name: str
    options: dict[str, Any]


class SlowCall(msgspec.Struct, frozen=True):
    """An entry of the server's slow log; `took_us` is without the network."""

    at: datetime
    took_us: int
    command: str
    node: str


class Latency(msgspec.Struct, frozen=True):
    """Round trips of PING as this process saw them, in microseconds."""

    count: int
    p50_us: float
    p95_us: float
    p99_us: float
    max_us: float


def primaries(cache: RedisAdCache) -> list[Node]:
    """Return whom to ask: the one server, or each primary of a cluster."""
    client = cache.redis_client
    if not isinstance(client, RedisCluster):
        return [Node("server", {})]
    return [
        Node(f"{node.host}:{node.port}", {"target_nodes": node})
        for node in client.get_primaries()
    ]


def if_allowed(cache: RedisAdCache, call: Callable[[], Any]) -> tuple[Any, str]:
    """Return the call's answer and "", or None and why Redis did not give one.

    Raises `RedisUnavailable`: no reply is not the same as "I do not know that".
    """
    try:
        with cache.get_client():
            return call(), ""
    except (AccessDenied, CommandRefused) as refused:
        return None, str(refused)


def server_stats(cache: RedisAdCache) -> dict[str, Any]:
    """Return the figures of INFO and DBSIZE; what is missing is None.

    `sums` names those that are sums over several primaries, `unavailable` the
    commands that were refused, with the reason.
    """
    client, nodes = cache.redis_client, primaries(cache)
    infos, no_info = if_allowed(
        cache, lambda: [client.info(**n.options) for n in nodes]
    )
    sizes, no_size = if_allowed(
        cache, lambda: [client.dbsize(**n.options) for n in nodes]
    )
    stats: dict[str, Any] = {name: _sum(infos, name) for name in SUMS}
    stats |= {
        "used_memory_human": _human(stats["used_memory"]),
        "hit_rate": _rate(stats["keyspace_hits"], stats["keyspace_misses"]),
        "maxmemory": _sum(infos, "maxmemory"),
        "memory_share": _memory_share(infos),
        "maxmemory_policy": infos and infos[0].get("maxmemory_policy"),
        "keys": None if sizes is None else sum(sizes),
        "primaries": len(nodes),
        "sums": (*SUMS, "maxmemory", "keys") if len(nodes) > 1 else (),
        "unavailable": {
            command: why
            for command, why in (("INFO", no_info), ("DBSIZE", no_size))
            if why
        },
    }
    return stats


def component_stats(meter: Meter) -> dict[str, float | None]:
    """Return the figures of one component, as this process counted them."""
    quantiles = {"p50_us": 0.5, "p95_us": 0.95, "p99_us": 0.99}
    figures: dict[str, float | None] = {
        "calls": meter.calls,
        "hits": meter.hits,
        "misses": meter.misses,
        "errors": meter.errors,
        "hit_rate": meter.hit_rate,
    }
    for name, share in quantiles.items():
        seconds = meter.percentile(share)
        figures[name] = None if seconds is None else round(seconds * 1e6, 1)
    return figures


def latency(cache: RedisAdCache, count: int) -> Latency:
    """Send `count` PINGs to each primary, one after the other, and time them."""
    client, wire = cache.redis_client, cache.wire
    own = cache.metrics.meter("monitor")
    pings = Meter()
    for node in primaries(cache):
        for _ in range(count):
            started = time.perf_counter()
            if node.options:
                with cache.get_client():
                    client.ping(**node.options)
            else:
                wire.execute("PING", safe=True, meter=own)
            pings.took(time.perf_counter() - started)
    shares = [pings.percentile(share) or 0.0 for share in (0.5, 0.95, 0.99, 1.0)]
    return Latency(pings.calls, *(round(share * 1e6, 1) for share in shares))


def slow_log(cache: RedisAdCache, count: int) -> list[SlowCall] | None:
    """Return the newest entries of each primary's slow log, the slowest first."""
    client, found = cache.redis_client, []
    for node in primaries(cache):
        ask = partial(client.slowlog_get, count, **node.options)
        entries, why = if_allowed(cache, ask)
        if why:
            return None
        found += [
            SlowCall(
                datetime.fromtimestamp(entry["start_time"], UTC),
                entry["duration"],
                _without_namespace(cache, entry["command"]),
                node.name,
            )
            for entry in entries
        ]
    return sorted(found, key=lambda call: -call.took_us)[:count]


def _without_namespace(cache: RedisAdCache, command: Any) -> str:
    """A command on one short line, without the namespace, which is never shown."""
    text = command.decode(errors="replace") if isinstance(command, bytes) else command
    words = [cache.keys.strip(word) for word in str(text).split(" ")]
    line = " ".join(words)
    return line if len(line) <= 120 else line[:117] + "..."


def _sum(infos: list[dict[str, Any]] | None, name: str) -> int | None:
    if not infos or any(name not in info for info in infos):
        return None
    return sum(int(info[name]) for info in infos)


def _rate(hits: int | None, misses: int | None) -> float | None:
    if hits is None or misses is None or not hits + misses:
        return None
    return hits / (hits + misses)


def _memory_share(infos: list[dict[str, Any]] | None) -> float | None:
    """Of the fullest primary; None where no maxmemory is set."""
    shares = [
        info["used_memory"] / info["maxmemory"]
        for info in infos or ()
        if info.get("maxmemory")
    ]
    return max(shares, default=None)


def _human(size: int | None) -> str | None:
    """Bytes as Redis writes them for people, such as 1.05M."""
    if size is None:
        return None
    value, unit = float(size), "B"
    for larger in "KMGT":
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{size}B" if unit == "B" else f"{value:.2f}{unit}"

"""The figures in Prometheus' text format, for whoever scrapes them.

Needs the `prometheus-client` library: ``pip install adcache[prometheus]``.
"""

from collections.abc import Iterator
from typing import Any

from adcache.errors import LibraryMissing, RedisUnavailable
from adcache.monitor import CacheMonitor

# Names end in _total where a figure only grows, as Prometheus wants it.
SERVER_GAUGES = {
    "connected_clients": "Clients connected to the server",
    "used_memory": "Memory used by the server, bytes",
    "maxmemory": "Memory the server may use, bytes; 0 for no limit",
    "memory_share": "Used memory / maxmemory of the fullest primary",
    "hit_rate": "Look-ups that found a key, 0 to 1, since the server started",
    "keys": "Keys of the database, of all namespaces",
    "primaries": "Primaries that were asked",
}
SERVER_COUNTERS = {
    "keyspace_hits": "Look-ups that found a key",
    "keyspace_misses": "Look-ups that found none",
    "expired_keys": "Keys that reached their TTL",
    "evicted_keys": "Keys removed because memory was full",
    "total_commands_processed": "Commands of all clients",
}
COMPONENT_COUNTERS = {
    "calls": "Calls that were answered",
    "hits": "Look-ups of a component that found something",
    "misses": "Look-ups of a component that found nothing",
    "errors": "Calls that ended in an error",
}
QUANTILES = {"p50_us": "0.5", "p95_us": "0.95", "p99_us": "0.99"}


def prometheus_text(monitor: CacheMonitor) -> str:
    """Return all figures of `CacheMonitor.get_cache_stats` for a scraper.

    What a backend cannot tell (None) is left out. When Redis does not answer,
    ``adcache_server_up`` is 0 and the components' figures are there all the
    same. Raises `LibraryMissing` without the prometheus-client library.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError as missing:
        raise LibraryMissing(
            "prometheus-client is not installed; 'pip install adcache[prometheus]' "
            "brings it"
        ) from missing

    class Figures:
        """What the library asks for its figures when it writes them."""

        def collect(self) -> Iterator[Any]:
            try:
                server, up = monitor.get_cache_stats(), 1
            except RedisUnavailable:
                server, up = {}, 0
            yield from _server_figures(server, up)
            yield from _component_figures(monitor.component_stats())

    registry = CollectorRegistry()
    registry.register(Figures())
    return generate_latest(registry).decode()


def _server_figures(stats: dict[str, Any], up: int) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield GaugeMetricFamily("adcache_server_up", "Redis answered: 1, or not: 0", up)
    for name, text in SERVER_GAUGES.items():
        if stats.get(name) is not None:
            yield GaugeMetricFamily(f"adcache_server_{name}", text, stats[name])
    for name, text in SERVER_COUNTERS.items():
        if stats.get(name) is not None:
            short = name.removeprefix("total_")
            yield CounterMetricFamily(f"adcache_server_{short}", text, stats[name])


def _component_figures(
    components: dict[str, dict[str, float | None]],
) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for name, text in COMPONENT_COUNTERS.items():
        counter = CounterMetricFamily(f"adcache_{name}", text, labels=["component"])
        for component, figures in components.items():
            counter.add_metric([component], figures[name] or 0)
        yield counter
    rate = GaugeMetricFamily(
        "adcache_hit_rate", "Hits per look-up, 0 to 1", labels=["component"]
    )
    times = GaugeMetricFamily(
        "adcache_call_seconds",
        "Quantiles of the last 1024 calls",
        labels=["component", "quantile"],
    )
    for component, figures in components.items():
        if figures["hit_rate"] is not None:
            rate.add_metric([component], figures["hit_rate"])
        for name, quantile in QUANTILES.items():
            micros = figures[name]
            if micros is not None:
                times.add_metric([component, quantile], micros / 1e6)
    yield from (rate, times)

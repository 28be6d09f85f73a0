"""The way to Redis: one object that every cache component is built from.

`connect` picks the server: the URL given, else the environment variable
``ADCACHE_URL``, else a fake inside this process that needs no server at all.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import redis
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException

from adcache.clock import Clock, Seconds, to_ms
from adcache.errors import InvalidValue, RedisUnavailable
from adcache.idle_connections import NO_RETRY
from adcache.keys import KeySpace, encode_id
from adcache.lua import load_scripts
from adcache.wire import Wire

SCHEMES = ("fakeredis", "redis", "rediss", "unix", "redis+cluster")


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """How to talk to Redis. Times are seconds (int, float or timedelta).

    `retry_on_timeout` repeats only what is safe to repeat, once: reads, and
    writes with an operation id. `namespace` keeps learners or tenants apart.
    Raises `InvalidValue` for a time, number or name that cannot work.
    """

    default_ttl: Seconds = 3600
    max_connections: int = 100
    decode_responses: bool = True
    retry_on_timeout: bool = False
    namespace: str = field(default="adcache", repr=False)
    socket_timeout: Seconds = 1.0
    socket_connect_timeout: Seconds = 0.5

    def __post_init__(self) -> None:
        for name in ("default_ttl", "socket_timeout", "socket_connect_timeout"):
            to_ms(getattr(self, name), name)
        count = self.max_connections
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InvalidValue(f"max_connections must be an int >= 1, got {count!r}")
        encode_id(self.namespace, "namespace")

    def client_options(self) -> dict[str, Any]:
        """Options for redis-py: short time-outs, and no retry behind our back."""
        return {
            "decode_responses": self.decode_responses,
            "max_connections": self.max_connections,
            "socket_timeout": to_ms(self.socket_timeout) / 1000,
            "socket_connect_timeout": to_ms(self.socket_connect_timeout) / 1000,
            "retry": NO_RETRY,
            "protocol": 2,
        }


class RedisAdCache:
    """Client, keys, scripts and clock, shared by all components.

    It opens no connection before the first command. One object serves all
    threads of a process and survives a fork. Raises `InvalidValue` for a client
    or configuration that cannot work.

    >>> cache = RedisAdCache.from_url("fakeredis://")
    >>> cache.get_key("user_session", session_id="s1")
    'adcache:session:{s1}'
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        password: str | None = None,
        config: CacheConfig | None = None,
        *,
        client: Any = None,
        clock: Clock | None = None,
    ) -> None:
        self.config = config or CacheConfig()
        if client is None:
            options = self.config.client_options()
            client = redis.Redis(host, port, db, password, **options)
        _refuse_unfit(client)
        self.redis_client = client
        self.pool = getattr(client, "connection_pool", None)
        self.clock = clock
        self.keys = KeySpace(self.config.namespace)
        self.key_patterns = self.keys.patterns
        self.wire = Wire(
            client,
            to_ms(self.config.socket_timeout) / 1000,
            self.config.max_connections,
            self.config.retry_on_timeout,
        )
        self.metrics = self.wire.metrics
        self.lua_scripts = load_scripts(self.wire)

    @classmethod
    def from_url(
        cls,
        url: str,
        config: CacheConfig | None = None,
        *,
        clock: Clock | None = None,
    ) -> "RedisAdCache":
        """Build a cache for a URL; see `connect` for the schemes.

        Raises `InvalidValue` for another scheme (the URL itself is not shown:
        it may hold a password) and `RedisUnavailable` when no node of a
        cluster answers.
        """
        config = config or CacheConfig()
        return cls(config=config, client=_client_for(url, config), clock=clock)

    @contextmanager
    def get_client(self) -> Iterator[Any]:
        """Lend the redis-py client; its errors come out as `AdCacheError`."""
        try:
            yield self.redis_client
        except (redis.RedisError, RedisClusterException) as error:
            raise self.wire.translate(error) from error

    def get_key(self, pattern: str, **ids: str) -> str:
        """Build the key of a named pattern (see `keys.py`) from its ids.

        Raises `UnknownKey` for a wrong name or wrong ids, and `InvalidValue` for
        an id that is empty or not text.
        """
        return self.keys.key(pattern, **ids)

    def now_ms(self) -> int | str:
        """Time for scripts: the manual clock's, or '' to ask the server."""
        return "" if self.clock is None else self.clock.now_ms()

    def close(self) -> None:
        """Close idle connections; the next call would open new ones."""
        self.wire.close()
        self.redis_client.close()

    def __repr__(self) -> str:
        return f"<RedisAdCache {type(self.redis_client).__name__}>"


def connect(
    url: str | None = None,
    *,
    namespace: str | None = None,
    clock: Clock | None = None,
    config: CacheConfig | None = None,
) -> RedisAdCache:
    """Connect to the server of `url`, of ``ADCACHE_URL``, or to the embedded fake.

    URLs: ``fakeredis://`` (embedded), ``redis://host:port/db``, ``rediss://``
    (TLS), ``unix:///path``, ``redis+cluster://host:port,host:port``. The namespace
    comes from the argument, else ``ADCACHE_NAMESPACE``, else the config. Raises
    `InvalidValue` for another scheme or a namespace that cannot be, and for a
    cluster of which no node answers `RedisUnavailable`.

    >>> cache = connect("fakeredis://")
    """
    if namespace is None:
        namespace = os.environ.get("ADCACHE_NAMESPACE") or None
    options = dict(vars(config)) if config else {}
    if namespace is not None:
        options["namespace"] = namespace
    url = url or os.environ.get("ADCACHE_URL") or "fakeredis://"
    return RedisAdCache.from_url(url, CacheConfig(**options), clock=clock)


def _client_for(url: str, config: CacheConfig) -> Any:
    scheme = url.partition("://")[0] if isinstance(url, str) and "://" in url else ""
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise InvalidValue(f"cannot connect: a URL starts with one of {known}")
    if _is_malformed(url):
        raise InvalidValue(
            "cannot connect: the URL is malformed (it is not shown, it may hold a "
            "password). Write scheme://user:password@host:port/db, and in the "
            "password %2F for /, %3F for ?, %23 for # and %40 for @"
        )
    options = config.client_options()
    if scheme == "fakeredis":
        from adcache.backends import embedded_client  # only when it is wanted

        return embedded_client(url, config.decode_responses)
    if scheme == "redis+cluster":
        return _cluster_client(url, options)
    return redis.Redis.from_url(url, **options)


def _is_malformed(url: str) -> bool:
    """Say whether a part of the URL cannot be what stands in its place."""
    try:
        parts = urlsplit(url)
        for host in _hosts(url):
            _ = host.port  # raises when it is no number
    except ValueError:
        return True
    if parts.scheme == "unix":
        return False
    database = parts.path.strip("/")
    wrong_database = bool(database) and not database.isdecimal()
    return wrong_database or "@" in parts.query + parts.fragment


def _hosts(url: str) -> list[SplitResult]:
    """The hosts of a URL: a cluster's may name several, separated by commas."""
    return [
        urlsplit(f"//{host}")
        for host in urlsplit(url).netloc.rpartition("@")[2].split(",")
    ]


def _cluster_client(url: str, options: dict[str, Any]) -> RedisCluster:
    """Of the nodes that the URL names, one that answers is enough."""
    nodes = [
        ClusterNode(host.hostname or "localhost", host.port or 6379)
        for host in _hosts(url)
    ]
    parts = urlsplit(url)
    options["username"] = unquote(parts.username) if parts.username else None
    options["password"] = unquote(parts.password) if parts.password else None
    try:
        return RedisCluster(startup_nodes=nodes, **options)
    except (redis.RedisError, RedisClusterException, OSError) as error:
        where = ", ".join(f"{node.host}:{node.port}" for node in nodes)
        raise RedisUnavailable(
            f"no Redis Cluster at {where} ({error}); 'make lab-server' starts a "
            "single server, adcache.backends.LocalCluster a cluster"
        ) from error


def _refuse_unfit(client: Any) -> None:
    """A client must be synchronous, and must not repeat commands by itself."""
    if not isinstance(client, redis.Redis | RedisCluster):
        raise InvalidValue(
            f"client must be a redis.Redis or RedisCluster, got a "
            f"{type(client).__name__}; for a URL there is RedisAdCache.from_url"
        )
    if isinstance(client, RedisCluster) and client.retry.get_retries():
        raise InvalidValue(
            f"this RedisCluster repeats a command up to {client.retry.get_retries()} "
            "times, so an impression may count twice: make it with "
            "retry=Retry(NoBackoff(), 0), or use connect('redis+cluster://...')"
        )

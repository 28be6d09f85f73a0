"""Read-through by each contender: a function that gives a record, loading it once.

`jobs_read_through` times its hits; `stampede` counts the loads of a crowd. What
each library offers against a stampede is switched on.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from adcache import connect
from adcache.course.naive import Naive
from adcache.stampede import ReadThrough
from tools.bench.peers import module
from tools.bench.replay import bare, plain

TTL = 36_000  # seconds: no record ends while we measure
Load = Callable[[str], Any]
Get = Callable[[str], Any]
AsyncGet = Callable[[str], Awaitable[Any]]


def adcache(url: str, load: Load) -> Get:
    """Return ours: one lease among all processes."""
    return ReadThrough(connect(url), "bench", load, ttl=TTL).get


def naive(url: str, load: Load) -> Get:
    """Return the naive one: who misses loads."""
    design = Naive(plain(url))
    return lambda key: design.read_through(key, load, TTL)


def redis_py(url: str, load: Load) -> Get:
    """Return what redis-py alone gives: GET, decode, else load and SET."""
    client, decode, encode = bare(url), msgspec.json.decode, msgspec.json.encode

    def get(key: str) -> Any:
        text = client.get(f"bare:{key}")
        if text is not None:
            return decode(text)
        record = load(key)
        client.set(f"bare:{key}", encode(record), ex=TTL)
        return record

    return get


def dogpile(url: str, load: Load) -> Get:
    """Return dogpile.cache with its distributed lock, in JSON."""
    package = module("dogpile.cache")
    region = package.make_region(
        serializer=lambda value: json.dumps(value).encode(), deserializer=json.loads
    )
    arguments = {
        "url": url,
        "redis_expiration_time": TTL + 60,
        "distributed_lock": True,
        "thread_local_lock": False,
    }
    region.configure("dogpile.cache.redis", expiration_time=TTL, arguments=arguments)
    return lambda key: region.get_or_create(
        f"dogpile:{key}", load, creator_args=((key,), {})
    )


def django(url: str, load: Load) -> Get:
    """Return django-redis behind Django's cache; it has nothing for stampedes."""
    conf, options = module("django.conf"), {}
    options["SERIALIZER"] = "django_redis.serializers.json.JSONSerializer"
    backend = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": url,
        "OPTIONS": options,
    }
    if not conf.settings.configured:
        conf.settings.configure()
    handler = module("django.core.cache").CacheHandler({"default": backend})
    cache = handler["default"]
    return lambda key: cache.get_or_set(f"django:{key}", lambda: load(key), TTL)


def cashews(url: str, load: Load, lock: bool = True) -> AsyncGet:
    """Return cashews; its `lock` is also taken on hits."""
    cache = module("cashews").Cache()
    cache.setup(url)

    async def get(key: str) -> Any:
        return await _in_thread(load, key)

    decorate = cache(ttl=TTL, key=f"cashews:{lock}:" + "{key}", lock=lock)
    return decorate(get)  # type: ignore[no-any-return]


def aiocache(url: str, load: Load) -> AsyncGet:
    """Return aiocache with the lease of `cached_stampede`, in JSON."""
    package, parts = module("aiocache"), urlsplit(url)
    decorate = package.cached_stampede(
        lease=2,
        ttl=TTL,
        cache=package.Cache.REDIS,
        endpoint=parts.hostname,
        port=parts.port,
        serializer=module("aiocache.serializers").JsonSerializer(),
        key_builder=lambda _, key: f"aiocache:{key}",
    )

    async def get(key: str) -> Any:
        return await _in_thread(load, key)

    return decorate(get)  # type: ignore[no-any-return]


async def _in_thread(load: Load, key: str) -> Any:
    """Let the loader block a thread, as a database driver may."""
    return await asyncio.get_running_loop().run_in_executor(None, load, key)


# label -> (name on PyPI or "", function, asynchronous)
CONTENDERS: dict[str, tuple[str, Callable[..., Any], bool]] = {
    "adcache": ("", adcache, False),
    "naive": ("", naive, False),
    "redis-py": ("", redis_py, False),
    "dogpile.cache": ("dogpile.cache", dogpile, False),
    "django-redis": ("django-redis", django, False),
    "cashews, lock": ("cashews", cashews, True),
    "aiocache": ("aiocache", aiocache, True),
}

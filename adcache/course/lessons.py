"""The set-up of a lesson: a cache of its own, and a clock that stands still."""

import atexit
import contextlib
import os
import secrets

from adcache import AdCacheError, ManualClock, RedisAdCache, connect
from adcache.keys import encode_id

_open: dict[str, RedisAdCache] = {}


def lesson(number: str) -> tuple[RedisAdCache, ManualClock]:
    """Connect for one lesson; return its cache and its clock.

    The server is the one of ``ADCACHE_URL``, else the embedded fake. The keys
    live in a namespace with a random end, which is never shown: every run
    starts empty and two learners never meet. What a lesson leaves is deleted
    when the kernel ends, or when its set-up cell is run again.

    >>> cache, clock = lesson("06")
    """
    encode_id(number, "lesson number")
    base = os.environ.get("ADCACHE_NAMESPACE") or "adcache"
    clock = ManualClock()
    namespace = f"{base}:lesson-{number}:{secrets.token_hex(4)}"
    cache = connect(namespace=namespace, clock=clock)
    if before := _open.pop(number, None):
        tidy(before)
    _open[number] = cache
    return cache, clock


def tidy(cache: RedisAdCache) -> int:
    """Delete all keys of the cache's namespace, no others; return how many."""
    keys = list(cache.redis_client.scan_iter(match=cache.keys.match, count=1000))
    for key in keys:
        cache.redis_client.delete(key)
    return len(keys)


@atexit.register
def _tidy_all() -> None:
    """Leave nothing behind; a server that is gone by now needs no tidying."""
    while _open:
        cache = _open.popitem()[1]
        with contextlib.suppress(AdCacheError, OSError, Exception):
            tidy(cache)
            cache.close()

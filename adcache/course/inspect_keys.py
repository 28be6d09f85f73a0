"""Look at what a lesson wrote: every key, what it holds, how long it lives."""

import math
from typing import Any

from adcache import RedisAdCache
from adcache.course.table import Table

PREVIEW = 60  # characters of a value


def show_keys(cache: RedisAdCache, *, bytes: bool = False) -> Table:
    """List the keys of the cache's namespace: type, TTL, size and first values.

    The TTL is rounded up (to 1 s below a minute, 10 s up to an hour, else a
    minute), so that the same cell prints the same text on every server. With
    `bytes` the server's MEMORY USAGE is added; the embedded fake cannot tell.
    """
    client = cache.redis_client
    found = client.scan_iter(match=cache.keys.match, count=1000)
    rows = []
    for key in sorted(_text(name) for name in set(found)):
        kind = _text(client.type(key))
        size, value = _content(client, key, kind)
        row = [cache.keys.strip(key), kind, ttl_text(client.pttl(key)), size, value]
        rows.append([*row, _memory(client, key)] if bytes else row)
    columns = ["key", "type", "TTL", "size", "value"] + ["bytes"] * bytes
    return Table(columns, rows, "" if rows else "no keys")


def ttl_text(pttl: int) -> str:
    """Write a TTL given in ms as people read it: '60 s', or 'none' for ever."""
    if pttl < 0:
        return "none" if pttl == -1 else "gone"
    seconds = math.ceil(pttl / 1000)
    step = 1 if seconds <= 60 else 10 if seconds <= 3600 else 60
    return f"{math.ceil(seconds / step) * step} s"


def _content(client: Any, key: str, kind: str) -> tuple[int, str]:
    """Number of entries (characters of a string) and a preview, sorted."""
    if kind == "string":
        value = _text(client.get(key) or "")
        return len(value), _short(value)
    if kind == "hash":
        pairs = client.hgetall(key).items()
        parts = sorted(f"{_text(f)}={_text(v)}" for f, v in pairs)
    elif kind == "zset":
        scored = client.zrange(key, 0, -1, withscores=True)
        parts = [f"{_text(member)}@{score:.15g}" for member, score in scored]
    elif kind == "set":
        parts = sorted(_text(member) for member in client.smembers(key))
    elif kind == "list":
        parts = [_text(item) for item in client.lrange(key, 0, -1)]
    elif kind == "stream":
        return client.xlen(key), ""
    else:
        parts = []
    return len(parts), _short(", ".join(parts))


def _memory(client: Any, key: str) -> int | None:
    try:
        used = client.memory_usage(key)
    except Exception:  # the fake, or a user without the right to ask
        return None
    return used if used is None else int(used)


def _short(text: str) -> str:
    return text if len(text) <= PREVIEW else text[: PREVIEW - 3] + "..."


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

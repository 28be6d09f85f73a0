"""Looking at the keys themselves: with SCAN and a bound, never with KEYS.

KEYS stops a server for as long as it takes to list all keys. SCAN asks for a
few at a time; with a bound the answer is a sample, and says so.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import AccessDenied, CommandRefused
from adcache.keys import KEYS
from adcache.monitor_server import Node, primaries
from adcache.wire import Question

BATCH = 500  # keys a SCAN looks at, and questions that share a trip
LOOK_AT = 10  # keys looked at for each one wanted: other namespaces have keys too
SAMPLES = 20  # keys of a group whose memory is measured
_PATTERN_OF = {row.template.partition("{")[0]: name for name, row in KEYS.items()}


class Scan(msgspec.Struct, frozen=True):
    """Keys of the namespace; `complete` is False where the scan was cut short."""

    keys: tuple[str, ...]
    complete: bool


class KeyReport(msgspec.Struct, frozen=True):
    """The keys found (without namespace), among how many, and whether of all."""

    keys: tuple[str, ...]
    seen: int
    complete: bool

    @property
    def by_pattern(self) -> dict[str, int]:
        """How many of them belong to each pattern of `keys.py`."""
        return dict(sorted(Counter(map(pattern_of, self.keys)).items()))


class MemoryGroup(msgspec.Struct, frozen=True):
    """Keys of one pattern; `bytes` is estimated from the `sampled` ones.

    None where the backend does not tell a key's memory.
    """

    keys: int
    sampled: int
    bytes: int | None
    bytes_per_key: float | None


class MemoryReport(msgspec.Struct, frozen=True):
    """Memory by key pattern, largest first; `why` is the reason for a None."""

    groups: dict[str, MemoryGroup]
    seen: int
    complete: bool
    why: str = ""


class HotKeys(msgspec.Struct, frozen=True):
    """Keys (without namespace) with their LFU counters, hottest first.

    The counter is logarithmic, 0 to 255 (`OBJECT FREQ`). Without a maxmemory
    all keys with one small integer as their value share one counter. `keys` is
    None, with the reason in `why`, where the server does not count.
    """

    keys: tuple[tuple[str, int], ...] | None
    seen: int
    complete: bool
    why: str = ""


def pattern_of(key: str) -> str:
    """Return the pattern of a key without its namespace; "other" if none fits.

    >>> pattern_of("stats:reach:{c}:2026-01-01")
    'stats_reach'
    """
    return _PATTERN_OF.get(key.partition("{")[0], "other")


def scan(cache: RedisAdCache, limit: int) -> Scan:
    """Return up to `limit` keys of the namespace, with it, of all primaries.

    At most ten times as many keys are looked at, so that a server full of
    other people's keys is not read to its end.
    """
    nodes = primaries(cache)
    share = -(-limit // len(nodes))
    found: dict[str, None] = {}  # SCAN may return a key twice
    complete = True
    for node in nodes:
        keys, ended = _scan_node(cache, node, share)
        found |= dict.fromkeys(keys)
        complete = complete and ended
    return Scan(tuple(found)[:limit], complete and len(found) <= limit)


def _scan_node(cache: RedisAdCache, node: Node, limit: int) -> tuple[list[str], bool]:
    client, cursor, keys = cache.redis_client, 0, []
    for _ in range(-(-LOOK_AT * limit // BATCH)):
        with cache.get_client():
            cursor, batch = client.scan(
                cursor, match=cache.keys.match, count=BATCH, **node.options
            )
        if isinstance(cursor, dict):  # a cluster's answer names the node
            (cursor,) = cursor.values()
        keys += [key.decode() if isinstance(key, bytes) else key for key in batch]
        if cursor == 0 or len(keys) > limit:
            break
    return keys[:limit], cursor == 0 and len(keys) <= limit


def keys_without_ttl(cache: RedisAdCache, limit: int) -> KeyReport:
    """Find keys that would live for ever, but for those marked durable."""
    found = scan(cache, limit)
    mortal = [key for key in found.keys if not _is_durable(cache.keys.strip(key))]
    lives = _ask_each(cache, [("PTTL", key) for key in mortal])
    immortal = [key for key, life in zip(mortal, lives, strict=True) if life == -1]
    names = tuple(cache.keys.strip(key) for key in immortal)
    return KeyReport(names, len(found.keys), found.complete)


def repair_ttls(cache: RedisAdCache, ttl: Seconds, limit: int) -> KeyReport:
    """Give such keys a TTL; one that got its own meanwhile keeps that (NX)."""
    life_ms = to_ms(ttl)
    report = keys_without_ttl(cache, limit)
    prefix = cache.keys.match.removesuffix("*")
    done = _ask_each(
        cache, [("PEXPIRE", prefix + key, life_ms, "NX") for key in report.keys]
    )
    repaired = tuple(
        key for key, set_now in zip(report.keys, done, strict=True) if set_now
    )
    return KeyReport(repaired, report.seen, report.complete)


def memory_by_prefix(cache: RedisAdCache, limit: int) -> MemoryReport:
    """Group up to `limit` keys by pattern, and measure some keys of each."""
    found = scan(cache, limit)
    groups: dict[str, list[str]] = {}
    for key in found.keys:
        groups.setdefault(pattern_of(cache.keys.strip(key)), []).append(key)
    samples = [key for keys in groups.values() for key in keys[:SAMPLES]]
    sizes: dict[str, int | None] = {}
    why = ""
    try:
        answers = _ask_each(cache, [("MEMORY", "USAGE", key) for key in samples])
        sizes = dict(zip(samples, answers, strict=True))
    except (AccessDenied, CommandRefused) as refused:
        why = str(refused)
    measured = {name: _memory_group(keys, sizes) for name, keys in groups.items()}
    largest_first = sorted(measured.items(), key=lambda item: -(item[1].bytes or 0))
    return MemoryReport(dict(largest_first), len(found.keys), found.complete, why)


def _memory_group(keys: Sequence[str], sizes: Mapping[str, int | None]) -> MemoryGroup:
    known = [size for key in keys if (size := sizes.get(key)) is not None]
    if not known:
        return MemoryGroup(len(keys), 0, None, None)
    mean = sum(known) / len(known)
    return MemoryGroup(len(keys), len(known), round(mean * len(keys)), round(mean, 1))


def hot_keys(cache: RedisAdCache, limit: int, top: int) -> HotKeys:
    """Return the `top` hottest of up to `limit` keys."""
    found = scan(cache, limit)
    asked = [("OBJECT", "FREQ", key) for key in found.keys]
    try:
        counters = _ask_each(cache, asked)
    except (AccessDenied, CommandRefused) as refused:
        why = (
            f"{refused}. Redis counts how often keys are used only under an LFU "
            "policy: CONFIG SET maxmemory-policy allkeys-lfu"
        )
        return HotKeys(None, len(found.keys), found.complete, why)
    names = [cache.keys.strip(key) for key in found.keys]
    known = [
        (name, count)
        for name, count in zip(names, counters, strict=True)
        if count is not None
    ]
    hottest = sorted(known, key=lambda pair: (-pair[1], pair[0]))[:top]
    return HotKeys(tuple(hottest), len(found.keys), found.complete)


def _is_durable(key: str) -> bool:
    row = KEYS.get(pattern_of(key))
    return row is not None and row.durable


def _ask_each(cache: RedisAdCache, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Ask in trips of a bounded size: a long one would hold up everybody else."""
    replies: list[Any] = []
    for batch in _batches(commands):
        replies += cache.wire.trip(
            [Question(command, safe=True, component="monitor") for command in batch]
        )
    return replies


def _batches(commands: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(commands), BATCH):
        yield commands[start : start + BATCH]

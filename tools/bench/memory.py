"""Bytes in Redis for what a user leaves there, beside the naive design.

The server's memory before and after 500 users (the median of three), without the
buffers of its clients, but with the tables of keys and of TTLs. What a call leaves
beside (in which segment a user is: the naive design forgets it) is removed at once.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import redis

from adcache import FrequencyCapManager, RedisAdCache, UserProfile, connect
from adcache.course.naive import Naive
from adcache.profiles import UserProfileCache
from tools.bench.jobs_profiles import profile
from tools.bench.measure import Figures

USERS = [f"user_{n}" for n in range(100_000, 100_500)]
CAMPAIGNS = [f"campaign_{n}" for n in range(5)]
INTERESTS = ["books", "food", "music", "sports", "tech", "travel", "cycling", "tea"]
ABOUT = {"age": 36, "gender": "F", "country": "GBR", "city": "GBLON", "language": "en"}


class Way(NamedTuple):
    """How something is stored for a user, and which of the keys do not count."""

    name: str
    store: Callable[[str], Any]
    beside: Callable[[str], Iterable[str]] = lambda user: ()


def large_profile(user_id: str) -> UserProfile:
    """A profile as platforms have them: eight interests, five facts."""
    return replace(profile(user_id), interests=INTERESTS, demographics=ABOUT)


def measure_bytes(url: str, figures: Figures) -> None:
    """Put the bytes a user into the figures; the server is emptied between."""
    for way in ways(connect(url)):
        found = [bytes_a_user(url, way) for _ in range(3)]
        figures.numbers[f"bytes: {way.name}"] = statistics.median(found)


def ways(cache: RedisAdCache) -> Iterator[Way]:
    """Yield what is stored, in both designs."""
    naive, profiles = Naive(cache), UserProfileCache(cache)
    caps = FrequencyCapManager(cache)

    def beside(user: str) -> list[str]:
        segment = profile(user).segment
        return [
            cache.get_key("user_segments_of", user_id=user),
            cache.get_key("user_segments", segment_id=segment),
        ]

    for size, make in ("large", large_profile), ("small", profile):

        def ours(user: str, make: Callable[[str], UserProfile] = make) -> None:
            profiles.set_user_profile(make(user))

        def theirs(user: str, make: Callable[[str], UserProfile] = make) -> None:
            naive.set_user_profile(make(user))

        yield Way(f"{size} profile, adcache", ours, beside)
        yield Way(f"{size} profile, naive", theirs)
    yield Way("five caps, adcache", five(caps.check_frequency_cap))
    yield Way("five caps, naive", five(naive.check_frequency_cap))


def five(check: Callable[[str, str], Any]) -> Callable[[str], Any]:
    """Count an impression of each of five campaigns."""
    return lambda user: [check(user, name) for name in CAMPAIGNS]


def bytes_a_user(url: str, way: Way) -> float:
    """Store all users on an empty server; return how much it has grown for each."""
    client: Any = redis.Redis.from_url(url)
    way.store("somebody")  # scripts and connections are there
    client.flushdb()
    before = stored_bytes(client)
    for user in USERS:
        way.store(user)
        if keys := way.beside(user):
            client.delete(*keys)
    grown = stored_bytes(client) - before
    if client.dbsize() % len(USERS):
        raise RuntimeError(f"{way.name}: {client.dbsize()} keys for {len(USERS)} users")
    client.flushdb()
    return float(grown) / len(USERS)


def stored_bytes(client: Any) -> int:
    """What MEMORY STATS says of values, and of the tables of keys and TTLs."""
    stats = client.memory_stats()
    tables: dict[str, int] = stats.get("db.0", {})
    return int(stats["dataset.bytes"]) + sum(tables.values())

"""Bytes in Redis for what a user leaves there, beside the naive design.

The server's `used_memory` before and after a thousand users, so that the tables
of keys and of TTLs count too. Keys of other things that a call leaves beside
(who is in which segment: the naive design forgets it) are removed before.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import redis

from adcache import FrequencyCapManager, RedisAdCache, UserProfile, connect
from adcache.course.naive import Naive
from adcache.profiles import UserProfileCache
from tools.bench.jobs_profiles import profile
from tools.bench.measure import Figures

USERS = [f"user_{n}" for n in range(1000)]
CAMPAIGNS = [f"campaign_{n}" for n in range(5)]
INTERESTS = ["books", "food", "music", "sports", "tech", "travel", "cycling", "tea"]
ABOUT = {"age": 36, "gender": "F", "country": "GBR", "city": "GBLON", "language": "en"}


def large_profile(user_id: str) -> UserProfile:
    """A profile as platforms have them: eight interests, five facts."""
    return replace(profile(user_id), interests=INTERESTS, demographics=ABOUT)


def measure_bytes(url: str, figures: Figures) -> None:
    """Put the bytes a user into the figures; the server is emptied between."""
    for name, store, keys in ways(connect(url, namespace="memory")):
        figures.numbers[f"bytes: {name}"] = bytes_a_user(url, store, keys)


Way = tuple[str, Callable[[str], Any], Callable[[str], Iterable[str]]]


def ways(cache: RedisAdCache) -> Iterable[Way]:
    """Yield what is stored: name, how, and the keys that count."""
    naive, profiles = Naive(cache), UserProfileCache(cache)
    caps = FrequencyCapManager(cache)
    for size, make in ("large", large_profile), ("small", profile):
        yield (
            f"{size} profile, adcache",
            lambda user, make=make: profiles.set_user_profile(make(user)),  # type: ignore[misc]
            lambda user: [cache.get_key("user_profile", user_id=user)],
        )
        yield (
            f"{size} profile, naive",
            lambda user, make=make: naive.set_user_profile(make(user)),  # type: ignore[misc]
            lambda user: [naive.key("profile", user)],
        )
    yield (
        "five caps, adcache",
        lambda user: [caps.check_frequency_cap(user, name) for name in CAMPAIGNS],
        lambda user: [cache.get_key("frequency_cap", user_id=user)],
    )
    yield (
        "five caps, naive",
        lambda user: [naive.check_frequency_cap(user, name) for name in CAMPAIGNS],
        lambda user: [naive.key("cap", user, name) for name in CAMPAIGNS],
    )


def bytes_a_user(
    url: str, store: Callable[[str], Any], keys: Callable[[str], Iterable[str]]
) -> float:
    """Store all users on an empty server; return its growth by the keys that count."""
    client: Any = redis.Redis.from_url(url, decode_responses=True)
    store("somebody")  # scripts and connections are there
    client.flushdb()
    before = client.info("memory")["used_memory"]
    for user in USERS:
        store(user)
    counts = {key for user in USERS for key in keys(user)}
    found = set(client.scan_iter(count=1000))
    if missing := counts - found:
        raise KeyError(f"nothing was stored at {min(missing)!r}")
    for key in found - counts:
        client.delete(key)
    grown = client.info("memory")["used_memory"] - before
    client.flushdb()
    return float(grown) / len(USERS)

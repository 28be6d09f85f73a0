"""Bytes in Redis for what a user leaves there, beside the naive design.

MEMORY USAGE of the keys, the expiry included: the mean of a hundred users. The
profile alone is compared; who is in which segment, the naive design forgets.
"""

from collections.abc import Iterable
from typing import Any

import redis

from adcache import FrequencyCapManager, connect
from adcache.course.naive import Naive
from adcache.profiles import UserProfileCache
from tools.bench.jobs_profiles import profile
from tools.bench.measure import Figures

USERS = [f"user_{n}" for n in range(100)]
CAMPAIGNS = [f"campaign_{n}" for n in range(5)]


def measure_bytes(url: str, figures: Figures) -> None:
    """Store all users both ways; put the bytes a user into the figures."""
    cache = connect(url, namespace="memory")
    naive, profiles = Naive(cache), UserProfileCache(cache)
    caps = FrequencyCapManager(cache)
    keys: dict[str, list[str]] = {
        "profile, adcache": [cache.get_key("user_profile", user_id=u) for u in USERS],
        "profile, naive": [naive.key("profile", user) for user in USERS],
        "caps, adcache": [cache.get_key("frequency_cap", user_id=u) for u in USERS],
        "caps, naive": [naive.key("cap", u, name) for u in USERS for name in CAMPAIGNS],
    }
    for user in USERS:
        profiles.set_user_profile(profile(user))
        naive.set_user_profile(profile(user))
        for name in CAMPAIGNS:
            caps.check_frequency_cap(user, name)
            naive.check_frequency_cap(user, name)
    for name, of_users in keys.items():
        figures.numbers[f"bytes: {name}"] = bytes_of(url, of_users) / len(USERS)


def bytes_of(url: str, keys: Iterable[str]) -> int:
    """Sum up what the keys take. Raises KeyError for one that is not there."""
    client: Any = redis.Redis.from_url(url)
    total = 0
    for key in keys:
        taken = client.memory_usage(key, samples=0)
        if taken is None:
            raise KeyError(key)
        total += int(taken)
    return total

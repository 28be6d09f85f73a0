"""User profiles: read one, note an activity."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from adcache import RedisAdCache, UserProfile, connect
from adcache.course.naive import Naive
from adcache.profiles import UserProfileCache
from tools.bench.measure import BARE, OURS, Absent, Contender, Job, Run, each
from tools.bench.peers import module, peer
from tools.bench.replay import bare, plain, same_script

USERS = [f"user_{n}" for n in range(200)]
READ, UPDATE = "profile read", "activity update"

Found = Iterator[Contender | Absent]


def profile(user_id: str) -> UserProfile:
    """The profile of the seed's example."""
    return UserProfile(
        user_id=user_id,
        interests=["tech", "gaming", "sports"],
        demographics={"age": 28, "gender": "M", "location": "Seoul"},
        behavior_score=75.5,
        last_activity=datetime.now(UTC),
        segment="high_value",
    )


def store_profiles(url: str) -> None:
    """Store all profiles with both designs; `om` keeps its own."""
    cache = connect(url)
    ours, naive = UserProfileCache(cache), Naive(cache)
    for user in USERS:
        ours.set_user_profile(profile(user), ttl=36_000)
        naive.set_user_profile(profile(user), ttl=36_000)


def read(url: str) -> Found:
    """Read a profile, into a record of its fields."""
    cache = connect(url)
    profiles, naive = UserProfileCache(cache), Naive(plain(url))
    yield Contender(OURS, each(profiles.get_user_profile, USERS))
    yield Contender("naive", each(naive.get_user_profile, USERS))
    yield Contender(BARE, hash_and_parsing(url, naive))
    yield Contender("redis-py, GET of JSON", json_and_parsing(url, cache))
    yield from peer("redis-om", lambda: om(url))


def update(url: str) -> Found:
    """Add to the score and note the time."""
    cache, naive = connect(url), Naive(plain(url))
    yield Contender(OURS, each(updater(connect(url)), USERS))
    yield Contender("naive", each(lambda u: naive.update_user_activity(u, 0.5), USERS))
    yield Contender(BARE, same_script(url, cache, updater(cache), USERS))


def updater(cache: RedisAdCache) -> Callable[[str], Any]:
    """Return a function that notes an activity of a user."""
    profiles = UserProfileCache(cache)
    return lambda user: profiles.update_user_activity(user, {"score_delta": 0.5})


def hash_and_parsing(url: str, naive: Naive) -> Run:
    """HGETALL, and the six fields parsed into a plain dict."""
    client, decode = bare(url), msgspec.json.decode

    def get(key: str) -> dict[str, Any]:
        row: dict[str, Any] = client.hgetall(key)
        row["interests"] = decode(row["interests"])
        row["demographics"] = decode(row["demographics"])
        row["behavior_score"] = float(row["behavior_score"])
        row["last_activity"] = datetime.fromisoformat(row["last_activity"])
        return row

    return each(get, [naive.key("profile", user) for user in USERS])


def json_and_parsing(url: str, cache: RedisAdCache) -> Run:
    """GET of one JSON text, decoded but not turned into a record."""
    client, decode = bare(url), msgspec.json.decode
    keys = [cache.get_key("user_profile", user_id=user) for user in USERS]
    return each(lambda key: decode(client.get(key)), keys)


def om(url: str) -> Run:
    """redis-om: a JsonModel needs Redis Stack, so its HashModel."""
    package = module("redis_om")
    model = om_model(package, url)
    for user in USERS:
        given = profile(user)
        made = model(
            user_id=user,
            interests=msgspec.json.encode(given.interests).decode(),
            demographics=msgspec.json.encode(given.demographics).decode(),
            behavior_score=given.behavior_score,
            last_activity=given.last_activity,
            segment=given.segment,
        )
        made.save()
        made.expire(36_000)
    return each(model.get, USERS)


def om_model(package: Any, url: str) -> Any:
    """The model: a hash has no lists, so two of its fields are JSON."""
    annotations = {
        "user_id": str,
        "interests": str,
        "demographics": str,
        "behavior_score": float,
        "last_activity": datetime,
        "segment": str,
    }

    class Meta:
        global_key_prefix, model_key_prefix = "om", "profile"
        database = bare(url)

    body = {
        "__annotations__": annotations,
        "__module__": __name__,
        "user_id": package.Field(primary_key=True),
        "Meta": Meta,
    }
    make = type(package.HashModel)
    return make("Profile", (package.HashModel,), body, index=True)


JOBS = [Job(READ, store_profiles, read), Job(UPDATE, store_profiles, update)]

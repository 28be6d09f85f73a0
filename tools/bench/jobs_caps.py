"""Frequency caps: one check, ten in a call; and the rate limiters of PyPI.

The limit is never reached, so that all of them do the same work at each call.
"""

from collections.abc import Callable, Iterator
from typing import Any

from adcache import Cap, FrequencyCapManager, RedisAdCache, connect
from adcache.course.naive import Naive
from tools.bench.measure import BARE, OURS, Absent, Contender, Job, Run, each
from tools.bench.peers import module, peer
from tools.bench.replay import bare, plain, same_script

USERS = [f"user_{n}" for n in range(200)]
TEN = {f"campaign_{n}": [Cap(1_000_000, 86_400)] for n in range(10)}
LIMIT, DAY = 1_000_000, 86_400
ONE, BATCH = "cap check", "cap check, ten in a call"
SHORT_SCRIPT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return count <= tonumber(ARGV[1]) and 1 or 0
"""

Found = Iterator[Contender | Absent]


def checker(cache: RedisAdCache) -> Callable[[str], Any]:
    """Return a function that checks a cap of a day and counts the impression."""
    caps = FrequencyCapManager(cache)
    return lambda user: caps.check_frequency_cap(user, "sneakers", LIMIT, DAY)


def ten_checker(cache: RedisAdCache) -> Callable[[str], Any]:
    """Return a function that does so for ten campaigns in one call."""
    caps = FrequencyCapManager(cache)
    return lambda user: caps.check_many(user, TEN)


def one_cap(url: str) -> Found:
    """Check and count one cap."""
    naive, cache = Naive(plain(url)), connect(url)
    yield Contender(OURS, each(checker(connect(url)), USERS))
    yield Contender(
        "naive", each(lambda u: naive.check_frequency_cap(u, "sneakers", LIMIT), USERS)
    )
    yield Contender(BARE, same_script(url, cache, checker(cache), USERS))
    yield Contender("redis-py, INCR in a short script", short_script(url))
    yield from peer("limits", lambda: limits(url))
    yield from peer("throttled-py", lambda: throttled(url))
    yield from peer("pyrate-limiter", lambda: pyrate(url))


def ten_caps(url: str) -> Found:
    """Check and count ten caps of a user: figures are those of one cap."""
    cache = connect(url)
    yield Contender(OURS, each(ten_checker(connect(url)), USERS), per=10)
    script = same_script(url, cache, ten_checker(cache), USERS)
    yield Contender(BARE, script, per=10)


def short_script(url: str) -> Run:
    """The shortest script that counts in a window, a key per user and campaign."""
    client = bare(url)
    sha = client.script_load(SHORT_SCRIPT)
    return each(
        lambda user: client.evalsha(sha, 1, f"short:{user}:sneakers", LIMIT, DAY), USERS
    )


def limits(url: str) -> Run:
    """limits: its fixed window."""
    storage = module("limits.storage").RedisStorage(url)
    limiter = module("limits.strategies").FixedWindowRateLimiter(storage)
    cap = module("limits").parse(f"{LIMIT} per day")
    return each(lambda user: limiter.hit(cap, user, "sneakers"), USERS)


def throttled(url: str) -> Run:
    """throttled-py: its fixed window."""
    package = module("throttled")
    limiter = package.Throttled(
        using=package.RateLimiterType.FIXED_WINDOW.value,
        quota=package.rate_limiter.per_day(LIMIT),
        store=package.store.RedisStore(server=url),
    )
    return each(lambda user: limiter.limit(f"{user}:sneakers"), USERS)


def pyrate(url: str) -> Run:
    """pyrate-limiter: a bucket per user; it has the sliding log alone."""
    package, client = module("pyrate_limiter"), bare(url)
    rates = [package.Rate(LIMIT, package.Duration.DAY)]
    buckets = {
        user: package.RedisBucket.init(rates, client, f"pyrate:{user}:sneakers")
        for user in USERS
    }

    class PerUser(package.BucketFactory):  # type: ignore[misc, name-defined]
        def wrap_item(self, name: str, weight: int = 1) -> Any:
            return package.RateItem(name, buckets[name].now(), weight=weight)

        def get(self, item: Any) -> Any:
            return buckets[item.name]

    limiter = package.Limiter(PerUser())
    return each(lambda user: limiter.try_acquire(user, blocking=False), USERS)


def nothing(url: str) -> None:
    """No data is needed: a cap's first check makes its window."""


JOBS = [Job(ONE, nothing, one_cap), Job(BATCH, nothing, ten_caps)]

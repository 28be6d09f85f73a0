"""Read-through: a record that is in the cache."""

import asyncio
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from typing import Any

from tools.bench.loaders import CONTENDERS, AsyncGet, cashews
from tools.bench.measure import Absent, Contender, Job, Run, each
from tools.bench.peers import peer

HIT = "read-through hit"
KEYS = [f"creative_{n}" for n in range(200)]
RECORD = {
    "creative_id": "sneakers-1",
    "campaign_id": "sneakers",
    "format": "banner",
    "w": 300,
    "h": 250,
    "mimes": ["image/webp", "image/png"],
    "markup": "<a href='https://sneakers.example/'><img src='ad.webp'></a>",
}

Found = Iterator[Contender | Absent]


def load(_: str) -> dict[str, Any]:
    """Return the record at once: a hit does not load."""
    return RECORD


def hits(url: str) -> Found:
    """Yield a reader of every contender, its records loaded."""
    for label, (package, make, is_async) in CONTENDERS.items():
        runner = partial(async_runner if is_async else runner_of, make, url)
        if package:
            yield from peer(package, runner, label)
        else:
            yield Contender(label, runner())
    plain = partial(cashews, lock=False)
    unlocked = partial(async_runner, plain, url)
    yield from peer("cashews", unlocked, "cashews without its lock")


def runner_of(make: Any, url: str) -> Run:
    """Run the calls of an ordinary function."""
    get = make(url, load)
    for key in KEYS:
        get(key)
    return each(get, KEYS)


def async_runner(make: Any, url: str) -> Run:
    """Run the calls in a loop of its own, which is not started anew for each."""
    loop = asyncio.new_event_loop()
    following = cycle(KEYS).__next__

    async def some(get: AsyncGet, calls: int) -> None:
        for _ in range(calls):
            await get(following())

    async def begin() -> AsyncGet:
        get: AsyncGet = make(url, load)
        for key in KEYS:
            await get(key)
        return get

    get = loop.run_until_complete(begin())
    return lambda calls: loop.run_until_complete(some(get, calls))


def nothing(url: str) -> None:
    """Each contender loads its records itself."""


JOBS = [Job(HIT, nothing, hits)]

"""Bare redis-py with the same effects on the data: our commands, its client.

What a component sends is recorded once per call. Replaying it costs the caller
nothing but redis-py: the arguments are laid out beforehand, nothing is checked
and no reply is read into a record. No code of one's own can be faster on the
same data, unless it leaves redis-py's client.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import redis

from adcache import CacheConfig, RedisAdCache
from tools.bench.measure import Run, each

Command = tuple[Any, ...]


def recorded(cache: RedisAdCache, call: Callable[[], Any]) -> list[list[Command]]:
    """Return the commands that a call sends, trip by trip."""
    trips: list[list[Command]] = []
    cache.wire.observer = lambda pairs, _: trips.append([pair[0] for pair in pairs])
    try:
        call()
    finally:
        cache.wire.observer = None
    return trips


def bare(url: str) -> Any:
    """Connect redis-py as its manual shows."""
    return redis.Redis.from_url(url, decode_responses=True)


def plain(url: str, namespace: str = "adcache") -> RedisAdCache:
    """A cache around redis-py as its manual shows: what the naive design runs on."""
    return RedisAdCache(client=bare(url), config=CacheConfig(namespace=namespace))


def same_script(
    url: str, cache: RedisAdCache, call: Callable[[Any], Any], values: Iterable[Any]
) -> Run:
    """Replay the one script call that each value makes, with `evalsha`."""
    client, ready = bare(url), []
    for value in values:
        call(value)  # the server knows the script, and the keys exist
        ((command,),) = recorded(cache, partial(call, value))
        assert command[0] == "EVALSHA", command  # noqa: S101 - a job of one script
        ready.append(command[1:])
    return each(lambda args: client.evalsha(*args), ready)


def same_trips(client: Any, trips: list[list[Command]]) -> Any:
    """Replay trips: a command alone as it is, several in a pipeline."""
    replies: Any = None
    for commands in trips:
        if len(commands) == 1:
            replies = client.execute_command(*commands[0])
            continue
        pipe = client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        replies = pipe.execute(raise_on_error=False)
    return replies

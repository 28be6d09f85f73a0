"""Settlements that a failover cannot lose: wait until replicas have them.

Redis answers before its replicas have a write. WAIT tells how many have the last
write *of the connection that asks*, so both must travel on one. A settlement
that was counted before writes too (its TTL), or WAIT would answer at once.
"""

from typing import Any

import msgspec
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.pacing_results import Settlement
from adcache.wire import Question

MOST_REPLICAS = 1000


def refuse_bad_replicas(replicas: int, wait: Seconds, cache: RedisAdCache) -> int:
    """Return `replicas` when it is a count and the socket outlasts the wait."""
    if type(replicas) is not int or not 0 <= replicas <= MOST_REPLICAS:
        raise InvalidValue(
            f"replicas must be a whole number from 0 to {MOST_REPLICAS}, "
            f"got {shown(replicas)}"
        )
    longest, wait_ms = to_ms(cache.config.socket_timeout), to_ms(wait, "wait")
    if replicas and wait_ms >= longest:
        raise InvalidValue(
            f"wait must be below the {longest / 1000} s of CacheConfig.socket_timeout, "
            f"got {shown(wait)}"
        )
    return replicas


def settle_on_replicas(
    cache: RedisAdCache,
    question: Question[Settlement],
    key: str,
    replicas: int,
    wait_ms: int,
) -> Settlement:
    """Settle, wait for `replicas` and say whether they have it.

    The embedded fake has no replicas and cannot tell: None.
    """
    client = cache.redis_client
    if "fakeredis" in type(client).__module__:
        return cache.wire.ask(question)
    # With its source, so that an unknown script needs no second try after WAIT.
    source = cache.lua_scripts["budget_settle"].source
    command = ("EVAL", source, *question.command[2:])
    wait: Question[int] = Question(
        ("WAIT", replicas, wait_ms), safe=True, component="pacing"
    )
    if isinstance(client, RedisCluster):
        settlement = cache.wire.ask(question)  # follows a slot that has moved
        reached = _wait_on_node(cache, client, key, command, wait.command)
    else:
        again = question._replace(command=command)
        settlement, reached = cache.wire.trip([again, wait])
    return msgspec.structs.replace(settlement, acknowledged=reached >= replicas)


def _wait_on_node(
    cache: RedisAdCache, client: Any, key: str, *commands: tuple[Any, ...]
) -> int:
    """Send commands to the node of `key` on one connection; the last reply."""
    try:
        node = client.get_node_from_key(key)
        pipe = client.get_redis_connection(node).pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        return int(pipe.execute()[-1])
    except (RedisError, RedisClusterException, OSError) as error:
        raise cache.wire.translate(error) from error

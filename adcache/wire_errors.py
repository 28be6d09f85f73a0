"""What can go wrong on the way to Redis, in our own words."""

import redis
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    NoPermissionError,
    RedisClusterException,
)

from adcache.errors import (
    AccessDenied,
    AdCacheError,
    CommandRefused,
    RedisTimeout,
    RedisUnavailable,
)

UNREACHABLE = (redis.ConnectionError, ClusterDownError, RedisClusterException, OSError)


def translated(error: Exception, where: str, timeout: float) -> AdCacheError:
    """Say what a redis-py error means and what to do about it.

    `where` is the server's address, `timeout` how long it was given (seconds).
    """
    denied = isinstance(error, AuthenticationError | NoPermissionError)
    if denied or "can't run this command" in str(error):
        return AccessDenied(f"Redis at {where} refused this user: {error}")
    if str(error).startswith("NOTIME"):
        return AccessDenied(
            f"Redis at {where}: {error}; grant it (ACL SETUSER name +time) or "
            "connect with a clock of your own"
        )
    if isinstance(error, redis.TimeoutError):
        return RedisTimeout(
            f"Redis at {where} did not answer within {timeout} s; whether a "
            "write happened is unknown: retry it with the same id, or raise "
            "CacheConfig.socket_timeout"
        )
    if isinstance(error, UNREACHABLE):
        return RedisUnavailable(
            f"no reply from Redis at {where} ({error}); start one with 'make "
            "lab-server' or 'redis-server', or use connect('fakeredis://')"
        )
    return CommandRefused(f"Redis at {where} refused the command: {error}")

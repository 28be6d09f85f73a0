"""How a command travels: one connection, one wait, errors in our own words.

redis-py's `execute_command` takes a connection from its pool, wraps the call
in retry and telemetry layers and gives the connection back: two thirds of the
time of a call on loopback. `Wire` keeps its own idle connections (redis-py's
`Connection` objects) and does only what is needed. It never repeats a command
on its own, because nobody can know whether a lost reply means a lost command.
"""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    NoPermissionError,
    NoScriptError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from adcache.errors import (
    AccessDenied,
    AdCacheError,
    CommandRefused,
    RedisTimeout,
    RedisUnavailable,
)

Observer = Callable[[tuple[Any, ...], Any, float], None]
NO_RETRY = Retry(NoBackoff(), 0)
UNREACHABLE = (redis.ConnectionError, ClusterDownError, RedisClusterException, OSError)


class Wire:
    """Sends commands to Redis and gives back their replies.

    Plain connections are used for a standalone server. The embedded fake and
    Redis Cluster bring their own way of travelling: there the client is asked.
    """

    def __init__(
        self, client: Any, timeout: float, connections: int, retry_on_timeout: bool
    ) -> None:
        self._client = client
        self._limit = connections
        self._retry = retry_on_timeout
        self._pool: Any = getattr(client, "connection_pool", None)
        fake = "fakeredis" in type(client).__module__
        self._plain = isinstance(client, redis.Redis) and not fake
        self._bytes = not client.get_encoder().decode_responses
        given = self._pool and self._pool.connection_kwargs.get("socket_timeout")
        self._timeout = given or timeout
        self.observer: Observer | None = None
        self._forget_connections()

    def execute(self, *command: Any, safe: bool = False) -> Any:
        """Send one command and wait for its reply: text, int, list or None.

        `safe` says that running it twice changes nothing more (a read, or a
        write with an operation id): with ``retry_on_timeout`` it is then
        repeated once. Raises `RedisUnavailable`, `RedisTimeout`,
        `AccessDenied` or `CommandRefused`; an unknown script is redis-py's
        `NoScriptError`, which `lua.Script` heals.
        """
        started = time.perf_counter() if self.observer else 0.0
        try:
            try:
                reply = self._send(command)
            except (redis.ConnectionError, redis.TimeoutError):
                if not (safe and self._retry):
                    raise
                reply = self._send(command)
        except NoScriptError:
            raise
        except (RedisError, RedisClusterException, OSError) as error:
            raise self.translate(error) from error
        if self.observer:
            self.observer(command, reply, time.perf_counter() - started)
        return reply

    def close(self) -> None:
        """Close the idle connections; a later call opens new ones."""
        while self._idle:
            self._idle.pop().disconnect()

    def _send(self, command: tuple[Any, ...]) -> Any:
        if not self._plain:
            reply = self._client.execute_command(*command)
            return _as_text(reply) if self._bytes else reply
        connection = self._borrow()
        try:
            if not connection.is_connected:
                connection.connect()  # a Sentinel's looks its server up in here
            connection.send_command(*command, check_health=False)
            return connection.read_response()
        except ReadOnlyError:
            connection.disconnect()  # a replica by now: look the primary up again
            raise
        except ResponseError:
            raise  # a reply like any other: the connection stays usable
        except BaseException:
            connection.disconnect()  # a late reply must not answer the next call
            raise
        finally:
            self._idle.append(connection)

    def _borrow(self) -> Any:
        if self._pid != os.getpid():
            self._forget_connections()  # a forked child must not share sockets
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._open_or_wait()
        if connection.is_connected:
            try:
                if connection.can_read(0):  # nothing was asked: not ours to read
                    connection.disconnect()
            except redis.ConnectionError:
                connection.disconnect()  # the server hung up while we were idle
        return connection

    def _open_or_wait(self) -> Any:
        """Open one more connection, or wait until another thread returns one."""
        deadline = time.monotonic() + self._timeout
        while True:
            with self._lock:
                if len(self._made) < self._limit:
                    connection = self._new_connection()
                    self._made.add(connection)
                    return connection
            try:
                return self._idle.pop()
            except IndexError:
                time.sleep(0.0005)
            if time.monotonic() > deadline:
                raise redis.ConnectionError(
                    f"all {self._limit} connections stayed busy for {self._timeout} s: "
                    "raise CacheConfig.max_connections"
                )

    def _new_connection(self) -> Any:
        options = dict(self._pool.connection_kwargs)
        options |= {"decode_responses": True, "protocol": 2, "retry": NO_RETRY}
        options["socket_timeout"] = self._timeout
        return self._pool.connection_class(**options)

    def _forget_connections(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: deque[Any] = deque()
        # Weak: a connection that an interrupt tore out of a call frees its place.
        self._made: weakref.WeakSet[Any] = weakref.WeakSet()

    def translate(self, error: Exception) -> AdCacheError:
        """Say what a redis-py error means and what to do about it."""
        where = self._address()
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
                f"Redis at {where} did not answer within {self._timeout} s; whether a "
                "write happened is unknown: retry it with the same id, or raise "
                "CacheConfig.socket_timeout"
            )
        if isinstance(error, UNREACHABLE):
            return RedisUnavailable(
                f"no reply from Redis at {where} ({error}); start one with 'make "
                "lab-server' or 'redis-server', or use connect('fakeredis://')"
            )
        return CommandRefused(f"Redis at {where} refused the command: {error}")

    def _address(self) -> str:
        """Host and port, or the socket's path: never the password."""
        if self._pool is None:
            node = self._client.nodes_manager.default_node
            return f"cluster node {node.host}:{node.port}" if node else "the cluster"
        if not self._plain:
            return "the embedded fake"
        options = self._pool.connection_kwargs
        if "host" not in options and "path" not in options:
            return type(self._pool).__name__  # a Sentinel knows where
        return options.get("path") or f"{options['host']}:{options.get('port', 6379)}"


def _as_text(reply: Any) -> Any:
    """Decode the replies of a client that was made to give bytes."""
    if isinstance(reply, bytes):
        return reply.decode()
    return [_as_text(part) for part in reply] if isinstance(reply, list) else reply

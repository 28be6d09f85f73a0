"""Connections that wait for their next command, shared by all threads.

Kept here is only which `Channel`s are free, and how many there may be.
"""

import os
import threading
import time
import weakref
from collections import deque
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from adcache.channel import Channel

NO_RETRY = Retry(NoBackoff(), 0)


def new_connection(pool: Any, timeout: float) -> Any:
    """Make a connection to where redis-py's `pool` leads; nothing is sent yet."""
    options = dict(pool.connection_kwargs)
    options |= {"decode_responses": True, "protocol": 2, "retry": NO_RETRY}
    options["socket_timeout"] = timeout
    return pool.connection_class(**options)


class IdleConnections:
    """At most `limit` connections; who finds none free waits `timeout` seconds."""

    def __init__(self, pool: Any, limit: int, timeout: float) -> None:
        self._pool = pool  # redis-py's, for its address and options
        self._limit = limit
        self._timeout = timeout
        self._forget()

    def borrow(self) -> Channel:
        """Take a connection that nobody else uses; it may still be unconnected.

        Raises redis-py's ConnectionError when all stay busy.
        """
        if self._pid != os.getpid():
            self._forget()  # a forked child must not share sockets
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._open_or_wait()
        try:
            if connection.disturbed():
                connection.disconnect()  # nothing was asked: not ours to read
        except redis.ConnectionError:
            connection.disconnect()  # the server hung up while we were idle
        return connection

    def give_back(self, connection: Channel) -> None:
        """Let the next caller have it."""
        self._idle.append(connection)

    def close(self) -> None:
        """Hang up on every idle connection."""
        while self._idle:
            self._idle.pop().disconnect()

    def _open_or_wait(self) -> Channel:
        """Open one more connection, or wait until another thread returns one."""
        deadline = time.monotonic() + self._timeout
        while True:
            with self._lock:
                if len(self._made) < self._limit:
                    connection = Channel(new_connection(self._pool, self._timeout))
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

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: deque[Channel] = deque()
        # Weak: a connection that an interrupt tore out of a call frees its place.
        self._made: weakref.WeakSet[Channel] = weakref.WeakSet()

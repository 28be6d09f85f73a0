"""Answers of Redis kept in this process, and dropped as soon as they change.

Which campaigns a user may see is asked with every bid request and changes a few
times a day. `NearCache` keeps such answers beside the code that needs them.
Redis tells which keys have changed (CLIENT TRACKING in broadcast mode,
redirected to a second connection: the form that Redis 6, 7, 8 and Valkey share).

Nobody can hear that nobody speaks: so both connections are pinged, and entries
count only while the last answered ping is younger than `TRUSTED` seconds. A
server that hangs, dies or is cut off empties the near cache within that time.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterable
from typing import Any

import redis
from redis.cluster import RedisCluster
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    RedisClusterException,
    ResponseError,
)

from adcache.clock import to_ms
from adcache.connection import RedisAdCache
from adcache.idle_connections import new_connection

REFUSED = (NoPermissionError, AuthenticationError)
BEAT = 0.2  # seconds between two pings
TRUSTED = 0.8  # an entry is used this long after the last ping that was answered
PAUSE = 0.5  # seconds before the next try, after a connection was lost
MAX_ENTRIES = 10_000
LOST = (redis.ConnectionError, redis.TimeoutError, RedisClusterException, OSError)


class NearCache:
    """Entries by the hash tag of the keys that they come from.

    A change of any key that begins with `prefix` (without the namespace) drops
    the entry of the tag in its braces. `state` says in words whether the near
    cache works; it is off on the embedded fake, which has no CLIENT TRACKING.

    No call raises `RedisUnavailable`: without Redis nothing is kept. Raises
    `InvalidValue` for seconds that are no time.
    """

    def __init__(self, redis_cache: RedisAdCache, prefix: str) -> None:
        self.cache = redis_cache
        self.state = "not started"
        self._prefix = redis_cache.keys.match.removesuffix("*") + prefix
        self._meter = redis_cache.metrics.meter("near")
        self._forget()

    def get(self, tag: str) -> Any:
        """Return the entry of a tag, or None when there is none to be trusted."""
        return self.get_many((tag,))[0]

    def get_many(self, tags: Iterable[str]) -> list[Any]:
        """Return the entries of several tags, None for each that is not there."""
        entries = self._entries if self._alive() else {}
        found = [entries.get(tag) for tag in tags]
        missing = found.count(None)
        if missing:
            self._meter.miss(missing)
        self._meter.hit(len(found) - missing)
        return found

    def ticket(self) -> int:
        """Take a number before reading from Redis what `put` shall store."""
        return self._changes

    def put(self, tag: str, entry: Any, ticket: int) -> bool:
        """Store an entry, unless its key has changed since the ticket was taken."""
        if not self._alive():
            return False
        with self._lock:
            if self._changed.get(tag, self._emptied) > ticket:
                return False
            if len(self._entries) >= MAX_ENTRIES:  # the oldest makes room
                del self._entries[next(iter(self._entries))]
            self._entries[tag] = entry
            return True

    def close(self) -> None:
        """Stop listening and forget everything; a later `get` starts anew."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._forget()

    def wait_until_on(self, seconds: float = 5.0) -> bool:
        """Start listening and wait until entries are kept; False when they are not."""
        deadline = time.monotonic() + to_ms(seconds, "seconds") / 1000
        self._alive()
        while self.state in ("starting", "lost") and time.monotonic() < deadline:
            self._turn.wait(0.01)
        return self.state == "on"

    def _alive(self) -> bool:
        """Say whether entries can be trusted; the first call starts to listen."""
        if self._thread is None or self._pid != os.getpid():
            self._start()
        return time.monotonic() < self._trusted_until

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._turn = threading.Event()  # set when `state` may have changed
        self._thread: threading.Thread | None = None
        self._trusted_until = 0.0
        self._changes = self._emptied = 0
        self._changed: dict[str, int] = {}  # tag -> number of its last change
        self._entries: dict[str, Any] = {}

    def _start(self) -> None:
        if self._pid != os.getpid():
            self._forget()  # a forked child hears nothing of its parent's threads
        with self._lock:
            if self._thread is not None:
                return
            self.state = "starting"
            self._thread = threading.Thread(
                target=self._run, name="adcache-near", daemon=True
            )
        self._thread.start()

    def _run(self) -> None:
        """Listen until closed; what is lost is emptied and tried again."""
        while not self._stop.is_set():
            lines: list[_Line] = []
            try:
                nodes = _nodes(self.cache.redis_client)
                if not nodes:
                    return self._say("off: the embedded fake has no CLIENT TRACKING")
                lines = [_Line(pool, self._prefix) for pool in nodes.values()]
                with self._lock:
                    self._empty()
                self._listen(lines, set(nodes))
            except REFUSED as error:
                return self._say(f"off: Redis refused CLIENT TRACKING ({error})")
            except (*LOST, ResponseError):  # also a server that is busy or loading
                self._say("lost")
                _look_around(self.cache.redis_client)
            finally:
                self._trusted_until = 0.0
                for line in lines:
                    line.close()
            self._stop.wait(PAUSE)
        return self._say("closed")

    def _listen(self, lines: list["_Line"], nodes: set[str]) -> None:
        while not self._stop.is_set():
            asked_at = time.monotonic()
            for line in lines:
                line.ping()
            for line in lines:
                line.await_pong(self._drop)
            if set(_nodes(self.cache.redis_client)) != nodes:
                raise redis.ConnectionError("the cluster has other primaries now")
            self._trusted_until = asked_at + TRUSTED
            self._say("on")
            while (left := asked_at + BEAT - time.monotonic()) > 0:
                for line in lines:
                    line.read(left / len(lines), self._drop)
                if self._stop.is_set():
                    return

    def _drop(self, keys: list[str] | None) -> None:
        """Forget what came from these keys; None: the server was flushed."""
        with self._lock:
            if keys is None or len(self._changed) > MAX_ENTRIES:
                self._empty()
            for key in keys or []:
                self._changes += 1
                tag = key.partition("{")[2].rpartition("}")[0]
                self._changed[tag] = self._changes
                self._entries.pop(tag, None)

    def _empty(self) -> None:
        self._changes += 1
        self._emptied = self._changes
        self._changed.clear()
        self._entries.clear()

    def _say(self, state: str) -> None:
        self.state = state
        self._turn.set()
        self._turn.clear()


class _Line:
    """Two connections to one node: one is told of changes, one asks for that."""

    def __init__(self, pool: Any, prefix: str) -> None:
        self._told = new_connection(pool, TRUSTED)
        self._tracker = new_connection(pool, TRUSTED)
        try:
            self._told.connect()
            number = _ask(self._told, "CLIENT", "ID")
            _ask(self._told, "SUBSCRIBE", "__redis__:invalidate")
            self._tracker.connect()
            redirect = ("REDIRECT", number, "BCAST", "PREFIX", prefix)
            _ask(self._tracker, "CLIENT", "TRACKING", "ON", *redirect)
        except BaseException:
            self.close()
            raise

    def ping(self) -> None:
        self._told.send_command("PING", check_health=False)
        self._tracker.send_command("PING", check_health=False)

    def await_pong(self, drop: Any) -> None:
        """Both must answer; changes told before the answer are taken in."""
        self._tracker.read_response()
        while self._message(drop)[0] != "pong":
            pass

    def read(self, seconds: float, drop: Any) -> None:
        """Take in what is told within the next `seconds`."""
        if self._told.can_read(seconds):
            self._message(drop)

    def _message(self, drop: Any) -> Any:
        message = self._told.read_response()
        if message[0] == "message":
            drop(message[2])
        return message

    def close(self) -> None:
        self._told.disconnect()
        self._tracker.disconnect()


def _ask(connection: Any, *command: Any) -> Any:
    connection.send_command(*command, check_health=False)
    return connection.read_response()


def _look_around(client: Any) -> None:
    """Let a cluster's client find out who the primaries are by now."""
    if isinstance(client, RedisCluster):
        with contextlib.suppress(*LOST):
            client.nodes_manager.initialize()


def _nodes(client: Any) -> dict[str, Any]:
    """Connection pools of all primaries by address; none for the embedded fake."""
    if isinstance(client, RedisCluster):
        return {
            node.name: client.get_redis_connection(node).connection_pool
            for node in client.get_primaries()
        }
    fake = "fakeredis" in type(client).__module__
    return {} if fake else {"server": client.connection_pool}

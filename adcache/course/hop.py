"""Count what one hop of a bid request costs: trips, bytes and time.

Sizes are those of the Redis protocol (RESP2) and are computed from command and
reply, so they are the same on every backend. A key counts without its
namespace, and a script as the EVALSHA that a warmed-up server gets.
"""

import hashlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import redis

from adcache import RedisAdCache
from adcache.course.table import Table
from adcache.resp import command_size, head_size, reply_size


class Call(NamedTuple):
    """One command as it travelled: what it was, and its size both ways."""

    name: str
    bytes_out: int
    bytes_in: int


class trace:  # noqa: N801 - used as a verb: with trace(cache) as hop
    """Watch the commands of a cache while the block runs.

    A pipeline is one trip, whatever it holds. Commands sent through
    ``cache.redis_client`` count as well as those of the components.

    >>> from adcache import connect
    >>> cache = connect("fakeredis://")
    >>> with trace(cache) as hop:
    ...     _ = cache.wire.execute("GET", cache.get_key("campaign", campaign_id="c"))
    >>> hop.trips, hop.bytes_out, hop.bytes_in
    (1, 32, 5)
    """

    def __init__(self, cache: RedisAdCache) -> None:
        self.calls: list[Call] = []
        self.trips = 0
        self._seconds = 0.0
        self._cache = cache
        self._scripts = {s.sha: name for name, s in cache.lua_scripts.items()}
        # The fake and a cluster send through the client: watching it is enough.
        self._watch_wire = type(cache.redis_client) is redis.Redis

    @property
    def bytes_out(self) -> int:
        """Bytes sent to the server."""
        return sum(call.bytes_out for call in self.calls)

    @property
    def bytes_in(self) -> int:
        """Bytes that came back."""
        return sum(call.bytes_in for call in self.calls)

    @property
    def micros(self) -> int:
        """Microseconds spent waiting; for cells that are not compared."""
        return round(self._seconds * 1e6)

    def table(self) -> Table:
        """List commands and scripts in the order they were first sent."""
        rows: dict[str, list[int]] = {}
        for name, out, back in self.calls:
            row = rows.setdefault(name, [0, 0, 0])
            row[:] = row[0] + 1, row[1] + out, row[2] + back
        trips = f"total, {self.trips} trip{'s' * (self.trips != 1)}"
        lines = [[name, *row] for name, row in rows.items()]
        lines.append([trips, len(self.calls), self.bytes_out, self.bytes_in])
        return Table(["command", "times", "bytes out", "bytes in"], lines)

    def __enter__(self) -> "trace":
        wire, client = self._cache.wire, self._cache.redis_client
        self._before = wire.observer
        if self._watch_wire:
            wire.observer = self._seen_by_wire
        client.execute_command = self._watched(client.execute_command)
        self._make_pipeline = client.pipeline
        client.pipeline = self._pipeline
        return self

    def __exit__(self, *_: object) -> None:
        client = self._cache.redis_client
        self._cache.wire.observer = self._before
        del client.execute_command, client.pipeline

    def _seen_by_wire(
        self, pairs: list[tuple[tuple[Any, ...], Any]], seconds: float
    ) -> None:
        self._trip(pairs, seconds)
        if self._before:
            self._before(pairs, seconds)

    def _watched(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def execute_command(*command: Any, **options: Any) -> Any:
            started = time.perf_counter()
            reply = send(*command, **options)
            self._trip([(command, reply)], time.perf_counter() - started)
            return reply

        return execute_command

    def _pipeline(self, *args: Any, **options: Any) -> Any:
        pipe = self._make_pipeline(*args, **options)
        send = pipe.execute
        if hasattr(pipe, "immediate_execute_command"):  # after WATCH
            pipe.immediate_execute_command = self._watched(
                pipe.immediate_execute_command
            )

        def execute(raise_on_error: bool = True) -> Any:
            commands = [_arguments(entry) for entry in _queued(pipe)]
            started = time.perf_counter()
            replies = send(raise_on_error)
            seconds = time.perf_counter() - started
            self._trip(list(zip(commands, replies, strict=False)), seconds)
            if commands and getattr(pipe, "transaction", False) is True:
                queued = len("+QUEUED\r\n") * len(commands)
                self.calls.append(Call("MULTI", 15, 5))
                self.calls.append(Call("EXEC", 14, head_size(len(commands)) + queued))
            return replies

        pipe.execute = execute
        return pipe

    def _trip(self, pairs: list[tuple[tuple[Any, ...], Any]], seconds: float) -> None:
        """Note the commands of one wait for the network."""
        for command, reply in pairs:
            words = [self._bare(word) for word in self._warm(command)]
            name = str(words[0]).upper()
            script = self._scripts.get(words[1]) if name == "EVALSHA" else None
            back = reply_size(name, self._bare(reply))
            self.calls.append(Call(script or name, command_size(words), back))
        self.trips += bool(pairs)
        self._seconds += seconds

    def _warm(self, command: tuple[Any, ...]) -> tuple[Any, ...]:
        """Turn the EVAL of a script of ours into the EVALSHA of all later calls."""
        if command[0] != "EVAL":
            return command
        text = str(command[1]).encode()
        sha = hashlib.sha1(text, usedforsecurity=False).hexdigest()
        return ("EVALSHA", sha, *command[2:]) if sha in self._scripts else command

    def _bare(self, word: Any) -> Any:
        """Take the namespace off a key, also off each key of a list."""
        if isinstance(word, list):
            return [self._bare(part) for part in word]
        return self._cache.keys.strip(word) if isinstance(word, str) else word


def _queued(pipe: Any) -> list[Any]:
    """Commands that wait in a pipeline; a cluster's pipeline keeps them deeper."""
    strategy = getattr(pipe, "_execution_strategy", None)
    return list(strategy.command_queue if strategy else pipe.command_stack)


def _arguments(entry: Any) -> tuple[Any, ...]:
    """Command of a pipeline's entry: (args, options), or a cluster's object."""
    return tuple(entry.args if hasattr(entry, "args") else entry[0])

"""How commands travel: one connection, one wait, errors in our own words.

A `Question` is one command together with what its reply means. One is asked
with `Wire.ask`; several, also of different components, share one wait for the
network in `Wire.trip`.

redis-py's `execute_command` takes a connection from its pool, wraps the call
in retry and telemetry layers and gives the connection back: two thirds of the
time of a call on loopback. `Wire` uses connections of its own (`Channel`) and
does only what is needed. It never repeats a command on its own, because nobody can know
whether a lost reply means a lost command.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import redis
from hiredis import pack_command
from redis.exceptions import (
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from adcache.errors import AdCacheError, UnreadableRecord
from adcache.idle_connections import IdleConnections
from adcache.metrics import Meter, Metrics
from adcache.wire_errors import translated

Command = tuple[Any, ...]
Answer = TypeVar("Answer")
# Called after each trip with its (command, reply) pairs and the seconds it took.
Observer = Callable[[list[tuple[Command, Any]], float], None]


def as_it_is(reply: Any) -> Any:
    """Return the reply unchanged: what a `Question` does unless told more."""
    return reply


def as_dict(reply: Any) -> dict[str, str]:
    """Read HGETALL: the fake and the cluster give a dict, the wire a flat list."""
    if isinstance(reply, dict):
        return reply
    parts = iter(reply)
    return dict(zip(parts, parts, strict=True))


class Question(NamedTuple, Generic[Answer]):
    """One command, and how to read its reply.

    `safe` as in `Wire.execute`; `component` is who asks, for the meters.
    """

    command: Command
    read: Callable[[Any], Answer] = as_it_is
    safe: bool = False
    component: str = "other"


class Wire:
    """Sends commands to Redis and gives back their replies.

    Plain connections are used for a standalone server. The embedded fake and
    Redis Cluster bring their own way of travelling: there the client is asked.
    """

    def __init__(
        self, client: Any, timeout: float, connections: int, retry_on_timeout: bool
    ) -> None:
        self._client = client
        self._retry = retry_on_timeout
        self._pool: Any = getattr(client, "connection_pool", None)
        fake = "fakeredis" in type(client).__module__
        self._plain = isinstance(client, redis.Redis) and not fake
        self._bytes = not client.get_encoder().decode_responses
        given = self._pool and self._pool.connection_kwargs.get("socket_timeout")
        self._timeout = given or timeout
        self.observer: Observer | None = None
        self.metrics = Metrics()
        self._other = self.metrics.meter("other")
        self.scripts: dict[str, str] = {}  # sha -> source, to send it again
        self._connections = IdleConnections(self._pool, connections, self._timeout)

    def execute(
        self, *command: Any, safe: bool = False, meter: Meter | None = None
    ) -> Any:
        """Send one command and wait for its reply: text, int, list or None.

        `safe` says that running it twice changes nothing more (a read, or a
        write with an operation id): with ``retry_on_timeout`` it is then
        repeated once. Raises `RedisUnavailable`, `RedisTimeout`,
        `AccessDenied` or `CommandRefused`; an unknown script is redis-py's
        `NoScriptError`, which `lua.Script` heals.
        """
        meter = meter or self._other
        started = time.perf_counter()
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
            meter.failed()
            raise self.translate(error) from error
        took = time.perf_counter() - started
        meter.took(took)
        if self.observer:
            self.observer([(command, reply)], took)
        return reply

    def ask(self, question: Question[Answer]) -> Answer:
        """Ask one question; raises as `execute` does."""
        command, read, safe, component = question
        meter = self.metrics.meter(component)
        try:
            reply = self.execute(*command, safe=safe, meter=meter)
        except NoScriptError:
            source = self._with_source(command)
            reply = self.execute(*source, safe=safe, meter=meter)
        return read(reply)

    def trip(
        self,
        questions: Sequence[Question[Any]],
        watch: Observer | None = None,
        keep_errors: bool = False,
    ) -> list[Any]:
        """Ask all questions in one wait for the network; their answers in order.

        Each command stands for itself: this is no transaction. Every reply is
        read before the first error among them is raised, as `execute` would;
        with `keep_errors` each error stands in the place of its answer.
        A server that does not know a script gets its source in a second trip.
        """
        replies = self._travel(questions, watch)
        for reply in replies:
            if isinstance(reply, Exception):
                return self._answers_with_errors(questions, replies, watch, keep_errors)
        try:
            return [q.read(reply) for q, reply in zip(questions, replies, strict=True)]
        except (AdCacheError, ValueError):
            if not keep_errors:
                raise
        return self._answers_with_errors(questions, replies, watch, keep_errors)

    def _answers_with_errors(
        self,
        questions: Sequence[Question[Any]],
        replies: list[Any],
        watch: Observer | None,
        keep_errors: bool,
    ) -> list[Any]:
        """Send unknown scripts again with their source; tell the errors that stay."""
        unknown = [n for n, r in enumerate(replies) if isinstance(r, NoScriptError)]
        again = [questions[n] for n in unknown]
        again = [q._replace(command=self._with_source(q.command)) for q in again]
        healed = self._travel(again, watch)
        for n, reply in zip(unknown, healed, strict=True):
            replies[n] = reply
        answers: list[Any] = []
        for question, reply in zip(questions, replies, strict=True):
            if isinstance(reply, Exception):
                self.metrics.meter(question.component).failed()
                error = self.translate(reply)
                if not keep_errors:
                    raise error from reply
                answers.append(error)
            elif keep_errors:
                answers.append(_read_or_error(question, reply))
            else:
                answers.append(question.read(reply))
        return answers

    def _travel(
        self,
        questions: Sequence[Question[Any]],
        watch: Observer | None,
    ) -> list[Any]:
        """Send commands together; replies, with errors among them, come back."""
        if not questions:
            return []
        commands = [question.command for question in questions]
        started = time.perf_counter()
        try:
            try:
                replies = self._send_all(commands)
            except (redis.ConnectionError, redis.TimeoutError):
                if not (self._retry and all(question.safe for question in questions)):
                    raise
                replies = self._send_all(commands)
        except (RedisError, RedisClusterException, OSError) as error:
            for question in questions:
                self.metrics.meter(question.component).failed()
            raise self.translate(error) from error
        took = time.perf_counter() - started
        self.metrics.took({question.component for question in questions}, took)
        if self.observer or watch:
            pairs = list(zip(commands, replies, strict=True))
            for observer in (self.observer, watch):
                if observer:
                    observer(pairs, took)
        return replies

    def _with_source(self, command: Command) -> Command:
        return ("EVAL", self.scripts[command[1]], *command[2:])

    def close(self) -> None:
        """Close the idle connections; a later call opens new ones."""
        self._connections.close()

    def _send(self, command: Command) -> Any:
        if not self._plain:
            reply = self._client.execute_command(*command, **_options(command))
            return _as_text(reply) if self._bytes else reply
        (reply,) = self._exchange(pack_command(command), 1)
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def _send_all(self, commands: list[Command]) -> list[Any]:
        if not self._plain:
            return self._through_client(commands)
        packed = b"".join([pack_command(command) for command in commands])
        return self._exchange(packed, len(commands))

    def _exchange(self, packed: bytes, count: int) -> list[Any]:
        """Use one connection; it is given back in step, or without a line."""
        connection = self._connections.borrow()
        try:
            return connection.exchange(packed, count)
        except BaseException:
            connection.disconnect()  # a late reply must not answer the next call
            raise
        finally:
            self._connections.give_back(connection)

    def _through_client(self, commands: list[Command]) -> list[Any]:
        """The fake and the cluster have pipelines of their own."""
        options = {} if self._pool is None else {"transaction": False}
        pipe = self._client.pipeline(**options)
        for command in commands:
            pipe.execute_command(*command, **_options(command))
        replies = pipe.execute(raise_on_error=False)
        for reply in replies:
            lost = isinstance(reply, redis.ConnectionError | redis.TimeoutError)
            if lost or isinstance(reply, RedisClusterException):
                raise reply  # no reply at all: nobody knows what happened
        return [_as_text(reply) for reply in replies] if self._bytes else replies

    def translate(self, error: Exception) -> AdCacheError:
        """Say what a redis-py error means and what to do about it."""
        return translated(error, self._address(), self._timeout)

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


def _read_or_error(question: Question[Any], reply: Any) -> Any:
    """Read a reply; what stands in Redis and cannot be read becomes an error."""
    try:
        return question.read(reply)
    except AdCacheError as error:
        return error
    except ValueError as error:
        return UnreadableRecord(f"a reply cannot be read: {error}")


def _options(command: Command) -> dict[str, bool]:
    """Tell redis-py that SET ... GET answers with the old value, not with OK."""
    return {"get": True} if command[0] == "SET" and "GET" in command else {}


def _as_text(reply: Any) -> Any:
    """Decode the replies of a client that was made to give bytes."""
    if isinstance(reply, bytes):
        return reply.decode()
    return [_as_text(part) for part in reply] if isinstance(reply, list) else reply

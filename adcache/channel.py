"""One connection to Redis, spoken to without a detour.

redis-py's `Connection` knows how to reach a server: TCP, sockets, TLS, passwords,
Sentinel. Reading a reply through it passes four functions, for each reply of a
trip anew. `Channel` lets it connect, and then sends and reads by itself: all
commands in one piece, and replies as many as arrive at once.
"""

import select
import socket
import ssl
import struct
from typing import Any

import hiredis
import redis
from redis.connection import DefaultParser
from redis.exceptions import InvalidResponse, ReadOnlyError

SIZE = 65_536  # bytes that are taken from the socket at once
HUNG_UP = "the server has closed the connection"
_NOT_YET = object()  # what the reader says until a reply has come whole


class Channel:
    """Wraps a redis-py connection; for one thread at a time."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._socket: Any = None
        self._poll: Any = None
        self._buffer = bytearray(SIZE)

    @property
    def is_connected(self) -> bool:
        """Whether there is a line; the server may have hung up meanwhile."""
        return bool(self._connection.is_connected)

    def disconnect(self) -> None:
        """Hang up; the next `exchange` connects anew."""
        self._connection.disconnect()

    def disturbed(self) -> bool:
        """Whether the server hung up, or said something that nobody asked for."""
        if self._connection._sock is not self._socket or self._poll is None:
            return self.is_connected and bool(self._connection.can_read(0))
        return bool(self._poll.poll(0))

    def exchange(self, packed: bytes, count: int) -> list[Any]:
        """Send commands and read their replies; refused ones are `ResponseError`s.

        Raises redis-py's ConnectionError and TimeoutError. After any exception
        the line must be dropped: a late reply would answer the next question.
        """
        if not self._connection.is_connected:
            self._connection.connect()  # a Sentinel's looks its server up in here
        if self._connection._sock is not self._socket:
            self._adopt(self._connection._sock)
        try:
            self._socket.sendall(packed)
            replies = self._read(count)
        except (TimeoutError, BlockingIOError) as error:
            raise redis.TimeoutError("no reply in time") from error
        except OSError as error:
            raise redis.ConnectionError(str(error)) from error
        for reply in replies:
            if isinstance(reply, redis.ConnectionError):
                raise reply  # such as "max number of clients reached"
            if isinstance(reply, ReadOnlyError):
                self.disconnect()  # a replica by now: look the primary up again
        return replies

    def _adopt(self, line: Any) -> None:
        """Prepare to read from a new line."""
        self._reader = hiredis.Reader(
            encoding="utf-8",
            errors=self._connection.encoder.encoding_errors,
            protocolError=InvalidResponse,
            replyError=DefaultParser.parse_error,
            notEnoughData=_NOT_YET,
        )
        self._poll = None
        if hasattr(select, "poll") and not isinstance(line, ssl.SSLSocket):
            self._poll = select.poll()
            self._poll.register(line.fileno(), select.POLLIN)
            _let_the_kernel_time(line)
        self._socket = line

    def _read(self, count: int) -> list[Any]:
        line, reader, buffer = self._socket, self._reader, self._buffer
        replies: list[Any] = []
        while True:
            size = line.recv_into(buffer)
            if size == 0:
                raise ConnectionError(HUNG_UP)
            reader.feed(buffer, 0, size)  # type: ignore[arg-type]  # bytearray will do
            while (reply := reader.gets()) is not _NOT_YET:
                replies.append(reply)
                if len(replies) == count:
                    return replies


def _let_the_kernel_time(line: Any) -> None:
    """Give the kernel the socket's timeout: Python asks it twice for each step."""
    seconds = line.gettimeout()
    if seconds:
        whole, part = divmod(round(seconds * 1_000_000), 1_000_000)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            line.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", whole, part))
        line.settimeout(None)

"""A TCP proxy that counts how often a client waits for its server.

A trip is one wait: what the client sent since its last answer, and the answer.
A pipeline of many commands is one trip, however many packets it takes; two
commands, one after the other, are two. Client libraries cannot count this from
inside: they do not see what a pool, a lock or a retry sends beside.
"""

import contextlib
import select
import socket
import threading
from urllib.parse import urlsplit

QUIET = 0.002  # seconds; who has sent nothing for so long waits for an answer
# Nobody waits on such a line: it is told of changes, and pinged in between.
LISTENS = (b"SUBSCRIBE", b"TRACKING")


class TripCounter:
    """Forwards bytes between clients and one server, and counts the waits.

    >>> with TripCounter("redis://127.0.0.1:6379/0") as proxy:  # doctest: +SKIP
    ...     redis.Redis.from_url(proxy.url).ping()
    ...     proxy.trips
    """

    def __init__(self, url: str) -> None:
        self._target = ("127.0.0.1", urlsplit(url).port or 6379)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.trips = 0
        self.counting = True  # without it everything passes at once
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "TripCounter":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line = (client, server)
                threading.Thread(target=self._carry, args=line, daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        """Serve one line: all of a request, then all of its answer, and again."""
        counted = True
        with contextlib.suppress(OSError), client, server:
            while True:
                ready, _, _ = select.select((client, server), (), ())
                if client in ready:
                    request = _all_of(client, QUIET if self.counting else 0)
                    if not request:
                        return
                    counted = counted and not any(word in request for word in LISTENS)
                    with self._lock:
                        self.trips += counted and self.counting
                    server.sendall(request)
                if server in ready:
                    answer = server.recv(65536)
                    if not answer:
                        return
                    client.sendall(answer)


def _all_of(client: socket.socket, quiet: float) -> bytes:
    """Read until the client falls silent: a long pipeline comes in pieces."""
    parts = [client.recv(65536)]
    while parts[-1] and select.select((client,), (), (), quiet)[0]:
        parts.append(client.recv(65536))
    return b"".join(parts)

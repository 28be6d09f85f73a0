"""A TCP proxy between client and server that loses replies on demand."""

import contextlib
import socket
import threading


class Proxy:
    """Forwards bytes; `lose(n)` cuts the line n times after a request went through.

    The server has then done its work, and the client does not know. With
    `hang` set, replies are swallowed and the line stays open.
    """

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.requests = 0
        self.hang = False
        self._to_lose = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """URL of the proxy, to be used instead of the server's."""
        return f"redis://127.0.0.1:{self.port}/0"

    def lose(self, replies: int = 1) -> None:
        """Lose the next replies."""
        with self._lock:
            self._to_lose = replies

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for pump in (self._requests, self._replies):
                    threading.Thread(
                        target=pump, args=(client, server), daemon=True
                    ).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self.requests += 1
                server.sendall(data)
        _close(client, server)

    def _replies(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                with self._lock:
                    lost = self._to_lose > 0
                    self._to_lose -= lost
                if lost:
                    break
                if not self.hang:
                    client.sendall(data)
        _close(client, server)

    def close(self) -> None:
        """Stop listening; open lines end with their clients."""
        self._listener.close()


def _close(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()

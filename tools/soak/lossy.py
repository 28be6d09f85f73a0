"""A line that loses replies: the work is done, and the client does not know."""

import contextlib
import random
import socket
import threading


class LossyProxy:
    """Forwards to a server on loopback and loses a `share` of the replies.

    A reply is lost by cutting the line: before it, or in the middle of it.
    `lost` counts them. Which ones, chance decides, from a fixed seed.
    """

    def __init__(self, port: int, share: float = 0.01, seed: int = 7) -> None:
        self.lost = 0
        self._target = ("127.0.0.1", port)
        self._share = share
        self._luck = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more lines; those that are open end with their clients."""
        self._listener.close()

    def __enter__(self) -> "LossyProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
                server.sendall(data)
        _hang_up(client, server)

    def _replies(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                luck = self._luck.random()
                if luck < self._share:
                    self.lost += 1
                    if luck < self._share / 4:
                        client.sendall(data[: len(data) // 2])
                    break
                client.sendall(data)
        _hang_up(client, server)


def _hang_up(*lines: socket.socket) -> None:
    for line in lines:
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)
        line.close()

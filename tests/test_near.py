"""Entries of the near cache live as long as they are true, and not a second longer."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from adcache import AdCacheError, connect
from adcache.backends import LocalCluster
from adcache.near import TRUSTED, NearCache
from tests.conftest import need_binary


def until(condition: Callable[[], object], seconds: float = 5.0) -> float:
    """Wait until the condition holds; the seconds that took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "waited in vain"
    return time.monotonic() - started


@pytest.fixture
def near(cache):
    """Near cache of targeting keys, closed when the test is over."""
    near = NearCache(cache, "targeting:")
    near.wait_until_on()
    yield near
    near.close()


def keep(near: NearCache, name: str, entry: object = "entry") -> tuple[str, str]:
    """Store an entry; its tag and the key of which it was read."""
    key = near.cache.get_key("targeting_index", interest=name, location="all")
    tag = key.partition("{")[2].rpartition("}")[0]
    assert near.put(tag, entry, near.ticket())
    return tag, key


def test_the_fake_has_none_and_says_so(make_cache):
    """Without CLIENT TRACKING nothing is kept, and `state` tells why."""
    near = NearCache(make_cache("fakeredis"), "targeting:")

    assert not near.wait_until_on()
    assert near.state == "off: the embedded fake has no CLIENT TRACKING"
    assert not near.put("tea:all", "entry", near.ticket())
    assert near.get("tea:all") is None
    near.close()


SERVERS = ["redis", "redis-8.2", "valkey-8.1", "cluster"]


@pytest.mark.parametrize("backend", SERVERS, indirect=True)
def test_a_change_drops_its_entry_within_a_second(near):
    """A write to the key, by whomever, drops this entry and no other."""
    tag, key = keep(near, "tea")
    other, _ = keep(near, "tea:time")
    took = []
    for score in range(5):
        until(lambda: near.put(tag, "entry", near.ticket()))
        near.cache.wire.execute("ZADD", key, score, "sneakers")
        took.append(until(lambda: near.get(tag) is None))
    near.cache.wire.execute("DEL", key)

    assert max(took) < 1.0
    assert "entry" == near.get(other)


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
def test_what_changed_while_it_was_read_is_not_kept(near):
    """A ticket from before the change buys nothing after it."""
    tag, key = keep(near, "tea")
    ticket = near.ticket()
    near.cache.wire.execute("SET", key, "newer", "PX", 60_000)
    until(lambda: near.get(tag) is None)

    assert not near.put(tag, "older", ticket)
    assert near.put(tag, "newer", near.ticket())


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
def test_other_namespaces_and_keys_do_not_matter(near, make_cache):
    """Only this namespace's keys with the prefix drop entries."""
    tag, _ = keep(near, "tea")
    stranger = make_cache("redis")
    for pattern, ids in (
        ("targeting_index", {"interest": "tea", "location": "all"}),
        ("campaign", {"campaign_id": "tea"}),
    ):
        stranger.wire.execute("SET", stranger.get_key(pattern, **ids), 1, "PX", 60_000)
    near.cache.wire.execute(
        "SET", near.cache.get_key("campaign", campaign_id="tea"), 1, "PX", 60_000
    )
    sentinel, key = keep(near, "sentinel")
    near.cache.wire.execute("SET", key, 1, "PX", 60_000)
    until(lambda: near.get(sentinel) is None)

    assert "entry" == near.get(tag)


def test_a_server_that_hangs_is_not_trusted(own_server):
    """Entries stop counting when pings stay unanswered, and come back after it."""
    cache = connect(own_server.url)
    server = int(cache.redis_client.info("server")["process_id"])
    near = NearCache(cache, "targeting:")
    assert near.wait_until_on()
    tag, _ = keep(near, "tea")
    os.kill(server, signal.SIGSTOP)
    try:
        took = until(lambda: near.get(tag) is None)
    finally:
        os.kill(server, signal.SIGCONT)

    assert took < TRUSTED + 0.5
    until(lambda: near.put(tag, "entry", near.ticket()))
    near.close()


def test_a_lost_connection_empties_the_near_cache(own_server):
    """When a tracking connection is killed everything is dropped; then it resumes."""
    cache = connect(own_server.url)
    near = NearCache(cache, "targeting:")
    assert near.wait_until_on()
    tag, _ = keep(near, "tea")
    cache.wire.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    assert until(lambda: near.get(tag) is None) < 1.0
    until(lambda: near.put(tag, "entry", near.ticket()))
    near.close()


def test_a_flush_empties_it(own_server):
    """FLUSHALL tells of no single key, so all entries go."""
    cache = connect(own_server.url)
    near = NearCache(cache, "targeting:")
    assert near.wait_until_on()
    tag, _ = keep(near, "tea")
    cache.redis_client.flushall()

    until(lambda: near.get(tag) is None)
    near.close()


def test_a_refusal_is_told_once_and_for_all(own_server):
    """A user who may not use CLIENT TRACKING gets no near cache, and the reason."""
    cache = connect(own_server.url)
    rights = ("~*", "&*", "+@all", "-client|tracking")
    cache.wire.execute("ACL", "SETUSER", "reader", "on", ">pw", *rights)
    near = NearCache(
        connect(own_server.url.replace("redis://", "redis://reader:pw@")), "targeting:"
    )

    assert not near.wait_until_on()
    assert near.state.startswith("off: Redis refused CLIENT TRACKING (")
    near.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_anew(own_server):
    """A child has none of its parent's entries and listens for itself."""
    near = NearCache(connect(own_server.url), "targeting:")
    assert near.wait_until_on()
    tag, _ = keep(near, "tea")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            empty = near.get(tag) is None
            code = 0 if empty and near.wait_until_on() and keep(near, "x") else 1
        finally:
            os._exit(code)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert "entry" == near.get(tag)
    near.close()


def test_close_ends_the_thread_at_once(own_server):
    """No thread is left, also when it is closed twice."""
    near = NearCache(connect(own_server.url), "targeting:")
    assert near.wait_until_on()
    thread = near._thread
    started = time.monotonic()
    near.close()
    near.close()

    assert time.monotonic() - started < 1.0
    assert not thread.is_alive()


def test_a_failover_is_survived():
    """When a primary dies the near cache listens to its successor."""
    with LocalCluster(need_binary("cluster"), primaries=3, replicas=1) as cluster:
        cache = connect(cluster.url)
        near = NearCache(cache, "targeting:")
        assert near.wait_until_on()
        tag, key = keep(near, "tea")
        cluster.primaries[2].stop()
        until(lambda: near.get(tag) is None)
        until(lambda: near.put(tag, "entry", near.ticket()), seconds=30)
        until(lambda: _written(cache, key), seconds=30)
        until(lambda: near.get(tag) is None)
        near.close()


def _written(cache, key) -> bool:
    try:
        cache.wire.execute("SET", key, time.monotonic_ns(), "PX", 60_000)
    except AdCacheError:
        return False
    return True

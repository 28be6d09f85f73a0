"""One object for all components; what goes wrong is said, and never hangs."""

import os
import threading
import time

import pytest
import redis
import redis.asyncio

from adcache import (
    AccessDenied,
    AdCacheError,
    CacheConfig,
    Cap,
    CommandRefused,
    FrequencyCapManager,
    InvalidValue,
    RealTimeBiddingCache,
    RedisAdCache,
    RedisTimeout,
    RedisUnavailable,
    connect,
)
from adcache.backends import LocalServer, free_port, rebuild_embedded
from tests.proxy import Proxy

PASSWORD = "correct-horse"


def test_without_anything_the_embedded_fake_is_used():
    """`connect()` needs no server: it gives a fake inside this process."""
    cache = connect()

    assert "FakeRedis" == type(cache.redis_client).__name__


def test_the_environment_names_server_and_namespace(monkeypatch, redis_url):
    """ADCACHE_URL and ADCACHE_NAMESPACE are used where no argument is given."""
    monkeypatch.setenv("ADCACHE_URL", redis_url)
    monkeypatch.setenv("ADCACHE_NAMESPACE", "learner-7")
    cache = connect()

    assert redis.Redis is type(cache.redis_client)
    assert "learner-7:campaign:{c}" == cache.get_key("campaign", campaign_id="c")
    assert "mine:campaign:{c}" == connect(namespace="mine").get_key(
        "campaign", campaign_id="c"
    )


def test_two_connections_to_one_fake_share_their_data():
    """The embedded fake behaves as a server: equal URLs see equal keys."""
    connect("fakeredis://shared").redis_client.set("k", "v", px=60_000)

    assert "v" == connect("fakeredis://shared").redis_client.get("k")
    assert None is connect("fakeredis://other").redis_client.get("k")
    rebuild_embedded("fakeredis://shared")
    assert None is connect("fakeredis://shared").redis_client.get("k")


@pytest.mark.parametrize("url", ["http://x", "localhost:6379", "", 7])
def test_an_unknown_url_lists_the_known_ones(url, monkeypatch):
    """A wrong scheme is a ValueError that says what is possible."""
    with pytest.raises(InvalidValue, match=r"fakeredis://.*redis\+cluster://"):
        RedisAdCache.from_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://[bad",
        "redis://ada:s3/cret@127.0.0.1:6379/0",
        "redis://ada:12/34@127.0.0.1/0",
        "redis+cluster://ada:12?34@127.0.0.1:7000",
        "fakeredis://x/abc",
        "redis://h:port/0",
    ],
)
def test_a_malformed_url_is_not_shown(url):
    """The error says how to write one, and shows nothing: passwords hide there."""
    with pytest.raises(InvalidValue, match="scheme://user:password@host") as error:
        connect(url)

    assert [] == [part for part in ("12", "34", "s3", "cret") if part in str(error)]


def test_an_empty_namespace_is_refused():
    """It would be everybody's."""
    with pytest.raises(InvalidValue, match="namespace must not be empty"):
        connect("fakeredis://", namespace="")


def test_clients_that_cannot_be_safe_are_refused(server_url):
    """An asyncio client, a URL, and a cluster client that repeats commands."""
    nodes = server_url("cluster").replace("redis+cluster", "redis")
    for client in (
        redis.asyncio.Redis(),
        "redis://",
        redis.RedisCluster.from_url(nodes),
    ):
        with pytest.raises(InvalidValue, match="RedisCluster"):
            RedisAdCache(client=client)


def test_a_cluster_is_found_through_any_node(server_url):
    """The URL may name several nodes; a dead one among them does no harm."""
    alive = server_url("cluster").split("//")[1]
    cache = connect(f"redis+cluster://127.0.0.1:{free_port()},{alive}")

    assert FrequencyCapManager(cache).check_frequency_cap("u", "c", 1, 1)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("default_ttl", 0),
        ("socket_timeout", -1),
        ("socket_connect_timeout", float("nan")),
        ("max_connections", 0),
        ("max_connections", True),
        ("namespace", ""),
    ],
)
def test_a_config_that_cannot_work_is_refused(option, value):
    """Bad times, counts and names are a ValueError naming the option."""
    with pytest.raises(InvalidValue, match=option):
        CacheConfig(**{option: value})


def test_the_seed_way_to_construct_still_works(own_server):
    """Host, port, db, password and config come as positional arguments."""
    config = CacheConfig(default_ttl=60, max_connections=5, decode_responses=False)
    cache = RedisAdCache("127.0.0.1", own_server.port, 0, None, config)

    assert cache.redis_client.ping()
    assert cache.pool is cache.redis_client.connection_pool
    with cache.get_client() as client:
        assert client is cache.redis_client
    assert FrequencyCapManager(cache).check_frequency_cap("u", "c")


def test_a_client_of_ones_own_is_used(own_server):
    """A redis-py client made elsewhere, here one that gives bytes, will do."""
    cache = RedisAdCache(client=redis.Redis(port=own_server.port))
    auctions = RealTimeBiddingCache(cache)

    assert auctions.create_auction("a", 1)
    assert auctions.submit_bid("a", "ключ", 2)
    assert "ключ" == auctions.close_auction("a")["campaign_id"]


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:{}/0", "redis+cluster://127.0.0.1:{}"]
)
def test_a_dead_server_is_told_within_a_second(url):
    """No server: a ConnectionError of ours that says how to start one."""
    started = time.monotonic()
    with pytest.raises(ConnectionError, match="make lab-server") as error:
        FrequencyCapManager(connect(url.format(free_port()))).check_frequency_cap(
            "u", "c"
        )

    assert time.monotonic() - started < 1
    assert isinstance(error.value, AdCacheError)


def test_a_hung_server_is_a_timeout(own_server):
    """A server that does not answer costs the socket timeout, not more."""
    proxy = Proxy(own_server.port)
    proxy.hang = True
    cache = connect(proxy.url, config=CacheConfig(socket_timeout=0.2))
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"within 0.2 s.*same id") as error:
        cache.wire.execute("PING")

    assert 0.2 <= time.monotonic() - started < 0.6
    assert isinstance(error.value, RedisTimeout)
    assert isinstance(error.value, RedisUnavailable)


def test_a_password_never_shows():
    """Neither repr, nor the config, nor any error text holds the password."""
    with LocalServer(requirepass=PASSWORD) as server:
        url = f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0"
        cache = connect(url)
        assert cache.wire.execute("PING")
        wrong = connect(url.replace(PASSWORD, "wrong-" + PASSWORD))
        with pytest.raises(AccessDenied) as denied:
            wrong.wire.execute("PING")
        assert isinstance(denied.value, PermissionError)
    with pytest.raises(ConnectionError) as dead:
        cache.wire.execute("PING")
    with pytest.raises(InvalidValue) as malformed:
        connect(f"redis://:{PASSWORD}@127.0.0.1:port/0")
    with pytest.raises(InvalidValue) as scheme:
        connect(f"reddis://:{PASSWORD}@127.0.0.1")

    shown = [repr(cache), repr(cache.config), repr(cache.wire)]
    shown += [str(each.value) for each in (denied, dead, malformed, scheme)]
    assert [] == [text for text in shown if PASSWORD in text]


def test_a_restarted_server_is_found_again(own_server):
    """After a restart the next call works, and the script comes along."""
    cache = connect(own_server.url)
    caps = FrequencyCapManager(cache)
    assert caps.check_frequency_cap("u", "c")
    own_server.stop()
    own_server.start()

    assert caps.check_frequency_cap("u", "c")


def test_a_command_in_doubt_is_not_repeated(own_server):
    """A write whose reply was lost is not sent again: it may have happened."""
    proxy = Proxy(own_server.port)
    cache = connect(proxy.url, config=CacheConfig(retry_on_timeout=True))
    cache.wire.execute("INCR", "n")
    proxy.lose(1)
    with pytest.raises(RedisUnavailable):
        cache.wire.execute("INCR", "n")

    assert "2" == cache.wire.execute("GET", "n")


def test_a_safe_command_is_repeated_once_when_wished(own_server):
    """With retry_on_timeout a read whose reply was lost is sent once more."""
    proxy = Proxy(own_server.port)
    cache = connect(proxy.url, config=CacheConfig(retry_on_timeout=True))
    cache.wire.execute("SET", "k", "v", "PX", 60_000)
    proxy.lose(1)

    assert "v" == cache.wire.execute("GET", "k", safe=True)
    proxy.lose(2)
    with pytest.raises(RedisUnavailable):
        cache.wire.execute("GET", "k", safe=True)


def test_the_learners_client_does_not_repeat_either(own_server):
    """redis-py's own retry, ten times by default, is off: INCR runs once."""
    proxy = Proxy(own_server.port)
    cache = connect(proxy.url)
    cache.redis_client.ping()
    proxy.lose(1)
    with pytest.raises(RedisUnavailable), cache.get_client() as client:
        client.incr("n")

    assert "1" == cache.redis_client.get("n")


def test_a_late_reply_answers_no_later_call(own_server):
    """After a timeout the line is dropped: calls and replies stay in step."""
    proxy = Proxy(own_server.port)
    cache = connect(proxy.url, config=CacheConfig(socket_timeout=0.5))
    cache.wire.execute("SET", "a", "1", "PX", 60_000)
    proxy.hang = True
    with pytest.raises(RedisTimeout):
        cache.wire.execute("GET", "a")
    proxy.hang = False

    assert "PONG" == cache.wire.execute("PING")


def test_a_servers_refusal_is_told_and_the_line_stays(own_server):
    """A wrong type is a CommandRefused with the server's words."""
    cache = connect(own_server.url)
    cache.wire.execute("SET", "k", "v", "PX", 60_000)
    with pytest.raises(CommandRefused, match="WRONGTYPE"):
        cache.wire.execute("HGET", "k", "f")

    assert "v" == cache.wire.execute("GET", "k")


def test_many_threads_share_one_cache(own_server):
    """32 threads with 8 connections: every call is answered with its own reply."""
    cache = connect(own_server.url, config=CacheConfig(max_connections=8))
    wrong: list[object] = []

    def ask(number: int) -> None:
        for i in range(100):
            text = f"{number}-{i}"
            if cache.wire.execute("ECHO", text) != text:
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == wrong
    assert int(cache.redis_client.info("clients")["connected_clients"]) <= 9


def test_too_few_connections_are_named(own_server):
    """When all stay busy the error says which setting to raise."""
    config = CacheConfig(max_connections=1, socket_timeout=0.1)
    cache = connect(own_server.url, config=config)
    held = cache.wire._connections.borrow()
    with pytest.raises(RedisUnavailable, match="max_connections"):
        cache.wire.execute("PING")
    held.disconnect()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_shares_no_connection(own_server):
    """Parent and child each talk over lines of their own."""
    cache = connect(own_server.url)
    cache.wire.execute("SET", "n", 0, "PX", 60_000)
    child = os.fork()
    if child == 0:
        try:
            for _ in range(200):
                cache.wire.execute("INCR", "n")
        finally:
            os._exit(0)
    answers = [cache.wire.execute("ECHO", str(i)) for i in range(200)]
    os.waitpid(child, 0)

    assert [str(i) for i in range(200)] == answers
    assert "200" == cache.wire.execute("GET", "n")


def test_a_user_without_time_still_has_caps(own_server):
    """Where TIME is denied, fixed windows stand on the key's TTL."""
    admin = redis.Redis(port=own_server.port)
    admin.execute_command(
        "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-time", "-@dangerous"
    )
    cache = connect(f"redis://app:pw@127.0.0.1:{own_server.port}/0")
    caps = FrequencyCapManager(cache)
    decisions = [caps.check_frequency_cap("u", "c", 2, 60) for _ in range(3)]
    other = caps.check_frequency_cap("u", "d", 1, 3600)

    assert [True, True, False] == [bool(each) for each in decisions]
    assert 59 < decisions[2].retry_after <= 60
    assert other
    assert not caps.check_frequency_cap("u", "d", 1, 3600)
    assert 59 < caps.peek("u", "c", 2, 60).retry_after <= 60


@pytest.mark.parametrize("algorithm", ["sliding_log", "sliding_counter"])
def test_a_sliding_window_without_time_says_what_to_grant(own_server, algorithm):
    """The other algorithms need TIME, and the error tells the right to grant."""
    admin = redis.Redis(port=own_server.port)
    admin.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-time")
    cache = connect(f"redis://app:pw@127.0.0.1:{own_server.port}/0")
    with pytest.raises(AccessDenied, match=r"\+time"):
        FrequencyCapManager(cache, algorithm).check_frequency_cap("u", "c")


def test_a_user_with_time_respects_windows_counted_without(own_server):
    """Where one bidder may not ask for TIME, the others read the same clock as it."""
    admin = redis.Redis(port=own_server.port)
    admin.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-time")
    without = FrequencyCapManager(
        connect(f"redis://app:pw@127.0.0.1:{own_server.port}")
    )
    with_time = FrequencyCapManager(connect(own_server.url))
    assert without.check_frequency_cap("u", "c", 1, 60)

    assert not with_time.check_frequency_cap("u", "c", 1, 60)
    assert not with_time.check_frequency_cap("u", "c", caps=[Cap(1, 60)])
    assert with_time.check_frequency_cap("u", "d", 1, 3600)
    assert not without.check_frequency_cap("u", "d", 1, 3600)
    assert not without.check_frequency_cap("u", "c", 1, 60)


def test_a_unix_socket_works(tmp_path):
    """unix:// reaches a server without TCP."""
    path = tmp_path / "redis.sock"
    with LocalServer(unixsocket=str(path)):
        cache = connect(f"unix://{path}")

        assert FrequencyCapManager(cache).check_frequency_cap("u", "c")

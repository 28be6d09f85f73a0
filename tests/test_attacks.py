"""Attacks: lost replies, killed lines, signals, racing processes, a dead primary."""

import contextlib
import multiprocessing
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis

from adcache import (
    AuctionDeal,
    CacheConfig,
    Cap,
    FrequencyCapManager,
    InvalidValue,
    RealTimeBiddingCache,
    RedisAdCache,
    RedisUnavailable,
    connect,
)
from adcache.backends import LocalCluster
from tests.conftest import need_binary
from tools.soak.lossy import LossyProxy

ALGORITHMS = ("fixed", "sliding_counter", "sliding_log")
PROCESSES, TRIES, LIMIT = 4, 400, 20
LOST = 0.04  # share of the replies that a lossy line loses


def until_answered(call: Callable[[], Any], seconds: float = 20) -> Any:
    """Repeat a call with its id until Redis answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except RedisUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_lossy_line_counts_each_impression_once(own_server, algorithm):
    """Of 4 threads that repeat what was lost, the count equals their impressions."""
    proxy = LossyProxy(own_server.port, LOST)
    caps = FrequencyCapManager(connect(proxy.url), algorithm)
    both = (Cap(1_000_000, 3600), Cap(1_000_000, 86400))

    def show(worker: int) -> None:
        for number in range(150):
            name = f"{worker}-{number}"
            until_answered(
                lambda name=name: caps.check_frequency_cap(
                    "ada", "tea", caps=both, impression_id=name
                )
            )

    threads = [threading.Thread(target=show, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    proxy.close()
    seen = FrequencyCapManager(connect(own_server.url), algorithm)
    assert proxy.lost > 5
    assert [600, 600] == [
        seen.peek("ada", "tea", cap.limit, cap.window).count for cap in both
    ]


def race(url: str, number: int, results: Any) -> None:
    """Try caps of all algorithms and bid, at random; report what was served."""
    cache, luck = connect(url, namespace="race"), random.Random(number)
    auctions, served, bids = RealTimeBiddingCache(cache), Counter(), []
    for _ in range(TRIES):
        algorithm, user = luck.choice(ALGORITHMS), f"u{luck.randrange(3)}"
        caps = FrequencyCapManager(cache, algorithm)
        served[algorithm, user] += bool(
            caps.check_frequency_cap(user, algorithm, LIMIT, 3600)
        )
        price = luck.randrange(100, 400) / 100
        if auctions.submit_bid("a", f"p{number}", price).reason != "below_floor":
            bids.append(price)
    results.put((number, served, max(bids)))


@pytest.mark.parametrize("backend", ["redis", "redis-8.2", "valkey-8.1", "cluster"])
def test_racing_processes_break_no_rule(server_url, make_cache, backend):
    """Each cap serves its limit exactly; the best bid wins at the second's price."""
    cache = make_cache(backend, namespace="race")
    auctions = RealTimeBiddingCache(cache)
    auctions.create_auction("a", 0.5, ttl=600)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    racers = [
        context.Process(target=race, args=(server_url(backend), number, results))
        for number in range(PROCESSES)
    ]
    for racer in racers:
        racer.start()
    reports = [results.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join()
    served = sum((report[1] for report in reports), Counter())
    assert {LIMIT} == set(served.values())
    best = {f"p{number}": price for number, _, price in reports}
    won = auctions.close_auction("a")
    winner = won["campaign_id"]
    assert max(best.values()) == best[winner] == won["winning_bid"]
    rest = [price for name, price in best.items() if name != winner]
    assert max(rest) == won["clearing_price"]


def test_killed_lines_mix_up_no_replies(own_server):
    """While the server kills lines, a reply that comes is the reply that was asked."""
    cache, stop = connect(own_server.url), threading.Event()
    admin = redis.Redis.from_url(own_server.url)

    def kill() -> None:
        while not stop.wait(0.003):
            admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    killer = threading.Thread(target=kill)
    killer.start()
    asked = [f"word-{number}" for number in range(3000)]
    try:
        heard = [
            until_answered(lambda word=word: cache.wire.execute("ECHO", word))
            for word in asked
        ]
    finally:
        stop.set()
        killer.join()
    assert asked == heard


class Interrupted(BaseException):
    """Stands for KeyboardInterrupt, which would end the test run."""


def test_interrupts_cost_no_connection(own_server):
    """However often a call is interrupted, the next one finds a line, in step."""
    cache = connect(own_server.url, config=CacheConfig(max_connections=2))
    luck = random.Random(3)

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(300):
            with contextlib.suppress(Interrupted):
                try:
                    delay = luck.uniform(2e-5, 6e-4)
                    signal.setitimer(signal.ITIMER_REAL, delay)
                    for _ in range(50):
                        word = str(number)
                        assert word == cache.wire.execute("ECHO", word)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert "still there" == cache.wire.execute("ECHO", "still there")


def until_replicated(primary: Any, seconds: float = 10) -> None:
    """Wait until the replica has everything: what it lacks dies with the primary."""
    deadline = time.monotonic() + seconds
    while True:
        state = primary.info("replication")
        if state["slave0"]["offset"] == state["master_repl_offset"]:
            return
        assert time.monotonic() < deadline, state
        time.sleep(0.05)


def test_a_dead_primary_is_survived():
    """Calls resume by themselves after a failover, and retried ids count once."""
    with LocalCluster(need_binary("cluster"), primaries=3, replicas=1) as cluster:
        cache = connect(cluster.url)
        caps, auctions = FrequencyCapManager(cache), RealTimeBiddingCache(cache)
        users = [f"user_{number}" for number in range(12)]

        def show(turn: int) -> None:
            for user in users:
                until_answered(
                    lambda user=user: caps.check_frequency_cap(
                        user, "tea", 1000, impression_id=f"i{turn}"
                    )
                )

        for turn in range(20):
            show(turn)
        until_replicated(redis.Redis.from_url(cluster.primaries[0].url))
        cluster.primaries[0].stop()
        for turn in range(20, 40):
            show(turn)
        assert {40} == {caps.peek(user, "tea", 1000).count for user in users}
        for user in users:
            assert until_answered(lambda u=user: auctions.create_auction(u, 1.0))
            assert until_answered(lambda u=user: auctions.submit_bid(u, "tea", 2.0))


def test_a_connection_that_looks_up_its_server_is_asked(own_server):
    """Sentinel's connections find their server in connect(): it must be called."""

    class LooksUp(redis.Connection):
        def connect(self) -> None:
            self.port = own_server.port
            super().connect()

    pool = redis.ConnectionPool(connection_class=LooksUp, host="127.0.0.1", port=1)
    cache = RedisAdCache(client=redis.Redis(connection_pool=pool))
    assert "PONG" == cache.wire.execute("PING")


@pytest.mark.parametrize("at", [2.0, True])
def test_an_at_that_is_no_int_never_changes_the_price(cache, at):
    """2.0 (from JSON) must not turn a second-price auction into a first-price one."""
    auctions = RealTimeBiddingCache(cache)
    with pytest.raises(InvalidValue):
        auctions.create_auction("a", 1.0, at=at)
    with pytest.raises(InvalidValue):
        auctions.create_auction("b", 1.0, deals=[AuctionDeal(id="d", at=at)])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_empty_list_of_caps_is_refused_first(cache, algorithm):
    """A campaign without caps is a ValueError, and its neighbour is not counted."""
    caps = FrequencyCapManager(cache, algorithm)
    with pytest.raises(InvalidValue):
        caps.check_many("ada", {"tea": [Cap(3, 60)], "coffee": []})
    assert 0 == caps.peek("ada", "tea", 3, 60).count


@pytest.mark.parametrize("mark", "/?#")
@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_a_password_with_a_slash_does_not_show(scheme, mark):
    """A password that should have been percent-encoded is not in the error."""
    with pytest.raises(InvalidValue) as caught:
        connect(f"{scheme}://ada:s3cret{mark}x@127.0.0.1:6379/0")
    errors, text = [caught.value], ""
    while errors and (error := errors.pop()):
        text += str(error)
        errors += [each for each in (error.__cause__, error.__context__) if each]
    assert "s3cret" not in text

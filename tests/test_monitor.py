"""The monitor, on every backend: honest figures, a thread that stops, mended TTLs."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from adcache import (
    AccessDenied,
    AdCacheError,
    Alert,
    CacheConfig,
    CacheMonitor,
    InvalidValue,
    LibraryMissing,
    RedisAdCache,
    Thresholds,
    connect,
    prometheus_text,
)
from adcache.backends import LocalCluster, LocalServer
from adcache.keys import KEYS
from adcache.metrics import Meter
from adcache.monitor_alerts import alerts_of
from adcache.monitor_keys import pattern_of
from tests.conftest import BACKENDS, all_keys, need_binary
from tests.proxy import Proxy

SEED = [
    "connected_clients",
    "used_memory",
    "used_memory_human",
    "keyspace_hits",
    "keyspace_misses",
    "expired_keys",
    "evicted_keys",
    "total_commands_processed",
]
DAY_MS = 86_400_000
QUIET = Thresholds(hit_rate=None, latency_us=None)  # machines may be slow


def until(true, seconds=5.0):
    """Wait for something that another thread does, for a bounded time."""
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.002)
    return true()


def threads_of_monitors():
    """The sampling threads of this process."""
    return [each for each in threading.enumerate() if each.name == "adcache-monitor"]


def forked(true):
    """Say whether `true()` is, in a child process that lives 20 seconds at most."""
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            os._exit(0 if true() else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def session(cache, name, value="1", **options):
    """Write a key of a known pattern, without a TTL unless told."""
    key = cache.get_key("user_session", session_id=name)
    cache.redis_client.set(key, value, **options)
    return key


def test_the_seeds_figures_are_there(cache, backend):
    """All eight keys, real numbers on a server, None on the fake: never a made-up 0."""
    monitor = CacheMonitor(cache)
    monitor.get_cache_stats()  # a new server has processed no command before it
    stats = monitor.get_cache_stats()

    if backend == "fakeredis":
        assert {None} == {stats[name] for name in SEED}
        assert None is stats["hit_rate"] is stats["maxmemory"] is stats["memory_share"]
        assert "info" in stats["unavailable"]["INFO"]
        assert 0 <= stats["keys"]
    else:
        assert stats["connected_clients"] >= 1
        assert stats["used_memory"] > 100_000
        assert stats["used_memory_human"][-1] in "KM"
        assert stats["total_commands_processed"] > 0
        assert {} == stats["unavailable"]
    assert (3 if backend == "cluster" else 1) == stats["primaries"]
    assert ("used_memory" in stats["sums"]) == (backend == "cluster")


@pytest.mark.parametrize("backend", BACKENDS[1:], indirect=True)
def test_the_servers_figures_are_the_servers(cache):
    """Hits, misses and keys grow as looked up; on a cluster summed over primaries."""
    monitor = CacheMonitor(cache)
    before = monitor.get_cache_stats()
    for number in range(40):
        cache.redis_client.get(session(cache, f"s{number}", ex=60))
        cache.redis_client.get(cache.get_key("user_session", session_id=f"x{number}"))
    after = monitor.get_cache_stats()
    grown = {name: after[name] - before[name] for name in SEED[3:5]}

    assert {"keyspace_hits": 40, "keyspace_misses": 40} == grown
    assert 40 == after["keys"] - before["keys"]
    hits, misses = after["keyspace_hits"], after["keyspace_misses"]
    assert hits / (hits + misses) == after["hit_rate"]


def test_each_component_has_figures_of_its_own(cache):
    """Calls, hits, misses, errors, rate and times: the meters', in microseconds."""
    meter = cache.metrics.meter("profiles")
    for micros in range(1, 101):
        meter.took(micros / 1e6)
    meter.hit(3)
    meter.miss()
    meter.failed()

    assert {
        "profiles": {
            "calls": 100,
            "hits": 3,
            "misses": 1,
            "errors": 1,
            "hit_rate": 0.75,
            "p50_us": 50.0,
            "p95_us": 95.0,
            "p99_us": 99.0,
        }
    } == CacheMonitor(cache).component_stats()
    components = CacheMonitor(cache).get_cache_stats()["components"]
    assert 100 == components["profiles"]["calls"]


def test_a_component_that_only_missed_says_none(cache):
    """No call: no time. No look-up: no rate."""
    cache.metrics.meter("sessions").failed()
    figures = CacheMonitor(cache).component_stats()["sessions"]

    assert (0, 1, None) == (figures["calls"], figures["errors"], figures["hit_rate"])
    assert [None] * 3 == [figures[name] for name in ("p50_us", "p95_us", "p99_us")]


def test_starting_twice_is_one_thread(cache):
    """The second start changes nothing and says so."""
    monitor = CacheMonitor(cache)
    try:
        assert [True, False] == [monitor.start_monitoring(60) for _ in "ab"]
        assert monitor.monitoring
        assert 1 == len(threads_of_monitors())
        assert until(lambda: len(monitor.samples) == 1)
    finally:
        monitor.stop_monitoring()
    assert until(lambda: not threads_of_monitors())
    assert 1 == len(monitor.samples)


def test_threads_that_start_at_once_make_one_thread(cache):
    """Of 16 callers one starts it."""
    monitor, started, gate = CacheMonitor(cache), [], threading.Barrier(16)

    def start():
        gate.wait()
        started.append(monitor.start_monitoring(60))

    callers = [threading.Thread(target=start) for _ in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    try:
        assert 1 == sum(started)
        assert 1 == len(threads_of_monitors())
    finally:
        monitor.stop_monitoring()


def test_stop_takes_effect_at_once(cache):
    """Within 50 ms although the next sample is a minute away; again does nothing."""
    monitor, times = CacheMonitor(cache), []
    for number in range(10):  # the quickest counts: other tests use the machine too
        monitor.start_monitoring(interval=60)
        assert until(lambda number=number: len(monitor.samples) > number)
        started = time.perf_counter()
        stopped = monitor.stop_monitoring()
        times.append(time.perf_counter() - started)

    assert min(times) < 0.05
    assert stopped
    assert not monitor.monitoring
    assert monitor.stop_monitoring()


def test_a_hundred_starts_and_stops_leave_nothing(cache):
    """No thread stays, and each start takes a sample."""
    monitor = CacheMonitor(cache, thresholds=Thresholds(keys_without_ttl=None))
    for number in range(100):
        assert monitor.start_monitoring(0.001)
        assert until(lambda number=number: len(monitor.samples) > number)
        assert until(monitor.stop_monitoring)

    assert not monitor.monitoring
    assert until(lambda: not threads_of_monitors())
    assert len(monitor.samples) >= 100


def test_samples_have_times_and_are_bounded(timed_cache, clock):
    """The oldest go; the time is the clock's, aware."""
    monitor = CacheMonitor(timed_cache, keep=3, thresholds=QUIET)
    for _ in range(5):
        monitor.take_sample()
        clock.advance(60)

    times = [datetime(2026, 1, 1, 0, minute, tzinfo=UTC) for minute in (2, 3, 4)]
    assert times == [sample.at for sample in monitor.samples]
    assert SEED == [name for name in SEED if name in monitor.samples[-1].stats]
    assert {""} == {sample.error for sample in monitor.samples}


def test_a_block_starts_and_stops_it(cache):
    """As a context manager, also when the block raises."""
    monitor = CacheMonitor(cache)
    with contextlib.suppress(RuntimeError), monitor as entered:
        assert entered is monitor
        assert monitor.monitoring
        raise RuntimeError

    assert not monitor.monitoring


def test_a_callback_may_stop_the_monitor(cache):
    """Called by the sampling thread, stop does not wait for itself."""
    session(cache, "for ever")
    answers = []
    monitor = CacheMonitor(
        cache, on_alert=lambda _: answers.append(monitor.stop_monitoring())
    )
    monitor.start_monitoring(0.001)

    assert until(lambda: answers and not threads_of_monitors())
    assert not monitor.monitoring
    assert True is answers[0]
    CacheMonitor(cache).repair_ttls()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("server", ["fakeredis", "redis", "cluster"])
def test_a_fork_takes_no_thread_along(make_cache, server):
    """The child has no sampling thread; start works there, and in the parent still."""
    monitor = CacheMonitor(make_cache(server))
    monitor.start_monitoring(0.01)
    assert until(lambda: monitor.samples)

    def in_the_child():
        count = len(monitor.samples)
        return (
            not monitor.monitoring
            and monitor.stop_monitoring()
            and monitor.start_monitoring(0.01)
            and until(lambda: len(monitor.samples) >= count + 2)
            and until(monitor.stop_monitoring)
        )

    assert forked(in_the_child)
    count = len(monitor.samples)
    assert monitor.monitoring
    assert until(lambda: len(monitor.samples) > count)
    assert until(monitor.stop_monitoring)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_frees_a_meters_lock():
    """A lock that another thread holds at that moment would never open again."""
    cache = connect("fakeredis://")
    meter = cache.metrics.meter("profiles")
    with meter._lock:
        assert forked(lambda: meter.took(0.001) is None)


def test_a_meter_is_exact_under_threads():
    """8 threads x 5000 calls, hits and misses: none is lost."""
    meter = Meter()

    def work():
        for _ in range(5000):
            meter.took(0.001)
            meter.hit()
            meter.miss(2)
            meter.failed()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (40_000, 40_000, 80_000, 40_000) == (
        meter.calls,
        meter.hits,
        meter.misses,
        meter.errors,
    )


@pytest.mark.parametrize(
    ("times", "share", "expected"),
    [([7], 0.5, 7), ([1, 2], 0.5, 1), ([1, 2, 3], 0.5, 2), ([1, 2], 1.0, 2)],
)
def test_percentiles_are_nearest_ranks(times, share, expected):
    """The smallest time that at least that share of the calls stayed within."""
    meter = Meter()
    for each in times:
        meter.took(each)

    assert expected == meter.percentile(share)


def test_a_dead_server_is_reported_and_survived(own_server):
    """Samples say why there are no figures, and go on when the server is back."""
    monitor = CacheMonitor(connect(own_server.url), thresholds=QUIET)
    monitor.start_monitoring(0.005)
    try:
        assert until(lambda: monitor.samples and monitor.samples[-1].stats)
        own_server.stop()
        assert until(lambda: monitor.samples[-1].stats is None)
        sample = monitor.samples[-1]
        assert "RedisUnavailable: no reply from Redis" in sample.error
        assert ["no_answer"] == [alert.name for alert in sample.alerts]
        own_server.start()
        assert until(lambda: monitor.samples[-1].stats)
        assert "" == monitor.samples[-1].error
    finally:
        assert until(monitor.stop_monitoring)


def test_a_hanging_server_does_not_hold_up_stop(own_server):
    """Stop returns in time; the thread ends with its call and leaves no sample."""
    proxy = Proxy(own_server.port)
    cache = connect(proxy.url, config=CacheConfig(socket_timeout=1))
    monitor = CacheMonitor(cache)
    proxy.hang = True
    monitor.start_monitoring(60)
    assert until(lambda: proxy.requests)
    started = time.perf_counter()
    ended = monitor.stop_monitoring()
    took = time.perf_counter() - started

    assert not ended
    assert took < 0.5  # 0.04, on a machine that has nothing else to do
    assert monitor.start_monitoring(60)  # a new thread, whatever the old one does
    assert until(lambda: monitor.samples)
    monitor.stop_monitoring()
    assert until(lambda: not threads_of_monitors())
    assert 1 == len(monitor.samples)
    assert "RedisTimeout" in monitor.samples[0].error


def test_a_program_may_end_while_it_is_watched():
    """Its thread does not keep Python from ending, and says nothing."""
    program = (
        "from adcache import CacheMonitor, connect\n"
        "monitor = CacheMonitor(connect('fakeredis://'))\n"
        "monitor.start_monitoring(0.001)\n"
        "while not monitor.samples: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, check=False
    )

    assert (0, b"", b"") == (done.returncode, done.stdout, done.stderr)


def test_any_error_of_a_sample_is_survived(cache, monkeypatch):
    """Even one that nobody thought of is in the sample, not in the thread."""
    monitor = CacheMonitor(cache)
    monkeypatch.setattr(monitor, "latency", lambda _: 1 / 0)

    assert "ZeroDivisionError: division by zero" == monitor.take_sample().error


def test_alerts_are_told_when_they_begin(cache):
    """on_alert hears of each once, and again after it was gone."""
    told = []
    monitor = CacheMonitor(cache, thresholds=QUIET, on_alert=told.append)
    monitor.take_sample()
    for _ in range(2):
        session(cache, "for ever")
        monitor.take_sample()
        monitor.take_sample()
        monitor.clear_expired_keys()
        monitor.take_sample()

    assert ["keys_without_ttl"] * 2 == [alert.name for alert in told]
    assert (1, 0, "server") == (told[0].value, told[0].threshold, told[0].where)
    assert "repair_ttls()" in told[0].cure
    assert () == monitor.alerts


def test_a_broken_callback_is_reported(cache):
    """It stops neither the sample nor the monitor."""
    session(cache, "for ever")
    monitor = CacheMonitor(cache, on_alert=lambda _: 1 / 0)
    sample = monitor.take_sample()

    assert "on_alert raised ZeroDivisionError: division by zero" == sample.error
    assert ["keys_without_ttl"] == [
        each.name for each in sample.alerts if each.name != "latency_us"
    ]
    monitor.repair_ttls()


BEFORE = {
    "keyspace_hits": 10**6,
    "keyspace_misses": 10,
    "evicted_keys": 5,
    "memory_share": 0.5,
    "components": {"profiles": {"hits": 500, "misses": 0, "errors": 2}},
}


@pytest.mark.parametrize(
    ("changes", "latency_us", "immortal", "expected"),
    [
        ({}, 100, 0, []),
        ({}, 10_001, 0, [("latency_us", 10_001, "server")]),
        ({}, 10_000, 0, []),
        ({}, None, None, []),
        ({}, 1, 3, [("keys_without_ttl", 3, "server")]),
        ({"evicted_keys": 6}, 1, 0, [("evictions", 1, "server")]),
        ({"memory_share": 0.91}, 1, 0, [("memory_share", 0.91, "server")]),
        ({"memory_share": None, "evicted_keys": None}, 1, 0, []),
        ({"keyspace_misses": 110}, 1, 0, [("hit_rate", 0.0, "server")]),
        ({"keyspace_misses": 109}, 1, 0, []),  # too few to judge
        ({"keyspace_hits": 10**6 + 100, "keyspace_misses": 110}, 1, 0, []),
    ],
)
def test_alerts_follow_from_two_samples(changes, latency_us, immortal, expected):
    """Counters are judged by their growth, with the lookups of the interval only."""
    found = alerts_of(BEFORE | changes, BEFORE, latency_us, immortal, Thresholds())
    assert expected == [(each.name, each.value, each.where) for each in found]


def test_a_restart_does_not_hide_a_low_hit_rate():
    """Counters that begin at 0 again are taken from 0."""
    now = BEFORE | {"keyspace_hits": 30, "keyspace_misses": 170}
    before = BEFORE | {"keyspace_misses": 10**5}
    (found,) = alerts_of(now, before, 1, 0, Thresholds())

    assert ("hit_rate", 0.15) == (found.name, found.value)


def test_a_green_total_hides_no_red_component():
    """The server's million hits stay at 100 %, while profiles find nothing."""
    profiles = {"hits": 500, "misses": 200, "errors": 3}
    now = BEFORE | {"components": {"profiles": profiles}}
    found = alerts_of(now, BEFORE, 1, 0, Thresholds())

    assert [("hit_rate", 0.0, "profiles"), ("errors", 1, "profiles")] == [
        (each.name, each.value, each.where) for each in found
    ]
    assert all(each.cure for each in found)


def test_thresholds_can_be_switched_off():
    """None of anything, no alert but that nobody answers."""
    off = Thresholds(None, 0, None, None, None, None, None)
    now = {"keyspace_hits": 0, "keyspace_misses": 999, "evicted_keys": 9}

    assert () == alerts_of(now | {"memory_share": 1.0}, None, 1e9, 9, off)
    assert ("no_answer",) == tuple(a.name for a in alerts_of(None, None, 1, 0, off))


def test_injected_faults_raise_their_alerts():
    """A full memory, evictions and a dead hit rate, on a real server."""
    options = {"maxmemory": "3mb", "maxmemory_policy": "allkeys-lru"}
    with LocalServer(need_binary("redis"), **options) as server:
        cache = connect(server.url)
        monitor = CacheMonitor(cache, thresholds=Thresholds(latency_us=0.001))
        assert ["latency_us"] == [a.name for a in monitor.take_sample().alerts]
        for number in range(300):
            session(cache, f"s{number}", "x" * 10_000, ex=60)
            cache.redis_client.get(f"nobody writes this {number}")
        names = {alert.name for alert in monitor.take_sample().alerts}

    assert {"latency_us", "memory_share", "evictions", "hit_rate"} == names


def test_keys_without_ttl_are_found_and_mended(cache):
    """Ours get a day to live; durable, mortal and other people's keys do not change."""
    forgotten = [session(cache, f"s{number}") for number in range(5)]
    mortal = session(cache, "mortal", ex=60)
    durable = cache.get_key("campaign_spend", campaign_id="c")
    cache.redis_client.hset(durable, "spent", 1)
    own = cache.get_key("my:own:{thing}", thing="t")
    cache.redis_client.set(own, 1)
    stranger = RedisAdCache(
        client=cache.redis_client, config=CacheConfig(namespace="someone-else")
    )
    theirs = session(stranger, "theirs")
    monitor = CacheMonitor(cache)
    found = monitor.keys_without_ttl()
    mended = monitor.clear_expired_keys()
    lives = {key: cache.redis_client.pttl(key) for key in (*forgotten, own)}

    assert (6, 8, True) == (len(found.keys), found.seen, found.complete)
    assert {"other": 1, "user_session": 5} == found.by_pattern
    assert sorted(found.keys) == sorted(mended.keys)
    assert "session:{s1}" in mended.keys
    assert all(DAY_MS - 5_000 < life <= DAY_MS for life in lives.values())
    assert 50_000 < cache.redis_client.pttl(mortal) <= 60_000
    assert [-1, -1] == [cache.redis_client.pttl(key) for key in (durable, theirs)]
    assert () == monitor.clear_expired_keys().keys
    cache.redis_client.delete(theirs)


def test_all_durable_rows_are_left_alone(cache):
    """Every pattern that keys.py marks durable, as it is written."""
    durable = [name for name, row in KEYS.items() if row.durable]
    for name in durable:
        key = KEYS[name].template.format_map(_AnyId())
        cache.redis_client.set(cache.keys.match.removesuffix("*") + key, 1)

    assert durable == [
        pattern_of(KEYS[n].template.format_map(_AnyId())) for n in durable
    ]
    assert () == CacheMonitor(cache).repair_ttls().keys


class _AnyId(dict):
    def __missing__(self, name):
        return "x"


def test_patterns_are_told_apart():
    """Each row of the table has a beginning of its own."""
    keys = {name: row.template.format_map(_AnyId()) for name, row in KEYS.items()}

    assert {name: name for name in keys} == {n: pattern_of(k) for n, k in keys.items()}
    assert "other" == pattern_of("session:s1")


def test_a_ttl_set_meanwhile_stays(cache):
    """Between looking and mending somebody gives the key 5 seconds: it keeps them."""
    key = session(cache, "s")

    def meanwhile(pairs, _):
        if pairs[0][0][0] == "PTTL":
            cache.wire.observer = None
            cache.redis_client.expire(key, 5)

    cache.wire.observer = meanwhile
    mended = CacheMonitor(cache).repair_ttls(ttl=timedelta(days=2))

    assert () == mended.keys
    assert 4_000 < cache.redis_client.pttl(key) <= 5_000


def test_a_repair_takes_any_ttl(cache):
    """Seconds as int, float or timedelta; a bad one is refused before anything."""
    key, monitor = session(cache, "s"), CacheMonitor(cache)
    for bad in (0, -1, float("nan"), "60", None):
        with pytest.raises(InvalidValue, match="ttl must be"):
            monitor.repair_ttls(bad)
    assert -1 == cache.redis_client.pttl(key)
    monitor.repair_ttls(90.5)

    assert 85_000 < cache.redis_client.pttl(key) <= 90_500


def test_a_scan_is_bounded_and_says_so(cache):
    """Ten keys asked for, ten looked at; with room for all it is complete."""
    for number in range(30):
        session(cache, f"s{number}")
    monitor = CacheMonitor(cache)
    short, full = monitor.keys_without_ttl(limit=10), monitor.keys_without_ttl(30)

    assert (10, 10, False) == (len(short.keys), short.seen, short.complete)
    assert monitor.memory_by_prefix(limit=10).seen <= 10
    assert (30, True) == (len(full.keys), full.complete) or full.seen < 30
    assert {30} == {monitor.keys_without_ttl(100).seen}
    assert 10 == len(monitor.repair_ttls(limit=10).keys)
    monitor.repair_ttls()


def test_other_peoples_keys_end_a_scan(own_server):
    """Ten times the limit are looked at, however few of them are ours."""
    cache = connect(own_server.url)
    pipe = cache.redis_client.pipeline(transaction=False)
    for number in range(20_000):
        pipe.set(f"theirs:{number}", 1)
    pipe.execute()
    before = cache.redis_client.info("commandstats").get("cmdstat_scan", {"calls": 0})
    report = CacheMonitor(cache).keys_without_ttl(limit=100)
    stats = cache.redis_client.info("commandstats")

    assert ((), 0, False) == (report.keys, report.seen, report.complete)
    assert stats["cmdstat_scan"]["calls"] - before["calls"] <= 2
    assert "cmdstat_keys" not in stats


def test_memory_is_told_by_pattern(cache, backend):
    """Groups of keys with their bytes, largest first; on the fake None, and why."""
    for number in range(30):
        session(cache, f"s{number}", "x" * 1000, ex=60)
    cache.redis_client.set(cache.get_key("user_profile", user_id="u"), "{}", ex=60)
    report = CacheMonitor(cache).memory_by_prefix()
    sessions, profiles = report.groups["user_session"], report.groups["user_profile"]

    assert ["user_session", "user_profile"] == list(report.groups)
    assert (30, 1, 31, True) == (
        sessions.keys,
        profiles.keys,
        report.seen,
        report.complete,
    )
    if backend == "fakeredis":
        assert (None, 0, None) == (
            sessions.bytes,
            sessions.sampled,
            sessions.bytes_per_key,
        )
        assert "memory" in report.why
    else:
        true = sum(cache.redis_client.memory_usage(key) for key in all_keys(cache))
        assert 20 == sessions.sampled
        assert true == pytest.approx(sessions.bytes + profiles.bytes, rel=0.02)
        assert "" == report.why


def test_latency_is_measured_here(cache, backend):
    """Percentiles of PINGs in microseconds, to each primary."""
    pings = CacheMonitor(cache).latency(20)

    assert (60 if backend == "cluster" else 20) == pings.count
    assert 0 < pings.p50_us <= pings.p95_us <= pings.p99_us <= pings.max_us < 10**6


def test_slow_calls_are_listed_without_the_namespace():
    """Slowest first, as many as asked for; None where there is no such log."""
    options = {"slowlog_log_slower_than": "0"}
    with LocalServer(need_binary("redis"), **options) as server:
        cache = connect(server.url, namespace="secret-room")
        session(cache, "s", "x" * 500, ex=60)
        calls = CacheMonitor(cache).slow_log(count=50)
        two = CacheMonitor(cache).slow_log(count=2)

    written = [call.command for call in calls if "session:{s}" in call.command]
    assert written[0].startswith("SET session:{s} xxx")
    assert len(written[0]) <= 120
    assert not any("secret-room" in call.command for call in calls)
    assert sorted(calls, key=lambda call: -call.took_us) == calls
    assert abs(calls[0].at - datetime.now(UTC)) < timedelta(minutes=1)
    assert 2 == len(two)
    assert None is CacheMonitor(connect("fakeredis://")).slow_log()


@pytest.mark.parametrize("kind", [LocalServer, LocalCluster])
def test_hot_keys_need_an_lfu_policy(kind):
    """With it the most used keys come first, without it the reason is told."""
    with kind(need_binary("redis")) as server:
        cache = connect(server.url)
        for name in ("hot", "cold", "never"):
            session(cache, name, ex=60)
        plain = CacheMonitor(cache).hot_keys()
        for node in getattr(server, "nodes", [server]):
            redis.Redis.from_url(node.url).config_set("maxmemory-policy", "allkeys-lfu")
        for name in ("hot", "cold", "never"):
            cache.redis_client.delete(session(cache, name))
            session(cache, name, f"of {name}", ex=60)
        for number in range(300):
            cache.redis_client.get(cache.get_key("user_session", session_id="hot"))
            if number < 5:
                session(cache, "cold", "again", ex=60)
        hot = CacheMonitor(cache).hot_keys(top=2)
        cache.close()

    assert None is plain.keys
    assert "allkeys-lfu" in plain.why
    assert ("session:{hot}", 2, 3) == (hot.keys[0][0], len(hot.keys), hot.seen)
    assert hot.keys[0][1] > hot.keys[1][1]


def test_on_the_fake_hot_keys_are_none():
    """With the reason, and no error."""
    hot = CacheMonitor(connect("fakeredis://")).hot_keys()

    assert hot.keys in (None, ())
    cache = connect("fakeredis://", namespace="test-hot")
    session(cache, "s", ex=60)
    assert None is CacheMonitor(cache).hot_keys().keys


def test_a_user_without_the_right_to_info_gets_none(own_server):
    """The figures are None, the reason stands beside them, the rest works."""
    admin = redis.Redis.from_url(own_server.url)
    denied = ("-info", "-slowlog", "-memory|usage", "-object", "-dbsize")
    admin.execute_command("ACL", "SETUSER", "kim", "on", ">pw", "~*", "+@all", *denied)
    cache = connect(f"redis://kim:pw@127.0.0.1:{own_server.port}/0")
    session(cache, "s")
    monitor = CacheMonitor(cache, thresholds=QUIET)
    stats = monitor.get_cache_stats()

    assert {None} == {stats[name] for name in (*SEED, "keys", "hit_rate", "maxmemory")}
    assert ["DBSIZE", "INFO"] == sorted(stats["unavailable"])
    assert "pw" not in str(stats["unavailable"]).split()
    assert None is monitor.slow_log() is monitor.hot_keys().keys
    assert None is monitor.memory_by_prefix().groups["user_session"].bytes
    sample = monitor.take_sample()
    assert ("", 1) == (sample.error, sample.keys_without_ttl)
    assert ["keys_without_ttl"] == [alert.name for alert in sample.alerts]
    assert ("session:{s}",) == monitor.clear_expired_keys().keys
    assert "adcache_server_used_memory" not in prometheus_text(monitor)


def test_what_a_user_may_not_ask_is_none_in_a_sample(own_server):
    """Without SCAN or PING the other figures are there, with the reasons."""
    admin = redis.Redis.from_url(own_server.url)
    denied = ("-scan", "-ping")
    admin.execute_command("ACL", "SETUSER", "kim", "on", ">pw", "~*", "+@all", *denied)
    monitor = CacheMonitor(connect(f"redis://kim:pw@127.0.0.1:{own_server.port}/0"))
    sample = monitor.take_sample()

    assert sample.stats["used_memory"] > 0
    assert ["PING", "SCAN"] == sorted(sample.stats["unavailable"])
    assert (None, None) == (sample.latency_us, sample.keys_without_ttl)
    assert ("", ()) == (sample.error, sample.alerts)
    with pytest.raises(AccessDenied):
        monitor.latency()


def test_a_client_that_gives_bytes_is_understood(redis_url):
    """decode_responses=False changes no figure and no name."""
    config = CacheConfig(decode_responses=False, namespace="test-bytes")
    cache = connect(redis_url, config=config)
    session(cache, "s")
    monitor = CacheMonitor(cache)

    assert ("session:{s}",) == monitor.keys_without_ttl().keys
    assert monitor.memory_by_prefix().groups["user_session"].bytes > 0
    assert monitor.get_cache_stats()["used_memory"] > 0
    assert all(isinstance(call.command, str) for call in monitor.slow_log())
    assert ("session:{s}",) == monitor.repair_ttls(5).keys


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "9", None, 10**7])
def test_bad_counts_are_refused(cache, bad):
    """Limits are whole numbers from one up."""
    monitor = CacheMonitor(cache)
    for call in (
        monitor.latency,
        monitor.slow_log,
        monitor.memory_by_prefix,
        monitor.hot_keys,
        monitor.keys_without_ttl,
        lambda limit: monitor.repair_ttls(60, limit),
        lambda keep: CacheMonitor(cache, keep=keep),
    ):
        with pytest.raises(InvalidValue, match=r"(count|limit|keep) must be"):
            call(bad)


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), "60", None])
def test_a_bad_interval_starts_nothing(cache, bad):
    """It is refused as every time is."""
    with pytest.raises(ValueError, match="interval must be"):
        CacheMonitor(cache).start_monitoring(bad)

    assert [] == threads_of_monitors()


def families(monitor):
    """The figures of the Prometheus text: (name, labels) -> value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(prometheus_text(monitor))
        for sample in family.samples
    }


def test_prometheus_reads_every_figure(cache, backend):
    """By component, times in seconds; what the backend cannot tell is left out."""
    meter = cache.metrics.meter("profiles")
    meter.hit(3)
    meter.miss()
    meter.took(0.002)
    found = families(CacheMonitor(cache))

    assert 3 == found["adcache_hits_total", "profiles"]
    assert 1 == found["adcache_misses_total", "profiles"]
    assert 1 == found["adcache_calls_total", "profiles"]
    assert 0 == found["adcache_errors_total", "profiles"]
    assert 0.75 == found["adcache_hit_rate", "profiles"]
    assert 0.002 == found["adcache_call_seconds", "profiles", "0.99"]
    assert 1 == found["adcache_server_up",]
    real = backend != "fakeredis"
    assert real == (("adcache_server_used_memory",) in found)
    assert real == (("adcache_server_keyspace_hits_total",) in found)
    assert real == (("adcache_server_commands_processed_total",) in found)


def test_prometheus_is_told_that_redis_is_down(own_server):
    """Without Redis up is 0, and the components' figures are there all the same."""
    cache = connect(own_server.url)
    cache.metrics.meter("profiles").hit(3)
    own_server.stop()
    found = families(CacheMonitor(cache))

    assert 0 == found["adcache_server_up",]
    assert 3 == found["adcache_hits_total", "profiles"]


def test_without_the_library_the_cure_is_named(monkeypatch):
    """An ImportError of ours says what to install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monitor = CacheMonitor(connect("fakeredis://"))
    with pytest.raises(
        ImportError, match=r"pip install adcache\[prometheus\]"
    ) as error:
        prometheus_text(monitor)

    assert isinstance(error.value, LibraryMissing)
    assert isinstance(error.value, AdCacheError)


def test_alerts_are_data():
    """They compare, and cannot be changed."""
    alert = Alert("latency_us", 5.0, 1.0, "look at slow_log()")

    assert alert == Alert("latency_us", 5.0, 1.0, "look at slow_log()", "server")
    with pytest.raises(AttributeError):
        alert.value = 0

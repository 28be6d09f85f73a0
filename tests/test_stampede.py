"""Read-through: one load for a hot record, whoever asks and whatever breaks."""

import itertools
import math
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adcache import (
    AccessDenied,
    AdCacheError,
    CacheConfig,
    InvalidValue,
    LoaderFailed,
    ManualClock,
    ReadThrough,
    RedisUnavailable,
    UnreadableRecord,
    connect,
    early_refresh,
    early_refresh_probability,
    jittered,
)
from tests.conftest import all_keys, keys_without_ttl
from tests.proxy import Proxy

HOSTILE = ["a:b", "{a}", "a b", "a\nb", "a|b", "~", "🦊", "\ud800", "%", "k" * 3000]


class Always:
    """A random number generator that always says the same."""

    def __init__(self, number):
        self.number = number

    def random(self):
        return self.number


class Loader:
    """A loader that counts its calls, and stops inside when told to."""

    def __init__(self, value="old"):
        self.value = value
        self.calls = 0
        self.held = False
        self.inside = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, key):
        self.calls += 1
        value = self.value
        if self.held:
            self.held = False
            self.inside.set()
            assert self.go_on.wait(20)
        if isinstance(value, BaseException):
            raise value
        return value


class Caller(threading.Thread):
    """A thread that asks for a record; `result` is what it got, or the error."""

    def __init__(self, records, key="k"):
        super().__init__(daemon=True)
        self.records, self.key = records, key
        self.result = None
        self.start()

    def run(self):
        try:
            self.result = self.records.get(self.key)
        except BaseException as error:
            self.result = error

    def get(self):
        self.join(20)
        assert not self.is_alive()
        return self.result


@pytest.fixture
def loader():
    """A loader of the test's own."""
    return Loader()


@pytest.fixture
def fake(make_cache):
    """An embedded cache, for what the server has no part in."""
    return make_cache("fakeredis")


def reader(cache, load, **options):
    """A ReadThrough without chance in it; another one is like another process."""
    options = {"ttl": 60, "jitter": 0, "beta": 0, "poll": 0.002} | options
    return ReadThrough(cache, "things", load, **options)


def held(records, loader):
    """A caller that is inside the loader."""
    loader.held = True
    caller = Caller(records)
    assert loader.inside.wait(20)
    return caller


def counted(cache, call):
    """What the call returned, and the commands it sent."""
    sent = []
    cache.wire.observer = lambda pairs, _: sent.extend(
        command[0] for command, _ in pairs
    )
    result = call()
    cache.wire.observer = None
    return result, sent


def test_a_hit_is_one_get(cache, loader):
    """The first call loads; later ones read the copy with one GET and nothing else."""
    loader.value = {"bid": 2.5, "tags": ["a", None]}
    records = reader(cache, loader)

    assert loader.value == records.get("k")
    assert (loader.value, ["GET"]) == counted(cache, lambda: records.get("k"))
    assert 1 == loader.calls
    assert (1, 1) == (records._meter.hits, records._meter.misses)


def test_another_process_finds_the_copy(cache, loader):
    """Its first hit also asks for the server's time; then a hit is one GET."""
    reader(cache, loader).get("k")
    other = reader(cache, Loader("never"))

    assert ("old", ["GET", "TIME"]) == counted(cache, lambda: other.get("k"))
    assert ("old", ["GET"]) == counted(cache, lambda: other.get("k"))


def test_a_copy_ends_with_its_ttl(timed_cache, clock, loader):
    """At 59.999 s it is served, at 60 s it is loaded again."""
    records = reader(timed_cache, loader)
    records.get("k")
    clock.advance(59.999)
    loader.value = "new"
    assert "old" == records.get("k")
    clock.advance(0.001)

    assert "new" == records.get("k")
    assert 2 == loader.calls


def test_redis_keeps_a_copy_for_fresh_and_stale_time(cache, loader):
    """The key's TTL is the sum; jitter shortens the fresh part only."""
    records = reader(cache, loader, ttl=100, stale=30, jitter=0.5, rng=Always(0.5))
    records.get("k")
    key = cache.get_key("loaded", kind="things", record_id="k")

    assert 100_000 < cache.redis_client.pttl(key) <= 105_000
    assert [key] == all_keys(cache)


def test_the_default_ttl_is_the_configs(make_cache, loader):
    """Without a ttl a copy lives for CacheConfig.default_ttl."""
    cache = make_cache("fakeredis", config=CacheConfig(default_ttl=77))
    ReadThrough(cache, "things", loader, jitter=0, stale=None).get("k")
    (key,) = all_keys(cache)

    assert 76_000 < cache.redis_client.pttl(key) <= 77_000


def test_threads_cause_one_load(cache, loader):
    """25 threads find nothing: one loads, all get what it brought."""
    records = reader(cache, loader)
    first = held(records, loader)
    callers = [Caller(records) for _ in range(24)]
    loader.go_on.set()

    assert ["old"] * 25 == [caller.get() for caller in [first, *callers]]
    assert 1 == loader.calls


CALLERS = """
import sys, threading, time
from adcache import ReadThrough, connect
url, namespace, lease = sys.argv[1:]
cache = connect(url, namespace=namespace)
def load(key):
    number = cache.redis_client.incr(cache.get_key("test:loads"))
    cache.redis_client.expire(cache.get_key("test:loads"), 60)
    time.sleep(0.2 if lease == "5" or number > 1 else 60)
    return number
records = ReadThrough(cache, "things", load, ttl=60, lease=float(lease))
results = []
threads = [
    threading.Thread(target=lambda: results.append(records.get("hot")), daemon=True)
    for _ in range(25)
]
print("ready", flush=True)
sys.stdin.readline()
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sorted(set(results)), len(results), flush=True)
"""


def callers(cache, url, lease):
    """A process that is ready to ask with 25 threads."""
    arguments = [url, cache.config.namespace, lease]
    process = subprocess.Popen(
        [sys.executable, "-c", CALLERS, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert "ready\n" == process.stdout.readline()
    return process


def go(process):
    """Let its threads ask."""
    process.stdin.write("\n")
    process.stdin.flush()


def test_50_callers_in_two_processes_cause_one_load(make_cache, redis_url):
    """2 x 25 callers: the loader is called exactly once."""
    cache = make_cache("redis")
    processes = [callers(cache, redis_url, "5") for _ in range(2)]
    for process in processes:
        go(process)

    assert ["[1] 25\n"] * 2 == [
        process.communicate(timeout=30)[0] for process in processes
    ]
    assert "1" == cache.redis_client.get(cache.get_key("test:loads"))


def test_a_killed_loader_costs_one_more_load(make_cache, redis_url):
    """The holder of the lease is killed in mid-load: exactly one other loads."""
    cache = make_cache("redis")
    victim, *others = [callers(cache, redis_url, "0.5") for _ in range(3)]
    go(victim)
    ends = time.monotonic() + 10
    while cache.redis_client.get(cache.get_key("test:loads")) is None:
        assert time.monotonic() < ends
        time.sleep(0.005)
    for process in others:
        go(process)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()

    assert ["[2] 25\n"] * 2 == [
        process.communicate(timeout=30)[0] for process in others
    ]
    assert "2" == cache.redis_client.get(cache.get_key("test:loads"))


def test_who_waits_for_another_process_does_not_spin(cache, loader):
    """It asks Redis every poll, and less often with time: a few times in 0.3 s."""
    first = held(reader(cache, loader), loader)
    waiting = reader(cache, Loader("never"), poll=0.01)
    threading.Timer(0.3, loader.go_on.set).start()
    result, sent = counted(cache, lambda: waiting.get("k"))

    assert ("old", "old") == (result, first.get())
    assert 4 <= len(sent) < 20


def test_a_wait_is_bounded(fake, loader):
    """After `wait` seconds the caller is told so."""
    first = held(reader(fake, loader), loader)
    waiting = reader(fake, Loader("never"), wait=0.05)
    with pytest.raises(LoaderFailed, match=r"'k' of kind 'things' was not .* 0\.05 s"):
        waiting.get("k")
    loader.go_on.set()

    assert "old" == first.get()


def test_a_thread_s_wait_is_bounded_too(fake, loader):
    """Also for those who wait for a thread of their own process."""
    records = reader(fake, loader, wait=0.05)
    first = held(records, loader)
    with pytest.raises(LoaderFailed, match="was not loaded within"):
        records.get("k")
    loader.go_on.set()

    assert "old" == first.get()


def test_a_slow_loader_does_not_overwrite_newer_data(timed_cache, clock, loader):
    """Its lease ended and another loaded: the late value is dropped, the newer told."""
    first = held(reader(timed_cache, loader, lease=2), loader)
    clock.advance(2)
    other = reader(timed_cache, Loader("new"))
    assert "new" == other.get("k")
    loader.go_on.set()

    assert "new" == first.get()
    assert "new" == other.get("k")


def test_a_lease_lasts_until_its_end(timed_cache, clock, loader):
    """1 ms before its end nobody else loads."""
    first = held(reader(timed_cache, loader, lease=2), loader)
    clock.advance(1.999)
    other = reader(timed_cache, Loader("new"), wait=0.02)
    with pytest.raises(LoaderFailed):
        other.get("k")
    loader.go_on.set()

    assert "old" == first.get()


def test_a_slow_loader_is_kept_if_nothing_newer_is_there(timed_cache, clock, loader):
    """A loader slower than its lease fills the cache all the same."""
    records = reader(timed_cache, loader, lease=2)
    first = held(records, loader)
    clock.advance(3)
    loader.go_on.set()

    assert "old" == first.get()
    assert "old" == reader(timed_cache, Loader("never")).get("k")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_of_slow_loaders_the_latest_stands(timed_cache, clock, order):
    """Three leases ended, and their loaders end in any order: no step back."""
    loaders, callers = [Loader(0), Loader(1), Loader(2)], []
    for loader in loaders:
        callers.append(held(reader(timed_cache, loader, lease=2), loader))
        clock.advance(2)
    latest, name = -1, callers[0].records._copies.name("k")
    for n in order:
        loaders[n].go_on.set()
        latest = max(latest, n)
        assert latest == callers[n].get()
        copy = timed_cache.redis_client.get(name)
        assert str(latest) == copy.split()[3]


def test_a_hanging_loader_is_left_alone_by_its_own_process(cache, loader):
    """Threads of the same process load again when the lease has ended."""
    records = reader(cache, loader, lease=0.1)
    first = held(records, loader)
    loader.value = "new"
    assert "new" == records.get("k")
    loader.go_on.set()

    assert "new" == first.get()
    assert 2 == loader.calls


def test_invalidate_makes_the_next_read_load(cache, loader):
    """True when there was a copy."""
    records = reader(cache, loader)
    assert not records.invalidate("k")
    records.get("k")
    loader.value = "new"

    assert records.invalidate("k")
    assert "new" == records.get("k")


@pytest.mark.parametrize("same_process", [True, False])
def test_a_load_that_began_before_invalidate_is_not_kept(cache, loader, same_process):
    """Its own caller may have the old value; nobody who asks later gets it."""
    records = reader(cache, loader)
    first = held(records, loader)
    loader.value = "new"
    (records if same_process else reader(cache, loader)).invalidate("k")
    later = Caller(records)
    if same_process:
        started = time.monotonic()
        assert "new" == later.get()
        assert time.monotonic() - started < 3  # not when the lease has ended
    loader.go_on.set()

    assert first.get() == "new" if same_process else first.get() in ("old", "new")
    assert "new" == later.get()
    assert "new" == records.get("k")
    assert 2 == loader.calls


def test_a_put_in_mid_load_stands(cache, loader):
    """The load that began before is dropped, and its caller told the newer value."""
    records = reader(cache, loader)
    first = held(records, loader)
    reader(cache, loader).put("k", "put")
    assert "put" == records.get("k")
    loader.go_on.set()

    assert "put" == first.get()
    assert "put" == records.get("k")
    assert 1 == loader.calls


def test_put_none_says_that_there_is_no_record(timed_cache, clock, loader):
    """It is remembered for negative_ttl."""
    records = reader(timed_cache, loader, negative_ttl=3)
    records.put("k", None)
    clock.advance(2.999)
    assert None is records.get("k")
    clock.advance(0.001)

    assert "old" == records.get("k")


def test_absence_is_remembered(timed_cache, clock, loader):
    """A loader that returned None is asked again after negative_ttl, not before."""
    loader.value = None
    records = reader(timed_cache, loader, negative_ttl=3)
    assert [None, None] == [records.get("k"), records.get("k")]
    assert 1 == loader.calls
    clock.advance(2.999)
    assert None is records.get("k")
    clock.advance(0.001)
    loader.value = "born"

    assert "born" == records.get("k")
    assert 2 == loader.calls


def test_a_failing_loader_is_named(cache, loader):
    """LoaderFailed says record and reason, and carries the loader's own error."""
    loader.value = OSError("disk on fire")
    records = reader(cache, loader)
    with pytest.raises(LoaderFailed, match=r"'k' of kind.*OSError: disk on fire") as e:
        records.get("k")

    assert loader.value is e.value.__cause__
    assert isinstance(e.value, AdCacheError)
    assert 1 == records._meter.errors


def test_a_failing_loader_is_left_in_peace_for_a_pause(timed_cache, clock, loader):
    """Until 1 s has passed nobody calls it, in any process; then one does."""
    loader.value = OSError("secret")
    records, other = reader(timed_cache, loader), reader(timed_cache, loader)
    with pytest.raises(LoaderFailed):
        records.get("k")
    clock.advance(0.999)
    for each in (records, other):
        with pytest.raises(LoaderFailed, match=r"\(OSError\).* in 0\.001 s") as error:
            each.get("k")
        assert "secret" not in str(error.value)
    assert 1 == loader.calls
    clock.advance(0.001)
    loader.value = "well again"

    assert "well again" == other.get("k")
    assert "well again" == records.get("k")


def test_all_who_wait_are_told_of_a_failure(cache, loader):
    """25 threads and a failing loader: one call, 25 errors."""
    records = reader(cache, loader)
    loader.value = OSError("down")
    first = held(records, loader)
    others = [Caller(records) for _ in range(24)]
    loader.go_on.set()
    results = [caller.get() for caller in [first, *others]]

    assert {LoaderFailed} == {type(result) for result in results}
    assert 1 == loader.calls


def test_the_old_copy_is_served_while_the_loader_fails(timed_cache, clock, loader):
    """For `stale` seconds beyond its end, to the millisecond; errors are counted."""
    records = reader(timed_cache, loader, stale=30, pause=0.001)
    records.get("k")
    loader.value = OSError("down")
    for advance in (60, 15, 14.999):
        clock.advance(advance)
        assert "old" == records.get("k")
    clock.advance(0.001)
    with pytest.raises(LoaderFailed, match="no copy to serve"):
        records.get("k")

    assert 4 == records._meter.errors
    assert 5 == loader.calls


def test_without_stale_time_an_old_copy_is_not_served(timed_cache, clock, loader):
    """stale=None: a copy that is over is over."""
    records = reader(timed_cache, loader, stale=None)
    records.get("k")
    loader.value = OSError("down")
    clock.advance(60)

    with pytest.raises(LoaderFailed):
        records.get("k")


def test_the_old_copy_is_served_while_another_loads(timed_cache, clock, loader):
    """Nobody waits where there is something to serve: in this process or another."""
    records = reader(timed_cache, loader)
    records.get("k")
    clock.advance(61)
    loader.value = "new"
    first = held(records, loader)
    other = reader(timed_cache, Loader("never"))

    assert ["old", "old"] == [records.get("k"), other.get("k")]
    loader.go_on.set()
    assert "new" == first.get()
    assert ["new", "new"] == [records.get("k"), other.get("k")]


def test_absence_is_not_served_stale(timed_cache, clock, loader):
    """A remembered None that is over cannot stand in for a failing loader."""
    loader.value = None
    records = reader(timed_cache, loader, negative_ttl=1)
    records.get("k")
    clock.advance(1)
    loader.value = OSError("down")

    with pytest.raises(LoaderFailed):
        records.get("k")


def test_one_caller_refreshes_early_and_the_others_do_not_wait(cache, loader):
    """A lucky caller loads while the copy is fresh; all others get the copy."""
    records = reader(cache, loader, beta=1000, ttl=5, rng=Always(1 - 1e-9))
    other = reader(cache, Loader("never"), beta=1000, ttl=5, rng=Always(1 - 1e-9))
    threading.Timer(0.02, loader.go_on.set).start()
    assert "old" == held(records, loader).get()  # took 20 ms
    loader.value = "new"
    loader.inside.clear()
    loader.go_on.clear()
    first = held(records, loader)

    assert ["old", "old"] == [records.get("k"), other.get("k")]
    loader.go_on.set()
    assert "new" == first.get()
    assert 2 == loader.calls


def test_a_failed_early_refresh_disturbs_nobody(cache, loader):
    """The fresh copy is served, the error counted, and the loader left in peace."""
    records = reader(cache, loader, beta=1000, ttl=5, rng=Always(1 - 1e-9))
    threading.Timer(0.02, loader.go_on.set).start()
    held(records, loader).get()
    loader.value = OSError("down")

    assert ["old"] * 3 == [records.get("k") for _ in range(3)]
    assert 2 == loader.calls
    assert 1 == records._meter.errors


def test_an_early_refresh_that_another_did_is_not_done_again(cache, loader):
    """Who wanted to renew the copy it saw finds a newer one, and takes it."""
    records = reader(cache, loader)
    records.get("k")
    key = cache.get_key("loaded", kind="things", record_id="k")
    seen = cache.redis_client.get(key)
    records.put("k", "new")
    ends = time.monotonic() + 1

    assert '"new"' == records._ask("k", seen, ends).body
    assert 1 == loader.calls


def test_an_interrupt_frees_the_lease_at_once(cache, loader):
    """KeyboardInterrupt goes through, and says nothing about the record."""
    loader.value = KeyboardInterrupt()
    records = reader(cache, loader)
    with pytest.raises(KeyboardInterrupt):
        records.get("k")
    loader.value = "fine"

    assert "fine" == reader(cache, loader, wait=0.01).get("k")


def test_threads_go_on_after_an_interrupt(cache, loader):
    """Those who waited for the interrupted thread load for themselves, once."""
    loader.value = SystemExit()
    records = reader(cache, loader)
    first = held(records, loader)
    others = [Caller(records) for _ in range(5)]
    loader.value = "fine"
    loader.go_on.set()

    assert isinstance(first.get(), SystemExit)
    assert ["fine"] * 5 == [caller.get() for caller in others]
    assert 2 == loader.calls


def test_a_loader_may_not_ask_for_its_own_record(fake):
    """It would wait for itself: it is told so at once. Other records are fine."""
    records = reader(fake, lambda key: records.get(key))
    started = time.monotonic()
    with pytest.raises(LoaderFailed, match="which it is loading"):
        records.get("k")
    assert time.monotonic() - started < 2
    nested = reader(fake, lambda key: [nested.get("b")] if key == "a" else key)

    assert ["b"] == nested.get("a")


def test_a_fork_in_mid_load_leaves_nobody_waiting(make_cache, loader):
    """The child has no thread that loads: it waits for Redis, not for a thread."""
    cache = make_cache("redis")
    records = reader(cache, loader)
    first = held(records, loader)
    asked, asking = os.pipe()
    child = os.fork()
    if child == 0:
        cache.wire.observer = lambda *_: os.write(asking, b".")
        started = time.monotonic()
        served = records.get("k") == "old" and time.monotonic() - started < 4
        os._exit(0 if served else 1)
    assert b"." == os.read(asked, 1)  # it has found no copy
    loader.go_on.set()

    assert "old" == first.get()
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_wrong_clock_changes_nothing(make_cache, loader, monkeypatch, hours):
    """Fresh is what the server's clock says; this machine's is not asked."""
    cache = make_cache("redis")
    records = reader(cache, loader, ttl=0.2)
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + hours * 3600)
    records.get("k")
    assert ["old", "old"] == [records.get("k"), reader(cache, loader).get("k")]
    assert 1 == loader.calls
    ends = time.monotonic() + 5
    while loader.calls == 1 and time.monotonic() < ends:
        records.get("k")

    assert 2 == loader.calls


def test_after_a_sleep_the_time_is_asked_for_again(make_cache, loader, monkeypatch):
    """The steady clock stands still in a sleep: copies would seem fresh for ever."""
    records = reader(make_cache("redis"), loader)
    records.get("k")
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + 3600)

    assert ("old", ["GET", "TIME"]) == counted(records.cache, lambda: records.get("k"))
    assert ("old", ["GET"]) == counted(records.cache, lambda: records.get("k"))


def test_flushed_scripts_do_no_harm(cache, loader):
    """SCRIPT FLUSH in mid-load and before each call."""
    records = reader(cache, loader)
    first = held(records, loader)
    cache.redis_client.script_flush()
    loader.go_on.set()
    assert "old" == first.get()
    cache.redis_client.script_flush()
    assert records.invalidate("k")
    cache.redis_client.script_flush()

    assert "old" == records.get("k")


def test_an_evicted_lease_keeps_nothing(cache, loader):
    """Nobody knows then what came in between: the value goes to its caller only."""
    records = reader(cache, loader)
    first = held(records, loader)
    cache.redis_client.delete(
        cache.get_key("loaded_lease", kind="things", record_id="k")
    )
    loader.go_on.set()

    assert "old" == first.get()
    loader.value = "new"
    assert "new" == records.get("k")


def test_a_late_loader_of_an_evicted_lease_is_known_as_such(timed_cache, clock):
    """After the eviction a newer lease began and its copy was evicted as well."""
    old, new = Loader("old"), Loader("new")
    first = held(reader(timed_cache, old), old)
    for key in all_keys(timed_cache):
        timed_cache.redis_client.delete(key)
    clock.advance(0.002)
    second = held(reader(timed_cache, new), new)
    old.go_on.set()
    assert "old" == first.get()
    assert None is timed_cache.redis_client.get(
        timed_cache.get_key("loaded", kind="things", record_id="k")
    )
    new.go_on.set()

    assert "new" == second.get()


def test_a_lost_reply_does_not_lock_the_caller_out(own_server, loader):
    """With retry_on_timeout the repeated call has the lease, not a stranger."""
    proxy = Proxy(own_server.port)
    cache = connect(proxy.url, config=CacheConfig(retry_on_timeout=True))
    records = reader(cache, loader, wait=0.05)
    records.get("other")
    for _ in range(3):
        proxy.lose(1)
        records.invalidate("k")
        assert None is cache.wire.execute("GET", records._copies.name("k"), safe=True)
        proxy.lose(1)
        assert "load" == records._ask("k", None, time.monotonic()).verdict


def test_every_reply_lost_once(own_server, loader):
    """Each step of a load survives a lost reply; the loader is called once."""
    proxy = Proxy(own_server.port)
    cache = connect(proxy.url, config=CacheConfig(retry_on_timeout=True))
    records = reader(cache, loader)
    loader.held = True
    proxy.lose(1)
    first = Caller(records)
    assert loader.inside.wait(10)
    proxy.lose(1)
    loader.go_on.set()

    assert "old" == first.get()
    assert "old" == reader(connect(own_server.url), Loader("never")).get("k")
    assert 1 == loader.calls


def test_redis_gone_while_loading_costs_only_the_copy(own_server, loader):
    """The caller has the record; later calls say that Redis is not there."""
    records = reader(connect(own_server.url), loader)
    first = held(records, loader)
    own_server.stop()
    loader.go_on.set()

    assert "old" == first.get()
    with pytest.raises(RedisUnavailable):
        records.get("k")


def test_without_the_right_to_time(own_server, loader):
    """It says what to grant, and works with a clock of the caller's own."""
    admin = connect(own_server.url)
    admin.wire.execute("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-time")
    url = own_server.url.replace("//", "//app:pw@")
    with pytest.raises(AccessDenied, match=r"TIME.* clock of your own"):
        reader(connect(url), loader).get("k")
    assert 0 == loader.calls
    records = reader(connect(url, clock=ManualClock()), loader)

    assert ["old", "old"] == [records.get("k"), records.get("k")]


def test_hostile_keys_are_kept_apart(cache):
    """Every odd key has a record of its own, and the loader gets it unchanged."""
    records = reader(cache, lambda key: [len(key), key[:1] != "\ud800" and key])
    for _ in range(2):
        for key in HOSTILE:
            assert [len(key), key != "\ud800" and key] == records.get(key)
    others = ReadThrough(cache, "thin", lambda key: "other")

    assert "other" == others.get("gs:a")


@pytest.mark.parametrize("bad", ["", None, 7, b"k"])
def test_a_bad_key_is_refused(fake, loader, bad):
    """Empty and non-text keys and kinds are a ValueError."""
    records = reader(fake, loader)
    for call in (records.get, records.invalidate, lambda key: records.put(key, 1)):
        with pytest.raises(ValueError, match="key must"):
            call(bad)
    with pytest.raises(ValueError, match="kind must"):
        ReadThrough(fake, bad, loader)

    assert 0 == loader.calls
    assert [] == all_keys(fake)


def test_a_huge_value_comes_back(cache, loader):
    """Five megabytes of text, and a deep structure."""
    loader.value = {"text": "é" * 2_500_000, "deep": [[[[[[[[{}]]]]]]]]}
    records = reader(cache, loader)

    assert loader.value == records.get("k")
    assert loader.value == records.get("k")


BAD_VALUES = [{1, 2}, object(), (1, 2), {1: 2}, math.nan, [math.inf], b"x", "\ud800"]


@pytest.mark.parametrize("bad", BAD_VALUES, ids=lambda bad: type(bad).__name__)
def test_what_json_would_change_is_refused(fake, loader, bad):
    """A loader's is a LoaderFailed, a caller's an InvalidValue; both show it."""
    loader.value = bad
    records = reader(fake, loader)
    with pytest.raises(LoaderFailed, match=r"what load\('k'\) returned"):
        records.get("k")
    with pytest.raises(InvalidValue, match="the value of 'p'") as error:
        records.put("p", bad)

    assert repr(bad)[:20] in str(error.value)
    assert fake.redis_client.get(records._copies.name("p")) is None


def test_too_deep_a_value_is_refused(fake, loader):
    """Nothing that nests without end gets as far as Redis."""
    deep = []
    deep.append(deep)
    with pytest.raises(InvalidValue, match="cannot be written as JSON"):
        reader(fake, loader).put("k", deep)


def test_a_damaged_copy_is_an_error_that_put_mends(cache, loader):
    """What another program wrote is not guessed at."""
    records = reader(cache, loader)
    records.get("k")
    name = records._copies.name("k")
    for damaged in ("x", "1 2 3", "a b c {}", f"{10**14} 1 1 " + "{"):
        cache.redis_client.set(name, damaged, px=60_000)
        with pytest.raises(UnreadableRecord, match="not as adcache writes it"):
            records.get("k")
    records.put("k", "mended")

    assert "mended" == records.get("k")


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 0},
        {"ttl": math.nan},
        {"negative_ttl": -1},
        {"stale": 0},
        {"lease": "5"},
        {"wait": math.inf},
        {"pause": 0},
        {"poll": True},
        {"jitter": 1},
        {"jitter": -0.1},
        {"jitter": None},
        {"beta": -1},
        {"beta": math.nan},
        {"beta": "1"},
    ],
    ids=str,
)
def test_a_bad_option_is_refused(fake, loader, options):
    """The error names the option and shows the value."""
    (name,) = options
    name = {"jitter": "share"}.get(name, name)
    with pytest.raises(InvalidValue, match=name):
        reader(fake, loader, **options)


def test_load_must_be_a_function(fake):
    """A value in its place is refused when the object is made."""
    with pytest.raises(InvalidValue, match="load must be a function"):
        ReadThrough(fake, "things", {"a": 1})


def test_each_reader_gets_a_value_of_its_own(fake, loader):
    """Changing what one got changes nothing for others."""
    loader.value = {"list": []}
    records = reader(fake, loader)
    first = held(records, loader)
    second = Caller(records)
    loader.go_on.set()
    first.get()["list"].append("mine")

    assert {"list": []} == second.get() == records.get("k")


def test_jitter_shortens_by_at_most_its_share():
    """The ends of the range are reached; a seed repeats the result."""
    assert 100 == jittered(100, 0.2, Always(0))
    assert 80 < jittered(100, 0.2, Always(1 - 1e-12)) < 80.001
    assert 100 == jittered(100, 0)
    assert jittered(60, 0.5, random.Random(7)) == jittered(60, 0.5, random.Random(7))
    mean = sum(jittered(100, 0.2, random.Random(n)) for n in range(2000)) / 2000
    assert 89 < mean < 91


@given(
    st.floats(0.001, 1e8),
    st.floats(0, 0.999),
    st.floats(0, 1, exclude_max=True),
)
def test_jitter_stays_in_range(ttl, share, number):
    """Never longer than the ttl, never shorter than what the share allows."""
    result = jittered(ttl, share, Always(number))

    assert ttl * (1 - share) * 0.998 - 0.001 <= result <= ttl + 0.001


def test_early_refresh_is_certain_at_the_end_and_off_with_beta_zero():
    """Past its end a copy is always refreshed; beta 0 never before it."""
    assert early_refresh(10, 10, 0)
    assert early_refresh(11, 10, 5, rng=Always(0))
    assert not early_refresh(9.999, 10, 5, beta=0, rng=Always(1 - 1e-16))
    assert not early_refresh(0, 10, 5, rng=Always(0))


def test_early_refresh_happens_as_often_as_computed():
    """20,000 draws agree with the probability within 4 standard errors."""
    rng, draws = random.Random(11), 20_000
    for left, delta, beta in ((1, 1, 1), (3, 1, 1), (1, 0.5, 2), (2, 4, 0.5)):
        expected = early_refresh_probability(left, delta, beta)
        hits = sum(early_refresh(0, left, delta, beta, rng) for _ in range(draws))
        error = math.sqrt(expected * (1 - expected) / draws)

        assert abs(hits / draws - expected) < 4 * error


def test_the_probability_at_its_ends():
    """1 when over, 0 without beta or load time, more with more readers."""
    assert 1.0 == early_refresh_probability(0, 1)
    assert 1.0 == early_refresh_probability(-5, 0)
    assert 0.0 == early_refresh_probability(5, 0)
    assert 0.0 == early_refresh_probability(5, 1, 0)
    alone = early_refresh_probability(3, 1)
    assert math.isclose(1 - (1 - alone) ** 50, early_refresh_probability(3, 1, 1, 50))


STEPS = ["get", "other", "put", "invalidate", "change", "tick", "fail"]


@given(st.lists(st.sampled_from(STEPS), max_size=30))
@settings(max_examples=60, deadline=None)
def test_a_read_is_never_older_than_its_promise(steps):
    """Against a model: a copy is as old as ttl + stale at most, and put wins."""
    clock, truth, broken = ManualClock(), [0], [False]
    cache = connect("fakeredis://", namespace=f"t-{secrets.token_hex(8)}", clock=clock)

    def load(key):
        if broken[0]:
            raise OSError
        return truth[0]

    pair = [reader(cache, load, ttl=10, stale=5, pause=0.001) for _ in range(2)]
    since = {0: clock.now_ms()}  # value -> when it was the truth last
    for step in steps:
        records = pair[step == "other"]
        if step in ("get", "other"):
            try:
                value = records.get("k")
            except LoaderFailed:
                assert broken[0]
            else:
                assert clock.now_ms() - since[value] <= 15_000
        elif step in ("change", "put", "invalidate"):
            truth[0] += 1
            if step == "put":
                records.put("k", truth[0])
            elif step == "invalidate":
                records.invalidate("k")
            if step != "change" and not broken[0]:
                assert truth[0] == records.get("k")
        elif step == "fail":
            broken[0] = not broken[0]
            clock.advance(0.001)  # the pause is over
        else:
            clock.advance(2.5)
        since[truth[0]] = clock.now_ms()

    assert [] == keys_without_ttl(cache)

"""Caching strategies: no stale copy, no lost write, whoever races or is killed."""

import contextlib
import json
import math
import multiprocessing
import os
import random
import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adcache import (
    AccessDenied,
    CacheConfig,
    CacheStrategy,
    InvalidValue,
    ManualClock,
    RecordCache,
    RedisUnavailable,
    SqliteRecords,
    UnreadableRecord,
    connect,
)
from adcache.backends import LocalServer
from adcache.strategies_queue import retry_after_ms
from tests.conftest import all_keys, keys_without_ttl, need_binary
from tests.proxy import Proxy

HOSTILE = ["a:b", "{a}", "a b", "a\nb", "a\0b", "a|b", "~", "🦊", "%", "k" * 3000]
AT_ONCE = [s for s in CacheStrategy if s is not CacheStrategy.WRITE_BACK]
ASIDE, THROUGH = CacheStrategy.CACHE_ASIDE, CacheStrategy.WRITE_THROUGH
AROUND, BACK = CacheStrategy.WRITE_AROUND, CacheStrategy.WRITE_BACK


class Memory:
    """A system of record in a dict, which counts, fails and stops when told to."""

    def __init__(self):
        self.rows = {}
        self.loads = self.stores = 0
        self.fail = None
        self.poison = set()
        self.gates = []  # (method, when, entered, go on)

    def hold(self, method, when="before"):
        """The next `method` stops before or after its work; returns two events."""
        gate = (method, when, threading.Event(), threading.Event())
        self.gates.append(gate)
        return gate[2:]

    def _gate(self, method, when):
        for gate in list(self.gates):
            if gate[:2] == (method, when):
                self.gates.remove(gate)
                gate[2].set()
                assert gate[3].wait(20)

    def load(self, key):
        self.loads += 1
        self._gate("load", "before")
        row = self.rows.get(key)
        self._gate("load", "after")
        return None if row is None else json.loads(row[1])

    def store(self, key, value, version=None):
        self.stores += 1
        self._gate("store", "before")
        if self.fail or key in self.poison:
            raise self.fail or ValueError(f"poison {key}")
        old = self.rows.get(key, (0, "null"))[0]
        if version is None or version > old:
            self.rows[key] = (version or old + 1, json.dumps(value))
        self._gate("store", "after")


@pytest.fixture
def memory():
    """A system of record of the test's own."""
    return Memory()


@pytest.fixture(params=CacheStrategy, ids=lambda strategy: strategy.value)
def strategy(request):
    """Each strategy in turn."""
    return request.param


@pytest.fixture(params=AT_ONCE, ids=lambda strategy: strategy.value)
def at_once(request):
    """Each strategy that stores before it returns."""
    return request.param


@pytest.fixture
def fake(make_cache):
    """An embedded cache, for what the server has no part in."""
    return make_cache("fakeredis")


def cached(cache, records, strategy=ASIDE, **options):
    """A RecordCache without jitter; another one is like another process."""
    return RecordCache(cache, "ads", records, strategy, **{"jitter": 0} | options)


def start(call, *args):
    """Run a call in a thread."""
    thread = threading.Thread(target=call, args=args, daemon=True)
    thread.start()
    return thread


def end(thread):
    """Wait for it."""
    thread.join(20)
    assert not thread.is_alive()


def counted(cache, call):
    """What the call returned, and how many trips it took."""
    trips = []
    cache.wire.observer = lambda pairs, _: trips.append([p[0][0] for p in pairs])
    result = call()
    cache.wire.observer = None
    return result, trips


def copy_of(cache, records, key="k"):
    """The copy in Redis, or None."""
    return cache.redis_client.get(records._key(0, key))


def test_read_your_write_and_delete(cache, memory, strategy):
    """After put a get has the value, after delete None, cached or not."""
    records = cached(cache, memory, strategy)
    assert None is records.get("k")
    for value in ({"n": 1}, {"n": 2}, [], "", 0, False):
        records.put("k", value)
        assert [value, value] == [records.get("k"), records.get("k")]
    records.delete("k")

    assert [None, None] == [records.get("k"), records.get("k")]


def test_a_hit_is_one_get(cache, memory, strategy):
    """The database is asked once; then one GET and nothing else."""
    records = cached(cache, memory, strategy)
    memory.rows["k"] = (1, '"v"')
    records.get("k")

    assert ("v", [["GET"]]) == counted(cache, lambda: records.get("k"))
    assert 1 == memory.loads
    assert (1, 1) == (records._meter.hits, records._meter.misses)


def test_the_trips_of_a_write(cache, memory):
    """Aside and through take two, around one, back one and no store."""
    trips = {}
    for strategy in CacheStrategy:
        records = cached(cache, memory, strategy)
        records.put("k", 1)
        trips[strategy] = len(counted(cache, lambda r=records: r.put("k", 2))[1])

    assert {ASIDE: 2, THROUGH: 2, AROUND: 1, BACK: 1} == trips
    assert 6 == memory.stores


def test_what_a_write_leaves_in_the_cache(cache, memory):
    """Through and back leave the new copy, the other two none."""
    left = {}
    for strategy in CacheStrategy:
        records = cached(cache, memory, strategy)
        records.put("k", "v")
        left[strategy] = copy_of(cache, records) is not None

    assert {ASIDE: False, THROUGH: True, AROUND: False, BACK: True} == left


def test_a_copy_lives_for_its_ttl(timed_cache, clock, memory, strategy):
    """1 ms before its end it is served, then the record is loaded again."""
    records = cached(timed_cache, memory, strategy, ttl=60)
    memory.rows["k"] = (1, '"old"')
    records.get("k")
    memory.rows["k"] = (2, '"new"')
    clock.advance(59.999)
    assert "old" == records.get("k")
    clock.advance(0.001)

    assert "new" == records.get("k")


def test_a_ttl_is_jittered_downwards(cache, memory, strategy):
    """200 copies end at different times, none later than the ttl."""
    records = cached(cache, memory, strategy, ttl=1000, jitter=0.2)
    ttls = []
    for n in range(30):
        memory.rows[f"k{n}"] = (1, "1")
        records.get(f"k{n}")
        ttls.append(cache.redis_client.pttl(records._key(0, f"k{n}")))

    assert 795_000 < min(ttls) < 900_000 < max(ttls) <= 1_000_000


def test_a_fill_does_not_put_an_old_value_back(cache, memory, strategy):
    """Loaded before a put, kept after it: the race of cache-aside, absent."""
    memory.rows["k"] = (1, '"old"')
    reading, writing = (cached(cache, memory, strategy) for _ in range(2))
    loaded, go_on = memory.hold("load", "after")
    thread = start(reading.get, "k")
    assert loaded.wait(20)
    writing.put("k", "new")
    go_on.set()
    end(thread)

    assert "new" == reading.get("k")


def test_a_fill_does_not_bring_back_what_was_deleted(cache, memory, strategy):
    """The same race with delete."""
    memory.rows["k"] = (1, '"old"')
    reading, writing = (cached(cache, memory, strategy) for _ in range(2))
    loaded, go_on = memory.hold("load", "after")
    thread = start(reading.get, "k")
    assert loaded.wait(20)
    writing.delete("k")
    go_on.set()
    end(thread)

    assert None is reading.get("k")


@pytest.mark.parametrize("lost", ["evicted", "lease over"])
def test_a_fill_without_its_claim_is_not_kept(cache, memory, strategy, lost):
    """A lease that was evicted or is over: the value goes to its caller only."""
    memory.rows["k"] = (1, '"old"')
    records = cached(cache, memory, strategy, lease=0.03 if lost != "evicted" else 10)
    loaded, go_on = memory.hold("load", "after")
    thread = start(records.get, "k")
    assert loaded.wait(20)
    lease = records._key(1, "k")
    if lost == "evicted":
        cache.redis_client.delete(lease)
    ends = time.monotonic() + 5
    while cache.redis_client.exists(lease):
        assert time.monotonic() < ends
        time.sleep(0.002)
    go_on.set()
    end(thread)

    assert None is copy_of(cache, records)


def test_two_readers_share_a_claim(cache, memory):
    """Both may keep what they loaded: nobody wrote in between."""
    memory.rows["k"] = (1, '"v"')
    records = cached(cache, memory)
    loaded, go_on = memory.hold("load", "after")
    thread = start(records.get, "k")
    assert loaded.wait(20)
    records.get("k")
    assert copy_of(cache, records)
    cache.redis_client.delete(records._key(0, "k"))
    go_on.set()
    end(thread)

    assert copy_of(cache, records)


def test_reads_during_a_write_keep_no_copy(cache, memory):
    """Aside and through: between begin and finish the database answers."""
    for strategy in (ASIDE, THROUGH):
        memory.rows["k"] = (1, '"old"')
        records = cached(cache, memory, strategy)
        records.get("k")
        for when, seen in (("before", "old"), ("after", "new")):
            stored, go_on = memory.hold("store", when)
            thread = start(records.put, "k", "new")
            assert stored.wait(20)
            assert seen == records.get("k")
            assert None is copy_of(cache, records)
            go_on.set()
            end(thread)
            assert "new" == records.get("k")


def test_around_shows_the_old_copy_until_it_has_stored(cache, memory):
    """Its docstring says so: between store and drop, readers have the old value."""
    memory.rows["k"] = (1, '"old"')
    records = cached(cache, memory, AROUND)
    records.get("k")
    stored, go_on = memory.hold("store", "after")
    thread = start(records.put, "k", "new")
    assert stored.wait(20)
    assert "old" == records.get("k")
    go_on.set()
    end(thread)

    assert "new" == records.get("k")


@pytest.mark.parametrize("first_to_finish", [0, 1])
def test_two_writers_at_once_leave_no_wrong_copy(
    cache, memory, at_once, first_to_finish
):
    """Stored in one order and finished in the other: the cache follows the store."""
    records = [cached(cache, memory, at_once) for _ in range(2)]
    threads, gates = [], []
    for n in range(2):  # both begin, and store in this order
        stored, go_on = memory.hold("store", "after")
        threads.append(start(records[n].put, "k", f"v{n}"))
        assert stored.wait(20)
        gates.append(go_on)
    for n in (first_to_finish, 1 - first_to_finish):
        gates[n].set()
        end(threads[n])

    assert ["v1", "v1"] == [each.get("k") for each in records]


def test_a_writer_that_begins_while_another_stores(cache, memory):
    """The one that stores last wins, also when it began first."""
    for strategy in (ASIDE, THROUGH):
        first, second = (cached(cache, memory, strategy) for _ in range(2))
        begun, go_on = memory.hold("store", "before")
        thread = start(first.put, "k", "first")
        assert begun.wait(20)
        second.put("k", "second")
        assert "second" == second.get("k")
        go_on.set()
        end(thread)

        assert "first" == second.get("k") == memory.load("k")


def test_copies_come_back_after_writers_met(cache, memory):
    """Once no writer is there, the next read keeps a copy again."""
    records = cached(cache, memory, THROUGH)
    stored, go_on = memory.hold("store", "after")
    thread = start(records.put, "k", 1)
    assert stored.wait(20)
    records.put("k", 2)
    go_on.set()
    end(thread)
    assert None is copy_of(cache, records)

    assert 2 == records.get("k")
    assert copy_of(cache, records)


def test_a_failed_store_leaves_the_cache_not_ahead(cache, memory, at_once):
    """The error comes out unchanged; what is read is what the database has."""
    memory.rows["k"] = (1, '"old"')
    records = cached(cache, memory, at_once)
    records.get("k")
    memory.fail = OSError("disk full")
    with pytest.raises(OSError, match="disk full") as error:
        records.put("k", "new")
    assert memory.fail is error.value
    memory.fail = None

    assert "old" == records.get("k")
    assert copy_of(cache, records)


def test_a_store_that_failed_after_its_work(fake, memory, at_once):
    """Time-out of a write that happened: the next read has the new value."""
    memory.rows["k"] = (1, '"old"')
    records = cached(fake, memory, at_once)
    records.get("k")
    memory.store = lambda key, value: (
        memory.rows.update(k=(2, json.dumps(value))),
        1 / 0,
    )
    with pytest.raises(ZeroDivisionError):
        records.put("k", "new")

    assert "new" == records.get("k")


def test_a_killed_writer_leaves_no_stale_copy(timed_cache, clock, memory):
    """Aside and through: stored, then killed before the end: nothing old is read."""
    for strategy in (ASIDE, THROUGH):
        memory.rows["k"] = (1, '"old"')
        records = cached(timed_cache, memory, strategy, lease=5)
        records.get("k")
        stored, go_on = memory.hold("store", "after")
        thread = start(records.put, "k", "new")  # it stops there, as if it were killed
        assert stored.wait(20)
        assert "new" == records.get("k")
        assert None is copy_of(timed_cache, records)
        clock.advance(4.999)
        assert "new" == records.get("k")
        assert None is copy_of(timed_cache, records)
        clock.advance(0.001)
        assert "new" == records.get("k")
        assert copy_of(timed_cache, records)
        go_on.set()
        end(thread)


def test_a_writer_slower_than_its_lease(timed_cache, clock, memory):
    """A copy of the old value, made when its mark was over, is dropped at its end."""
    for strategy in (ASIDE, THROUGH):
        memory.rows["k"] = (1, '"old"')
        records = cached(timed_cache, memory, strategy, lease=5)
        begun, go_on = memory.hold("store", "before")
        thread = start(records.put, "k", "new")
        assert begun.wait(20)
        clock.advance(5)
        assert "old" == records.get("k")
        assert copy_of(timed_cache, records)
        go_on.set()
        end(thread)

        assert "new" == records.get("k")


def test_without_redis_a_write_is_refused_before_it_is_stored(own_server, memory):
    """Aside, through and back; around says afterwards that the copy is still there."""
    cache = connect(own_server.url)
    own_server.stop()
    for strategy in (ASIDE, THROUGH, BACK):
        with pytest.raises(RedisUnavailable):
            cached(cache, memory, strategy).put("k", 1)
    assert 0 == memory.stores
    with pytest.raises(RedisUnavailable):
        cached(cache, memory, AROUND).put("k", 1)

    assert 1 == memory.stores


def test_redis_gone_in_mid_write_leaves_no_stale_copy(own_server, memory):
    """The copy was dropped before; the caller hears that Redis is away."""
    records = cached(connect(own_server.url), memory, THROUGH)
    memory.store = lambda key, value: own_server.stop()
    with pytest.raises(RedisUnavailable):
        records.put("k", "new")


class Gated:
    """A system of record that stops one participant before and after its step."""

    def __init__(self, memory):
        self.memory = memory
        self.gates = [(threading.Event(), threading.Event()) for _ in range(2)]

    def load(self, key):
        self._stop(0)
        value = self.memory.load(key)
        self._stop(1)
        return value

    def store(self, key, value):
        self._stop(0)
        self.memory.store(key, value)
        self._stop(1)

    def _stop(self, number):
        entered, go_on = self.gates[number]
        entered.set()
        assert go_on.wait(20)


class Participant:
    """A put or get that goes on one step at a time: begin, database, finish."""

    def __init__(self, call, gated):
        self.call, self.gated = call, gated
        self.done = 0
        self.thread = None

    def step(self):
        """Do the next step; a get that finds a copy has no more than one."""
        if self.thread is None:
            self.thread = start(self.call)
        else:
            self.gated.gates[self.done - 1][1].set()
        entered = self.gated.gates[self.done][0] if self.done < 2 else None
        self.done += 1
        while self.thread.is_alive() and not (entered and entered.is_set()):
            time.sleep(0.0002)


@given(
    st.tuples(st.sampled_from(AT_ONCE), st.sampled_from(AT_ONCE)),
    st.permutations([0, 0, 0, 1, 1, 1, 2, 2, 2]),
)
@settings(max_examples=100, deadline=None)
def test_any_interleaving_leaves_no_stale_copy(pair, order):
    """Two writers and a reader, each in three steps, in any order: what is read
    in the end is what the database has.
    """
    cache = connect("fakeredis://", namespace=f"t-{secrets.token_hex(8)}")
    memory = Memory()
    memory.rows["k"] = (1, '"start"')
    gated = [Gated(memory) for _ in range(3)]
    first, second = (
        cached(cache, each, strategy)
        for each, strategy in zip(gated, pair, strict=False)
    )
    people = [
        Participant(lambda: first.put("k", "first"), gated[0]),
        Participant(lambda: second.put("k", "second"), gated[1]),
        Participant(lambda: cached(cache, gated[2]).get("k"), gated[2]),
    ]
    for who in order:
        people[who].step()

    assert not any(person.thread.is_alive() for person in people)
    assert memory.load("k") == cached(cache, memory).get("k")
    assert [] == keys_without_ttl(cache)


# Write-back


def test_back_returns_before_the_database_knows(cache, memory):
    """A put is queued and visible; flush stores it; then the queue is empty."""
    records, other = (cached(cache, memory, BACK) for _ in range(2))
    records.put("k", "v")
    assert 0 == memory.stores
    assert "v" == other.get("k")
    assert 1 == records.lag().queued
    flushed = other.flush()

    assert (1, 1, 0) == (flushed.taken, flushed.stored, flushed.failed)
    assert "v" == memory.load("k")
    assert 0 == records.lag().queued
    assert 0 == records.flush().taken


def test_several_writes_of_a_key_are_stored_once(cache, memory):
    """They coalesce: the database sees the last one."""
    records = cached(cache, memory, BACK)
    for n in range(10):
        records.put("k", n)
    records.put("other", "x")
    assert 2 == records.lag().queued
    records.flush()

    assert (9, 2) == (memory.load("k"), memory.stores)


def test_queued_writes_are_seen_when_the_copy_is_gone(cache, memory):
    """Evicted: the queue answers, not the database, and the copy is made again."""
    records = cached(cache, memory, BACK)
    memory.rows["k"] = (1, '"old"')
    records.put("k", "queued")
    cache.redis_client.delete(records._key(0, "k"))

    assert ["queued", "queued"] == [records.get("k"), records.get("k")]
    assert 0 == memory.loads


def test_queued_writes_are_seen_when_the_copy_is_over(timed_cache, clock, memory):
    """Expired: the same."""
    records = cached(timed_cache, memory, BACK, ttl=10)
    records.put("k", "queued")
    records.put("gone", "x")
    records.delete("gone")
    clock.advance(11)

    assert ["queued", None] == [records.get("k"), records.get("gone")]
    assert 0 == memory.loads


def test_a_queued_removal_hides_the_record(cache, memory):
    """Until it is stored, and afterwards."""
    records = cached(cache, memory, BACK)
    memory.rows["k"] = (1, '"old"')
    records.delete("k")
    assert None is records.get("k")
    records.flush()

    assert None is records.get("k")
    assert None is memory.load("k")


def test_a_read_across_put_and_flush_keeps_no_old_copy(cache, memory):
    """Loaded, then put, flushed, evicted: the late fill must not bring it back."""
    records = cached(cache, memory, BACK)
    memory.rows["k"] = (1, '"old"')
    loaded, go_on = memory.hold("load", "after")
    thread = start(records.get, "k")
    assert loaded.wait(20)
    records.put("k", "new")
    records.flush()
    cache.redis_client.delete(records._key(0, "k"))
    go_on.set()
    end(thread)

    assert "new" == records.get("k")


def test_a_write_during_a_flush_is_not_lost(cache, memory):
    """The newer write stays in the queue, and its turn is at once."""
    records = cached(cache, memory, BACK)
    records.put("k", "first")
    storing, go_on = memory.hold("store", "before")
    thread = start(records.flush)
    assert storing.wait(20)
    records.put("k", "second")
    go_on.set()
    end(thread)
    assert "first" == memory.load("k")
    assert "second" == records.get("k")
    records.flush()

    assert "second" == memory.load("k")
    assert 0 == records.lag().queued


def test_versions_grow_whatever_the_clock_does(timed_cache, clock, memory):
    """Two puts in one millisecond, and a put after the clock was set back."""
    records = cached(timed_cache, memory, BACK)
    versions = []
    for shift in (0, 0, 1000, -5000, 0):
        clock._now_ms += shift
        records.put("k", shift)
        records.flush()
        clock._now_ms += 0
        versions.append(memory.rows["k"][0])
        if shift == -5000:
            clock._now_ms += 5000

    assert sorted(set(versions)) == versions


def test_versions_go_on_after_redis_lost_everything(cache, memory):
    """An empty Redis gives versions above those that the database has."""
    records = cached(cache, memory, BACK)
    records.put("k", "before")
    records.flush()
    for key in all_keys(cache):
        cache.redis_client.delete(key)
    records.put("k", "after")
    records.flush()

    assert "after" == memory.load("k")


def test_a_late_writer_does_not_undo_a_newer_write(timed_cache, clock, memory):
    """It hangs, its lease ends, another stores a newer one: the late one is void."""
    records, other = (cached(timed_cache, memory, BACK, lease=5) for _ in range(2))
    records.put("k", "old")
    storing, go_on = memory.hold("store", "before")
    thread = start(records.flush)
    assert storing.wait(20)
    other.put("k", "new")
    assert 0 == other.flush().taken  # leased
    clock.advance(5)
    assert 1 == other.flush().stored
    go_on.set()
    end(thread)

    assert "new" == memory.load("k")
    assert 0 == other.lag().queued


def test_a_batch_comes_back_when_its_writer_is_gone(timed_cache, clock, memory):
    """Leased for `lease` seconds, to the millisecond; nothing has left the queue."""
    records = cached(timed_cache, memory, BACK, lease=5)
    records.put("k", "v")
    records._scripts["write_take"](  # a writer that was killed right after
        queue=records._queue._queue,
        due=records._queue._due,
        now_ms=timed_cache.now_ms(),
        limit=10,
        lease_ms=5000,
    )
    clock.advance(4.999)
    assert 0 == records.flush().taken
    assert 1 == records.lag().queued
    clock.advance(0.001)

    assert 1 == records.flush().stored


def test_writers_share_the_work(cache, memory):
    """Two writers at once take different writes."""
    records, other = (cached(cache, memory, BACK) for _ in range(2))
    for n in range(10):
        records.put(f"k{n}", n)
    storing, go_on = memory.hold("store", "before")
    thread = start(records.flush, 5)
    assert storing.wait(20)
    assert 5 == other.flush().stored
    go_on.set()
    end(thread)

    assert 10 == memory.stores
    assert 0 == records.lag().queued


def test_a_failing_store_keeps_the_write_for_later(timed_cache, clock, memory):
    """Retried after 0.5 s, then 1 s, 2 s ...; the errors are counted."""
    records = cached(timed_cache, memory, BACK)
    memory.fail = OSError("down")
    records.put("k", "v")
    for wait in (0.5, 1, 2):
        flushed = records.flush()
        assert (1, 0, 1) == (flushed.taken, flushed.stored, flushed.failed)
        clock.advance(wait - 0.001)
        assert 0 == records.flush().taken
        clock.advance(0.001)
    assert 3 == records._meter.errors
    assert "v" == records.get("k")
    memory.fail = None

    assert 1 == records.flush().stored
    assert "v" == memory.load("k")


def test_a_poison_write_blocks_no_other(timed_cache, clock, memory):
    """It waits for its retry, alone; a value that can be stored heals it."""
    records = cached(timed_cache, memory, BACK)
    memory.poison = {"bad"}
    records.put("bad", "x")
    for n in range(5):
        records.put(f"k{n}", n)
        records.flush(1)
        records.flush(1)
    assert [0, 1, 2, 3, 4] == [memory.load(f"k{n}") for n in range(5)]
    assert 1 == records.lag().queued
    memory.poison = set()
    records.put("bad", "good")
    clock.advance(60)

    assert 1 == records.flush().stored
    assert "good" == memory.load("bad")


def test_a_damaged_entry_blocks_no_other(timed_cache, clock, memory):
    """What another program wrote into the queue fails alone; put mends it."""
    records = cached(timed_cache, memory, BACK)
    for key in ("a", "b", "c"):
        records.put(key, key)
    queue = timed_cache.get_key("write_queue", kind="ads")
    timed_cache.redis_client.hset(queue, "b", "nonsense")
    timed_cache.redis_client.delete(records._key(0, "b"))
    flushed = records.flush()
    assert (3, 2, 1) == (flushed.taken, flushed.stored, flushed.failed)
    with pytest.raises(UnreadableRecord, match="nonsense"):
        records.get("b")
    records.put("b", "mended")
    clock.advance(60)

    assert 1 == records.flush().stored
    assert ["a", "mended", "c"] == [memory.load(key) for key in "abc"]


def test_a_write_does_not_shorten_the_wait_of_a_failing_store(
    timed_cache, clock, memory
):
    """However often a record is written, its store is asked as the backoff says."""
    records = cached(timed_cache, memory, BACK)
    memory.fail = OSError("down")
    for n in range(20):
        records.put("k", n)
        records.flush()
        clock.advance(0.1)

    assert 3 == memory.stores  # at 0, 0.5 and 1.5 s


def test_the_retry_delay_is_bounded():
    """From half a second to a minute, whatever the number of attempts."""
    assert [500, 1000, 32_000, 60_000] == [retry_after_ms(n) for n in (0, 1, 6, 7)]
    assert 60_000 == retry_after_ms(10**6)


def test_lag_is_the_age_of_the_oldest_write(timed_cache, clock, memory):
    """Counted from the first write that is not stored, not from the last."""
    records = cached(timed_cache, memory, BACK)
    assert (0, 0.0) == (records.lag().queued, records.lag().oldest)
    records.put("k", 1)
    clock.advance(10)
    records.put("k", 2)
    records.put("j", 1)
    clock.advance(2.5)
    assert (2, 12.5) == (records.lag().queued, records.lag().oldest)
    records.flush(1)

    assert (1, 2.5) == (records.lag().queued, records.lag().oldest)


def test_a_lost_reply_of_a_flush_changes_nothing(own_server, tmp_path):
    """Stored, but the note of it was lost: stored again with the same version."""
    proxy = Proxy(own_server.port)
    records_file = SqliteRecords(tmp_path / "r.db")
    records = cached(connect(proxy.url), records_file, BACK, lease=0.05)
    records.put("k", "v")
    records.flush()
    records.put("k", "w")
    version = records_file.version("k")
    real_store = records_file.store

    def store(key, value, version):
        real_store(key, value, version)
        proxy.lose(1)

    records_file.store = store
    with pytest.raises(RedisUnavailable):
        records.flush()
    records_file.store = real_store
    ends = time.monotonic() + 5
    while records.lag().queued and time.monotonic() < ends:
        records.flush()

    assert "w" == records_file.load("k")
    assert version < records_file.version("k")
    assert 0 == records.lag().queued


def test_an_interrupted_flush_keeps_what_it_has_done(cache, memory):
    """KeyboardInterrupt in the third store: two left the queue, the rest waits."""
    records = cached(cache, memory, BACK, lease=0.05)
    for n in range(5):
        records.put(f"k{n}", n)
    real_store = memory.store

    def store(key, value, version):
        if memory.stores == 2:
            memory.stores += 1
            raise KeyboardInterrupt
        real_store(key, value, version)

    memory.store = store
    with pytest.raises(KeyboardInterrupt):
        records.flush()
    assert 3 == records.lag().queued
    ends = time.monotonic() + 5
    while records.lag().queued and time.monotonic() < ends:
        records.flush()

    assert [0, 1, 2, 3, 4] == [memory.load(f"k{n}") for n in range(5)]


def test_a_slow_batch_ends_with_its_lease(fake, memory):
    """A writer does not go on storing what another may have taken."""
    records = cached(fake, memory, BACK, lease=0.05)
    for n in range(3):
        records.put(f"k{n}", n)
    real_store = memory.store

    def store(key, value, version):
        time.sleep(0.06)
        real_store(key, value, version)

    memory.store = store
    flushed = records.flush()

    assert (3, 1) == (flushed.taken, flushed.stored)
    assert 2 == records.lag().queued


def test_a_writer_runs_until_it_is_stopped(cache, memory):
    """It stores what comes; stop ends it at once though it pauses for a minute."""
    records = cached(cache, memory, BACK)
    stop = threading.Event()
    for n in range(25):
        records.put(f"k{n}", n)
    stored = []
    thread = start(lambda: stored.append(records.run_writer(stop, 10, 60)))
    ends = time.monotonic() + 10
    while records.lag().queued and time.monotonic() < ends:
        time.sleep(0.005)
    stop.set()
    end(thread)

    assert [25] == stored


def test_a_writer_goes_on_when_redis_comes_back(own_server, memory):
    """While Redis is away it tries again."""
    cache = connect(own_server.url)
    records = cached(cache, memory, BACK)
    stop = threading.Event()
    records.put("k", 1)
    records.flush()
    own_server.stop()
    thread = start(records.run_writer, stop, 10, 0.01)
    own_server.start()
    cached(connect(own_server.url), memory, BACK).put("k", 2)
    ends = time.monotonic() + 10
    while memory.load("k") != 2 and time.monotonic() < ends:
        time.sleep(0.005)
    stop.set()
    end(thread)

    assert 2 == memory.load("k")


def test_a_killed_redis_loses_no_acknowledged_write(memory):
    """SIGKILL with appendfsync always: the queue is there after the restart."""
    options = {"appendonly": "yes", "appendfsync": "always"}
    with LocalServer(need_binary("redis"), **options) as server:
        records = cached(connect(server.url), memory, BACK)
        for n in range(50):
            records.put(f"k{n}", n)
        records.flush(20)
        server.stop()
        server.start()
        assert list(range(50)) == [records.get(f"k{n}") for n in range(50)]
        records.flush()

    assert list(range(50)) == [memory.load(f"k{n}") for n in range(50)]


def test_without_the_right_to_time(own_server, memory):
    """Three strategies need no clock; write-back says what to grant."""
    admin = connect(own_server.url)
    admin.wire.execute("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-time")
    app = connect(own_server.url.replace("//", "//app:pw@"))
    for strategy in AT_ONCE:
        records = cached(app, memory, strategy, lease=0.05)
        records.put("k", strategy.value)
        assert [strategy.value] * 2 == [records.get("k"), records.get("k")]
        assert copy_of(app, records)
    back = cached(app, memory, BACK)
    for call in (lambda: back.put("k", 1), back.lag, back.flush):
        with pytest.raises(AccessDenied, match=r"TIME.* grant it"):
            call()
    with pytest.raises(AccessDenied):
        back.run_writer(threading.Event())


WRITER = """
import sys, threading
from adcache import CacheStrategy, RecordCache, SqliteRecords, connect
url, namespace, path = sys.argv[1:]
records = RecordCache(
    connect(url, namespace=namespace), "ads", SqliteRecords(path),
    CacheStrategy.WRITE_BACK, lease=0.3,
)
records.run_writer(threading.Event(), 7, 0.001)
"""
AUDIT = """
CREATE TABLE audit (key TEXT, version INTEGER);
CREATE TRIGGER inserted AFTER INSERT ON records
  BEGIN INSERT INTO audit VALUES (NEW.key, NEW.version); END;
CREATE TRIGGER updated AFTER UPDATE ON records
  BEGIN INSERT INTO audit VALUES (NEW.key, NEW.version); END;
"""


def start_writer(url, namespace, path):
    """A writer process; it is at work a little later."""
    return subprocess.Popen([sys.executable, "-c", WRITER, url, namespace, str(path)])


@pytest.mark.timeout(60)
def test_killed_writers_lose_nothing_and_write_nothing_twice(
    make_cache, redis_url, tmp_path
):
    """Three writers, one killed at a random moment again and again, while writes of
    60 keys are queued: SQLite ends as expected, each version applied once.
    """
    cache, path, rng = make_cache("redis"), tmp_path / "records.db", random.Random(3)
    database = SqliteRecords(path)
    with contextlib.closing(sqlite3.connect(path)) as audit:
        audit.executescript(AUDIT)
    records = cached(cache, database, BACK, lease=0.3)
    where = (redis_url, cache.config.namespace, path)
    writers = [start_writer(*where) for _ in range(3)]
    expected, kills, next_kill = {}, 0, math.inf
    while kills < 6:
        key = f"k{rng.randrange(60)}"
        expected[key] = None if rng.random() < 0.1 else {"n": rng.random()}
        if expected[key] is None:
            records.delete(key)
        else:
            records.put(key, expected[key])
        if next_kill == math.inf and database.version("k0"):
            next_kill = time.monotonic()  # they are at work
        if time.monotonic() > next_kill:
            victim = writers.pop(0)  # the one that has been at work longest
            victim.send_signal(signal.SIGKILL)
            victim.communicate()
            kills += 1
            writers.append(start_writer(*where))
            next_kill = time.monotonic() + rng.random()
    ends = time.monotonic() + 20
    while records.lag().queued and time.monotonic() < ends:
        time.sleep(0.01)
    for writer in writers:
        writer.kill()
        writer.communicate()

    assert 60 == len(expected)
    assert 0 == records.lag().queued
    assert expected == {key: database.load(key) for key in expected}
    with contextlib.closing(sqlite3.connect(path)) as audit:
        applied = list(audit.execute("SELECT key, version FROM audit ORDER BY rowid"))
    assert len(applied) >= 60
    for key in expected:
        versions = [version for who, version in applied if who == key]
        assert sorted(set(versions)) == versions


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "delete", "flush", "evict", "fail", "tick", "get"]),
            st.sampled_from("ab"),
        ),
        max_size=40,
    )
)
@settings(max_examples=50, deadline=None)
def test_write_back_agrees_with_a_dict(steps):
    """Whatever is put, flushed, evicted or fails: a read is the last write."""
    clock, memory, model = ManualClock(), Memory(), {}
    cache = connect("fakeredis://", namespace=f"t-{secrets.token_hex(8)}", clock=clock)
    records = cached(cache, memory, BACK, ttl=5)
    for n, (step, key) in enumerate(steps):
        if step == "put":
            records.put(key, n)
            model[key] = n
        elif step == "delete":
            records.delete(key)
            model[key] = None
        elif step == "flush":
            records.flush(1)
        elif step == "evict":
            cache.redis_client.delete(records._key(0, key), records._key(1, key))
        elif step == "fail":
            memory.fail = None if memory.fail else OSError("down")
        elif step == "tick":
            clock.advance(2)
        assert model.get(key) == records.get(key)
    memory.fail = None
    clock.advance(120)
    records.flush()

    assert 0 == records.lag().queued
    assert model == {key: memory.load(key) for key in model}


# What is refused, and what SQLite does


@pytest.mark.parametrize("bad", ["", None, 7, b"k", "\ud800"])
def test_a_bad_key_is_refused_before_anything_is_written(fake, memory, strategy, bad):
    """Empty, non-text, and text that no database can keep."""
    records = cached(fake, memory, strategy)
    calls = (records.get, records.delete, lambda key: records.put(key, 1))
    for call in calls:
        with pytest.raises(ValueError, match=r"(key|record_id) must"):
            call(bad)

    assert [] == all_keys(fake)
    assert 0 == memory.loads + memory.stores


def test_a_bad_value_is_refused_before_anything_is_written(fake, memory, strategy):
    """What JSON would change, and None, which delete is for."""
    records = cached(fake, memory, strategy)
    for bad in ((1, 2), {1: 2}, math.nan, {"a": {1}}, object(), "\ud800"):
        with pytest.raises(InvalidValue, match="the value of 'k'"):
            records.put("k", bad)
    with pytest.raises(InvalidValue, match=r"delete\(\) removes"):
        records.put("k", None)

    assert [] == all_keys(fake)
    assert 0 == memory.stores


def test_hostile_keys_are_kept_apart(cache, tmp_path, strategy):
    """Each odd key keeps its own value, through Redis, queue and SQLite."""
    database = SqliteRecords(tmp_path / "r.db")
    records = cached(cache, database, strategy)
    for n, key in enumerate(HOSTILE):
        records.put(key, n)
    numbers = list(range(len(HOSTILE)))
    assert numbers == [records.get(key) for key in HOSTILE]
    if strategy is BACK:
        records.flush()

    assert numbers == [database.load(key) for key in HOSTILE]


def test_a_huge_value_comes_back(cache, tmp_path, strategy):
    """Five megabytes through cache, queue and database."""
    database = SqliteRecords(tmp_path / "r.db")
    records, value = cached(cache, database, strategy), {"text": "é" * 2_500_000}
    records.put("k", value)
    if strategy is BACK:
        records.flush()

    assert value == records.get("k") == database.load("k")


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 0},
        {"ttl": math.nan},
        {"lease": -1},
        {"lease": "x"},
        {"jitter": 1.0},
        {"jitter": math.nan},
        {"strategy": "write_back"},
    ],
    ids=str,
)
def test_a_bad_option_is_refused(fake, memory, options):
    """The error names the option."""
    (name,) = options
    with pytest.raises(InvalidValue, match={"jitter": "share"}.get(name, name)):
        RecordCache(fake, "ads", memory, **options)


def test_only_write_back_has_a_queue(fake, memory, at_once):
    """flush, run_writer and lag say so for the other strategies."""
    records = cached(fake, memory, at_once)
    for call in (records.flush, records.lag, lambda: records.run_writer(None)):
        with pytest.raises(InvalidValue, match="only WRITE_BACK has flush"):
            call()


@pytest.mark.parametrize("limit", [0, -1, 1001, 1.5, True, "9"])
def test_a_bad_batch_size_is_refused(fake, memory, limit):
    """A batch is 1 to 1000 writes."""
    with pytest.raises(InvalidValue, match="limit must be 1 to 1000"):
        cached(fake, memory, BACK).flush(limit)


def test_write_back_needs_a_store_with_versions(fake):
    """A store(key, value) is enough for the others."""

    class Plain:
        def load(self, key):
            return None

        def store(self, key, value):
            pass

    for strategy in AT_ONCE:
        cached(fake, Plain(), strategy).put("k", 1)
    with pytest.raises(InvalidValue, match=r"Plain\.store takes none"):
        cached(fake, Plain(), BACK)


def test_a_damaged_copy_is_an_error_that_put_mends(cache, memory, strategy):
    """What another program wrote is not guessed at."""
    records = cached(cache, memory, strategy)
    cache.redis_client.set(records._key(0, "k"), "{}", px=60_000)
    with pytest.raises(UnreadableRecord):
        records.get("k")
    records.put("k", 1)

    assert 1 == records.get("k")


def test_flushed_scripts_do_no_harm(cache, memory, strategy):
    """SCRIPT FLUSH before each call."""
    records = cached(cache, memory, strategy)
    calls = [lambda: records.put("k", 1), lambda: records.get("k")]
    calls += [lambda: records.delete("k"), lambda: records.get("k")]
    if strategy is BACK:
        calls += [records.flush, records.lag]
    for call in calls:
        cache.redis_client.script_flush()
        call()

    assert None is records.get("k")


def test_only_the_queue_lives_for_ever(cache, memory, strategy):
    """Keys without TTL are the durable ones of the table."""
    records = cached(cache, memory, strategy)
    records.put("k", 1)
    records.get("other")

    assert [] == keys_without_ttl(cache)


def test_threads_on_one_object(cache, tmp_path, strategy):
    """8 threads write and read their own keys: each sees its last write."""
    database = SqliteRecords(tmp_path / "r.db")
    records, wrong = cached(cache, database, strategy), []

    def work(who):
        for n in range(10):
            records.put(who, n)
            if records.get(who) != n:
                wrong.append((who, n))

    threads = [start(work, f"t{n}") for n in range(8)]
    for thread in threads:
        end(thread)

    assert [] == wrong


def test_the_default_ttl_is_the_configs(make_cache, memory):
    """Without a ttl a copy lives for CacheConfig.default_ttl."""
    cache = make_cache("fakeredis", config=CacheConfig(default_ttl=77))
    records = cached(cache, memory, THROUGH)
    records.put("k", 1)

    assert 76_000 < cache.redis_client.pttl(records._key(0, "k")) <= 77_000


def test_sqlite_ignores_older_versions(tmp_path):
    """Also the same version again, and after a removal."""
    records = SqliteRecords(tmp_path / "r.db")
    for value, version in (("b", 5), ("a", 4), ("c", 5), (None, 6), ("d", 5)):
        records.store("k", value, version)
    assert None is records.load("k")
    assert 6 == records.version("k")
    records.store("k", "e", 7)
    records.store("k", "f")
    assert ("f", 8) == (records.load("k"), records.version("k"))

    assert None is records.version("never")


def test_sqlite_keeps_what_it_stored(tmp_path):
    """Another object, and other tables of the file."""
    path = tmp_path / "r.db"
    SqliteRecords(path, "ads").store("k", {"a": [1, None, "é"]})

    assert {"a": [1, None, "é"]} == SqliteRecords(str(path), "ads").load("k")
    assert None is SqliteRecords(path, "users").load("k")


@pytest.mark.parametrize("table", ["", "a b", "a;drop", "1a", None, "é" * 99])
def test_sqlite_refuses_a_bad_table_name(tmp_path, table):
    """No statement can hide in it."""
    with pytest.raises(InvalidValue, match="table must be"):
        SqliteRecords(tmp_path / "r.db", table)


def test_sqlite_refuses_what_json_would_change(tmp_path):
    """As the cache does."""
    with pytest.raises(InvalidValue, match="the value of 'k'"):
        SqliteRecords(tmp_path / "r.db").store("k", (1, 2))


def test_sqlite_serves_threads_and_processes(tmp_path):
    """4 processes x 4 threads x 25 versioned stores, in any order: the last stands."""
    path = tmp_path / "r.db"
    records = SqliteRecords(path)  # inherited by the forked children

    def work(child):
        def store(first):
            for version in range(first, 400, 16):
                records.store("k", version, version + 1)

        threads = [start(store, 4 * child + n) for n in range(4)]
        for thread in threads:
            end(thread)

    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=work, args=(n,)) for n in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)

    assert [0] * 4 == [child.exitcode for child in children]
    assert (399, 400) == (records.load("k"), records.version("k"))


def test_sqlite_opens_in_many_processes_at_once(tmp_path):
    """The file is created by whoever comes first; nobody fails."""
    fork = multiprocessing.get_context("fork")
    for attempt in range(5):
        path, barrier = tmp_path / f"{attempt}.db", fork.Barrier(4)

        def work(who, path=path, barrier=barrier):
            barrier.wait(20)
            SqliteRecords(path).store(who, 1)

        children = [fork.Process(target=work, args=(who,)) for who in "abcd"]
        for child in children:
            child.start()
        for child in children:
            child.join(30)

        assert [0] * 4 == [child.exitcode for child in children]
        records = SqliteRecords(path)
        assert [1] * 4 == [records.load(who) for who in "abcd"]
        records.close()


def test_a_fork_takes_no_connection_along(tmp_path):
    """A child opens the file anew, also when a thread of the parent was storing."""
    records = SqliteRecords(tmp_path / "r.db")
    with records._lock:  # as if another thread were at work
        child = os.fork()
        if child == 0:
            records.store("k", "child")
            os._exit(0)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert "child" == records.load("k")

"""Creatives, strategies and read-through against plain Python, fake against server."""

import json

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from adcache import (
    CacheStrategy,
    CreativeCache,
    LoaderFailed,
    ReadThrough,
    RecordCache,
    WriteLag,
)
from adcache.keys import encode_id
from tests.campaign_help import banner
from tests.model_help import Twins, run

NAMES = ["k1", "k:{2}"]
KEYS = st.sampled_from(NAMES)
VALUES = st.integers(0, 9).map(lambda n: {"n": n})
MAYBE = st.one_of(st.none(), VALUES)


class Memory:
    """A database in a dict: counts what it is asked, and may refuse."""

    def __init__(self):
        self.rows, self.asked, self.broken = {}, 0, False

    def load(self, key):
        self.asked += 1
        if self.broken:
            raise OSError("no database")
        return json.loads(self.rows.get(key, (0, "null"))[1])

    def store(self, key, value, version=None):
        if self.broken:
            raise OSError("no database")
        old = self.rows.get(key, (0, ""))[0]
        if version is None or version > old:
            self.rows[key] = (version or old, json.dumps(value))

    def meddle(self, key, value):
        """Somebody else writes, past the cache."""
        self.rows[key] = (self.rows.get(key, (0, ""))[0], json.dumps(value))


class CreativeMachine(Twins):
    """Creatives set, loaded, deleted; what there is none of is remembered too."""

    def begin(self):
        self.archive, self.known = {}, {}
        self.asked, self.loads = [], 0
        self.both = [CreativeCache(each) for each in self.caches]

    def load(self, name):
        self.asked.append(name)
        return self.archive.get(name)

    @rule(name=KEYS, width=st.integers(0, 9))
    def set(self, name, width):
        ad = banner(name, w=width)
        self.agree(lambda ads: ads.set_creative(ad))
        self.known[name] = ad

    @rule(name=KEYS, width=st.one_of(st.none(), st.integers(10, 19)))
    def archive_changes(self, name, width):
        self.archive.pop(name, None)
        if width:
            self.archive[name] = banner(name, w=width)

    @rule(names=st.lists(KEYS, max_size=4), loads=st.booleans())
    def get(self, names, loads):
        load = self.load if loads else None
        self.asked.clear()
        told = self.agree(lambda ads: ads.get_many(names, load))
        unknown = [name for name in dict.fromkeys(names) if name not in self.known]
        if loads:
            assert unknown * 2 == self.asked, (
                "loaded what was known, or not what was not"
            )
            self.known |= {name: self.archive.get(name) for name in unknown}
        assert {name: self.known.get(name) for name in names} == told

    @rule(name=KEYS)
    def look(self, name):
        ad = self.known.get(name)
        assert ad == self.agree(lambda ads: ads.cache.wire.ask(ads.ask_creative(name)))
        markup = self.agree(lambda ads: ads.get_markup(name))
        assert (ad and ad.markup) == markup

    @rule(name=KEYS)
    def delete(self, name):
        told = self.agree(lambda ads: ads.delete_creative(name))
        assert (self.known.get(name) is not None) == told
        self.known[name] = None


def test_creatives_equal_their_model(redis_url):
    """Whatever happens, fake, server and model know the same ads, and absences."""
    run(CreativeMachine, redis_url)


class StrategyMachine(Twins):
    """One strategy: reads, writes, a flush now and then, and a meddler."""

    TTL = 600
    strategy = CacheStrategy.CACHE_ASIDE
    pauses = st.sampled_from([1, 59, 599.999, 600, 3600])

    def begin(self):
        self.memories = [Memory(), Memory()]
        self.both = [
            RecordCache(cache, "ads", rows, self.strategy, self.TTL, jitter=0)
            for cache, rows in zip(self.caches, self.memories, strict=True)
        ]
        self.truth, self.copies, self.queue, self.loads = {}, {}, {}, 0
        self.broken = False

    def keep(self, key, value):
        self.copies[key] = (value, self.clock.now_ms() + self.TTL * 1000)

    @property
    def back(self):
        return self.strategy is CacheStrategy.WRITE_BACK

    @rule(key=KEYS)
    def get(self, key):
        told = self.agree(lambda records: records.get(key))
        value, ends = self.copies.get(key, (None, 0))
        if self.clock.now_ms() < ends:
            assert value == told, "not what the copy should be"
        elif key in self.queue:
            value = self.queue[key][0]
            assert value == told, "not what waits in the queue"
            self.refill(key, value)
        else:
            self.loads += 1
            if self.broken:
                assert (OSError, "no database") == told
            else:
                assert self.truth.get(key) == told, "not what the database has"
                self.refill(key, told)
        assert [self.loads] * 2 == [rows.asked for rows in self.memories]

    def look_at_all(self):
        for key in NAMES:
            self.get(key)

    def refill(self, key, value):
        if value is not None:
            self.keep(key, value)

    @rule(key=KEYS, value=MAYBE)
    def write(self, key, value):
        told = self.agree(
            lambda records: (
                records.delete(key) if value is None else records.put(key, value)
            )
        )
        self.copies.pop(key, None)
        if self.back:
            assert told is None
            due = self.queue.get(key, (None, self.clock.now_ms()))[1]
            self.queue[key] = (value, due, self.queue.get(key, (0, 0, due))[2])
            self.refill(key, value)
        elif self.broken:
            assert (OSError, "no database") == told
        else:
            assert told is None
            self.truth[key] = value
            if self.strategy is CacheStrategy.WRITE_THROUGH:
                self.refill(key, value)

    @rule(key=KEYS, value=MAYBE)
    def meddle(self, key, value):
        for rows in self.memories:
            rows.meddle(key, value)
        self.truth[key] = value

    @rule()
    def database_breaks_or_is_mended(self):
        self.broken = not self.broken
        for rows in self.memories:
            rows.broken = self.broken

    @precondition(lambda self: self.back and not self.broken)
    @rule(limit=st.integers(1, 3))
    def flush(self, limit):
        due = sorted(self.queue, key=lambda key: (self.queue[key][1], encode_id(key)))
        batch = due[:limit]
        told = self.agree(lambda records: records.flush(limit))
        assert (len(batch), len(batch), 0) == (told.taken, told.stored, told.failed)
        for key in batch:
            self.truth[key] = self.queue.pop(key)[0]

    @precondition(lambda self: self.back)
    @rule()
    def look_at_the_lag(self):
        oldest = min((each[2] for each in self.queue.values()), default=None)
        age = 0.0 if oldest is None else (self.clock.now_ms() - oldest) / 1000
        told = self.agree(lambda records: records.lag())
        assert WriteLag(len(self.queue), age) == told

    @rule()
    def databases_agree(self):
        for rows in self.memories:
            held = {key: json.loads(row[1]) for key, row in rows.rows.items()}
            assert {key: value for key, value in self.truth.items() if value} == {
                key: value for key, value in held.items() if value
            }

    def teardown(self):
        for cache in getattr(self, "caches", ()):
            for name in ("write_queue", "write_order", "write_due", "write_versions"):
                cache.redis_client.delete(cache.get_key(name, kind="ads"))
        super().teardown()


@pytest.mark.parametrize("strategy", CacheStrategy, ids=lambda each: each.value)
def test_strategies_equal_their_model(redis_url, strategy):
    """Whatever happens, reads, loads and the database are as each strategy says."""
    run(StrategyMachine, redis_url, strategy=strategy)


class ReadMachine(Twins):
    """Reads through a copy, with a loader that fails at times, and a pause after."""

    TTL, NEGATIVE, STALE, PAUSE = 600, 120, 300, 60
    pauses = st.sampled_from([1, 59.999, 60, 119, 300, 599.999, 600, 900])

    def begin(self):
        self.memories = [Memory(), Memory()]
        self.both = [
            ReadThrough(
                *(cache, "ads", rows.load, self.TTL),
                **{"negative_ttl": self.NEGATIVE, "stale": self.STALE},
                **{"pause": self.PAUSE, "jitter": 0, "beta": 0},
            )
            for cache, rows in zip(self.caches, self.memories, strict=True)
        ]
        self.truth, self.copies, self.paused, self.loads = {}, {}, {}, 0
        self.broken = False

    @property
    def now(self):
        return self.clock.now_ms()

    def keep(self, key, value):
        fresh = self.NEGATIVE if value is None else self.TTL
        self.copies[key] = (value, self.now + fresh * 1000)

    def stale(self, key):
        """Whether an old copy may be served: never that there is no record."""
        value, fresh_until = self.copies.get(key, (None, 0))
        return value is not None and self.now < fresh_until + self.STALE * 1000

    def expected(self, key):
        """What `get` returns by the model, or the error that it raises."""
        value, fresh_until = self.copies.get(key, (None, 0))
        if self.now < fresh_until:
            return value
        if self.now < self.paused.get(key, 0):
            return value if self.stale(key) else LoaderFailed
        self.loads += 1
        if not self.broken:
            self.keep(key, self.truth.get(key))
            return self.truth.get(key)
        self.paused[key] = self.now + self.PAUSE * 1000
        return value if self.stale(key) else LoaderFailed

    @rule(key=KEYS)
    def get(self, key):
        told = self.agree(lambda records: records.get(key))
        told = told[0] if isinstance(told, tuple) else told
        assert self.expected(key) == told
        assert [self.loads] * 2 == [rows.asked for rows in self.memories]

    def look_at_all(self):
        for key in NAMES:
            self.get(key)

    @rule(key=KEYS, value=MAYBE)
    def put(self, key, value):
        assert self.agree(lambda records: records.put(key, value)) is None
        self.keep(key, value)
        self.paused.pop(key, None)

    @rule(key=KEYS)
    def invalidate(self, key):
        told = self.agree(lambda records: records.invalidate(key))
        assert (key in self.copies) == told
        self.copies.pop(key, None)
        self.paused.pop(key, None)

    @rule(key=KEYS, value=MAYBE)
    def database_changes(self, key, value):
        for rows in self.memories:
            rows.meddle(key, value)
        self.truth[key] = value

    @rule()
    def database_breaks_or_is_mended(self):
        self.broken = not self.broken
        for rows in self.memories:
            rows.broken = self.broken


def test_reading_through_equals_its_model(redis_url):
    """Whatever happens, fake, server and model load, serve and fail alike."""
    run(ReadMachine, redis_url, examples=40)

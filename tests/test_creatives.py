"""Creatives, on every backend: read through, with negative entries."""

import threading
from datetime import timedelta

import pytest

from adcache import (
    CreativeCache,
    InvalidValue,
    RedisAdCache,
    RedisUnavailable,
    UnreadableRecord,
    connect,
)
from tests.campaign_help import HOSTILE, banner, trips_of
from tests.conftest import all_keys
from tests.proxy import Proxy


@pytest.fixture
def fake(make_cache) -> RedisAdCache:
    """Embedded fake: what is refused before it reaches Redis needs no server."""
    return make_cache("fakeredis")


class Archive:
    """A system of record that counts how often it is asked."""

    def __init__(self, *creatives):
        self.creatives = {each.creative_id: each for each in creatives}
        self.asked = []

    def load(self, creative_id):
        """Return the creative, or None."""
        self.asked.append(creative_id)
        return self.creatives.get(creative_id)


def test_a_creative_comes_back_as_it_went_in(cache):
    """Every field, with odd text."""
    creative = banner(
        "a:b 🦊",
        format="video",
        markup='<VAST a="1">\n\u2028\x00</VAST>',
        duration=15,
        mimes=["video/mp4"],
        attr=[1, 16],
        language="ko",
    )
    creatives = CreativeCache(cache)
    creatives.set_creative(creative)

    assert creative == creatives.get_creative("a:b 🦊")
    assert creative.markup == creatives.get_markup("a:b 🦊")


def test_an_unknown_creative_is_none(cache):
    """Without a system of record nothing is remembered of it."""
    creatives = CreativeCache(cache)

    assert None is creatives.get_creative("nothing")
    assert None is creatives.get_markup("nothing")
    assert [] == all_keys(cache)


def test_the_archive_is_asked_once(cache):
    """Also for a creative that does not exist."""
    archive = Archive(banner("a"))
    creatives = CreativeCache(cache, archive)
    found = [creatives.get_creative(each) for each in ("a", "a", "no", "no", "a")]

    assert [banner("a"), banner("a"), None, None, banner("a")] == found
    assert ["a", "no"] == archive.asked


def test_a_loader_can_come_with_the_call(cache):
    """It stands before the source; its errors come out, and nothing is kept."""
    archive = Archive()
    creatives = CreativeCache(cache, archive)

    def broken(_):
        raise OSError("the database is away")

    with pytest.raises(OSError, match="is away"):
        creatives.get_creative("a", broken)
    assert [] == all_keys(cache)
    assert banner("a") == creatives.get_creative("a", Archive(banner("a")).load)
    assert [] == archive.asked


def test_many_take_one_trip(cache):
    """A second one only where something had to be loaded; each id once, in order."""
    archive = Archive(*[banner(f"c{n}") for n in range(9)])
    creatives = CreativeCache(cache, archive)
    ids = ["c3", "no", "c1", "c3"]
    found = creatives.get_many(ids)

    assert {"c3": banner("c3"), "no": None, "c1": banner("c1")} == found
    assert ["c3", "no", "c1"] == list(found) == archive.asked
    assert 1 == trips_of(cache, lambda: creatives.get_many(ids))
    assert {} == creatives.get_many([])


def test_a_new_creative_is_there_at_once(cache):
    """What was set replaces what was known not to exist."""
    creatives = CreativeCache(cache, Archive(), negative_ttl=600)
    assert None is creatives.get_creative("a")
    creatives.set_creative(banner("a"))

    assert banner("a") == creatives.get_creative("a")


def test_a_slow_load_does_not_overwrite_what_was_set(cache):
    """What came during the load is newer: it stands, and it is the answer."""
    creatives = CreativeCache(cache)
    old, new = banner("a", markup="old"), banner("a", markup="new")

    def slow(_):
        creatives.set_creative(new)
        return old

    assert new == creatives.get_creative("a", slow)
    assert new == creatives.get_creative("a")


def test_a_slow_load_that_found_nothing_neither(cache):
    """There was none when it looked; by now there is one."""
    creatives = CreativeCache(cache)

    def slow(_):
        creatives.set_creative(banner("a"))

    assert banner("a") == creatives.get_creative("a", slow)
    assert banner("a") == creatives.get_creative("a")


def test_a_slow_load_does_not_bring_a_deleted_creative_back(cache):
    """It was there when the load looked; it was deleted since."""
    creatives = CreativeCache(cache)

    def slow(_):
        creatives.delete_creative("a")
        return banner("a")

    assert None is creatives.get_creative("a", slow)
    assert None is creatives.get_creative("a")


def test_deleting_tells_whether_there_was_one(cache):
    """Twice is no error, and what is known not to exist is not a creative."""
    creatives = CreativeCache(cache, Archive())
    creatives.set_creative(banner("a"))
    creatives.get_creative("no")

    assert [True, False, False, False] == [
        creatives.delete_creative(each) for each in ("a", "a", "no", "never seen")
    ]


def test_how_long_entries_live(cache):
    """A creative for its ttl, the knowledge that there is none for seconds."""
    creatives = CreativeCache(cache, Archive(banner("loaded")))
    creatives.set_creative(banner("set"))
    creatives.set_creative(banner("short"), ttl=timedelta(seconds=60))
    creatives.get_many(["loaded", "no"], ttl=600)
    creatives.set_creative(banner("deleted"))
    creatives.delete_creative("deleted")
    lives = {
        each: cache.redis_client.pttl(cache.get_key("ad_creative", creative_id=each))
        for each in ("set", "short", "loaded", "no", "deleted")
    }

    for each, seconds in {
        "set": 7200,
        "short": 60,
        "loaded": 600,
        "no": 30,
        "deleted": 30,
    }.items():
        assert (seconds - 9) * 1000 < lives[each] <= seconds * 1000, each


def test_questions_of_the_ad_server_load_nothing(cache):
    """They share a trip; what is not in the cache is None."""
    archive = Archive(banner("b"))
    creatives = CreativeCache(cache, archive)
    creatives.set_creative(banner("a", markup="<i>ad</i>"))
    answers = cache.wire.trip(
        [
            creatives.ask_creative("a"),
            creatives.ask_markup("a"),
            creatives.ask_creative("b"),
            creatives.ask_markup("b"),
        ]
    )

    assert [banner("a", markup="<i>ad</i>"), "<i>ad</i>", None, None] == answers
    assert [] == archive.asked


def test_a_meter_tells_hits_from_misses(cache):
    """To know that there is none is a hit: the archive was spared."""
    creatives = CreativeCache(cache, Archive(banner("a")))
    for each in ("a", "a", "no", "no", "no"):
        creatives.get_creative(each)
    creatives.get_markup("other")

    meter = cache.metrics.meter("creatives")
    assert (3, 3) == (meter.hits, meter.misses)


def test_hostile_ids_are_kept_apart(cache):
    """Each odd id has a creative of its own."""
    creatives = CreativeCache(cache)
    for each in HOSTILE:
        creatives.set_creative(banner(each, markup=f"ad {each}"))

    found = creatives.get_many(HOSTILE)
    assert [f"ad {each}" for each in HOSTILE] == [c.markup for c in found.values()]


@pytest.mark.parametrize("bad", ["", None, 7, b"a"])
def test_a_bad_id_is_refused(fake, bad):
    """Empty and non-text ids are a ValueError; nobody is asked."""
    archive = Archive()
    creatives = CreativeCache(fake, archive)
    for call in (
        creatives.get_creative,
        creatives.ask_creative,
        creatives.ask_markup,
        creatives.delete_creative,
        lambda each: creatives.get_many(["a", each]),
    ):
        with pytest.raises(ValueError, match="creative_id must"):
            call(bad)

    assert [] == archive.asked


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "60", None, True])
def test_a_bad_ttl_is_refused_before_anything_happens(fake, ttl):
    """Nothing is written, nobody is asked."""
    archive = Archive(banner("a"))
    creatives = CreativeCache(fake, archive)
    for call in (
        lambda: creatives.set_creative(banner("a"), ttl),
        lambda: creatives.get_creative("a", ttl=ttl),
        lambda: creatives.get_many(["a"], ttl=ttl),
        lambda: CreativeCache(fake, negative_ttl=ttl),
    ):
        with pytest.raises(ValueError, match="ttl must be"):
            call()

    assert [] == all_keys(fake) + archive.asked


@pytest.mark.parametrize("wrong", [banner("b"), "a", {"creative_id": "a"}, 7])
def test_a_loader_must_return_the_creative(fake, wrong):
    """Another creative, or no creative at all, would poison the cache."""
    with pytest.raises(InvalidValue, match="must"):
        CreativeCache(fake).get_creative("a", lambda _: wrong)

    assert [] == all_keys(fake)


def test_what_json_cannot_hold_is_refused(fake):
    """Half a character; something that is no creative."""
    creatives = CreativeCache(fake)
    for bad in (banner("a", markup="\ud800"), banner("\ud800"), {"creative_id": "a"}):
        with pytest.raises(InvalidValue):
            creatives.set_creative(bad)
    with pytest.raises(InvalidValue, match="must be several"):
        creatives.get_many("abc")

    assert [] == all_keys(fake)


def test_a_damaged_record_is_an_error_that_says_so(cache):
    """Broken is an error, not a creative that does not exist."""
    creatives = CreativeCache(cache)
    key = cache.get_key("ad_creative", creative_id="a")
    for damaged in ("{", '{"creative_id": "a"}', "[]", '""'):
        cache.redis_client.set(key, damaged, ex=60)
        with pytest.raises(UnreadableRecord, match="set it again"):
            creatives.get_creative("a")
    creatives.set_creative(banner("a"))
    assert banner("a") == creatives.get_creative("a")


def test_loads_of_many_threads_agree(cache):
    """Whichever of them is kept, all get the same creative."""
    creatives, answers = CreativeCache(cache), []
    gate = threading.Barrier(8)

    def read(number):
        def load(creative_id):
            gate.wait(10)
            return banner(creative_id, markup=f"from {number}")

        answers.append(creatives.get_creative("a", load).markup)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 8 == len(answers)
    assert {creatives.get_markup("a")} == set(answers)


def test_lost_replies_do_no_harm(own_server):
    """Set, fill and delete can be asked again."""
    proxy = Proxy(own_server.port)
    creatives = CreativeCache(connect(proxy.url))
    archive = Archive(banner("b"))
    creatives.get_creative("script", Archive().load)  # now the server has the scripts
    creatives.delete_creative("script")
    for call, wanted in (
        (lambda: creatives.set_creative(banner("a")), None),
        (lambda: creatives.get_creative("a"), banner("a")),
        (lambda: creatives.get_creative("b", archive.load), banner("b")),
        (lambda: creatives.delete_creative("a"), False),
    ):
        proxy.lose()
        with pytest.raises(RedisUnavailable):
            call()
        assert wanted == call()
    proxy.close()


def test_flushed_scripts_do_no_harm(cache):
    """SCRIPT FLUSH before each call."""
    creatives = CreativeCache(cache, Archive(banner("a")))
    cache.redis_client.script_flush()
    assert banner("a") == creatives.get_creative("a")
    cache.redis_client.script_flush()
    assert creatives.delete_creative("a")

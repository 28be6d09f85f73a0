"""Session-based targeting, on every backend: events, fading interests, campaigns."""

import math
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adcache import (
    AdCacheError,
    CacheConfig,
    ManualClock,
    PageEvent,
    RedisUnavailable,
    SessionManager,
    SessionTargeting,
    UnreadableRecord,
    connect,
    event_interests,
    page_event,
    rank_campaigns,
)
from adcache.cast import CAST, INTERESTS, campaigns
from adcache.openrtb import decode_bid_request
from adcache.sessions import MARK_MS
from adcache.targeting import EVENTS_KNOWN, NEGLIGIBLE, decayed
from adcache.targeting_events import CATEGORY_INTERESTS, EVENT_WEIGHTS
from tests.conftest import all_keys, trips_of
from tests.proxy import Proxy

HOSTILE = [
    *("a:b", "{a}", "a b", "a\nb", "a|b", "~", ":ends", "0 0", "a\0b", "🦊", "\ud800"),
    *("%41", "*", "nan", "inf"),
]
HOUR, YEAR = 3600, 366 * 86_400
MS = 0.001


class SetBack(ManualClock):
    """A clock that can be set back, as a server's can."""

    def set_back(self, seconds):
        self._now_ms -= round(seconds * 1000)


def test_events_add_up(timed_cache):
    """Weights of the same moment are summed, the strongest stands first."""
    targeting = SessionTargeting(timed_cache)
    assert targeting.record("s", {"sports": 3, "tea": 1})
    assert targeting.record("s", {"tea": 1.5, "art": 2.5})

    assert [("sports", 3.0), ("art", 2.5), ("tea", 2.5)] == targeting.interests("s")
    assert [("sports", 3.0)] == targeting.interests("s", limit=1)
    assert [] == targeting.interests("s", limit=0)


def test_stored_scores_say_the_same_as_the_script(timed_cache, clock):
    """Read plainly and judged here: the same interests, those of this session alone."""
    targeting, sessions = SessionTargeting(timed_cache), SessionManager(timed_cache)
    sessions.create_session("s", {"user_id": "ada"})
    targeting.record("s", {"tea time": 3, "art": 1})
    clock.advance(600)
    targeting.record("s", {"art": 1})
    _, began = timed_cache.wire.ask(sessions.ask_owner("s"))
    stored = timed_cache.wire.ask(targeting.ask_stored("s"))
    now = clock.now_ms()

    assert targeting.interests("s") == targeting.scores_of("s", stored, began, now)
    assert 2 == len(targeting.scores_of("s", stored, began, now + 1_799_999))
    assert [] == targeting.scores_of("s", stored, began, now + 1_800_000)
    assert [] == targeting.scores_of("s", stored, began + "0", now)
    assert [] == targeting.scores_of("s", {}, began, now)


def test_a_half_life_halves(timed_cache, clock):
    """After one half-life half is left, after two a quarter; older ones fade too."""
    targeting = SessionTargeting(timed_cache, half_life=600, ttl=HOUR)
    targeting.record("s", {"tea": 8})
    clock.advance(600)
    assert [("tea", 4.0)] == targeting.interests("s")
    targeting.record("s", {"tea": 4, "art": 1})
    clock.advance(600)

    assert [("tea", 4.0), ("art", 0.5)] == targeting.interests("s")


def test_what_is_unknown_has_no_interests(cache):
    """Missing is an empty list, and nothing is written by looking."""
    targeting = SessionTargeting(cache)

    assert [] == targeting.interests("s")
    assert [] == targeting.match("s", {"sneakers": ["sports"]})
    assert not targeting.forget("s")
    assert [] == all_keys(cache)


WEIGHTS = st.floats(1e-6, 1e6) | st.integers(1, 1000)
STEPS = st.lists(
    st.tuples(
        st.integers(-5_000, 200_000),  # ms until the event; the clock may be set back
        st.dictionaries(st.sampled_from("abcdef"), WEIGHTS, min_size=1, max_size=4),
        st.sampled_from([None, "e1", "e2", "e3"]),
    ),
    min_size=1,
    max_size=12,
)


class Model:
    """Interest scores in plain Python: no hash, no script."""

    def __init__(self, half_life_ms):
        self.half_life_ms, self.scores, self.seen = half_life_ms, {}, set()

    def record(self, now, weights, event):
        if event in self.seen:
            return False
        if event:
            self.seen.add(event)
        for name, weight in weights.items():
            at = max(now, self.scores.get(name, (0, now))[1])
            self.scores[name] = (self.value(name, now) + weight, at)
        return True

    def value(self, name, now):
        score, at = self.scores.get(name, (0.0, now))
        return score * 0.5 ** (max(0, now - at) / self.half_life_ms)


@pytest.mark.parametrize("server", ["fakeredis", "redis"])
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS, half_life=st.integers(1, 100), wait=st.integers(0, 10**6))
def test_scores_are_those_of_a_plain_model(make_cache, server, steps, half_life, wait):
    """Lua and Python fade alike: equal to a billionth, whatever the history."""
    clock = SetBack()
    cache = make_cache(server, clock=clock)
    targeting = SessionTargeting(cache, half_life=half_life, ttl=YEAR)
    model = Model(half_life * 1000)
    for ms, weights, event in steps:
        clock.advance(ms / 1000) if ms > 0 else clock.set_back(-ms / 1000)
        counted = targeting.record("s", weights, event)
        assert model.record(clock.now_ms(), weights, event) == counted
    clock.advance(wait / 1000)
    found = dict(targeting.interests("s"))

    for name in model.scores:
        expected = model.value(name, clock.now_ms())
        if expected > 2 * NEGLIGIBLE:
            assert math.isclose(expected, found[name], rel_tol=1e-9)
        elif expected < NEGLIGIBLE / 2:
            assert name not in found
    assert set(found) <= set(model.scores)


@given(st.floats(0, 1e6), st.floats(0, 1e12), st.floats(0, 1e12), st.floats(1e-3, 1e9))
def test_waiting_twice_is_waiting_once(score, first, second, half_life):
    """Decay over two spans is decay over their sum, never more, never negative."""
    at_once = decayed(score, first + second, half_life)
    in_two = decayed(decayed(score, first, half_life), second, half_life)

    assert 0 <= at_once <= score
    assert math.isclose(at_once, in_two, rel_tol=1e-6, abs_tol=1e-300)


def test_years_of_silence_leave_nothing(timed_cache, clock):
    """A score underflows to 0 and is dropped; the next event starts anew."""
    targeting = SessionTargeting(timed_cache, half_life=1, ttl=10 * YEAR)
    targeting.record("s", {"tea": 1_000_000})
    for _ in range(9):
        clock.advance(YEAR)
        assert [] == targeting.interests("s")
    targeting.record("s", {"tea": 2})

    assert [("tea", 2.0)] == targeting.interests("s")


def test_a_clock_set_back_makes_nothing_grow(make_cache, backend):
    """A score of the future counts as it is, and fades once its time has come."""
    clock = SetBack()
    targeting = SessionTargeting(make_cache(backend, clock=clock), half_life=600)
    targeting.record("s", {"tea": 8})
    clock.set_back(10 * YEAR)
    assert [("tea", 8.0)] == targeting.interests("s")
    targeting.record("s", {"tea": 1})

    assert [("tea", 9.0)] == targeting.interests("s")


def test_only_the_strongest_interests_are_kept(timed_cache, clock):
    """Of more than max_interests the weakest go, as of now and not as written."""
    targeting = SessionTargeting(timed_cache, half_life=60, ttl=HOUR, max_interests=3)
    targeting.record("s", {"old": 10})
    clock.advance(300)  # worth 0.3 by now
    targeting.record("s", {"a": 1, "b": 2, "c": 3})
    assert ["c", "b", "a"] == [name for name, _ in targeting.interests("s")]
    targeting.record("s", {"weak": 0.5})
    assert ["c", "b", "a"] == [name for name, _ in targeting.interests("s")]
    targeting.record("s", {f"n{number}": 10 + number for number in range(100)})

    assert ["n99", "n98", "n97"] == [name for name, _ in targeting.interests("s")]
    key = timed_cache.get_key("session_interests", session_id="s")
    assert 3 + 2 == timed_cache.redis_client.hlen(key)  # and whose, until when


def test_a_retry_counts_once(cache):
    """With an event id the second call says False and adds nothing."""
    targeting = SessionTargeting(cache, half_life=YEAR)

    assert targeting.record("s", {"tea": 1}, event_id="e1")
    assert not targeting.record("s", {"tea": 1}, event_id="e1")
    assert targeting.record("s", {"tea": 1}, event_id="e2")
    assert targeting.record("t", {"tea": 1}, event_id="e1")
    assert 2.0 == pytest.approx(dict(targeting.interests("s"))["tea"], rel=1e-6)


def test_the_last_64_events_are_remembered(cache):
    """The memory is bounded: only an id that 64 others followed counts again."""
    targeting = SessionTargeting(cache)
    for number in range(EVENTS_KNOWN + 1):
        assert targeting.record("s", {"tea": 1}, event_id=f"e{number}")

    assert not targeting.record("s", {"tea": 1}, event_id="e1")
    assert targeting.record("s", {"tea": 1}, event_id="e0")
    key = cache.get_key("session_events", session_id="s")
    assert EVENTS_KNOWN == cache.redis_client.llen(key)


def test_nothing_to_add_writes_nothing(cache):
    """An event that tells nothing is False, and its id stays free."""
    targeting = SessionTargeting(cache)

    assert not targeting.record("s", {}, event_id="e")
    assert not targeting.record("s", PageEvent(url="https://x.example/"), event_id="e")
    assert [] == all_keys(cache)
    assert targeting.record("s", {"tea": 1}, event_id="e")


def test_interests_live_their_ttl_after_the_last_event(timed_cache, clock):
    """Over a ttl after it, to the ms; events do not bring the old ones back."""
    targeting = SessionTargeting(timed_cache, ttl=100, half_life=HOUR)
    targeting.record("s", {"tea": 1}, event_id="e")
    clock.advance(60)
    targeting.record("s", {"art": 1}, event_id="f")
    keys = [
        timed_cache.get_key(f"session_{name}", session_id="s")
        for name in ("interests", "events")
    ]
    left = [timed_cache.redis_client.pttl(key) for key in keys]
    assert [True, True] == [99_000 < ms <= 100_000 for ms in left]
    clock.advance(100 - MS)
    assert 2 == len(targeting.interests("s"))
    clock.advance(MS)
    assert [] == targeting.interests("s")

    assert targeting.record("s", {"new": 1}, event_id="e")
    assert [("new", 1.0)] == targeting.interests("s")


def test_forgetting_leaves_nothing(cache):
    """Scores and event ids are gone."""
    targeting = SessionTargeting(cache)
    targeting.record("s", {"tea": 1}, event_id="e")

    assert targeting.forget("s")
    assert [] == all_keys(cache)
    assert targeting.record("s", {"tea": 1}, event_id="e")


def test_live_only_records_for_open_sessions(timed_cache, clock):
    """No session, a session that is over or deleted: no interests, no ghost."""
    sessions = SessionManager(timed_cache)
    targeting = SessionTargeting(timed_cache, live_only=True)
    assert not targeting.record("s", {"tea": 1}, event_id="e")
    sessions.create_session("s", {"user_id": "ada"}, ttl=10)
    clock.advance(10 - MS)
    assert targeting.record("s", {"tea": 1}, event_id="e")
    clock.advance(MS)
    assert not targeting.record("s", {"tea": 1})
    sessions.create_session("s", {"user_id": "ada"})
    assert targeting.record("s", {"tea": 1})
    sessions.revoke_all("ada")
    targeting.forget("s")

    assert not targeting.record("s", {"tea": 1})
    assert [] == targeting.interests("s")


def test_interests_end_with_their_session(timed_cache, clock):
    """After a logout, or when it has run out, nothing is known of its visitor."""
    sessions, targeting = SessionManager(timed_cache), SessionTargeting(timed_cache)
    for how in ("a logout", "time"):
        sessions.create_session("s", {"user_id": "ada"}, ttl=10)
        assert targeting.record("s", {"tea": 1}, event_id="e")
        clock.advance(10 - MS)
        assert ["tea"] == [name for name, _ in targeting.interests("s")]
        sessions.delete_session("s") if how == "a logout" else clock.advance(MS)
        assert [] == targeting.interests("s")
    assert targeting.record("s", {"late": 1}, event_id="e")

    assert [("late", 1.0)] == targeting.interests("s")


def test_the_next_user_of_an_id_inherits_nothing(timed_cache, clock):
    """Neither from the user before nor from what came before the session."""
    sessions, targeting = SessionManager(timed_cache), SessionTargeting(timed_cache)
    targeting.record("s", {"before": 1}, event_id="e")
    sessions.create_session("s", {"user_id": "ada"})
    assert [] == targeting.interests("s")
    targeting.record("s", {"of ada": 1}, event_id="e")
    sessions.update_session_activity("s")
    assert ["of ada"] == [name for name, _ in targeting.interests("s")]
    sessions.delete_session("s")
    clock.advance(MS)
    sessions.create_session("s", {"user_id": "ben"})
    assert [] == targeting.interests("s")
    assert targeting.record("s", {"of ben": 1}, event_id="e")

    assert [("of ben", 1.0)] == targeting.interests("s")


def test_a_revoked_session_takes_no_event(timed_cache, clock):
    """While the mark of the revocation stands; then the id is as good as new."""
    sessions, targeting = SessionManager(timed_cache), SessionTargeting(timed_cache)
    sessions.create_session("s", {"user_id": "ada"})
    targeting.record("s", {"tea": 1})
    sessions.revoke_all("ada")
    clock.advance(MARK_MS / 1000 - MS)

    assert not targeting.record("s", {"tea": 1})
    assert [] == targeting.interests("s")
    clock.advance(MS)
    assert targeting.record("s", {"new": 1})


def test_hostile_names_are_kept_apart(cache):
    """Odd sessions, interests and event ids are what they are, and no others."""
    targeting = SessionTargeting(cache, half_life=YEAR)
    for session in HOSTILE:
        for event in HOSTILE:
            assert targeting.record(session, dict.fromkeys(HOSTILE, 1), event)
            assert not targeting.record(session, {"more": 1}, event)
    found = targeting.interests("a:b", limit=50)

    assert set(HOSTILE) == {name for name, _ in found}
    assert {len(HOSTILE)} == {round(score) for _, score in found}


@pytest.mark.parametrize(
    "bad",
    [0, -1, float("nan"), float("inf"), 1_000_001, 10**400, True, None, "1", [1]],
    ids=range(10),
)
def test_a_bad_weight_is_refused_before_anything_is_written(cache, bad):
    """Weights are numbers of more than 0 and at most a million."""
    targeting = SessionTargeting(cache)
    with pytest.raises(ValueError, match="the weight of 'tea' must be") as error:
        targeting.record("s", {"art": 1, "tea": bad})

    assert isinstance(error.value, AdCacheError)
    assert [] == all_keys(cache)


def test_other_bad_values_are_refused_before_anything_is_written(cache):
    """Ids, interests, events, limits, times: each is a ValueError with its name."""
    targeting = SessionTargeting(cache)
    for bad in ("", 7, None):
        for call in (targeting.interests, targeting.forget):
            with pytest.raises(ValueError, match="session_id must"):
                call(bad)
        with pytest.raises(ValueError, match="session_id must"):
            targeting.record(bad, {"tea": 1})
        with pytest.raises(ValueError, match="interest must"):
            targeting.record("s", {bad: 1})
    for bad in (0, -1, math.nan, math.inf, "60", None):
        with pytest.raises(ValueError, match="half_life must"):
            SessionTargeting(cache, half_life=bad)
        with pytest.raises(ValueError, match="ttl must"):
            SessionTargeting(cache, ttl=bad)
    for bad in (0, -1, 1001, 1.5, True, "3", None):
        with pytest.raises(ValueError, match="max_interests must"):
            SessionTargeting(cache, max_interests=bad)
    for bad in ("", 7, b"e"):
        with pytest.raises(ValueError, match="event_id must"):
            targeting.record("s", {"tea": 1}, event_id=bad)
    for bad in ("tea", ["tea"], None):
        with pytest.raises(ValueError, match="interests must be a mapping"):
            targeting.record("s", bad)
    with pytest.raises(ValueError, match="at most 1000 interests"):
        targeting.record("s", {f"n{number}": 1 for number in range(1001)})
    with pytest.raises(ValueError, match="limit must"):
        targeting.interests("s", -1)
    with pytest.raises(ValueError, match="kind must be one of view"):
        PageEvent(kind="hover")
    with pytest.raises(ValueError, match="must be a list of words, got 'tea'"):
        rank_campaigns({"tea": 1}, {"c": "tea"})

    assert [] == all_keys(cache)


@pytest.mark.parametrize(
    "state", ["nan 1", "inf 1", "-1 9999999999999", "x", "1 soon", ""]
)
def test_a_damaged_score_is_named(cache, state):
    """No score is ever NaN, infinite or negative: that is an error with the cure."""
    targeting = SessionTargeting(cache)
    targeting.record("s", {"tea": 1})
    key = cache.get_key("session_interests", session_id="s")
    cache.redis_client.hset(key, "tea", state)

    with pytest.raises(UnreadableRecord, match="'tea' of session 's' is damaged"):
        targeting.interests("s")
    assert targeting.forget("s")


def test_each_call_takes_one_trip(cache):
    """Recording, reading and matching; questions share a trip with others."""
    targeting = SessionTargeting(cache)
    targeting.record("s", {"tea": 1})
    targeting.interests("s")
    asked = [targeting.ask_record("s", {"tea": 1}), targeting.ask_interests("s")]

    assert 1 == trips_of(cache, lambda: targeting.record("s", {"tea": 1}, "e"))
    assert 1 == trips_of(cache, lambda: targeting.match("s", {"c": ["tea"]}))
    assert 1 == trips_of(cache, lambda: targeting.forget("s"))
    assert [True, ["tea"]] == [
        answer if answer is True else [name for name, _ in answer]
        for answer in cache.wire.trip(asked)
    ]


def test_hits_and_misses_are_metered(cache):
    """A session of which something is known is a hit."""
    targeting, meter = SessionTargeting(cache), cache.metrics.meter("targeting")
    targeting.record("s", {"tea": 1})
    targeting.interests("s")
    targeting.match("none", {})

    assert (1, 1) == (meter.hits, meter.misses)


def test_32_threads_lose_nothing(cache):
    """What all threads add is there, and what they all retry counts once."""
    targeting = SessionTargeting(cache, half_life=10 * YEAR)

    def browse(worker):
        for number in range(10):
            targeting.record("s", {"tea": 1})
            targeting.record("s", {"art": 1}, event_id=f"shared-{number}")

    threads = [threading.Thread(target=browse, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = dict(targeting.interests("s"))

    assert 320 == pytest.approx(found["tea"], rel=1e-5)
    assert 10 == pytest.approx(found["art"], rel=1e-5)


def test_a_lost_reply_counts_once_with_an_id(own_server):
    """Cut after the server's work, the retried event is counted once."""
    proxy = Proxy(own_server.port)
    targeting = SessionTargeting(connect(proxy.url), half_life=YEAR)
    targeting.record("other", {"tea": 1})
    for number in range(3):
        proxy.lose(1)
        with pytest.raises(RedisUnavailable):
            targeting.record("s", {"tea": 1}, event_id=f"e{number}")
        assert not targeting.record("s", {"tea": 1}, event_id=f"e{number}")
    proxy.close()

    assert 3 == pytest.approx(dict(targeting.interests("s"))["tea"], rel=1e-6)


def test_retry_on_timeout_repeats_only_what_has_an_id(own_server):
    """Without an id the caller must decide: a repeated event would count twice."""
    proxy = Proxy(own_server.port)
    config = CacheConfig(retry_on_timeout=True)
    targeting = SessionTargeting(connect(proxy.url, config=config))
    targeting.record("other", {"tea": 1})
    proxy.lose(1)
    targeting.record("s", {"tea": 1}, event_id="e")
    proxy.lose(1)
    with pytest.raises(RedisUnavailable):
        targeting.record("s", {"tea": 1})
    proxy.close()

    assert 2 == pytest.approx(dict(targeting.interests("s"))["tea"], rel=1e-2)


def test_flushed_scripts_do_no_harm(cache):
    """SCRIPT FLUSH before every call: all work on."""
    targeting = SessionTargeting(cache)
    cache.redis_client.script_flush()
    assert targeting.record("s", {"tea": 1}, event_id="e")
    cache.redis_client.script_flush()
    assert ["tea"] == [name for name, _ in targeting.interests("s")]
    cache.redis_client.script_flush()
    assert not targeting.record("s", {"tea": 1}, event_id="e")


def test_campaigns_are_ranked_by_what_they_share():
    """Sums of scores; twice named counts once; none shared is left out; ties by id."""
    scores = {"tea": 2.0, "art": 1.0, "sport": 1.0}
    wanted = {
        "both": ["tea", "art"],
        "twice": ["tea", "tea"],
        "one": ("art",),
        "another": {"sport"},
        "none": ["cars"],
        "nothing": [],
    }
    ranked = [("both", 3.0), ("twice", 2.0), ("another", 1.0), ("one", 1.0)]

    assert ranked == rank_campaigns(scores, wanted)
    assert ranked[:2] == rank_campaigns(scores, wanted, limit=2)
    assert [] == rank_campaigns({}, wanted)
    assert [] == rank_campaigns(scores, {})


@given(
    st.dictionaries(st.sampled_from(INTERESTS), st.floats(0, 1e9), max_size=6),
    st.randoms(),
)
def test_the_order_of_the_campaigns_changes_nothing(scores, luck):
    """Neither that of the campaigns nor that of their interests."""
    wanted = [(name, list(INTERESTS[n % 3 :])) for n, name in enumerate(CAST.campaigns)]
    ranked = rank_campaigns(scores, dict(wanted))
    luck.shuffle(wanted)
    for _, interests in wanted:
        luck.shuffle(interests)

    assert ranked == rank_campaigns(scores, dict(wanted))


def test_a_page_visit_finds_its_campaigns(cache):
    """From an OpenRTB request's page to the campaigns of the course."""
    request = decode_bid_request(
        {
            "id": "r",
            "imp": [{"id": "1", "banner": {"w": 300, "h": 250}}],
            "site": {
                "cat": ["IAB12"],
                "pagecat": ["IAB17-44"],
                "page": "https://news.example/travel/alps",
                "keywords": "Running shoes, sports",
            },
        }
    )
    wanted = {
        campaign.campaign_id: campaign.targeting["interests"]
        for campaign in campaigns()
    }
    targeting = SessionTargeting(cache)
    targeting.record("s", page_event(request.site, "click"))
    targeting.record("s", PageEvent(kind="view", cat=["IAB1-6"]))

    assert ["sports", "running shoes", "travel", "music"] == [
        name for name, _ in targeting.interests("s")
    ]
    assert ["bicycle", "sneakers", "holiday", "headphones"] == [
        name for name, _ in targeting.match("s", wanted)
    ]


EVENTS = {
    "a category": ({"cat": ["IAB20"]}, {"travel": 1.0}),
    "its group": ({"cat": ["IAB1-6", "IAB1-7"]}, {"entertainment": 1, "music": 1}),
    "a kind": ({"kind": "purchase", "cat": ["IAB8"]}, {"food": 8.0}),
    "keywords": ({"keywords": " Tea, OLD  tea ,,"}, {"old tea": 0.5, "tea": 0.5}),
    "a list of words": ({"keywords": ["Tea", "tea"]}, {"tea": 0.5}),
    "an address": ({"url": "https://a.example/Slow-Food/1.html"}, {"slow food": 0.5}),
    "the best counts": ({"cat": ["IAB8"], "keywords": "food"}, {"food": 1.0}),
    "in Korean": ({"keywords": "축구, 여행"}, {"여행": 0.5, "축구": 0.5}),
    "a page itself": ({"url": "https://a.example/index.html"}, {}),
    "no address": ({"url": "http://[half"}, {}),
    "numbers": ({"url": "https://a.example/2026/01", "keywords": "7, --, 3.5"}, {}),
    "a novel": ({"keywords": "x" * 61}, {}),
    "unknown codes": ({"cat": ["IAB99", "sports", ""]}, {}),
    "nothing": ({}, {}),
}


@pytest.mark.parametrize("name", EVENTS)
def test_what_an_event_says(name):
    """Categories, words and the address, each worth its share of the event."""
    event, expected = EVENTS[name]

    assert expected == event_interests(PageEvent(**event))


@pytest.mark.parametrize("code", ["IAB7", "IAB7-1", "IAB11-4", "IAB14-3", "IAB23-2"])
def test_nobody_is_profiled_by_health_politics_or_belief(code):
    """Sensitive categories say nothing of a visitor."""
    assert {} == event_interests(PageEvent(kind="purchase", cat=[code]))


def test_an_event_is_bounded():
    """Of a page stuffed with words the strongest twenty count."""
    event = PageEvent(
        cat=list(CATEGORY_INTERESTS)[:5], keywords=[f"word{n}" for n in range(10_000)]
    )
    found = event_interests(event)

    assert 20 == len(found)
    assert [1.0] * 5 == list(found.values())[:5]
    assert set(found.values()) <= {1.0, 0.5}


def test_doing_tells_more_than_looking():
    """The table rises from a view to a purchase."""
    assert sorted(EVENT_WEIGHTS.values()) == list(EVENT_WEIGHTS.values())
    assert 1.0 == EVENT_WEIGHTS["view"]

"""User profiles and segments, on every backend: the seed's defects, absent."""

import contextlib
import json
import math
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adcache import (
    AdCacheError,
    CacheConfig,
    CommandRefused,
    InvalidValue,
    ManualClock,
    RedisUnavailable,
    UnreadableRecord,
    UserProfile,
    UserProfileCache,
    connect,
    profiles,
)
from tests.conftest import all_keys
from tests.proxy import Proxy

HOSTILE = ["a:b", "{a}", "a b", "a\nb", '"', "0", "-1", "null", "🦊", "\ud800", "%"]
NOON = datetime(2025, 12, 31, 12, 0, 0, 123_457, tzinfo=UTC)
DAY = 86400


@pytest.fixture
def fake(make_cache):
    """The embedded fake alone, for what is refused before any server is asked."""
    return make_cache("fakeredis")


def profile(user_id="ada", **fields):
    """A valid profile but for `fields`."""
    return UserProfile(
        **{
            "user_id": user_id,
            "interests": ["books", "tech"],
            "demographics": {"age": 36, "country": "GBR"},
            "behavior_score": 75.5,
            "last_activity": NOON,
            "segment": "readers",
        }
        | fields
    )


def key_of(cache, pattern="user_profile", user_id="ada"):
    """Key of one of the user's records."""
    return cache.get_key(pattern, user_id=user_id)


def suppress(cache, user_id="ada"):
    """Forbid to store the user, as `erase_user` does first."""
    cache.redis_client.set(key_of(cache, "user_suppressed", user_id), "1", ex=60)


def trips_of(cache, call):
    """How often `call` waits for the network, once every node has the scripts."""
    for script in cache.lua_scripts.values():
        if script.component == "profiles":
            cache.redis_client.script_load(script.source)
    trips = []
    cache.wire.observer = lambda pairs, _: trips.append(len(pairs))
    call()
    cache.wire.observer = None
    return len(trips)


def in_threads(*calls):
    """Run each call in a thread of its own, all at once."""
    start = threading.Barrier(len(calls))
    broken = []

    def run(call):
        start.wait()
        try:
            call()
        except Exception as error:
            broken.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == broken


# --- the profile ---------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"interests": [], "demographics": {}},
        {"demographics": {"a": {"b": [1, {"c": []}, None, True]}, "": '/\\"\n\0é🦊'}},
        {"demographics": {"n": 2**70 + 1, "x": 1e-310, "big": -1.5e300, "z": -0.0}},
        {"behavior_score": -0.0},
        {"behavior_score": 1.7976931348623157e308},
        {"behavior_score": 5e-324},
        {"last_activity": datetime(1, 1, 2, tzinfo=UTC)},
        {"last_activity": datetime(9999, 12, 30, 1, 1, 1, 999_999, tzinfo=UTC)},
        {"user_id": "\ud800", "segment": 'a "quoted",] one'},
    ],
)
def test_what_comes_back_equals_what_went_in(cache, fields):
    """Every field, to the last microsecond and the last bit."""
    users, given_profile = UserProfileCache(cache), profile(**fields)
    assert users.set_user_profile(given_profile)
    found = users.get_user_profile(given_profile.user_id)

    assert given_profile == found
    assert repr(given_profile) == repr(found)  # tells -0.0 from 0.0
    assert UTC is found.last_activity.tzinfo


def test_no_profile_is_none_and_a_miss(cache):
    """Missing is None; hits and misses are counted."""
    users = UserProfileCache(cache)
    users.set_user_profile(profile())
    found = [users.get_user_profile(user_id) for user_id in ("ada", "bob", "cy")]
    meter = cache.metrics.meter("profiles")

    assert [True, False, False] == [each is not None for each in found]
    assert (1, 2) == (meter.hits, meter.misses)


def test_a_naive_datetime_is_local_time_and_comes_back_aware(cache):
    """What was meant is the same moment; what comes back says so."""
    users, naive = UserProfileCache(cache), datetime(2026, 1, 1, 12, 0, 0, 5)
    users.set_user_profile(profile(last_activity=naive))

    assert naive.astimezone() == users.get_user_profile("ada").last_activity


def test_a_profile_lives_an_hour_unless_told(cache):
    """The default ttl is 3600 seconds; floats and timedeltas are taken."""
    users, lives = UserProfileCache(cache), []
    for ttl in ({}, {"ttl": 0.25}, {"ttl": timedelta(days=1)}):
        users.set_user_profile(profile(), **ttl)
        lives.append(cache.redis_client.pttl(key_of(cache)))

    assert 3_595_000 < lives[0] <= 3_600_000
    assert 0 < lives[1] <= 250
    assert 86_395_000 < lives[2] <= 86_400_000


def test_one_ms_decides_whether_a_profile_is_there(timed_cache, clock):
    """At its ttl it is gone, for readers and for updates."""
    users = UserProfileCache(timed_cache)
    users.set_user_profile(profile(), ttl=10)
    clock.advance(9.999)
    assert users.get_user_profile("ada")
    assert users.update_user_activity("ada", {"score_delta": 1})
    clock.advance(0.001)
    assert None is users.get_user_profile("ada")
    assert {"ada": None} == users.get_many(["ada"])
    assert None is users.update_user_activity("ada", {"score_delta": 1})


@pytest.mark.parametrize("ttl", [0, -1, math.nan, math.inf, "60", None, True, 10**400])
def test_a_ttl_that_cannot_be_is_refused_first(fake, ttl):
    """A ValueError, and nothing written."""
    with pytest.raises(ValueError, match="ttl must be"):
        UserProfileCache(fake).set_user_profile(profile(), ttl=ttl)

    assert [] == all_keys(fake)


def nested(depth):
    """A list in a list in a list."""
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        *(math.nan, math.inf, (1, 2), {1, 2}, {1: 2}, b"bytes", NOON, object()),
        *("\ud800", {"\ud800": 1}, nested(5000)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_would_change_is_refused(fake, value):
    """Demographics that would come back as something else are a ValueError."""
    for demographics in ({"x": value}, {"x": {"y": [value]}}):
        with pytest.raises(ValueError, match=r"JSON"):
            UserProfileCache(fake).set_user_profile(profile(demographics=demographics))

    assert [] == all_keys(fake)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("behavior_score", math.nan),
        ("behavior_score", "high"),
        ("interests", "tea"),
        ("interests", [1]),
        ("demographics", None),
        ("last_activity", "now"),
        ("segment", ""),
        ("user_id", 7),
    ],
)
def test_a_profile_spoilt_after_it_was_made_is_refused(fake, field, value):
    """A profile may be changed; what is stored is checked again."""
    spoilt = profile()
    setattr(spoilt, field, value)
    with pytest.raises(InvalidValue, match=field):
        UserProfileCache(fake).set_user_profile(spoilt)

    assert [] == all_keys(fake)


@pytest.mark.parametrize("thing", [None, "ada", {"user_id": "ada"}])
def test_only_a_profile_is_a_profile(fake, thing):
    """A dict or an id is not stored."""
    with pytest.raises(ValueError, match="must be a UserProfile"):
        UserProfileCache(fake).set_user_profile(thing)


def test_many_profiles_take_one_trip(cache):
    """All in one wait, in a dict; None where there is none."""
    users = UserProfileCache(cache)
    stored = {name: profile(name) for name in (*"abcdefghij", *HOSTILE)}
    for each in stored.values():
        users.set_user_profile(each)
    wanted = [*stored, "nobody", "a"]

    assert stored | {"nobody": None} == users.get_many(wanted)
    assert {} == users.get_many([])
    assert 1 == trips_of(cache, lambda: users.get_many(iter(wanted)))
    with pytest.raises(ValueError, match="several ids"):
        users.get_many("abc")


def test_the_hot_path_takes_one_trip_each(cache):
    """Reading, updating, listing: one wait. Setting: two, three to change segment."""
    users = UserProfileCache(cache)
    users.set_user_profile(profile())
    segments = iter("abcd")
    turns = {
        lambda: users.get_user_profile("ada"): 1,
        lambda: users.update_user_activity("ada", {"score_delta": 1}): 1,
        lambda: users.update_user_activity("ada", {}, activity_id="i"): 1,
        lambda: users.get_users_by_segment("readers"): 1,
        lambda: users.segment_size("readers"): 1,
        lambda: users.segments_of("ada"): 1,
        lambda: users.set_user_profile(profile()): 2,
        lambda: users.add_user_to_segment("ada", "vip"): 2,
        lambda: users.set_user_profile(profile(segment=next(segments))): 3,
    }

    assert list(turns.values()) == [trips_of(cache, turn) for turn in turns]


def test_a_decision_asks_for_profile_and_suppression_at_once(timed_cache, clock):
    """One MGET; what is over, unknown or damaged is no profile, and no error."""
    users = UserProfileCache(timed_cache)
    for user_id in ("ada", "bob", "eve"):
        assert users.set_user_profile(profile(user_id), ttl=60)
    suppress(timed_cache, "bob")
    damaged = key_of(timed_cache, user_id="eve")
    timed_cache.wire.execute("SET", damaged, "[1", "PX", 60_000)

    def known():
        asked = [users.ask_known(each) for each in ("ada", "bob", "eve", "nobody")]
        return [
            (each.suppressed, each.profile and each.profile.segment)
            for each in timed_cache.wire.trip(asked)
        ]

    segment = profile().segment
    assert [(False, segment), (True, segment), (False, None), (False, None)] == known()
    clock.advance(60)
    assert [(False, None), (True, None), (False, None), (False, None)] == known()


def test_questions_of_several_users_share_a_trip(cache):
    """The ad server asks for a profile together with other things."""
    users = UserProfileCache(cache)
    users.set_user_profile(profile())
    answers = cache.wire.trip(
        [
            users.ask_user_profile("ada"),
            users.ask_update_user_activity("ada", {"score_delta": 0.5}),
            users.ask_segments_of("ada"),
            users.ask_user_profile("bob"),
        ]
    )

    assert profile() == answers[0]
    assert 76.0 == answers[1].behavior_score
    assert [["readers"], None] == answers[2:]


@pytest.mark.parametrize("text", ["", "x", "{}", "[1,2]", '[1,2,"x","s",[],{}]', "[]"])
def test_what_another_program_wrote_is_an_error(cache, text):
    """A damaged record is told from a missing one, and never updated."""
    users = UserProfileCache(cache)
    cache.redis_client.set(key_of(cache), text, ex=60)
    with pytest.raises(UnreadableRecord, match="set it again"):
        users.get_user_profile("ada")
    if text != '[1,2,"x","s",[],{}]':
        with pytest.raises(CommandRefused, match="not written by adcache"):
            users.update_user_activity("ada", {"score_delta": 1})

    assert text == cache.redis_client.get(key_of(cache))
    assert users.set_user_profile(profile())


def test_the_seeds_hash_is_an_error_not_a_profile(cache):
    """A hash left by an older program is named, and a set replaces it."""
    users = UserProfileCache(cache)
    cache.redis_client.hset(key_of(cache), "user_id", "ada")
    cache.redis_client.expire(key_of(cache), 60)
    with pytest.raises(AdCacheError):
        users.get_user_profile("ada")

    assert users.set_user_profile(profile())
    assert profile() == users.get_user_profile("ada")


# --- activity ------------------------------------------------------------------


def test_an_update_adds_and_changes_nothing_else(timed_cache, clock):
    """Score and time move, the other fields and the lifetime stay."""
    users = UserProfileCache(timed_cache)
    users.set_user_profile(profile())
    timed_cache.redis_client.pexpire(key_of(timed_cache), 40_000)
    result = users.update_user_activity("ada", {"score_delta": 0.25})
    expected = profile(behavior_score=75.75, last_activity=clock.now())

    assert (75.75, clock.now(), False) == (
        result.behavior_score,
        result.last_activity,
        result.repeated,
    )
    assert expected == users.get_user_profile("ada")
    assert 35_000 < timed_cache.redis_client.pttl(key_of(timed_cache)) <= 40_000


def test_an_update_creates_no_ghost(cache):
    """Without a profile nothing is written, also with an activity id."""
    users = UserProfileCache(cache)

    assert None is users.update_user_activity("ada", {"score_delta": 1})
    assert None is users.update_user_activity("ada", {}, activity_id="i")
    assert [] == all_keys(cache)


def test_the_time_is_the_servers_with_microseconds(make_cache):
    """A client with a wrong clock writes the right time; times come in microseconds."""
    cache = make_cache("redis")
    users = UserProfileCache(cache)
    users.set_user_profile(profile())
    seconds, micros = cache.redis_client.time()
    before = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=micros)
    moments = [
        users.update_user_activity("ada", {}).last_activity.microsecond
        for _ in range(20)
    ]
    found = users.get_user_profile("ada").last_activity

    assert timedelta(0) <= found - before < timedelta(seconds=5)
    assert any(moment % 1000 for moment in moments)


@pytest.mark.parametrize("future", [datetime(2100, 1, 1, 0, 0, 0, 1, tzinfo=UTC)])
@pytest.mark.parametrize("years", [0, 7899])
def test_last_activity_never_moves_backwards(cache, future, years):
    """An activity that is later than now stays, exactly, however far."""
    users = UserProfileCache(cache)
    late = future.replace(year=2100 + years)
    users.set_user_profile(profile(last_activity=late))
    result = users.update_user_activity("ada", {"score_delta": 1})

    assert late == result.last_activity
    assert late == users.get_user_profile("ada").last_activity


@pytest.mark.parametrize("server", ["fakeredis", "redis"])
def test_scores_add_as_pythons_floats_do(make_cache, server):
    """Any two doubles: the sum in Redis is the sum in Python, to the bit."""
    users = UserProfileCache(make_cache(server))
    doubles = st.floats(allow_nan=False, allow_infinity=False)

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @example(-0.0, [-0.0])
    @given(doubles, st.lists(doubles | st.integers(-(2**80), 2**80), max_size=3))
    def add(score, deltas):
        users.set_user_profile(profile(behavior_score=score))
        for delta in deltas:
            if not math.isfinite(score + delta):
                with pytest.raises(InvalidValue, match="larger than a float"):
                    users.update_user_activity("ada", {"score_delta": delta})
                continue
            score += delta
            result = users.update_user_activity("ada", {"score_delta": delta})
            assert repr(score) == repr(result.behavior_score)
        assert repr(score) == repr(users.get_user_profile("ada").behavior_score)

    add()


@pytest.mark.parametrize(
    "data",
    [
        *({"score_delta": bad} for bad in (math.nan, math.inf, -math.inf, 10**400)),
        *({"score_delta": bad} for bad in ("1", None, True, [1], 1j)),
        *({"score_dleta": 1}, {"score_delta": 1, "interests": ["tea"]}, {1: 2}),
        *(None, [], "score_delta", 1.5),
    ],
    ids=lambda data: repr(data)[:30],
)
def test_an_activity_that_cannot_be_counted_is_refused(fake, data):
    """NaN, text, a misspelt key: a ValueError, and the profile as it was."""
    users = UserProfileCache(fake)
    users.set_user_profile(profile())
    with pytest.raises(ValueError, match=r"activity_data|score_delta"):
        users.update_user_activity("ada", data)

    assert profile() == users.get_user_profile("ada")


def test_an_activity_without_a_score_is_an_activity(timed_cache, clock):
    """An empty dict moves the time alone."""
    users = UserProfileCache(timed_cache)
    users.set_user_profile(profile())

    assert 75.5 == users.update_user_activity("ada", {}).behavior_score
    assert clock.now() == users.get_user_profile("ada").last_activity


def test_a_score_beyond_every_float_is_refused(cache):
    """1e308 and 1e308: an error, and neither score nor time is changed."""
    users = UserProfileCache(cache)
    users.set_user_profile(profile(behavior_score=1e308))
    with pytest.raises(ValueError, match=r"score_delta 1e\+308 .* larger"):
        users.update_user_activity("ada", {"score_delta": 1e308}, activity_id="i")

    assert profile(behavior_score=1e308) == users.get_user_profile("ada")
    assert (
        -0.0
        == users.update_user_activity(
            "ada", {"score_delta": -1e308}, activity_id="i"
        ).behavior_score
    )


def test_an_activity_id_counts_once(timed_cache, clock):
    """A retry within ten minutes adds nothing; after that it is a new activity."""
    users = UserProfileCache(timed_cache)
    users.set_user_profile(profile(behavior_score=0))
    for activity_id in HOSTILE:
        for _ in range(2):
            last = users.update_user_activity(
                "ada", {"score_delta": 1}, activity_id=activity_id
            )
    clock.advance(599.999)
    late = users.update_user_activity("ada", {"score_delta": 1}, activity_id="%")
    clock.advance(0.001)
    new = users.update_user_activity("ada", {"score_delta": 1}, activity_id="%")

    assert (len(HOSTILE), True) == (last.behavior_score, last.repeated)
    assert (len(HOSTILE), True) == (late.behavior_score, late.repeated)
    assert (len(HOSTILE) + 1, False) == (new.behavior_score, new.repeated)
    with pytest.raises(ValueError, match="activity_id must"):
        users.update_user_activity("ada", {}, activity_id="")


def test_the_ids_of_a_user_are_bounded(timed_cache, clock, monkeypatch):
    """Only so many ids are kept, the latest, and none longer than ten minutes."""
    monkeypatch.setattr(profiles, "MAX_REMEMBERED", 5)
    users = UserProfileCache(timed_cache)
    users.set_user_profile(profile())
    for number in range(20):
        users.update_user_activity("ada", {}, activity_id=f"i{number}")
        clock.advance(1)
    key = key_of(timed_cache, "user_activities")
    kept = timed_cache.redis_client.zrange(key, 0, -1)
    life = timed_cache.redis_client.pttl(key)
    clock.advance(700)
    users.update_user_activity("ada", {}, activity_id="new")

    assert [f"i{number}" for number in range(15, 20)] == kept
    assert 595_000 < life <= 600_000
    assert ["new"] == timed_cache.redis_client.zrange(key, 0, -1)


def test_a_lost_reply_counts_once_with_an_id(own_server):
    """Cut after the server's work: repeated with an id, left to the caller without."""
    proxy = Proxy(own_server.port)
    cache = connect(proxy.url, config=CacheConfig(retry_on_timeout=True))
    users = UserProfileCache(cache)
    users.set_user_profile(profile(behavior_score=0))
    one = {"score_delta": 1}
    users.update_user_activity("someone else", one)  # now the server has the script
    for number in range(5):
        proxy.lose(1)
        result = users.update_user_activity("ada", one, activity_id=f"i{number}")
        assert (number + 1, True) == (result.behavior_score, result.repeated)
    proxy.lose(1)
    with pytest.raises(RedisUnavailable):
        users.update_user_activity("ada", one)

    assert 6 == users.get_user_profile("ada").behavior_score


def test_threads_lose_no_delta(cache):
    """8 threads x 50 updates of one profile: the sum is exact."""
    users = UserProfileCache(cache)
    users.set_user_profile(profile(behavior_score=0))

    def add():
        for _ in range(50):
            users.update_user_activity("ada", {"score_delta": 0.25})

    in_threads(*[add] * 8)

    assert 100.0 == users.get_user_profile("ada").behavior_score


ADDING = """
import sys
from adcache import UserProfileCache, connect
users = UserProfileCache(connect(sys.argv[1], namespace="test-processes"))
for _ in range(500):
    assert users.update_user_activity("ada", {"score_delta": 0.5})
"""


def test_processes_lose_no_delta(own_server):
    """3 processes x 500 updates: the sum is exact."""
    users = UserProfileCache(connect(own_server.url, namespace="test-processes"))
    users.set_user_profile(profile(behavior_score=0))
    command = [sys.executable, "-c", ADDING, own_server.url]
    adding = [subprocess.Popen(command) for _ in range(3)]

    assert [0, 0, 0] == [process.wait() for process in adding]
    assert 750.0 == users.get_user_profile("ada").behavior_score


def test_a_set_between_updates_never_mixes_two_profiles(cache):
    """What is read is always one of the profiles that were set, and its score."""
    users = UserProfileCache(cache)
    sides = {
        name: profile(interests=[name] * 50, demographics={"of": name}, segment=name)
        for name in ("left", "right")
    }
    users.set_user_profile(sides["left"])
    seen = []

    def keep_setting(name):
        for _ in range(25):
            users.set_user_profile(sides[name])

    def keep_adding():
        for _ in range(50):
            assert users.update_user_activity("ada", {"score_delta": 1})
            seen.append(users.get_user_profile("ada"))

    in_threads(lambda: keep_setting("left"), lambda: keep_setting("right"), keep_adding)

    for each in seen:
        assert {each.segment} == set(each.interests) == {each.demographics["of"]}
        assert each.behavior_score - 75.5 in range(51)


def test_flushed_scripts_do_no_harm(cache):
    """SCRIPT FLUSH between any two calls: all go on."""
    users = UserProfileCache(cache)
    for _ in range(2):
        for call in (
            lambda: users.set_user_profile(profile()),
            lambda: users.update_user_activity("ada", {"score_delta": 1}),
            lambda: users.set_user_profile(profile(segment="other")),
            lambda: users.add_user_to_segment("ada", "vip"),
            lambda: ["vip"] == [s for s in users.segments_of("ada") if s != "other"],
            lambda: ["ada"] == users.get_users_by_segment("other"),
            lambda: 0 == users.segment_size("readers"),
            lambda: users.remove_user_from_segment("ada", "vip"),
            lambda: users.delete_user_profile("ada"),
        ):
            cache.redis_client.script_flush()
            assert call()


def test_a_profile_takes_less_than_half_of_the_seeds_hash(make_cache):
    """On Redis 7: at most 0.45 of six fields in a hash."""
    cache = make_cache("redis")
    users = UserProfileCache(cache)
    rich = profile(
        "user_0123456789",
        interests=["technology", "gaming", "sports", "travel", "cooking", "music"],
        demographics={"age": 28, "gender": "M", "location": "Seoul", "income": "high"},
    )
    users.set_user_profile(rich)
    naive = key_of(cache, "ad_hoc:{user_id}", "user_0123456789")
    cache.redis_client.hset(
        naive,
        mapping={
            "user_id": rich.user_id,
            "interests": json.dumps(rich.interests),
            "demographics": json.dumps(rich.demographics),
            "behavior_score": rich.behavior_score,
            "last_activity": rich.last_activity.isoformat(),
            "segment": rich.segment,
        },
    )
    cache.redis_client.expire(naive, 60)
    ours, theirs = (
        cache.redis_client.memory_usage(key)
        for key in (key_of(cache, user_id=rich.user_id), naive)
    )

    assert ours <= 0.45 * theirs, (ours, theirs)


# --- segments ------------------------------------------------------------------


def test_members_come_newest_first_and_once(timed_cache, clock):
    """Added again, a user moves to the front; nobody is listed twice."""
    users = UserProfileCache(timed_cache)
    for name in ["ada", "bob", "cy", "ada", "ada", "bob"]:
        assert users.add_user_to_segment(name, "vip")
        clock.advance(1)

    assert ["bob", "ada", "cy"] == users.get_users_by_segment("vip")
    assert 3 == users.segment_size("vip")
    assert ["vip"] == users.segments_of("ada")


def test_within_one_ms_the_order_of_arrival_decides(timed_cache):
    """The clock stands still, the order does not."""
    users = UserProfileCache(timed_cache)
    names = ["m", "z", "a", "q", "b", "m"]
    for name in names:
        users.add_user_to_segment(name, "vip")

    assert ["m", "b", "q", "a", "z"] == users.get_users_by_segment("vip")


def test_membership_needs_no_profile(cache):
    """A user without a profile is listed, and has none afterwards."""
    users = UserProfileCache(cache)
    users.add_user_to_segment("ada", "vip")

    assert ["ada"] == users.get_users_by_segment("vip")
    assert None is users.get_user_profile("ada")


def test_the_limit_of_a_list(cache):
    """The newest come first up to the limit; 0 lists nobody; 100 by default."""
    users = UserProfileCache(cache)
    for number in range(105):
        users.add_user_to_segment(f"u{number}", "vip")

    assert ["u104", "u103"] == users.get_users_by_segment("vip", limit=2)
    assert [] == users.get_users_by_segment("vip", 0)
    assert 100 == len(users.get_users_by_segment("vip"))
    assert 105 == len(users.get_users_by_segment("vip", 10**30))
    assert [] == users.get_users_by_segment("nobody")
    for bad in (-1, 1.5, True, None, "5", math.nan):
        with pytest.raises(ValueError, match="limit must be"):
            users.get_users_by_segment("vip", bad)


def test_a_segment_is_bounded(cache):
    """Of more than max_members those who joined longest ago are dropped."""
    users = UserProfileCache(cache, max_members=3)
    for name in ["ada", "bob", "cy", "ada", "dan"]:
        users.add_user_to_segment(name, "vip")

    assert ["dan", "ada", "cy"] == users.get_users_by_segment("vip")
    assert 3 == users.segment_size("vip")


def test_a_user_is_in_so_many_segments(timed_cache, clock):
    """Beyond max_segments the user leaves the one entered longest ago."""
    users = UserProfileCache(timed_cache, max_segments=2)
    for segment in ["a", "b", "a", "c"]:
        users.add_user_to_segment("ada", segment)
        clock.advance(1)

    assert ["c", "a"] == users.segments_of("ada")
    members = [users.get_users_by_segment(segment) for segment in "abc"]
    assert [["ada"], [], ["ada"]] == members
    key = key_of(timed_cache, "user_segments_of")
    assert 2 == timed_cache.redis_client.zcard(key)


def test_one_ms_decides_who_is_still_a_member(timed_cache, clock):
    """At the segment's ttl, a day by default, a membership is over."""
    users = UserProfileCache(timed_cache)
    users.set_user_profile(profile())
    users.add_user_to_segment("bob", "readers")
    clock.advance(DAY - 0.001)
    users.add_user_to_segment("cy", "readers")
    assert ["cy", "bob", "ada"] == users.get_users_by_segment("readers")
    assert [["readers"]] * 3 == [users.segments_of(n) for n in ("ada", "bob", "cy")]
    clock.advance(0.001)
    assert ["cy"] == users.get_users_by_segment("readers")
    assert 1 == users.segment_size("readers")
    assert [[], [], ["readers"]] == [users.segments_of(n) for n in ("ada", "bob", "cy")]
    assert [False, True] == [
        users.remove_user_from_segment(name, "readers") for name in ("bob", "cy")
    ]


def test_a_membership_that_is_over_is_left_on_both_sides(timed_cache, clock):
    """Entering another segment cleans up what has ended, and does not renew it."""
    users = UserProfileCache(timed_cache, segment_ttl=10)
    users.add_user_to_segment("ada", "old")
    clock.advance(10)
    users.add_user_to_segment("ada", "new")
    key = timed_cache.get_key("user_segments", segment_id="old")

    assert ["new"] == users.segments_of("ada")
    assert [] == users.get_users_by_segment("old")
    assert 0 == timed_cache.redis_client.exists(key)


def test_who_is_over_is_removed_by_the_next_to_join(timed_cache, clock):
    """Memory is given back although the segment's TTL is renewed."""
    users = UserProfileCache(timed_cache, segment_ttl=10)
    for number in range(50):
        users.add_user_to_segment(f"u{number}", "vip")
        clock.advance(1)
    key = timed_cache.get_key("user_segments", segment_id="vip")

    assert 10 == timed_cache.redis_client.zcard(key)


def test_joining_keeps_the_ttls_alive(cache):
    """A segment lives as long as its last member; a user's list twice as long."""
    users = UserProfileCache(cache, segment_ttl=100)
    keys = (
        cache.get_key("user_segments", segment_id="vip"),
        key_of(cache, "user_segments_of"),
    )
    for _ in range(2):
        users.add_user_to_segment("ada", "vip")
        lives = [cache.redis_client.pttl(key) for key in keys]
        for key in keys:
            cache.redis_client.pexpire(key, 5000)

        assert 95_000 < lives[0] <= 100_000
        assert 195_000 < lives[1] <= 200_000


def test_a_shorter_ttl_does_not_shorten_a_segment(cache):
    """Two programs of different settings share a segment: the longer one wins."""
    UserProfileCache(cache, segment_ttl=1000).add_user_to_segment("ada", "vip")
    UserProfileCache(cache, segment_ttl=10).add_user_to_segment("ada", "vip")
    key = cache.get_key("user_segments", segment_id="vip")

    assert 990_000 < cache.redis_client.pttl(key) <= 1_000_000


def test_profile_and_segment_agree(cache):
    """Setting joins the new segment and leaves the former; by hand stays by hand."""
    users = UserProfileCache(cache)
    users.add_user_to_segment("ada", "vip")
    for segment in ("readers", "buyers", "buyers", "readers", "a:b"):
        users.set_user_profile(profile(segment=segment))
        users.add_user_to_segment("ada", segment)  # it stays the profile's own

        listed = [s for s in ("readers", "buyers", "a:b", "vip") if _is_in(users, s)]
        assert [segment, "vip"] == listed
        assert {segment, "vip"} == set(users.segments_of("ada"))


def _is_in(users, segment, user_id="ada"):
    return user_id in users.get_users_by_segment(segment)


def test_the_former_segment_is_left_though_its_profile_is_gone(timed_cache, clock):
    """An expired profile does not make its user a member for ever."""
    users = UserProfileCache(timed_cache)
    users.set_user_profile(profile(segment="readers"), ttl=60)
    clock.advance(61)
    timed_cache.redis_client.delete(key_of(timed_cache))
    users.set_user_profile(profile(segment="buyers"))

    assert [] == users.get_users_by_segment("readers")
    assert ["ada"] == users.get_users_by_segment("buyers")


def test_an_update_leaves_the_place_in_the_segment(timed_cache, clock):
    """The order is that of setting and adding: an update is one trip to one node."""
    users = UserProfileCache(timed_cache)
    for name in ("ada", "bob"):
        users.set_user_profile(profile(name))
        clock.advance(1)
    users.update_user_activity("ada", {"score_delta": 1})

    assert ["bob", "ada"] == users.get_users_by_segment("readers")


def test_removing_a_user(cache):
    """True once; the profile's own segment comes back with the next set."""
    users = UserProfileCache(cache)
    users.set_user_profile(profile())
    users.add_user_to_segment("ada", "vip")

    removed = [users.remove_user_from_segment("ada", "vip") for _ in range(2)]
    assert [True, False] == removed
    assert users.remove_user_from_segment("ada", "readers")
    assert [] == users.segments_of("ada")
    assert [[], []] == [users.get_users_by_segment(s) for s in ("vip", "readers")]
    users.set_user_profile(profile())
    assert ["readers"] == users.segments_of("ada")


def test_deleting_a_profile(cache):
    """It leaves its own segment, and with everywhere the others too."""
    users = UserProfileCache(cache)
    users.set_user_profile(profile())
    users.update_user_activity("ada", {}, activity_id="i")
    users.add_user_to_segment("ada", "vip")

    assert 3 == users.delete_user_profile("ada")  # profile, activity ids, segment
    assert None is users.get_user_profile("ada")
    assert ["vip"] == users.segments_of("ada")
    assert [] == users.get_users_by_segment("readers")
    assert 1 == users.delete_user_profile("ada", everywhere=True)
    assert 0 == users.delete_user_profile("ada", everywhere=True)
    assert [] == all_keys(cache)


def test_hostile_ids_are_kept_apart(cache):
    """Odd users in odd segments come back as they went in."""
    users = UserProfileCache(cache)
    for user_id in HOSTILE:
        for segment in HOSTILE:
            users.add_user_to_segment(user_id, segment)

    for each in HOSTILE:
        assert sorted(HOSTILE) == sorted(users.get_users_by_segment(each))
        assert sorted(HOSTILE) == sorted(users.segments_of(each))
    assert users.remove_user_from_segment("a:b", "{a}")
    assert sorted({*HOSTILE} - {"a:b"}) == sorted(users.get_users_by_segment("{a}"))


@pytest.mark.parametrize("bad", ["", None, 7, b"ada", ["ada"]])
def test_an_id_that_is_no_id_is_refused(fake, bad):
    """Empty or no text: a ValueError, and nothing written."""
    users = UserProfileCache(fake)
    for call in (
        lambda: users.get_user_profile(bad),
        lambda: users.get_many(["ada", bad] if bad != ["ada"] else [("ada",)]),
        lambda: users.update_user_activity(bad, {}),
        lambda: users.delete_user_profile(bad),
        lambda: users.add_user_to_segment(bad, "vip"),
        lambda: users.add_user_to_segment("ada", bad),
        lambda: users.remove_user_from_segment(bad, "vip"),
        lambda: users.remove_user_from_segment("ada", bad),
        lambda: users.get_users_by_segment(bad),
        lambda: users.segment_size(bad),
        lambda: users.segments_of(bad),
    ):
        with pytest.raises(ValueError, match="must"):
            call()

    assert [] == all_keys(fake)


@pytest.mark.parametrize("name", ["segment_ttl", "max_members", "max_segments"])
@pytest.mark.parametrize("bad", [0, -1, math.nan, None, "9", True, 10**10])
def test_settings_that_cannot_be_are_refused(name, bad):
    """A ValueError names the setting."""
    with pytest.raises(ValueError, match=name):
        UserProfileCache(connect("fakeredis://"), **{name: bad})


# --- suppressed users, crashes, races ------------------------------------------


def test_nothing_is_stored_of_a_suppressed_user(cache):
    """Every writer is falsy and leaves no key."""
    users = UserProfileCache(cache)
    suppress(cache)

    assert not users.set_user_profile(profile())
    assert not users.add_user_to_segment("ada", "vip")
    assert not users.update_user_activity("ada", {"score_delta": 1})
    assert [key_of(cache, "user_suppressed")] == all_keys(cache)


def test_a_profile_of_a_suppressed_user_is_not_touched(cache):
    """Between suppression and removal an update changes nothing."""
    users = UserProfileCache(cache)
    users.set_user_profile(profile())
    suppress(cache)

    assert not users.update_user_activity("ada", {"score_delta": 1}, activity_id="i")
    assert not users.set_user_profile(profile(behavior_score=1))
    assert profile() == users.get_user_profile("ada")
    assert users.remove_user_from_segment("ada", "readers")
    assert users.delete_user_profile("ada", everywhere=True)
    assert [key_of(cache, "user_suppressed")] == all_keys(cache)


def between_trips(cache, number, act):
    """Call `act` once, after the trip with that number (from 1)."""
    trips = []

    def watch(pairs, seconds):
        trips.append(pairs)
        if len(trips) == number:
            act()

    cache.wire.observer = watch


@pytest.mark.parametrize("call", ["set", "add"])
def test_a_user_suppressed_in_mid_call_is_not_listed(cache, call):
    """Erased between the two trips of a writer, the user is taken out again."""
    users, eraser = UserProfileCache(cache), UserProfileCache(cache)
    users.set_user_profile(profile("bob"))  # now the server has the scripts

    def erase():
        cache.wire.observer = None
        suppress(cache)
        eraser.delete_user_profile("ada", everywhere=True)

    between_trips(cache, 1, erase)
    if call == "set":
        users.set_user_profile(profile())
    else:
        users.add_user_to_segment("ada", "readers")

    assert ["bob"] == users.get_users_by_segment("readers")
    assert [] == users.segments_of("ada")
    assert None is users.get_user_profile("ada")


@pytest.mark.parametrize("backend", ["fakeredis", "redis"])
def test_the_flag_alone_takes_a_user_out_again(make_cache, backend):
    """Suppressed in mid-call, and nothing else done yet: the writer undoes its join."""
    cache = make_cache(backend)
    users = UserProfileCache(cache)
    users.set_user_profile(profile("bob"))

    def flag():
        cache.wire.observer = None
        suppress(cache)

    between_trips(cache, 1, flag)
    users.add_user_to_segment("ada", "readers")

    assert ["bob"] == users.get_users_by_segment("readers")
    assert [] == users.segments_of("ada")


class Crash(Exception):
    """The process ends here."""


def die(cache):
    """What an observer does to end a call in the middle."""
    cache.wire.observer = None
    raise Crash


@pytest.mark.parametrize("trip", [1, 2, 3])
def test_a_crash_in_mid_set_is_repaired_by_the_next(cache, trip):
    """Ended after any trip, the user's list knows every segment; a set repairs all."""
    users = UserProfileCache(cache)
    users.set_user_profile(profile(segment="a"))
    users.add_user_to_segment("ada", "vip")
    between_trips(cache, trip, lambda: die(cache))
    with pytest.raises(Crash):
        users.set_user_profile(profile(segment="b"))

    noted = cache.redis_client.zrange(key_of(cache, "user_segments_of"), 0, -1)
    listed = {s for s in ("a", "b", "vip") if _is_in(users, s)}
    assert listed <= set(noted)
    assert "b" == users.get_user_profile("ada").segment
    assert {"b", "vip"} == set(users.segments_of("ada"))
    users.set_user_profile(profile(segment="c"))
    assert {"c", "vip"} == {s for s in ("a", "b", "c", "vip") if _is_in(users, s)}
    assert {"c", "vip"} == set(users.segments_of("ada"))


@pytest.mark.parametrize("trip", [1, 2])
def test_a_crash_in_mid_deletion_is_repaired_by_the_next(cache, trip):
    """Deleting again finishes what was begun."""
    users = UserProfileCache(cache)
    users.set_user_profile(profile())
    users.add_user_to_segment("ada", "vip")
    between_trips(cache, trip, lambda: die(cache))
    with pytest.raises(Crash):
        users.delete_user_profile("ada", everywhere=True)
    users.delete_user_profile("ada")

    assert [] == all_keys(cache)


def test_whoever_moves_a_user_meanwhile_wins(cache):
    """A set overtaken by another one does not keep the user in its segment."""
    users, other = UserProfileCache(cache), UserProfileCache(cache)
    users.set_user_profile(profile(segment="a"))

    def overtake():
        cache.wire.observer = None
        other.set_user_profile(profile(segment="c"))

    between_trips(cache, 1, overtake)
    users.set_user_profile(profile(segment="b"))

    assert ["c"] == [s for s in "abc" if _is_in(users, s)]
    assert ["c"] == users.segments_of("ada")
    assert "c" == users.get_user_profile("ada").segment


def test_whoever_adds_a_user_during_a_removal_wins(cache):
    """Added again before the removal has ended, the user is a member on both sides."""
    users, other = UserProfileCache(cache), UserProfileCache(cache)
    users.add_user_to_segment("ada", "vip")

    def add_again():
        cache.wire.observer = None
        other.add_user_to_segment("ada", "vip")

    between_trips(cache, 1, add_again)
    assert users.remove_user_from_segment("ada", "vip")

    assert ["ada"] == users.get_users_by_segment("vip")
    assert ["vip"] == users.segments_of("ada")


def test_racing_sets_leave_profile_and_segments_in_agreement(cache):
    """6 threads move one user about: in the end both sides name one segment."""
    users, segments = UserProfileCache(cache), "abcdef"

    def move(start):
        for step in range(10):
            users.set_user_profile(profile(segment=segments[(start + step) % 6]))

    in_threads(*[lambda start=start: move(start) for start in range(6)])
    own = users.get_user_profile("ada").segment

    assert [own] == users.segments_of("ada")
    assert [own] == [segment for segment in segments if _is_in(users, segment)]


def test_lost_replies_leave_both_sides_in_agreement(own_server):
    """Every call repeated until it is acknowledged: lists and segments agree."""
    proxy = Proxy(own_server.port)
    users = UserProfileCache(connect(proxy.url))
    checker = UserProfileCache(connect(own_server.url))
    steps = [
        (lambda: users.set_user_profile(profile(segment="a")), "a"),
        (lambda: users.add_user_to_segment("ada", "vip"), "av"),
        (lambda: users.set_user_profile(profile(segment="b")), "bv"),
        (lambda: users.add_user_to_segment("ada", "c"), "bcv"),
        (lambda: users.remove_user_from_segment("ada", "vip"), "bc"),
        (lambda: users.delete_user_profile("ada"), "c"),
    ]
    for call, _ in steps:
        call()  # now the server has every script
    users.delete_user_profile("ada", everywhere=True)
    for number, (call, wanted) in enumerate(steps):
        lost = number % 3  # after so many good trips a reply is lost
        between_trips(users.cache, lost, lambda: proxy.lose(1))
        proxy.lose(0 if lost else 1)
        with contextlib.suppress(RedisUnavailable):
            call()
        users.cache.wire.observer = None
        proxy.lose(0)
        call()
        listed = [s for s in ("a", "b", "c", "vip") if _is_in(checker, s)]

        assert wanted == "".join(segment[0] for segment in listed)
        assert listed == sorted(checker.segments_of("ada"))


def test_a_client_that_gives_bytes_serves_as_well(make_cache):
    """Profiles and segments read the same with decode_responses off."""
    config = CacheConfig(decode_responses=False)
    users = UserProfileCache(make_cache("redis", config=config))
    users.set_user_profile(profile(segment="é"))
    users.add_user_to_segment("ada", "vip")

    assert profile(segment="é") == users.get_user_profile("ada")
    assert 76.5 == users.update_user_activity("ada", {"score_delta": 1}).behavior_score
    assert {"é", "vip"} == set(users.segments_of("ada"))
    assert ["ada"] == users.get_users_by_segment("é")


def test_without_the_right_to_ask_for_time_the_cure_is_named(own_server):
    """Writing is refused with what to grant; reading, leaving, deleting go on."""
    users = UserProfileCache(connect(own_server.url))
    users.set_user_profile(profile())
    client = users.cache.redis_client
    rights = ["on", ">pw", "~*", "+@all", "-time"]
    client.execute_command("ACL", "SETUSER", "bob", *rights)
    url = own_server.url.replace("redis://", "redis://bob:pw@")
    poor = UserProfileCache(connect(url))
    for call in (
        lambda: poor.set_user_profile(profile()),
        lambda: poor.update_user_activity("ada", {}),
        lambda: poor.add_user_to_segment("ada", "vip"),
        lambda: poor.get_users_by_segment("readers"),
    ):
        with pytest.raises(PermissionError, match=r"\+time"):
            call()

    assert profile() == poor.get_user_profile("ada")
    assert 2 == poor.delete_user_profile("ada")
    assert [] == users.get_users_by_segment("readers")


def test_a_fixed_clock_is_enough_for_a_lesson():
    """Profile, segment and expiry in a line each, without a server or waiting."""
    clock = ManualClock()
    users = UserProfileCache(connect("fakeredis://", namespace="test-l", clock=clock))
    users.set_user_profile(profile(), ttl=60)
    clock.advance(60)

    assert None is users.get_user_profile("ada")
    assert None is users.update_user_activity("ada", {"score_delta": 1})

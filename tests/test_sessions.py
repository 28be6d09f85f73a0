"""Sessions, on every backend: they end when they should, and stay ended."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adcache import (
    AccessDenied,
    AdCacheError,
    CacheConfig,
    CommandRefused,
    ManualClock,
    RedisUnavailable,
    SessionManager,
    UnreadableRecord,
    connect,
)
from adcache.sessions import MARK_MS
from tests.conftest import all_keys, trips_of
from tests.proxy import Proxy

HOSTILE = ["a:b", "{a}", "a b", "a\nb", "a|b", "~", "a\0b", "🦊", "\ud800", "%41", "*"]
ADA = {"user_id": "ada", "user_agent": "Mozilla/5.0", "ip_address": "192.0.2.1"}
BEN = {"user_id": "ben"}
MS = 0.001


def suppress(cache, user_id):
    """Mark a user as one who is to be forgotten, as `erase_user` does first."""
    key = cache.get_key("user_suppressed", user_id=user_id)
    cache.wire.execute("SET", key, 1, "EX", 60)


def pttl(cache, session_id):
    """Return the milliseconds that a session's key has left."""
    return cache.redis_client.pttl(cache.get_key("user_session", session_id=session_id))


def run(*calls):
    """Run the calls in threads of their own and wait for all."""
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_session_is_what_the_seed_says_it_is(cache):
    """The keys of the seed; times are aware, in UTC, to the microsecond."""
    sessions, before = SessionManager(cache), datetime.now(UTC)
    assert "s1" == sessions.create_session("s1", {**ADA, "referrer": "news.example"})
    session = sessions.get_session("s1")
    created = session["created_at"]

    assert {
        "session_id": "s1",
        "user_id": "ada",
        "created_at": created,
        "last_activity": created,
        "user_agent": "Mozilla/5.0",
        "ip_address": "192.0.2.1",
        "data": {**ADA, "referrer": "news.example"},
    } == session
    assert timedelta(0) == created.utcoffset()
    assert abs(created - before) < timedelta(seconds=5)


def test_times_keep_their_microseconds(make_cache):
    """Of twenty sessions on the server's clock not all begin at a whole ms."""
    sessions = SessionManager(make_cache("redis"))
    for number in range(20):
        sessions.create_session(f"s{number}", {})
    times = [sessions.get_session(f"s{number}")["created_at"] for number in range(20)]

    assert any(moment.microsecond % 1000 for moment in times)
    assert sorted(times) == times


def test_what_user_data_does_not_say_is_empty(cache):
    """Without user, agent and address these are '', also when they are None."""
    sessions = SessionManager(cache)
    for data in ({}, dict.fromkeys(ADA)):
        sessions.create_session("s", data)
        session = sessions.get_session("s")

        assert ["", "", ""] == [session[name] for name in ADA]
        assert data == session["data"]


def test_an_unknown_session_is_none(cache):
    """Missing is None, False or an empty list, never an error."""
    sessions = SessionManager(cache)

    assert None is sessions.get_session("s")
    assert False is sessions.update_session_activity("s")
    assert False is sessions.delete_session("s")
    assert [] == sessions.list_sessions("ada")
    assert 0 == sessions.revoke_all("ada")
    assert [] == all_keys(cache)


def test_a_touch_never_resurrects_a_deleted_session(cache):
    """After a logout a late activity leaves nothing behind."""
    sessions = SessionManager(cache)
    sessions.create_session("s", ADA)
    assert sessions.delete_session("s")

    assert not sessions.update_session_activity("s")
    assert None is cache.wire.ask(sessions.ask_touch("s"))
    assert cache.get_key("user_session", session_id="s") not in all_keys(cache)


def test_an_owner_is_told_of_open_sessions_only(timed_cache, clock):
    """The encoded user id and when the session began; None when it is over."""
    sessions = SessionManager(timed_cache)
    sessions.create_session("s", {"user_id": "a b"}, ttl=60)
    sessions.create_session("t", {}, ttl=60)
    began = f"{clock.now_ms()}000"

    def owners():
        return timed_cache.wire.trip([sessions.ask_owner(each) for each in "stu"])

    assert [("a%20b", began), ("", began), None] == owners()
    clock.advance(60)
    assert [None, None, None] == owners()


def test_a_touch_keeps_the_sessions_own_ttl(cache):
    """A session of a minute lives a minute longer, not half an hour."""
    sessions = SessionManager(cache)
    sessions.create_session("s", ADA, ttl=60)
    cache.redis_client.pexpire(cache.get_key("user_session", session_id="s"), 20_000)

    assert sessions.update_session_activity("s")
    assert 59_000 < pttl(cache, "s") <= 60_000


@pytest.mark.parametrize("ttl", [2.345, 10, timedelta(minutes=30)])
def test_one_ms_decides(timed_cache, clock, ttl):
    """Open a millisecond before its ttl has passed, over when it has."""
    sessions = SessionManager(timed_cache)
    sessions.create_session("s", ADA, ttl=ttl)
    key = timed_cache.get_key("user_session", session_id="s")
    timed_cache.redis_client.pexpire(key, 60_000)  # only what is stored decides
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    clock.advance(seconds - MS)
    assert sessions.get_session("s")
    assert 1 == len(sessions.list_sessions("ada"))
    clock.advance(MS)

    assert None is sessions.get_session("s")
    assert [] == sessions.list_sessions("ada")
    assert not sessions.update_session_activity("s")
    assert None is timed_cache.wire.ask(sessions.ask_touch("s"))
    assert not sessions.delete_session("s")


def test_a_touch_a_ms_before_the_end_gives_a_whole_ttl(timed_cache, clock):
    """The new end is ttl after the activity, to the millisecond."""
    sessions = SessionManager(timed_cache)
    sessions.create_session("s", ADA, ttl=10)
    clock.advance(10 - MS)
    assert sessions.update_session_activity("s")
    clock.advance(10 - MS)
    assert sessions.get_session("s")
    clock.advance(MS)
    assert None is sessions.get_session("s")


def test_touching_does_not_pass_the_longest_life(timed_cache, clock):
    """However active, a session is over max_age after it began, to the ms."""
    sessions = SessionManager(timed_cache, max_age=3600)
    sessions.create_session("s", ADA, ttl=1800)
    for _ in range(3):
        clock.advance(1000)
        assert sessions.update_session_activity("s")
    assert 599_000 < pttl(timed_cache, "s") <= 600_000
    clock.advance(600 - MS)
    assert timed_cache.wire.ask(sessions.ask_touch("s"))
    key = timed_cache.get_key("user_session", session_id="s")
    timed_cache.redis_client.pexpire(key, 60_000)
    clock.advance(MS)

    assert not sessions.update_session_activity("s")
    assert None is sessions.get_session("s")


def test_the_longest_life_can_be_the_sessions_own(timed_cache, clock):
    """max_age of a call beats the manager's; a longer ttl does not pass it."""
    sessions = SessionManager(timed_cache, max_age=3600)
    sessions.create_session("s", ADA, ttl=1800, max_age=timedelta(seconds=60))
    assert 59_000 < pttl(timed_cache, "s") <= 60_000
    clock.advance(60)

    assert None is sessions.get_session("s")


def test_activity_is_noted(timed_cache, clock):
    """last_activity moves with each touch, created_at does not."""
    sessions = SessionManager(timed_cache)
    sessions.create_session("s", ADA)
    began = clock.now()
    clock.advance(12.345)
    touched = timed_cache.wire.ask(sessions.ask_touch("s"))

    assert (began, clock.now()) == (touched["created_at"], touched["last_activity"])
    assert touched == sessions.get_session("s")
    clock.advance(1)
    sessions.update_session_activity("s")
    assert clock.now() == sessions.get_session("s")["last_activity"]


def test_looking_does_not_prolong(timed_cache, clock):
    """Only activity counts: reading a session changes nothing."""
    sessions = SessionManager(timed_cache)
    sessions.create_session("s", ADA, ttl=10)
    clock.advance(9)
    before = sessions.get_session("s")
    sessions.list_sessions("ada")

    assert before == sessions.get_session("s")
    clock.advance(1)
    assert None is sessions.get_session("s")


class SetBack(ManualClock):
    """A clock that can be set back, as a server's can."""

    def set_back(self, seconds):
        self._now_ms -= round(seconds * 1000)


def test_a_clock_set_back_shortens_nothing(make_cache, backend):
    """The last activity stays, and so does the end."""
    clock = SetBack()
    cache = make_cache(backend, clock=clock)
    sessions = SessionManager(cache)
    sessions.create_session("s", ADA, ttl=60)
    seen = clock.now()
    clock.set_back(3600)
    touched = cache.wire.ask(sessions.ask_touch("s"))
    clock.advance(3600 + 60 - MS)

    assert seen == touched["last_activity"]
    assert sessions.get_session("s")
    clock.advance(MS)
    assert None is sessions.get_session("s")


def test_another_users_session_is_never_overwritten(cache):
    """The second user is refused, and finds no session of the first in a list."""
    sessions = SessionManager(cache)
    sessions.create_session("s", ADA)
    before = sessions.get_session("s")

    assert "" == sessions.create_session("s", BEN)
    assert "" == sessions.create_session("s", {})
    assert before == sessions.get_session("s")
    assert [] == sessions.list_sessions("ben")
    assert 0 == sessions.revoke_all("ben")
    assert before == sessions.get_session("s")


def test_a_visitors_session_does_not_become_a_users(cache):
    """An id that was planted before the login is refused at the login."""
    sessions = SessionManager(cache)
    sessions.create_session("planted", {})

    assert "" == sessions.create_session("planted", ADA)
    assert "" == sessions.get_session("planted")["user_id"]


def test_revoking_spares_whoever_has_the_id_now(cache):
    """An id in a user's list that is another's by now is the other's."""
    sessions = SessionManager(cache)
    sessions.create_session("s", ADA)
    sessions.delete_session("s")
    sessions.create_session("s", BEN)

    assert 0 == sessions.revoke_all("ada")
    assert "ben" == sessions.get_session("s")["user_id"]
    assert 1 == sessions.revoke_all("ben")


def test_an_id_is_free_again_when_its_session_is_over(timed_cache, clock):
    """Deleted or run out, it may be anyone's."""
    sessions = SessionManager(timed_cache)
    sessions.create_session("s", ADA, ttl=10)
    clock.advance(10)
    assert "s" == sessions.create_session("s", BEN)
    sessions.delete_session("s")

    assert "s" == sessions.create_session("s", ADA)
    assert "ada" == sessions.get_session("s")["user_id"]
    assert [] == sessions.list_sessions("ben")


def test_the_same_user_begins_anew(timed_cache, clock):
    """Other data replace the old, with a life of their own."""
    sessions = SessionManager(timed_cache, max_age=100)
    sessions.create_session("s", {**ADA, "cart": ["tea"]}, ttl=10)
    clock.advance(9)
    assert "s" == sessions.create_session("s", {**ADA, "cart": []}, ttl=60)
    session = sessions.get_session("s")

    assert {**ADA, "cart": []} == session["data"]
    assert clock.now() == session["created_at"]
    clock.advance(60 - MS)
    assert 1 == len(sessions.list_sessions("ada"))


def test_the_very_same_call_changes_nothing(timed_cache, clock):
    """A retry finds the session, which keeps its age, its activity and its end."""
    sessions = SessionManager(timed_cache, max_age=100)
    sessions.create_session("s", ADA, ttl=60)
    clock.advance(50)
    sessions.update_session_activity("s")
    before = sessions.get_session("s")
    clock.advance(5)

    assert "s" == sessions.create_session("s", ADA, ttl=60)
    assert before == sessions.get_session("s")
    clock.advance(45 - MS)
    assert sessions.get_session("s")
    clock.advance(MS)
    assert None is sessions.get_session("s")


@pytest.mark.parametrize("terms", [{"ttl": 70}, {"max_age": 300}, {"max_age": 70}])
def test_other_times_are_not_the_very_same_call(timed_cache, clock, terms):
    """Whoever asks for another ttl or max_age begins anew, with what they asked for."""
    sessions = SessionManager(timed_cache, max_age=100)
    sessions.create_session("s", ADA, ttl=80)
    clock.advance(1)
    sessions.create_session("s", ADA, **{"ttl": 80, **terms})

    assert clock.now() == sessions.get_session("s")["created_at"]


def test_without_an_id_one_is_made(cache):
    """Made ids are unguessable: 128 random bits, safe in a URL."""
    sessions = SessionManager(cache)
    ids = {sessions.create_session(None, ADA) for _ in range(20)}

    assert 20 == len(ids)
    assert {22} == {len(each) for each in ids}
    assert ids == {each["session_id"] for each in sessions.list_sessions("ada")}


def test_hostile_ids_are_kept_apart(cache):
    """Each odd session id is a session of its own, and comes back as it was."""
    sessions = SessionManager(cache)
    for number, session_id in enumerate(HOSTILE):
        assert session_id == sessions.create_session(session_id, {**ADA, "n": number})
    found = [sessions.get_session(each) for each in HOSTILE]

    assert HOSTILE == [each["session_id"] for each in found]
    assert [*range(len(HOSTILE))] == [each["data"]["n"] for each in found]
    assert set(HOSTILE) == set(sessions.session_ids("ada"))
    assert len(HOSTILE) == sessions.revoke_all("ada")
    assert [] == sessions.session_ids("ada")


def test_hostile_users_have_lists_of_their_own(cache):
    """Nobody's list shows another's session, however the ids are spelt."""
    sessions = SessionManager(cache)
    users = [user for user in HOSTILE if user != "\ud800"]  # JSON cannot hold it
    for user in users:
        sessions.create_session(f"of {user}", {"user_id": user})
    for user in users:
        assert [user] == [each["user_id"] for each in sessions.list_sessions(user)]

    assert 1 == sessions.revoke_all("a:b")
    assert len(users) - 1 == sum(len(sessions.list_sessions(user)) for user in users)


@pytest.mark.parametrize("bad", ["", 7, b"s", ["s"]])
def test_a_bad_id_is_refused_before_anything_is_written(cache, bad):
    """Empty and non-text ids are a ValueError in every place."""
    sessions = SessionManager(cache)
    calls = [
        lambda: sessions.create_session(bad, ADA),
        lambda: sessions.get_session(bad),
        lambda: sessions.update_session_activity(bad),
        lambda: sessions.delete_session(bad),
        lambda: sessions.ask_touch(bad),
        lambda: sessions.ask_session(bad),
        lambda: sessions.list_sessions(bad),
        lambda: sessions.revoke_all(bad),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"(session|user)_id must") as error:
            call()
        assert isinstance(error.value, AdCacheError)

    assert [] == all_keys(cache)


LOOP: dict = {}
LOOP["me"] = LOOP
DEEP: dict = {}
for _ in range(5000):
    DEEP = {"in": DEEP}


@pytest.mark.parametrize(
    ("user_data", "says"),
    [
        (None, "must be a dict"),
        ([("user_id", "ada")], "must be a dict"),
        ("user_id", "must be a dict"),
        ({"user_id": 7}, "user_id must be text, got 7"),
        ({"user_agent": ["x"]}, "user_agent must be text"),
        ({"ip_address": 3232235777}, "ip_address must be text"),
        ({"at": datetime(2026, 1, 1)}, "not JSON serializable"),
        ({"tags": {1, 2}}, "not JSON serializable"),
        ({"raw": b"x"}, "not JSON serializable"),
        ({"score": float("nan")}, "JSON compliant"),
        ({"score": [float("inf")]}, "JSON compliant"),
        ({7: "seven"}, "text for keys"),
        ({"a": [{None: 1}]}, "text for keys"),
        ({"half": "\ud800"}, "surrogates"),
        ({"huge": 10**5000}, "JSON can hold"),
        (LOOP, "JSON can hold"),
        (DEEP, "JSON can hold"),
    ],
    ids=range(17),
)
def test_bad_user_data_is_refused_before_anything_is_written(cache, user_data, says):
    """What JSON cannot hold is a ValueError that says so in a line."""
    sessions = SessionManager(cache)
    with pytest.raises(ValueError, match=says) as error:
        sessions.create_session("s", user_data)

    assert isinstance(error.value, AdCacheError)
    assert len(str(error.value)) < 300
    assert [] == all_keys(cache)


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), "60", None, True])
def test_a_bad_time_is_refused_before_anything_is_written(cache, bad):
    """Both are seconds, more than 0."""
    sessions = SessionManager(cache)
    with pytest.raises(ValueError, match="ttl must be"):
        sessions.create_session("s", ADA, bad)
    if bad is not None:
        with pytest.raises(ValueError, match="max_age must be"):
            sessions.create_session("s", ADA, max_age=bad)
    with pytest.raises(ValueError, match="max_age must be"):
        SessionManager(cache, max_age=bad)

    assert [] == all_keys(cache)


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "3", None])
def test_a_bad_number_of_sessions_is_refused(cache, bad):
    """How many a list holds and shows are whole numbers."""
    with pytest.raises(ValueError, match="max_sessions must be"):
        SessionManager(cache, max_sessions=bad)
    if bad != 0:
        with pytest.raises(ValueError, match="limit must be"):
            SessionManager(cache).list_sessions("ada", bad)
    assert [] == SessionManager(cache).list_sessions("ada", 0)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.dictionaries(TEXT, JSON))
def test_user_data_comes_back_as_it_went_in(cache, data):
    """Any dict that JSON can hold, with any keys, in any language."""
    sessions = SessionManager(cache)
    for name in ADA:
        data.pop(name, None)
    sessions.create_session("s", data)

    assert data == sessions.get_session("s")["data"]
    assert data == cache.wire.ask(sessions.ask_touch("s"))["data"]


def test_one_trip_touches_and_reads(cache):
    """A touch or a look takes one trip, also together; a login takes two."""
    sessions = SessionManager(cache)
    for session_id in ("s", "v"):  # now every node has the scripts
        sessions.create_session(session_id, ADA)
        cache.wire.ask(sessions.ask_touch(session_id))
        sessions.delete_session(session_id)

    assert 2 == trips_of(cache, lambda: sessions.create_session("s", ADA))
    assert 1 == trips_of(cache, lambda: sessions.create_session("v", {}))
    assert 1 == trips_of(cache, lambda: sessions.update_session_activity("s"))
    assert 1 == trips_of(cache, lambda: sessions.get_session("s"))
    assert 1 == trips_of(cache, lambda: cache.wire.ask(sessions.ask_touch("s")))
    both = [sessions.ask_session("s"), sessions.ask_touch("v")]
    assert 1 == trips_of(cache, lambda: cache.wire.trip(both))
    assert 2 == trips_of(cache, lambda: sessions.list_sessions("ada"))
    assert 1 == trips_of(cache, lambda: sessions.delete_session("s"))


def test_hits_and_misses_are_metered(cache):
    """What was looked up and found, and what was not."""
    sessions, meter = SessionManager(cache), cache.metrics.meter("sessions")
    sessions.create_session("s", ADA)
    sessions.get_session("s")
    cache.wire.trip([sessions.ask_touch("s"), sessions.ask_session("none")])

    assert (2, 1) == (meter.hits, meter.misses)
    assert 0 == cache.metrics.meter("session").calls


def test_a_list_shows_the_newest_first(timed_cache, clock):
    """By their beginning; without what is deleted or over; `limit` cuts."""
    sessions = SessionManager(timed_cache)
    for number in range(5):
        sessions.create_session(f"s{number}", ADA, ttl=10 if number == 1 else 60)
        clock.advance(5)
    sessions.delete_session("s3")

    def shown(*limit):
        return [each["session_id"] for each in sessions.list_sessions("ada", *limit)]

    assert ["s4", "s2", "s0"] == shown()
    assert ["s4", "s2"] == shown(2)
    assert [] == shown(0)
    assert ["s4", "s3", "s2", "s1", "s0"] == sessions.session_ids("ada")


def test_all_sessions_of_a_user_end_at_once(cache):
    """More than a page of them, and no one else's; again is nothing."""
    sessions = SessionManager(cache, max_sessions=1000)
    for number in range(130):
        sessions.create_session(f"s{number}", ADA)
    sessions.create_session("other", BEN)

    assert 130 == len(sessions.list_sessions("ada", 1000))
    assert 130 == sessions.revoke_all("ada")
    assert [] == [n for n in range(130) if sessions.get_session(f"s{n}")]
    assert not sessions.update_session_activity("s7")
    assert 0 == sessions.revoke_all("ada")
    assert sessions.get_session("other")


def test_the_list_is_bounded(timed_cache, clock):
    """Who begins one session too many loses the one that would end first."""
    sessions = SessionManager(timed_cache, max_sessions=3)
    for number in range(5):
        sessions.create_session(f"s{number}", ADA)
        clock.advance(1)

    assert ["s4", "s3", "s2"] == sessions.session_ids("ada")
    assert [None, None] == [sessions.get_session(each) for each in ("s0", "s1")]
    assert sessions.create_session("short", ADA, max_age=60)
    assert {"s4", "s3", "short"} == set(sessions.session_ids("ada"))
    assert sessions.get_session("short")


def test_a_list_lives_as_long_as_its_longest_session(timed_cache, clock):
    """It forgets by itself, and no shorter session cuts it short."""
    sessions, key = SessionManager(timed_cache), None
    sessions.create_session("long", ADA, max_age=1000)
    sessions.create_session("short", ADA, max_age=10)
    key = timed_cache.get_key("user_sessions", user_id="ada")
    assert 999_000 < timed_cache.redis_client.pttl(key) <= 1_000_000
    clock.advance(10)
    sessions.create_session("new", ADA, max_age=10)

    assert {"long", "new"} == set(sessions.session_ids("ada"))


def test_a_suppressed_user_gets_no_session(cache):
    """Nothing is written for someone who is to be forgotten."""
    sessions = SessionManager(cache)
    suppress(cache, "ada")
    before = all_keys(cache)

    assert "" == sessions.create_session("s", ADA)
    assert "" == sessions.create_session(None, ADA)
    assert before == all_keys(cache)
    assert "s" == sessions.create_session("s", BEN)


def at_the_worst_moment(sessions, monkeypatch, happens):
    """Let something happen between the two trips of `create_session`."""
    note = sessions._list.note

    def note_and_then(*args):
        noted = note(*args)
        happens()
        return noted

    monkeypatch.setattr(sessions._list, "note", note_and_then)


def test_suppressed_in_the_middle_of_a_login(cache, monkeypatch):
    """Suppress and revoke between the two trips: no session comes to be."""
    sessions, other = SessionManager(cache), SessionManager(cache)

    def erase():
        suppress(cache, "ada")
        other.revoke_all("ada")

    at_the_worst_moment(sessions, monkeypatch, erase)

    assert "" == sessions.create_session("s", ADA)
    assert None is sessions.get_session("s")
    assert [] == sessions.session_ids("ada")


def test_a_revoked_id_is_refused_ten_seconds(timed_cache, clock):
    """To this user only; another id works at once, the same one later."""
    sessions = SessionManager(timed_cache)
    sessions.create_session("s", ADA)
    sessions.revoke_all("ada")

    assert "" == sessions.create_session("s", ADA)
    assert "s2" == sessions.create_session("s2", ADA)
    clock.advance(MARK_MS / 1000 - MS)
    assert "" == sessions.create_session("s", ADA)
    clock.advance(MS)
    assert "s" == sessions.create_session("s", ADA)
    assert sessions.get_session("s")


def test_the_mark_of_a_revoked_id_binds_no_one_else(cache):
    """It is no session, and another user may have the id."""
    sessions = SessionManager(cache)
    sessions.create_session("s", ADA)
    sessions.revoke_all("ada")

    assert None is sessions.get_session("s")
    assert not sessions.update_session_activity("s")
    assert not sessions.delete_session("s")
    assert "" == sessions.create_session("s", ADA)
    assert "s" == sessions.create_session("s", BEN)


def test_the_list_is_written_first(cache, monkeypatch):
    """A crash between the two writes leaves a name in the list and no session."""
    sessions = SessionManager(cache)

    def crash():
        raise KeyboardInterrupt

    at_the_worst_moment(sessions, monkeypatch, crash)
    with pytest.raises(KeyboardInterrupt):
        sessions.create_session("s", ADA)

    assert ["s"] == sessions.session_ids("ada")
    assert [] == sessions.list_sessions("ada")
    assert 0 == sessions.revoke_all("ada")
    assert [] == sessions.session_ids("ada")


@pytest.mark.parametrize("late", [{}, {"max_age": 60}])
def test_a_late_login_is_listed_whatever_came_between(timed_cache, monkeypatch, late):
    """A login that is overtaken by another, and that by its logout, can be revoked."""
    sessions, other = SessionManager(timed_cache), SessionManager(timed_cache)

    def overtake():
        other.create_session("s", {**ADA, "other": True}, max_age=30)
        other.delete_session("s")

    at_the_worst_moment(sessions, monkeypatch, overtake)

    assert "s" == sessions.create_session("s", ADA, **late)
    assert [ADA] == [session["data"] for session in sessions.list_sessions("ada")]
    assert 1 == sessions.revoke_all("ada")
    assert None is sessions.get_session("s")


def test_a_shorter_login_does_not_shorten_the_list(timed_cache, clock, monkeypatch):
    """Of two racing logins the list keeps the later end, whichever session stays."""
    sessions, other = SessionManager(timed_cache), SessionManager(timed_cache)
    at_the_worst_moment(
        sessions, monkeypatch, lambda: other.create_session("s", ADA, max_age=10)
    )
    sessions.create_session("s", ADA, max_age=600)
    clock.advance(11)
    other.create_session("another", ADA)

    assert sessions.get_session("s")
    assert {"s", "another"} == set(sessions.session_ids("ada"))
    assert 2 == sessions.revoke_all("ada")


def test_of_32_users_one_gets_the_id(cache):
    """Racing for one id: one wins, the session is theirs, the others know."""
    sessions, won = SessionManager(cache), []

    def begin(user):
        if sessions.create_session("s", {"user_id": user}):
            won.append(user)

    run(*(lambda n=n: begin(f"u{n}") for n in range(32)))
    listed = [n for n in range(32) if sessions.list_sessions(f"u{n}")]

    assert 1 == len(won)
    assert won[0] == sessions.get_session("s")["user_id"]
    assert won == [f"u{n}" for n in listed]


def test_of_32_equal_logins_one_session_remains(cache):
    """The same call from 32 threads at once begins one session."""
    sessions, ids = SessionManager(cache), []
    run(*(lambda: ids.append(sessions.create_session("s", ADA)) for _ in range(32)))

    assert ["s"] * 32 == ids
    assert 1 == len(sessions.list_sessions("ada"))
    assert 1 == sessions.revoke_all("ada")


def test_touches_racing_a_delete_resurrect_nothing(cache):
    """While eight threads touch, sessions are deleted: all of them stay so."""
    sessions, seen = SessionManager(cache), set()
    begun, done = threading.Event(), threading.Event()
    ids = [f"s{number}" for number in range(20)]
    for session_id in ids:
        sessions.create_session(session_id, ADA)

    def touch():
        while not done.is_set():
            seen.update(map(sessions.update_session_activity, ids))
            begun.set()

    def delete():
        assert begun.wait(10)
        for session_id in ids:
            assert sessions.delete_session(session_id)
        done.set()

    run(delete, *[touch] * 8)

    assert True in seen
    assert [] == [s for s in ids if sessions.get_session(s)]
    assert [cache.get_key("user_sessions", user_id="ada")] == all_keys(cache)


def test_touches_racing_revocation_resurrect_nothing(cache):
    """Nor does a touch bring back what was revoked."""
    sessions = SessionManager(cache)
    begun, done = threading.Event(), threading.Event()
    for number in range(20):
        sessions.create_session(f"s{number}", ADA)

    def touch():
        while not done.is_set():
            for number in range(20):
                cache.wire.ask(sessions.ask_touch(f"s{number}"))
            begun.set()

    def revoke():
        assert begun.wait(10)
        assert 20 == sessions.revoke_all("ada")
        done.set()

    run(revoke, *[touch] * 4)

    assert [] == [n for n in range(20) if sessions.get_session(f"s{n}")]


def test_logins_racing_an_erasure_leave_no_session(cache):
    """Suppressed, then revoked: whatever was under way, nothing is open after."""
    sessions, started = SessionManager(cache), threading.Barrier(9)

    def begin(worker):
        started.wait()
        for number in range(15):
            sessions.create_session(f"{worker}-{number}", ADA)

    def erase():
        started.wait()
        suppress(cache, "ada")
        sessions.revoke_all("ada")

    run(erase, *(lambda n=n: begin(n) for n in range(8)))
    names = [f"{worker}-{number}" for worker in range(8) for number in range(15)]

    assert [] == [name for name in names if sessions.get_session(name)]
    assert [] == sessions.session_ids("ada")


def test_a_lost_reply_can_be_asked_for_again(own_server):
    """Create, touch, delete and revoke, cut after the server's work, and repeated."""
    proxy = Proxy(own_server.port)
    sessions = SessionManager(connect(proxy.url))
    sessions.create_session("other", BEN)
    sessions.update_session_activity("other")
    sessions.delete_session("other")
    for call, again in (
        (lambda: sessions.create_session("s", ADA), "s"),
        (lambda: sessions.update_session_activity("s"), True),
        (lambda: sessions.delete_session("s"), False),
        (lambda: sessions.create_session("s", ADA), "s"),
        (lambda: sessions.revoke_all("ada"), 1),
    ):
        proxy.lose(1)
        with pytest.raises(RedisUnavailable):
            call()
        assert again == call()
    proxy.close()

    assert None is sessions.get_session("s")
    assert [] == sessions.session_ids("ada")


def test_retry_on_timeout_repeats_sessions(own_server):
    """All of a session's calls may be repeated by the library itself."""
    proxy = Proxy(own_server.port)
    config = CacheConfig(retry_on_timeout=True)
    sessions = SessionManager(connect(proxy.url, config=config))
    sessions.create_session("warm", ADA)
    for call in (
        lambda: sessions.create_session("s", ADA),
        lambda: sessions.update_session_activity("s"),
        lambda: sessions.get_session("s"),
        lambda: sessions.list_sessions("ada"),
    ):
        proxy.lose(1)
        assert call()
    proxy.close()


def test_flushed_scripts_do_no_harm(cache):
    """SCRIPT FLUSH before every call: all work on."""
    sessions = SessionManager(cache)
    for call, expected in (
        (lambda: sessions.create_session("s", ADA), "s"),
        (lambda: sessions.update_session_activity("s"), True),
        (lambda: cache.wire.ask(sessions.ask_touch("s"))["user_id"], "ada"),
        (lambda: sessions.delete_session("s"), True),
        (lambda: sessions.create_session("s", ADA), "s"),
        (lambda: sessions.revoke_all("ada"), 1),
    ):
        cache.redis_client.script_flush()
        assert expected == call()


def test_the_servers_clock_ends_a_session(cache):
    """Without a manual clock, too, a session is over when its time has come."""
    sessions = SessionManager(cache)
    sessions.create_session("s", ADA, ttl=0.2)
    deadline = time.monotonic() + 5
    while sessions.get_session("s") and time.monotonic() < deadline:
        time.sleep(0.01)

    assert not sessions.update_session_activity("s")
    assert None is sessions.get_session("s")


@pytest.mark.parametrize("server", ["fakeredis", "redis", "cluster"])
def test_a_client_that_gives_bytes_will_do(make_cache, server):
    """Sessions and lists read the same with decode_responses off."""
    config = CacheConfig(decode_responses=False)
    sessions = SessionManager(make_cache(server, config=config), max_sessions=2)
    for session_id in ("s1", "s2", "s3"):
        sessions.create_session(session_id, ADA)
    sessions.update_session_activity("s3")

    assert "ada" == sessions.get_session("s3")["user_id"]
    assert ["s3", "s2"] == [s["session_id"] for s in sessions.list_sessions("ada")]
    assert 2 == sessions.revoke_all("ada")


def test_without_the_right_to_time_it_is_said(own_server):
    """A Redis user who may not ask for TIME is told so; a clock of one's own helps."""
    admin = connect(own_server.url)
    rules = ("on", "nopass", "~*", "+@all", "-time")
    admin.wire.execute("ACL", "SETUSER", "timeless", *rules)
    url = own_server.url.replace("://", "://timeless:x@")
    sessions = SessionManager(connect(url))
    for call in (
        lambda: sessions.create_session("s", ADA),
        lambda: sessions.create_session("s", {}),
        lambda: sessions.update_session_activity("s"),
        lambda: sessions.delete_session("s"),
    ):
        with pytest.raises(AccessDenied, match="TIME"):
            call()
    assert None is sessions.get_session("s")

    own_clock = SessionManager(connect(url, clock=ManualClock()))
    assert "s" == own_clock.create_session("s", ADA)
    assert own_clock.update_session_activity("s")


@pytest.mark.parametrize(
    ("field", "value"), [("data", "{"), ("data", "[1]"), ("last_us", "soon")]
)
def test_a_damaged_session_is_named(cache, field, value):
    """What someone else wrote into it is an error with the cure, and can go."""
    sessions = SessionManager(cache)
    sessions.create_session("s", ADA)
    key = cache.get_key("user_session", session_id="s")
    cache.redis_client.hset(key, field, value)

    with pytest.raises(UnreadableRecord, match="'s' is damaged"):
        sessions.get_session("s")
    assert sessions.delete_session("s")
    cache.redis_client.set(key, "no hash", ex=60)
    with pytest.raises(CommandRefused, match="WRONGTYPE"):
        sessions.update_session_activity("s")


class Model:
    """Sessions in plain Python: a dict of who, since when, until when."""

    def __init__(self, now_ms):
        self.now_ms, self.open = now_ms, {}

    def _get(self, session_id):
        session = self.open.get(session_id)
        over = session and self.now_ms() >= session["until"]
        return None if over else session

    def create(self, session_id, user, ttl, age, data):
        old, now = self._get(session_id), self.now_ms()
        terms = {"user": user, "ttl": ttl, "age": age, "data": data}
        if old and old["user"] != user:
            return ""
        if old and all(old[name] == value for name, value in terms.items()):
            return session_id
        self.open[session_id] = {
            **terms,
            "end": now + age * 1000,
            "until": now + min(ttl, age) * 1000,
        }
        return session_id

    def touch(self, session_id):
        session = self._get(session_id)
        if not session:
            return False
        idle_end = self.now_ms() + session["ttl"] * 1000
        session["until"] = min(idle_end, session["end"])
        return True

    def delete(self, session_id):
        return bool(self._get(session_id) and self.open.pop(session_id))

    def of(self, user):
        return {s for s in self.open if (self._get(s) or {}).get("user") == user}


IDS, USERS = st.sampled_from(["s", "a:b", "{s}"]), st.sampled_from(["ada", "b:c", ""])
CALLS = st.one_of(
    st.tuples(
        st.just("create"),
        IDS,
        USERS,
        st.sampled_from([5, 60]),
        st.sampled_from([20, 90]),
        st.integers(0, 1),
    ),
    st.tuples(st.sampled_from(["touch", "delete", "look"]), IDS),
    st.tuples(st.just("wait"), st.sampled_from([MS, 4.999, 5, 15, 20])),
)


@pytest.mark.parametrize("server", ["fakeredis", "redis"])
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(calls=st.lists(CALLS, max_size=30))
def test_histories_are_those_of_a_plain_model(make_cache, server, calls):
    """Whatever is created, touched and deleted when, a dict would say the same."""
    clock = ManualClock()
    cache = make_cache(server, clock=clock)
    sessions, model = SessionManager(cache), Model(clock.now_ms)
    for name, *args in calls:
        if name == "wait":
            clock.advance(*args)
        elif name == "create":
            session_id, user, ttl, age, number = args
            data = {"user_id": user, "n": number}
            created = sessions.create_session(session_id, data, ttl, max_age=age)
            assert model.create(session_id, user, ttl, age, number) == created
        elif name == "touch":
            assert model.touch(*args) == sessions.update_session_activity(*args)
        elif name == "delete":
            assert model.delete(*args) == sessions.delete_session(*args)
        else:
            found = sessions.get_session(*args)
            assert (found and found["data"]["n"]) == (model._get(*args) or {}).get(
                "data"
            )
        for user in ("ada", "b:c"):
            listed = {s["session_id"] for s in sessions.list_sessions(user)}
            assert model.of(user) == listed
    assert len(model.of("ada")) == sessions.revoke_all("ada")
    assert [] == sessions.list_sessions("ada")

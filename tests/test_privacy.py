"""Erasing a user: suppressed first, removed everywhere, proved."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from adcache import (
    AdCacheError,
    BidRequestCache,
    CampaignData,
    Cap,
    FrequencyCapManager,
    InvalidValue,
    PerformanceStatsCache,
    RedisUnavailable,
    SessionManager,
    SessionTargeting,
    UserProfile,
    UserProfileCache,
    connect,
)
from adcache.keys import KEYS, encode_id
from adcache.openrtb import decode_bid_response
from adcache.privacy import UserPrivacy
from adcache.privacy_search import MENTIONS, OWN, Search
from adcache.simulate import sample_request
from tests.conftest import all_keys

HOSTILE = [
    "a:b",
    "{a}",
    "a",
    "a b",
    "*",
    "a*",
    "[a-z]",
    "?",
    "a\nb",
    '"',
    "🦊",
    "\ud800",
]
ONE = [Cap(1, 600)]
# Patterns whose values name no user, each looked at by whoever adds one.
NOBODY = {
    *("real_time_bid", "session_interests", "session_events", "campaign"),
    *("campaign_index", "campaign_spend", "budget_leases", "targeting_index"),
    *("targeting_ads", "targeting_due", "targeting_ready", "ad_creative"),
    "performance_stats",
    *("stats_minutes", "stats_event", "stats_reach", "record_lease", "loaded_lease"),
    *("write_lease", "write_order", "write_due", "write_versions"),
}


def profile(user="ada", segment="readers"):
    """A profile with all fields."""
    return UserProfile(
        user_id=user,
        interests=["tea"],
        demographics={"age": 36},
        behavior_score=0.5,
        last_activity=datetime(2026, 1, 1, tzinfo=UTC),
        segment=segment,
    )


def fill(cache, user="ada"):
    """Let every component learn something of a user."""
    profiles, sessions = UserProfileCache(cache), SessionManager(cache)
    profiles.set_user_profile(profile(user))
    profiles.update_user_activity(user, {"score_delta": 0.1}, activity_id="a1")
    profiles.add_user_to_segment(user, "runners")
    session = sessions.create_session(f"s-{user}", {"user_id": user})
    sessions.create_session(None, {"user_id": user})
    SessionTargeting(cache).record(session, {"tea": 1.0}, event_id="e1")
    caps = FrequencyCapManager(cache)
    caps.check_frequency_cap(user, "tea", caps=ONE, impression_id="i1")
    caps.lease(user, {"cake": ONE}, "l1")
    FrequencyCapManager(cache, "sliding_log").check_frequency_cap(user, "jam")


def a_bid(request):
    """The smallest response that bids on a request."""
    bid = {"id": "b1", "impid": "1", "price": 2.0}
    body = {"id": request["id"], "cur": "USD", "seatbid": [{"bid": [bid]}]}
    return decode_bid_response(json.dumps(body))


def left_of(cache, user="ada"):
    """What a fresh search still finds of a user."""
    return dict(+Search(cache, user).run(1_000_000).removed)


def names(cache):
    """Every key of the namespace, without it."""
    return [cache.keys.strip(key) for key in all_keys(cache)]


def test_everything_of_a_user_is_removed(cache):
    """Profile, segments, sessions, interests, caps, logs, records: all of it."""
    fill(cache)
    proof = UserPrivacy(cache).erase_user("ada")

    assert proof
    assert {"frequency": 4, "profiles": 4, "sessions": 2, "targeting": 2} == (
        proof.removed
    )
    assert ({}, True, 0) == (proof.remaining, proof.complete, proof.unreadable)
    assert ["marks of ended sessions"] == list(proof.lingering)
    assert 2 == proof.lingering["marks of ended sessions"].keys
    left = [name for name in names(cache) if not name.startswith("session:{")]
    assert ["user:suppressed:{ada}"] == left
    assert [] == UserProfileCache(cache).get_users_by_segment("readers")
    assert {} == left_of(cache)


def test_a_second_erasure_proves_zero(cache):
    """Nothing is removed, nothing remains, the search was complete."""
    fill(cache)
    privacy = UserPrivacy(cache)
    privacy.erase_user("ada")
    proof = privacy.erase_user("ada")

    assert proof
    assert ({}, {}, True) == (proof.removed, proof.remaining, proof.complete)
    assert proof.keys_scanned >= 3


def test_a_user_that_nobody_knows_can_be_erased(cache):
    """Then the proof says so, and the suppression stands."""
    proof = UserPrivacy(cache).erase_user("nobody")

    assert proof
    assert {} == proof.removed
    assert ["user:suppressed:{nobody}"] == names(cache)


def test_the_suppression_comes_first(cache):
    """No other key is touched before nothing new can be stored."""
    fill(cache)
    commands = []
    cache.wire.observer = lambda pairs, _: commands.extend(c for c, _ in pairs)
    UserPrivacy(cache).erase_user("ada")
    cache.wire.observer = None

    assert ("SET", cache.get_key("user_suppressed", user_id="ada")) == commands[0][:2]


def test_late_writers_are_refused(cache):
    """Whatever comes after the erasure is not stored, by any component."""
    fill(cache)
    UserPrivacy(cache).erase_user("ada")
    before = names(cache)
    profiles, caps = UserProfileCache(cache), FrequencyCapManager(cache)

    assert not profiles.set_user_profile(profile())
    assert not profiles.add_user_to_segment("ada", "runners")
    assert None is profiles.update_user_activity("ada", {"score_delta": 1.0})
    assert "" == SessionManager(cache).create_session(None, {"user_id": "ada"})
    assert not SessionTargeting(cache, live_only=True).record("s-ada", {"tea": 1.0})
    assert not caps.lease("ada", {"cake": ONE}, "l2")["cake"]
    assert not caps.confirm("ada", "cake", "l1", caps=ONE)
    assert not caps.release("ada", "cake", "l1")
    assert before == names(cache)
    assert {} == left_of(cache)


def test_unsuppressed_a_user_starts_anew(cache):
    """Who comes back is stored again, and nothing old returns."""
    privacy, profiles = UserPrivacy(cache), UserProfileCache(cache)
    fill(cache)
    privacy.erase_user("ada")

    assert [True, False] == [privacy.unsuppress("ada") for _ in range(2)]
    assert not privacy.is_suppressed("ada")
    assert None is profiles.get_user_profile("ada")
    assert profiles.set_user_profile(profile())


def test_a_suppression_lasts_and_is_not_shortened(cache):
    """400 days by default; a longer one stays, a shorter one is prolonged."""
    privacy = UserPrivacy(cache)
    key = cache.get_key("user_suppressed", user_id="ada")

    def days():
        return round(cache.redis_client.pttl(key) / 86_400_000)

    until = privacy.suppress("ada")
    assert 400 == days()
    assert 399 < (until - datetime.now(UTC)) / timedelta(days=1) < 401
    assert until - privacy.suppress("ada", timedelta(days=1)) < timedelta(minutes=1)
    assert 400 == days()
    privacy.suppress("ada", timedelta(days=500))
    assert 500 == days()
    assert privacy.is_suppressed("ada")
    assert [True, False] == cache.wire.trip(
        [privacy.ask_suppressed("ada"), privacy.ask_suppressed("ben")]
    )


def test_other_users_are_left_alone(cache):
    """Also those whose ids look like the erased one."""
    others = ["ada2", "ad", "ada:tea", "ADA", "{ada}", "b-ada"]
    for user in ["ada", *others]:
        fill(cache, user)
    before = {name for name in names(cache) if "ada}" not in name.replace("7Dada", "")}
    UserPrivacy(cache).erase_user("ada")

    assert set(before) - set(names(cache)) <= {"session:{s-ada}"}
    for user in others:
        assert UserProfileCache(cache).get_user_profile(user)
        assert 2 == len(SessionManager(cache).list_sessions(user))
        assert not FrequencyCapManager(cache).peek(user, "cake", caps=ONE)
    assert sorted(others) == sorted(
        UserProfileCache(cache).get_users_by_segment("readers")
    )


def test_hostile_ids_are_erased_one_by_one(cache):
    """Quotes, globs, braces and emoji: each erasure takes its own user only."""
    users = [user for user in HOSTILE if user != "\ud800"]
    for user in HOSTILE:
        FrequencyCapManager(cache).lease(user, {"tea": ONE}, "l1")
    for user in users:
        fill(cache, user)
    for done, user in enumerate(users, 1):
        assert UserPrivacy(cache).erase_user(user)
        assert {} == left_of(cache, user)
        left = UserProfileCache(cache).get_users_by_segment("readers")
        assert sorted(users[done:]) == sorted(left)
    assert UserPrivacy(cache).erase_user("\ud800").removed == {"frequency": 2}


def test_what_no_list_leads_to_is_found_by_its_value(cache):
    """A member and a session that a crash left behind, a copy of a record."""
    user = encode_id("ada")
    client = cache.redis_client
    segment = cache.get_key("user_segments", segment_id="readers")
    client.zadd(segment, {user: 1, "ben": 2})
    sessions, targeting = SessionManager(cache), SessionTargeting(cache)
    sessions.create_session("s1", {"user_id": "ada"})
    targeting.record("s1", {"tea": 1.0})
    client.delete(cache.get_key("user_sessions", user_id="ada"))
    for kind in ("profile", "user"):
        client.set(cache.get_key("record", kind=kind, record_id="ada"), "1 0 0 {}")
        client.set(cache.get_key("loaded", kind=kind, record_id="ada"), "1 0 0 {}")
    client.set(cache.get_key("loaded", kind="ada", record_id="x"), "1 0 0 {}", ex=60)
    for key in all_keys(cache):
        client.expire(key, 60)
    proof = UserPrivacy(cache).erase_user("ada")

    assert proof
    assert {"profiles": 1, "sessions": 1, "stampede": 2, "strategies": 2} | {
        "targeting": 1
    } == proof.removed
    assert ["ben"] == [_text(member) for member in client.zrange(segment, 0, -1)]
    assert None is sessions.get_session("s1")
    assert [] == targeting.interests("s1")


def test_another_users_session_of_the_same_id_stays(cache):
    """A list may name an id that is someone else's session by now."""
    sessions, targeting = SessionManager(cache), SessionTargeting(cache)
    sessions.create_session("s1", {"user_id": "ada"})
    cache.redis_client.delete(cache.get_key("user_session", session_id="s1"))
    sessions.create_session("s1", {"user_id": "ben"})
    targeting.record("s1", {"tea": 1.0})
    UserPrivacy(cache).erase_user("ada")

    assert "ben" == sessions.get_session("s1")["user_id"]
    assert targeting.interests("s1")


def test_what_cannot_be_forgotten_at_once_is_listed(cache):
    """Stored requests, notes in the ledger, waiting records, sketches."""
    requests = BidRequestCache(cache)
    request = sample_request() | {"user": {"id": "x", "buyeruid": "ada"}}
    requests.claim_bid_request(request, ttl=50)
    requests.answer_bid_request(request, a_bid(request), notice_horizon=70)
    requests.claim_bid_request(sample_request("game_app") | {"user": {"id": "ben"}})
    ledger = cache.get_key("budget_ledger", campaign_id="tea", reservation_id="r1")
    cache.redis_client.set(ledger, 'held 1 2 0 0 0 ["ada",true]', ex=100)
    queue = cache.get_key("write_queue", kind="profile")
    cache.redis_client.hset(queue, "ada", "1 0 0 {}")
    own = cache.get_key("mine:{user}:note", user="ada")
    cache.redis_client.set(own, "x", ex=30)
    PerformanceStatsCache(cache).increment_stat("tea", "impressions")
    PerformanceStatsCache(cache).record_event(
        "tea", {"impressions": 1}, event_id="e1", user_id="ada"
    )
    proof = UserPrivacy(cache).erase_user("ada")
    ends = {what: (it.keys, it.seconds) for what, it in proof.lingering.items()}

    assert proof
    assert {
        "stored bid requests",
        "notes of bids in the ledger",
        "records that wait to be stored",
        "keys of another program",
    } == set(ends)
    assert 2 == ends.pop("stored bid requests")[0]  # for duplicates, and for notices
    assert 65 < proof.lingering["stored bid requests"].seconds <= 70
    assert {1} == {keys for keys, _ in ends.values()}
    assert 95 < ends["notes of bids in the ledger"][1] <= 100
    assert None is ends["records that wait to be stored"][1]
    assert 1 == proof.sketches
    assert any("backups" in text for text in proof.cannot_forget)
    report = str(proof)
    assert "stored bid requests: 2 (gone in " in report
    assert "records that wait to be stored: 1 (no end)" in report
    assert "up to 1 sketches" in report


def test_the_proof_can_be_read(timed_cache, clock):
    """A report of a few lines, with times of the cache's clock."""
    fill(timed_cache)
    proof = UserPrivacy(timed_cache).erase_user("ada", suppress_for=86_400)
    report = str(proof)

    assert clock.now() == proof.started_at == proof.finished_at
    assert "Erasure of user 'ada'" == report.splitlines()[0]
    assert "suppressed  until 2026-01-02 00:00 UTC" in report
    assert "removed     frequency 4, profiles 4, sessions 2, targeting 2" in report
    assert "remaining   nothing" in report
    assert "complete" in report


def test_a_search_cut_short_proves_nothing(cache):
    """With too small a bound the proof is false and says so; with a larger one not."""
    fill(cache)
    for number in range(1200):
        cache.wire.execute("SET", cache.get_key("n:{n}", n=str(number)), 1, "EX", 60)
    proof = UserPrivacy(cache).erase_user("ada", max_keys=1)

    assert not proof
    assert not proof.complete
    assert "CUT SHORT" in str(proof)
    assert UserPrivacy(cache).erase_user("ada")


def test_keys_of_an_unexpected_type_are_counted(cache):
    """What cannot be read may hold anything: the proof is false."""
    key = cache.get_key("budget_ledger", campaign_id="c", reservation_id="r")
    cache.redis_client.lpush(key, "ada")
    cache.redis_client.expire(key, 60)
    proof = UserPrivacy(cache).erase_user("ada")

    assert not proof
    assert 1 == proof.unreadable
    assert "not read    1 keys" in str(proof)


def test_namespaces_are_erased_apart(make_cache, backend):
    """The same user of another tenant stays."""
    ours, theirs = make_cache(backend), make_cache(backend)
    fill(ours)
    fill(theirs)
    UserPrivacy(ours).erase_user("ada")

    assert UserProfileCache(theirs).get_user_profile("ada")
    assert not UserPrivacy(theirs).is_suppressed("ada")


def test_it_goes_in_bounded_steps(cache):
    """However much there is of a user, no trip carries more than a few hundred."""
    sessions = SessionManager(cache, max_sessions=10_000)
    for number in range(230):
        sessions.create_session(f"s{number}", {"user_id": "ada"})
    caps = FrequencyCapManager(cache)
    leases = [caps.ask_lease("ada", {"c": ONE}, f"l{n}") for n in range(320)]
    cache.wire.trip(leases)
    cache.wire.trip(
        [caps.ask_confirm("ada", "c", f"l{n}", caps=ONE) for n in range(320)]
    )
    sizes = []
    cache.wire.observer = lambda pairs, _: sizes.append(len(pairs))
    proof = UserPrivacy(cache).erase_user("ada")
    cache.wire.observer = None

    assert {"frequency": 321, "sessions": 230} == proof.removed
    assert max(sizes) <= 1000
    assert {} == left_of(cache)


@pytest.mark.parametrize("bad", ["", None, 7, b"ada"])
def test_a_bad_id_is_refused_before_anything_is_written(cache, bad):
    """Empty and non-text ids are a ValueError in every place."""
    privacy = UserPrivacy(cache)
    for call in (
        privacy.erase_user,
        privacy.suppress,
        privacy.unsuppress,
        privacy.is_suppressed,
    ):
        with pytest.raises(InvalidValue, match="user_id must"):
            call(bad)
    assert [] == all_keys(cache)


@pytest.mark.parametrize("bad", [0, -1, 1.5, None, True, "9"])
def test_a_bad_bound_is_refused_before_anything_is_written(cache, bad):
    """Not even the suppression is set."""
    with pytest.raises(InvalidValue, match="max_keys must"):
        UserPrivacy(cache).erase_user("ada", max_keys=bad)
    assert [] == all_keys(cache)


class _Stops:
    """Lets so many waits for Redis through, then the line is dead."""

    def __init__(self, cache, waits):
        self.left = waits
        for name in ("trip", "execute"):
            setattr(cache.wire, name, self._guard(getattr(cache.wire, name)))

    def _guard(self, call):
        def guarded(*args, **options):
            self.left -= 1
            if self.left < 0:
                raise RedisUnavailable("the line is dead")
            return call(*args, **options)

        return guarded


@pytest.mark.parametrize("backend", ["fakeredis", "redis"])
def test_an_erasure_is_resumed_wherever_it_stopped(make_cache, backend):
    """Interrupted after any of its waits, the next call leaves nothing behind."""
    stopped_at = 0
    for waits in range(60):
        cache = make_cache(backend)
        fill(cache)
        broken = make_cache(backend, namespace=cache.config.namespace)
        _Stops(broken, waits)
        try:
            UserPrivacy(broken).erase_user("ada")
        except RedisUnavailable:
            stopped_at = waits + 1
        else:
            break
        if waits:
            assert UserPrivacy(cache).is_suppressed("ada")
        assert UserPrivacy(cache).erase_user("ada")
        assert {} == left_of(cache)
        assert [] == SessionTargeting(cache).interests("s-ada")
        left = [name for name in names(cache) if not name.startswith("session:{")]
        assert ["user:suppressed:{ada}"] == left

    assert 8 < stopped_at < 60


def test_erasing_while_others_write_leaves_nothing(cache):
    """Threads store the user all the while; afterwards there is nothing of it."""
    fill(cache)
    stop, errors = threading.Event(), []

    def write(worker):
        profiles, sessions = UserProfileCache(cache), SessionManager(cache)
        caps, number = FrequencyCapManager(cache), 0
        while not stop.is_set():
            number += 1
            try:
                profiles.set_user_profile(profile(segment=f"g{number % 5}"))
                profiles.add_user_to_segment("ada", f"h{number % 3}")
                sessions.create_session(f"{worker}-{number}", {"user_id": "ada"})
                caps.lease("ada", {"c": [Cap(1000, 60)]}, f"{worker}-{number}")
                caps.confirm("ada", "c", f"{worker}-{number}")
            except AdCacheError as error:
                errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    proof = UserPrivacy(cache).erase_user("ada")
    stop.set()
    for thread in threads:
        thread.join()

    assert [] == errors
    assert {} == proof.remaining
    assert {} == left_of(cache)
    assert [] == SessionManager(cache).list_sessions("ada")
    for segment in (
        "readers",
        *(f"g{n}" for n in range(5)),
        *(f"h{n}" for n in range(3)),
    ):
        assert [] == UserProfileCache(cache).get_users_by_segment(segment)


def test_every_key_pattern_is_looked_after():
    """A row of keys.py is the user's own, searched, or known to name nobody."""
    searched = {"user_session", "user_segments", *MENTIONS}

    assert OWN | searched | NOBODY == set(KEYS)
    assert {name for name, row in KEYS.items() if "user_id" in row.template} == OWN


def test_campaigns_are_not_touched(cache):
    """An erasure knows users from campaigns, also of the same name."""
    from adcache import CampaignCache

    campaign = CampaignData(
        campaign_id="ada",
        advertiser_id="a1",
        budget=10,
        spent=0,
        bid_price=1,
        targeting={},
        status="active",
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        end_date=datetime(2036, 1, 1, tzinfo=UTC),
    )
    CampaignCache(cache).set_campaign(campaign)
    before = names(cache)
    proof = UserPrivacy(cache).erase_user("ada")

    assert {} == proof.removed == proof.lingering
    assert [*before, "user:suppressed:{ada}"] == names(cache)


def test_a_fresh_process_sees_the_suppression(redis_url):
    """The flag lives in Redis, not in the object that set it."""
    one, other = (
        connect(redis_url, namespace="test-p"),
        connect(redis_url, namespace="test-p"),
    )
    UserPrivacy(one).suppress("ada", 60)

    assert UserPrivacy(other).is_suppressed("ada")
    assert UserPrivacy(other).unsuppress("ada")


def _text(value):
    return value.decode() if isinstance(value, bytes) else value

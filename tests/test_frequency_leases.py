"""Leases of frequency caps: caps count impressions, not bids."""

import threading
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adcache import (
    CacheConfig,
    Cap,
    FrequencyCapManager,
    InvalidValue,
    ManualClock,
    RedisUnavailable,
    connect,
)
from tests.conftest import all_keys
from tests.proxy import Proxy

HOSTILE = ["a:b", "{a}", "a b", "a\nb", "~end", "c~leases", "1 x 2 y", "🦊", "\ud800"]
ONE, HOUR, DAY = [Cap(1, 60)], 3600, 86400


def count(caps, campaign="c", limit=9, window=60, user="u"):
    """Impressions and open leases in a window."""
    return caps.peek(user, campaign, limit, window).count


def test_an_open_lease_takes_a_place_for_every_check(cache):
    """Whichever way one asks, the leased place is not free."""
    caps = FrequencyCapManager(cache)
    both = [Cap(2, 60), Cap(5, DAY)]
    decision = caps.lease("u", {"c": both}, "l1")["c"]

    assert decision
    assert ("free", 1, 2, 1) == (
        decision.reason,
        decision.count,
        decision.limit,
        decision.remaining,
    )
    assert 1 == count(caps)
    assert caps.check_frequency_cap("u", "c", 2, 60).remaining == 0
    assert not caps.check_frequency_cap("u", "c", 2, 60)
    assert not caps.check_frequency_cap("u", "c", caps=both)
    assert not caps.check_frequency_cap("u", "c", caps=both, impression_id="i")
    assert not caps.peek("u", "c", caps=both)
    assert not caps.peek_many("u", ["c"], 2, 60)["c"]
    assert not caps.check_many("u", {"c": both})["c"]
    assert not caps.lease("u", {"c": both}, "l2")["c"]
    assert caps.check_frequency_cap("u", "d", 1, 60)
    assert caps.check_frequency_cap("v", "c", 1, 60)


def test_a_lease_is_no_impression(timed_cache, clock):
    """The window opens when the impression is confirmed, not at the bid."""
    caps = FrequencyCapManager(timed_cache)
    caps.lease("u", {"c": ONE}, "l1", ttl=50)
    clock.advance(40)
    confirmed = caps.confirm("u", "c", "l1")
    clock.advance(59.999)

    assert confirmed
    assert ("in_time", False, 1, 1, 60) == (
        confirmed.reason,
        confirmed.over_cap,
        confirmed.count,
        confirmed.limit,
        confirmed.window,
    )
    assert not caps.peek("u", "c", 1, 60)
    clock.advance(0.001)
    assert caps.peek("u", "c", 1, 60)


def test_a_confirmed_lease_counts_in_all_its_windows(cache):
    """Once in each window, and the place is not held any more."""
    caps = FrequencyCapManager(cache)
    caps.lease("u", {"c": [Cap(3, 60), Cap(5, DAY)]}, "l1")
    caps.confirm("u", "c", "l1")
    key = cache.get_key("frequency_cap", user_id="u")

    assert [1, 1] == [count(caps, window=window) for window in (60, DAY)]
    assert {"c:60", "c:86400"} == set(cache.redis_client.hkeys(key))


def test_a_lease_ends_to_the_millisecond(timed_cache, clock):
    """One ms before its end the place is taken, at its end it is free."""
    caps = FrequencyCapManager(timed_cache)
    caps.lease("u", {"c": ONE}, "l1", ttl=timedelta(seconds=10))
    clock.advance(9.999)
    refused = caps.check_frequency_cap("u", "c", 1, 60)
    looked = caps.peek("u", "c", 1, 60)
    again = caps.lease("u", {"c": ONE}, "l2")["c"]

    assert [0.001] * 3 == [d.retry_after for d in (refused, looked, again)]
    assert "capped" == again.reason
    clock.advance(0.001)
    assert caps.peek("u", "c", 1, 60)
    assert caps.lease("u", {"c": ONE}, "l2")["c"]


def test_two_imps_of_a_request_share_a_lease(timed_cache, clock):
    """The same id is granted again, takes one place, and keeps its first end."""
    caps = FrequencyCapManager(timed_cache)
    first = caps.lease("u", {"c": ONE}, "l1", ttl=10)["c"]
    clock.advance(5)
    second = caps.lease("u", {"c": ONE}, "l1", ttl=10)["c"]

    assert first == second
    assert 1 == count(caps)
    clock.advance(5)
    assert 0 == count(caps)


def test_a_lease_that_ended_can_be_taken_again(timed_cache, clock):
    """The id then needs a free place like any other."""
    caps = FrequencyCapManager(timed_cache)
    caps.lease("u", {"c": ONE}, "l1", ttl=10)
    clock.advance(10)
    caps.lease("u", {"c": ONE}, "l2", ttl=10)

    assert not caps.lease("u", {"c": ONE}, "l1")["c"]
    clock.advance(10)
    assert caps.lease("u", {"c": ONE}, "l1")["c"]
    assert "in_time" == caps.confirm("u", "c", "l1").reason


def test_duplicate_notices_count_once(cache):
    """Two billing notices are one impression; two losses give back one place."""
    caps = FrequencyCapManager(cache)
    for lease in ("won", "lost"):
        caps.lease("u", {"c": [Cap(5, 60)]}, lease)
    confirmed = [caps.confirm("u", "c", "won") for _ in range(3)]
    released = [caps.release("u", "c", "lost") for _ in range(3)]

    assert [True, False, False] == [bool(each) for each in confirmed]
    assert ["in_time", "duplicate", "duplicate"] == [c.reason for c in confirmed]
    assert [True, False, False] == released
    assert 1 == count(caps)


def test_a_release_after_the_impression_changes_nothing(cache):
    """A loss notice that contradicts the billing is not believed."""
    caps = FrequencyCapManager(cache)
    caps.lease("u", {"c": ONE}, "l1")
    caps.confirm("u", "c", "l1")

    assert not caps.release("u", "c", "l1")
    assert 1 == count(caps)
    assert "duplicate" == caps.confirm("u", "c", "l1").reason


def test_an_impression_after_the_release_is_counted(cache):
    """It happened: it is counted once, and the answer tells that it came back."""
    caps = FrequencyCapManager(cache)
    caps.lease("u", {"c": ONE}, "l1")
    caps.release("u", "c", "l1")
    told = [caps.confirm("u", "c", "l1") for _ in range(2)]

    assert [("released", True), ("duplicate", False)] == [
        (each.reason, each.counted) for each in told
    ]
    assert 1 == count(caps)


def test_a_late_impression_is_counted_over_the_cap(timed_cache, clock):
    """Another took the place meanwhile: both count, and the answer says so."""
    caps = FrequencyCapManager(timed_cache)
    caps.lease("u", {"c": ONE}, "l1", ttl=10)
    clock.advance(10)
    caps.check_frequency_cap("u", "c", 1, 60)
    late = caps.confirm("u", "c", "l1")

    assert late
    assert ("late", True, 2, 1) == (late.reason, late.over_cap, late.count, late.limit)
    clock.advance(60)
    caps.lease("u", {"c": ONE}, "l2", ttl=10)
    clock.advance(10)
    assert not caps.confirm("u", "c", "l2").over_cap


def test_a_late_impression_may_find_its_place_leased(timed_cache, clock):
    """An open lease of another bid counts as taken."""
    caps = FrequencyCapManager(timed_cache)
    caps.lease("u", {"c": ONE}, "l1", ttl=10)
    clock.advance(10)
    caps.lease("u", {"c": ONE}, "l2", ttl=10)

    assert caps.confirm("u", "c", "l1").over_cap
    assert caps.confirm("u", "c", "l2").over_cap
    assert 2 == count(caps)


def test_an_unknown_lease_counts_only_with_its_caps(cache):
    """After a loss of data the notice's own caps let the impression count, once."""
    caps = FrequencyCapManager(cache)
    unknown = caps.confirm("u", "c", "l1")

    assert not unknown
    assert "unknown" == unknown.reason
    assert [] == all_keys(cache)
    told = [caps.confirm("u", "c", "l1", caps=ONE) for _ in range(2)]
    assert ["unlisted", "duplicate"] == [each.reason for each in told]
    assert 1 == count(caps)
    assert not caps.release("u", "c", "never leased")


def test_the_caps_of_the_bid_decide_at_the_confirm(cache):
    """Caps that come with the notice are for a lease that nobody knows."""
    caps = FrequencyCapManager(cache)
    caps.lease("u", {"c": ONE}, "l1")
    caps.confirm("u", "c", "l1", caps=[Cap(9, DAY)])

    assert 1 == count(caps)
    assert 0 == count(caps, window=DAY)


def test_a_released_lease_is_not_granted_again(cache):
    """A bid that comes after its own loss would show an ad that nobody counts."""
    caps = FrequencyCapManager(cache)
    caps.lease("u", {"c": ONE}, "l1")
    caps.release("u", "c", "l1")
    again = caps.lease("u", {"c": ONE}, "l1")["c"]

    assert not again
    assert ("released", None) == (again.reason, again.retry_after)
    assert 0 == count(caps)


def test_a_counted_lease_is_answered_as_before_and_takes_nothing(cache):
    """The retry of a bid whose ad was seen already is the same impression."""
    caps = FrequencyCapManager(cache)
    caps.lease("u", {"c": ONE}, "l1")
    caps.confirm("u", "c", "l1")

    assert caps.lease("u", {"c": ONE}, "l1")["c"]
    assert 1 == count(caps)


def test_a_suppressed_user_gets_no_lease(cache):
    """Nothing is granted, nothing written, whatever is asked."""
    caps = FrequencyCapManager(cache)
    flag = cache.get_key("user_suppressed", user_id="u")
    cache.redis_client.set(flag, "1", ex=60)
    refused = caps.lease("u", {"c": ONE, "d": ONE}, "l1")
    confirmed = caps.confirm("u", "c", "l1", caps=ONE)

    assert [("suppressed", False, None)] * 2 == [
        (d.reason, d.allowed, d.retry_after) for d in refused.values()
    ]
    assert [None] == caps.lease_best("u", [[("c", ONE), ("d", ())]], "l1")
    assert ("suppressed", False) == (confirmed.reason, confirmed.counted)
    assert [flag] == all_keys(cache)
    assert caps.lease("v", {"c": ONE}, "l1")["c"]


def test_a_suppression_between_bid_and_billing_is_kept(cache):
    """What comes after it changes nothing, not even the count."""
    caps = FrequencyCapManager(cache)
    caps.lease("u", {"c": ONE}, "l1")
    cache.redis_client.set(cache.get_key("user_suppressed", user_id="u"), "1", ex=60)

    assert "suppressed" == caps.confirm("u", "c", "l1").reason
    assert "suppressed" == caps.lease("u", {"c": ONE}, "l1")["c"].reason


def test_the_best_allowed_campaign_is_leased(cache):
    """In order of the list, passing over what is capped, in one trip."""
    caps = FrequencyCapManager(cache)
    caps.check_frequency_cap("u", "tea", 1, 60)
    trips = []
    choice = [("tea", ONE), ("milk", [Cap(0, 60)]), ("cake", ONE), ("jam", ONE)]
    caps.lease_best("u", [[("x", ONE)]], "l0")  # now the server has the script
    cache.wire.observer = lambda pairs, _: trips.append(pairs)
    chosen = caps.lease_best("u", [choice], "l1")
    cache.wire.observer = None

    assert ["cake"] == chosen
    assert 1 == len(trips)
    assert [1, 0] == [count(caps, name) for name in ("cake", "jam")]


def test_two_imps_get_different_campaigns_if_they_can(cache):
    """A campaign is shown in two imps only if nothing else is allowed."""
    caps = FrequencyCapManager(cache)
    both = [("tea", ONE), ("cake", ONE)]

    assert ["tea", "cake", "tea"] == caps.lease_best("u", [both] * 3, "l1")
    assert [1, 1] == [count(caps, name) for name in ("tea", "cake")]
    assert [None, None] == caps.lease_best("u", [both] * 2, "l2")
    assert caps.confirm("u", "tea", "l1")
    assert not caps.confirm("u", "tea", "l1")


def test_a_choice_may_be_empty_or_without_caps(cache):
    """No campaign is None; a campaign without caps is allowed and holds nothing."""
    caps = FrequencyCapManager(cache)
    free = [("house", []), ("tea", ONE)]

    assert [None, "house", "tea", None] == caps.lease_best(
        "u", [[], free, free, []], "l1"
    )
    assert [] == caps.lease_best("u", [], "l1")
    assert [None] == caps.lease_best("u", [[]], "l1")
    assert {} == caps.lease("u", {}, "l1")
    assert "unknown" == caps.confirm("u", "house", "l1").reason


def test_a_retried_choice_is_answered_alike(timed_cache, clock):
    """What the lease holds comes first, also when something better came free."""
    caps = FrequencyCapManager(timed_cache)
    caps.check_frequency_cap("u", "best", 1, 5)
    choices = [[("best", [Cap(1, 5)]), ("tea", ONE)], [("tea", ONE), ("cake", ONE)]]
    first = caps.lease_best("u", choices, "l1", ttl=60)
    clock.advance(5)

    assert ["tea", "cake"] == first
    assert first == caps.lease_best("u", choices, "l1", ttl=60)
    assert 0 == count(caps, "best", window=5)


def test_lost_replies_are_repeated_without_harm(own_server):
    """Cut after the server's work, each call of a bid's life is simply repeated."""
    proxy = Proxy(own_server.port)
    cache = connect(proxy.url, config=CacheConfig(retry_on_timeout=True))
    caps = FrequencyCapManager(cache)
    two = [Cap(2, 60)]
    for lease in ("warm", "won", "lost"):
        proxy.lose(lease != "warm")
        assert caps.lease("u", {"c": two, "d": two}, lease, 600)["d"]
        caps.release("u", "c", "warm")
        caps.release("u", "d", "warm")
    proxy.lose(1)
    caps.confirm("u", "c", "won")
    proxy.lose(1)
    caps.release("u", "c", "lost")
    seen = FrequencyCapManager(connect(own_server.url))

    assert (1, 2) == (count(seen, "c"), count(seen, "d"))
    key = cache.get_key("frequency_cap", user_id="u")
    assert {"c:60", "d~leases"} == set(connect(own_server.url).redis_client.hkeys(key))
    proxy.close()


def test_without_leave_to_repeat_the_caller_does(own_server):
    """The library repeats nothing by itself unless it was told so."""
    proxy = Proxy(own_server.port)
    caps = FrequencyCapManager(connect(proxy.url))
    caps.lease("other", {"c": ONE}, "l1")
    proxy.lose(1)
    with pytest.raises(RedisUnavailable):
        caps.lease("u", {"c": ONE}, "l1")

    assert caps.lease("u", {"c": ONE}, "l1")["c"]
    assert 1 == count(caps)
    proxy.close()


def test_leases_share_a_trip_with_other_questions(cache):
    """Each call also comes as a question, so that it costs no trip of its own."""
    caps = FrequencyCapManager(cache)
    caps.lease("u", {"c": ONE, "d": ONE}, "l1")
    answers = cache.wire.trip(
        [
            caps.ask_lease("u", {"e": ONE}, "l1"),
            caps.ask_lease_best("v", [[("c", ONE)]], "l2"),
            caps.ask_confirm("u", "c", "l1"),
            caps.ask_release("u", "d", "l1"),
            caps.ask_peek("u", {"c": ONE, "d": ONE}),
        ]
    )

    assert answers[0]["e"]
    assert ["c"] == answers[1]
    assert "in_time" == answers[2].reason
    assert True is answers[3]
    assert {"c": False, "d": True} == {k: bool(v) for k, v in answers[4].items()}


def test_records_live_as_long_as_notices_may_come(cache):
    """A lease's for its ttl and the horizon; a count's for its longest window."""
    caps = FrequencyCapManager(cache, notice_horizon=200)
    for lease in ("open", "short", "long", "lost"):
        both = {"c": [Cap(9, 60)], "d": [Cap(9, 60), Cap(9, DAY)]}
        caps.lease("u", both, lease, ttl=100)
    caps.confirm("u", "c", "short")
    caps.confirm("u", "d", "long")
    caps.release("u", "c", "lost")

    def lives(lease):
        key = cache.get_key("frequency_lease", user_id="u", lease_id=lease)
        return round(cache.redis_client.pttl(key) / 1000, -1)

    assert [300, 300, DAY, 300] == [lives(n) for n in ("open", "short", "long", "lost")]
    hash_key = cache.get_key("frequency_cap", user_id="u")
    assert DAY - 5 < cache.redis_client.pttl(hash_key) / 1000 <= DAY


def test_the_hash_lives_as_long_as_its_leases(cache):
    """A lease keeps the user's hash alive, and shortens no life."""
    caps = FrequencyCapManager(cache)
    key = cache.get_key("frequency_cap", user_id="u")
    caps.lease("u", {"c": ONE}, "l1", ttl=100)
    assert 95_000 < cache.redis_client.pttl(key) <= 100_000
    caps.lease("u", {"d": ONE}, "l1", ttl=5)
    assert 95_000 < cache.redis_client.pttl(key) <= 100_000
    assert [True, True] == [caps.release("u", name, "l1") for name in "cd"]
    assert not cache.redis_client.exists(key)


def test_hostile_ids_are_kept_apart(cache):
    """Users, campaigns and leases with odd names share nothing."""
    caps = FrequencyCapManager(cache)
    wanted = dict.fromkeys(HOSTILE, (Cap(99, 60),))
    for user in HOSTILE:
        for lease in HOSTILE:
            assert all(caps.lease(user, wanted, lease).values())
    assert {len(HOSTILE)} == {
        count(caps, c, 99, user=u) for u in HOSTILE for c in HOSTILE
    }
    for user in HOSTILE[:3]:
        assert caps.release(user, HOSTILE[0], HOSTILE[1])
        assert "in_time" == caps.confirm(user, HOSTILE[0], HOSTILE[2]).reason
        assert not caps.confirm(user, HOSTILE[0], HOSTILE[2])
    left = {u: count(caps, HOSTILE[0], 99, user=u) for u in HOSTILE}
    assert [len(HOSTILE) - 1] * 3 + [len(HOSTILE)] * (len(HOSTILE) - 3) == [
        *left.values()
    ]


@pytest.mark.parametrize("bad", ["", None, 7, b"u"])
def test_a_bad_id_is_refused_before_anything_is_written(cache, bad):
    """Empty and non-text ids are a ValueError in every place."""
    caps = FrequencyCapManager(cache)
    for user, campaign, lease in (bad, "c", "l"), ("u", bad, "l"), ("u", "c", bad):
        for call in (
            lambda ids: caps.lease(ids[0], {ids[1]: ONE}, ids[2]),
            lambda ids: caps.lease_best(ids[0], [[("a", ONE), (ids[1], ONE)]], ids[2]),
            lambda ids: caps.confirm(*ids, caps=ONE),
            lambda ids: caps.release(*ids),
        ):
            with pytest.raises(InvalidValue, match="_id must"):
                call((user, campaign, lease))

    assert [] == all_keys(cache)


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), None, "60"])
def test_a_bad_time_is_refused_before_anything_is_written(cache, bad):
    """The error names the value."""
    caps = FrequencyCapManager(cache)
    with pytest.raises(InvalidValue, match="ttl must"):
        caps.lease("u", {"c": ONE}, "l1", ttl=bad)
    with pytest.raises(InvalidValue, match="notice_horizon must"):
        FrequencyCapManager(cache, notice_horizon=bad)

    assert [] == all_keys(cache)


@pytest.mark.parametrize("choices", [["tea"], [[("tea",)]], [[("tea", 3)]], [["ab"]]])
def test_a_malformed_choice_is_refused(cache, choices):
    """The error shows what a choice looks like."""
    with pytest.raises(InvalidValue, match=r"Cap\(3, 3600\)"):
        FrequencyCapManager(cache).lease_best("u", choices, "l1")


@pytest.mark.parametrize("algorithm", ["sliding_counter", "sliding_log"])
def test_leases_are_for_fixed_windows(cache, algorithm):
    """The other algorithms say so."""
    caps = FrequencyCapManager(cache, algorithm)
    for call in (
        lambda: caps.lease("u", {"c": ONE}, "l1"),
        lambda: caps.lease_best("u", [[("c", ONE)]], "l1"),
        lambda: caps.confirm("u", "c", "l1"),
        lambda: caps.release("u", "c", "l1"),
    ):
        with pytest.raises(InvalidValue, match="'fixed'"):
            call()


def test_a_reset_forgets_the_leases_of_its_campaign_only(cache):
    """Also where another campaign's name looks like a field of leases."""
    caps = FrequencyCapManager(cache)
    names = ["c", "c~leases", "~end", "~x"]
    caps.lease("u", dict.fromkeys(names, ONE), "l1")
    assert caps.reset_frequency_cap("u", "c~leases")
    assert [1, 0, 1, 1] == [count(caps, name) for name in names]
    assert caps.reset_frequency_cap("u", "c")
    assert [0, 0, 1, 1] == [count(caps, name) for name in names]
    assert not caps.reset_frequency_cap("u", "c")


def test_a_reset_keeps_campaigns_whose_names_begin_with_a_tilde(cache):
    """They are no bookkeeping fields."""
    caps = FrequencyCapManager(cache)
    for name in ("~end", "c"):
        caps.check_frequency_cap("u", name, 1, 60)
    caps.reset_frequency_cap("u", "c")

    assert not caps.peek("u", "~end", 1, 60)


def test_a_robots_leases_do_not_grow_for_ever(cache):
    """Of one campaign 100 places are leased at most, whatever its cap."""
    caps = FrequencyCapManager(cache)
    wanted = {"c": [Cap(1_000_000, 60)]}
    questions = [caps.ask_lease("u", wanted, f"l{n}", 100 + n) for n in range(101)]
    granted = [answer["c"] for answer in cache.wire.trip(questions)]

    assert 100 == sum(map(bool, granted))
    assert ("capped", False) == (granted[-1].reason, granted[-1].allowed)
    assert 90 < granted[-1].retry_after <= 100
    assert caps.check_frequency_cap("u", "c", 1_000_000, 60)


def test_a_sweep_spares_open_leases(timed_cache, clock):
    """Among many fields, those of ended leases go and those of open ones stay."""
    caps = FrequencyCapManager(timed_cache)
    caps.lease("u", {"kept": [Cap(5, 60)]}, "short", ttl=5)
    caps.lease("u", {"kept": [Cap(5, 60)]}, "long", ttl=5000)
    caps.lease("u", {"kept": [Cap(5, 60)]}, "middle", ttl=50)
    for number in range(200):
        caps.lease("u", {f"c{number}": ONE}, f"l{number}", ttl=10)
        clock.advance(5)
    key = timed_cache.get_key("frequency_cap", user_id="u")

    assert timed_cache.redis_client.hlen(key) < 90
    assert 1 == count(caps, "kept")


def test_flushed_scripts_do_no_harm(cache):
    """SCRIPT FLUSH between the calls: each goes on."""
    caps = FrequencyCapManager(cache)
    for lease in ("won", "lost"):
        cache.redis_client.script_flush()
        assert caps.lease("u", {"c": [Cap(2, 60)]}, lease)["c"]
    cache.redis_client.script_flush()
    assert caps.confirm("u", "c", "won")
    cache.redis_client.script_flush()
    assert caps.release("u", "c", "lost")


def test_without_the_right_to_time_leases_stand_on_the_ttl(own_server):
    """Where TIME is denied, a lease holds, is confirmed, given back, and ends."""
    admin = connect(own_server.url)
    admin.wire.execute("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-time")
    caps = FrequencyCapManager(
        connect(own_server.url.replace("redis://", "redis://app:pw@"))
    )
    key = admin.get_key("frequency_cap", user_id="u")
    assert caps.lease("u", {"c": ONE}, "l1", ttl=100)["c"]
    assert not caps.lease("u", {"c": ONE}, "l2")["c"]
    assert caps.release("u", "c", "l1")
    assert caps.lease("u", {"c": ONE}, "l3", ttl=100)["c"]
    admin.redis_client.pexpire(key, 10_000)  # as if 90 s had passed
    refused = caps.lease("u", {"c": ONE}, "l4")["c"]
    assert 9 < refused.retry_after <= 10
    assert "in_time" == caps.confirm("u", "c", "l3").reason
    assert not FrequencyCapManager(admin).peek("u", "c", 1, 60)


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 4),
    seen=st.integers(0, 4),
    ttls=st.lists(st.integers(1, 12), max_size=5),
    length=st.integers(1, 12),
)
def test_retry_after_is_when_a_place_comes_free(limit, seen, ttls, length):
    """Whatever is counted and leased: until then no, from then on yes."""
    clock = ManualClock()
    cache = connect("fakeredis://", namespace="test-wait", clock=clock)
    caps = FrequencyCapManager(cache)
    caps.reset_frequency_cap("u", "c")
    cap = [Cap(limit, length)]
    for number, ttl in enumerate(ttls):
        caps.lease("u", {"c": cap}, f"{clock.now_ms()}-{number}", ttl)
    for _ in range(seen):
        caps.check_frequency_cap("u", "c", limit, length)
    looks = [caps.peek("u", "c", caps=cap), caps.peek("u", "c", limit, length)]
    short = caps.check_frequency_cap("u", "c", limit, length)
    while not short and short.retry_after:
        assert [short, short] == looks
        clock.advance(short.retry_after - 0.001)
        assert not caps.peek("u", "c", caps=cap)
        clock.advance(0.001)
        looks = [caps.peek("u", "c", caps=cap)] * 2
        assert looks[0]
        short = caps.check_frequency_cap("u", "c", limit, length)
        assert short
    caps.reset_frequency_cap("u", "c")
    for key in all_keys(cache):
        cache.redis_client.delete(key)


def test_racing_leases_and_checks_keep_the_cap(cache):
    """Of 8 threads that bid, win, lose and count, never more than the limit is out."""
    caps, limit = FrequencyCapManager(cache), 12
    shown, lock = [], threading.Lock()

    def serve(worker):
        mine = 0
        for number in range(12):
            lease = f"{worker}-{number}"
            if number % 4 == 3:
                mine += bool(caps.check_frequency_cap("u", "c", limit, 600))
            elif caps.lease("u", {"c": [Cap(limit, 600)]}, lease, 600)["c"]:
                if number % 2:
                    assert caps.release("u", "c", lease)
                else:
                    mine += bool(caps.confirm("u", "c", lease))
            assert caps.peek("u", "c", limit, 600).count <= limit
        with lock:
            shown.append(mine)

    threads = [threading.Thread(target=serve, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 8 == len(shown)
    assert limit == sum(shown) == count(caps, limit=limit, window=600)

"""Frequency caps, on every backend: what the seed's design gets wrong, right."""

import threading
import time
from datetime import timedelta

import pytest

from adcache import (
    AdCacheError,
    CacheConfig,
    Cap,
    FrequencyCapManager,
    InvalidValue,
    ManualClock,
    RedisUnavailable,
    connect,
)
from adcache.frequency import ALGORITHMS
from tests.conftest import all_keys
from tests.proxy import Proxy

HOSTILE = ["a:b", "{a}", "a b", "a\nb", "a|b", "~end", "a:3600000", "🦊", "\ud800", "%"]
HOUR, DAY = 3600, 86400


@pytest.fixture(params=ALGORITHMS)
def algorithm(request):
    """Each algorithm in turn."""
    return request.param


def test_the_limit_is_served_and_no_more(cache, algorithm):
    """Three impressions pass, the fourth is refused with the time to wait."""
    caps = FrequencyCapManager(cache, algorithm)
    decisions = [caps.check_frequency_cap("u", "c", 3, HOUR) for _ in range(4)]

    assert [True, True, True, False] == [bool(each) for each in decisions]
    assert [1, 2, 3, 3] == [each.count for each in decisions]
    assert [2, 1, 0, 0] == [each.remaining for each in decisions]
    assert [0, 0, 0] == [each.retry_after for each in decisions[:3]]
    assert HOUR - 5 < decisions[3].retry_after < 2 * HOUR


def test_the_defaults_are_three_a_day(timed_cache, clock):
    """Without arguments the cap is 3 in 86400 seconds, as in the seed."""
    caps = FrequencyCapManager(timed_cache)
    served = [bool(caps.check_frequency_cap("u", "c")) for _ in range(4)]
    clock.advance(DAY)

    assert [True, True, True, False] == served
    assert caps.check_frequency_cap("u", "c")


def test_a_window_is_not_renewed(timed_cache, clock):
    """It ends a window's length after the first impression, however often seen."""
    caps = FrequencyCapManager(timed_cache)
    for _ in range(5):
        caps.check_frequency_cap("u", "c", 3, HOUR)
        clock.advance(HOUR / 6)

    refused = caps.check_frequency_cap("u", "c", 3, HOUR)
    assert not refused
    assert HOUR / 6 == refused.retry_after
    clock.advance(refused.retry_after)
    assert caps.check_frequency_cap("u", "c", 3, HOUR)


def test_the_keys_ttl_is_not_renewed_either(cache):
    """On the server's clock too: a later impression leaves the TTL alone."""
    caps = FrequencyCapManager(cache)
    key = cache.get_key("frequency_cap", user_id="u", campaign_id="c")
    caps.check_frequency_cap("u", "c", 5, 100)
    cache.redis_client.pexpire(key, 40_000)  # as if a minute had passed
    caps.check_frequency_cap("u", "c", 5, 100)

    assert 39_000 < cache.redis_client.pttl(key) <= 40_000


def test_a_short_window_does_not_shorten_the_hash(cache):
    """A second cap of 5 s leaves the hash the day that the first one needs."""
    caps = FrequencyCapManager(cache)
    key = cache.get_key("frequency_cap", user_id="u")
    caps.check_frequency_cap("u", "long", 1, DAY)
    caps.check_frequency_cap("u", "short", 1, 5)
    caps.check_frequency_cap("u", "both", caps=[Cap(1, 5), Cap(1, 60)])

    assert DAY * 1000 - 5_000 < cache.redis_client.pttl(key) <= DAY * 1000


def test_a_count_is_remembered_for_its_window_and_a_refusal_a_minute(cache, algorithm):
    """The records of impression ids live as long as their answers matter."""
    caps = FrequencyCapManager(cache, algorithm)
    for impression in ("counted", "refused"):
        caps.check_frequency_cap("u", "c", 1, DAY, impression_id=impression)
    ids = {"user_id": "u", "campaign_id": "c"}
    counted, refused = (
        cache.redis_client.pttl(
            cache.get_key("frequency_impression", impression_id=impression, **ids)
        )
        for impression in ("counted", "refused")
    )

    assert DAY * 1000 - 5_000 < counted <= DAY * 1000
    assert 55_000 < refused <= 60_000


def test_one_ms_decides(timed_cache, clock, algorithm):
    """A window of 10 s refuses at 9.999 s and, when it has passed, allows."""
    caps = FrequencyCapManager(timed_cache, algorithm)
    caps.check_frequency_cap("u", "c", 1, 10)
    clock.advance(9.999)
    refused = caps.check_frequency_cap("u", "c", 1, 10)
    clock.advance(refused.retry_after - 0.001)

    assert not refused
    assert not caps.peek("u", "c", 1, 10) or algorithm == "sliding_counter"
    clock.advance(0.001)
    assert caps.check_frequency_cap("u", "c", 1, 10)


@pytest.mark.parametrize("name", ["fixed", "sliding_log"])
def test_what_is_over_is_not_counted(timed_cache, clock, name):
    """Exactly a window after an impression it is gone from the count."""
    caps, both = FrequencyCapManager(timed_cache, name), [Cap(5, 10), Cap(9, 60)]
    caps.check_frequency_cap("u", "c", caps=both)
    clock.advance(9.999)
    assert 1 == caps.peek("u", "c", caps=both[:1]).count
    clock.advance(0.001)
    assert 0 == caps.peek("u", "c", caps=both[:1]).count
    assert 1 == caps.check_frequency_cap("u", "c", caps=both).count


def test_retry_after_is_when_it_opens(timed_cache, clock, algorithm):
    """Waiting exactly retry_after is enough, whatever came before."""
    caps = FrequencyCapManager(timed_cache, algorithm)
    for pause in (0, 1, 4, 2, 0, 3, 9, 0, 0.5, 2.25):
        clock.advance(pause)
        decision = caps.check_frequency_cap("u", "c", 2, 5)
        if not decision:
            assert decision.retry_after > 0
            clock.advance(decision.retry_after)
            assert caps.check_frequency_cap("u", "c", 2, 5)


def test_a_fixed_window_lets_2n_minus_1_into_its_length(timed_cache, clock):
    """One early, n - 1 just before the end, n after it: the worst case is 2n - 1."""
    caps = FrequencyCapManager(timed_cache)
    times = []
    for wait, tries in ((0, 1), (9.999, 9), (0.001, 10)):
        clock.advance(wait)
        for _ in range(tries):
            if caps.check_frequency_cap("u", "c", 5, 10):
                times.append(clock.now_ms())
    busiest = max(sum(t <= x < t + 10_000 for x in times) for t in times)

    assert 9 == busiest


def test_a_sliding_log_never_exceeds_its_limit(timed_cache, clock):
    """However the impressions fall, no window's length holds more than the limit."""
    caps = FrequencyCapManager(timed_cache, "sliding_log")
    times = []
    for wait in (0, 9.9, 0.05, 0.05, 3, 1, 6, 0, 0.1, 9.89, 0.01):
        clock.advance(wait)
        for _ in range(6):
            if caps.check_frequency_cap("u", "c", 5, 10):
                times.append(clock.now_ms())
    busiest = max(sum(t <= x < t + 10_000 for x in times) for t in times)

    assert 5 == busiest


def test_several_caps_count_all_or_nothing(timed_cache, clock, algorithm):
    """3 an hour and 4 a day: what one cap refuses counts in none."""
    caps = FrequencyCapManager(timed_cache, algorithm)
    both = [Cap(3, HOUR), Cap(4, timedelta(days=1))]
    served = [bool(caps.check_frequency_cap("u", "c", caps=both)) for _ in range(5)]
    clock.advance(2 * HOUR)
    fourth = caps.check_frequency_cap("u", "c", caps=both)
    fifth = caps.check_frequency_cap("u", "c", caps=both)

    assert [True, True, True, False, False] == served
    assert fourth
    assert (4, DAY) == (fifth.limit, fifth.window)
    assert 4 == caps.peek("u", "c", caps=[Cap(4, DAY)]).count


def test_of_two_limits_in_one_window_the_lower_counts(cache):
    """Two caps over the same window are one cap, counted once."""
    caps = FrequencyCapManager(cache)
    both = [Cap(5, 60), Cap(2, 60)]
    served = [bool(caps.check_frequency_cap("u", "c", caps=both)) for _ in range(3)]

    assert [True, True, False] == served
    assert 2 == caps.peek("u", "c", 5, 60).count


def test_peek_counts_nothing(cache, algorithm):
    """Looking changes no count, and creates no key."""
    caps = FrequencyCapManager(cache, algorithm)
    looks = [caps.peek("u", "c", 1, 60) for _ in range(3)]

    assert [0, 0, 0] == [look.count for look in looks]
    assert [] == all_keys(cache)
    assert caps.check_frequency_cap("u", "c", 1, 60)
    assert not caps.peek("u", "c", 1, 60)


def test_each_of_many_campaigns_is_told_its_own_wait(timed_cache, clock):
    """Also when all their windows are open already: looked at, counted, refused."""
    caps = FrequencyCapManager(timed_cache)
    wanted = {"a": [Cap(2, HOUR)], "b": [Cap(5, DAY)], "never": [Cap(0, HOUR)]}
    first = caps.check_many("u", wanted)
    clock.advance(600)
    del wanted["never"]
    answers = [
        caps.peek_many("u", wanted),
        caps.check_many("u", wanted),
        caps.check_many("u", wanted),
        caps.peek_many("u", wanted),
    ]

    assert [True, True, False] == [bool(first[name]) for name in first]
    assert [1, 2, 2, 2] == [each["a"].count for each in answers]
    assert [1, 2, 3, 3] == [each["b"].count for each in answers]
    assert [0, 0, HOUR - 600, HOUR - 600] == [each["a"].retry_after for each in answers]
    assert [0] * 4 == [each["b"].retry_after for each in answers]
    clock.advance(HOUR - 600)
    assert 1 == caps.check_many("u", wanted)["a"].count


def test_windows_that_stand_on_the_ttl_do_so_for_everybody(own_server):
    """Where one server may not ask for TIME, the others read the hash's clock, too."""
    admin = connect(own_server.url)
    admin.wire.execute("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-time")
    app = connect(own_server.url.replace("redis://", "redis://app:pw@"))
    caps = {"a": [Cap(1, 100)], "b": [Cap(3, 100)]}
    FrequencyCapManager(app).check_many("u", caps)
    key = admin.get_key("frequency_cap", user_id="u")
    admin.redis_client.pexpire(key, 10_000)  # as if 90 s had passed
    told = [FrequencyCapManager(c).check_many("u", caps) for c in (admin, app)]

    assert [2, 3] == [each["b"].count for each in told]
    assert all(9 < each["a"].retry_after <= 10 for each in told)


def test_many_campaigns_take_one_trip(cache, algorithm):
    """Each campaign is judged by its own caps; the server is asked once."""
    caps = FrequencyCapManager(cache, algorithm)
    caps.check_many("u", {"seen": [Cap(1, 60)]})  # now the server has the script
    trips = []
    cache.wire.observer = lambda pairs, _: trips.append(pairs[0][0][0])
    wanted = {
        "seen": [Cap(1, 60)],
        "new": [Cap(1, 60), Cap(5, DAY)],
        "off": [Cap(0, 9)],
    }
    decisions = caps.check_many("u", wanted)
    looks = caps.peek_many("u", ["seen", "new"], 1, 60)
    cache.wire.observer = None

    assert ["EVALSHA", "EVALSHA"] == trips
    assert [False, True, False] == [bool(each) for each in decisions.values()]
    assert {"seen": False, "new": False} == {k: bool(v) for k, v in looks.items()}
    assert {} == caps.peek_many("u", [])


def test_limit_zero_serves_nobody(cache, algorithm):
    """A limit of 0 is legal, refuses, and says that waiting does not help."""
    refused = FrequencyCapManager(cache, algorithm).check_frequency_cap("u", "c", 0, 60)

    assert not refused
    assert None is refused.retry_after
    assert [] == all_keys(cache)


def test_a_million_is_a_legal_limit(cache):
    """Limits and counts go up to a million."""
    caps = FrequencyCapManager(cache)
    key = cache.get_key("frequency_cap", user_id="u")
    caps.check_frequency_cap("u", "c", 1_000_000, DAY)
    ((field, state),) = cache.redis_client.hgetall(key).items()
    cache.redis_client.hset(key, field, "999999" + state[-15:])

    assert 1_000_000 == caps.check_frequency_cap("u", "c", 1_000_000, DAY).count
    assert not caps.check_frequency_cap("u", "c", 1_000_000, DAY)


def test_fractions_of_a_second_work(timed_cache, clock, algorithm):
    """A window may be a quarter of a second, as a float or a timedelta."""
    caps = FrequencyCapManager(timed_cache, algorithm)
    assert caps.check_frequency_cap("u", "c", 1, 0.25)
    assert not caps.check_frequency_cap("u", "c", 1, timedelta(milliseconds=250))
    clock.advance(0.5)
    assert caps.check_frequency_cap("u", "c", 1, 0.25)


@pytest.mark.parametrize(
    ("limit", "window"),
    [
        (-1, 60),
        (1.5, 60),
        (True, 60),
        ("3", 60),
        (None, 60),
        (1_000_001, 60),
        (float("nan"), 60),
        (3, 0),
        (3, -1),
        (3, float("nan")),
        (3, float("inf")),
        (3, "60"),
        (3, None),
        (3, timedelta(0)),
    ],
)
def test_a_bad_cap_is_refused_before_anything_is_written(cache, limit, window):
    """The error names the value; no key appears."""
    caps = FrequencyCapManager(cache)
    bad = window if limit == 3 else limit
    for call in (caps.check_frequency_cap, caps.peek):
        with pytest.raises(ValueError, match="must be") as error:
            call("u", "c", limit, window)
        assert repr(bad) in str(error.value)
        assert isinstance(error.value, AdCacheError)
    with pytest.raises(InvalidValue):
        Cap(limit, window)

    assert [] == all_keys(cache)


@pytest.mark.parametrize("bad", ["", None, 7, b"u"])
def test_a_bad_id_is_refused_before_anything_is_written(cache, bad):
    """Empty and non-text ids are a ValueError in every place."""
    caps = FrequencyCapManager(cache)
    for ids in ((bad, "c"), ("u", bad)):
        for call in (caps.check_frequency_cap, caps.peek, caps.reset_frequency_cap):
            with pytest.raises(ValueError, match=r"(user|campaign)_id must"):
                call(*ids)
    if bad is not None:
        with pytest.raises(ValueError, match="impression_id must"):
            caps.check_frequency_cap("u", "c", impression_id=bad)

    assert [] == all_keys(cache)


def test_an_unknown_algorithm_lists_the_known_ones(cache):
    """A misspelt algorithm is a ValueError."""
    with pytest.raises(ValueError, match="fixed, sliding_counter, sliding_log"):
        FrequencyCapManager(cache, "leaky")


def test_hostile_ids_are_kept_apart(cache, algorithm):
    """Every pair of odd ids has a count of its own."""
    caps = FrequencyCapManager(cache, algorithm)
    pairs = [(user, campaign) for user in HOSTILE for campaign in HOSTILE]
    first = [bool(caps.check_frequency_cap(*pair, 1, 60)) for pair in pairs]
    second = [bool(caps.check_frequency_cap(*pair, 1, 60)) for pair in pairs]

    assert {True} == set(first)
    assert {False} == set(second)
    assert caps.check_frequency_cap("a:b", "c", 1, 60)
    assert caps.check_frequency_cap("a", "b:c", 1, 60)


def test_hostile_impression_ids_are_kept_apart(cache, algorithm):
    """A retry is recognised by the whole id."""
    caps = FrequencyCapManager(cache, algorithm)
    for impression_id in HOSTILE:
        for _ in range(2):
            caps.check_frequency_cap("u", "c", 100, 60, impression_id=impression_id)

    assert len(HOSTILE) == caps.peek("u", "c", 100, 60).count
    assert all(caps.refund("u", "c", impression_id) for impression_id in HOSTILE)
    assert 0 == caps.peek("u", "c", 100, 60).count


def test_a_retry_is_answered_as_the_first_call_was(timed_cache, clock, algorithm):
    """With an impression id a repeated call counts nothing and says the same."""
    caps = FrequencyCapManager(timed_cache, algorithm)
    ask = caps.check_frequency_cap
    first = [ask("u", "c", 2, 60, impression_id=f"i{n}") for n in range(3)]
    clock.advance(1)
    again = [ask("u", "c", 2, 60, impression_id=f"i{n}") for n in range(3)]

    assert [True, True, False] == [bool(each) for each in first]
    assert first == again
    assert 2 == caps.peek("u", "c", 2, 60).count


def test_the_same_impression_of_another_campaign_counts(cache, algorithm):
    """An impression id is known per user and campaign."""
    caps = FrequencyCapManager(cache, algorithm)
    wanted = {"c": [Cap(1, 60)], "d": [Cap(1, 60)]}

    assert all(caps.check_many("u", wanted, impression_id="i").values())
    assert all(caps.check_many("u", wanted, impression_id="i").values())
    assert not any(caps.check_many("u", wanted, impression_id="j").values())
    assert caps.check_frequency_cap("v", "c", 1, 60, impression_id="i")


def test_a_refund_gives_back_once(cache, algorithm):
    """The count falls by one, in all caps; a second refund does nothing."""
    caps = FrequencyCapManager(cache, algorithm)
    both = [Cap(2, 60), Cap(5, 600)]
    for n in range(2):
        caps.check_frequency_cap("u", "c", caps=both, impression_id=f"i{n}")
    refused = caps.check_frequency_cap("u", "c", caps=both, impression_id="i9")

    assert not refused
    assert [True, False] == [caps.refund("u", "c", "i0") for _ in range(2)]
    assert [False, False] == [caps.refund("u", "c", i) for i in ("i9", "unknown")]
    assert [1, 1] == [caps.peek("u", "c", caps=[cap]).count for cap in both]
    assert caps.check_frequency_cap("u", "c", caps=both, impression_id="i3")


def test_a_late_retry_after_the_refund_is_refused(cache, algorithm):
    """Whoever asks again for a refunded impression must not show the ad uncounted."""
    caps = FrequencyCapManager(cache, algorithm)
    caps.check_frequency_cap("u", "c", 2, 60, impression_id="i")
    caps.refund("u", "c", "i")
    late = caps.check_frequency_cap("u", "c", 2, 60, impression_id="i")

    assert not late
    assert None is late.retry_after
    assert 0 == caps.peek("u", "c", 2, 60).count


def test_a_refund_leaves_the_next_window_alone(timed_cache, clock):
    """What was counted in a window that is over is not taken from the new one."""
    caps = FrequencyCapManager(timed_cache)
    long_and_short = [Cap(5, 10), Cap(5, 1000)]
    caps.check_frequency_cap("u", "c", caps=long_and_short, impression_id="old")
    clock.advance(11)
    caps.check_frequency_cap("u", "c", caps=long_and_short, impression_id="new")
    caps.refund("u", "c", "old")

    assert [1, 1] == [caps.peek("u", "c", caps=[cap]).count for cap in long_and_short]


def test_a_refund_in_the_next_half_of_a_sliding_counter(timed_cache, clock):
    """An impression that has become part of the previous window is given back there."""
    caps = FrequencyCapManager(timed_cache, "sliding_counter")
    caps.check_frequency_cap("u", "c", 5, 10, impression_id="old")
    clock.advance(10)
    caps.check_frequency_cap("u", "c", 5, 10, impression_id="new")

    assert 2 == caps.peek("u", "c", 5, 10).count
    caps.refund("u", "c", "old")
    assert 1 == caps.peek("u", "c", 5, 10).count


def test_reset_forgets_the_pair_and_no_other(cache, algorithm):
    """All windows of user and campaign are gone; neighbours stay."""
    caps = FrequencyCapManager(cache, algorithm)
    both = [Cap(1, 60), Cap(1, 600)]
    for campaign in ("c", "c:d", "cc"):
        caps.check_frequency_cap("u", campaign, caps=both)

    assert [True, False] == [caps.reset_frequency_cap("u", "c") for _ in range(2)]
    assert caps.check_frequency_cap("u", "c", caps=both)
    assert not caps.check_frequency_cap("u", "c:d", caps=both)
    assert not caps.check_frequency_cap("u", "cc", caps=both)


def test_reset_of_the_last_campaign_leaves_no_hash(cache, algorithm):
    """What is only bookkeeping goes with the last window."""
    caps = FrequencyCapManager(cache, algorithm)
    caps.check_frequency_cap("u", "c", 1, 60)
    caps.reset_frequency_cap("u", "c")

    assert [] == all_keys(cache)


def test_two_windows_of_a_sliding_log_share_it_safely(timed_cache, clock):
    """A short cap does not throw away what a long cap still counts."""
    caps = FrequencyCapManager(timed_cache, "sliding_log")
    caps.check_frequency_cap("u", "c", 2, 1000)
    clock.advance(500)
    caps.check_frequency_cap("u", "c", 9, 1)

    assert 2 == caps.peek("u", "c", 2, 1000).count


def test_a_users_hash_does_not_grow_for_ever(timed_cache, clock):
    """Fields of windows that are over are swept as new campaigns come."""
    caps = FrequencyCapManager(timed_cache)
    caps.check_frequency_cap("u", "long", 1, 10 * DAY)
    for number in range(400):
        caps.check_frequency_cap("u", f"c{number}", 1, 10)
        clock.advance(5)
    key = timed_cache.get_key("frequency_cap", user_id="u")

    assert timed_cache.redis_client.hlen(key) < 90
    assert not caps.peek("u", "long", 1, 10 * DAY)


@pytest.mark.parametrize("server", ["redis", "valkey-8.1", "cluster"])
def test_a_wrong_clock_of_one_bidder_opens_nothing(
    make_cache, server, algorithm, monkeypatch
):
    """A client whose clock is two windows ahead or behind is refused all the same."""
    caps = FrequencyCapManager(make_cache(server), algorithm)
    assert caps.check_frequency_cap("u", "c", 1, 60)
    true_time = time.time
    for shift in (120, -120):
        monkeypatch.setattr(time, "time", lambda shift=shift: true_time() + shift)
        assert not caps.check_frequency_cap("u", "c", 1, 60)


def test_threads_on_one_cache_share_the_limit(cache, algorithm):
    """Of 8 threads x 20 attempts at a limit of 50, exactly 50 are served."""
    caps = FrequencyCapManager(cache, algorithm)
    served: list[bool] = []

    def serve() -> None:
        served.extend(
            bool(caps.check_frequency_cap("u", "c", 50, 600)) for _ in range(20)
        )

    threads = [threading.Thread(target=serve) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 160 == len(served)
    assert 50 == sum(served)


def test_a_lost_reply_counts_once_with_an_id(own_server, algorithm):
    """Cut after the server's work, the retried impression is counted once."""
    proxy = Proxy(own_server.port)
    caps = FrequencyCapManager(connect(proxy.url), algorithm)
    caps.peek("u", "c", 5, 60)
    for number in range(3):
        proxy.lose(1)
        with pytest.raises(RedisUnavailable):
            caps.check_frequency_cap("u", "c", 5, 60, impression_id=f"i{number}")
        assert caps.check_frequency_cap("u", "c", 5, 60, impression_id=f"i{number}")

    assert 3 == caps.peek("u", "c", 5, 60).count


def test_retry_on_timeout_repeats_only_what_has_an_id(own_server):
    """With an id the library may retry by itself; without, the caller decides."""
    proxy = Proxy(own_server.port)
    cache = connect(proxy.url, config=CacheConfig(retry_on_timeout=True))
    caps = FrequencyCapManager(cache)
    caps.check_frequency_cap("someone else", "c", 5, 60)
    proxy.lose(1)
    assert caps.check_frequency_cap("u", "c", 5, 60, impression_id="i")
    proxy.lose(1)
    with pytest.raises(RedisUnavailable):
        caps.check_frequency_cap("u", "c", 5, 60)

    assert 2 == caps.peek("u", "c", 5, 60).count


def test_flushed_scripts_do_no_harm(cache, algorithm):
    """SCRIPT FLUSH between two calls: the second counts on."""
    caps = FrequencyCapManager(cache, algorithm)
    caps.check_frequency_cap("u", "c", 1, 60, impression_id="i")
    cache.redis_client.script_flush()

    assert not caps.check_frequency_cap("u", "c", 1, 60)
    cache.redis_client.script_flush()
    assert caps.refund("u", "c", "i")


def test_a_manual_clock_needs_no_waiting():
    """A day passes in a line, without a server."""
    clock = ManualClock()
    caps = FrequencyCapManager(connect("fakeredis://", namespace="test-m", clock=clock))
    assert caps.check_frequency_cap("u", "c", 1, DAY)
    clock.advance(DAY)

    assert caps.check_frequency_cap("u", "c", 1, DAY)

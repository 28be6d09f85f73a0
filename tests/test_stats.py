"""Statistics, on every backend: exact, once, by UTC days."""

import threading
import time
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from itertools import count, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adcache import (
    AdCacheError,
    CacheConfig,
    InvalidValue,
    ManualClock,
    PerformanceStatsCache,
    RedisUnavailable,
    connect,
    ratios,
)
from adcache.backends import LocalServer
from adcache.server_clock import ServerClock
from adcache.stats_days import day_of, start_ms
from tests.conftest import all_keys, need_binary
from tests.proxy import Proxy
from tests.test_attacks import LOST, until_answered
from tools.soak.lossy import LossyProxy

HOSTILE = ["a:b", "{a}", "a b", "a\nb", "a:micros", "07 clicks", "🦊", "\ud800", "%"]
DAY = 86_400
LAST_MS = datetime(2026, 3, 28, 23, 59, 59, 999_000, tzinfo=UTC)  # before a DST change
LARGEST = 2**53 - 1


def test_the_seeds_example_counts(cache):
    """100 impressions, 5 clicks, 12.5 spent: the day and the summary say so."""
    stats = PerformanceStatsCache(cache)
    stats.increment_stat("c", "impressions", 100)
    stats.increment_stat("c", "clicks", 5)
    stats.increment_stat("c", "cost", 12.5)

    assert {"impressions": 100, "clicks": 5, "cost": 12.5} == stats.get_daily_stats("c")
    summary = stats.get_campaign_summary("c", days=1)
    assert (100, 5, 0, 12.5, 0.0) == tuple(summary.values())[:5]
    assert (0.05, 0.0, 2.5, 0.0) == tuple(
        summary[name] for name in ("ctr", "cvr", "cpc", "roas")
    )


def test_one_more_is_the_default(cache):
    """Without a value a metric grows by one, and stays an int."""
    stats = PerformanceStatsCache(cache)
    assert stats.increment_stat("c", "clicks")
    assert stats.increment_stat("c", "clicks")

    assert "{'clicks': 2}" == str(stats.get_daily_stats("c"))
    assert "2" == str(stats.get_campaign_summary("c")["clicks"])


def test_nothing_counted_is_nothing(cache):
    """An unknown campaign has an empty day, a summary of zeros, no reach."""
    stats = PerformanceStatsCache(cache)

    assert {} == stats.get_daily_stats("c")
    assert {0} == set(stats.get_campaign_summary("c").values())
    assert 0 == stats.reach("c", 7)
    assert 60 == len(stats.minutes("c", "clicks"))
    assert [] == all_keys(cache)


def test_fractions_are_exact(cache):
    """0.1 + 0.2 is 0.3, ten thousand costs do not drift, Redis sees integers only."""
    stats = PerformanceStatsCache(cache)
    for value in (0.1, 0.2):
        stats.increment_stat("c", "cost", value)
        stats.increment_stat("c", "dwell", value)
    assert {"cost": 0.3, "dwell": 0.3} == stats.get_daily_stats("c")

    for _ in range(50):
        stats.record_event("d", {"cost": 0.0001, "revenue": 0.1, "dwell": 1})
    stats.increment_stat("d", "dwell", Decimal("0.000001"))
    assert {"cost": 0.005, "dwell": 50.000001, "revenue": 5.0} == (
        stats.get_daily_stats("d")
    )
    for key in all_keys(cache):
        assert all(v.lstrip("-").isdigit() for v in cache.redis_client.hvals(key))


def test_money_is_a_float_and_a_count_an_int(cache):
    """Whole costs come back as 12.0; whole counts, however given, as ints."""
    stats = PerformanceStatsCache(cache)
    whole = {"cost": 12, "clicks": Decimal(3), "views": 4.0, "calls": "5"}
    stats.record_event("c", whole)

    assert "{'calls': 5, 'clicks': 3, 'cost': 12.0, 'views': 4}" == str(
        stats.get_daily_stats("c")
    )


def test_corrections_take_away(cache):
    """A negative value is legal, and lowers the sum exactly."""
    stats = PerformanceStatsCache(cache)
    stats.record_event("c", {"clicks": 5, "cost": 0.3})
    stats.record_event("c", {"clicks": -7, "cost": -0.1, "dwell": "-0.5"})

    assert {"clicks": -2, "cost": 0.2, "dwell": -0.5} == stats.get_daily_stats("c")
    assert 0.0 == stats.get_campaign_summary("c")["cpc"]


def test_an_event_is_one_trip(cache):
    """Several metrics, the minute, the reach and the id: one wait for the network."""
    stats = PerformanceStatsCache(cache)
    stats.increment_stat("c", "clicks")  # the script and the time are known now
    trips = []
    cache.wire.observer = lambda pairs, _: trips.append(pairs[0][0][0])
    stats.record_event("c", {"impressions": 1, "cost": 0.002}, "e1", "ada")
    stats.get_campaign_summary("c")
    stats.get_daily_stats("c")
    stats.reach("c", 7)
    stats.minutes("c", "cost", 60)
    cache.wire.observer = None

    assert ["EVALSHA", "HMGET", "HGETALL", "PFCOUNT", "HMGET"] == trips


def test_a_question_shares_a_trip(cache):
    """`ask_event` is `record_event`, to be asked together with others."""
    stats = PerformanceStatsCache(cache)
    ask = stats.ask_event
    questions = [ask("c", {"clicks": 1}, "e"), ask("c", {"clicks": 1}, "e")]
    answers = cache.wire.trip(questions)

    assert [True, False] == [bool(answer) for answer in answers]
    assert "duplicate" == answers[1].reason
    assert {"clicks": 1} == stats.get_daily_stats("c")


def test_a_duplicate_counts_once(timed_cache, clock):
    """An id is known for the notice horizon, over midnight too, and per campaign."""
    clock.advance(DAY - 1)
    stats = PerformanceStatsCache(timed_cache)
    event = {"clicks": 1, "cost": 0.5}
    first = stats.record_event("c", event, event_id="e")
    clock.advance(2)
    again = stats.record_event("c", event, event_id="e", user_id="ada")
    other = stats.record_event("d", event, event_id="e")

    assert (True, "") == (bool(first), first.reason)
    assert (False, "duplicate") == (bool(again), again.reason)
    assert other
    assert {} == stats.get_daily_stats("c")
    assert event == stats.get_daily_stats("c", first.day)
    assert 0 == stats.reach("c", 2)


def test_an_id_is_remembered_as_long_as_told(cache):
    """The key of an event id lives for the notice horizon."""
    stats = PerformanceStatsCache(cache, notice_horizon=600)
    stats.record_event("c", {"clicks": 1}, event_id="e")
    key = cache.get_key("stats_event", campaign_id="c", event_id="e")

    assert 595_000 < cache.redis_client.pttl(key) <= 600_000


def test_hostile_names_are_kept_apart(cache):
    """Odd campaigns, metrics, event ids and users all count for themselves."""
    stats = PerformanceStatsCache(cache)
    metrics = {name: number for number, name in enumerate(HOSTILE, start=1)}
    for _ in range(2):
        for name in HOSTILE:
            stats.record_event("c", metrics, event_id=name, user_id=name)
        for campaign in HOSTILE:
            stats.record_event(campaign, {"clicks": 0.5}, event_id="e")

    nine = len(HOSTILE)
    assert {name: nine * number for name, number in metrics.items()} == (
        stats.get_daily_stats("c")
    )
    assert {0.5} == {stats.get_daily_stats(each)["clicks"] for each in HOSTILE}
    assert nine == stats.reach("c")
    assert nine * 5 == stats.minutes("c", "a:micros", 1)[0][1]


@pytest.mark.parametrize("name", ["cost", "cost:micros", "clicks:micros", "07 clicks"])
def test_no_metric_collides_with_an_internal_field(cache, name):
    """A metric called as a field is called is another field."""
    stats = PerformanceStatsCache(cache)
    stats.record_event("c", {name: 7, "clicks": 1, "revenue": 2.5})

    assert {name: 7, "clicks": 1, "revenue": 2.5} == stats.get_daily_stats("c")
    assert 1 == stats.get_campaign_summary("c")["clicks"]


def test_the_day_changes_at_midnight_utc(timed_cache, clock):
    """One ms before it is the old day, at it the new one, wherever people live."""
    timed_cache.clock = clock = ManualClock(LAST_MS)
    stats = PerformanceStatsCache(timed_cache)
    before = stats.record_event("c", {"clicks": 1})
    clock.advance(0.001)
    after = stats.record_event("c", {"clicks": 1})

    assert (date(2026, 3, 28), date(2026, 3, 29)) == (before.day, after.day)
    assert {"clicks": 1} == stats.get_daily_stats("c")
    assert [1, 2] == [stats.get_campaign_summary("c", days=n)["clicks"] for n in (1, 2)]
    assert [("23:59", 1), ("00:00", 1)] == [
        (f"{start:%H:%M}", value) for start, value in stats.minutes("c", "clicks", 2)
    ]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul", "America/New_York"])
def test_the_machines_time_zone_changes_nothing(timed_cache, monkeypatch, zone):
    """Around a change to summer time as well: days are UTC."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        timed_cache.clock = ManualClock(LAST_MS)
        stats = PerformanceStatsCache(timed_cache)
        stats.record_event("c", {"clicks": 1})
        naive = datetime.fromtimestamp(LAST_MS.timestamp())
        stats.record_event("c", {"clicks": 1}, at=naive)
        assert {"clicks": 2} == stats.get_daily_stats("c", "2026-03-28")
        assert {"clicks": 2} == stats.get_daily_stats("c", naive)
        assert 2 == stats.get_campaign_summary("c", 1)["clicks"]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_day_may_be_named_in_many_ways(timed_cache):
    """Text, date, aware datetimes of any offset: one UTC day."""
    stats = PerformanceStatsCache(timed_cache)
    ahead = timezone(timedelta(hours=9))
    days = [
        "2025-12-31",
        date(2025, 12, 31),
        datetime(2025, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        datetime(2026, 1, 1, 8, 59, tzinfo=ahead),
    ]
    for day in days:
        stats.increment_stat("c", "clicks", date=day)

    assert {4} == {stats.get_daily_stats("c", day)["clicks"] for day in days}
    assert {} == stats.get_daily_stats("c", datetime(2026, 1, 1, 9, tzinfo=ahead))


@pytest.mark.parametrize(
    "bad",
    [
        "today",
        "2026-02-31",
        "20260101",
        "2026-1-1",
        "2026-01-01T00:00",
        " 2026-01-01",
        "\u0662026-01-01",  # digits of another script
        "",
        0,
        1.5,
        True,
        b"2026-01-01",
        "2026-01-03",
        date(2126, 1, 1),
        datetime.max,
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=9))),
    ],
)
def test_a_bad_date_is_refused_before_anything_is_written(timed_cache, bad):
    """Also one in the future: it is 1 January 2026, and tomorrow is allowed."""
    stats = PerformanceStatsCache(timed_cache)
    for call in (
        lambda: stats.increment_stat("c", "clicks", date=bad),
        lambda: stats.record_event("c", {"clicks": 1}, at=bad),
        lambda: stats.get_daily_stats("c", bad),
    ):
        with pytest.raises(InvalidValue, match=r"(date|at) (must|is out)"):
            call()

    assert stats.increment_stat("d", "clicks", date="2026-01-02")
    assert not any("{c}" in key for key in all_keys(timed_cache))


@pytest.mark.parametrize(
    "bad",
    [
        float("nan"),
        float("inf"),
        float("-inf"),
        True,
        None,
        "",
        "much",
        "--5",
        "nan",
        [],
        2**53,
        -(2**53),
        1e16,
        1e308,
        10**400,
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        1e10 + 0.5,
        Fraction(1, 2),
    ],
)
def test_a_bad_value_is_refused_before_anything_is_written(cache, bad):
    """The error names the metric; its good neighbours are not counted either."""
    stats = PerformanceStatsCache(cache)
    for metric in ("clicks", "cost"):
        with pytest.raises(ValueError, match=metric) as error:
            stats.record_event("c", {"views": 1, metric: bad}, event_id="e")
        assert isinstance(error.value, AdCacheError)
        assert len(str(error.value)) < 250

    assert [] == all_keys(cache)


@pytest.mark.parametrize("bad", ["", None, 7, b"c", ["c"]])
def test_a_bad_name_is_refused_before_anything_is_written(cache, bad):
    """Campaigns, metrics, event ids and users are text and not empty."""
    stats = PerformanceStatsCache(cache)
    with pytest.raises(InvalidValue, match="campaign_id must"):
        stats.increment_stat(bad, "clicks")
    with pytest.raises(InvalidValue, match="campaign_id must"):
        stats.get_campaign_summary(bad)
    if bad != ["c"]:  # no key of a dict
        with pytest.raises(InvalidValue, match="metric must"):
            stats.record_event("c", {"views": 1, bad: 1})
    if bad is not None:
        for name in ("event_id", "user_id"):
            with pytest.raises(InvalidValue, match=f"{name} must"):
                stats.record_event("c", {"views": 1}, **{name: bad})

    assert [] == all_keys(cache)


@pytest.mark.parametrize("bad", [{}, None, "clicks", ["clicks"], 5, {"clicks"}])
def test_an_event_without_metrics_is_refused(cache, bad):
    """At least one, at most fifty, as a dict."""
    stats = PerformanceStatsCache(cache)
    for metrics in (bad, {f"m{n}": 1 for n in range(51)}):
        with pytest.raises(InvalidValue, match="metrics must be 1 to 50"):
            stats.record_event("c", metrics)

    assert [] == all_keys(cache)


@pytest.mark.parametrize("bad", [0, -1, 1.0, True, "7", None, 367, 10**30])
def test_a_bad_number_of_days_is_refused(cache, bad):
    """A summary covers 1 to 366 days."""
    stats = PerformanceStatsCache(cache)
    for call in (stats.get_campaign_summary, stats.reach):
        with pytest.raises(InvalidValue, match="days must be 1 to 366"):
            call("c", bad)
    if bad not in (1.0, "7"):
        with pytest.raises(InvalidValue, match="last must be 1 to 180"):
            stats.minutes("c", "clicks", bad)
    assert 0 == stats.get_campaign_summary("c", 366)["clicks"]


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), "7", None])
def test_bad_lifetimes_are_refused(cache, bad):
    """Retention, live and notice horizon are times above zero."""
    for name in ("retention", "live", "notice_horizon"):
        with pytest.raises(InvalidValue, match=f"{name} must be"):
            PerformanceStatsCache(cache, **{name: bad})


def test_large_numbers_stay_exact(cache):
    """10^15 of anything is counted to the last one, and to the last micro."""
    stats = PerformanceStatsCache(cache)
    for value in (10**15, 1e15, 1, -2):
        stats.increment_stat("c", "impressions", value)
    stats.increment_stat("c", "cost", 9_007_199_254.25)
    stats.increment_stat("d", "cost", Decimal("9007199254.740991"))

    assert 2 * 10**15 - 1 == stats.get_daily_stats("c")["impressions"]
    assert 2 * 10**15 - 1 == stats.get_campaign_summary("c")["impressions"]
    assert 9_007_199_254.25 == stats.get_campaign_summary("c")["cost"]
    assert 9_007_199_254.740991 == stats.get_daily_stats("d")["cost"]


def test_a_total_that_overflows_is_undone(cache):
    """All or nothing: the other metrics and the id are as they were before."""
    stats = PerformanceStatsCache(cache)
    stats.record_event("c", {"a": 1, "b": LARGEST, "c": 1})
    for delta in (1, LARGEST):
        with pytest.raises(ValueError, match=r"would pass 2\*\*53 - 1; nothing"):
            stats.record_event("c", {"a": 7, "b": delta, "c": 7}, "e", "ada")

    assert {"a": 1, "b": LARGEST, "c": 1} == stats.get_daily_stats("c")
    assert (
        LARGEST == stats.minutes("c", "b", 2)[-1][1] + stats.minutes("c", "b", 2)[0][1]
    )
    assert 0 == stats.reach("c")
    assert stats.record_event("c", {"a": 1}, "e")
    stats.record_event("d", {"a": -LARGEST})
    with pytest.raises(InvalidValue):
        stats.record_event("d", {"a": -1})


def test_numbers_whose_ttl_was_lost_get_one_again(cache):
    """Somebody's PERSIST makes nothing live for ever: the next event mends it."""
    stats = PerformanceStatsCache(cache)
    event = ("c", {"clicks": 1}, None, "ada")
    stats.record_event(*event)
    for key in all_keys(cache):
        cache.redis_client.persist(key)
    stats.record_event(*event)

    assert {True} == {cache.redis_client.pttl(key) > 0 for key in all_keys(cache)}


def test_a_summary_is_exactly_its_days(timed_cache, clock):
    """N days, today included, on each of eight days of counting."""
    stats = PerformanceStatsCache(timed_cache)
    for day in range(8):
        stats.increment_stat("c", "clicks", 10**day)
        clock.advance(DAY)
    sums = [stats.get_campaign_summary("c", days)["clicks"] for days in (1, 2, 7, 9)]

    assert [0, 10_000_000, 11_111_100, 11_111_111] == sums


def test_retention_is_fixed_by_the_day(timed_cache, clock):
    """A day is kept until 7 days after its end; later writes prolong nothing."""
    stats = PerformanceStatsCache(timed_cache)
    clock.advance(DAY // 4)
    day = stats.record_event("c", {"clicks": 1}, user_id="ada").day
    keys = [
        timed_cache.get_key(name, campaign_id="c", date=day.isoformat())
        for name in ("performance_stats", "stats_reach")
    ]
    for key in keys:
        left = timed_cache.redis_client.pttl(key)
        assert 7.75 * DAY * 1000 - 5_000 < left <= 7.75 * DAY * 1000
        timed_cache.redis_client.pexpire(key, 40_000)
    stats.record_event("c", {"clicks": 1}, user_id="bob")

    assert {True} == {timed_cache.redis_client.pttl(key) <= 40_000 for key in keys}


def test_a_late_event_lives_as_its_day(timed_cache, clock):
    """Counted three days late, it goes three days earlier."""
    stats = PerformanceStatsCache(timed_cache, retention=timedelta(days=10))
    clock.advance(3 * DAY)
    stats.record_event("c", {"clicks": 1}, at="2026-01-01")
    (key,) = all_keys(timed_cache)

    assert 8 * DAY * 1000 - 5_000 < timed_cache.redis_client.pttl(key) <= 8 * DAY * 1000


def test_an_event_older_than_the_retention_is_refused(timed_cache, clock):
    """Up to the last ms it is counted; after it nothing is written."""
    stats = PerformanceStatsCache(timed_cache)
    clock.advance(8 * DAY - 0.001)
    kept = stats.record_event("c", {"clicks": 1}, "kept", at="2026-01-01")
    clock.advance(0.001)
    late = stats.record_event("c", {"clicks": 1}, "late", "ada", at="2026-01-01")
    stats.record_event("c", {"clicks": 1}, "late", at="2026-01-02")

    assert kept
    assert (False, "too_old") == (bool(late), late.reason)
    assert 0 == stats.reach("c", 9)
    assert {"clicks": 1} == stats.get_daily_stats("c", "2026-01-02")


def test_minutes_draw_a_live_chart(timed_cache, clock):
    """Zeros are filled in, the running minute is the last, hours are no border."""
    clock.advance(3540)  # 00:59
    stats = PerformanceStatsCache(timed_cache)
    for seconds, clicks in ((0, 1), (59.999, 2), (0.001, 4), (120, 8)):
        clock.advance(seconds)
        stats.record_event("c", {"clicks": clicks, "cost": clicks / 10})
    chart = stats.minutes("c", "clicks", 5)

    assert [0, 3, 4, 0, 8] == [value for _, value in chart]
    assert datetime(2026, 1, 1, 1, 2, tzinfo=UTC) == chart[-1][0]
    assert [timedelta(minutes=1)] * 4 == [b[0] - a[0] for a, b in pairwise(chart)]
    assert [0.3, 0.4, 0.0, 0.8] == [v for _, v in stats.minutes("c", "cost", 4)]
    assert 60 == len(stats.minutes("c", "clicks"))
    assert 180 == len(stats.minutes("c", "clicks", 180))


def test_a_late_event_goes_into_its_own_minute(timed_cache, clock):
    """`at` tells the minute; a date alone does not, and what is too late is none."""
    clock.advance(12 * 3600)
    stats = PerformanceStatsCache(timed_cache)
    for minutes in (0, 5, 179, 300):
        at = clock.now() - timedelta(minutes=minutes)
        assert stats.record_event("c", {"clicks": 1}, at=at)
    assert stats.record_event("c", {"clicks": 1}, at="2026-01-01")

    chart = [value for _, value in stats.minutes("c", "clicks", 180)]
    assert [1, 1, 1] == [chart[0], chart[-6], chart[-1]]
    assert 3 == sum(chart)
    assert {"clicks": 5} == stats.get_daily_stats("c")


def test_minutes_live_for_hours_and_are_not_renewed(timed_cache, clock):
    """The hour's hash goes `live` after its hour ends."""
    stats = PerformanceStatsCache(timed_cache, live=7200)
    clock.advance(1800)
    stats.increment_stat("c", "clicks")
    key = timed_cache.get_key("stats_minutes", campaign_id="c", hour="2026-01-01T00")
    left = timed_cache.redis_client.pttl(key)
    timed_cache.redis_client.pexpire(key, 40_000)
    stats.increment_stat("c", "clicks")

    assert 9_000_000 - 5_000 < left <= 9_000_000
    assert timed_cache.redis_client.pttl(key) <= 40_000


def test_reach_counts_people_once(timed_cache, clock):
    """Over several days too; off by 0.81 % on a server, exact on the fake."""
    stats = PerformanceStatsCache(timed_cache)
    for day in range(3):
        questions = [
            stats.ask_event("c", {"impressions": 1}, user_id=f"u{100 * day + number}")
            for number in range(300)
        ]
        timed_cache.wire.trip(questions)
        clock.advance(DAY)

    assert 500 == pytest.approx(stats.reach("c", 4), rel=0.05)
    assert 300 == pytest.approx(stats.reach("c", 2), rel=0.05)
    assert 0 == stats.reach("c")
    assert 900 == stats.get_campaign_summary("c")["impressions"]


def test_half_a_conversion_is_in_the_summary(cache):
    """A model of attribution may share a conversion among campaigns."""
    stats = PerformanceStatsCache(cache)
    stats.record_event("c", {"clicks": 4, "conversions": 0.25})
    stats.record_event("c", {"conversions": 1})

    assert 1.25 == stats.get_campaign_summary("c")["conversions"]
    assert 0.3125 == stats.get_campaign_summary("c")["cvr"]


def test_threads_counting_the_same_ids_count_each_once(cache):
    """8 threads deliver the same 40 events; 40 are counted, with their cost."""
    stats = PerformanceStatsCache(cache)
    counted: list[bool] = []

    def deliver() -> None:
        counted.extend(
            bool(stats.record_event("c", {"clicks": 1, "cost": 0.1}, f"e{n}", f"u{n}"))
            for n in range(40)
        )

    threads = [threading.Thread(target=deliver) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (320, 40) == (len(counted), sum(counted))
    assert {"clicks": 40, "cost": 4.0} == stats.get_daily_stats("c")


def test_a_lost_reply_counts_once_with_an_id(own_server):
    """Cut after the server's work, the repeated event says that it was counted."""
    proxy = Proxy(own_server.port)
    stats = PerformanceStatsCache(connect(proxy.url))
    stats.increment_stat("other", "clicks")
    for number in range(3):
        proxy.lose(1)
        with pytest.raises(RedisUnavailable):
            stats.record_event("c", {"clicks": 1, "cost": 0.1}, f"e{number}")
        again = stats.record_event("c", {"clicks": 1, "cost": 0.1}, f"e{number}")
        assert "duplicate" == again.reason

    assert {"clicks": 3, "cost": 0.3} == stats.get_daily_stats("c")


def test_a_lossy_line_neither_loses_nor_doubles(own_server):
    """4 ad servers deliver the same 150 events over a bad line until acknowledged."""
    proxy = LossyProxy(own_server.port, LOST)

    def deliver() -> None:
        stats = PerformanceStatsCache(connect(proxy.url))
        for n in range(150):
            event = ("c", {"clicks": 1, "cost": 0.0001}, f"e{n}", f"u{n % 10}")
            until_answered(lambda event=event: stats.record_event(*event))

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = PerformanceStatsCache(connect(own_server.url))

    assert proxy.lost > 3
    assert {"clicks": 150, "cost": 0.015} == stats.get_daily_stats("c")
    assert 10 == stats.reach("c")
    assert 150 == sum(value for _, value in stats.minutes("c", "clicks", 10))


def test_a_power_cut_loses_nothing_acknowledged():
    """SIGKILL with appendfsync always: counts are there, known ids still known."""
    options = {"appendonly": "yes", "appendfsync": "always"}
    with LocalServer(need_binary("redis"), **options) as server:
        stats = PerformanceStatsCache(connect(server.url))
        for n in range(50):
            stats.record_event("c", {"clicks": 1, "cost": 0.1}, f"e{n}", f"u{n}")
        server.stop()
        with pytest.raises(RedisUnavailable):
            stats.record_event("c", {"clicks": 1}, "e50")
        server.start()
        again = [stats.record_event("c", {"clicks": 1}, f"e{n}") for n in range(51)]

        assert 1 == sum(map(bool, again))
        assert {"clicks": 51, "cost": 5.0} == stats.get_daily_stats("c")
        assert 50 == stats.reach("c")


def test_retry_on_timeout_repeats_only_what_has_an_id(own_server):
    """With an id the library may retry by itself; without, the caller decides."""
    proxy = Proxy(own_server.port)
    cache = connect(proxy.url, config=CacheConfig(retry_on_timeout=True))
    stats = PerformanceStatsCache(cache)
    stats.increment_stat("other", "clicks")
    proxy.lose(1)
    assert "duplicate" == stats.record_event("c", {"clicks": 1}, "e").reason
    proxy.lose(1)
    with pytest.raises(RedisUnavailable):
        stats.increment_stat("c", "clicks")
    proxy.lose(1)
    assert {"clicks": 2} == stats.get_daily_stats("c")
    proxy.lose(1)
    assert 2 == stats.get_campaign_summary("c")["clicks"]


def test_flushed_scripts_do_no_harm(cache):
    """SCRIPT FLUSH between two events: the second is counted too."""
    stats = PerformanceStatsCache(cache)
    stats.increment_stat("c", "clicks")
    cache.redis_client.script_flush()
    assert (
        "duplicate"
        == [stats.record_event("c", {"clicks": 1}, "e").reason for _ in "ab"][1]
    )
    cache.redis_client.script_flush()
    cache.wire.trip([stats.ask_event("c", {"clicks": 1})])

    assert {"clicks": 3} == stats.get_daily_stats("c")


@pytest.mark.parametrize("server", ["redis", "valkey-8.1", "cluster"])
def test_a_wrong_clock_of_one_ad_server_moves_no_day(make_cache, server, monkeypatch):
    """The day is the server's, also when the own clock is set while it runs."""
    stats = PerformanceStatsCache(make_cache(server))
    today = stats.increment_stat("c", "clicks").day
    true_time = time.time
    for shift in (3 * DAY, -3 * DAY):
        monkeypatch.setattr(time, "time", lambda shift=shift: true_time() + shift)
        assert today == stats.increment_stat("c", "clicks").day
        assert today == PerformanceStatsCache(stats.cache).increment_stat("c", "x").day
    monkeypatch.undo()

    assert 3 == stats.get_daily_stats("c")["clicks"] or today != day_of(
        int(true_time() * 1000)
    )


def test_the_servers_clock_is_asked_once_a_minute(cache, monkeypatch):
    """Between two questions the time goes on without a trip."""
    clock, ticks, wall = ServerClock(cache), [1000.0], [5000.0]
    monkeypatch.setattr(time, "monotonic", lambda: ticks[0])
    monkeypatch.setattr(time, "time", lambda: wall[0])
    asked = []
    cache.wire.observer = lambda pairs, _: asked.append(pairs[0][0][0])
    first = clock.now_ms()
    for _ in range(5):
        ticks[0], wall[0] = ticks[0] + 11.5, wall[0] + 11.5
        assert abs(clock.now_ms() - first - (ticks[0] - 1000) * 1000) <= 1
    assert ["TIME"] == asked
    ticks[0], wall[0] = ticks[0] + 2.5, wall[0] + 2.5
    clock.now_ms()
    assert ["TIME", "TIME"] == asked
    wall[0] += 0.6  # the machine slept, or its clock was set
    clock.now_ms()
    cache.wire.observer = None

    assert ["TIME", "TIME", "TIME"] == asked


def test_ratios_are_their_formulas():
    """Each with its own numerator and denominator."""
    totals = {
        "impressions": 2000,
        "clicks": 40,
        "conversions": 8,
        "cost": 10.0,
        "revenue": 25.0,
    }
    assert {
        "ctr": 0.02,
        "cvr": 0.2,
        "cpc": 0.25,
        "cpa": 1.25,
        "ecpm": 5.0,
        "roas": 2.5,
    } == ratios(totals)


@pytest.mark.parametrize(
    "totals", [{}, {"clicks": 5}, {"impressions": -1, "clicks": 1}]
)
def test_undefined_ratios_are_zero(totals):
    """Nothing to divide by, or less than nothing: 0.0, as a float."""
    assert {0.0} == set(ratios(totals).values())
    assert {float} == {type(value) for value in ratios(totals).values()}


@given(st.dates(), st.integers(0, 86_399_999))
def test_a_day_and_its_ms_belong_together(day, ms):
    """Every ms of a day is of that day."""
    assert day == day_of(start_ms(day) + ms)
    assert day != day_of(start_ms(day) - 1) or day == date.min


NUMBERS = count()
NAMES = st.sampled_from(["clicks", "cost", "a:micros", "dwell"])
AMOUNTS = st.one_of(
    st.integers(-(10**8), 10**8),
    st.decimals(-(10**6), 10**6, places=6),
    st.floats(-1000, 1000).map(lambda value: round(value, 6)),
)


@pytest.mark.parametrize("backend", ["fakeredis", "redis"], indirect=True)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    events=st.lists(
        st.tuples(
            st.dictionaries(NAMES, AMOUNTS, min_size=1),
            st.sampled_from([None, "e1", "e2", "e3"]),
        ),
        max_size=12,
    ),
)
def test_totals_equal_a_plain_models(cache, events):
    """Any events in any order sum up exactly, each id once."""
    stats, campaign = PerformanceStatsCache(cache), f"c{next(NUMBERS)}"
    seen, expected = set(), {}
    for metrics, event_id in events:
        stats.record_event(campaign, metrics, event_id)
        if event_id not in seen:
            for name, value in metrics.items():
                added = Fraction(str(value))
                expected[name] = expected.get(name, 0) + added
        seen |= {event_id} - {None}

    assert {name: float(value) for name, value in expected.items()} == (
        stats.get_daily_stats(campaign)
    )

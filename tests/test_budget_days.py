"""Local days and pacing curves: plain arithmetic, in Python and in Lua alike."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adcache import InvalidValue, connect
from adcache.budget_days import (
    DAY_MS,
    bucket_size,
    day_allowance,
    day_budget,
    day_offsets,
    day_start,
    local_day,
    offset_at,
    pacing_curve,
    refill,
    share_at,
)
from adcache.clock import from_epoch_ms, to_epoch_ms
from tests.budget_help import campaign

HOUR_MS = 3_600_000
MAX = 2**53 - 1
# Clocks change at 01:00 UTC, by half an hour, at midnight, in Ramadan, never.
ZONES = [
    *("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"),
    *("America/Havana", "Asia/Beirut", "Africa/Cairo", "Africa/Casablanca"),
    *("Asia/Kathmandu", "Pacific/Kiritimati", "America/St_Johns", "America/Nuuk"),
]
FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
FIRST_MS, LAST_MS = to_epoch_ms(FIRST), to_epoch_ms(LAST)
MOMENTS = st.integers(FIRST_MS, LAST_MS)
PIECES = settings(max_examples=150, deadline=None)
LUA = settings(PIECES, suppress_health_check=[HealthCheck.function_scoped_fixture])
WEIGHTS = st.lists(st.floats(0, 1e6), min_size=24, max_size=24).filter(any)


def offsets_of(zone, start=FIRST, end=LAST):
    """Offsets of a zone over a flight."""
    return day_offsets(campaign(time_zone=zone, start_date=start, end_date=end))


def moment(text):
    """Milliseconds of an ISO time."""
    return to_epoch_ms(datetime.fromisoformat(text))


def test_a_zone_without_changes_has_one_offset():
    """India is always five and a half hours ahead."""
    assert f"{FIRST_MS - 7 * DAY_MS} 19800000" == offsets_of("Asia/Kolkata")


def test_changes_are_found_to_the_ms():
    """Berlin leaps at 01:00 UTC on 29 March 2026, and back on 25 October."""
    offsets = offsets_of("Europe/Berlin")
    spring, autumn = moment("2026-03-29T01:00Z"), moment("2026-10-25T01:00Z")

    assert [HOUR_MS, 2 * HOUR_MS] == [offset_at(offsets, spring - d) for d in (1, 0)]
    assert [2 * HOUR_MS, HOUR_MS] == [offset_at(offsets, autumn - d) for d in (1, 0)]


def test_a_flight_of_all_time_is_listed_too():
    """From year 1 to 9999: the years 1970 to 2100 are listed, and it is quick."""
    ends = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
    offsets = offsets_of("Europe/Berlin", *ends)

    assert 2 * HOUR_MS == offset_at(offsets, moment("2026-07-01T00:00Z"))
    assert len(offsets) < 8000


@pytest.mark.parametrize("zone", ZONES)
@PIECES
@given(ms=MOMENTS)
def test_offsets_are_the_zones_own(zone, ms):
    """At any moment offset and local date are those of the zone database."""
    offsets, there = offsets_of(zone), from_epoch_ms(ms).astimezone(ZoneInfo(zone))

    assert there.utcoffset() == timedelta(milliseconds=offset_at(offsets, ms))
    since_1970 = there.date() - date(1970, 1, 1)
    assert since_1970.days == local_day(offsets, ms)


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_starts_at_its_first_ms(zone):
    """Over four years each day begins where the former ends, also at odd changes."""
    offsets = offsets_of(zone)
    for day in range(FIRST_MS // DAY_MS + 1, LAST_MS // DAY_MS - 1):
        start = day_start(offsets, day)
        assert (day - 1, day) == (
            local_day(offsets, start - 1),
            local_day(offsets, start),
        )


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)]
)
def test_a_local_day_has_23_24_or_25_hours(day, hours):
    """The curve is squeezed or stretched; midday is where half has passed."""
    offsets = offsets_of("Europe/Berlin")
    number = (date.fromisoformat(day) - date(1970, 1, 1)).days
    begin, end = day_start(offsets, number), day_start(offsets, number + 1)
    even = pacing_curve(campaign(pacing="even"))
    flight, money = (FIRST_MS, LAST_MS), 1_000_000
    allowed = [
        day_allowance(
            even, money, offsets, flight, number, begin + part * (end - begin)
        )
        for part in (0, 1)
    ]

    assert hours * HOUR_MS == end - begin
    assert [0, money] == allowed
    middle = (begin + end) // 2
    assert 500_000 == day_allowance(even, money, offsets, flight, number, middle)


def test_curves_follow_their_formulas():
    """At each full hour: t, and 1 - (1 - t)**2, in millionths."""
    even = pacing_curve(campaign(pacing="even")).split()
    front = pacing_curve(campaign(pacing="front_loaded")).split()
    hours = [hour / 24 for hour in range(25)]

    assert ["even", *(str(round(t * 1e6)) for t in hours)] == even
    assert [
        "front_loaded",
        *(str(round((2 * t - t * t) * 1e6)) for t in hours),
    ] == front
    assert "asap" == pacing_curve(campaign())


def test_pacing_follows_the_traffic():
    """Nothing is spent while nobody is there, twice as much at twice the traffic."""
    night_and_evening = [0] * 8 + [1] * 8 + [2] * 8
    data = campaign(pacing="even", targeting={"hourly_traffic": night_and_evening})
    curve = pacing_curve(data)
    shares = [
        share_at(curve, hour * HOUR_MS, DAY_MS) for hour in (0, 8, 12, 16, 20, 24)
    ]

    assert [0, 0, 166_667, 333_333, 666_667, 1_000_000] == shares
    assert curve == pacing_curve(campaign(pacing="even"), night_and_evening)


def test_a_bucket_holds_an_hour_unless_told():
    """The burst is in seconds of the even rate; it holds an impression at least."""
    usual = pacing_curve(campaign(pacing="token_bucket"))
    told = pacing_curve(campaign(pacing="token_bucket", targeting={"burst": 21_600}))

    assert ["token_bucket 41667", "token_bucket 250000"] == [usual, told]
    assert "token_bucket 1000000" == pacing_curve(
        campaign(pacing="token_bucket"), burst=timedelta(days=3)
    )
    assert 250_000 == bucket_size(told, 1_000_000, 5_000_000)
    assert 5_000 == bucket_size(told, 1_000, 4_999_001)


@pytest.mark.parametrize(
    "weights",
    [
        *([], {}, None, "1" * 24, [1] * 23, [1] * 25, [0] * 24, [1] * 23 + [-1]),
        *([float("nan")] * 24, [float("inf")] * 24, [1] * 23 + [1e308]),
        *(["1"] * 24, [True] * 24),
    ],
)
def test_odd_weights_are_refused(weights):
    """24 finite weights that are not negative, and not all of them zero."""
    data = campaign(pacing="even", targeting={"hourly_traffic": weights})
    with pytest.raises(InvalidValue, match="hourly_traffic must be 24 weights"):
        pacing_curve(data)


@pytest.mark.parametrize("burst", [0, -1, float("nan"), "1", None, True])
def test_odd_bursts_are_refused(burst):
    """A burst is a duration."""
    with pytest.raises(InvalidValue, match="burst must be"):
        pacing_curve(campaign(pacing="token_bucket", targeting={"burst": burst}))


def test_a_part_of_a_day_spends_all_of_the_days_money():
    """A flight that begins at 18:00 does not start with three quarters at once."""
    curve, money = pacing_curve(campaign(pacing="even")), 1_000_000
    flight = moment("2026-01-01T18:00Z"), moment("2026-01-02T06:00Z") - 1
    evening = [
        day_allowance(curve, money, "", flight, flight[0] // DAY_MS, flight[0] + ms)
        for ms in (0, 3 * HOUR_MS, 6 * HOUR_MS - 1, 6 * HOUR_MS)
    ]
    morning = [
        day_allowance(curve, money, "", flight, flight[1] // DAY_MS, flight[1] + 1 - ms)
        for ms in (6 * HOUR_MS, 3 * HOUR_MS, 0)
    ]

    assert [0, 500_000, 999_996, 1_000_000] == evening
    assert [0, 500_000, 1_000_000] == morning


def test_a_part_without_traffic_is_not_waited_for():
    """A flight of hours in which no traffic is expected may spend at once."""
    data = campaign(pacing="even", targeting={"hourly_traffic": [1] * 12 + [0] * 12})
    flight = moment("2026-01-01T18:00Z"), moment("2026-01-01T20:00Z")

    assert 7 == day_allowance(
        pacing_curve(data), 7, "", flight, flight[0] // DAY_MS, flight[0]
    )


@PIECES
@given(
    weights=WEIGHTS, money=st.integers(0, MAX), zone=st.sampled_from(ZONES), ms=MOMENTS
)
@pytest.mark.parametrize("kind", ["even", "front_loaded"])
def test_an_allowance_never_falls_and_ends_at_all(kind, weights, money, zone, ms):
    """Whatever the weights: it grows through the day, from nothing to everything."""
    curve, offsets = pacing_curve(campaign(pacing=kind), weights), offsets_of(zone)
    day = local_day(offsets, ms)
    begin, end = day_start(offsets, day), day_start(offsets, day + 1)
    steps = [begin + (end - begin) * part // 50 for part in range(51)]
    flight = (FIRST_MS - 40 * DAY_MS, LAST_MS + 40 * DAY_MS)
    allowed = [day_allowance(curve, money, offsets, flight, day, at) for at in steps]

    assert sorted(allowed) == allowed
    assert money == allowed[-1]
    assert allowed[0] <= money // 1000  # rounding of the first millionths


@PIECES
@given(
    budget=st.integers(0, MAX),
    hours=st.integers(1, 24 * 40),
    zone=st.sampled_from(ZONES),
    start=MOMENTS,
    thrift=st.integers(0, 3),
)
def test_what_a_day_leaves_over_is_spread(budget, hours, zone, start, thrift):
    """Days that spend all they may end with the budget spent exactly."""
    offsets, flight = offsets_of(zone), (start, start + hours * HOUR_MS)
    first, last = (local_day(offsets, ms) for ms in flight)
    left = budget
    for day in range(first, last + 1):
        money = day_budget(left, offsets, flight, day)
        assert 0 <= money <= left
        left -= money if day == last else money // (1 + thrift)

    assert 0 == left


def test_equal_days_get_equal_money():
    """Without a daily budget 30 days get a thirtieth each; half a day gets half."""
    flight = moment("2026-01-01T12:00Z"), moment("2026-01-31T12:00Z") - 1
    first = flight[0] // DAY_MS

    assert 500_000 == day_budget(30_000_000, "", flight, first)
    assert 1_000_000 == day_budget(29_500_000, "", flight, first + 1)
    assert 0 == day_budget(-5, "", flight, first + 1)


@PIECES
@given(
    daily=st.integers(0, MAX),
    pauses=st.lists(st.integers(0, DAY_MS // 20), max_size=20),
    debt=st.integers(0, 10**6),
)
def test_a_bucket_loses_nothing_between_calls(daily, pauses, debt):
    """Filled in many small steps or in one, it holds the same to the micro."""
    tokens, rest = -debt, 0
    for pause in pauses:
        tokens, rest = refill(tokens, rest, pause, daily, daily + 1)

    assert (tokens, rest) == refill(-debt, 0, sum(pauses), daily, daily + 1)


def test_a_full_bucket_stays_full():
    """It holds no more than its burst, however long nobody bids."""
    assert (500, 0) == refill(499, 7, DAY_MS, 1_000_000, 500)
    assert (10, 3) == refill(10, 3, -5, 1_000_000, 500)


@cache
def client_of(url):
    """One client per server, for all examples."""
    return connect(url).redis_client


def lua(url, body, *args):
    """Run a line of Lua with the parts of the budget scripts, on fake and server."""
    folder = resources.files("adcache") / "scripts" / "parts"
    names = ("clock", "local_day", "account")
    parts = [(folder / f"{name}.lua").read_text("utf-8") for name in names]
    source = "\n".join([*parts, body])
    urls = ("fakeredis://tests", url)
    fake, server = (client_of(each).eval(source, 0, *args) for each in urls)
    assert fake == server
    return tuple(map(int, fake))


NUMBER = """
local n = {} for i, word in ipairs(ARGV) do n[i] = tonumber(word) end
local campaign = { offsets = numbers_of(ARGV[1]), curve = ARGV[2],
  kind = ARGV[2]:match('^%S+'), start_ms = n[3], end_ms = n[4], bid = 5000000 }
local account = { daily = n[5] }
"""


@LUA
@given(
    b=st.sampled_from([3, 1000, 10**6, DAY_MS]) | st.integers(1, DAY_MS),
    share=st.floats(0, 1),
    rest=st.sampled_from([0, 1, -1]),
)
def test_lua_divides_exactly(redis_url, b, share, rest):
    """Quotient and remainder, just below, at and above each multiple, up to 2**53."""
    a = max(0, int(MAX * share) // b * b + rest)
    body = """local q, r = divide(tonumber(ARGV[1]), tonumber(ARGV[2]))
    return { text(q), text(r) }"""

    assert divmod(a, b) == lua(redis_url, body, a, b)


@pytest.mark.parametrize("zone", ["America/Havana", "Asia/Beirut", "Africa/Cairo"])
def test_lua_and_python_start_a_day_alike(redis_url, zone):
    """Also where clocks leap at midnight, on each day of four years."""
    offsets, first, last = offsets_of(zone), FIRST_MS // DAY_MS, LAST_MS // DAY_MS
    body = """local starts = {}
    for day = tonumber(ARGV[2]), tonumber(ARGV[3]) do
      starts[#starts + 1] = text(day_start(numbers_of(ARGV[1]), day))
    end
    return starts"""
    wanted = [day_start(offsets, day) for day in range(first, last + 1)]

    assert wanted == list(lua(redis_url, body, offsets, first, last))


@pytest.mark.parametrize("kind", ["asap", "even", "front_loaded", "token_bucket"])
@LUA
@given(
    weights=WEIGHTS,
    money=st.integers(0, MAX),
    zone=st.sampled_from(ZONES),
    ms=MOMENTS,
    start=MOMENTS,
    length=st.integers(0, DAY_MS * 900) | st.integers(0, DAY_MS),
)
def test_lua_and_python_allow_the_same(
    redis_url, kind, weights, money, zone, ms, start, length
):
    """Days, allowances and day budgets agree to the micro, up to 2**53."""
    curve, offsets = pacing_curve(campaign(pacing=kind), weights), offsets_of(zone)
    flight, day = (start, start + length), local_day(offsets, ms)
    body = (
        NUMBER
        + """
    local offsets = campaign.offsets
    return { text(day_at(offsets, n[6])), text(day_start(offsets, n[7])),
      text(day_allowance(campaign, n[5], n[7], n[6])),
      text(day_budget(campaign, n[5], n[7])) }"""
    )
    found = lua(redis_url, body, offsets, curve, *flight, money, ms, day)
    expected = (
        day,
        day_start(offsets, day),
        day_allowance(curve, money, offsets, flight, day, ms),
        day_budget(money, offsets, flight, day),
    )

    assert expected == found


@LUA
@given(
    daily=st.integers(0, MAX) | st.sampled_from([MAX, DAY_MS, DAY_MS - 1, 1]),
    tokens=st.integers(-(10**12), MAX),
    rest=st.integers(0, DAY_MS - 1),
    elapsed=st.integers(-5, 3 * DAY_MS) | st.sampled_from([DAY_MS, DAY_MS - 1]),
    burst=st.integers(1, 1_000_000),
)
def test_lua_and_python_fill_a_bucket_alike(
    redis_url, daily, tokens, rest, elapsed, burst
):
    """Tokens and remainder agree, up to 2**53 micros a day."""
    curve, since = f"token_bucket {burst}", 10**12
    body = (
        NUMBER
        + """
    fill_bucket(account, campaign, ARGV[6], n[7])
    return { text(account.size), text(account.tokens), text(account.rest) }"""
    )
    bucket = f"{min(tokens, daily)} {since} {rest}"
    found = lua(redis_url, body, "", curve, 0, 1, daily, bucket, since + elapsed)
    size = bucket_size(curve, daily, 5_000_000)
    expected = size, *refill(min(tokens, daily), rest, elapsed, daily, size)

    assert expected == found

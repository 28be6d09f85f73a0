"""How money is spread over days and hours, on every backend."""

from datetime import UTC, datetime, timedelta

import pytest

from adcache import BudgetPacer
from tests.budget_help import START, campaign, charge, store

HOUR = 3600
LEASE, HORIZON = 300, 3600
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def pacer(timed_cache):
    """Pacer with the manual clock, at midnight."""
    return BudgetPacer(timed_cache, LEASE, HORIZON)


def fill(pacer, campaign_id="tea", cpm=5, prefix="f"):
    """Reserve and bill until the pacer refuses; how many, and why it ended."""
    for number in range(1000):
        answer = pacer.reserve(campaign_id, f"{prefix}{number}", cpm)
        if not answer:
            return number, answer.reason
        pacer.settle(campaign_id, f"{prefix}{number}", cpm)
    return 1000, ""


def test_a_daily_budget_holds_until_local_midnight(pacer, timed_cache, clock):
    """In Berlin the day ends at 23:00 UTC; a ms earlier it has not."""
    store(timed_cache, campaign(daily_budget=0.02, time_zone="Europe/Berlin"))
    clock.advance(HOUR)
    assert (4, "daily budget") == fill(pacer, prefix="a")
    clock.advance(22 * HOUR - 0.001)
    assert (0, "daily budget") == fill(pacer, prefix="b")
    clock.advance(0.001)
    assert (4, "daily budget") == fill(pacer, prefix="c")

    status = pacer.status("tea")
    assert (40_000, 20_000, 20_000) == (status.spent, status.today, status.allowance)


def test_what_is_reserved_over_midnight_counts_on_the_new_day(
    pacer, timed_cache, clock
):
    """An open bid may be billed today: it takes its place in today's budget."""
    store(timed_cache, campaign(daily_budget=0.02))
    clock.advance(24 * HOUR - 1)
    for name in ("r1", "r2", "r3"):
        pacer.reserve("tea", name, 5)
    pacer.settle("tea", "r1", 5)
    clock.advance(2)

    status = pacer.status("tea")
    assert (0, 10_000, 10_000) == (status.today, status.reserved, status.room)
    pacer.settle("tea", "r2", 4)  # billed today: today's cost
    pacer.release("tea", "r3")
    status = pacer.status("tea")
    assert (9_000, 4_000, 16_000) == (status.spent, status.today, status.room)


def test_no_day_spends_more_than_its_budget(pacer, timed_cache, clock):
    """Bids before midnight, bills after it: each day's cost stays within its money."""
    store(timed_cache, campaign(daily_budget=0.02))
    clock.advance(24 * HOUR - 1)
    held = [pacer.reserve("tea", f"r{n}", 5) for n in range(5)]
    clock.advance(2)
    late = [pacer.reserve("tea", f"s{n}", 5) for n in range(2)]
    for number in range(4):
        pacer.settle("tea", f"r{number}", 5)

    assert [True] * 4 + [False] == [bool(each) for each in held]
    assert ["daily budget"] * 2 == [each.reason for each in late]
    assert 20_000 == pacer.status("tea").today


def test_a_clock_set_back_over_midnight_opens_no_second_day(timed_cache, clock):
    """Yesterday's budget is not spent twice because a clock went back."""
    store(timed_cache, campaign(daily_budget=0.02))
    clock.advance(24 * HOUR)
    assert (4, "daily budget") == fill(BudgetPacer(timed_cache), prefix="a")

    class SetBack:
        def now_ms(self):
            return clock.now_ms() - 5000

    timed_cache.clock = SetBack()
    assert (0, "daily budget") == fill(BudgetPacer(timed_cache), prefix="b")


def test_even_pacing_allows_a_days_money_hour_by_hour(pacer, timed_cache, clock):
    """After 6 hours a quarter; what was not spent may be caught up."""
    store(timed_cache, campaign(daily_budget=0.2, pacing="even"))
    assert (0, "pacing") == fill(pacer, prefix="a")
    clock.advance(6 * HOUR)
    assert (10, "pacing") == fill(pacer, prefix="b")
    clock.advance(12 * HOUR)
    assert (20, "pacing") == fill(pacer, prefix="c")
    clock.advance(6 * HOUR - 0.001)
    assert 199_999 == pacer.status("tea").allowance


def test_pacing_opens_to_the_ms(pacer, timed_cache, clock):
    """One impression a quarter of an hour: a ms earlier it is refused."""
    store(timed_cache, campaign(daily_budget=0.48, pacing="even"))
    clock.advance(900 - 0.001)
    assert (0, "pacing") == fill(pacer, prefix="a")
    clock.advance(0.1)  # a millionth of the day's money is 86.4 ms
    assert (1, "pacing") == fill(pacer, prefix="b")


def test_front_loaded_pacing_spends_three_quarters_before_noon(
    pacer, timed_cache, clock
):
    """1 - (1 - 1/2)**2 of the day's money at midday."""
    store(timed_cache, campaign(daily_budget=0.2, pacing="front_loaded"))
    clock.advance(12 * HOUR)

    assert (30, "pacing") == fill(pacer)


def test_even_pacing_follows_the_traffic_of_the_local_day(pacer, timed_cache, clock):
    """All traffic between 8 and 16 o'clock in New York, which is 13 to 21 UTC."""
    weights = [0] * 8 + [1] * 8 + [0] * 8
    data = campaign(
        daily_budget=0.08,
        pacing="even",
        time_zone="America/New_York",
        targeting={"hourly_traffic": weights},
    )
    store(timed_cache, data)
    evening = pacer.status("tea").allowance  # 19:00 there: no traffic to wait for
    clock.advance(5 * HOUR)
    allowed = []
    for _ in range(4):
        clock.advance(4 * HOUR)
        allowed.append(pacer.status("tea").allowance)

    assert 80_000 == evening
    assert [0, 0, 40_000, 80_000] == allowed


@pytest.mark.parametrize(("day", "hours"), [(29, 23), (30, 24)])
def test_a_day_of_23_hours_spends_all_its_money(pacer, timed_cache, clock, day, hours):
    """Berlin's 29 March 2026 is an hour short: half its money is free at half of it."""
    start = datetime(2026, 3, day, tzinfo=UTC)
    store(
        timed_cache,
        campaign(
            daily_budget=0.2,
            pacing="even",
            time_zone="Europe/Berlin",
            end_date=datetime(2026, 6, 1, tzinfo=UTC),
        ),
    )
    begin = (start - START).total_seconds() - (1 if day == 29 else 2) * HOUR
    clock.advance(begin)
    allowed = [pacer.status("tea").allowance]
    for seconds in (hours * HOUR / 2, hours * HOUR / 2 - 0.001, 0.001):
        clock.advance(seconds)
        allowed.append(pacer.status("tea").allowance)

    assert [0, 100_000, 199_999, 0] == allowed


def test_without_a_daily_budget_the_whole_is_spread_over_days(
    pacer, timed_cache, clock
):
    """Ten days get a tenth each; what a day leaves over goes to all that follow."""
    end = START.replace(day=11) - timedelta(milliseconds=1)
    data = campaign(budget=1, pacing="even", end_date=end)
    store(timed_cache, data)
    clock.advance(24 * HOUR - 1)
    assert 99_998 <= pacer.status("tea").allowance <= 100_000
    clock.advance(24 * HOUR)  # nothing was spent: a ninth of all is today's
    assert 111_109 <= pacer.status("tea").allowance <= 111_111
    clock.advance(8 * 24 * HOUR)  # the last day: all the rest
    assert 999_980 <= pacer.status("tea").allowance <= 1_000_000


def test_asap_without_a_daily_budget_knows_the_budget_only(pacer, timed_cache):
    """Nothing but the whole budget limits it."""
    store(timed_cache, campaign(budget=0.05))
    assert None is pacer.status("tea").allowance
    assert (10, "budget") == fill(pacer)


def test_a_token_bucket_allows_its_burst_and_then_its_rate(pacer, timed_cache, clock):
    """24 impressions a day with a burst of two hours: two at once, then one an hour."""
    store(
        timed_cache,
        campaign(daily_budget=0.12, pacing="token_bucket", targeting={"burst": 7200}),
    )
    assert (2, "pacing") == fill(pacer, prefix="a")
    clock.advance(HOUR - 0.001)
    assert (0, "pacing") == fill(pacer, prefix="b")
    clock.advance(0.001)
    assert (1, "pacing") == fill(pacer, prefix="c")
    clock.advance(10 * HOUR)  # a full bucket fills no further
    assert (2, "pacing") == fill(pacer, prefix="d")


def test_a_bucket_gets_back_what_was_not_spent(pacer, timed_cache, clock):
    """A loss, an ended lease and a lower price: the tokens return, never too many."""
    store(
        timed_cache,
        campaign(daily_budget=0.24, pacing="token_bucket", targeting={"burst": 7200}),
    )
    for name in ("lost", "ended", "cheap", "last"):
        assert pacer.reserve("tea", name, 5)
    assert 0 <= pacer.status("tea").room <= 1  # a burst is rounded up
    pacer.release("tea", "lost")
    assert 5000 <= pacer.status("tea").room <= 5001
    pacer.settle("tea", "cheap", 2)
    assert 8000 <= pacer.status("tea").room <= 8001
    clock.advance(LEASE)  # filled by 833 micros too
    assert 18_833 <= pacer.status("tea").room <= 18_834


def test_a_late_cost_is_a_debt_of_the_bucket(pacer, timed_cache, clock):
    """It is paid by waiting: the rate holds over the day."""
    store(
        timed_cache,
        campaign(daily_budget=0.12, pacing="token_bucket", targeting={"burst": 3600}),
    )
    assert ("charged", 15_000) == charge(timed_cache, "tea", 15_000)
    clock.advance(3 * HOUR - 60)  # 15 at a rate of 5 an hour: burst, then two hours
    assert (0, "pacing") == fill(pacer, prefix="a")
    clock.advance(120)
    assert (1, "pacing") == fill(pacer, prefix="b")


def test_a_part_of_a_day_has_a_curve_of_its_own(pacer, timed_cache, clock):
    """A flight that starts at noon spends its first day's money from noon on."""
    store(timed_cache, campaign(daily_budget=0.2, pacing="even", start_date=NOON))
    clock.advance(12 * HOUR)
    assert (0, "pacing") == fill(pacer, prefix="a")
    clock.advance(6 * HOUR)
    assert (20, "pacing") == fill(pacer, prefix="b")

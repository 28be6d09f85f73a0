"""Campaign records and their money, on every backend."""

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adcache import (
    AdCacheError,
    CacheConfig,
    CampaignCache,
    CommandRefused,
    InvalidValue,
    RedisAdCache,
    RedisUnavailable,
    UnreadableRecord,
    connect,
)
from adcache.money import MAX_MICROS
from tests.campaign_help import HOSTILE, START, campaign, running, trips_of
from tests.conftest import all_keys
from tests.proxy import Proxy

DAY = 86_400


@pytest.fixture
def fake(make_cache) -> RedisAdCache:
    """Embedded fake: what is refused before it reaches Redis needs no server."""
    return make_cache("fakeredis")


def test_a_campaign_comes_back_as_it_went_in(cache):
    """Every field, with microseconds, and every time zone as UTC."""
    given_campaign = campaign(
        "téa 🦊",
        budget=0.3,
        bid_price="2.000001",
        targeting={"interests": ["tea"], "note": {"deep": [1, None, "ü"]}},
        start_date=datetime(2026, 1, 1, 9, 0, 0, 123456, timezone(timedelta(hours=9))),
        daily_budget=0.1,
        time_zone="Asia/Seoul",
        pacing="even",
        caps=[(3, 3600), (10, 86_400)],
        creatives=["c1"],
        deals=["d"],
        adomain=["tea.example"],
        cat=["IAB8-18"],
    )
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(given_campaign)

    assert given_campaign == campaigns.get_campaign("téa 🦊")


def test_an_unknown_campaign_is_none(cache):
    """Missing is None, and looking creates nothing."""
    assert None is CampaignCache(cache).get_campaign("nobody")
    assert [] == all_keys(cache)


def test_reading_takes_one_trip_and_counts_hits(cache):
    """Record and counter come together; a meter tells hits from misses."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(campaign())

    assert 1 == trips_of(cache, lambda: campaigns.get_campaign("tea"))
    campaigns.get_campaign("nobody")
    meter = cache.metrics.meter("campaigns")
    assert (2, 1) == (meter.hits, meter.misses)


def test_a_refresh_leaves_what_is_spent_alone(cache):
    """`spent` of a record counts where there is no counter, and never again."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(campaign(spent=10))
    campaigns.update_campaign_spend("tea", 0.5)
    campaigns.set_campaign(campaign(spent=3))

    assert 10.5 == campaigns.get_campaign("tea").spent


def test_the_counter_outlives_the_record(cache):
    """A record that expired and comes back finds its money as it was."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(campaign())
    campaigns.update_campaign_spend("tea", 7)
    cache.redis_client.delete(cache.get_key("campaign", campaign_id="tea"))

    assert None is campaigns.get_campaign("tea")
    campaigns.set_campaign(campaign())
    assert 7 == campaigns.get_campaign("tea").spent


def test_a_refresh_leaves_no_field_of_the_old_record(cache):
    """A daily budget that was taken away is away."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running(daily_budget=1))
    campaigns.update_campaign_spend("tea", 1)
    assert "daily budget" == campaigns.get_state("tea").reason
    campaigns.set_campaign(running())

    assert campaigns.get_state("tea")
    assert None is campaigns.get_campaign("tea").daily_budget


def test_ten_times_ten_cents_is_one(cache):
    """Money is whole micros inside: no sum drifts as floats do."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(campaign(budget=1))
    charges = [campaigns.update_campaign_spend("tea", 0.1) for _ in range(10)]

    assert all(charges)
    assert (1.0, 0.0) == (charges[-1].spent, charges[-1].left)
    assert 1.0 == campaigns.get_campaign("tea").spent


def test_a_charge_fits_to_the_last_micro_and_no_further(cache):
    """What does not fit is refused whole; the answer says why."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(campaign(budget="0.000003"))
    answers = [
        campaigns.update_campaign_spend("tea", amount)
        for amount in ("0.000002", "0.000002", "0.000001", 0, "0.000001")
    ]

    assert [True, False, True, True, False] == [bool(each) for each in answers]
    assert ["charged", "budget"] == [each.reason for each in answers[:2]]
    assert 0.000003 == campaigns.get_campaign("tea").spent


def test_a_missing_campaign_is_not_charged_and_not_created(cache):
    """No ghost: the charge is refused and no key appears."""
    refused = CampaignCache(cache).update_campaign_spend("nobody", 1, operation_id="o")

    assert not refused
    assert "unknown" == refused.reason
    assert [] == all_keys(cache)


def test_a_retry_with_an_operation_id_charges_once(cache):
    """The second answer is the first one's; other ids charge again."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(campaign())
    answers = [
        campaigns.update_campaign_spend("tea", 40, operation_id=operation)
        for operation in ("a", "a", "b", "a", "b", "c")
    ]

    assert [True] * 5 + [False] == [bool(each) for each in answers]
    assert 80 == campaigns.get_campaign("tea").spent


def test_a_charge_whose_reply_was_lost_counts_once(own_server):
    """Cut after the server's work, the caller asks again with the same id."""
    proxy = Proxy(own_server.port)
    campaigns = CampaignCache(connect(proxy.url))
    campaigns.set_campaign(running())
    campaigns.update_campaign_spend("tea", 1, operation_id="first")
    for number in range(3):
        proxy.lose()
        with pytest.raises(RedisUnavailable):
            campaigns.update_campaign_spend("tea", 2, operation_id=f"o{number}")
        assert campaigns.update_campaign_spend("tea", 2, operation_id=f"o{number}")
    proxy.close()

    assert 7 == campaigns.get_campaign("tea").spent


def test_the_library_repeats_only_charges_with_an_id(own_server):
    """With retry_on_timeout; without an id a second try could charge twice."""
    proxy = Proxy(own_server.port)
    config = CacheConfig(retry_on_timeout=True)
    campaigns = CampaignCache(connect(proxy.url, config=config))
    campaigns.set_campaign(running())
    campaigns.update_campaign_spend("tea", 1, operation_id="first")
    proxy.lose()
    assert campaigns.update_campaign_spend("tea", 1, operation_id="second")
    proxy.lose()
    with pytest.raises(RedisUnavailable):
        campaigns.update_campaign_spend("tea", 1)
    proxy.close()

    assert 3 == campaigns.get_campaign("tea").spent


def test_threads_charge_no_more_than_the_budget(cache):
    """Of 8 threads x 20 charges of 1 against a budget of 100, exactly 100 are taken."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running(budget=100))
    taken: list[bool] = []

    def charge() -> None:
        taken.extend(bool(campaigns.update_campaign_spend("tea", 1)) for _ in range(20))

    _run(charge for _ in range(8))

    assert (160, 100) == (len(taken), sum(taken))
    assert 100 == campaigns.get_campaign("tea").spent


def test_a_refresh_during_charges_loses_none(cache):
    """Records are replaced all the time while money is counted."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running(budget=1000))

    def charge() -> None:
        for _ in range(40):
            assert campaigns.update_campaign_spend("tea", 0.25)

    def refresh() -> None:
        for number in range(40):
            campaigns.set_campaign(running(budget=1000, spent=number))

    _run([charge, refresh, charge, refresh])

    assert 20 == campaigns.get_campaign("tea").spent


def test_two_first_writers_seed_the_counter_once(cache):
    """Of two servers that store a new campaign at once, one brings its `spent`."""
    campaigns = CampaignCache(cache)
    _run(
        lambda spent=spent: campaigns.set_campaign(running(spent=spent))
        for spent in (5, 5, 5, 5)
    )
    campaigns.update_campaign_spend("tea", 1)

    assert 6 == campaigns.get_campaign("tea").spent


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        (-1, "not started"),
        (0, "active"),
        (10_000, "active"),
        (10_001, "ended"),
    ],
)
def test_both_ends_belong_to_the_flight(timed_cache, clock, moment, reason):
    """One ms before the start and one after the end it may not run."""
    campaigns = CampaignCache(timed_cache)
    start = START + timedelta(seconds=1)
    campaigns.set_campaign(
        campaign(start_date=start, end_date=start + timedelta(seconds=10))
    )
    clock.advance(1 + moment / 1000)

    assert reason == campaigns.get_state("tea").reason


@pytest.mark.parametrize(
    ("first", "last", "reason"),
    [
        (datetime(1, 1, 2), datetime(9999, 12, 30), "active"),
        (datetime(1, 1, 2), datetime(1, 1, 3), "ended"),
        (datetime(9999, 1, 1), datetime(9999, 12, 30), "not started"),
    ],
)
def test_flights_of_all_times_can_be_stored(cache, first, last, reason):
    """From the year 1 to the year 9999, with the largest bid, indexed and charged."""
    campaigns = CampaignCache(cache)
    flight = {
        "start_date": first.replace(tzinfo=UTC),
        "end_date": last.replace(tzinfo=UTC),
    }
    stored = campaign(**flight, bid_price=10**9, daily_budget=5)
    campaigns.set_campaign(stored)

    assert campaigns.index_campaign_targeting("tea", {"interests": ["tea"]})
    assert reason == campaigns.get_state("tea").reason
    assert (reason == "active") == bool(campaigns.get_ads("tea"))
    assert stored == campaigns.get_campaign("tea")
    assert campaigns.update_campaign_spend("tea", 5)
    assert reason.replace("active", "daily budget") == campaigns.get_state("tea").reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "active"),
        ({"status": "paused"}, "paused"),
        ({"status": "draft"}, "inactive"),
        ({"status": "ACTIVE"}, "inactive"),
        ({"budget": 0}, "budget"),
        ({"spent": 100}, "budget"),
        ({"spent": 100.000001}, "budget"),
        ({"spent": 99.999999}, "active"),
        ({"daily_budget": 0}, "daily budget"),
        ({"daily_budget": 5}, "active"),
    ],
)
def test_why_a_campaign_may_not_run(timed_cache, changes, reason):
    """Status, whole budget and daily budget, judged at one moment."""
    campaigns = CampaignCache(timed_cache)
    campaigns.set_campaign(campaign(**changes))
    state = campaigns.get_state("tea")

    assert (reason, reason == "active") == (state.reason, bool(state))
    assert 2_500_000 == state.bid


def test_a_spent_day_ends_at_local_midnight(timed_cache, clock):
    """In Seoul the day of START ends at 15:00 UTC; the whole budget stays spent."""
    campaigns = CampaignCache(timed_cache)
    wanted = campaign(daily_budget=5, time_zone="Asia/Seoul", budget=7)
    campaigns.set_campaign(wanted, ttl=10 * DAY)
    campaigns.update_campaign_spend("tea", 5)
    reasons = [campaigns.get_state("tea").reason]
    for step in (15 * 3600 - 0.001, 0.001):
        clock.advance(step)
        reasons.append(campaigns.get_state("tea").reason)
    campaigns.update_campaign_spend("tea", 2)
    reasons.append(campaigns.get_state("tea").reason)

    assert ["daily budget", "daily budget", "active", "budget"] == reasons


def test_unknown_and_lost_campaigns_do_not_run(cache):
    """Nothing is known of it, or its counter is gone: both are a no."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running())
    cache.redis_client.delete(cache.get_key("campaign_spend", campaign_id="tea"))

    assert "unknown" == campaigns.get_state("nobody").reason
    assert "lost" == campaigns.get_state("tea").reason
    assert "lost" == campaigns.update_campaign_spend("tea", 1).reason


def test_a_record_is_over_at_its_time(timed_cache, clock):
    """Its own expiry decides, one ms after the other; the counter stays."""
    campaigns = CampaignCache(timed_cache)
    campaigns.set_campaign(campaign(), ttl=60)
    clock.advance(59.999)
    assert campaigns.get_campaign("tea")
    clock.advance(0.001)

    assert None is campaigns.get_campaign("tea")
    assert "unknown" == campaigns.get_state("tea").reason
    assert not campaigns.pause("tea")
    assert not campaigns.delete_campaign("tea")


def test_how_long_the_keys_live(cache):
    """A record two hours, the counter until a month after the flight."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running())
    record, spend = (
        cache.redis_client.ttl(cache.get_key(pattern, campaign_id="tea"))
        for pattern in ("campaign", "campaign_spend")
    )
    assert 7190 < record <= 7200
    assert 39 * DAY - 60 < spend <= 39 * DAY

    campaigns.set_campaign(
        running(end_date=datetime.now(UTC) + timedelta(days=1)), ttl=60
    )
    shortened = cache.redis_client.ttl(
        cache.get_key("campaign_spend", campaign_id="tea")
    )
    assert 39 * DAY - 60 < shortened
    campaigns.set_campaign(running(end_date=datetime.now(UTC) + timedelta(days=99)))
    longer = cache.redis_client.ttl(cache.get_key("campaign_spend", campaign_id="tea"))
    assert 129 * DAY - 60 < longer


def test_a_charge_keeps_the_counter_for_the_flight(cache):
    """A budget script that saves the counter does not let it die before the end."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running())
    campaigns.update_campaign_spend("tea", 1)
    campaigns.set_campaign(running(end_date=datetime.now(UTC) + timedelta(days=99)))

    spend = cache.get_key("campaign_spend", campaign_id="tea")
    assert 98 * DAY < cache.redis_client.ttl(spend)


def test_pause_and_resume_change_the_record(cache):
    """Status and record agree; money and everything else stay."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running(spent=5))
    before = campaigns.get_campaign("tea")
    answers = [campaigns.pause("tea"), campaigns.pause("tea")]
    paused = campaigns.get_campaign("tea")
    answers.append(campaigns.resume("tea"))

    assert [True, True, True] == answers
    assert "paused" == paused.status
    assert before == campaigns.get_campaign("tea")


def test_an_unknown_campaign_cannot_be_paused_or_deleted(cache):
    """False, and nothing is created."""
    campaigns = CampaignCache(cache)

    assert [False] * 3 == [
        campaigns.pause("nobody"),
        campaigns.resume("nobody"),
        campaigns.delete_campaign("nobody"),
    ]
    assert [] == all_keys(cache)


def test_a_deleted_campaign_leaves_its_money(cache):
    """The record is gone at once, what was spent is not."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running())
    campaigns.update_campaign_spend("tea", 4)

    assert [True, False] == [campaigns.delete_campaign("tea") for _ in range(2)]
    assert None is campaigns.get_campaign("tea")
    assert [cache.get_key("campaign_spend", campaign_id="tea")] == all_keys(cache)
    campaigns.set_campaign(running())
    assert 4 == campaigns.get_campaign("tea").spent


def test_hostile_ids_are_kept_apart(cache):
    """Each odd id has a record and a counter of its own."""
    campaigns = CampaignCache(cache)
    for number, each in enumerate(HOSTILE):
        campaigns.set_campaign(campaign(each, spent=number))
        campaigns.update_campaign_spend(each, 1, operation_id=each)

    found = [campaigns.get_campaign(each) for each in HOSTILE]
    assert HOSTILE == [each.campaign_id for each in found]
    assert [n + 1 for n in range(len(HOSTILE))] == [each.spent for each in found]


@pytest.mark.parametrize("bad", ["", None, 7, b"tea"])
def test_a_bad_id_is_refused_before_anything_is_written(fake, bad):
    """Empty and non-text ids are a ValueError in every place."""
    campaigns = CampaignCache(fake)
    for call in (
        campaigns.get_campaign,
        campaigns.get_state,
        campaigns.pause,
        campaigns.delete_campaign,
        lambda each: campaigns.update_campaign_spend(each, 1),
        lambda each: campaigns.index_campaign_targeting(each, {}),
    ):
        with pytest.raises(ValueError, match="campaign_id must"):
            call(bad)
    with pytest.raises(InvalidValue):
        campaigns.update_campaign_spend("tea", 1, operation_id="")

    assert [] == all_keys(fake)


@pytest.mark.parametrize(
    "amount", [-1, -0.0000001, float("nan"), float("inf"), "1,5", None, True, 10**10]
)
def test_a_bad_amount_is_refused_before_anything_is_written(fake, amount):
    """The error names what was wrong; the counter has not moved."""
    campaigns = CampaignCache(fake)
    campaigns.set_campaign(campaign())
    with pytest.raises(ValueError, match="spend_amount") as error:
        campaigns.update_campaign_spend("tea", amount)

    assert isinstance(error.value, AdCacheError)
    assert 0 == campaigns.get_campaign("tea").spent


@pytest.mark.parametrize(
    "changes",
    [
        {"targeting": {"when": datetime(2026, 1, 1)}},
        {"targeting": {"odds": float("nan")}},
        {"targeting": {"tags": {"a", "b"}}},
        {"targeting": {"half": "\ud800"}},
        {"advertiser_id": "\ud800"},
        {"campaign_id": "\ud800"},
        {"status": "\ud800"},
        {"targeting": {"age_range": "25-35"}},
        {"targeting": {"interests": "tea"}},
        {"targeting": {"hourly_traffic": [1]}, "pacing": "even"},
    ],
)
def test_what_json_cannot_hold_is_refused(fake, changes):
    """A ValueError before anything is written, not a value that comes back changed."""
    with pytest.raises(InvalidValue):
        CampaignCache(fake).set_campaign(campaign(**changes))

    assert [] == all_keys(fake)


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "60", None, True])
def test_a_bad_ttl_is_refused_before_anything_is_written(fake, ttl):
    """For records and for the index."""
    with pytest.raises(ValueError, match="ttl must be"):
        CampaignCache(fake).set_campaign(campaign(), ttl)
    with pytest.raises(ValueError, match="index_ttl must be"):
        CampaignCache(fake, index_ttl=ttl)

    assert [] == all_keys(fake)


@pytest.mark.parametrize("status", ["", None, 7])
def test_a_bad_status_is_refused(fake, status):
    """A status is a word; anything else changes nothing."""
    campaigns = CampaignCache(fake)
    campaigns.set_campaign(campaign())
    with pytest.raises(ValueError, match="status must be"):
        campaigns.set_status("tea", status)

    assert "active" == campaigns.get_campaign("tea").status


def test_a_thing_that_is_no_campaign_is_refused(cache):
    """A dict is not a CampaignData."""
    with pytest.raises(InvalidValue, match="must be a CampaignData"):
        CampaignCache(cache).set_campaign({"campaign_id": "tea"})


def test_the_largest_budget_is_counted_exactly(cache):
    """2^53 - 1 micros; also the charge that would pass it is refused, not rounded."""
    campaigns = CampaignCache(cache)
    most = 9_007_199_254
    campaigns.set_campaign(running(budget=most, daily_budget=most, bid_price=10**9))
    charged = campaigns.update_campaign_spend("tea", most - 1)
    rest = [campaigns.update_campaign_spend("tea", amount) for amount in (2, 1, 1)]

    assert charged
    assert [False, True, False] == [bool(each) for each in rest]
    assert most == campaigns.get_campaign("tea").spent
    assert most * 10**6 <= MAX_MICROS


def test_a_damaged_record_is_an_error_that_says_so(cache):
    """Broken is an error: it names the cure and is not taken for unknown."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(campaign())
    key = cache.get_key("campaign", campaign_id="tea")
    cache.redis_client.hset(key, "record", '{"campaign_id": 7}')
    with pytest.raises(UnreadableRecord, match="set it again"):
        campaigns.get_campaign("tea")
    cache.redis_client.delete(key)
    cache.redis_client.set(key, "another program's", ex=60)
    with pytest.raises(CommandRefused):
        campaigns.get_campaign("tea")


def test_flushed_scripts_do_no_harm(cache):
    """SCRIPT FLUSH before every call: each finds its way."""
    campaigns, answers = CampaignCache(cache), []
    for call in (
        lambda: campaigns.set_campaign(running()),
        lambda: campaigns.index_campaign_targeting("tea", {"interests": ["tea"]}),
        lambda: campaigns.update_campaign_spend("tea", 1),
        lambda: campaigns.get_state("tea"),
        lambda: campaigns.get_active_campaigns({"interests": ["tea"]}),
        lambda: len(campaigns.get_ads("tea")),
        lambda: campaigns.pause("tea"),
        lambda: campaigns.delete_campaign("tea"),
    ):
        cache.redis_client.script_flush()
        answers.append(call())

    assert [None, True, True, True, ["tea"], 1, True, True] == [
        bool(a) if a is not None and not isinstance(a, list | int) else a
        for a in answers
    ]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(0, 3_000_000), max_size=12), st.integers(0, 9_000_000))
def test_charges_add_up_to_the_micro(cache, amounts, budget):
    """Whatever the amounts: spent is their exact sum, and never beyond the budget."""
    campaigns, spent = CampaignCache(cache), 0
    campaigns.delete_campaign("tea")
    cache.redis_client.delete(cache.get_key("campaign_spend", campaign_id="tea"))
    campaigns.set_campaign(running(budget=f"{budget / 10**6:.6f}"))
    for amount in amounts:
        answer = campaigns.update_campaign_spend("tea", f"{amount / 10**6:.6f}")
        spent += amount if spent + amount <= budget else 0
        assert spent == round(answer.spent * 10**6)


def _run(jobs):
    """Run jobs in threads at once; an error in one is an error of the test."""
    errors: list[BaseException] = []

    def guarded(job) -> None:
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == errors


def test_a_lost_counter_stays_lost_until_somebody_answers_for_it(cache):
    """After an eviction a refresh does not begin anew at an old `spent`."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running("tea", spent=2.0))
    assert campaigns.update_campaign_spend("tea", 5)
    cache.wire.execute("DEL", cache.get_key("campaign_spend", campaign_id="tea"))
    campaigns.set_campaign(running("tea", spent=2.0))

    assert "lost" == campaigns.update_campaign_spend("tea", 1).reason
    assert not campaigns.update_campaign_spend("tea", 1)
    campaigns.set_campaign(running("tea", spent=7.0), reseed=True)
    assert campaigns.update_campaign_spend("tea", 1)
    assert 8.0 == campaigns.get_campaign("tea").spent

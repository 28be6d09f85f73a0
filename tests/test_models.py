"""Profiles and campaigns are checked and put in one shape when they are built."""

import time
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from adcache.errors import AdCacheError, InvalidValue
from adcache.models import CampaignData, UserProfile

NOON = datetime(2026, 3, 14, 12, 0, 0, 123_456, tzinfo=UTC)


def profile(**fields):
    """A valid profile but for `fields`."""
    return UserProfile(
        **{
            "user_id": "ada",
            "interests": ["books", "tech"],
            "demographics": {"age": 36, "country": "GBR"},
            "behavior_score": 75.5,
            "last_activity": NOON,
            "segment": "high_value",
        }
        | fields
    )


def campaign(**fields):
    """A valid campaign but for `fields`."""
    return CampaignData(
        **{
            "campaign_id": "sneakers",
            "advertiser_id": "sneakers-maker",
            "budget": 500.0,
            "spent": 12.5,
            "bid_price": 2.4,
            "targeting": {"interests": ["sports"], "locations": ["all"]},
            "status": "active",
            "start_date": NOON,
            "end_date": NOON + timedelta(days=30),
        }
        | fields
    )


def test_a_profile_keeps_what_it_is_given():
    """Valid values come back as they went in, microseconds and all."""
    ada = profile()

    assert ["books", "tech"] == ada.interests
    assert {"age": 36, "country": "GBR"} == ada.demographics
    assert (75.5, NOON, "high_value") == (
        ada.behavior_score,
        ada.last_activity,
        ada.segment,
    )


def test_records_with_equal_values_are_equal():
    """Two records built of the same values compare equal, others do not."""
    assert profile() == profile()
    assert profile() != profile(segment="new")
    assert campaign(budget=500) == campaign(budget=Decimal("500.00"))


def test_lists_and_dicts_are_copied():
    """Changing the list that a profile was built of does not change the profile."""
    interests, demographics = ["books"], {"age": 36}
    ada = profile(interests=interests, demographics=demographics)
    interests.append("cars")
    demographics["age"] = 37

    assert (["books"], {"age": 36}) == (ada.interests, ada.demographics)


def test_another_time_zone_becomes_utc():
    """The moment stays, its zone becomes UTC."""
    seoul = timezone(timedelta(hours=9))
    ada = profile(last_activity=datetime(2026, 3, 14, 21, 0, tzinfo=seoul))

    assert datetime(2026, 3, 14, 12, 0, tzinfo=UTC) == ada.last_activity
    assert UTC is ada.last_activity.tzinfo


def test_a_naive_datetime_is_local_time(monkeypatch):
    """Without a zone the clock on the wall is meant, and UTC is what is kept."""
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    try:
        ada = profile(last_activity=datetime(2026, 3, 14, 7, 0))
    finally:
        monkeypatch.undo()
        time.tzset()

    assert datetime(2026, 3, 14, 12, 0, tzinfo=UTC) == ada.last_activity


@pytest.mark.parametrize("amount", [10.1, "10.10", Decimal("10.1"), 10.1000001])
def test_money_is_rounded_to_the_micro_once(amount):
    """Every way to write an amount gives the same micros and the same record."""
    sneakers = campaign(budget=amount)

    assert 10_100_000 == sneakers.budget_micros
    assert 10.1 == sneakers.budget


def test_a_campaign_gives_its_money_in_micros():
    """Budget and spend are in micros of the unit, the bid is a CPM in micros."""
    sneakers = campaign(budget=500, spent="12.50", bid_price=2.4)

    assert 500_000_000 == sneakers.budget_micros
    assert 12_500_000 == sneakers.spent_micros
    assert 2_400_000 == sneakers.bid_price_micros


def test_an_exhausted_or_ended_campaign_can_be_built():
    """Being inactive is not being invalid: it must be possible to store it."""
    over = campaign(budget=10, spent=11, status="ended", end_date=NOON)

    assert over.spent_micros > over.budget_micros
    assert over.start_date == over.end_date


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user_id", ""),
        ("user_id", 7),
        ("user_id", None),
        ("segment", ""),
        ("interests", "books"),
        ("interests", None),
        ("interests", ["books", ""]),
        ("interests", ["books", 3]),
        ("demographics", [("age", 36)]),
        ("demographics", {36: "age"}),
        ("behavior_score", float("nan")),
        ("behavior_score", float("inf")),
        ("behavior_score", 10**400),
        ("behavior_score", True),
        ("behavior_score", "75"),
        ("last_activity", "2026-03-14"),
        ("last_activity", NOON.date()),
        ("last_activity", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9)))),
    ],
)
def test_a_profile_refuses(field, value):
    """A wrong value is a ValueError whose text begins with the field or part of it."""
    with pytest.raises(InvalidValue, match=f"^(each of )?{field} ") as caught:
        profile(**{field: value})

    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, AdCacheError)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("campaign_id", ""),
        ("advertiser_id", None),
        ("budget", -0.01),
        ("budget", float("nan")),
        ("budget", float("inf")),
        ("budget", "ten"),
        ("budget", None),
        ("spent", -1),
        ("bid_price", float("inf")),
        ("bid_price", True),
        ("targeting", "sports"),
        ("targeting", {1: "sports"}),
        ("status", ""),
        ("start_date", None),
        ("end_date", "tomorrow"),
        ("end_date", NOON - timedelta(microseconds=1)),
    ],
)
def test_a_campaign_refuses(field, value):
    """A wrong value is a ValueError whose text begins with the field."""
    with pytest.raises(InvalidValue, match=f"^{field} "):
        campaign(**{field: value})


def test_the_fields_stand_in_the_order_of_the_course():
    """Positional use stays possible, in the published order."""
    by_position = CampaignData(
        "c", "a", 1.0, 0.0, 2.0, {}, "active", NOON, NOON + timedelta(days=1)
    )

    assert ("c", "a", 2.0) == (
        by_position.campaign_id,
        by_position.advertiser_id,
        by_position.bid_price,
    )

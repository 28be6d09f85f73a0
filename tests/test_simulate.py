"""Simulated traffic is repeatable, valid, and shaped as it says."""

import hashlib
import json
from collections import Counter
from datetime import timedelta
from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adcache.errors import InvalidValue
from adcache.models import CampaignData, UserProfile
from adcache.openrtb import decode_bid_request
from adcache.simulate import (
    CAST,
    SAMPLES,
    START,
    arrivals,
    bid_requests,
    bids,
    campaigns,
    creatives,
    daily_curve,
    lognormal,
    sample_request,
    user_id,
    user_profiles,
    zipf_index,
)


def test_the_same_seed_gives_the_same_traffic_on_every_python():
    """The digest of a day is pinned, so that lessons print the same everywhere."""
    rng = Random(7)
    day = [
        list(bid_requests(50, seed=7)),
        bids(20, rng),
        bids(20, rng, "uniform"),
        [moment.isoformat() for moment in arrivals(50, seed=7)],
        [repr(profile) for profile in user_profiles(20, seed=7)],
        [repr(campaign) for campaign in campaigns(20, seed=7)],
    ]
    digest = hashlib.sha256(json.dumps(day).encode()).hexdigest()

    assert "16317ff525963508" == digest[:16]


def test_another_seed_gives_other_traffic():
    """The seed decides: two seeds, two days."""
    assert list(bid_requests(20, seed=1)) != list(bid_requests(20, seed=2))
    assert arrivals(20, seed=1) != arrivals(20, seed=2)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**63), users=st.integers(1, 5000), at=st.sampled_from([1, 2])
)
def test_every_generated_request_is_valid(seed, users, at):
    """What is generated passes the decoder, with its auction type and a floor."""
    for raw in bid_requests(20, seed, users=users, at=at):
        request = decode_bid_request(raw)

        assert at == request.at
        assert all(imp.floor_micros > 0 for imp in request.imp)


def test_request_ids_never_repeat():
    """Every request of a run has an id of its own."""
    assert 500 == len({request["id"] for request in bid_requests(500, seed=3)})


def test_requests_are_not_tied_to_each_other():
    """Changing one request changes neither the samples nor the next request."""
    first = next(bid_requests(1, seed=5))
    first["imp"][0].clear()
    first["device"].clear()

    assert next(bid_requests(1, seed=5))["imp"][0]
    assert all(sample_request(name)["imp"][0]["id"] == "1" for name in SAMPLES)


def test_traffic_is_mixed_and_mostly_banners():
    """All media occur, banners most often and audio least."""
    tags = Counter(
        next(m for m in ("banner", "video", "audio", "native") if m in r["imp"][0])
        for r in bid_requests(2000, seed=1)
    )

    assert {"banner", "video", "audio", "native"} == set(tags)
    assert ("banner", "audio") == (tags.most_common()[0][0], tags.most_common()[-1][0])


def test_limited_tracking_carries_no_ids():
    """A device with lmt 1 comes without ifa and user; the others have both."""
    requests = [decode_bid_request(r) for r in bid_requests(1000, seed=4)]
    limited = [r for r in requests if r.device.lmt]

    assert 0 < len(limited) < 200
    assert all(r.user is None and r.device.ifa is None for r in limited)
    assert all(r.user.id and r.device.ifa for r in requests if not r.device.lmt)


def test_a_user_lives_in_one_place():
    """The same user always comes from the country that the profile names."""
    homes = {p.user_id: p.demographics["country"] for p in user_profiles(200)}
    for request in bid_requests(500, seed=9, users=200):
        if "user" in request:
            home = homes[request["user"]["buyeruid"]]
            assert home == request["device"]["geo"]["country"]


def test_an_unknown_sample_is_named_with_those_that_exist():
    """A misspelt sample is a ValueError that lists the right names."""
    with pytest.raises(InvalidValue, match=r"mobile_news.*got 'mobile_new'"):
        sample_request("mobile_new")


def test_zipf_gives_the_first_twice_the_second():
    """With exponent 1 the shares of ranks 1, 2 and 4 are as 4 : 2 : 1."""
    rng = Random(1)
    drawn = Counter(zipf_index(100, rng) for _ in range(40_000))
    share = sum(1 / k for k in range(1, 101))

    for rank in (0, 1, 3):
        expected = 40_000 / (rank + 1) / share
        assert expected == pytest.approx(drawn[rank], rel=0.1)
    assert all(0 <= index < 100 for index in drawn)


@pytest.mark.parametrize("n", [0, -1])
def test_zipf_needs_somebody_to_draw(n):
    """No users is a ValueError, not an endless or empty draw."""
    with pytest.raises(InvalidValue, match="at least 1"):
        zipf_index(n, Random(1))


def test_zipf_of_one_is_certain():
    """A single user is always the one."""
    assert {0} == {zipf_index(1, Random(seed)) for seed in range(20)}


def test_the_daily_curve_has_a_night_and_an_evening():
    """Mean 1 over the day, lowest at 4 h, highest at 19 or 20 h, never negative."""
    hours = [daily_curve(hour) for hour in range(24)]

    assert 1 == pytest.approx(sum(hours) / 24)
    assert 4 == hours.index(min(hours))
    assert hours.index(max(hours)) in (19, 20)
    assert 0.15 < min(hours) < 0.25
    assert 1.6 < max(hours) < 1.7
    assert daily_curve(0) == pytest.approx(daily_curve(24))


def test_arrivals_follow_the_daily_curve():
    """In order, inside the day, and each hour gets its share."""
    moments = arrivals(24_000, seed=2)
    per_hour = Counter(moment.hour for moment in moments)

    assert moments == sorted(moments)
    assert all(START <= moment < START + timedelta(days=1) for moment in moments)
    for hour in range(24):
        expected = 1000 * daily_curve(hour + 0.5)
        assert expected == pytest.approx(per_hour[hour], rel=0.15, abs=20)


def test_lognormal_prices_have_the_median_and_a_long_tail():
    """Half are under the median; the mean is above it by exp(sigma**2 / 2)."""
    rng = Random(3)
    prices = sorted(lognormal(1.5, 0.5, rng) for _ in range(10_000))

    assert 1.5 == pytest.approx(prices[5000], rel=0.03)
    assert 1.5 * 1.1331 == pytest.approx(sum(prices) / 10_000, rel=0.03)


def test_second_price_revenue_is_what_theory_says():
    """Uniform bidders, n of them, pay (n-1)/(n+1) on average at the second price."""
    rng = Random(4)
    for n in (2, 5):
        prices = [
            sorted(p for _, p in bids(n, rng, "uniform", 1.0)) for _ in range(8000)
        ]
        revenue = sum(offers[-2] for offers in prices) / 8000

        assert (n - 1) / (n + 1) == pytest.approx(revenue, abs=0.01)


def test_bidders_are_the_cast_then_numbers_or_whoever_is_named():
    """A number stands for that many campaigns, a list for itself."""
    names = [name for name, _ in bids(8, Random(1))]

    assert [*CAST.campaigns, "campaign_7", "campaign_8"] == names
    assert ["x", "y"] == [name for name, _ in bids(["x", "y"], Random(1))]
    assert [] == bids(0, Random(1))


def test_an_unknown_density_is_refused():
    """A misspelt density is a ValueError that lists the right names."""
    with pytest.raises(InvalidValue, match="lognormal or uniform, got 'normal'"):
        bids(2, Random(1), "normal")


def test_the_cast_comes_first():
    """The six known campaigns and users lead, numbered ones follow."""
    made, people = campaigns(8), user_profiles(8)

    assert [*CAST.campaigns, "campaign_7", "campaign_8"] == [
        campaign.campaign_id for campaign in made
    ]
    assert [*CAST.users, "user_7", "user_8"] == [person.user_id for person in people]
    assert "ada" == user_id(0)
    assert all(isinstance(campaign, CampaignData) for campaign in made)
    assert all(isinstance(person, UserProfile) for person in people)


def test_the_named_campaigns_do_not_depend_on_the_seed():
    """Lessons can rely on the terms of the cast."""
    assert campaigns(6, seed=1) == campaigns(6, seed=2)


def test_two_calls_share_nothing():
    """A lesson that changes a campaign's targeting does not change the next one's."""
    campaigns()[0].targeting["interests"].append("cars")

    assert ["sports"] == campaigns()[0].targeting["interests"]


def test_requests_are_made_one_by_one():
    """A generator: a million requests cost nothing until they are asked for."""
    assert 3 == len(list(islice(bid_requests(10**9), 3)))


def test_every_campaign_has_an_ad_for_every_slot():
    """The ads named by the campaigns exist, one for each kind of sample."""
    made = {creative.creative_id: creative for creative in creatives(8)}
    for campaign in campaigns(8):
        own = [made[name] for name in campaign.creatives]

        assert {campaign.campaign_id} == {creative.campaign_id for creative in own}
        assert {"banner", "video", "audio", "native"} == {c.format for c in own}

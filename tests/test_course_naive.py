"""The naive design works for one user and one server, and breaks where lessons say."""

from dataclasses import replace

import pytest

from adcache import CampaignData
from adcache.course.naive import Naive
from tools.bench import jobs_decision
from tools.bench.jobs_profiles import profile
from tools.bench.proxy import TripCounter


@pytest.fixture
def naive(timed_cache):
    """The naive design, with a manual clock."""
    return Naive(timed_cache)


def test_a_profile_comes_back_and_its_score_adds_up(naive):
    """Written, read, and changed by three trips; a stranger becomes a ghost."""
    naive.set_user_profile(profile("ada"))
    naive.update_user_activity("ada", 2.5)
    naive.update_user_activity("ghost", 1)
    naive.client.expire(naive.key("profile", "ghost"), 9)

    assert 78.0 == naive.get_user_profile("ada").behavior_score
    assert replace(profile("ada"), last_activity=naive.now(), behavior_score=78.0) == (
        naive.get_user_profile("ada")
    )
    with pytest.raises(KeyError):
        naive.get_user_profile("ghost")
    assert naive.get_user_profile("nobody") is None


def test_a_session_is_read_and_touched(naive):
    """Its data come back; a touch resurrects what was deleted."""
    naive.create_session("s1", {"user_id": "ada", "cart": ["tea"]})
    naive.touch_session("s1")
    naive.touch_session("deleted")

    assert ["tea"] == naive.get_session("s1")["data"]["cart"]
    assert 1 == naive.client.exists(naive.key("session", "deleted"))
    assert naive.get_session("nobody") is None


def test_active_campaigns_are_found_by_interest_and_place(naive):
    """In flight, with money left; its own place and "all"."""
    now = naive.now()
    tea = CampaignData("tea", "maker", 10, 0, 2, {}, "active", now, now)
    there = {"interests": ["food"], "locations": ["GBR"]}
    everywhere = {"interests": ["food"], "locations": ["all"]}
    naive.set_campaign(replace(tea, targeting=there))
    naive.set_campaign(replace(tea, campaign_id="jam", targeting=everywhere))
    naive.set_campaign(
        replace(tea, campaign_id="off", targeting=there, status="paused")
    )
    found = {row["campaign_id"] for row in naive.get_active_campaigns(["food"], "GBR")}
    naive.spend("tea", 10)
    left = [row["campaign_id"] for row in naive.get_active_campaigns(["food"], "GBR")]

    assert {"tea", "jam"} == found
    assert ["jam"] == left


def test_the_highest_bid_wins_also_under_the_floor(naive):
    """Nobody looks at the floor."""
    naive.create_auction("a1", floor=5.0)
    bids = [
        naive.submit_bid("a1", *bid) for bid in (("x", 2.0), ("y", 1.0), ("z", 3.0))
    ]

    assert [True, False, True] == bids
    assert "z" == naive.get_auction_winner("a1")
    assert "" == naive.get_auction_winner("nothing")


def test_a_week_is_summed_up(naive, clock):
    """Seven trips for seven days, and the ratios."""
    for _ in range(2):
        naive.increment_stat("tea", "impressions", 100)
        naive.increment_stat("tea", "clicks", 5)
        naive.increment_stat("tea", "cost", 1.0)
        clock.advance(86_400)
    summary = naive.get_campaign_summary("tea")

    assert (200, 10, 2.0) == tuple(
        summary[m] for m in ("impressions", "clicks", "cost")
    )
    assert (0.05, 0.0, 0.2, 0.0) == tuple(
        summary[m] for m in ("ctr", "cvr", "cpc", "roas")
    )


def test_a_record_is_loaded_once_by_one_caller(naive):
    """The second read finds the copy."""
    loads = []

    def load(name):
        loads.append(name)
        return {"name": name}

    assert [{"name": "tea"}] * 2 == [naive.read_through("tea", load) for _ in "ab"]
    assert ["tea"] == loads


def test_the_whole_decision_takes_some_45_trips(own_server):
    """Ten candidates, one bid, and what both ad servers answer is the same ad."""
    jobs_decision.prepare(jobs_decision.TEN, 10)(own_server.url)
    with TripCounter(own_server.url) as proxy:
        naive = jobs_decision.NaiveDecider(proxy.url)
        naive.run(1)
        before = proxy.trips
        naive.run(4)
        trips = (proxy.trips - before) / 4
        ours = jobs_decision.Decider(proxy.url, jobs_decision.TEN)
        ours.run(1)
        naive.tidy()
        ours.tidy()
    raw = next(jobs_decision.requests())
    (bid,) = ours.server.handle(raw).seatbid[0].bid

    assert 40 <= trips <= 56
    assert f'"crid": "{bid.crid}"' in naive.server.handle(raw)

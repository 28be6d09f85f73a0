"""The targeting index, on every backend: who is found where, and at what cost."""

import threading
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from adcache import (
    CampaignCache,
    CreativeCache,
    InvalidValue,
    ManualClock,
    RedisAdCache,
    RedisUnavailable,
    connect,
)
from adcache.ad_line import AdLine, CreativeLine, read_targeting
from adcache.campaigns_index import READY
from tests.campaign_help import HOSTILE, START, banner, campaign, running, trips_of
from tests.conftest import all_keys, empty
from tests.proxy import Proxy

DAY = 86_400


@pytest.fixture
def fake(make_cache) -> RedisAdCache:
    """Embedded fake: what is refused before it reaches Redis needs no server."""
    return make_cache("fakeredis")


def listed(campaigns, interest, location="all"):
    """Ids of the campaigns that a decision would read in one cell."""
    return [line.campaign_id for line in campaigns.get_ads(interest, location)]


def fill(campaigns, bids, interests=("tea",)):
    """Store and index a campaign per bid."""
    for campaign_id, bid in bids.items():
        campaigns.set_campaign(running(campaign_id, bid_price=bid))
        campaigns.index_campaign_targeting(campaign_id, {"interests": list(interests)})


def test_a_campaign_is_found_by_each_of_its_interests(cache):
    """By those of the index, not by those of the record."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running(targeting={"interests": ["milk"]}))
    indexed = campaigns.index_campaign_targeting("tea", {"interests": ["tea", "cake"]})
    found = {
        interest: campaigns.get_active_campaigns({"interests": [interest]})
        for interest in ("tea", "cake", "milk")
    }

    assert indexed
    assert {"tea": ["tea"], "cake": ["tea"], "milk": []} == found


def test_a_place_finds_its_own_and_those_for_all(cache):
    """Who is for all locations is found in each, and alone where no place is named."""
    campaigns = CampaignCache(cache)
    fill(campaigns, {"here": 3, "there": 2, "everywhere": 1})
    for campaign_id, place in (("here", ["GBR", "FRA"]), ("there", ["KOR"])):
        wanted = {"interests": ["tea"], "locations": place}
        campaigns.index_campaign_targeting(campaign_id, wanted)
    found = {
        place: campaigns.get_active_campaigns({"interests": ["tea"], "location": place})
        for place in ("GBR", "FRA", "KOR", "USA", "all")
    }

    assert {
        "GBR": ["here", "everywhere"],
        "FRA": ["here", "everywhere"],
        "KOR": ["there", "everywhere"],
        "USA": ["everywhere"],
        "all": ["everywhere"],
    } == found
    assert ["everywhere"] == campaigns.get_active_campaigns({"interests": ["tea"]})


def test_a_campaign_without_interests_is_for_everybody(cache):
    """Run of network: found by any interest, and by none."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running())
    campaigns.index_campaign_targeting("tea", {"interests": [], "location": "GBR"})

    for criteria in ({"interests": ["x"]}, {"interests": []}, {}):
        assert ["tea"] == campaigns.get_active_campaigns(criteria | {"location": "GBR"})
        assert [] == campaigns.get_active_campaigns(criteria)


def test_each_campaign_comes_once_the_highest_bid_first(cache):
    """Found by several interests, ordered by bid, equal bids by id: always the same."""
    campaigns = CampaignCache(cache)
    bids = {"b": 2, "a": 2, "z": 9.5, "k": 0.000001, "j": 0}
    fill(campaigns, bids, interests=["tea", "cake", "milk"])
    wanted = {"interests": ["milk", "tea", "cake", "tea"]}

    for _ in range(3):
        assert ["z", "a", "b", "k", "j"] == campaigns.get_active_campaigns(wanted)


@pytest.mark.parametrize("count", [1, 12])
def test_two_trips_whatever_the_number_of_interests(cache, count):
    """And whatever the number of campaigns; nothing found is one."""
    campaigns = CampaignCache(cache)
    interests = [f"i{n}" for n in range(count)]
    fill(campaigns, {f"c{n}": n for n in range(count)}, interests)
    ask = campaigns.get_active_campaigns

    assert 2 == trips_of(cache, lambda: ask({"interests": interests}))
    assert 1 == trips_of(cache, lambda: ask({"interests": [], "location": "x"}))
    assert count == len(ask({"interests": interests, "location": "x"}))


def test_only_active_campaigns_are_found(cache):
    """Paused, ended, exhausted and unknown ones can be stored; nobody finds them."""
    campaigns = CampaignCache(cache)
    fill(campaigns, dict.fromkeys(["fine", "paused", "spent", "gone", "today"], 1))
    campaigns.pause("paused")
    campaigns.update_campaign_spend("spent", 100)
    campaigns.set_campaign(running("today", daily_budget=5))
    campaigns.update_campaign_spend("today", 5)
    cache.redis_client.delete(cache.get_key("campaign", campaign_id="gone"))
    campaigns.set_campaign(campaign("ended", end_date=START, start_date=START))
    campaigns.index_campaign_targeting("ended", {"interests": ["tea"]})

    assert ["fine"] == campaigns.get_active_campaigns({"interests": ["tea"]})


def test_a_new_index_removes_the_old_one(cache):
    """Where the campaign is no longer wanted it is not found any more."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running())
    for interests in (["tea", "cake"], ["cake", "milk"], []):
        campaigns.index_campaign_targeting("tea", {"interests": interests})
    found = {i: listed(campaigns, i) for i in ("tea", "cake", "milk", "any")}

    assert {"tea": [], "cake": [], "milk": [], "any": ["tea"]} == found


def test_the_index_may_come_before_the_record(cache):
    """It is remembered; the campaign is found as soon as it is stored."""
    campaigns = CampaignCache(cache)
    wanted = {"interests": ["tea"], "age_range": [18, 30]}

    assert not campaigns.index_campaign_targeting("tea", wanted)
    assert [] == listed(campaigns, "tea")
    campaigns.set_campaign(running())
    assert [(18, 30)] == [line.age_range for line in campaigns.get_ads("tea")]


def test_a_line_says_all_that_a_decision_needs(timed_cache, clock):
    """Record, targeting and creatives in one line, without the markup."""
    campaigns = CampaignCache(timed_cache)
    campaigns.set_campaign(
        campaign(
            "téa 🦊",
            bid_price=2.25,
            targeting={"age_range": [25, 35], "segments": ["new"], "color": "green"},
            pacing="even",
            caps=[(3, 3600)],
            deals=["d1"],
            adomain=["tea.example"],
            cat=["IAB8-18"],
        )
    )
    video = banner(
        "v", "téa 🦊", format="video", duration=15, mimes=["video/mp4"], attr=[1, 2]
    )
    campaigns.index_campaign_targeting(
        "téa 🦊",
        {"interests": ["tea"], "devices": ["tablet", "tv", 1]},
        creatives=[video],
    )
    (line,) = campaigns.get_ads("tea")
    now = clock.now_ms()

    assert (
        AdLine(
            version=line.version,
            over_ms=now + 7_200_000,  # the record's own time comes first
            start_ms=now - 86_400_000,
            bid=2_250_000,
            end_ms=now + 29 * 86_400_000,
            campaign_id="téa 🦊",
            advertiser_id="tea-maker",
            caps=((3, 3600.0),),
            deals=("d1",),
            adomain=("tea.example",),
            cat=("IAB8-18",),
            pacing="even",
            age_range=(25, 35),
            segments=("new",),
            devices=(1, 3, 5, 7),
            creatives=(
                CreativeLine("v", "video", 300, 250, 15, ("video/mp4",), (1, 2), ""),
            ),
        )
        == line
    )


def test_creatives_are_read_where_none_are_given(cache):
    """Those that the record lists and the cache has, in the record's order."""
    campaigns, creatives = CampaignCache(cache), CreativeCache(cache)
    for creative_id in ("b", "a"):
        creatives.set_creative(banner(creative_id))
    campaigns.set_campaign(running(creatives=["b", "missing", "a"]))
    campaigns.index_campaign_targeting("tea", {"interests": ["tea"]})

    (line,) = campaigns.get_ads("tea")
    assert ["b", "a"] == [each.creative_id for each in line.creatives]


def test_a_refresh_renews_the_copies(cache):
    """New bid and new creatives stand in every cell after set_campaign."""
    campaigns, creatives = CampaignCache(cache), CreativeCache(cache)
    creatives.set_creative(banner("a"))
    fill(campaigns, {"tea": 1}, ["tea", "cake"])
    campaigns.set_campaign(running(bid_price=7, creatives=["a"]))

    for interest in ("tea", "cake"):
        (line,) = campaigns.get_ads(interest)
        assert 7_000_000 == line.bid
        assert ["a"] == [each.creative_id for each in line.creatives]


def test_creatives_given_to_the_index_stay_its_own(cache):
    """A refresh reads them again by their ids, and takes what they are by then."""
    campaigns, creatives = CampaignCache(cache), CreativeCache(cache)
    campaigns.set_campaign(running(creatives=["other"]))
    campaigns.index_campaign_targeting("tea", {"interests": ["tea"]}, [banner("a")])
    creatives.set_creative(banner("a", w=728))
    creatives.set_creative(banner("other"))
    campaigns.set_campaign(running(creatives=["other"]))

    (line,) = campaigns.get_ads("tea")
    assert [("a", 728)] == [(each.creative_id, each.w) for each in line.creatives]


def test_what_the_record_forbids_the_index_need_not_repeat(cache):
    """An age range of the record holds; the index may set another."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running(targeting={"age_range": [18, 99], "devices": [4]}))
    lines = []
    for wanted in ({}, {"age_range": None}, {"age_range": [21, 30]}):
        campaigns.index_campaign_targeting("tea", wanted)
        lines += campaigns.get_ads("any")

    assert [(18, 99), (18, 99), (21, 30)] == [line.age_range for line in lines]
    assert {(4,)} == {line.devices for line in lines}


def test_where_the_record_says_one_place_and_the_index_several(cache):
    """Places are the index's alone: the two do not contradict each other."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running(targeting={"location": "KOR"}))
    wanted = {"interests": ["tea"], "locations": ["GBR", "FRA"]}

    assert campaigns.index_campaign_targeting("tea", wanted)
    assert ["tea"] == listed(campaigns, "tea", "FRA")
    assert [] == listed(campaigns, "tea", "KOR")


def test_how_many_trips_a_change_takes(cache):
    """Two for a refresh and a pause; a third cleans up what is left behind."""
    campaigns = CampaignCache(cache)
    fill(campaigns, {"tea": 1}, [f"i{n}" for n in range(9)])
    wanted = [{"interests": ["a"]}, {"interests": ["b"]}]

    assert 2 == trips_of(cache, lambda: campaigns.set_campaign(running()))
    assert 2 == trips_of(cache, lambda: campaigns.pause("tea"))
    assert 3 == trips_of(
        cache,
        lambda: campaigns.index_campaign_targeting("tea", wanted.pop()),
    )
    campaigns.set_campaign(running("never indexed"))
    assert 1 == trips_of(
        cache, lambda: campaigns.set_campaign(running("never indexed"))
    )


def test_a_paused_campaign_leaves_the_index_and_comes_back(cache):
    """In every cell; so does one that is deleted, but for good."""
    campaigns = CampaignCache(cache)
    fill(campaigns, {"tea": 1}, ["tea", "cake"])
    seen = []
    for change in (campaigns.pause, campaigns.resume, campaigns.delete_campaign):
        change("tea")
        seen.append([listed(campaigns, i) for i in ("tea", "cake")])
    campaigns.set_campaign(running())

    assert [[[], []], [["tea"], ["tea"]], [[], []]] == seen
    assert [] == listed(campaigns, "tea")


def test_a_decision_reads_the_best_and_no_more(cache):
    """The highest bids first; what it costs does not depend on how many there are."""
    campaigns = CampaignCache(cache)
    replies = []
    for size in (12, 99):
        fill(campaigns, {f"{n:02}": 1 + n for n in range(size)}, [f"of {size}"])
        cache.wire.observer = lambda pairs, _: replies.append(pairs)
        lines = campaigns.get_ads(f"of {size}", best=10)
        cache.wire.observer = None
        assert [f"{n:02}" for n in range(size - 1, size - 11, -1)] == [
            line.campaign_id for line in lines
        ]

    assert [10, 10] == [len(reply) for ((_, reply),) in replies[-2:]]


@pytest.mark.parametrize("best", [0, -1, 1001, 1.5, True, "64", None])
def test_a_bad_number_of_lines_is_refused(fake, best):
    """Bounded: 1 to 1000 lines."""
    with pytest.raises(ValueError, match="best must be 1 to 1000"):
        CampaignCache(fake).get_ads("tea", best=best)


def test_a_thousand_lines_come_in_one_answer(cache):
    """The largest number of lines that may be asked for."""
    campaigns = CampaignCache(cache)
    fill(campaigns, {"tea": 1})
    line = cache.redis_client.hget(cell(cache, "targeting_ads"), "tea")
    many = {f"c{n}": line for n in range(1200)}
    cache.redis_client.hset(cell(cache, "targeting_ads"), mapping=many)
    cache.redis_client.zadd(cell(cache, "targeting_index"), dict.fromkeys(many, 5))

    assert 1000 == len(campaigns.get_ads("tea", best=1000))


def test_campaigns_enter_a_minute_before_they_start(timed_cache, clock):
    """So that who keeps an answer for a minute misses no start."""
    campaigns = CampaignCache(timed_cache)
    campaigns.set_campaign(campaign(start_date=START + timedelta(seconds=100)))
    campaigns.index_campaign_targeting("tea", {"interests": ["tea"]})
    seen = [listed(campaigns, "tea")]
    for step in (39.999, 0.001):
        clock.advance(step)
        seen.append(listed(campaigns, "tea"))

    assert [[], [], ["tea"]] == seen
    assert [] == campaigns.get_active_campaigns({"interests": ["tea"]})
    clock.advance(60)
    assert ["tea"] == campaigns.get_active_campaigns({"interests": ["tea"]})


def test_campaigns_leave_when_their_flight_is_over(timed_cache, clock):
    """The last ms still counts; afterwards nothing of it is in the cell."""
    campaigns = CampaignCache(timed_cache)
    campaigns.set_campaign(campaign(end_date=START + timedelta(seconds=100)))
    campaigns.index_campaign_targeting("tea", {"interests": ["tea"]})
    clock.advance(100)
    assert ["tea"] == listed(campaigns, "tea")
    clock.advance(0.001)

    assert [] == listed(campaigns, "tea")
    assert [] == [
        key
        for key in all_keys(timed_cache)
        if "targeting" in timed_cache.keys.strip(key)
    ]


def test_an_extended_flight_comes_back(timed_cache, clock):
    """The index remembers the cells of a campaign that had ended."""
    campaigns = CampaignCache(timed_cache)
    campaigns.set_campaign(campaign(end_date=START + timedelta(seconds=9)))
    campaigns.index_campaign_targeting("tea", {"interests": ["tea"]})
    clock.advance(10)
    assert [] == listed(campaigns, "tea")
    campaigns.set_campaign(campaign())

    assert ["tea"] == listed(campaigns, "tea")


def test_a_copy_lives_no_longer_than_its_record(timed_cache, clock):
    """A campaign that nobody refreshes is not found when its record is over."""
    campaigns = CampaignCache(timed_cache)
    campaigns.set_campaign(campaign(), ttl=100)
    campaigns.index_campaign_targeting("tea", {"interests": ["tea"]})
    clock.advance(99.999)
    assert ["tea"] == listed(campaigns, "tea")
    clock.advance(0.001)

    assert [] == listed(campaigns, "tea")


def test_a_copy_lives_a_day_after_the_last_change(timed_cache, clock):
    """A refresh renews it; others in the same cell do not."""
    campaigns = CampaignCache(timed_cache)
    for campaign_id in ("kept", "left"):
        campaigns.set_campaign(campaign(campaign_id), ttl=9 * DAY)
        campaigns.index_campaign_targeting(campaign_id, {"interests": ["tea"]})
    clock.advance(DAY / 2)
    campaigns.set_campaign(campaign("kept"), ttl=9 * DAY)
    clock.advance(DAY / 2 - 0.001)
    assert {"kept", "left"} == set(listed(campaigns, "tea"))
    clock.advance(0.001)

    assert ["kept"] == listed(campaigns, "tea")


def test_many_that_end_at_once_are_swept(timed_cache, clock):
    """At midnight 140 campaigns end; the next answer has none of them."""
    campaigns = CampaignCache(timed_cache)
    end = START + timedelta(seconds=100)
    for number in range(140):
        campaigns.set_campaign(campaign(f"c{number}", bid_price=9, end_date=end))
        campaigns.index_campaign_targeting(f"c{number}", {"interests": ["tea"]})
    campaigns.set_campaign(campaign())
    campaigns.index_campaign_targeting("tea", {"interests": ["tea"]})
    clock.advance(101)

    assert ["tea"] == listed(campaigns, "tea")
    for pattern, count in (("targeting_index", "zcard"), ("targeting_ads", "hlen")):
        assert 1 == getattr(timed_cache.redis_client, count)(cell(timed_cache, pattern))


def test_how_long_the_keys_of_the_index_live(cache):
    """A day, and another cache's shorter time does not shorten it."""
    fill(CampaignCache(cache), {"tea": 1})
    fill(CampaignCache(cache, index_ttl=60), {"cake": 1})
    patterns = [f"targeting_{name}" for name in ("index", "ads", "due", "ready")]
    lives = [cache.redis_client.ttl(cell(cache, pattern)) for pattern in patterns]
    remembered = [
        cache.redis_client.ttl(cache.get_key("campaign_index", campaign_id=each))
        for each in ("tea", "cake")
    ]

    assert all(DAY - 60 < life <= DAY for life in lives)
    assert DAY - 60 < remembered[0] <= DAY
    assert 0 < remembered[1] <= 60


def test_an_older_change_that_comes_late_changes_nothing(cache):
    """In each cell the later change wins, whoever arrives last."""
    campaigns = CampaignCache(cache)
    fill(campaigns, {"tea": 1}, ["tea"])
    slow, spread = [], campaigns.index.spread
    campaigns.index.spread = lambda *args: slow.append(args)
    campaigns.set_campaign(running(bid_price=5))  # on its way, not there yet
    campaigns.index.spread = spread
    campaigns.pause("tea")
    campaigns.index.spread(*slow[0])
    assert [] == listed(campaigns, "tea")

    campaigns.resume("tea")
    campaigns.set_campaign(running(bid_price=8))
    campaigns.index.spread(*slow[0])
    assert [8_000_000] == [line.bid for line in campaigns.get_ads("tea")]


def test_an_old_index_that_comes_late_does_not_come_back(cache):
    """The new one has left the cell: a late copy is not let in."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running())
    slow, spread = [], campaigns.index.spread
    campaigns.index.spread = lambda *args: slow.append(args)
    campaigns.index_campaign_targeting("tea", {"interests": ["old"]})
    campaigns.index.spread = spread
    campaigns.index_campaign_targeting("tea", {"interests": ["new"]})
    campaigns.index.spread(*slow[0])

    assert ([], ["tea"]) == (listed(campaigns, "old"), listed(campaigns, "new"))


def test_a_crash_between_record_and_copies(cache):
    """The copy is out of date, nobody active is reported, the next change mends it."""
    campaigns = CampaignCache(cache)
    fill(campaigns, {"tea": 1}, ["tea", "cake"])
    dying = CampaignCache(cache)
    dying.index.spread = lambda *_: None  # the process ends after the first trip
    dying.pause("tea")

    assert ["tea"] == listed(campaigns, "tea")
    assert [] == campaigns.get_active_campaigns({"interests": ["tea"]})
    assert "paused" == campaigns.get_state("tea").reason
    campaigns.pause("tea")
    assert [] == listed(campaigns, "tea")


def test_a_crash_in_the_midst_of_a_new_index(cache):
    """Cells that should have been left are still remembered, and left later."""
    campaigns = CampaignCache(cache)
    fill(campaigns, {"tea": 1}, ["old"])
    dying = CampaignCache(cache)
    dying.index.spread = lambda *_: None
    dying.index_campaign_targeting("tea", {"interests": ["newer"]})
    dying.index_campaign_targeting("tea", {"interests": ["newest"]})
    assert ["tea"] == listed(campaigns, "old")
    campaigns.set_campaign(running())

    found = [listed(campaigns, i) for i in ("old", "newer", "newest")]
    assert [[], [], ["tea"]] == found


def test_a_crash_before_a_campaign_is_deleted(cache):
    """Deleting also cleans the cells that a crash should have left."""
    campaigns = CampaignCache(cache)
    fill(campaigns, {"tea": 1}, ["old"])
    dying = CampaignCache(cache)
    dying.index.spread = lambda *_: None
    dying.index_campaign_targeting("tea", {"interests": ["new"]})
    campaigns.delete_campaign("tea")

    assert [] == listed(campaigns, "old")


def test_who_cleaned_up_does_not_forget_a_later_list(cache):
    """Between cleaning and noting it, another change may have left more cells."""
    campaigns = CampaignCache(cache)
    fill(campaigns, {"tea": 1}, ["a"])
    key = cache.get_key("campaign_index", campaign_id="tea")
    before = cache.wire.execute("HGET", key, "version")
    dying = CampaignCache(cache)
    dying.index.spread = lambda *_: None
    dying.index_campaign_targeting("tea", {"interests": ["b"]})
    noted = cache.lua_scripts["campaign_left"](index=key, version=before)
    campaigns.set_campaign(running())

    assert 0 == noted
    assert ([], ["tea"]) == (listed(campaigns, "a"), listed(campaigns, "b"))


def test_a_lost_reply_leaves_an_index_that_can_be_mended(own_server):
    """Cut in the first or the second trip: asking again brings it in order."""
    proxy = Proxy(own_server.port)
    campaigns = CampaignCache(connect(proxy.url))
    fill(campaigns, {"tea": 1}, ["tea"])
    for change in (campaigns.pause, campaigns.resume):
        for trip in (1, 2):
            _lose_at(campaigns, proxy, trip)
            with pytest.raises(RedisUnavailable):
                change("tea")
            assert change("tea")
            wanted = [] if change == campaigns.pause else ["tea"]
            assert wanted == listed(campaigns, "tea")
    proxy.close()


def _lose_at(campaigns, proxy, trip):
    """Lose the reply of the n-th trip from now on."""
    if trip == 1:
        proxy.lose()
    else:
        campaigns.cache.wire.observer = lambda *_: (
            proxy.lose(),
            setattr(campaigns.cache.wire, "observer", None),
        )


def test_indexes_racing_each_other_end_as_one(cache):
    """However they interleave: the campaign is where it is remembered, only there."""
    campaigns = CampaignCache(cache)
    campaigns.set_campaign(running())
    cells = ["a", "b", "c", "d"]

    def index(number):
        for step in range(10):
            wanted = [cells[(number + step) % 4], cells[(number * step + 1) % 4]]
            campaigns.index_campaign_targeting("tea", {"interests": wanted})

    def toggle(_):
        for _ in range(10):
            campaigns.pause("tea")
            campaigns.resume("tea")

    def refresh(_):
        for number in range(10):
            campaigns.set_campaign(running(bid_price=number))

    jobs = [(index, 0), (index, 1), (index, 2), (toggle, 0), (refresh, 0)]
    threads = [threading.Thread(target=job, args=(arg,)) for job, arg in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    campaigns.resume("tea")  # brings the last change to the end, whichever it was

    key = cache.get_key("campaign_index", campaign_id="tea")
    where, left = cache.wire.execute("HMGET", key, "cells", "left")
    remembered = {each.partition(":")[0] for each in where.split()}
    assert remembered == {i for i in cells if listed(campaigns, i)}
    assert "" == left
    bid = campaigns.get_campaign("tea").bid_price_micros
    for interest in remembered:
        assert [bid] == [line.bid for line in campaigns.get_ads(interest)]


def test_hostile_words_are_kept_apart(cache):
    """Odd ids, interests and places: each cell holds its own campaign only."""
    campaigns = CampaignCache(cache)
    for each in HOSTILE:
        campaigns.set_campaign(running(each))
        wanted = {"interests": [each], "locations": [each, f"x{each}"]}
        campaigns.index_campaign_targeting(each, wanted)

    for each in HOSTILE:
        assert [each] == listed(campaigns, each, each)
        assert [each] == listed(campaigns, each, f"x{each}")
    assert [] == listed(campaigns, "a", "b:a:b")
    assert ["a:b"] == campaigns.get_active_campaigns(
        {"interests": ["a:b"], "location": "xa:b"}
    )


@pytest.mark.parametrize(
    "targeting",
    [
        None,
        "tea",
        {"interests": "tea"},
        {"interests": [""]},
        {"interests": [7]},
        {"interests": {"tea"}},
        {"locations": "GBR"},
        {"location": ["GBR"]},
        {"location": ""},
        {"location": "GBR", "locations": ["GBR"]},
        {"age_range": 18},
        {"age_range": [18]},
        {"age_range": [30, 18]},
        {"age_range": [-1, 18]},
        {"age_range": [0, 151]},
        {"age_range": [18.5, 20]},
        {"age_range": [True, 20]},
        {"segments": "new"},
        {"devices": "tablet"},
        {"devices": ["toaster"]},
        {"devices": [9]},
        {"devices": [True]},
        {"devices": [[1]]},
        {"interests": [str(n) for n in range(101)], "locations": list("abcdefghij")},
    ],
)
def test_a_bad_targeting_is_refused_before_anything_is_written(fake, targeting):
    """The error names the key, the value and the cure; in criteria just the same."""
    campaigns = CampaignCache(fake)
    for call in (
        lambda: campaigns.index_campaign_targeting("tea", targeting),
        lambda: campaigns.get_active_campaigns(targeting),
    ):
        with pytest.raises(InvalidValue, match=r"must be|has"):
            call()

    assert [] == all_keys(fake)


def test_what_json_cannot_hold_is_refused_in_the_index_too(fake):
    """Half a character in an interest, a set among the ignored keys."""
    campaigns = CampaignCache(fake)
    for targeting in ({"interests": ["\ud800"]}, {"x": {1}}, {"x": float("inf")}):
        with pytest.raises(InvalidValue, match="targeting must be plain data"):
            campaigns.index_campaign_targeting("tea", targeting)

    assert [] == all_keys(fake)
    assert [] == campaigns.get_active_campaigns({"interests": ["\ud800"]})


def test_creatives_of_another_campaign_are_refused(fake):
    """Nothing is written; a thing that is no creative is refused as well."""
    campaigns = CampaignCache(fake)
    for bad in (banner("a", "coffee"), "a", None):
        with pytest.raises(InvalidValue, match="creatives must be of campaign 'tea'"):
            campaigns.index_campaign_targeting("tea", {}, [bad])

    assert [] == all_keys(fake)


def test_unknown_keys_of_a_targeting_are_ignored():
    """They may mean something to another program."""
    wanted = {"interests": ["tea"], "moon": "full", "age_range": None, "devices": None}

    assert read_targeting({"interests": ["tea"]}) == read_targeting(wanted)


def test_a_lost_line_is_left_out(cache):
    """A server that evicted the lines, or one of them, spoils no decision."""
    campaigns = CampaignCache(cache)
    fill(campaigns, {"a": 1, "b": 2})
    cache.redis_client.hdel(cell(cache, "targeting_ads"), "b")
    assert ["a"] == listed(campaigns, "tea")
    cache.redis_client.delete(cell(cache, "targeting_ads"))
    assert [] == listed(campaigns, "tea")
    cache.redis_client.delete(cell(cache, "targeting_due"))
    campaigns.set_campaign(running("a"))
    assert ["a"] == listed(campaigns, "tea")


def test_the_ready_lines_are_the_best_until_somebody_turns(timed_cache, clock):
    """One GET tells what the script would; it is over when one starts."""
    campaigns = CampaignCache(timed_cache)
    later = running("later", bid_price=9, start_date=clock.now() + timedelta(hours=1))
    fill(campaigns, {f"c{n:02}": n for n in range(READY + 3)})
    campaigns.set_campaign(later)
    campaigns.index_campaign_targeting("later", {"interests": ["tea"]})
    question = campaigns.ask_ready("tea")
    before = timed_cache.wire.ask(question)
    best = campaigns.get_ads("tea", best=READY)
    clock.advance(3540)
    after = campaigns.get_ads("tea", best=READY)
    anew = timed_cache.wire.ask(question)

    assert best == before.lines
    assert clock.now_ms() == before.until_ms
    assert "later" not in [line.campaign_id for line in before.lines]
    assert "later" in [line.campaign_id for line in after]
    assert after == anew.lines
    assert clock.now_ms() < anew.until_ms


def test_nobodys_cell_is_ready_too(cache):
    """No text: nobody is there, and nobody will be before the text is written."""
    campaigns = CampaignCache(cache)
    assert [] == cache.wire.ask(campaigns.ask_ready("nobody's")).lines


def test_a_damaged_line_costs_only_itself(cache):
    """Not JSON, another shape, fewer fields: the others are read all the same."""
    campaigns = CampaignCache(cache)
    fill(campaigns, {"a": 1, "b": 2, "c": 3, "d": 4})
    for campaign_id, damaged in (("b", "]{"), ("c", "[1,2]"), ("d", '{"bid":1}')):
        cache.redis_client.hset(cell(cache, "targeting_ads"), campaign_id, damaged)

    assert ["a"] == listed(campaigns, "tea")


def cell(cache, pattern):
    """Key of the cell of tea in all locations."""
    return cache.get_key(pattern, interest="tea", location="all")


IDS = st.sampled_from(["a", "b:c"])
INTERESTS = st.lists(st.sampled_from(["x", "y z"]), max_size=2, unique=True)


class IndexMachine(RuleBasedStateMachine):
    """Random histories, also with crashes half-way, against a model of a few lines."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock(START)
        self.cache = connect("fakeredis://", namespace="test-index", clock=self.clock)
        empty(self.cache)
        self.campaigns = CampaignCache(self.cache)
        self.dying = CampaignCache(self.cache)
        self.dying.index.spread = lambda *_: None
        self.records, self.places, self.crashed = {}, {}, set()

    def _by(self, crash, campaign_id):
        """The one who makes the change; a crash leaves copies out of date."""
        if crash:
            self.crashed.add(campaign_id)
        else:
            self.crashed.discard(campaign_id)
        return self.dying if crash else self.campaigns

    @rule(each=IDS, bid=st.integers(0, 9), days=st.integers(0, 2), crash=st.booleans())
    def store(self, each, bid, days, crash):
        """Store a record that ends in some days."""
        end = self.clock.now() + timedelta(days=days)
        record = campaign(each, bid_price=bid, end_date=end)
        self._by(crash, each).set_campaign(record, ttl=30 * DAY)
        self.records[each] = record

    @rule(each=IDS, interests=INTERESTS, crash=st.booleans())
    def index(self, each, interests, crash):
        """Index it anew."""
        by = self._by(crash, each)
        known = by.index_campaign_targeting(each, {"interests": interests})
        self.places[each] = interests or ["any"]
        assert known == (each in self.records)

    @rule(each=IDS, status=st.sampled_from(["active", "paused"]), crash=st.booleans())
    def change(self, each, status, crash):
        """Pause or resume it."""
        by = self._by(crash, each) if each in self.records else self.campaigns
        assert by.set_status(each, status) == (each in self.records)
        if each in self.records:
            self.records[each].status = status

    @rule(each=IDS)
    def delete(self, each):
        """Delete it."""
        known = self.records.pop(each, None)
        self.places.pop(each, None)
        assert self._by(False, each).delete_campaign(each) == (known is not None)

    @rule(hours=st.integers(1, 11))
    def wait(self, hours):
        """Let time pass, less than an index ttl in all between two changes."""
        self.clock.advance(3600 * hours)
        for each, record in self.records.items():  # the feed renews what it has
            self.campaigns.set_campaign(record, ttl=30 * DAY)
            self.crashed.discard(each)

    @invariant()
    def found_where_it_belongs(self):
        """Lines stand where the model has them; the active ones are found."""
        now, now_ms = self.clock.now(), self.clock.now_ms()
        for interest in ("x", "y z", "any"):
            right = {
                each: record.bid_price
                for each, record in self.records.items()
                if record.status == "active"
                and record.start_date <= now <= record.end_date
                and interest in self.places.get(each, ())
            }
            lines = {
                line.campaign_id: line.bid / 10**6
                for line in self.campaigns.get_ads(interest)
            }
            ready = self.cache.wire.ask(self.campaigns.ask_ready(interest))
            assert now_ms < ready.until_ms
            assert lines == {each.campaign_id: each.bid / 10**6 for each in ready.lines}
            for each in {*right, *lines} - self.crashed:
                assert right.get(each) == lines.get(each)
            active = self.campaigns.get_active_campaigns({"interests": [interest]})
            assert all(self.records[each].status == "active" for each in active)


def test_random_histories_of_the_index():
    """Whatever happens, in any order, the cells hold what the model says."""
    run_state_machine_as_test(
        IndexMachine,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

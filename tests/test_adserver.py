"""One bid request through the whole platform, and the notices that follow."""

import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from adcache import (
    AdServer,
    BidResponse,
    Cap,
    FrequencyCapManager,
    Hops,
    InvalidBidRequest,
    InvalidValue,
    ManualClock,
    connect,
)
from adcache.bid_ids import BidId
from adcache.campaigns import CampaignCache
from adcache.creatives import CreativeCache
from adcache.openrtb import check_response, decode_bid_request
from adcache.pacing import BudgetPacer
from adcache.sessions import SessionManager
from adcache.simulate import SAMPLES, campaigns
from adcache.stats import PerformanceStatsCache
from adcache.targeting import SessionTargeting
from tests.adserver_help import put, request, stage

ONE_CAP = [(1, 3600)]


@pytest.fixture
def cache(timed_cache):
    """Cache on each backend with the cast on it, in January 2026."""
    stage(timed_cache)
    return timed_cache


@pytest.fixture
def server(cache):
    """Ad server without a near cache, its scripts known to the server."""
    server = AdServer(cache)
    warm(server)
    yield server
    server.close()


def warm(server: AdServer) -> None:
    """Let Redis learn the scripts, with a request of another user."""
    chloe = {"id": "x-chloe", "buyeruid": "chloe", "ext": {"session_id": "warm"}}
    made = server.handle(request(id="warm", user=chloe))
    assert made is not None
    assert server.loss(made.seatbid[0].bid[0].id)


def only(response: BidResponse | None):
    """The single bid of a response."""
    assert response is not None
    (seat,) = response.seatbid
    (bid,) = seat.bid
    return bid


def spent(server: AdServer, campaign: str):
    """Micros spent and reserved."""
    status = BudgetPacer(server.cache).status(campaign)
    return status.spent, status.reserved


@pytest.mark.parametrize("name", SAMPLES)
def test_every_kind_of_slot_is_answered_by_valid_openrtb(cache, name):
    """Banner, video, audio and native: the response passes the OpenRTB checks."""
    for campaign in campaigns(6):
        put(cache, replace(campaign, bid_price=20.0))
    server = AdServer(cache)
    asked = request(name)
    response = server.handle(asked)
    check_response(decode_bid_request(asked), response)
    bid = only(response)

    assert asked["id"] == response.id
    assert asked["imp"][0]["id"] == bid.impid
    assert bid.adm
    assert bid.crid.startswith(bid.cid)
    assert bid.adomain == [f"{bid.cid}.example"]
    assert "${AUCTION_PRICE}" in bid.nurl
    assert "${AUCTION_PRICE}" in bid.burl
    assert bid.price >= asked["imp"][0]["bidfloor"]


def test_a_request_costs_three_trips(server):
    """Profile, campaigns, and the commit: no more with everything in Redis."""
    hops = Hops()
    assert server.handle(request(), trace=hops)

    assert 3 == hops.trips
    assert ["arrive", "campaigns", "commit", "answer"] == [h.name for h in hops.hops]
    assert hops.bytes_out > 1000
    assert "total" in str(hops)


@pytest.mark.parametrize(
    "backend", ["redis", "redis-8.2", "valkey-8.1", "cluster"], indirect=True
)
def test_a_near_cached_request_costs_two_trips(cache):
    """The lists of campaigns are in the process: the second trip is saved."""
    server = AdServer(cache, near=True)
    assert server.near.wait_until_on()
    warm(server)
    server.handle(request(id="fill"))
    hops = Hops()
    assert server.handle(request(id="measured"), trace=hops)
    server.close()

    assert 2 == hops.trips


@pytest.mark.parametrize(
    "backend", ["redis", "redis-8.2", "valkey-8.1", "cluster"], indirect=True
)
def test_a_pause_reaches_the_near_cache_within_a_second(cache):
    """Paused campaigns are never served, and after a second not even tried."""
    server = AdServer(cache, near=True)
    assert server.near.wait_until_on()
    first = only(server.handle(request(id="before")))
    CampaignCache(cache).pause(first.cid)
    paused_at = time.monotonic()
    at_once = server.decide(request(id="at-once"))
    while "no money" in server.decide(request(id=f"r{time.monotonic_ns()}")).reason:
        assert time.monotonic() - paused_at < 1.0
    after = only(server.handle(request(id="after")))
    server.close()

    assert not at_once or only(at_once.response).cid != first.cid
    assert first.cid != after.cid


def test_a_page_that_says_it_all_costs_two_trips(server, cache):
    """What the request itself names is asked for with the first trip."""
    nobody = request(regs={"gdpr": 1})  # no consent: the page is all there is
    hops = Hops()
    server.decide(nobody, trace=hops)

    assert "campaigns" not in [hop.name for hop in hops.hops]


@pytest.mark.parametrize("near", [False, True])
def test_a_campaign_bids_from_its_first_ms_on(cache, clock, near):
    """Lists that were written before are made anew when a start is due."""
    server = AdServer(cache, near=near)
    if near and "fakeredis" not in type(cache.redis_client).__module__:
        assert server.near.wait_until_on()
    first = only(server.handle(request(id="1")))
    start = clock.now() + timedelta(minutes=30)
    rich = next(each for each in campaigns(6) if each.campaign_id == first.cid)
    put(cache, replace(rich, bid_price=90.0, start_date=start))
    clock.advance(1799.999)
    before = server.decide(request(id="2"))
    clock.advance(0.001)
    after = only(server.handle(request(id="3")))
    # A near cache may hear late, and a campaign that was refused rests a second.
    deadline = time.monotonic() + 3.0
    while near and after.price != 90.0 and time.monotonic() < deadline:
        server.loss(after.id)
        after = only(server.handle(request(id=f"{time.monotonic_ns()}")))
    server.close()

    assert not before or first.cid != only(before.response).cid
    assert (first.cid, 90.0) == (after.cid, after.price)


def test_a_paused_campaign_is_refused_by_its_own_record(server, cache):
    """Also when the index still lists it: the reservation looks at the record."""
    first = only(server.handle(request(id="1")))
    key = cache.get_key("campaign", campaign_id=first.cid)
    cache.wire.execute("HSET", key, "status", "paused")  # the index knows nothing
    refused = server.decide(request(id="2"))
    after = server.decide(request(id="3"))

    assert refused.response is None
    assert "no money: paused" in refused.reason
    assert first.cid != only(after.response).cid


def test_a_duplicate_is_answered_not_decided_again(server):
    """The same bid comes back, and its money is reserved once."""
    first = server.decide(request())
    again = server.decide(request())
    other = server.decide(request(), exchange="another")

    assert (False, True) == (first.duplicate, again.duplicate)
    assert first.response == again.response
    assert not other.duplicate
    assert only(first.response).id != only(other.response).id
    assert (0, 2 * 3800) == spent(server, "holiday")


def test_another_server_answers_the_duplicate_alike(server, cache):
    """Two ad servers on one Redis give an exchange one answer."""
    assert server.handle(request()) == AdServer(cache).handle(request())


def test_caps_are_leased_at_bid_and_confirmed_at_billing(server, cache):
    """A bid takes a place at once; the impression is counted when it is billed."""
    put(cache, replace(campaigns(6)[5], caps=ONE_CAP))
    caps = FrequencyCapManager(cache)
    bid = only(server.handle(request(id="1")))
    taken = caps.peek("ada", "holiday", caps=[Cap(1, 3600)])
    meanwhile = only(server.handle(request(id="2")))

    assert "holiday" == bid.cid
    assert not taken
    assert "holiday" != meanwhile.cid
    assert server.billing(bid.id, 2.0).state == "billed"
    assert not caps.peek("ada", "holiday", caps=[Cap(1, 3600)])


def test_a_lost_bid_gives_its_place_and_money_back(server, cache):
    """After a loss notice the campaign may be bid to the same user again."""
    put(cache, replace(campaigns(6)[5], caps=ONE_CAP))
    bid = only(server.handle(request(id="1")))
    assert server.loss(bid.id)

    assert (0, 0) == spent(server, "holiday")
    assert "holiday" == only(server.handle(request(id="2"))).cid


def test_a_silent_bid_gives_its_place_and_money_back_by_itself(server, cache, clock):
    """No notice at all: when the lease is over both are free."""
    put(cache, replace(campaigns(6)[5], caps=ONE_CAP))
    only(server.handle(request(id="1")))
    clock.advance(server.handle(request(id="2")).seatbid[0].bid[0].exp + 31)

    assert (0, 0) == spent(server, "holiday")
    assert "holiday" == only(server.handle(request(id="3"))).cid


def test_two_imps_of_one_request_share_a_place(server, cache):
    """One page shows a campaign once: the second imp goes to another one."""
    put(cache, replace(campaigns(6)[5], caps=ONE_CAP))
    asked = request()
    asked["imp"].append(asked["imp"][0] | {"id": "2"})
    response = server.handle(asked)
    check_response(decode_bid_request(asked), response)
    bids = response.seatbid[0].bid

    assert 2 == len(bids)
    assert 2 == len({bid.cid for bid in bids})
    assert 1 == len({BidId.parse(bid.id).lease_id for bid in bids})


def test_notices_count_once_in_any_order(server, cache):
    """Win, billing, click and loss, each twice: one impression, one cost, one click."""
    bid = only(server.handle(request()))
    results = [
        server.win(bid.id),
        server.win(bid.id),
        server.billing(bid.id, 2.5),
        server.billing(bid.id, 2.5),
        server.click(bid.id),
        server.click(bid.id),
        server.loss(bid.id),
        server.win(bid.id),
    ]
    stats = PerformanceStatsCache(cache).get_campaign_summary(bid.cid, days=1)

    assert [True, False, True, False, True, False, False, False] == [
        bool(result) for result in results
    ]
    assert ["won", "duplicate", "billed", "duplicate", "clicked", "duplicate"] == [
        result.state for result in results[:6]
    ]
    assert (1, 1, 0.0025) == (stats["impressions"], stats["clicks"], stats["cost"])
    assert (2500, 0) == spent(server, bid.cid)


def test_billing_after_a_loss_is_counted_and_said(server):
    """The impression happened after all: it is paid for, once."""
    bid = only(server.handle(request()))
    assert server.loss(bid.id)

    assert server.billing(bid.id, 2.5).cost == 0.0025
    assert (2500, 0) == spent(server, bid.cid)


@pytest.mark.parametrize("bid_id", ["", "x", "a~b~c", "a~~c~d", 7, None])
def test_a_foreign_bid_id_is_refused(server, bid_id):
    """A notice about what is none of our bids is a clear error."""
    for notice in (server.win, server.loss, server.click):
        with pytest.raises(InvalidValue, match="bid_id must be"):
            notice(bid_id)


def test_a_forged_notice_counts_nothing(server):
    """A well-formed id of a bid that was never made is unknown."""
    forged = str(BidId("holiday", "default", "never", "1"))
    states = [
        server.win(forged).state,
        server.billing(forged, 1.0).state,
        server.loss(forged).state,
        server.click(forged).state,
    ]

    assert ["unknown"] * 4 == states
    assert (0, 0) == spent(server, "holiday")


NO_BASIS = [  # coppa, gdpr, gdpr as in OpenRTB 2.5, limited tracking twice
    {"regs": {"coppa": 1}},
    {"regs": {"gdpr": 1}},
    {"regs": {"ext": {"gdpr": 1}}},
    {"device": SAMPLES["mobile_news"]["device"] | {"lmt": 1}},
    {"device": SAMPLES["mobile_news"]["device"] | {"dnt": 1}},
]


@pytest.mark.parametrize(
    "changes", NO_BASIS, ids=["coppa", "gdpr", "2.5", "lmt", "dnt"]
)
def test_without_a_basis_no_key_of_the_user_is_touched(server, cache, changes):
    """Consent flags are honoured: only the page counts, and capped ads stay out."""
    put(cache, replace(campaigns(6)[3], caps=[], targeting={"interests": ["london"]}))
    touched = []
    cache.wire.observer = lambda pairs, _: touched.extend(
        str(word) for command, _ in pairs for word in command
    )
    decision = server.decide(request(**changes))
    cache.wire.observer = None

    assert decision.contextual
    assert "bicycle" == only(decision.response).cid
    assert not [word for word in touched if "{ada" in word or word == "ada"]


def test_a_suppressed_user_is_seen_by_nobody(server, cache):
    """After an erasure the user's profile is not read, even if it were there."""
    key = cache.get_key("user_suppressed", user_id="ada")
    cache.wire.execute("SET", key, 1, "PX", 60_000)
    decision = server.decide(request())

    assert decision.contextual
    assert decision.response is None


def test_session_intent_comes_before_the_profile(server, cache):
    """What the session shows now decides which campaigns are asked for."""
    put(cache, replace(campaigns(6)[4], targeting={"interests": ["sailing"]}))
    for campaign in campaigns(6)[5:] + campaigns(6)[:4]:
        CampaignCache(cache).pause(campaign.campaign_id)
    SessionManager(cache).create_session("s1", {"user_id": "ada"})
    SessionTargeting(cache).record("s1", {"sailing": 5.0})
    user = {"id": "x-ada", "buyeruid": "ada", "ext": {"session_id": "s1"}}
    asked = request(user=user)
    asked["imp"][0]["bidfloor"] = 0.5
    stranger = asked | {"id": "2", "user": user | {"buyeruid": "ben"}}

    assert "novel" == only(server.handle(asked)).cid
    assert server.handle(stranger) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cur": ["EUR"]}, "bids are made in USD only"),
        ({"wseat": ["other"]}, "did not invite"),
        ({"bseat": ["adcache"]}, "blocks this seat"),
        ({"bcat": ["IAB1", "IAB8", "IAB17", "IAB19", "IAB20"]}, "category blocked"),
        ({"acat": ["IAB25"], "bcat": []}, "category not allowed"),
        ({"badv": [f"{c.campaign_id}.example" for c in campaigns(6)]}, "advertiser"),
        ({"badv": ["example"]}, "advertiser blocked"),
    ],
)
def test_blocks_and_seats_are_honoured(server, changes, reason):
    """What the exchange does not want is not bid, and the reason is told."""
    decision = server.decide(request(**changes))

    assert decision.response is None
    assert reason in decision.reason


def test_a_floor_is_honoured_in_its_own_currency(cache):
    """A floor in a currency with a rate is compared; without a rate there is no bid."""
    asked = request()
    asked["imp"][0] |= {"bidfloor": 3.5, "bidfloorcur": "EUR"}
    poor = AdServer(cache, rates={"EUR": 1.10}).decide(asked)
    rich = AdServer(cache, rates={"EUR": "1.05"}).decide(asked | {"id": "2"})
    blind = AdServer(cache).decide(asked | {"id": "3"})

    assert "under the floor" in poor.reason
    assert "holiday" == only(rich.response).cid
    assert "no rate" in blind.reason


def test_a_deal_has_its_fixed_price(server, cache):
    """A deal with at 3 is bid at its floor, and a private auction admits only deals."""
    put(cache, replace(campaigns(6)[5], deals=["spring"]))
    asked = request()
    deals = [{"id": "spring", "bidfloor": 2.25, "at": 3}]
    asked["imp"][0]["pmp"] = {"private_auction": 1, "deals": deals}
    bid = only(server.handle(asked))
    deals[0]["id"] = "autumn"
    shut = server.decide(asked | {"id": "2"})

    assert ("spring", 2.25, "holiday") == (bid.dealid, bid.price, bid.cid)
    assert "private auction without a deal" in shut.reason


def test_a_late_request_gets_no_bid(server):
    """When tmax is over before the money is touched nothing is reserved."""
    decision = server.decide(request(tmax=1))

    assert decision.response is None
    assert ("too late", 15) == (decision.reason, decision.nbr)
    assert (0, 0) == spent(server, "holiday")


def test_a_malformed_request_is_a_clear_error(server):
    """Bad input is the exchange's fault and is named by its path."""
    with pytest.raises(InvalidBidRequest, match="imp is missing"):
        server.handle({"id": "1"})


def test_no_campaign_is_a_reason_of_its_own(server):
    """Nobody wants these interests at this place."""
    user = {"id": "x", "buyeruid": "nobody-knows"}
    decision = server.decide(request("game_app", user=user))

    assert decision.response is None
    assert "no campaign" in decision.reason


def test_missing_markup_costs_the_bid_and_comes_back(server, cache, clock):
    """A creative that is gone cannot be shown; what was held comes back by itself."""
    bid = only(server.handle(request(id="1")))
    server.loss(bid.id)
    CreativeCache(cache).delete_creative(bid.crid)
    decision = server.decide(request(id="2"))
    assert decision.response is None
    assert "has no markup" in decision.reason
    clock.advance(bid.exp + 31)

    assert (0, 0) == spent(server, bid.cid)


def test_what_is_held_in_vain_rides_back_with_the_next_request(server, cache):
    """A refusal costs no extra trip: the next request carries the compensation."""
    bid = only(server.handle(request(id="1")))
    server.loss(bid.id)
    put(cache, replace(campaigns(6)[5], budget=0.001))
    hops = Hops()
    refused = server.decide(request(id="2"), trace=hops)
    assert "no money: budget" in refused.reason
    assert 3 == hops.trips
    after = Hops()
    assert server.handle(request(id="3"), trace=after)

    assert 3 == after.trips
    assert FrequencyCapManager(cache).peek("ada", "holiday", 1, 3600)


def test_an_unreadable_profile_fails_open(server, cache):
    """Without its profile the request is still answered, by the page's interests."""
    key = cache.get_key("user_profile", user_id="ada")
    cache.wire.execute("DEL", key)
    cache.wire.execute("RPUSH", key, "not a profile")
    cache.wire.execute("PEXPIRE", key, 60_000)
    put(cache, replace(campaigns(6)[3], targeting={"interests": ["london"]}))

    assert "bicycle" == only(server.handle(request())).cid


def test_unreadable_caps_fail_closed(server, cache):
    """Nobody may be shown a capped ad while the caps cannot be read."""
    key = cache.get_key("frequency_cap", user_id="ada")
    cache.wire.execute("DEL", key)
    cache.wire.execute("SET", key, "not a hash", "PX", 60_000)
    decision = server.decide(request())

    assert decision.response is None
    assert decision.contextual


def test_without_redis_there_is_no_bid_and_no_exception():
    """A dead server is a no-bid with the technical code, not a traceback."""
    decision = AdServer(connect("redis://127.0.0.1:1")).decide(request())

    assert decision.response is None
    assert 1 == decision.nbr
    assert "no bid without Redis" in decision.reason


@pytest.mark.parametrize("backend", ["fakeredis", "redis"], indirect=True)
def test_racing_servers_overspend_nothing(cache):
    """Sixteen threads and a budget for ten impressions: ten are billed."""
    for campaign in campaigns(6):
        fields = (
            {"budget": 0.038, "caps": []} if campaign.campaign_id == "holiday" else {}
        )
        put(cache, replace(campaign, **fields))
    servers = [AdServer(cache) for _ in range(4)]
    billed = []

    def serve(number: int) -> None:
        server = servers[number % 4]
        for n in range(8):
            response = server.handle(request(id=f"{number}-{n}"))
            for bid in response.seatbid[0].bid if response else []:
                if bid.cid == "holiday":
                    billed.append(server.billing(bid.id, bid.price))

    threads = [threading.Thread(target=serve, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 10 == len(billed)
    assert (38_000, 0) == spent(servers[0], "holiday")
    assert 0.0 == sum(result.overrun for result in billed)


def test_a_wrong_client_clock_opens_nothing(make_cache):
    """A bidder two days ahead sees the same windows and the same flights."""
    cache = make_cache("fakeredis")
    now = time.time()
    ahead = ManualClock()
    ahead.advance(0)
    assert ahead.now_ms() < now * 1000  # the cast plays in January 2026
    stage(cache)
    decision = AdServer(cache).decide(request())

    assert decision.response is None  # for the server, January is over

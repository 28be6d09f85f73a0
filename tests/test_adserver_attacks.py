"""The ad server under attack: races, lost replies, forged notices, odd requests.

Where the kind of backend matters a test runs on all five, else on the embedded
fake and one server.
"""

import itertools
import threading
import time
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adcache import (
    AdCacheError,
    AdServer,
    Cap,
    FrequencyCapManager,
    Hops,
    InvalidValue,
    ManualClock,
    RedisUnavailable,
    connect,
)
from adcache.bid_ids import BidId
from adcache.campaigns import CampaignCache
from adcache.creatives import CreativeCache
from adcache.openrtb import check_response, decode_bid_request
from adcache.pacing import BudgetPacer
from adcache.privacy import UserPrivacy
from adcache.resp import command_size, reply_size
from adcache.sample_requests import SAMPLES
from adcache.simulate import campaigns, creatives
from adcache.stats import PerformanceStatsCache
from tests.adserver_help import put, request, stage
from tests.conftest import all_keys
from tests.proxy import Proxy
from tools.soak.lossy import LossyProxy

HOLIDAY = campaigns(6)[5]  # the highest bid among ada's campaigns: 3.80
TWO = pytest.mark.parametrize("backend", ["fakeredis", "redis"], indirect=True)
BAD_PRICES = ["${AUCTION_PRICE}", "", "free", "-1", -0.01, float("nan")]
BAD_PRICES += [float("inf"), "1e400", None, True, [], 1e10, "0x10", "1,5"]
HOSTILE = [
    "a~b",
    "100%",
    "%7E%41",
    "a:b",
    "{x}",
    "}{",
    "naïve ☕ 広告",
    "a b\n\tc",
    "?bid=x&price=1#y",
    "${AUCTION_PRICE}",
    "x" * 2000,
]


@pytest.fixture
def cache(timed_cache):
    """Cache on each backend with the cast on it, in January 2026."""
    stage(timed_cache)
    return timed_cache


@pytest.fixture
def server(cache):
    """Ad server without a near cache, its scripts known to Redis."""
    server = AdServer(cache)
    warm(server)
    yield server
    server.close()


def warm(server: AdServer) -> None:
    """Let Redis learn the scripts, with a request of another user."""
    made = server.handle(request(id="warm", user=someone("chloe")))
    assert made is not None
    assert server.loss(only(made).id)


def someone(name: str, **changes) -> dict:
    """The user object of a bid request."""
    return {"id": f"x-{name}", "buyeruid": name} | changes


def bids_of(response) -> list:
    """All bids of a response; none of no bid."""
    return response.seatbid[0].bid if response else []


def only(response):
    """The single bid of a response."""
    (bid,) = bids_of(response)
    return bid


def money(server: AdServer, campaign: str = "holiday") -> tuple[int, int]:
    """Micros spent and reserved."""
    status = BudgetPacer(server.cache).status(campaign)
    return status.spent, status.reserved


def during(server: AdServer, trip: str, act) -> None:
    """Let `act` happen once, right after the named trip of the next request."""
    wire, name_of = server.cache.wire, {"arrive": 1, "campaigns": 2}
    travel, seen = wire.trip, []

    def spy(questions, *args, **kwargs):
        answers = travel(questions, *args, **kwargs)
        seen.append(1)
        if len(seen) == name_of[trip]:
            wire.trip = travel
            act()
        return answers

    wire.trip = spy


def run_threads(work, count: int) -> None:
    """Run `work(n)` in `count` threads at once."""
    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# Duplicates


def test_racing_copies_of_a_request_are_one_bid(cache):
    """Twelve threads on four servers get one and the same bid, reserved once."""
    servers = [AdServer(cache) for _ in range(4)]
    warm(servers[0])
    start, decisions = threading.Barrier(12), []

    def send(n: int) -> None:
        start.wait()
        decisions.append(servers[n % 4].decide(request()))

    run_threads(send, 12)
    answers = [d.response for d in decisions if d.response is not None]

    assert 1 == sum(not d.duplicate for d in decisions)
    assert answers
    assert all(answer == answers[0] for answer in answers)
    assert {"bid", "a duplicate, not answered yet"} >= {d.reason for d in decisions}
    assert (0, 3800) == money(servers[0])


@TWO
def test_one_id_from_two_exchanges_is_two_requests(server):
    """Ids are unique within an exchange: the other one's bid stands by itself."""
    here, there = (
        only(server.handle(request(), exchange=name)) for name in ("a", "a:b")
    )
    assert server.billing(here.id, 1.0)
    assert server.loss(there.id)

    assert (1000, 0) == money(server)


@TWO
def test_a_claim_that_ends_in_between_reserves_once(server, cache):
    """The first server was too slow: the copy is decided again, on one reservation."""
    key = cache.get_key("bid_answer", request_id="slow", exchange="default")
    during(server, "campaigns", lambda: cache.wire.execute("DEL", key))
    slow = only(server.handle(request(id="slow")))
    again = server.decide(request(id="slow"))

    assert not again.duplicate
    assert slow.id == only(again.response).id
    assert (0, 3800) == money(server)


@TWO
def test_copies_after_the_bill_get_nothing_more(server):
    """A copy of a request whose impression is paid is no second impression."""
    bid = only(server.handle(request(id="1")))
    server.billing(bid.id, 2.0)
    copy = server.decide(request(id="1"))

    assert copy.response is None
    assert "settled" in copy.reason
    assert (2000, 0) == money(server)


# Lost replies


@pytest.mark.parametrize("lost", [1, 2, 3], ids=["arrive", "campaigns", "commit"])
def test_a_lost_reply_costs_the_bid_and_nothing_else(own_server, lost):
    """No bid, no exception; the exchange's retry finds what the commit had held."""
    clock = ManualClock()
    cache = connect(own_server.url, namespace="lost", clock=clock)
    stage(cache)
    warm(AdServer(cache))
    proxy = Proxy(cache.redis_client.connection_pool.connection_kwargs["port"])
    server = AdServer(connect(proxy.url, namespace="lost", clock=clock))
    assert server.loss(only(server.handle(request(id="0", user=someone("diego")))).id)
    cut = proxy.lose
    if lost == 1:
        cut()
    else:
        during(server, ["arrive", "campaigns"][lost - 2], cut)
    decision = server.decide(request(id="1"))
    retry = server.decide(request(id="1"))
    after = server.decide(request(id="2"))
    held = money(server)
    proxy.close()

    assert (None, 1) == (decision.response, decision.nbr)
    assert retry.duplicate
    assert bool(retry.response) == (lost == 3)
    assert "holiday" == only(after.response).cid
    assert held == (0, 7600 if lost == 3 else 3800)


@TWO
def test_a_bill_whose_reply_was_lost_is_sent_again(server):
    """The second notice does what the first had left undone, and no more."""
    bid = only(server.handle(request()))
    pacer, name = BudgetPacer(server.cache), BidId.parse(bid.id)
    assert pacer.settle(name.campaign_id, name.reservation_id, 2.5)  # then it crashed
    results = [server.billing(bid.id, 2.5) for _ in range(3)]
    stats = PerformanceStatsCache(server.cache).get_campaign_summary(bid.cid, days=1)

    assert [True, False, False] == [bool(result) for result in results]
    assert (1, 0.0025) == (stats["impressions"], stats["cost"])
    assert (2500, 0) == money(server)
    peek = FrequencyCapManager(server.cache).peek
    assert 1 == peek("ada", "holiday", caps=[Cap(3, 3600)]).count


# Notices


@TWO
def test_every_order_of_notices_counts_once(server):
    """All 24 orders of win, billing, loss and click, each notice sent twice."""
    orders = list(itertools.permutations(["win", "billing", "loss", "click"]))
    for number, order in enumerate(orders):
        user = someone(f"user-{number}")
        asked = request(id=str(number), user=user)
        asked["site"] = {"keywords": "travel"}
        bid = only(server.handle(asked))
        for name in order:
            arguments = (bid.id, 2.0) if name == "billing" else (bid.id,)
            first, second = (getattr(server, name)(*arguments) for _ in "ab")
            assert first or name in ("win", "loss")
            assert not second
        assert bid.cid == "holiday"
    stats = PerformanceStatsCache(server.cache).get_campaign_summary("holiday", days=1)

    assert (24, 24) == (stats["impressions"], stats["clicks"])
    assert (24 * 2000, 0) == money(server)


@TWO
def test_racing_notices_of_one_bid_count_once(server):
    """Sixteen threads send bills, losses, wins and clicks: one of each counts."""
    bid = only(server.handle(request()))
    counted = []

    def notify(n: int) -> None:
        send = [lambda: server.billing(bid.id, 2.0), lambda: server.win(bid.id)]
        send += [lambda: server.loss(bid.id), lambda: server.click(bid.id)]
        counted.append((n % 4, bool(send[n % 4]())))

    run_threads(notify, 16)
    stats = PerformanceStatsCache(server.cache).get_campaign_summary(bid.cid, days=1)

    assert 1 == counted.count((0, True))
    assert 1 == counted.count((3, True))
    assert (2000, 0) == money(server)
    assert 1 == stats["impressions"]


@TWO
def test_notices_before_the_bid_stands_change_nothing(server):
    """Who guesses a bid's id before it is made neither bills nor blocks it."""
    name = str(BidId("holiday", "default", "soon", "1"))
    early = [server.win(name), server.loss(name), server.click(name)]
    early.append(server.billing(name, 99.0))
    bid = only(server.handle(request(id="soon")))

    assert ["unknown"] * 4 == [result.state for result in early]
    assert name == bid.id
    assert server.billing(bid.id, 2.0)
    assert (2000, 0) == money(server)


@TWO
@pytest.mark.parametrize(
    "price",
    BAD_PRICES,
    ids=str,
)
def test_a_price_that_is_none_is_refused_before_anything_is_written(server, price):
    """The notice can be sent again with the price filled in."""
    bid = only(server.handle(request()))
    with pytest.raises(InvalidValue, match="clearing_price"):
        server.billing(bid.id, price)

    assert (0, 3800) == money(server)
    assert server.billing(bid.id, "2.5")
    assert (2500, 0) == money(server)


@TWO
def test_prices_of_nothing_and_of_too_much_are_recorded(server):
    """Price 0 costs nothing, one above the bid is a cost; neither counts twice."""
    free = only(server.handle(request(id="1")))
    dear = only(server.handle(request(id="2")))
    assert 0.0 == server.billing(free.id, 0).cost
    assert 0.02 == server.billing(dear.id, 20.0).cost
    again = [server.billing(free.id, 5.0), server.billing(dear.id, 1.0)]

    assert [0.0, 0.02] == [result.cost for result in again]
    assert [False, False] == [bool(result) for result in again]
    assert (20_000, 0) == money(server)


@TWO
def test_a_bill_after_the_lease_is_recorded_as_overrun_at_most(server, cache, clock):
    """Its money went to another bid: the cost is real, and what is over is said."""
    put(cache, replace(HOLIDAY, budget=0.0038, caps=[]))
    first = only(server.handle(request(id="1")))
    clock.advance(first.exp + 30)
    second = only(server.handle(request(id="3")))
    in_time, late = server.billing(second.id, 3.8), server.billing(first.id, 3.8)

    assert "holiday" == second.cid
    assert (0.0, 0.0038) == (in_time.overrun, late.overrun)
    assert (7600, 0) == money(server)


@TWO
def test_a_lease_ends_at_its_millisecond(server, cache, clock):
    """A ms earlier the money of a silent bid is held, from then on it is free."""
    put(cache, replace(HOLIDAY, budget=0.0038, caps=[]))
    bid = only(server.handle(request(id="1")))
    clock.advance(timedelta(seconds=bid.exp + 30) - timedelta(milliseconds=1))
    held = money(server)
    clock.advance(timedelta(milliseconds=1))

    assert [(0, 3800), (0, 0)] == [held, money(server)]


@TWO
@pytest.mark.parametrize(
    "bid_id",
    ["~~~", "a~b~c~", "a~b~c~d~e", "a b", "holiday", b"a~b~c~d", ["a"], 1.5],
)
def test_what_is_no_bid_id_is_refused(server, bid_id):
    """Whatever stands in a notice's URL is a clear error or unknown."""
    for notice in (server.win, server.loss, server.click):
        with pytest.raises(InvalidValue, match="bid_id must be"):
            notice(bid_id)


@TWO
def test_spellings_of_one_bid_id_are_one_bid(server):
    """An exchange that encodes more letters than needed does not pay twice."""
    bid = only(server.handle(request(id="a~b")))
    spelled = bid.id.replace("holiday", "%68oliday").replace("%7E", "%7e")

    assert spelled != bid.id
    assert server.billing(spelled, 2.0)
    assert not server.billing(bid.id, 2.0)
    assert (2000, 0) == money(server)


# Ids


@pytest.mark.parametrize("odd", HOSTILE, ids=range(len(HOSTILE)))
def test_odd_ids_come_back_whole(timed_cache, odd):
    """Campaign, creative, user, exchange, request, imp, place: billed by the URL."""
    box = next(each for each in creatives(6) if each.creative_id == "holiday-box")
    ad = replace(box, creative_id=odd, campaign_id=odd)
    CreativeCache(timed_cache).set_creative(ad)
    fields = {"campaign_id": odd, "creatives": [odd], "targeting": {"location": odd}}
    put(timed_cache, replace(HOLIDAY, caps=[(1, 3600)], **fields))
    server = AdServer(timed_cache)
    asked = request(id=odd, user=someone(odd, ext={"session_id": odd}))
    asked |= {"device": {"geo": {"country": odd}}, "site": {"kwarray": [odd]}}
    asked["imp"][0] |= {"id": odd, "banner": {"w": ad.w, "h": ad.h}}
    bid = only(server.handle(asked, exchange=odd))
    url = urlsplit(bid.burl.replace("${AUCTION_PRICE}", "2.5"))
    notice = parse_qs(url.query, strict_parsing=True)

    assert (odd, odd, odd) == (bid.cid, bid.crid, bid.impid)
    assert BidId(odd, odd, odd, odd) == BidId.parse(bid.id)
    assert [bid.id] == notice["bid"]
    assert server.billing(notice["bid"][0], notice["price"][0])
    assert (2500, 0) == money(server, odd)
    caps = FrequencyCapManager(timed_cache)
    assert 1 == caps.peek(odd, odd, caps=[Cap(1, 3600)]).count


# Odd requests


@TWO
def test_twenty_imps_share_six_campaigns(server):
    """Each campaign is on the page once, the dearest first, the rest is told why."""
    asked = request()
    asked["site"] = {"keywords": "sports,food,music,tech,travel,books"}
    one = asked["imp"][0] | {"bidfloor": 0.0}
    asked["imp"] = [one | {"id": str(n)} for n in range(20)]
    decision = server.decide(asked)
    check_response(decode_bid_request(asked), decision.response)
    bids = bids_of(decision.response)

    assert 6 == len(bids) == len({bid.cid for bid in bids})
    assert 6 == len({bid.impid for bid in bids})
    assert set(map(str, range(20))) == set(decision.imps)
    assert 14 == sum(why == "on the page already" for why in decision.imps.values())


ODD_REQUESTS = [
    {"device": None},
    {"device": {}},
    {"device": {"geo": {}}},
    {"device": {"geo": {"country": ""}}},
    {"user": None},
    {"user": {}},
    {"user": {"id": "", "buyeruid": ""}},
    {"user": {"ext": {"session_id": "s"}}},
    {"site": None, "app": None},
    {"regs": None},
    {"tmax": 2**31 - 1},
    {"tmax": None},
    {"cur": []},
    {"bcat": [""], "badv": ["", "."], "acat": []},
]


@TWO
@pytest.mark.parametrize("changes", ODD_REQUESTS, ids=str)
def test_requests_that_lack_almost_everything_are_answered(server, cache, changes):
    """No device, no place, no user, no site: an ad for everybody is still an ad."""
    put(cache, replace(HOLIDAY, caps=[], targeting={}, cat=[], adomain=[]))
    asked = {k: v for k, v in (request() | changes).items() if v is not None}
    bid = only(server.handle(asked))

    assert "holiday" == bid.cid
    assert server.billing(bid.id, bid.price)


@TWO
@pytest.mark.parametrize("tmax", [1, 20])
def test_no_money_is_touched_when_the_time_is_over(server, tmax):
    """A tmax that the network alone takes: no bid, nothing held."""
    assert "too late" == server.decide(request(tmax=tmax)).reason
    assert (0, 0) == money(server)


@TWO
def test_deals_with_odd_fields(server, cache):
    """Unknown seats, currencies and types: the deal that may be used is used."""
    put(cache, replace(HOLIDAY, deals=["a", "b", "c", "d", "e"]))
    asked = request()
    asked["imp"][0]["pmp"] = {
        "private_auction": 1,
        "deals": [
            {"id": "a", "bidfloor": 0, "wseat": ["other"]},
            {"id": "b", "bidfloor": 1, "bidfloorcur": "XXX"},
            {"id": "c", "bidfloor": 3.81},
            {"id": "d", "bidfloor": 1, "wadomain": ["other.example"]},
            {"id": "e", "bidfloor": 1.2345678, "at": 3},
            {"id": "nobody's", "bidfloor": 0.01},
        ],
    }
    bid = only(server.handle(asked))

    assert ("e", 1.234568) == (bid.dealid, bid.price)
    assert (0, 1235) == money(server)


media = st.sampled_from(["banner", "video", "audio", "native"])
SLOTS = {
    kind: each["imp"][0][kind]
    for each in SAMPLES.values()
    for kind in ("banner", "video", "audio", "native")
    if kind in each["imp"][0]
}


@st.composite
def requests(draw):
    """Bid requests with any imps, floors, deals and blocks."""
    imps = []
    for n in range(draw(st.integers(1, 4))):
        kinds = draw(st.lists(media, min_size=1, max_size=3, unique=True))
        imp = {"id": f"i{n}", "bidfloor": draw(st.floats(0, 5))}
        imp |= {kind: SLOTS[kind] for kind in kinds}
        imp["bidfloorcur"] = draw(st.sampled_from(["USD", "USD", "EUR", "JPY"]))
        if draw(st.booleans()):
            ids = draw(st.lists(st.sampled_from("abc"), max_size=3, unique=True))
            deals = [
                {"id": i, "bidfloor": draw(st.floats(0, 5)), "at": 1 + n % 3}
                for i in ids
            ]
            private = draw(st.integers(0, 1))
            imp["pmp"] = {"private_auction": private, "deals": deals}
        imps.append(imp)
    domains = [f"{each.campaign_id}.example" for each in campaigns(6)]
    return request(
        imp=imps,
        bcat=draw(st.lists(st.sampled_from(["IAB1", "IAB8", "IAB17-1"]), max_size=2)),
        badv=draw(st.lists(st.sampled_from(domains), max_size=3)),
        bseat=draw(st.sampled_from([[], [], ["other"], ["adcache"]])),
        user=someone(draw(st.sampled_from(["ada", "ben", "emi", "nobody"]))),
    )


def test_whatever_is_answered_is_valid(make_cache):
    """Any imps, floors, deals and blocks: the response passes the OpenRTB checks."""
    cache = make_cache("fakeredis", clock=ManualClock())
    stage(cache, deals=["a", "b"], caps=[])
    server = AdServer(cache, rates={"EUR": 1.1})
    numbers = itertools.count()

    @settings(max_examples=60, deadline=None)
    @given(requests())
    def check(asked):
        asked["id"] = f"r{next(numbers)}"
        response = server.handle(asked)
        if response is None:
            return
        check_response(decode_bid_request(asked), response)
        for bid in bids_of(response):
            imp = next(imp for imp in asked["imp"] if imp["id"] == bid.impid)
            assert imp.get("bidfloorcur") != "JPY" or bid.dealid
            assert bid.adm
            server.loss(bid.id)

    check()


# Between the trips


def repriced(cache):
    """The campaign bids less than it did when the index was read."""
    CampaignCache(cache).set_campaign(replace(HOLIDAY, bid_price=1.0))


def paused(cache):
    """The campaign is paused."""
    CampaignCache(cache).pause("holiday")


def ended(cache):
    """The flight ends."""
    CampaignCache(cache).set_campaign(
        replace(HOLIDAY, end_date=HOLIDAY.start_date + timedelta(milliseconds=1))
    )
    cache.clock.advance(1)


def deleted(cache):
    """The record is gone."""
    cache.wire.execute("DEL", cache.get_key("campaign", campaign_id="holiday"))


def lost_spend(cache):
    """Redis lost what the campaign has spent."""
    cache.wire.execute("DEL", cache.get_key("campaign_spend", campaign_id="holiday"))


@pytest.mark.parametrize("act", [repriced, paused, ended, deleted, lost_spend])
def test_what_changes_after_the_list_was_read_is_heeded(server, cache, act):
    """Paused, dearer than it bids, ended, gone: no bid, nothing held."""
    during(server, "campaigns", lambda: act(cache))
    decision = server.decide(request())
    status = BudgetPacer(cache).status("holiday")

    assert decision.response is None
    assert "no money" in decision.reason
    assert status is None or 0 == status.reserved


def test_a_user_erased_between_the_trips_is_not_leased(server, cache):
    """The profile was read a moment ago; the place under the caps is refused."""
    during(server, "campaigns", lambda: UserPrivacy(cache).erase_user("ada"))
    decision = server.decide(request())
    server.close()

    assert decision.response is None
    assert "suppressed" in decision.reason
    assert (0, 0) == money(server)
    assert keys_of("ada", cache) == ["user:suppressed:{ada}"]


def keys_of(user: str, cache) -> list[str]:
    """Names of all keys that are the user's."""
    names = [cache.keys.strip(key) for key in all_keys(cache)]
    return [name for name in names if f"{{{user}}}" in name]


@pytest.mark.parametrize(
    "notices", [["billing"], ["win", "billing", "click"], ["loss"]]
)
def test_a_user_erased_after_the_bid_stays_erased(server, cache, notices):
    """The money is settled, and no key of the user comes back."""
    bid = only(server.handle(request()))
    UserPrivacy(cache).erase_user("ada")
    for name in notices:
        arguments = (bid.id, 2.0) if name == "billing" else (bid.id,)
        assert getattr(server, name)(*arguments)
    proof = UserPrivacy(cache).erase_user("ada")

    assert (2000 * ("billing" in notices), 0) == money(server)
    assert keys_of("ada", cache) == ["user:suppressed:{ada}"]
    assert proof
    assert {} == {name: n for name, n in proof.removed.items() if n}


@TWO
def test_consent_withdrawn_after_the_bid(server):
    """The impression is paid for; the next request is answered by its page alone."""
    bid = only(server.handle(request(id="1")))
    after = server.decide(request(id="2", regs={"gdpr": 1}))

    assert server.billing(bid.id, 2.0)
    assert after.contextual
    assert after.response is None


# Budgets and caps


@pytest.mark.parametrize("impressions", [1, 3])
def test_a_budget_of_exactly_n_impressions_buys_n(server, cache, impressions):
    """Neither one less by rounding, nor one more."""
    put(cache, replace(HOLIDAY, budget=0.0038 * impressions, caps=[]))
    won = []
    for n in range(impressions + 2):
        response = server.handle(request(id=str(n)))
        won += [bid for bid in bids_of(response) if bid.cid == "holiday"]
    results = [server.billing(bid.id, bid.price) for bid in won]

    assert impressions == len(won)
    assert (3800 * impressions, 0) == money(server)
    assert 0.0 == sum(result.overrun for result in results)


@TWO
def test_a_cap_of_zero_admits_nobody(server, cache):
    """A campaign with a limit of 0 is never bid, and the others are."""
    put(cache, replace(HOLIDAY, caps=[(0, 3600)]))

    assert "holiday" != only(server.handle(request())).cid
    assert (0, 0) == money(server)


@TWO
def test_of_caps_with_one_window_the_strictest_holds(server, cache):
    """Two caps for one window count an impression once, and the lower one decides."""
    put(cache, replace(HOLIDAY, caps=[(5, 60), (2, 60), (9, 60.0)]))
    bids = [only(server.handle(request(id=str(n)))) for n in range(3)]
    for bid in bids:
        server.billing(bid.id, 1.0)
    peek = FrequencyCapManager(cache).peek("ada", "holiday", caps=[Cap(5, 60)])

    assert ["holiday", "holiday"] == [bid.cid for bid in bids if bid.cid == "holiday"]
    assert 2 == peek.count


@TWO
def test_a_loss_frees_a_place_once(server, cache):
    """However often a loss is told, one place comes back."""
    put(cache, replace(HOLIDAY, caps=[(2, 3600)]))
    first, second = (only(server.handle(request(id=n))) for n in "12")
    for _ in range(3):
        server.loss(first.id)
    third, fourth = (only(server.handle(request(id=n))) for n in "34")

    assert ["holiday"] * 3 == [bid.cid for bid in (first, second, third)]
    assert "holiday" != fourth.cid


# Redis is shaken


def test_scripts_flushed_between_all_trips(own_server):
    """SCRIPT FLUSH at any moment costs a trip and no bid."""
    cache = connect(own_server.url, namespace="flush", clock=ManualClock())
    stage(cache)
    server, flush = AdServer(cache), cache.redis_client.script_flush
    for n, trip in enumerate(["arrive", "campaigns"] * 3):
        during(server, trip, flush)
        bid = only(server.handle(request(id=str(n), user=someone("ada"))))
        flush()
        assert server.win(bid.id)
        flush()
        assert server.billing(bid.id, 1.0)
    cache.close()


def test_everything_is_flushed_in_mid_run(own_server):
    """FLUSHALL: bids stop, old notices are unknown, and a new stage is served."""
    cache = connect(own_server.url, namespace="flush", clock=ManualClock())
    stage(cache)
    server = AdServer(cache, near=True)
    assert server.near.wait_until_on()
    bid = only(server.handle(request(id="1")))
    during(server, "arrive", cache.redis_client.flushall)
    lost = server.decide(request(id="2"))
    notices = [server.win(bid.id), server.loss(bid.id), server.billing(bid.id, 1.0)]
    deadline = time.monotonic() + 1.0
    while (
        "no campaign" not in server.decide(request(id=f"{time.monotonic_ns()}")).reason
    ):
        assert time.monotonic() < deadline
    stage(cache)
    time.sleep(1.0)  # the campaign that had no money rests for a second
    after = server.handle(request(id="4"))
    server.close()

    assert lost.response is None
    assert ["unknown"] * 3 == [result.state for result in notices]
    assert "holiday" == only(after).cid
    assert (0, 3800) == money(server)


def test_a_restart_in_mid_run_is_survived(own_server):
    """Without Redis there is no bid; afterwards work resumes by itself."""
    cache = connect(own_server.url, namespace="restart", clock=ManualClock())
    stage(cache)
    server = AdServer(cache, near=True)
    assert server.near.wait_until_on()
    assert server.handle(request(id="1"))
    own_server.stop()
    away = [server.decide(request(id=f"away-{n}")) for n in range(40)]
    own_server.start()
    stage(cache)
    back = [server.decide(request(id=f"back-{n}")) for n in range(3)]
    on_again = server.near.wait_until_on()
    server.close()
    server.close()

    assert {None} == {decision.response for decision in away}
    assert {1} == {decision.nbr for decision in away}
    assert all(back)
    assert on_again


@TWO
def test_what_waits_to_be_given_back_is_bounded(server, cache):
    """Refusals one after the other fill no memory, and close may come twice."""
    put(cache, replace(HOLIDAY, budget=0.001))
    for n in range(50):
        server._resting.clear()
        server.handle(request(id=str(n)))
    assert len(server._trips._give_back) <= 2
    server.close()
    server.close()

    assert (0, 0) == money(server)
    assert FrequencyCapManager(cache).peek("ada", "holiday", 1, 3600)


# Near cache

REAL = pytest.mark.parametrize(
    "backend", ["redis", "redis-8.2", "valkey-8.1", "cluster"], indirect=True
)


@pytest.fixture
def near(cache):
    """Ad server with a near cache that is on and filled."""
    server = AdServer(cache, near=True)
    assert server.near.wait_until_on()
    warm(server)
    server.loss(only(server.handle(request(id="fill"))).id)
    yield server
    server.close()


def until(server: AdServer, wanted, seconds: float = 1.0) -> float:
    """Ask until an answer is as wanted; fails when that takes more than a second."""
    started = time.monotonic()
    while True:
        response = server.handle(request(id=f"u{time.monotonic_ns()}"))
        for bid in bids_of(response):
            server.loss(bid.id)
        if wanted(response):
            return time.monotonic() - started
        assert time.monotonic() - started < seconds


@REAL
def test_changes_reach_the_near_cache_within_a_second(near, make_cache, backend):
    """Another price, a new campaign, a pause, made through another cache object."""
    same = near.cache.keys.match.removesuffix(":*")
    cache = make_cache(backend, namespace=same, clock=near.cache.clock)
    CampaignCache(cache).set_campaign(replace(HOLIDAY, bid_price=3.9))
    until(near, lambda response: only(response).price == 3.9)
    new = replace(HOLIDAY, campaign_id="cruise", bid_price=4.5)
    put(cache, new)
    until(near, lambda response: only(response).cid == "cruise")
    CampaignCache(cache).pause("cruise")
    until(near, lambda response: response and only(response).cid == "holiday")


@REAL
def test_a_near_entry_lives_no_longer_than_its_lines(near, cache, clock):
    """A flight ends, another begins: also where nobody writes anything."""
    start = clock.now() + timedelta(seconds=3000)
    anyone = replace(HOLIDAY, caps=[], targeting={})
    put(cache, anyone)
    put(cache, replace(anyone, campaign_id="cruise", bid_price=4.5, start_date=start))
    lead = int(start.timestamp() * 1000) - 60_000
    until(near, lambda _: getattr(near.near.get("any:all"), "until_ms", 0) == lead)
    clock.advance(3000 - 0.001)
    before = only(near.handle(request(id="before")))
    clock.advance(0.001)
    started = only(near.handle(request(id="at")))
    clock.advance(7200)  # the records of both are over by now
    over = near.decide(request(id="over"))

    assert ("holiday", "cruise") == (before.cid, started.cid)
    assert over.response is None


def test_a_killed_tracking_line_leaves_nothing_stale(own_server):
    """While nobody tells of changes, nothing is taken from the near cache."""
    cache = connect(own_server.url, namespace="kill", clock=ManualClock())
    stage(cache)
    server = AdServer(cache, near=True)
    assert server.near.wait_until_on()
    server.loss(only(server.handle(request(id="fill"))).id)
    for kind in ("pubsub", "normal"):
        for line in cache.redis_client.client_list(_type=kind):
            if line["cmd"] != "client|list":
                cache.redis_client.client_kill_filter(_id=line["id"])
        CampaignCache(cache).set_campaign(
            replace(HOLIDAY, bid_price=5.0 if kind == "pubsub" else 6.0)
        )
        price = 5.0 if kind == "pubsub" else 6.0
        until(server, lambda r, price=price: only(r).price == price)
        assert server.near.wait_until_on()
    server.close()
    cache.close()


# Figures


@pytest.mark.parametrize("near", [False, True])
def test_the_trace_is_what_went_over_the_line(own_server, near):
    """Bytes of the hops are those that a proxy counts, but for the namespace."""
    port = urlsplit(own_server.url).port
    seen = ByteCounter(port)
    cache = connect(seen.url, namespace="n", clock=ManualClock())
    stage(cache)
    server = AdServer(cache, near=near)
    if near:
        assert server.near.wait_until_on()
    warm(server)
    for n in range(2):
        server.handle(request(id=f"warm-{n}"))
    pairs = []
    cache.wire.observer = lambda each, _: pairs.extend(each)
    seen.start()
    hops = Hops()
    assert server.handle(request(id="traced"), trace=hops)
    sent, received = seen.stop()
    cache.wire.observer = None
    words = [[_text(word) for word in command] for command, _ in pairs]
    bare = [[cache.keys.strip(word) for word in command] for command in words]
    server.close()
    seen.close()

    assert sent == sum(map(command_size, words))
    assert received == sum(reply_size(str(c[0]), reply) for c, reply in pairs)
    assert hops.bytes_out == sum(map(command_size, bare))
    assert hops.bytes_in == received
    assert hops.trips == (2 if near else 3)


def _text(word) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


class ByteCounter(Proxy):
    """A proxy that counts the bytes of the lines that carry commands."""

    def __init__(self, port: int) -> None:
        self.sent = self.received = 0
        super().__init__(port)

    def start(self) -> None:
        self.sent = self.received = 0

    def stop(self) -> tuple[int, int]:
        time.sleep(0.02)  # the proxy's thread counts after it has sent
        return self.sent, self.received

    def _requests(self, client, server):
        self._pump(client, server, "sent")

    def _replies(self, client, server):
        self._pump(server, client, "received")

    def _pump(self, source, target, name):
        try:
            while data := source.recv(65536):
                chatter = b"PING" in data or b"pong" in data or b"PONG" in data
                if not chatter:
                    setattr(self, name, getattr(self, name) + len(data))
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            end.close()


def test_nothing_that_is_said_names_the_password_or_the_namespace():
    """Reasons, errors, reprs and the near cache's state are safe to log."""
    url = "redis://someone:pa55word@127.0.0.1:1/0"
    server = AdServer(connect(url, namespace="tenant-7"), near=True)
    hops, said = Hops(), []
    said.append(str(server.decide(request(), trace=hops)))
    for notice in (server.win, server.loss, server.click):
        with pytest.raises(AdCacheError) as error:
            notice("a~b~c~d")
        said.append(f"{error.value!r} {error.value}")
    server.near.wait_until_on(0.2)
    said += [server.near.state, repr(server), repr(server.cache), str(hops), repr(hops)]
    server.near.close()

    assert not [text for text in said if "pa55word" in text or "tenant-7" in text]


@TWO
def test_refusals_of_redis_do_not_name_the_namespace(make_cache, backend):
    """A key of a wrong type: the reason names the trouble, not the tenant."""
    cache = make_cache(backend, clock=ManualClock(), namespace="tenant-8")
    stage(cache)
    for pattern in ("campaign_spend", "budget_leases"):
        key = cache.get_key(pattern, campaign_id="holiday")
        cache.wire.execute("DEL", key)
        cache.wire.execute("LPUSH", key, "x")
    said = str(AdServer(cache).decide(request()))
    for pattern in ("campaign_spend", "budget_leases"):
        cache.wire.execute("DEL", cache.get_key(pattern, campaign_id="holiday"))

    assert "WRONGTYPE" in said
    assert "tenant-8" not in said


@TWO
def test_a_process_keeps_a_bounded_memory_of_users(make_cache, backend):
    """Questions of users who came once are forgotten, keys too, rests too."""
    cache = make_cache(backend, clock=ManualClock())
    stage(cache)
    server = AdServer(cache)
    for n in range(300):
        server.handle(
            request(id=str(n), user=someone(f"u{n}", ext={"session_id": f"s{n}"}))
        )
    parts = (server._trips, server._cells)
    kept = [each for part in parts for each in vars(part).values()]
    kept = [each.cache_info() for each in kept if hasattr(each, "cache_info")]

    assert kept
    assert all(info.maxsize is not None for info in kept)
    assert all(info.maxsize <= 20_000 for info in kept)
    assert len(server._resting) <= 10_000
    assert server._trips._give_back.maxlen == 10_000


# Money, end to end


@pytest.mark.parametrize("share", [0.03])
def test_a_lossy_line_settles_each_bill_once(own_server, share):
    """Notices repeated until answered: spent is the sum of the bills, to the micro."""
    clock = ManualClock()
    cache = connect(own_server.url, namespace="lossy", clock=clock)
    stage(cache, caps=[])
    warm(AdServer(cache))
    billed = []
    with LossyProxy(urlsplit(own_server.url).port, share) as proxy:
        server = AdServer(connect(proxy.url, namespace="lossy", clock=clock))

        def serve(number: int) -> None:
            for n in range(40):
                response = server.handle(request(id=f"{number}-{n}"))
                for bid in bids_of(response):
                    price = 0.5 + (number * 40 + n) / 1000
                    answered(lambda bid=bid: server.win(bid.id))
                    answered(lambda bid=bid, p=price: server.billing(bid.id, p))
                    billed.append((bid.cid, round(price * 1_000_000)))

        run_threads(serve, 4)
        assert proxy.lost > 5
    clock.advance(7200 + 330)
    stage(cache, caps=[])
    sums = dict.fromkeys((each.campaign_id for each in campaigns(6)), 0)
    for name, cpm in billed:
        sums[name] += cpm
    stats = PerformanceStatsCache(cache)
    shown = sum(stats.get_campaign_summary(name)["impressions"] for name in sums)

    assert {name: (cpm // 1000, 0) for name, cpm in sums.items()} == {
        name: money(AdServer(cache), name) for name in sums
    }
    assert len(billed) == shown > 100


def answered(notice) -> None:
    """Send a notice until it is answered."""
    for _ in range(50):
        try:
            notice()
            return
        except RedisUnavailable:
            pass
    raise AssertionError("never answered")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("bid"), st.sampled_from(["ada", "emi", "femi"])),
        st.tuples(st.just("bid"), st.sampled_from(["ada", "emi", "femi"])),
        st.tuples(st.sampled_from(["win", "loss", "click"]), st.integers(0, 30)),
        st.tuples(st.just("billing"), st.integers(0, 30), st.integers(0, 5_000_000)),
        st.tuples(st.just("billing"), st.integers(0, 30), st.integers(0, 900_000)),
        st.tuples(st.just("billing"), st.integers(0, 30), st.integers(0, 900_000)),
        st.tuples(st.just("copy"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.sampled_from([1, 100, 330, 900])),
    ),
    min_size=10,
    max_size=40,
)
PACED = [  # pacing, budget, daily budget: all of them soon at their ends
    ("asap", 0.02, None),
    ("asap", 1.0, 0.012),
    ("even", 0.5, None),
    ("front_loaded", 0.5, 0.03),
    ("token_bucket", 0.5, 0.02),
]


class Books:
    """What ought to have happened, as plain Python keeps it."""

    def __init__(self, server: AdServer, clock: ManualClock) -> None:
        self.server, self.clock = server, clock
        self.bids, self.asked, self.settled = [], [], {}
        self.lost: set[str] = set()
        self.until: dict[str, int] = {}
        self.owner: dict[str, str] = {}
        self.cpm: dict[str, int] = {}
        self.in_time: dict[tuple[str, str], int] = {}
        self.costly = False  # a cost came late, or above its reservation

    def bid(self, user: str) -> None:
        asked = request(id=f"q{len(self.asked)}", user=someone(user))
        asked["site"] = {"keywords": "travel,music,sports,food"}
        asked["imp"][0]["bidfloor"] = 0.0
        asked["imp"].append(asked["imp"][0] | {"id": "2"})
        self.asked.append(asked)
        for bid in bids_of(self.server.handle(asked)):
            self.note(bid, user)

    def copy(self, number: int) -> None:
        if self.asked:
            asked = self.asked[number % len(self.asked)]
            for bid in bids_of(self.server.handle(asked)):
                assert bid.id not in self.settled
                self.note(bid, asked["user"]["buyeruid"])

    def note(self, bid, user: str) -> None:
        if bid.id not in self.owner:
            self.bids.append(bid)
            self.owner[bid.id] = user
            self.until[bid.id] = self.clock.now_ms() + (bid.exp + 30) * 1000

    def billing(self, number: int, cpm: int) -> None:
        if not self.bids:
            return
        bid = self.bids[number % len(self.bids)]
        result = self.server.billing(bid.id, cpm / 1_000_000)
        assert bool(result) == (bid.id not in self.settled)
        if not result:
            assert result.cost == self.settled[bid.id]
            return
        self.settled[bid.id] = result.cost
        self.cpm[bid.cid] = self.cpm.get(bid.cid, 0) + cpm
        fresh = self.clock.now_ms() < self.until[bid.id] and bid.id not in self.lost
        if fresh:
            key = bid.cid, self.owner[bid.id]
            self.in_time[key] = self.in_time.get(key, 0) + 1
        self.costly |= not fresh or cpm > bid.price_micros

    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    def notice(self, name: str, number: int) -> None:
        if self.bids:
            bid_id = self.bids[number % len(self.bids)].id
            getattr(self.server, name)(bid_id)
            if name == "loss":
                self.lost.add(bid_id)

    def take(self, step: tuple) -> None:
        self.server._resting.clear()  # that second is none of the manual clock
        own = getattr(self, step[0], None)
        if own:
            own(*step[1:])
        else:
            self.notice(*step)

    def check(self, terms: dict[str, tuple]) -> None:
        for name, (_, budget, daily) in terms.items():
            status = BudgetPacer(self.server.cache).status(name)
            assert status.spent == self.cpm.get(name, 0) // 1000
            limit = round(budget * 1_000_000) + status.overrun
            assert status.spent + status.reserved <= limit
            if not self.costly:
                assert 0 == status.overrun
                if daily is not None:
                    assert status.today + status.reserved <= daily * 1_000_000
        assert all(count <= 1 for count in self.in_time.values())


def test_every_sequence_of_requests_and_notices_adds_up():
    """Spent is the sum of the clearing prices; budgets and caps hold throughout."""
    numbers = itertools.count()

    @settings(max_examples=40, deadline=None)
    @given(STEPS)
    def check(steps):
        clock = ManualClock()
        clock.advance(6 * 3600)
        name = f"books-{next(numbers)}"
        cache = connect("fakeredis://books", clock=clock, namespace=name)
        names = [each.campaign_id for each in campaigns(6)]
        terms = dict(zip(names, PACED, strict=False))
        for creative in creatives(6):
            CreativeCache(cache).set_creative(creative)
        for each in campaigns(6)[: len(PACED)]:
            pacing, budget, daily = terms[each.campaign_id]
            put(
                cache,
                replace(
                    each,
                    pacing=pacing,
                    budget=budget,
                    daily_budget=daily,
                    caps=[(1, 86_400)],
                    targeting={},
                    cat=[],
                ),
            )
        server = AdServer(cache)
        books = Books(server, clock)
        for step in steps:
            books.take(step)
            books.check(terms)
        cache.close()

    check()

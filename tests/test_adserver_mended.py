"""What an adversary once broke in the ad server, and what must stay mended."""

import contextlib
import threading
import time
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import redis

from adcache import (
    AdCacheError,
    AdServer,
    InvalidBidRequest,
    InvalidValue,
    ManualClock,
    connect,
)
from adcache.bid_ids import BidId
from adcache.consent import _ALPHABET, gpp_sections
from adcache.creatives import CreativeCache
from adcache.openrtb import check_response, decode_bid_request
from adcache.pacing import BudgetPacer
from adcache.privacy import UserPrivacy
from adcache.stats import PerformanceStatsCache
from tests.adserver_help import put, request, stage
from tests.proxy import Proxy
from tests.test_adserver_attacks import (
    HOLIDAY,
    bids_of,
    during,
    money,
    only,
    someone,
    warm,
)


@pytest.fixture
def cache(make_cache, clock):
    """Cast on an embedded fake."""
    cache = make_cache("fakeredis", clock=clock)
    stage(cache)
    return cache


@pytest.fixture
def server(cache):
    """Ad server on it."""
    return AdServer(cache)


def test_an_ad_without_markup_leaves_the_place_to_others(server, cache):
    """One campaign whose creative expired costs one request its bid, not all."""
    bid = only(server.handle(request(id="1")))
    CreativeCache(cache).delete_creative(bid.crid)
    decisions = [server.decide(request(id=f"x{n}")) for n in range(4)]
    assert any(decisions), [d.reason for d in decisions]


def test_a_broken_account_leaves_the_place_to_others(server, cache):
    """One campaign whose keys Redis refuses costs one request its bid, not all."""
    key = cache.get_key("campaign_spend", campaign_id="holiday")
    cache.wire.execute("DEL", key)
    cache.wire.execute("SET", key, "x", "PX", 60_000)
    decisions = [server.decide(request(id=f"x{n}")) for n in range(4)]
    cache.wire.execute("DEL", key)
    assert any(decisions), [d.reason for d in decisions]


def test_a_damaged_creative_leaves_the_place_to_others(server, cache):
    """One campaign whose creative cannot be read costs one request its bid, not all."""
    for name in HOLIDAY.creatives:
        key = cache.get_key("ad_creative", creative_id=name)
        cache.wire.execute("SET", key, "{}", "PX", 60_000)
    decisions = [server.decide(request(id=f"x{n}")) for n in range(4)]
    assert any(decisions), [d.reason for d in decisions]


def test_a_bid_price_beyond_the_pacers_is_refused_at_the_door():
    """A typing error of an advertiser is told where it is made."""
    with pytest.raises(InvalidValue, match="bid_price must be at most"):
        replace(HOLIDAY, bid_price=2e9)


@pytest.mark.parametrize("best", [0, 65, 1.5, True])
def test_more_lines_than_are_kept_ready_cannot_be_asked_for(cache, best):
    """They would cost every request a trip more."""
    with pytest.raises(InvalidValue, match="best must be"):
        AdServer(cache, best=best)


def test_a_retry_elsewhere_keeps_its_money_and_place(own_server):
    """T3's reply is lost at A; B answers the exchange's retry; A must not give back."""
    clock = ManualClock()
    direct = connect(own_server.url, namespace="x", clock=clock)
    stage(direct)
    put(direct, replace(HOLIDAY, caps=[(1, 3600)]))
    proxy = Proxy(urlsplit(own_server.url).port)
    a = AdServer(connect(proxy.url, namespace="x", clock=clock))
    b = AdServer(direct)
    warm(b)
    a.handle(request(id="connect", user=someone("diego")))
    held = money(b)[1]
    during(a, "campaigns", proxy.lose)
    assert a.handle(request(id="1")) is None
    first = only(b.handle(request(id="1")))
    a.handle(request(id="next", user=someone("nobody")))  # rides along: releases b's
    assert (first.cid, money(b)[1]) == ("holiday", held + 3800)
    second = b.handle(request(id="2"))
    assert "holiday" not in [bid.cid for bid in bids_of(second)]


def test_a_refusal_here_takes_nothing_from_a_copy_there(server, cache):
    """A found no markup, B did: what B bid with must not ride back with A."""
    b = AdServer(cache)
    box = only(b.handle(request(id="0")))
    b.loss(box.id)
    creative = CreativeCache(cache).get_creative(box.crid)
    CreativeCache(cache).delete_creative(box.crid)
    assert server.handle(request(id="1")) is None
    CreativeCache(cache).set_creative(creative)
    assert only(b.handle(request(id="1"))).cid == "holiday"
    server.handle(request(id="2", user=someone("nobody")))
    assert money(b) == (0, 3800)


def test_a_duplicate_notice_is_known_as_long_as_its_reservation(server, cache):
    """Statistics recognise an event as long as the ledger knows its bid."""
    bid = only(server.handle(request()))
    server.win(bid.id)
    server.billing(bid.id, 1.0)
    server.click(bid.id)
    name = BidId.parse(bid.id)
    ids = {"campaign_id": bid.cid, "reservation_id": name.reservation_id}
    ledger = cache.redis_client.pttl(cache.get_key("budget_ledger", **ids))
    for metric in ("wins", "impressions", "clicks"):
        key = cache.get_key(
            "stats_event", campaign_id=bid.cid, event_id=f"{metric}:{bid.id}"
        )
        assert cache.redis_client.pttl(key) + 1000 >= ledger, metric


def test_a_copy_of_a_paid_request_rests_nobody(server):
    """Settled, released, expired: that copy is over, the campaign has money."""
    bid = only(server.handle(request(id="1")))
    server.billing(bid.id, 1.0)
    server.handle(request(id="1"))
    assert only(server.handle(request(id="2"))).cid == "holiday"


def test_an_erased_user_is_counted_in_no_sketch(server, cache):
    """The money is settled; the user is not added to reach."""
    bid = only(server.handle(request()))
    UserPrivacy(cache).erase_user("ada")
    server.billing(bid.id, 1.0)
    assert PerformanceStatsCache(cache).reach(bid.cid) == 0


@pytest.mark.parametrize("how", ["erased", "no consent"])
def test_a_copy_without_a_basis_is_not_answered_by_the_profile(server, cache, how):
    """The first copy's bid was made by the profile; this one may not use it."""
    server.handle(request(id="1"))
    if how == "erased":
        UserPrivacy(cache).erase_user("ada")
    changes = {} if how == "erased" else {"regs": {"gdpr": 1}}
    assert server.handle(request(id="1", **changes)) is None


def test_a_gpp_string_of_14_kb_takes_no_second():
    """Ranges that cover millions of sections are refused while they are read."""
    fibs = [1, 2]
    while fibs[-1] < 5000:
        fibs.append(fibs[-1] + fibs[-2])
    bits, rest = [], 4096
    for f in reversed([f for f in fibs if f <= 4096]):
        bits.append("1" if f <= rest else "0")
        rest -= f if f <= rest else 0
    step = "".join(reversed(bits)) + "1"
    text = f"{3:06b}{1:06b}{4095:012b}" + ("1" + "11" + step) * 4095
    text += "0" * (-len(text) % 6)
    header = "".join(_ALPHABET[int(text[i : i + 6], 2)] for i in range(0, len(text), 6))
    started = time.process_time()
    assert gpp_sections(header + "~x") is None
    assert time.process_time() - started < 0.1


def test_long_ids_are_not_kept(make_cache, clock):
    """An exchange that sends ids of 200 kB fills no memory."""
    import tracemalloc

    server = AdServer(make_cache("redis", clock=clock))
    server.handle(request(id="x"))
    tracemalloc.start()
    for n in range(40):
        with contextlib.suppress(InvalidBidRequest):
            server.handle(request(id=f"{n}", user=someone("z" * 200_000 + str(n))))
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 5_000_000, kept


def test_the_near_cache_outlives_a_busy_server(own_server):
    """BUSY (a slow script) is no refusal of CLIENT TRACKING: try again."""
    cache = connect(own_server.url, namespace="busy")
    cache.redis_client.config_set("busy-reply-threshold", 100)
    server = AdServer(cache, near=True)
    assert server.near.wait_until_on()
    port = urlsplit(own_server.url).port

    def spin():
        with contextlib.suppress(redis.ResponseError):
            redis.Redis(port=port, retry=None).eval("while true do end", 0)

    thread = threading.Thread(target=spin)
    thread.start()
    time.sleep(2.5)
    redis.Redis(port=port).script_kill()
    thread.join()
    assert server.near.wait_until_on(3), server.near.state
    server.close()


def test_close_stops_the_near_cache_also_without_redis(own_server):
    """What cannot be given back comes back by itself; the thread must end."""
    cache = connect(own_server.url, namespace="close", clock=ManualClock())
    stage(cache)
    server = AdServer(cache, near=True)
    assert server.near.wait_until_on()
    bid = only(server.handle(request(id="1")))
    CreativeCache(cache).delete_creative(bid.crid)
    server.handle(request(id="2"))
    own_server.stop()
    try:
        server.close()
    finally:
        own_server.start()
        alive = [t for t in threading.enumerate() if t.name == "adcache-near"]
        server.near.close()
    assert alive == []


def test_a_deal_for_one_domain_takes_no_ad_for_two(server, cache):
    """All of an ad's domains must be among those that the deal admits."""
    put(cache, replace(HOLIDAY, deals=["d"], adomain=["a.example", "b.example"]))
    asked = request()
    deal = {"id": "d", "bidfloor": 1, "wadomain": ["a.example"]}
    asked["imp"][0]["pmp"] = {"private_auction": 1, "deals": [deal]}
    response = server.handle(asked)
    if response:
        check_response(decode_bid_request(asked), response)


def test_blocked_domains_are_compared_without_case(server):
    """A block holds in whatever case it is written."""
    assert only(server.handle(request(badv=["Holiday.EXAMPLE"]))).cid != "holiday"


def test_a_forged_bid_id_that_is_no_utf8_is_refused(server):
    """It is a clear error, not a decoding one."""
    with pytest.raises(InvalidValue):
        server.win("%FF~a~b~c")


@pytest.mark.parametrize("notice", ["loss", "billing"])
def test_a_reservation_of_another_program_is_no_bid(server, cache, notice):
    """A note that is not ours: a clear result or error, before money moves."""
    BudgetPacer(cache).reserve("holiday", "a~b~c", 1.0)
    arguments = ("holiday~a~b~c", 1.0) if notice == "billing" else ("holiday~a~b~c",)
    with contextlib.suppress(AdCacheError):
        getattr(server, notice)(*arguments)


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [
        ("targeting_ready", {"interest": "travel", "location": "all"}),
        ("bid_answer", {"request_id": "1", "exchange": "default"}),
    ],
)
def test_damaged_values_are_no_bid_and_no_exception(server, cache, pattern, ids):
    """What cannot be read in Redis costs a bid at most."""
    cache.wire.execute("SET", cache.get_key(pattern, **ids), "garbage", "PX", 60_000)
    server.decide(request(id="1"))


def test_damaged_caps_are_no_exception(server, cache):
    """Caps that cannot be read allow nothing."""
    key = cache.get_key("frequency_cap", user_id="ada")
    cache.wire.execute("HSET", key, "holiday~leases", "x y z")
    cache.wire.execute("PEXPIRE", key, 60_000)
    server.decide(request(id="1"))


def test_a_test_request_holds_no_money(server):
    """OpenRTB 2.6, 3.2.1: with test = 1 the auction is not billable."""
    server.handle(request(test=1))
    assert money(server) == (0, 0)


def test_best_bounds_what_is_judged(cache):
    """Of each list only the best so many campaigns are looked at."""
    server, seen = AdServer(cache, best=1), []
    eligible = server._cells.eligible
    server._cells.eligible = lambda *a: seen.append(eligible(*a)) or seen[-1]
    user = someone("ada")
    server.handle(request(user=user, site={"keywords": "travel"}))
    assert len([x for x in seen[0] if x.campaign_id in ("bicycle", "holiday")]) == 1


def test_a_refused_copy_is_called_a_duplicate(server):
    """Also when nothing of its bid is left."""
    bid = only(server.handle(request(id="1")))
    server.billing(bid.id, 1.0)
    assert server.decide(request(id="1")).duplicate


def test_a_rate_of_nothing_is_refused(cache):
    """A rate of 0 would make every floor vanish."""
    with pytest.raises(InvalidValue):
        AdServer(cache, rates={"EUR": 0})

"""The rules of a request against the wishes of campaigns, without Redis."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adcache.ad_line import AdLine, CreativeLine
from adcache.adserver_answer import choose
from adcache.eligibility import (
    Rules,
    Visitor,
    by_bid,
    market_of,
    offers,
    refusals,
    seat_problem,
)
from adcache.money import to_micros
from adcache.openrtb import decode_bid_request
from adcache.simulate import sample_request

NOW = int(datetime(2026, 1, 15, tzinfo=UTC).timestamp() * 1000)
RATES = {"USD": 1_000_000, "EUR": 1_100_000, "JPY": 6_500}
SEAT = "adcache"
NOBODY = Visitor()


def creative(format="banner", w=300, h=250, duration=0, mimes=(), attr=()):
    """Make what an ad line says of a creative."""
    return CreativeLine("ad", format, w, h, duration, tuple(mimes), tuple(attr), "")


def line(name="tea", cpm=2.0, **fields):
    """Make an ad line that anybody may see, with a box to show."""
    given = {
        "version": 1,
        "over_ms": NOW + 10**6,
        "start_ms": NOW - 10**6,
        "bid": to_micros(cpm),
        "end_ms": NOW + 10**6,
        "campaign_id": name,
        "advertiser_id": f"{name}-maker",
        "caps": (),
        "deals": (),
        "adomain": (f"{name}.example",),
        "cat": ("IAB8",),
        "pacing": "asap",
        "age_range": None,
        "segments": (),
        "devices": (),
        "creatives": (creative(),),
    }
    return AdLine(**(given | fields))


def ask(campaign, imp=None, visitor=NOBODY, now=NOW, name="mobile_news", **changes):
    """Return the offer of one campaign for a sample's imp, or why there is none."""
    raw = sample_request(name) | changes
    raw["imp"][0] |= {"bidfloor": 1.0} | (imp or {})
    asked = decode_bid_request(raw)
    rules = Rules(market_of(asked, SEAT, RATES), [campaign], visitor, now)
    found = next(offers(asked.imp[0], rules), None)
    return found or next(iter(refusals(asked.imp[0], rules)))


def test_an_open_offer_bids_the_campaigns_price():
    """Without a deal the bid is the campaign's own, whatever the auction type."""
    offer = ask(line(cpm=2.5))

    assert (2_500_000, "tea", None) == (
        offer.price,
        offer.campaign.campaign_id,
        offer.deal_id,
    )


def test_the_floor_is_included():
    """A bid at the floor counts, a micro below does not."""
    assert ask(line(cpm=1.0)).price == 1_000_000
    assert ask(line(cpm=0.999999)) == "under the floor"


def test_a_foreign_floor_is_rounded_up():
    """Of a floor in another currency no micro is lost to the bidder's favour."""
    imp = {"bidfloor": 100, "bidfloorcur": "JPY"}

    assert ask(line(cpm=0.65), imp).price == 650_000
    assert ask(line(cpm=0.649999), imp) == "under the floor"
    assert ask(line(), {"bidfloorcur": "CHF"}) == "no rate for the floor's currency"


def test_a_flight_includes_both_its_ends():
    """From the first millisecond to the last, and not one more."""
    flight = line(start_ms=NOW, end_ms=NOW + 5)

    assert "outside its flight" == ask(flight, now=NOW - 1)
    assert ask(flight, now=NOW).price
    assert ask(flight, now=NOW + 5).price
    assert "outside its flight" == ask(flight, now=NOW + 6)


@pytest.mark.parametrize(
    ("blocked", "own", "stays_out"),
    [
        (["IAB25"], "IAB25", True),
        (["IAB25"], "IAB25-3", True),
        (["IAB25-3"], "IAB25", False),
        (["IAB2"], "IAB25", False),
    ],
)
def test_a_blocked_category_covers_its_subcategories(blocked, own, stays_out):
    """IAB25 blocks IAB25-3; a subcategory does not block its parent."""
    answer = ask(line(cat=(own,)), bcat=blocked)

    assert stays_out == (answer == "category blocked")


@pytest.mark.parametrize("domain", ["tea.example", "shop.tea.example"])
def test_a_blocked_domain_covers_its_subdomains(domain):
    """A block of tea.example holds for shop.tea.example, not for green-tea.example."""
    assert "advertiser blocked" == ask(line(adomain=(domain,)), badv=["tea.example"])
    assert ask(line(adomain=("green-tea.example",)), badv=["tea.example"]).price


def test_a_capped_campaign_needs_somebody_to_count():
    """Without a user id nobody can be counted: such a campaign stays out."""
    capped = line(caps=((3, 3600.0),))

    assert "capped, and nobody may be counted" == ask(capped)
    assert ask(capped, visitor=Visitor(user_id="ada")).price


@pytest.mark.parametrize(
    ("fields", "fits", "misses", "reason"),
    [
        ({"age_range": (25, 35)}, {"age": 35}, {"age": 36}, "age"),
        ({"age_range": (25, 35)}, {"age": 25}, {"age": None}, "age"),
        ({"segments": ("vip",)}, {"segment": "vip"}, {"segment": "new"}, "segment"),
        ({"devices": (4, 5)}, {"device_type": 5}, {"device_type": 2}, "device"),
    ],
)
def test_an_audience_must_be_known_to_fit(fields, fits, misses, reason):
    """Who is outside the target, or unknown, is not in it."""
    assert ask(line(**fields), visitor=Visitor(**fits)).price
    assert f"{reason} outside the target" == ask(
        line(**fields), visitor=Visitor(**misses)
    )


@pytest.mark.parametrize(
    ("banner", "fits"),
    [
        ({"format": [{"w": 728, "h": 90}, {"w": 300, "h": 250}]}, True),
        ({"format": [{"w": 728, "h": 90}]}, False),
        ({"w": 300, "h": 250}, True),
        ({"w": 300, "h": 600}, False),
        ({}, True),
        ({"format": [{"wratio": 6, "hratio": 5, "wmin": 300}]}, True),
        ({"format": [{"wratio": 6, "hratio": 5, "wmin": 301}]}, False),
        ({"format": [{"wratio": 16, "hratio": 9}]}, False),
        ({"w": 300, "h": 250, "battr": [7]}, False),
        ({"w": 300, "h": 250, "mimes": ["image/gif"]}, False),
        ({"w": 300, "h": 250, "mimes": ["image/png"]}, True),
    ],
)
def test_a_banner_must_fit_its_slot(banner, fits):
    """Sizes, ratios, MIME types and blocked attributes of OpenRTB's Banner."""
    ad = creative(mimes=["image/png"], attr=[7])
    answer = ask(line(creatives=(ad,)), {"banner": banner})

    assert fits == (answer != "no creative fits")


@pytest.mark.parametrize(
    ("video", "fits"),
    [
        ({"mimes": ["video/mp4"]}, True),
        ({"mimes": ["video/webm"]}, False),
        ({"mimes": ["video/mp4"], "minduration": 15, "maxduration": 15}, True),
        ({"mimes": ["video/mp4"], "minduration": 16}, False),
        ({"mimes": ["video/mp4"], "maxduration": 14}, False),
        ({"mimes": ["video/mp4"], "rqddurs": [6, 15]}, True),
        ({"mimes": ["video/mp4"], "rqddurs": [6, 30]}, False),
    ],
)
def test_a_film_must_fit_its_break(video, fits):
    """MIME types, shortest, longest and required durations of OpenRTB's Video."""
    film = creative("video", 1920, 1080, 15, ["video/mp4"])
    answer = ask(line(creatives=(film,), cpm=20.0), {"video": video}, name="tv_stream")

    assert fits == (answer != "no creative fits")


def pmp(private=0, **deal):
    """An imp's private marketplace with one deal."""
    deals = [{"id": "d1", "bidfloor": 1.5} | deal]
    return {"pmp": {"private_auction": private, "deals": deals}}


def test_a_fixed_price_deal_is_bid_at_its_price():
    """With at 3 the deal's floor is the price; who bids less has no part in it."""
    assert 1_500_000 == ask(line(cpm=2, deals=("d1",)), pmp(at=3)).price
    assert ask(line(cpm=1.4, deals=("d1",)), pmp(at=3)).deal_id is None
    assert 2_000_000 == ask(line(cpm=2, deals=("d1",)), pmp(at=1)).price


def test_a_private_auction_takes_deals_only():
    """private_auction 1 excludes open bids, and deals the campaign does not have."""
    closed = "private auction without a deal"

    assert "d1" == ask(line(deals=("d1",)), pmp(1)).deal_id
    assert closed == ask(line(), pmp(1))
    assert closed == ask(line(deals=("d2",)), pmp(1))
    assert closed == ask(line(deals=("d1",)), pmp(1, wseat=["other"]))
    assert closed == ask(line(deals=("d1",)), pmp(1, wadomain=["coffee.example"]))
    assert closed == ask(line(cpm=1.4, deals=("d1",)), pmp(1))


def test_seats_are_invited_or_blocked():
    """The list wseat names who may bid, bseat who may not."""
    asked = decode_bid_request(sample_request() | {"wseat": ["a"]})
    shut = decode_bid_request(sample_request() | {"bseat": ["b"]})

    assert seat_problem(asked, "a") is None
    assert "invite" in seat_problem(asked, "b")
    assert "blocks" in seat_problem(shut, "b")


prices = st.integers(0, 10_000_000)


@settings(max_examples=100)
@given(
    bids=st.dictionaries(st.sampled_from("abcdefgh"), prices, min_size=1),
    floors=st.lists(prices, min_size=1, max_size=4),
    capped=st.sets(st.sampled_from("abcdefgh")),
)
def test_every_imp_gets_the_best_that_is_left(bids, floors, capped):
    """No bid is under its floor, capped or used twice; and none better was free."""
    raw = sample_request()
    raw["imp"] = [
        raw["imp"][0] | {"id": str(n), "bidfloor": floor / 1e6}
        for n, floor in enumerate(floors)
    ]
    asked = decode_bid_request(raw)
    market = market_of(asked, SEAT, RATES)
    lines = by_bid(line(name, price / 1e6) for name, price in bids.items())
    chosen, left = choose(
        asked.imp,
        lambda imp: offers(imp, Rules(market, lines, NOBODY, NOW)),
        lambda offer: "capped" if offer.campaign.campaign_id in capped else "",
    )
    used = [offer.campaign.campaign_id for _, offer in chosen]
    free = set(bids) - set(used) - capped

    assert len(used) == len(set(used))
    assert not capped & set(used)
    assert {imp.id for imp, _ in chosen} | set(left) <= {imp.id for imp in asked.imp}
    for imp, offer in chosen:
        assert offer.price >= imp.floor_micros
        assert all(bids[name] <= offer.price for name in free)
    for imp in asked.imp:
        if imp.id not in {taken.id for taken, _ in chosen}:
            assert all(bids[name] < imp.floor_micros for name in free)

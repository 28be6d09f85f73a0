"""Auctions, on every backend: what the seed's design gets wrong, right."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adcache import (
    AdCacheError,
    AuctionDeal,
    InvalidValue,
    RealTimeBiddingCache,
    RedisUnavailable,
    connect,
)
from tests.conftest import all_keys
from tests.proxy import Proxy

HOSTILE = ["a:b", "{a}", "a b", "a\nb", "deal:x", "🦊", "\ud800", "%"]
BAD_PRICES = [float("nan"), float("inf"), -0.01, "two", None, True, [], "1e999"]


@pytest.fixture
def auctions(cache):
    """Auctions on each backend, on the server's clock."""
    return RealTimeBiddingCache(cache)


@pytest.fixture
def timed(timed_cache):
    """Auctions on each backend, on the manual clock."""
    return RealTimeBiddingCache(timed_cache)


def test_the_best_bid_wins_and_pays_the_second_price(auctions):
    """The seed's example: 3.0 wins over 2.8 and 2.5, and pays 2.8."""
    auctions.create_auction("a", floor_price=1.0)
    bids = [("campaign_456", 2.5), ("campaign_789", 3.0), ("campaign_101", 2.8)]
    results = [auctions.submit_bid("a", *bid) for bid in bids]

    assert [True, True, False] == [bool(each) for each in results]
    assert ["leading", "leading", "outbid"] == [each.reason for each in results]
    assert [2.5, 3.0, 3.0] == [each.highest_bid for each in results]
    assert {
        "campaign_id": "campaign_789",
        "winning_bid": 3.0,
        "clearing_price": 2.8,
        "auction_id": "a",
        "bidder_id": "campaign_789",
        "deal_id": None,
    } == auctions.get_auction_winner("a")


def test_a_bid_under_the_floor_does_not_win(auctions):
    """The floor is enforced; a bid at the floor is accepted."""
    auctions.create_auction("a", "1.20")
    under = auctions.submit_bid("a", "c", 1.199999)
    assert not under
    assert "below_floor" == under.reason
    assert None is auctions.get_auction_winner("a")
    assert auctions.submit_bid("a", "c", "1.20")
    assert 1.2 == auctions.close_auction("a")["clearing_price"]


def test_floor_zero_is_legal(auctions):
    """Without a floor a bid of 0 leads, and pays 0."""
    auctions.create_auction("a", 0)

    assert auctions.submit_bid("a", "c", 0)
    assert 0 == auctions.close_auction("a")["clearing_price"]


def test_a_lone_bid_pays_the_floor(auctions):
    """In a second-price auction without a second the floor is the price."""
    auctions.create_auction("a", 1)
    auctions.submit_bid("a", "c", 9)

    assert 1 == auctions.close_auction("a")["clearing_price"]


def test_first_price_pays_its_own_bid(auctions):
    """With at=1 the winner pays what it bid."""
    auctions.create_auction("a", 1, at=1)
    auctions.submit_many("a", [("c", 2), ("d", 3)])

    assert 3 == auctions.close_auction("a")["clearing_price"]


def test_a_tie_goes_to_the_first(auctions):
    """An equal later bid is outbid, and sets the price."""
    auctions.create_auction("a", 1)
    auctions.submit_many("a", [("first", 2), ("later", 2)])
    winner = auctions.close_auction("a")

    assert ("first", 2) == (winner["campaign_id"], winner["clearing_price"])


def test_a_bidder_does_not_price_itself_up(auctions):
    """The second price is the best bid of a different bidder."""
    auctions.create_auction("a", 1)
    auctions.submit_many("a", [("c", 2), ("d", 1.5), ("c", 5), ("c", 4)])

    assert 1.5 == auctions.close_auction("a")["clearing_price"]


def test_campaigns_of_one_bidder_do_not_price_each_other_up(auctions):
    """`bidder_id` groups campaigns of one buyer."""
    auctions.create_auction("a", 1)
    auctions.submit_bid("a", "shoes", 5, bidder_id="acme")
    auctions.submit_bid("a", "hats", 6, bidder_id="acme")
    winner = auctions.close_auction("a")

    assert ("hats", "acme", 1) == (
        winner["campaign_id"],
        winner["bidder_id"],
        winner["clearing_price"],
    )


def test_a_repeated_bid_changes_nothing(auctions):
    """Sending a bid again is answered as the first was."""
    auctions.create_auction("a", 1)
    auctions.submit_bid("a", "d", 2)
    results = [auctions.submit_bid("a", "c", 3) for _ in range(3)]

    assert 1 == len(set(map(repr, results)))
    assert 2 == auctions.close_auction("a")["clearing_price"]


def test_no_bid_on_an_auction_that_is_not_there(auctions):
    """A missing auction takes no bid, and no key appears."""
    result = auctions.submit_bid("nowhere", "c", 5)

    assert ("no_auction", None) == (result.reason, result.highest_bid)
    assert not result
    assert None is auctions.get_auction_winner("nowhere")
    assert None is auctions.close_auction("nowhere")
    assert [] == all_keys(auctions.cache)


def test_no_bid_on_a_closed_auction(auctions):
    """After closing, a higher bid changes neither winner nor price."""
    auctions.create_auction("a", 1)
    auctions.submit_bid("a", "c", 2)
    closed = auctions.close_auction("a")

    assert "closed" == auctions.submit_bid("a", "d", 9).reason
    assert closed == auctions.close_auction("a") == auctions.get_auction_winner("a")


def test_no_bid_after_the_time_is_up(timed, clock):
    """An auction takes bids for its ttl, to the millisecond; its result is kept."""
    timed.create_auction("a", 1, ttl=0.1)
    clock.advance(0.099)
    assert timed.submit_bid("a", "c", 2)
    clock.advance(0.001)

    assert "expired" == timed.submit_bid("a", "d", 9).reason
    assert "c" == timed.get_auction_winner("a")["campaign_id"]
    assert "c" == timed.close_auction("a")["campaign_id"]


def test_bids_do_not_prolong_an_auction(auctions):
    """The key's lifetime is set once, when the auction opens."""
    auctions.create_auction("a", 1, ttl=100, keep=20)
    key = auctions.cache.get_key("real_time_bid", auction_id="a")
    client = auctions.cache.redis_client
    assert 119_000 < client.pttl(key) <= 120_000
    client.pexpire(key, 50_000)  # as if 70 s had passed
    auctions.submit_bid("a", "c", 2)
    auctions.close_auction("a")

    assert 49_000 < client.pttl(key) <= 50_000


def test_closing_without_bids_has_no_winner(auctions):
    """Nobody bid: None, to every caller, and late bids are refused."""
    auctions.create_auction("a", 1)

    assert [None, None] == [auctions.close_auction("a") for _ in range(2)]
    assert "closed" == auctions.submit_bid("a", "c", 9).reason


def test_creating_never_wipes_a_running_auction(auctions):
    """Other terms are refused; the same terms say that it is open already."""
    first = auctions.create_auction("a", 1)
    auctions.submit_bid("a", "c", 2)
    same, other = auctions.create_auction("a", 1), auctions.create_auction("a", 2)

    assert (True, True) == (bool(first), first.created)
    assert (True, False) == (bool(same), same.created)
    assert (False, False) == (bool(other), other.created)
    assert "c" == auctions.close_auction("a")["campaign_id"]
    assert not auctions.create_auction("a", 1)


def test_an_id_is_free_again_when_its_result_is_gone(auctions):
    """After ttl + keep the auction's key is gone and the id may be used again."""
    auctions.create_auction("a", 1)
    key = auctions.cache.get_key("real_time_bid", auction_id="a")
    auctions.cache.redis_client.pexpire(key, 1)
    for _ in range(1000):
        if auctions.create_auction("a", 2).created:
            break

    assert "leading" == auctions.submit_bid("a", "c", 2).reason


def test_a_private_auction_takes_deals_only(auctions):
    """OpenRTB private_auction=1: open bids and unknown deals are refused."""
    deals = [AuctionDeal(id="gold:1", floor=3)]
    auctions.create_auction("a", 1, private=True, deals=deals)

    assert "private" == auctions.submit_bid("a", "c", 9).reason
    assert "no_deal" == auctions.submit_bid("a", "c", 9, deal_id="silver").reason
    assert "below_floor" == auctions.submit_bid("a", "c", 2, deal_id="gold:1").reason
    assert auctions.submit_bid("a", "c", 4, deal_id="gold:1")
    winner = auctions.close_auction("a")
    assert ("gold:1", 3) == (winner["deal_id"], winner["clearing_price"])


def test_a_fixed_price_deal_costs_its_price(auctions):
    """deals[].at = 3: a higher bid is worth the fixed price, and pays it."""
    auctions.create_auction("a", 1, deals=[AuctionDeal(id="fix", floor=3, at=3)])
    auctions.submit_bid("a", "c", 99, deal_id="fix")
    assert auctions.submit_bid("a", "d", 3.5)
    assert 3 == auctions.get_auction_winner("a")["clearing_price"]
    auctions.create_auction("b", 1, deals=[AuctionDeal(id="fix", floor=3, at=3)])
    auctions.submit_many("b", [("d", 2)])
    auctions.submit_bid("b", "c", 99, deal_id="fix")

    winner = auctions.close_auction("b")
    assert (3, 3) == (winner["winning_bid"], winner["clearing_price"])


def test_a_first_price_deal_pays_its_bid(auctions):
    """The deal's `at` replaces the auction's for its own bids."""
    auctions.create_auction("a", 1, deals=[AuctionDeal(id="d", floor=2, at=1)])
    auctions.submit_bid("a", "c", 4, deal_id="d")

    assert 4 == auctions.close_auction("a")["clearing_price"]


def test_a_hundred_bids_take_one_trip(auctions):
    """`submit_many` asks the server once and answers each bid in order."""
    auctions.create_auction("a", 1)
    trips = []
    auctions.submit_bid("a", "warm", 1)
    auctions.cache.wire.observer = lambda pairs, _: trips.append(pairs[0][0])
    results = auctions.submit_many("a", [(f"c{i}", 1 + i / 10) for i in range(100)])
    auctions.cache.wire.observer = None

    assert 1 == len(trips)
    assert 100 == len(results)
    assert 10.8 == auctions.close_auction("a")["clearing_price"]
    assert [] == auctions.submit_many("a", [])


@pytest.mark.parametrize("price", BAD_PRICES, ids=repr)
def test_a_bad_price_is_refused_before_anything_is_written(auctions, price):
    """NaN, infinity, negative and text: a ValueError that shows the value."""
    auctions.create_auction("a", 1)
    before = auctions.cache.redis_client.hgetall(all_keys(auctions.cache)[0])
    with pytest.raises(ValueError, match="bid_price must") as error:
        auctions.submit_bid("a", "c", price)
    assert repr(price) in str(error.value)
    with pytest.raises(InvalidValue):
        auctions.submit_many("a", [("good", 5), ("bad", price)])
    with pytest.raises(InvalidValue, match="floor_price"):
        auctions.create_auction("b", price)

    assert before == auctions.cache.redis_client.hgetall(all_keys(auctions.cache)[0])
    assert 1 == len(all_keys(auctions.cache))


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 0},
        {"ttl": float("nan")},
        {"keep": -1},
        {"at": 3},
        {"at": "2"},
        {"at": 2.0},
        {"private": "no"},
        {"deals": [AuctionDeal(id="d", floor=1), AuctionDeal(id="d", floor=2)]},
        {"deals": [AuctionDeal(id="", floor=1)]},
        {"deals": [AuctionDeal(id="d", floor=-1)]},
        {"deals": [AuctionDeal(id="d", floor=1, at=4)]},
    ],
)
def test_bad_terms_are_refused_before_anything_is_written(auctions, options):
    """Times, `at` and deals are checked first."""
    with pytest.raises(ValueError, match="must") as error:
        auctions.create_auction("a", 1, **options)

    assert isinstance(error.value, AdCacheError)
    assert [] == all_keys(auctions.cache)


def test_hostile_ids_are_kept_apart(auctions):
    """Every odd id names an auction, campaign, bidder and deal of its own."""
    for auction_id in HOSTILE:
        deals = [AuctionDeal(id=deal, floor=1) for deal in HOSTILE]
        assert auctions.create_auction(auction_id, 1, deals=deals).created
        for n, campaign in enumerate(HOSTILE):
            auctions.submit_bid(auction_id, campaign, 2 + n, deal_id=campaign)
        winner = auctions.close_auction(auction_id)

        assert [HOSTILE[-1]] * 3 == [
            winner[key] for key in ("campaign_id", "bidder_id", "deal_id")
        ]
        assert auction_id == winner["auction_id"]


@pytest.mark.parametrize("bad", ["", None, 7])
def test_a_bad_id_is_refused(auctions, bad):
    """Empty and non-text ids are a ValueError."""
    for call in (
        lambda: auctions.create_auction(bad, 1),
        lambda: auctions.submit_bid(bad, "c", 1),
        lambda: auctions.submit_bid("a", bad, 1),
        lambda: auctions.get_auction_winner(bad),
        lambda: auctions.close_auction(bad),
    ):
        with pytest.raises(ValueError, match="_id must"):
            call()


def test_threads_agree_on_the_winner(auctions):
    """8 threads bid and close at once: one winner, and no leader is cheated."""
    auctions.create_auction("a", 1)
    closed, told = [], []

    def bid(number: int) -> None:
        for step in range(20):
            price = 1 + number + step * 8
            told.append((price, auctions.submit_bid("a", f"c{number}", price)))
        closed.append(auctions.close_auction("a"))

    threads = [threading.Thread(target=bid, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == len({repr(result) for result in closed})
    assert closed[0]["winning_bid"] == max(price for price, r in told if r)


def test_a_lost_reply_changes_no_result(own_server):
    """Each call is repeated after its reply was lost, and is answered as before."""
    proxy = Proxy(own_server.port)
    auctions = RealTimeBiddingCache(connect(proxy.url))
    auctions.create_auction("warm", 1)
    auctions.submit_bid("warm", "c", 1)
    auctions.close_auction("warm")
    calls = [
        lambda: bool(auctions.create_auction("a", 1)),
        lambda: auctions.submit_bid("a", "c", 3).reason,
        lambda: auctions.submit_bid("a", "d", 2).reason,
        lambda: auctions.close_auction("a")["clearing_price"],
    ]
    answers = []
    for call in calls:
        proxy.lose(1)
        with pytest.raises(RedisUnavailable):
            call()
        answers.append(call())

    assert [True, "leading", "outbid", 2] == answers


def test_flushed_scripts_do_no_harm(auctions):
    """SCRIPT FLUSH before each call: all work."""
    flush = auctions.cache.redis_client.script_flush
    flush()
    auctions.create_auction("a", 1)
    flush()
    auctions.submit_bid("a", "c", 2)
    flush()

    assert "c" == auctions.close_auction("a")["campaign_id"]


BID = st.tuples(st.sampled_from("abcde"), st.integers(0, 3_000_000))


@settings(max_examples=150, deadline=None)
@given(st.lists(BID, max_size=25), st.integers(0, 2_000_000), st.sampled_from([1, 2]))
def test_any_auction_equals_its_definition(bids, floor, at):
    """Winner: first of the highest at or over the floor. Price: by definition of at."""
    auctions = RealTimeBiddingCache(connect("fakeredis://any", namespace="test-any"))
    auctions.cache.redis_client.delete(
        auctions.cache.get_key("real_time_bid", auction_id="a")
    )
    auctions.create_auction("a", floor / 10**6, at=at)
    auctions.submit_many("a", [(who, price / 10**6) for who, price in bids])
    legal = [(who, price) for who, price in bids if price >= floor]
    closed = auctions.close_auction("a")

    if not legal:
        assert None is closed
        return
    best = max(price for _, price in legal)
    winner = next(who for who, price in legal if price == best)
    others = [price for who, price in legal if who != winner]
    price = best if at == 1 else max([floor, *others])
    assert (winner, best / 10**6, price / 10**6) == (
        closed["campaign_id"],
        closed["winning_bid"],
        closed["clearing_price"],
    )

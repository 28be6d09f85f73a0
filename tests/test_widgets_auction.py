"""Auctions as data: real ones in Redis, and the theory that they must meet."""

from random import Random
from statistics import fmean

import pytest

from adcache import AdCacheError, InvalidValue
from adcache.bid_results import FIRST_PRICE, SECOND_PRICE
from adcache.widgets.auction import (
    TOP_VALUE,
    draw_bids,
    expected_revenue,
    run_auction,
    run_auctions,
    simulate_revenue,
)
from adcache.widgets.auction_shell import verdict
from tests.conftest import all_keys

BIDS = [("sneakers", 2.5), ("coffee", 4.0), ("novel", 1.0), ("bicycle", 3.2)]


def integrated_revenue(bidders, reserve, at, steps=20_000):
    """Expected revenue summed over prices x: the chance that the price exceeds x."""
    n, width = bidders, (1 - reserve) / steps
    sold = reserve * (1 - reserve**n)  # every price below the reserve is exceeded
    for step in range(steps):
        x = reserve + (step + 0.5) * width
        below = x**n if at == FIRST_PRICE else n * x ** (n - 1) - (n - 1) * x**n
        sold += (1 - below) * width
    return sold


def test_second_price_winner_pays_the_second_best_bid(timed_cache):
    """The best bid wins, pays the next one, and each loser is told why it lost."""
    outcome = run_auction(timed_cache, "a1", BIDS, floor=2)

    assert ("coffee", 4.0, 3.2) == (
        outcome.winner,
        outcome.winning_bid,
        outcome.clearing_price,
    )
    assert [
        ("coffee", 4.0, "wins"),
        ("bicycle", 3.2, "outbid"),
        ("sneakers", 2.5, "outbid"),
        ("novel", 1.0, "below the floor"),
    ] == [(bid.campaign, bid.price, bid.verdict) for bid in outcome.bids]
    assert (
        "coffee wins with 4.00 CPM. Clearing price: 3.20 CPM, the second-best bid, "
        "of bicycle." == outcome.sentence()
    )


@pytest.mark.parametrize(
    ("floor", "at", "sentence"),
    [
        (3.5, SECOND_PRICE, "Clearing price: 3.50 CPM, the floor, as no other bid"),
        (2.0, FIRST_PRICE, "Clearing price: 4.00 CPM, its own bid (first price)."),
        (4.5, SECOND_PRICE, "Nobody wins: no bid reaches the floor of 4.50 CPM."),
    ],
)
def test_the_sentence_says_why_the_price_is_what_it_is(make_cache, floor, at, sentence):
    """A lone bid pays the floor, first price its own bid, and too high a floor none."""
    outcome = run_auction(make_cache("fakeredis"), "a1", BIDS, floor, at)

    assert sentence in outcome.sentence()


def test_a_tie_has_one_winner(make_cache):
    """Of two equal bids the first wins and pays the other's price, which is its own."""
    outcome = run_auction(make_cache("fakeredis"), "a", [("b", 2), ("a", 2)])

    assert ["wins", "outbid"] == [bid.verdict for bid in outcome.bids]
    assert ("b", 2.0) == (outcome.winner, outcome.clearing_price)


def test_an_id_is_used_once(make_cache):
    """A second auction under the same id is refused, not mixed with the first."""
    cache = make_cache("fakeredis")
    run_auction(cache, "a1", BIDS)

    with pytest.raises(InvalidValue, match="held already"):
        run_auction(cache, "a1", BIDS)


@pytest.mark.parametrize("at", [FIRST_PRICE, SECOND_PRICE])
def test_many_auctions_pay_what_arithmetic_says(cache, at):
    """Redis and two lines of Python agree on each price, and no key is left."""
    floor, rng, expected = 4.0, Random(6), []
    for _ in range(60):
        prices = sorted(price for _, price in draw_bids(3, rng, "uniform", TOP_VALUE))
        second, best = max(prices[-2], floor), prices[-1]
        price = best if at == FIRST_PRICE else second
        expected.append(price if best >= floor else 0.0)

    assert expected == list(
        run_auctions(cache, "many", 3, floor, at, auctions=60, seed=6)
    )
    assert [] == all_keys(cache)


@pytest.mark.parametrize("at", [FIRST_PRICE, SECOND_PRICE])
@pytest.mark.parametrize("reserve", [0.0, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("bidders", [1, 2, 5, 12])
def test_formula_is_the_integral_over_prices(bidders, reserve, at):
    """Expected revenue equals the integral that it was solved from, within 1e-6."""
    integral = integrated_revenue(bidders, reserve, at)

    assert pytest.approx(integral, abs=1e-6) == expected_revenue(bidders, reserve, at)


def test_formula_gives_the_known_cases():
    """(n-1)/(n+1) without a reserve, n/(n+1) at first price, 1/4 for one at 1/2."""
    assert pytest.approx(4 / 6) == expected_revenue(5)
    assert pytest.approx(5 / 6) == expected_revenue(5, at=FIRST_PRICE)
    assert pytest.approx(1 / 4) == expected_revenue(1, 0.5)


@pytest.mark.parametrize("bidders", [1, 2, 5, 12])
def test_the_best_reserve_is_one_half(bidders):
    """No reserve earns more than 1/2, however many bid (Myerson 1981)."""
    best = max(range(101), key=lambda step: expected_revenue(bidders, step / 100))

    assert 50 == best


@pytest.mark.parametrize(("bidders", "reserve"), [(1, 0.5), (2, 0), (2, 0.5), (5, 0.8)])
def test_simulation_meets_the_formula(bidders, reserve):
    """The mean of 20000 seeded auctions is within 1/sqrt(20000) of the theory."""
    mean = simulate_revenue(bidders, reserve, auctions=20_000, seed=6)

    assert pytest.approx(mean, abs=20_000**-0.5) == expected_revenue(bidders, reserve)


@pytest.mark.parametrize(("bidders", "reserve"), [(0, 0.5), (2, -0.1), (2, 1.1)])
def test_formula_refuses_what_has_no_meaning(bidders, reserve):
    """Nobody, and a reserve outside of 0 to 1, are errors that name the value."""
    with pytest.raises(AdCacheError, match="need bidders >= 1"):
        expected_revenue(bidders, reserve)


def test_verdict_tells_a_wrong_mean_from_chance(make_cache):
    """The lab says "within" for a fair run and "beyond" for one that is off."""
    cache = make_cache("fakeredis")
    fair = list(run_auctions(cache, "a", 5, 3.0, auctions=500, seed=6))
    unfair = [price + 0.5 for price in fair]

    assert "within three standard errors" in verdict(fair, 5, 3.0, SECOND_PRICE)
    assert "beyond three standard errors" in verdict(unfair, 5, 3.0, SECOND_PRICE)
    assert f"earned {fmean(fair):.2f} CPM" in verdict(fair, 5, 3.0, SECOND_PRICE)

"""Auctions to look at: run one or a thousand in Redis, and hold them to theory.

Prices are CPM. For many auctions values are drawn evenly from 0 to a top
value, because for that case the revenue is known exactly (`theory.py`).
"""

from collections.abc import Iterator, Sequence
from random import Random

from adcache.bid_results import SECOND_PRICE
from adcache.bidding import RealTimeBiddingCache
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue
from adcache.money import Money, from_micros, to_micros
from adcache.simulate import bids as draw_bids
from adcache.widgets.auction_figures import auction_figure, revenue_figure
from adcache.widgets.outcome import Bid, Outcome
from adcache.widgets.theory import expected_revenue, simulate_revenue

__all__ = [
    "TOP_VALUE",
    "Bid",
    "Outcome",
    "auction_figure",
    "draw_bids",
    "expected_revenue",
    "forget_auction",
    "revenue_figure",
    "run_auction",
    "run_auctions",
    "simulate_revenue",
]
TOP_VALUE = 10.0  # CPM: the labs draw values from 0 to this
TTL = 30  # seconds that an auction runs, and that its result is kept


def run_auction(
    cache: RedisAdCache,
    auction_id: str,
    bids: Sequence[tuple[str, Money]],
    floor: Money = 0,
    at: int = SECOND_PRICE,
) -> Outcome:
    """Hold one auction in Redis: create, submit all bids in one trip, close.

    `bids` are (campaign, CPM); `at` is 1 (first price) or 2 (second price).
    Raises `InvalidValue` when the id was used before: it has a result already.
    """
    auctions = RealTimeBiddingCache(cache)
    if not auctions.create_auction(auction_id, floor, at=at, ttl=TTL, keep=TTL).created:
        raise InvalidValue(f"auction {auction_id!r} was held already; use a new id")
    answers = auctions.submit_many(auction_id, bids)
    won = auctions.close_auction(auction_id) or {}
    winner, top = won.get("campaign_id"), won.get("winning_bid")
    judged = []
    for (campaign, amount), answer in zip(bids, answers, strict=True):
        price = from_micros(to_micros(amount))
        verdict = "below the floor" if answer.reason == "below_floor" else "outbid"
        leads = campaign == winner and price == top
        judged.append(Bid(campaign, price, "wins" if leads else verdict))
    judged.sort(key=lambda bid: (-bid.price, bid.verdict != "wins"))
    limit = from_micros(to_micros(floor))
    return Outcome(limit, at, tuple(judged), winner, top, won.get("clearing_price"))


def run_auctions(
    cache: RedisAdCache,
    name: str,
    bidders: int,
    floor: Money = 0,
    at: int = SECOND_PRICE,
    *,
    auctions: int = 1000,
    seed: int = 0,
) -> Iterator[float]:
    """Hold many auctions in Redis and yield what each one earns (CPM, or 0).

    Each has its own key, ``name-1`` onwards, which is removed when it is over.
    """
    rng, room = Random(seed), RealTimeBiddingCache(cache)  # noqa: S311
    for number in range(1, auctions + 1):
        auction_id = f"{name}-{number}"
        room.create_auction(auction_id, floor, at=at, ttl=TTL, keep=TTL)
        room.submit_many(auction_id, draw_bids(bidders, rng, "uniform", TOP_VALUE))
        won = room.close_auction(auction_id)
        forget_auction(cache, auction_id)
        yield won["clearing_price"] if won else 0.0


def forget_auction(cache: RedisAdCache, auction_id: str) -> None:
    """Remove an auction's key, so that its id may be used again."""
    key = cache.get_key("real_time_bid", auction_id=auction_id)
    cache.wire.execute("UNLINK", key, safe=True)

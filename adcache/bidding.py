"""Real-time bidding: the auction inside the bidder.

An exchange sends a bid request and waits about 100 ms. The bidder lets its own
campaigns compete in an internal auction (not the exchange's), and answers with
the winner. Prices are CPM: currency units per thousand impressions. The bid
requests themselves are in `adcache.bidding_requests`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from adcache.bid_results import (
    FIRST_PRICE,
    FIXED_PRICE,
    SECOND_PRICE,
    AuctionDeal,
    AuctionOpened,
    BidResult,
)
from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.keys import decode_id, encode_id
from adcache.money import Money, from_micros, to_micros


class RealTimeBiddingCache:
    """Auctions in Redis: many servers may bid, one of them wins, all agree who.

    Prices are CPMs. First and second price: the winner pays its own bid, or the
    best bid of a different bidder, at least its floor. Source: OpenRTB 2.6,
    section 3.2.1, attribute ``at``. Raises `InvalidValue` before anything is
    written, and `RedisUnavailable`.

    >>> from adcache import connect
    >>> auctions = RealTimeBiddingCache(connect("fakeredis://"))
    >>> bool(auctions.create_auction("doc-1", floor_price=1.0))
    True
    >>> auctions.submit_bid("doc-1", "sneakers", 2.5).reason
    'leading'
    """

    def __init__(self, redis_cache: RedisAdCache) -> None:
        self.cache = redis_cache

    def create_auction(
        self,
        auction_id: str,
        floor_price: Money,
        ttl: Seconds = 120,
        *,
        at: int = SECOND_PRICE,
        deals: Sequence[AuctionDeal] = (),
        private: bool = False,
        keep: Seconds = 300,
    ) -> AuctionOpened:
        """Open an auction that takes bids of at least `floor_price` for `ttl` seconds.

        Its result is kept `keep` seconds longer; bids never prolong it. `at`
        is 1 (first price) or 2 (second price, the default of OpenRTB 2.6);
        `private` takes bids under `deals` only. A running auction is never
        wiped: the answer is then false, or true when its terms are the same.
        Raises `InvalidValue` for a bad price, time, `at` or id.
        """
        if type(at) is not int or at not in (FIRST_PRICE, SECOND_PRICE):
            raise InvalidValue(
                f"at must be 1 (first price) or 2 (second), got {shown(at)}"
            )
        if not isinstance(private, bool):
            raise InvalidValue(f"private must be True or False, got {shown(private)}")
        state = self.cache.lua_scripts["auction_create"](
            auction=self._key(auction_id),
            now_ms=self.cache.now_ms(),
            ttl_ms=to_ms(ttl),
            keep_ms=to_ms(keep, "keep"),
            floor=to_micros(floor_price, "floor_price"),
            at=at,
            private=int(private),
            deals=_deal_terms(deals),
            safe=True,
        )
        return AuctionOpened(state in ("created", "same"), state == "created")

    def submit_bid(
        self,
        auction_id: str,
        campaign_id: str,
        bid_price: Money,
        *,
        bidder_id: str | None = None,
        deal_id: str | None = None,
    ) -> BidResult:
        """Bid `bid_price` (CPM) for a campaign; true when it leads now.

        A bid at the floor counts, a tie stays with the first. A bidder's best
        bid stands, so sending a bid twice changes nothing. `bidder_id` groups
        campaigns that must not price each other up (default: the campaign).
        Raises `InvalidValue` for a price or id that cannot be.
        """
        bid = _bid_args(campaign_id, bid_price, bidder_id, deal_id)
        return self._bid(auction_id, [*bid])[0]

    def submit_many(
        self, auction_id: str, bids: Iterable[tuple[str, Money]]
    ) -> list[BidResult]:
        """Submit (campaign, CPM) pairs in order, in one round trip."""
        args: list[str | int] = []
        for pair in bids if isinstance(bids, Iterable) else [bids]:
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise InvalidValue(
                    "bids must be (campaign_id, bid_price) pairs such as "
                    f"[('tea', 2.50)], got {shown(pair)}"
                )
            args += _bid_args(*pair, None, None)
        return self._bid(auction_id, args)

    def get_auction_winner(self, auction_id: str) -> dict[str, Any] | None:
        """Return who leads, or has won, and what it pays; None when nobody does.

        Keys: ``campaign_id``, ``winning_bid`` and ``clearing_price`` (CPM),
        ``auction_id``, ``bidder_id``, ``deal_id`` (None for an open bid).
        """
        fields = ("campaign", "bidder", "price", "clearing", "deal")
        key = self._key(auction_id)
        row = self.cache.wire.execute("HMGET", key, *fields, safe=True)
        return _winner(auction_id, row)

    def close_auction(self, auction_id: str) -> dict[str, Any] | None:
        """Close the auction and return its winner as `get_auction_winner` does.

        Safe to repeat: every caller gets the same winner and clearing price.
        None when nobody bid, or there is no such auction.
        """
        close = self.cache.lua_scripts["auction_close"]
        return _winner(auction_id, close(auction=self._key(auction_id), safe=True))

    def _bid(self, auction_id: str, bids: list[str | int]) -> list[BidResult]:
        reply = self.cache.lua_scripts["auction_bid"](
            auction=self._key(auction_id),
            now_ms=self.cache.now_ms(),
            bids=bids,
            safe=True,
        )
        return [
            BidResult(
                reason == "leading", reason, from_micros(int(price)) if price else None
            )
            for reason, price in zip(reply[::2], reply[1::2], strict=True)
        ]

    def _key(self, auction_id: str) -> str:
        return self.cache.get_key("real_time_bid", auction_id=auction_id)


def _deal_terms(deals: Iterable[AuctionDeal]) -> list[str | int]:
    terms: list[str | int] = []
    for deal in deals if isinstance(deals, Iterable) else [deals]:
        if not isinstance(deal, AuctionDeal):
            raise InvalidValue(
                f"deals must be a list of AuctionDeal, got {shown(deal)}"
            )
        if encode_id(deal.id, "deal id") in terms[::3]:
            raise InvalidValue(f"deal id {deal.id!r} must not come twice")
        if type(deal.at) is not int or deal.at not in (
            FIRST_PRICE,
            SECOND_PRICE,
            FIXED_PRICE,
        ):
            raise InvalidValue(
                f"deal {deal.id!r}: at must be 1, 2 or 3, got {shown(deal.at)}"
            )
        floor = to_micros(deal.floor, f"floor of deal {deal.id!r}")
        terms += (encode_id(deal.id, "deal id"), floor, deal.at)
    return terms


def _bid_args(
    campaign_id: str, price: Money, bidder_id: str | None, deal_id: str | None
) -> tuple[str, str, int, str]:
    campaign = encode_id(campaign_id, "campaign_id")
    bidder = campaign if bidder_id is None else encode_id(bidder_id, "bidder_id")
    deal = "" if deal_id is None else encode_id(deal_id, "deal_id")
    return bidder, campaign, to_micros(price, "bid_price"), deal


def _winner(auction_id: str, row: Sequence[str | None]) -> dict[str, Any] | None:
    if not row or not row[0]:
        return None
    campaign, bidder, price, clearing, deal = (field or "" for field in row)
    return {
        "campaign_id": decode_id(campaign),
        "winning_bid": from_micros(int(price)),
        "clearing_price": from_micros(int(clearing)),
        "auction_id": auction_id,
        "bidder_id": decode_id(bidder),
        "deal_id": decode_id(deal) if deal else None,
    }

"""What the bidding components take and answer: deals, bid results, claims.

Every answer is true or false in an ``if``, and says why.
"""

import msgspec

from adcache.money import Money
from adcache.openrtb import BidResponse

FIRST_PRICE, SECOND_PRICE, FIXED_PRICE = 1, 2, 3  # OpenRTB 2.6 `at`


class AuctionDeal(msgspec.Struct, frozen=True, kw_only=True):
    """A deal of the impression (OpenRTB 2.6 object Deal), as the auction needs it.

    `floor` is a CPM; `at` 1 first price, 2 second price, 3 `floor` is the price.
    """

    id: str
    floor: Money = 0
    at: int = SECOND_PRICE


class AuctionOpened(msgspec.Struct, frozen=True):
    """Answer of `create_auction`: true when the auction is open on these terms.

    `created` is False when it was open already: a retry after a lost reply.
    """

    open: bool
    created: bool

    def __bool__(self) -> bool:
        return self.open


class BidResult(msgspec.Struct, frozen=True):
    """Answer to a bid: true when it leads; `reason` says why it does not.

    Reasons: ``leading``, ``outbid``, ``below_floor``, ``no_auction``,
    ``closed``, ``expired``, ``private`` (the auction takes deals only),
    ``no_deal`` (unknown deal id). `highest_bid` is the leading CPM, or None.
    """

    leading: bool
    reason: str
    highest_bid: float | None

    def __bool__(self) -> bool:
        return self.leading


class Claim(msgspec.Struct, frozen=True):
    """Answer of `claim_bid_request`: true when this caller must process it.

    Otherwise it is a duplicate: `answered` says whether a response exists yet,
    and `response` is that response (None for no bid).
    """

    first: bool
    answered: bool = False
    response: BidResponse | None = None

    def __bool__(self) -> bool:
        return self.first

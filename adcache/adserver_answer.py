"""From offers to a bid response: who bids on which imp, and what the bid says."""

from collections.abc import Callable, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from adcache.bid_ids import BidId
from adcache.eligibility import MTYPE, Offer
from adcache.money import from_micros
from adcache.openrtb import Bid, BidResponse, Imp, SeatBid
from adcache.openrtb_imp import BidExt

RESTING = 1.0  # seconds in which a campaign without money is not tried again
BROKEN = 30.0  # seconds: its creative is gone, or Redis refuses its keys
# AdCOM 1.0, List: No-Bid Reason Codes, for OpenRTB's BidResponse.nbr.
NBR_TECHNICAL, NBR_TIME = 1, 15
PRICE, REASON = "price=${AUCTION_PRICE}", "reason=${AUCTION_LOSS}"


class Decision(msgspec.Struct, frozen=True):
    """What became of a bid request: a response, or None and the reason.

    `imps` says for each imp which campaign bids, or why none does. `nbr` is
    OpenRTB's code for the reason, where it has one. `contextual` is true when
    the request gave no basis to know the user, `duplicate` when this exchange
    had sent the request before.
    """

    response: BidResponse | None
    reason: str
    imps: dict[str, str] = {}
    nbr: int | None = None
    contextual: bool = False
    duplicate: bool = False

    def __bool__(self) -> bool:
        return self.response is not None


def choose(
    imps: Sequence[Imp],
    offers: Callable[[Imp], Iterator[Offer]],
    allowed: Callable[[Offer], str],
) -> tuple[list[tuple[Imp, Offer]], dict[str, str]]:
    """Give each imp its best allowed offer; no campaign gets two of them.

    `offers` yields them best first. The imp with the dearest offer chooses
    first: one page does not show one ad twice. `allowed` returns why not, or an
    empty text. Of imps that get nothing the reason comes back, by their id.
    """
    chosen: list[tuple[Imp, Offer]] = []
    reasons: dict[str, str] = {}
    taken: set[str] = set()
    for imp in _dearest_first(imps, offers) if len(imps) > 1 else imps:
        problem = ""
        for offer in offers(imp):
            name = offer.campaign.campaign_id
            problem = "on the page already" if name in taken else allowed(offer)
            if not problem:
                chosen.append((imp, offer))
                taken.add(name)
                break
            reasons.setdefault(imp.id, problem)
        if not problem:
            reasons.pop(imp.id, None)
    return chosen, reasons


def _dearest_first(
    imps: Sequence[Imp], offers: Callable[[Imp], Iterator[Offer]]
) -> list[Imp]:
    def best(imp: Imp) -> int:
        offer = next(offers(imp), None)
        return offer.price if offer else -1

    return sorted(imps, key=best, reverse=True)


def bid_for(
    imp: Imp, offer: Offer, bid_id: BidId, notice_url: str, exp: int, known: bool
) -> Bid:
    """Write a bid, as it is stored: with the caps, and without the markup.

    `known`: it is made for a user, and copies of the request need the same basis.
    The exchange fills in the macros of the notice URLs (OpenRTB 2.6, 4.4).
    """
    campaign, creative = offer.campaign, offer.creative
    name = str(bid_id)
    query = f"?bid={name.replace('%', '%25')}&"
    return Bid(
        id=name,
        impid=imp.id,
        price=from_micros(offer.price),
        nurl=f"{notice_url}/win{query}{PRICE}",
        burl=f"{notice_url}/billing{query}{PRICE}",
        lurl=f"{notice_url}/loss{query}{REASON}",
        adomain=list(campaign.adomain),
        cid=campaign.campaign_id,
        crid=creative.creative_id,
        cat=list(campaign.cat),
        dealid=offer.deal_id,
        w=creative.w or None,
        h=creative.h or None,
        exp=exp,
        mtype=MTYPE[creative.format],
        ext=BidExt(caps=list(campaign.caps)) if known else None,
    )


def finished(bid: Bid, markup: str) -> Bid:
    """Turn a stored bid into the one that is sent: with markup, without caps."""
    return replace(bid, adm=markup, ext=None)


def rest_after(refusal: str) -> float:
    """Seconds in which a campaign is not tried again, by why it was refused.

    None where it was this user's or this copy's own affair. What is broken, a
    creative that is gone for instance, would stand in others' way much longer.
    """
    what, _, why = refusal.partition(": ")
    if not refusal or what == "no place":
        return 0.0
    if what == "no money":
        return 0.0 if why in ("settled", "released", "expired") else RESTING
    return BROKEN


def is_personal(response: BidResponse) -> bool:
    """Say whether a stored response was made for a user, not for the page alone."""
    return any(bid.ext is not None for seat in response.seatbid for bid in seat.bid)


def response_for(
    request_id: str, bids: list[Bid], seat: str, currency: str
) -> BidResponse:
    """Put the bids into one seat."""
    return BidResponse(
        id=request_id, seatbid=[SeatBid(bid=bids, seat=seat)], cur=currency
    )

"""The OpenRTB 2.6 rules that look at several values at once.

Each function returns the first `Problem` it finds, or None. `check_response`
raises. Rules about a single value stand in its type, in `adcache.openrtb_imp`.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from adcache.errors import InvalidValue
from adcache.openrtb_context import BidRequest
from adcache.openrtb_imp import Bid, BidResponse, Deal, Imp, Stream

MEDIA = {1: "banner", 2: "video", 3: "audio", 4: "native"}  # by Bid.mtype
AUCTION_TYPES = {1: "first price", 2: "second price", 3: "fixed price"}
EXCHANGE_SPECIFIC = 500  # auction types from here on are the exchange's own


class Problem(NamedTuple):
    """What is wrong and where, as OpenRTB writes the path."""

    field: str
    text: str  # follows the field: "is missing", "must be >= 1, got 0"


def request_problem(request: BidRequest) -> Problem | None:
    """Find what contradicts itself in a request whose single values are fine."""
    given = (request.site, request.app, request.dooh)
    if given.count(None) < 2:
        channels = [c for c in ("site", "app", "dooh") if getattr(request, c)]
        text = f"must not stand beside {channels[0]}: send one of site, app, dooh"
        return Problem(channels[1], text)
    if not _known_auction(request.at):
        return Problem("at", _unknown_auction(request.at))
    if len(request.imp) > 1 and (double := _repeated(i.id for i in request.imp)):
        return Problem(f"imp[{double[0]}].id", f"{double[1]!r} is used twice")
    for i, imp in enumerate(request.imp):
        for problem in _imp_problems(imp):
            return Problem(f"imp[{i}]{problem.field}", problem.text)
    return None


def _imp_problems(imp: Imp) -> Iterator[Problem]:
    if (imp.banner or imp.video or imp.audio or imp.native) is None:
        yield Problem("", "offers nothing: add banner, video, audio or native")
    if imp.video is not None:
        yield from _duration_problems(".video", imp.video)
    if imp.audio is not None:
        yield from _duration_problems(".audio", imp.audio)
    if imp.pmp is not None:
        yield from _deal_problems(imp.pmp.deals)


def _duration_problems(path: str, stream: Stream) -> Iterator[Problem]:
    longest = stream.maxduration
    if stream.rqddurs and (stream.minduration or longest is not None):
        yield Problem(f"{path}.rqddurs", "excludes minduration and maxduration")
    if longest is not None and longest < stream.minduration:
        text = f"{longest} is under minduration {stream.minduration}"
        yield Problem(f"{path}.maxduration", text)


def _deal_problems(deals: list[Deal]) -> Iterator[Problem]:
    if double := _repeated(deal.id for deal in deals):
        text = f"{double[1]!r} is used twice"
        yield Problem(f".pmp.deals[{double[0]}].id", text)
    for d, deal in enumerate(deals):
        if deal.at is not None and not _known_auction(deal.at):
            yield Problem(f".pmp.deals[{d}].at", _unknown_auction(deal.at))


def _known_auction(at: int) -> bool:
    # 2.6 lists 3 for deals only; some exchanges send it for a whole request.
    return at in AUCTION_TYPES or at >= EXCHANGE_SPECIFIC


def _unknown_auction(at: int) -> str:
    return f"must be 1, 2, 3 or an exchange's own type from 500 on, got {at}"


def _repeated(ids: Iterable[str]) -> tuple[int, str] | None:
    seen: set[str] = set()
    for position, value in enumerate(ids):
        if value in seen:
            return position, value
        seen.add(value)
    return None


def response_problem(response: BidResponse) -> Problem | None:
    """Find a bid id used twice: notices could not tell the two bids apart."""
    seen: set[str] = set()
    for s, seatbid in enumerate(response.seatbid):
        for b, bid in enumerate(seatbid.bid):
            if bid.id in seen:
                text = f"{bid.id!r} is used twice"
                return Problem(f"seatbid[{s}].bid[{b}].id", text)
            seen.add(bid.id)
    return None


def check_response(request: BidRequest, response: BidResponse) -> None:
    """Refuse a response that the exchange would throw away for this request.

    Raises `InvalidValue` naming the first value at fault: another request's
    id, a currency or seat that is not allowed, an unknown imp or deal, an open
    bid in a private auction, a price under the floor, a medium that was not
    offered, an advertiser or category that is blocked. A floor in another
    currency is not compared: that takes an exchange rate.
    """
    for problem in _response_problems(request, response):
        raise InvalidValue(f"bid response: {problem.field} {problem.text}")


def _response_problems(request: BidRequest, response: BidResponse) -> Iterator[Problem]:
    if response.id != request.id:
        yield Problem("id", f"is {response.id!r}, the request's is {request.id!r}")
    if request.cur and response.cur not in request.cur:
        yield Problem("cur", f"{response.cur!r} is not among {request.cur}")
    imps = {imp.id: imp for imp in request.imp}
    for s, seatbid in enumerate(response.seatbid):
        if not _seat_allowed(seatbid.seat, request.wseat, request.bseat):
            yield Problem(f"seatbid[{s}].seat", f"{seatbid.seat!r} may not bid here")
        for b, bid in enumerate(seatbid.bid):
            path = f"seatbid[{s}].bid[{b}]"
            if bid.impid not in imps:
                yield Problem(
                    f"{path}.impid", f"{bid.impid!r} is no imp of the request"
                )
                continue
            for field, text in chain(
                _imp_mismatches(bid, imps[bid.impid], seatbid.seat, response.cur),
                _blocked(bid, request),
            ):
                yield Problem(f"{path}.{field}", text)


def _imp_mismatches(
    bid: Bid, imp: Imp, seat: str | None, currency: str
) -> Iterator[Problem]:
    offered = [name for name in MEDIA.values() if getattr(imp, name) is not None]
    if bid.mtype is not None and MEDIA.get(bid.mtype) not in offered:
        yield Problem("mtype", f"{bid.mtype} is not among the media offered: {offered}")
    terms: Imp | Deal = imp
    if bid.dealid is not None:
        deals = {deal.id: deal for deal in imp.pmp.deals} if imp.pmp else {}
        if bid.dealid not in deals:
            yield Problem("dealid", f"{bid.dealid!r} is no deal of imp {imp.id!r}")
            return
        terms = deal = deals[bid.dealid]
        if not _seat_allowed(seat, deal.wseat, []):
            yield Problem("dealid", f"{deal.id!r} is not open to seat {seat!r}")
        if deal.wadomain and not set(bid.adomain) <= set(deal.wadomain):
            yield Problem("adomain", f"{bid.adomain} may not use deal {deal.id!r}")
    elif imp.pmp is not None and imp.pmp.private_auction:
        yield Problem(
            "dealid", "is missing: a private auction takes bids on deals only"
        )
    if terms.bidfloorcur == currency and bid.price_micros < terms.floor_micros:
        yield Problem("price", f"{bid.price} is under the floor {terms.bidfloor}")


def _blocked(bid: Bid, request: BidRequest) -> Iterator[Problem]:
    if blocked := set(bid.adomain) & set(request.badv):
        yield Problem("adomain", f"names a blocked advertiser: {min(blocked)}")
    if blocked := set(bid.cat) & set(request.bcat):
        yield Problem("cat", f"names a blocked category: {min(blocked)}")


def _seat_allowed(seat: str | None, allowed: list[str], blocked: list[str]) -> bool:
    return seat not in blocked and (not allowed or seat in allowed)

"""The ad server: an OpenRTB bid request comes in, a bid response goes out.

Three waits for Redis answer a request, whatever the number of campaigns:

1. Who is there? The request is claimed, so that a copy of it is not decided
   twice; profile, session, interests and the user's caps come with it, and the
   best-paying campaigns for what the page is about.
2. Who may bid? The best-paying campaigns of each other interest at this place.
   With the near cache they are in this process already and the trip is saved; so
   it is where the page has named all that the user is interested in.
3. May we? In one trip a place under the user's caps is leased, the money is
   reserved, the ad's markup is read and the answer is stored.

A paused campaign is refused in the third trip by its own record, however old
the list of the second one is. A refusal there costs this imp its bid and never
a fourth trip: what is held in vain is given back with the next request, and
would come back by itself when its lease ends.
"""

import time
from collections.abc import Mapping
from typing import Any

from adcache.adserver_answer import (
    NBR_TECHNICAL,
    NBR_TIME,
    Decision,
    bid_for,
    choose,
    is_personal,
    response_for,
    rest_after,
)
from adcache.adserver_cells import Cells, Search
from adcache.adserver_journey import Journey
from adcache.adserver_notices import NoticeResult, Notices
from adcache.adserver_trips import Arrival, Trips
from adcache.adserver_visit import refuse_odd_ids, visit_of
from adcache.bid_ids import BidId
from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.consent import may_profile
from adcache.eligibility import (
    Offer,
    Rules,
    market_of,
    offers,
    refusals,
    seat_problem,
)
from adcache.errors import AdCacheError, InvalidValue, shown
from adcache.frequency_snapshot import CapSnapshot
from adcache.hops import Hops
from adcache.keys import encode_id
from adcache.money import Money, to_micros
from adcache.near import NearCache
from adcache.openrtb import Bid, BidRequest, BidResponse, Imp, decode_bid_request
from adcache.server_clock import ServerClock

MOST_RESTING = 10_000
LONGEST_LEASE = 7200  # seconds, whatever the imp allows


class AdServer:
    """Decides on bid requests, and takes the notices about its bids.

    `near` keeps the lists of campaigns in this process. `rates` say what one
    unit of another currency is worth in `currency`, for floors; bids are made
    in `currency` alone. `lease` (seconds) is how long a bid waits for its
    billing notice when the imp does not say (``imp.exp``). `network` (seconds)
    is taken off a request's ``tmax``. `best` campaigns of a list are read, at
    most 64. Raises `InvalidValue` for what these cannot be and for ids that are
    none; notices also raise `RedisUnavailable`, and are safe to repeat.

    >>> from adcache import AdServer, connect
    >>> from adcache.simulate import sample_request
    >>> AdServer(connect("fakeredis://")).decide(sample_request()).reason
    'no campaign for these interests here'
    """

    def __init__(
        self,
        redis_cache: RedisAdCache,
        *,
        near: bool = False,
        seat: str = "adcache",
        currency: str = "USD",
        rates: Mapping[str, Money] | None = None,
        lease: Seconds = 300,
        network: Seconds = 0.02,
        notice_url: str = "https://ads.example",
        best: int = 64,
    ) -> None:
        self.cache = redis_cache
        self.near = NearCache(redis_cache, "targeting:") if near else None
        self._cells = Cells(redis_cache, self.near, best)
        self._trips = Trips(redis_cache, self._cells)
        self._clock = ServerClock(redis_cache)
        self._notices = Notices(redis_cache, self._trips.caps, self._trips.budget)
        self._seat = seat
        self._currency = currency
        self._rates = {
            c: to_micros(r, f"rate of {c}") for c, r in (rates or {}).items()
        }
        if 0 in self._rates.values():
            raise InvalidValue(f"rates must be above 0, got {shown(rates)}")
        self._rates[currency] = to_micros(1)
        self._lease = to_ms(lease, "lease") // 1000
        self._network = to_ms(network, "network") / 1000
        self._notice_url = notice_url.rstrip("/")
        self._resting: dict[str, float] = {}  # campaign -> end of its rest

    def handle(
        self,
        bid_request: BidRequest | dict[str, Any] | bytes | str,
        *,
        exchange: str = "default",
        trace: Hops | None = None,
    ) -> BidResponse | None:
        """Answer a bid request; None is no bid, and `decide` tells why.

        Raises `InvalidBidRequest` for a malformed request, `InvalidValue` for an
        exchange that is no id, and nothing else: without Redis there is no bid.
        """
        return self.decide(bid_request, exchange=exchange, trace=trace).response

    def decide(
        self,
        bid_request: BidRequest | dict[str, Any] | bytes | str,
        *,
        exchange: str = "default",
        trace: Hops | None = None,
    ) -> Decision:
        """Answer a bid request with the reasons; `trace` is filled with its hops.

        Raises as `handle` does: `InvalidBidRequest` and `InvalidValue`.
        """
        encode_id(exchange, "exchange")
        journey = Journey(self.cache, trace)
        request = (
            bid_request
            if isinstance(bid_request, BidRequest)
            else decode_bid_request(bid_request)
        )
        refuse_odd_ids(request)
        journey.limit(request.tmax, self._network)
        problem = seat_problem(request, self._seat)
        if request.cur and self._currency not in request.cur:
            problem = f"bids are made in {self._currency} only"
        if problem:
            return Decision(None, problem)
        try:
            return self._decide(journey, request, exchange)
        except AdCacheError as error:
            return Decision(None, f"no bid without Redis: {error}", nbr=NBR_TECHNICAL)
        finally:
            journey.end("answer")

    def win(self, bid_id: str) -> NoticeResult:
        """Take a win notice (``nurl``): the money stays reserved; nothing is billed."""
        return self._notices.win(bid_id)

    def billing(self, bid_id: str, price: Money) -> NoticeResult:
        """Take a billing notice (``burl``): `price` is the clearing price, a CPM.

        The impression is counted under the user's caps and in the statistics,
        and its cost is settled; all of it once, however often the notice comes.
        """
        return self._notices.billing(bid_id, price)

    def loss(self, bid_id: str) -> NoticeResult:
        """Take a loss notice (``lurl``): money and place are given back."""
        return self._notices.loss(bid_id)

    def click(self, bid_id: str) -> NoticeResult:
        """Count a click on the ad of a bid, once."""
        return self._notices.click(bid_id)

    def close(self) -> None:
        """Give back what waits to be given back, and stop the near cache.

        Without Redis nothing can be given back; then it comes back by itself.
        """
        try:
            waiting = self._trips.compensations(MOST_RESTING)
            self.cache.wire.trip(waiting, keep_errors=True)
        except AdCacheError:
            pass
        finally:
            if self.near:
                self.near.close()

    def _decide(self, journey: Journey, request: BidRequest, exchange: str) -> Decision:
        visit = visit_of(request, bool(may_profile(request)))
        search = Search(self._clock.now_ms())
        arrival = self._trips.arrive(journey, request, visit, exchange, search)
        claim, contextual = arrival.claim, arrival.visitor.user_id is None
        reasons: dict[str, str] = {}
        response = claim.response
        if not claim and response is None:
            return Decision(None, "a duplicate, not answered yet", duplicate=True)
        if response is not None and contextual and is_personal(response):
            # The first copy could be answered for this user; this one must not.
            return Decision(None, "a duplicate without a basis", duplicate=True)
        if response is None and not journey.late:
            lines = self._cells.eligible(journey, search, arrival.visitor)
            market = market_of(request, self._seat, self._rates)
            rules = Rules(market, lines, arrival.visitor, search.now_ms)
            response, reasons = self._answer(request, exchange, arrival.caps, rules)
        if journey.late:
            return Decision(None, "too late", reasons, NBR_TIME, contextual)
        if response is None:
            return Decision(None, _summary(reasons), reasons, contextual=contextual)
        bids, refused = self._commit(journey, request, exchange, arrival, response)
        reasons |= refused
        if not bids:
            why = _summary(reasons)
            return Decision(None, why, reasons, None, contextual, not claim)
        reasons |= {bid.impid: f"{bid.cid} bids {bid.price}" for bid in bids}
        return Decision(
            response_for(request.id, bids, self._seat, self._currency),
            "bid",
            reasons,
            contextual=contextual,
            duplicate=not claim,
        )

    def _answer(
        self,
        request: BidRequest,
        exchange: str,
        caps: CapSnapshot | None,
        rules: Rules,
    ) -> tuple[BidResponse | None, dict[str, str]]:
        """Let the campaigns compete for each imp; the response, and what was left."""

        def allowed(offer: Offer) -> str:
            campaign = offer.campaign
            name = campaign.campaign_id
            if self._resting and self._resting.get(name, 0.0) > time.monotonic():
                return "no money, a moment ago"
            return "" if not caps or caps.has_room(name, campaign.caps) else "capped"

        chosen, reasons = choose(request.imp, lambda imp: offers(imp, rules), allowed)
        if len(chosen) < len(request.imp):
            bidding = {imp.id for imp, _ in chosen}
            for imp in request.imp:
                if imp.id not in bidding and imp.id not in reasons:
                    counted = refusals(imp, rules).most_common()
                    reasons[imp.id] = ", ".join(f"{why} ({n})" for why, n in counted)
        known = rules.visitor.user_id is not None
        names = (exchange, request.id)
        bids = [self._bid(imp, offer, names, known) for imp, offer in chosen]
        if not bids:
            return None, reasons
        return response_for(request.id, bids, self._seat, self._currency), reasons

    def _bid(self, imp: Imp, offer: Offer, names: tuple[str, str], known: bool) -> Bid:
        bid_id = BidId(offer.campaign.campaign_id, *names, imp.id)
        exp = min(imp.exp or self._lease, LONGEST_LEASE)
        return bid_for(imp, offer, bid_id, self._notice_url, exp, known)

    def _commit(
        self,
        journey: Journey,
        request: BidRequest,
        exchange: str,
        arrival: Arrival,
        response: BidResponse,
    ) -> tuple[list[Bid], dict[str, str]]:
        """Commit the bids; a campaign that cannot be bid for now rests for a while."""
        if request.test:
            return self._trips.rehearse(journey, response), {}
        bids, refused = self._trips.commit(
            journey, request, exchange, arrival.visitor.user_id, response
        )
        for bid in response.seatbid[0].bid if refused else ():
            rest = rest_after(refused.get(bid.impid, ""))
            if rest:
                self._resting[str(bid.cid)] = time.monotonic() + rest
        if len(self._resting) > MOST_RESTING:
            self._resting.clear()
        return bids, refused


def _summary(reasons: Mapping[str, str]) -> str:
    """One line for all imps, such as ``imp 1: under the floor (3)``."""
    said = (f"imp {imp}: {why}" for imp, why in reasons.items() if why)
    return "; ".join(said) or "no campaign for these interests here"

"""The three waits for Redis of a bid request: arrive, find campaigns, commit.

Each is one trip for questions to several components. What fails is decided
here, question by question: without a profile an ad is still an ad, so that
fails open; without its caps or its money no ad may be shown, so that fails
closed, and so does everything when it is unknown whether a user was erased.
"""

from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from adcache.ad_line import ALL_LOCATIONS, ANY_INTEREST, AdLine
from adcache.adserver_answer import finished
from adcache.adserver_journey import Journey
from adcache.adserver_notices import write_note
from adcache.adserver_visit import Visit, visitor_of
from adcache.bid_ids import BidId
from adcache.bid_results import Claim
from adcache.bidding_requests import BidRequestCache
from adcache.campaigns import CampaignCache
from adcache.connection import RedisAdCache
from adcache.creatives import CreativeCache
from adcache.eligibility import Visitor, by_bid
from adcache.errors import AdCacheError
from adcache.frequency import FrequencyCapManager
from adcache.frequency_caps import Cap
from adcache.frequency_snapshot import CapSnapshot, ask_snapshot
from adcache.keys import encode_id
from adcache.near import NearCache
from adcache.openrtb import Bid, BidRequest, BidResponse
from adcache.pacing import BudgetPacer
from adcache.profiles import UserProfileCache
from adcache.sessions import SessionManager
from adcache.targeting import SessionTargeting
from adcache.wire import Question, as_it_is

GIVEN_BACK = 32  # compensations that ride along with one request
KEPT = 20_000  # questions of each kind
LEASE_MARGIN = 30  # seconds between the end of a bid (bid.exp) and of its lease


class Arrival(NamedTuple):
    """What the first trip brought; `caps` is None where nobody may be counted."""

    claim: Claim
    visitor: Visitor
    caps: CapSnapshot | None


class Trips:
    """Asks the components on behalf of the ad server."""

    def __init__(
        self, redis_cache: RedisAdCache, near: NearCache | None, best: int
    ) -> None:
        self.cache = redis_cache
        self.near = near
        self._best = best
        self.caps = FrequencyCapManager(redis_cache)
        self.budget = BudgetPacer(redis_cache)
        self._requests = BidRequestCache(redis_cache)
        self._profiles = UserProfileCache(redis_cache)
        self._sessions = SessionManager(redis_cache)
        self._intent = SessionTargeting(redis_cache)
        self._campaigns = CampaignCache(redis_cache)
        self._creatives = CreativeCache(redis_cache)
        self._give_back: deque[Question[Any]] = deque(maxlen=10_000)
        # The same users, lists and ads come again and again: their questions are
        # kept. A manual clock is part of the question, so then they are not.
        keep = lru_cache(maxsize=KEPT) if redis_cache.clock is None else as_it_is
        self._of_user = keep(self._ask_of_user)
        self._of_session = keep(self._ask_of_session)
        self._of_cell = keep(self._ask_of_cell)
        self._of_creative = keep(self._creatives.ask_markup)

    def arrive(
        self, journey: Journey, request: BidRequest, visit: Visit, exchange: str
    ) -> Arrival:
        """First trip: claim the request, and read what is known of the user."""
        questions: list[Question[Any]] = self.compensations(GIVEN_BACK)
        first = len(questions)
        questions.append(self._requests.ask_first(request.id, exchange=exchange))
        if visit.user_id is not None:
            questions += self._of_user(visit.user_id)
            if visit.session_id is not None:
                questions += self._of_session(visit.session_id)
        claim, *known = journey.trip("arrive", questions)[first:]
        if isinstance(claim, Exception):
            raise claim
        known += [None] * (4 - len(known))  # what was not asked
        caps, profile, session, intent = known
        if not isinstance(caps, CapSnapshot):  # suppressed, or nobody can tell
            nobody = visit._replace(user_id=None)
            return Arrival(claim, visitor_of(nobody, None, None), None)
        if not isinstance(session, dict) or session["user_id"] != visit.user_id:
            intent = None
        return Arrival(
            claim, visitor_of(visit, _unless_lost(profile), _unless_lost(intent)), caps
        )

    def _ask_of_user(self, user_id: str) -> tuple[Question[Any], ...]:
        profile = self._profiles.ask_user_profile(user_id)
        return ask_snapshot(self.cache, user_id), profile

    def _ask_of_session(self, session_id: str) -> tuple[Question[Any], ...]:
        session = self._sessions.ask_session(session_id)
        return session, self._intent.ask_interests(session_id)

    def _ask_of_cell(self, interest: str, place: str) -> Question[list[AdLine]]:
        return self._campaigns.ask_ads(interest, place, self._best)

    def eligible(self, journey: Journey, visitor: Visitor) -> list[AdLine]:
        """Second trip: the best campaigns for the visitor's interests, by bid.

        What the near cache knows is not asked; it may save the whole trip.
        """
        places = dict.fromkeys((visitor.location or ALL_LOCATIONS, ALL_LOCATIONS))
        interests = (*visitor.interests, ANY_INTEREST)
        cells = [(interest, place) for interest in interests for place in places]
        known: list[list[AdLine]] = []
        if self.near:
            ticket = self.near.ticket()
            at_hand = self.near.get_many([_tag(*cell) for cell in cells])
            known = [lines for lines in at_hand if lines is not None]
            missing = zip(cells, at_hand, strict=True)
            cells = [cell for cell, lines in missing if lines is None]
        asked = [self._of_cell(*cell) for cell in cells]
        answers = journey.trip("campaigns", asked) if asked else []
        for cell, lines in zip(cells, answers, strict=True):
            if isinstance(lines, Exception):
                continue  # the campaigns of one node of a cluster are missing
            known.append(lines)
            if self.near:
                self.near.put(_tag(*cell), lines, ticket)
        known = [lines for lines in known if lines]
        if len(known) == 1:
            return known[0]  # a cell's lines come in this order
        return by_bid({line.campaign_id: line for c in known for line in c}.values())

    def commit(
        self,
        journey: Journey,
        request: BidRequest,
        exchange: str,
        user_id: str | None,
        response: BidResponse,
    ) -> tuple[list[Bid], dict[str, str]]:
        """Third trip: lease, reserve, read the markup, store the answer.

        Returns the bids that hold both their place and their money, and of the
        others why not, by imp id. All ids come from the request, so committing
        its bids a second time holds nothing twice.
        """
        bids = response.seatbid[0].bid
        names = [BidId.parse(bid.id) for bid in bids]
        lease = max(bid.exp or 0 for bid in bids) + LEASE_MARGIN
        held = _Held(user_id, names[0].lease_id, lease)
        questions = self._money_and_markup(names, bids, held)
        questions.append(self._requests.ask_reply(response, exchange=exchange))
        capped = {str(bid.cid): _caps(bid) for bid in bids if bid.ext and user_id}
        if capped and user_id:
            questions.append(
                self.caps.ask_lease(user_id, capped, held.lease_id, ttl=held.lease)
            )
        try:
            answers = journey.trip("commit", questions)
        except AdCacheError:
            self._release(bids, held)  # whatever of it was done
            raise
        leases = answers.pop() if capped else {}
        kept: list[Bid] = []
        refused: dict[str, str] = {}
        for n, bid in enumerate(bids):
            reserved, markup = answers[n], answers[len(bids) + n]
            problem = _problem(bid, reserved, markup, leases if bid.ext else None)
            if problem:
                refused[bid.impid] = problem
            else:
                kept.append(finished(bid, markup))
        if refused:
            self._release([bid for bid in bids if bid.impid in refused], held)
        return kept, refused

    def _money_and_markup(
        self, names: Sequence[BidId], bids: Sequence[Bid], held: "_Held"
    ) -> list[Question[Any]]:
        """First a reservation for each bid, then the markup for each."""
        questions: list[Question[Any]] = []
        for name, bid in zip(names, bids, strict=True):
            questions.append(
                self.budget.ask_reserve(
                    name.campaign_id,
                    name.reservation_id,
                    bid.price,
                    lease=held.lease,
                    note=write_note(held.user_id, bid.ext is not None),
                )
            )
        return questions + [self._of_creative(str(bid.crid)) for bid in bids]

    def compensations(self, most: int) -> list[Question[Any]]:
        """Take up to `most` questions that give back what is held in vain."""
        waiting = self._give_back
        return [waiting.popleft() for _ in range(min(most, len(waiting)))]

    def _release(self, bids: Sequence[Bid], held: "_Held") -> None:
        """Give back with the next request; giving back what is not held is free."""
        for bid in bids:
            name = BidId.parse(bid.id)
            self._give_back.append(
                self.budget.ask_release(name.campaign_id, name.reservation_id)
            )
            if held.user_id and bid.ext:
                self._give_back.append(
                    self.caps.ask_release(held.user_id, name.campaign_id, held.lease_id)
                )


class _Held(NamedTuple):
    """Under which names a request's bids hold money and places; `lease` in seconds."""

    user_id: str | None
    lease_id: str
    lease: int


def _problem(bid: Bid, reserved: Any, markup: Any, leases: Any) -> str:
    """Why a bid must not be made after all; empty when nothing speaks against it."""
    for answer in (reserved, markup, leases):
        if isinstance(answer, Exception):
            return str(answer)
    if not reserved:
        return f"no money: {reserved.reason}"
    if markup is None:
        return f"creative {bid.crid!r} has no markup in the cache"
    lease = leases.get(bid.cid) if leases else None
    return f"no place: {lease.reason}" if lease is not None and not lease else ""


def _caps(bid: Bid) -> list[Cap]:
    return [Cap(limit, seconds) for limit, seconds in bid.ext.caps] if bid.ext else []


def _unless_lost(answer: Any) -> Any:
    """A profile or an intent that cannot be read is treated as unknown."""
    return None if isinstance(answer, Exception) else answer


@lru_cache(maxsize=10_000)
def _tag(interest: str, place: str) -> str:
    """The hash tag of a cell's keys, as the near cache names it."""
    return f"{encode_id(interest)}:{encode_id(place)}"

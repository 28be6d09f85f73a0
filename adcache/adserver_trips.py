"""First and last wait for Redis of a bid request: arrive, and commit.

Each is one trip for questions to several components. What fails is decided
here, question by question: without a profile an ad is still an ad, so that
fails open; without its caps or its money no ad may be shown, so that fails
closed, and so does everything when it is unknown whether a user was erased.
"""

from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from adcache.adserver_answer import finished
from adcache.adserver_cells import Cells, Search
from adcache.adserver_journey import Journey
from adcache.adserver_notices import write_note
from adcache.adserver_visit import Visit, visitor_of
from adcache.bid_ids import BidId
from adcache.bid_results import Claim
from adcache.bidding_requests import BidRequestCache
from adcache.connection import RedisAdCache
from adcache.creatives import CreativeCache
from adcache.eligibility import Visitor
from adcache.errors import AdCacheError
from adcache.frequency import FrequencyCapManager
from adcache.frequency_caps import Cap
from adcache.frequency_snapshot import CapSnapshot, ask_snapshot
from adcache.keys import encode_id
from adcache.openrtb import Bid, BidRequest, BidResponse
from adcache.pacing import BudgetPacer
from adcache.profiles import Known, UserProfileCache
from adcache.sessions import SessionManager
from adcache.targeting import SessionTargeting
from adcache.wire import Question

GIVEN_BACK = 32  # compensations that ride along with one request
KEPT = 20_000  # questions of each kind
OURS = ("no money", "no place")  # refusals after which the rest is held in vain
LEASE_MARGIN = 30  # seconds between the end of a bid (bid.exp) and of its lease


class Arrival(NamedTuple):
    """What the first trip brought; `caps` is None where nobody may be counted."""

    claim: Claim
    visitor: Visitor
    caps: CapSnapshot | None


class Trips:
    """Asks the components on behalf of the ad server."""

    def __init__(self, redis_cache: RedisAdCache, cells: Cells) -> None:
        self.cache = redis_cache
        self._cells = cells
        self.caps = FrequencyCapManager(redis_cache)
        self.budget = BudgetPacer(redis_cache)
        self._requests = BidRequestCache(redis_cache)
        self._profiles = UserProfileCache(redis_cache)
        self._sessions = SessionManager(redis_cache)
        self._intent = SessionTargeting(redis_cache)
        self._creatives = CreativeCache(redis_cache)
        self._give_back: deque[Question[Any]] = deque(maxlen=10_000)
        # The same users, lists and ads come again and again: their questions are
        # kept.
        keep = lru_cache(maxsize=KEPT)
        self._of_user = keep(self._ask_of_user)
        self._of_creative = keep(self._creatives.ask_markup)

    def arrive(
        self,
        journey: Journey,
        request: BidRequest,
        visit: Visit,
        exchange: str,
        search: Search,
    ) -> Arrival:
        """First trip: claim the request, read what is known of the user and page."""
        user_id = visit.user_id
        # What is given back is free before anybody looks.
        questions = self.compensations(GIVEN_BACK) if self._give_back else []
        ahead = self._cells.ask(search, visit.page_interests, visit.location)
        questions += ahead
        first = len(questions)
        questions.append(self._requests.ask_first(request.id, exchange=exchange))
        if user_id is not None:
            questions += self._of_user(user_id, visit.session_id)
        replies = journey.trip("arrive", questions)
        self._cells.take(search, replies[first - len(ahead) : first])
        claim, *answers = replies[first:]
        if isinstance(claim, Exception):
            raise claim
        known, fields = answers[:2] if answers else (None, None)
        if not isinstance(known, Known) or known.suppressed or type(fields) is not dict:
            nobody = visit._replace(user_id=None)  # suppressed, or nobody can tell
            return Arrival(claim, visitor_of(nobody, None, []), None)
        intent = self._intent_of(visit, answers[2:], search.now_ms)
        visitor = visitor_of(visit, known.profile, intent)
        return Arrival(claim, visitor, CapSnapshot(search.now_ms, fields))

    def _intent_of(
        self, visit: Visit, answers: Sequence[Any], now_ms: int
    ) -> list[tuple[str, float]]:
        """What the session shows, if it is this user's; the unreadable is nothing."""
        owner, stored = answers or (None, None)
        if type(owner) is not tuple or type(stored) is not dict:
            return []
        user, began = owner
        if user != encode_id(visit.user_id or ""):
            return []
        try:
            return self._intent.scores_of(visit.session_id or "", stored, began, now_ms)
        except AdCacheError:
            return []

    def _ask_of_user(
        self, user_id: str, session_id: str | None
    ) -> tuple[Question[Any], ...]:
        known = self._profiles.ask_known(user_id)
        caps = ask_snapshot(self.cache, user_id)
        if session_id is None:
            return known, caps
        owner = self._sessions.ask_owner(session_id)
        return known, caps, owner, self._intent.ask_stored(session_id)

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
        lease = max([bid.exp or 0 for bid in bids]) + LEASE_MARGIN
        held = _Held(user_id, BidId.names(bids[0].id)[1], lease)
        questions = [self._ask_money(bid, held) for bid in bids]
        questions += [self._of_creative(str(bid.crid)) for bid in bids]
        questions.append(self._requests.ask_reply(response, exchange=exchange))
        capped = {
            str(bid.cid): _caps(*bid.ext.caps)
            for bid in bids
            if bid.ext and bid.ext.caps and user_id
        }
        if capped and user_id:
            questions.append(
                self.caps.ask_lease(user_id, capped, held.lease_id, ttl=held.lease)
            )
        # When the reply is lost nothing is given back: the exchange may ask another
        # server, which then finds and keeps it; else it comes back by itself.
        answers = journey.trip("commit", questions)
        leases = answers.pop() if capped else {}
        kept: list[Bid] = []
        refused: dict[str, str] = {}
        for n, bid in enumerate(bids):
            reserved, markup = answers[n], answers[len(bids) + n]
            problem = _problem(bid, reserved, markup, leases)
            if problem:
                refused[bid.impid] = problem
            else:
                kept.append(finished(bid, markup))
        in_vain = [b for b in bids if refused.get(b.impid, "").startswith(OURS)]
        if in_vain:
            self._release(in_vain, held)
        return kept, refused

    def _ask_money(self, bid: Bid, held: "_Held") -> Question[Any]:
        return self.budget.ask_reserve(
            str(bid.cid),
            BidId.names(bid.id)[0],
            bid.price,
            lease=held.lease,
            note=write_note(held.user_id, bool(bid.ext and bid.ext.caps)),
        )

    def rehearse(self, journey: Journey, response: BidResponse) -> list[Bid]:
        """For a test request (``test`` 1) nothing is held; it reads the markup."""
        bids = response.seatbid[0].bid
        asked = [self._of_creative(str(bid.crid)) for bid in bids]
        markups = journey.trip("markup", asked)
        return [
            finished(bid, markup)
            for bid, markup in zip(bids, markups, strict=True)
            if isinstance(markup, str)
        ]

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
            if held.user_id and bid.ext and bid.ext.caps:
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


@lru_cache(maxsize=10_000)
def _caps(*pairs: tuple[int, float]) -> tuple[Cap, ...]:
    """Caps as the manager takes them; a campaign's are checked once."""
    return tuple(Cap(limit, seconds) for limit, seconds in pairs)

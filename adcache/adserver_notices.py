"""What the exchange tells afterwards: won, billed, lost; and what the page tells.

Notices come late, twice, and in any order. Each names its bid; what has to be
done stands with the bid's reservation. A second notice does again whatever the
first one may have left undone, and counts nothing twice.
"""

from typing import Any

import msgspec

from adcache.bid_ids import BidId
from adcache.connection import RedisAdCache
from adcache.frequency import FrequencyCapManager
from adcache.money import Money, from_micros
from adcache.pacing import BudgetPacer
from adcache.stats import PerformanceStatsCache
from adcache.stats_event import Recorded
from adcache.wire import Question

HORIZON = 4 * 3600  # seconds: the longest lease, a win's and a bill's horizon


class NoticeResult(msgspec.Struct, frozen=True):
    """What became of a notice: true when it counted now.

    States: ``won``, ``billed``, ``lost``, ``clicked``; ``duplicate``; and
    ``unknown``, ``settled``, ``released`` or ``expired`` where the bid was in
    another state already. `cost` and `overrun` (the part beyond the budget) are
    in currency units; `over_cap` says that the impression came in addition to
    what the user's caps allow, because its lease had ended.
    """

    counted: bool
    state: str
    cost: float = 0.0
    overrun: float = 0.0
    over_cap: bool = False

    def __bool__(self) -> bool:
        return self.counted


class Notices:
    """Takes notices on behalf of the ad server."""

    def __init__(
        self, redis_cache: RedisAdCache, caps: FrequencyCapManager, budget: BudgetPacer
    ) -> None:
        self.cache = redis_cache
        self.caps = caps
        self.budget = budget
        # Statistics know an event as long as the ledger may know its bid.
        self.stats = PerformanceStatsCache(redis_cache, notice_horizon=HORIZON)

    def win(self, bid_id: str) -> NoticeResult:
        """Hold the money until billing may have come; the place ends with its lease."""
        bid = BidId.parse(bid_id)
        kept = self.budget.keep(bid.campaign_id, bid.reservation_id)
        if not kept:
            return NoticeResult(False, kept.state)
        counted = self.cache.wire.ask(self._ask_event(bid, "wins"))
        return NoticeResult(bool(counted), "won" if counted else "duplicate")

    def billing(self, bid_id: str, price: Money) -> NoticeResult:
        """Settle, then count the impression: under the caps, and for the reports."""
        bid = BidId.parse(bid_id)
        bill = self.budget.settle(bid.campaign_id, bid.reservation_id, price)
        if not bill:
            return NoticeResult(False, bill.reason)
        user_id, capped = read_note(bill.note)
        over_cap, erased = self._confirm(bid, user_id, capped)
        cost, reached = from_micros(bill.cost), None if erased else user_id
        event = self._ask_event(bid, "impressions", cost, reached)
        counted = self.cache.wire.ask(event)
        return NoticeResult(
            bool(counted),
            "billed" if counted else "duplicate",
            cost,
            from_micros(bill.overrun),
            over_cap,
        )

    def _confirm(
        self, bid: BidId, user_id: str | None, capped: bool
    ) -> tuple[bool, bool]:
        """Count it under the user's caps: was one passed, and is the user erased?"""
        if user_id is None:
            return False, False
        key = self.cache.get_key("user_suppressed", user_id=user_id)
        questions: list[Question[Any]] = [
            Question(("EXISTS", key), safe=True, component="privacy")
        ]
        if capped:
            questions.append(
                self.caps.ask_confirm(user_id, bid.campaign_id, bid.lease_id)
            )
        erased, *confirmed = self.cache.wire.trip(questions)
        return any(answer.over_cap for answer in confirmed), erased == 1

    def loss(self, bid_id: str) -> NoticeResult:
        """Give back the money, and the place under the caps."""
        bid = BidId.parse(bid_id)
        lost = self.budget.release(bid.campaign_id, bid.reservation_id)
        if not lost:
            return NoticeResult(False, lost.state)
        user_id, capped = read_note(lost.note)
        questions: list[Question[Any]] = [self._ask_event(bid, "losses")]
        if capped and user_id:
            questions.append(
                self.caps.ask_release(user_id, bid.campaign_id, bid.lease_id)
            )
        counted = self.cache.wire.trip(questions)[0]
        return NoticeResult(bool(counted), "lost" if counted else "duplicate")

    def click(self, bid_id: str) -> NoticeResult:
        """Count a click, once a bid; only of bids that this platform has made."""
        bid = BidId.parse(bid_id)
        ids = {"campaign_id": bid.campaign_id, "reservation_id": bid.reservation_id}
        key = self.cache.get_key("budget_ledger", **ids)
        if not self.cache.wire.execute("EXISTS", key, safe=True):
            return NoticeResult(False, "unknown")
        counted = self.cache.wire.ask(self._ask_event(bid, "clicks"))
        return NoticeResult(bool(counted), "clicked" if counted else "duplicate")

    def _ask_event(
        self, bid: BidId, metric: str, cost: float = 0.0, user_id: str | None = None
    ) -> Question[Recorded]:
        """Count one event of a bid; its id makes that happen once."""
        values: dict[str, float] = {metric: 1}
        if cost:
            values["cost"] = cost
        return self.stats.ask_event(
            bid.campaign_id, values, event_id=f"{metric}:{bid}", user_id=user_id
        )


def write_note(user_id: str | None, capped: bool) -> str:
    """What a notice must know and its bid id does not say: JSON [user, capped]."""
    return msgspec.json.encode((user_id, capped)).decode()


def read_note(note: str) -> tuple[str | None, bool]:
    """Read what `write_note` wrote."""
    try:
        user_id, capped = msgspec.json.decode(note, type=tuple[str | None, bool])
    except msgspec.MsgspecError:
        return None, False  # somebody else's reservation
    return user_id, capped

"""Budgets: reserve at the bid, settle when billed, give back what was lost.

A bidder does not know whether its bid will win. If it counted only what it has
paid, a hundred bidders would all see the last euro free. So each bid sets its
price aside first; the exchange's notices tell what becomes of it. What a notice
does depends on what came before, in whatever order notices arrive:

=========  ===============  ==================  ==================  ============
before     reserve          keep (win, nurl)    settle (bill, burl) release
                                                                    (loss, lurl)
=========  ===============  ==================  ==================  ============
nothing    held, or reason  unknown             unknown             unknown
held       held (a retry)   kept                settled             released
kept       held (a retry)   kept (a duplicate)  settled             released
expired    no: expired      no: expired         settled, late       released
released   no: released     no: released        settled, late       released
settled    no: settled      no: settled         duplicate           no: settled
=========  ===============  ==================  ==================  ============

A lease ends at its time: a ms earlier the amount is held, from then on it is
free, whether or not anybody comes to sweep it. A real cost is always recorded,
however late: what the budget has no room for is `overrun`. So at any time

    spent + reserved <= budget + overrun

and without costs that come late or above their reservation, overrun is 0. An
open reservation may be billed today, whenever it was made. So all of `reserved`
counts against today, a cost counts on the day its bill arrives, and midnight
resets only what was spent. A notice is understood until the notice horizon after
the lease has ended; later its reservation is unknown.
"""

from collections.abc import Callable
from typing import Any

from adcache.clock import Seconds, to_ms
from adcache.connection import RedisAdCache
from adcache.errors import InvalidValue, shown
from adcache.keys import encode_id
from adcache.money import MAX_CPM_MICROS, Money, impression_cost, to_micros
from adcache.pacing_replicas import refuse_bad_replicas, settle_on_replicas
from adcache.pacing_results import (
    BudgetNotice,
    BudgetStatus,
    Reservation,
    Settlement,
)
from adcache.wire import Answer, Question

MAX_NOTE = 4096  # characters


class BudgetPacer:
    """Sets money aside for bids and counts what impressions cost, exactly once.

    Budgets, days and curves are the campaign's own (`CampaignData`); it must be
    in the cache, an expired record refuses. `lease` is how long a bid's amount
    is held: ``bid.exp`` plus a margin. `notice_horizon` is how long a billing
    notice may take after the win. Both in seconds. Time is the server's. Prices
    are CPMs. Raises `InvalidValue` before anything is written, `RedisUnavailable`.

    >>> from adcache import connect
    >>> pacer = BudgetPacer(connect("fakeredis://"))
    >>> pacer.reserve("no such campaign", "r1", 2.50).reason
    'unknown'
    """

    def __init__(
        self,
        redis_cache: RedisAdCache,
        lease: Seconds = 300,
        notice_horizon: Seconds = 3600,
    ) -> None:
        self.cache = redis_cache
        self._lease_ms = to_ms(lease, "lease")
        self._horizon_ms = to_ms(notice_horizon, "notice_horizon")
        self._meter = redis_cache.metrics.meter("pacing")
        self._reserve = redis_cache.lua_scripts["budget_reserve"]
        self._ledger_key = redis_cache.keys.maker(
            "budget_ledger", "campaign_id", "reservation_id"
        )

    def reserve(
        self,
        campaign_id: str,
        reservation_id: str,
        cpm: Money,
        *,
        lease: Seconds | None = None,
        note: str = "",
    ) -> Reservation:
        """Set the price of one impression aside, if the campaign may bid it now.

        `cpm` is the bid (per thousand impressions). A retry with the same id is
        answered as the first call was and reserves once; a refusal is not
        remembered, as nothing was reserved. `note` is opaque text that comes
        back with every notice.
        """
        question = self.ask_reserve(
            campaign_id, reservation_id, cpm, lease=lease, note=note
        )
        return self.cache.wire.ask(question)

    def ask_reserve(
        self,
        campaign_id: str,
        reservation_id: str,
        cpm: Money,
        *,
        lease: Seconds | None = None,
        note: str = "",
    ) -> Question[Reservation]:
        """Prepare `reserve` for a trip."""
        cpm_micros = _cpm_micros(cpm, "cpm")
        amount, rest = impression_cost(cpm_micros)
        lease_ms = self._lease_ms if lease is None else to_ms(lease, "lease")
        ledger = self._ledger_key(campaign_id, reservation_id)
        return self._reserve.in_order(
            self._read_reservation,
            (*self._keys(campaign_id).values(), ledger),
            (
                self.cache.now_ms(),
                encode_id(reservation_id, "reservation_id"),
                cpm_micros,
                amount + (rest > 0),
                lease_ms,
                self._horizon_ms,
                _valid_note(note),
            ),
            safe=True,
        )

    def keep(self, campaign_id: str, reservation_id: str) -> BudgetNotice:
        """Note a win (``nurl``): not billable yet, so hold the amount longer.

        The lease is prolonged to the notice horizon from now, once. A lease that
        has ended is not revived; its bill will be recorded all the same.
        """
        return self.cache.wire.ask(self.ask_keep(campaign_id, reservation_id))

    def ask_keep(self, campaign_id: str, reservation_id: str) -> Question[BudgetNotice]:
        """Prepare `keep` for a trip."""
        read = self._notice_reader("kept")
        return self._question("keep", read, campaign_id, reservation_id)

    def settle(
        self,
        campaign_id: str,
        reservation_id: str,
        clearing_price: Money,
        *,
        replicas: int = 0,
        wait: Seconds = 0.2,
    ) -> Settlement:
        """Count what an impression cost (``burl``), once.

        `clearing_price` is a CPM. The fraction of a micro is carried to the
        campaign's next settlement: a thousand at one price cost exactly that
        price. With `replicas` the answer tells whether so many had it within
        `wait` seconds (WAIT): replication is asynchronous, and a failover may
        lose what no replica has.
        """
        question = self.ask_settle(campaign_id, reservation_id, clearing_price)
        if refuse_bad_replicas(replicas, wait, self.cache) == 0:
            return self.cache.wire.ask(question)
        return settle_on_replicas(
            self.cache,
            question,
            self.cache.get_key("campaign_spend", campaign_id=campaign_id),
            replicas,
            to_ms(wait, "wait"),
        )

    def ask_settle(
        self, campaign_id: str, reservation_id: str, clearing_price: Money
    ) -> Question[Settlement]:
        """Prepare `settle` for a trip."""
        cpm_micros = _cpm_micros(clearing_price, "clearing_price")
        read = self._read_settlement
        return self._question(
            "settle", read, campaign_id, reservation_id, cpm=cpm_micros
        )

    def release(self, campaign_id: str, reservation_id: str) -> BudgetNotice:
        """Give the amount of a lost bid back (``lurl``), once; never after a bill."""
        return self.cache.wire.ask(self.ask_release(campaign_id, reservation_id))

    def ask_release(
        self, campaign_id: str, reservation_id: str
    ) -> Question[BudgetNotice]:
        """Prepare `release` for a trip."""
        read = self._notice_reader("released")
        return self._question("release", read, campaign_id, reservation_id)

    def status(self, campaign_id: str) -> BudgetStatus | None:
        """Say what is spent, reserved and free; None for an unknown campaign."""
        return self.cache.wire.ask(self.ask_status(campaign_id))

    def ask_status(self, campaign_id: str) -> Question[BudgetStatus | None]:
        """Prepare `status` for a trip."""
        return self.cache.lua_scripts["budget_status"].question(
            self._read_status,
            safe=True,
            now_ms=self.cache.now_ms(),
            horizon_ms=self._horizon_ms,
            **self._keys(campaign_id),
        )

    def _question(
        self,
        script: str,
        read: Callable[[Any], Answer],
        campaign_id: str,
        reservation_id: str,
        **slots: Any,
    ) -> Question[Answer]:
        """A call about one reservation: its id makes it safe to repeat."""
        return self.cache.lua_scripts[f"budget_{script}"].question(
            read,
            safe=True,
            ledger=self._ledger_key(campaign_id, reservation_id),
            reservation=encode_id(reservation_id, "reservation_id"),
            now_ms=self.cache.now_ms(),
            horizon_ms=self._horizon_ms,
            **self._keys(campaign_id),
            **slots,
        )

    def _keys(self, campaign_id: str) -> dict[str, str]:
        key = self.cache.get_key
        return {
            "campaign": key("campaign", campaign_id=campaign_id),
            "spend": key("campaign_spend", campaign_id=campaign_id),
            "leases": key("budget_leases", campaign_id=campaign_id),
        }

    def _count(self, known: bool) -> None:
        self._meter.hit() if known else self._meter.miss()

    def _read_reservation(self, reply: list[Any]) -> Reservation:
        verdict, amount, lease = reply
        self._count(verdict != "unknown")
        if verdict == "held":
            return Reservation(True, "", int(amount), int(lease))
        return Reservation(False, verdict, int(amount), int(lease))

    def _notice_reader(self, wanted: str) -> Callable[[Any], BudgetNotice]:
        def read(reply: list[Any]) -> BudgetNotice:
            state, amount, _, note = reply
            self._count(state != "unknown")
            return BudgetNotice(state == wanted, state, int(amount), note)

        return read

    def _read_settlement(self, reply: list[Any]) -> Settlement:
        verdict, cost, overrun, late, note = reply
        self._count(verdict != "unknown")
        if verdict in ("unknown", "lost"):
            return Settlement(False, note=note, reason=verdict)
        duplicate = verdict == "duplicate"
        return Settlement(True, int(cost), int(overrun), late == 1, duplicate, note)

    def _read_status(self, reply: list[Any]) -> BudgetStatus | None:
        self._count(bool(reply))
        if not reply:
            return None
        spent, reserved, overrun, today, allowance, room = reply
        allowed = None if allowance == "" else int(allowance)
        return BudgetStatus(
            int(spent), int(reserved), int(overrun), int(today), allowed, int(room)
        )


def _cpm_micros(cpm: Money, name: str) -> int:
    micros = to_micros(cpm, name)
    if micros > MAX_CPM_MICROS:
        raise InvalidValue(
            f"{name} must be at most {MAX_CPM_MICROS // 10**6:,} (a CPM), "
            f"got {shown(cpm)}"
        )
    return micros


def _valid_note(note: str) -> str:
    """Text that Redis can keep; it is never looked into."""
    if not isinstance(note, str) or len(note) > MAX_NOTE:
        raise InvalidValue(
            f"note must be text of at most {MAX_NOTE} characters, got {shown(note)}"
        )
    try:
        note.encode()
    except UnicodeEncodeError:
        raise InvalidValue(
            f"note must be encodable as UTF-8, got {shown(note)}"
        ) from None
    return note

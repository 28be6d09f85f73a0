"""What the budget pacer answers: reservations, notices, settlements, status.

All amounts are integer micros of the currency unit.
"""

import msgspec


class Reservation(msgspec.Struct, frozen=True):
    """Is the price of this bid set aside? True or False in an ``if``.

    `reason` says why not, and is empty when it is: ``unknown`` (no such
    campaign), ``paused``, ``inactive``, ``not started``, ``ended``, ``above bid``
    (above the campaign's own), ``budget``, ``daily budget``, ``pacing``, ``lost``
    (what was spent is not known any more), or what became of this id before:
    ``settled``, ``released``, ``expired``, ``charged``. `lease_ends_ms` is in ms
    since 1970.
    """

    held: bool
    reason: str = ""
    amount: int = 0
    lease_ends_ms: int = 0

    def __bool__(self) -> bool:
        return self.held


class BudgetNotice(msgspec.Struct, frozen=True):
    """What a win or a loss did to a reservation; True when it did what it says.

    `state` is the reservation's after the notice: ``kept``, ``released``,
    ``settled``, ``expired`` or ``unknown``. `note` is what `reserve` was given.
    """

    accepted: bool
    state: str
    amount: int = 0
    note: str = ""

    def __bool__(self) -> bool:
        return self.accepted


class Settlement(msgspec.Struct, frozen=True):
    """Is the cost of an impression in the books? True or False in an ``if``.

    `cost` (micros) was added to what is spent, once; `overrun` is the part of it
    that the budget had no room for. `late`: its amount was not reserved any more.
    `duplicate`: the figures are those of the first notice. `reason` is empty, or
    ``unknown`` (no such reservation) or ``lost`` (see `Reservation`; nothing is
    counted, ask again). `acknowledged`: did the replicas that were asked for
    have it in time? None when none were, or when this backend cannot tell.
    """

    counted: bool
    cost: int = 0
    overrun: int = 0
    late: bool = False
    duplicate: bool = False
    note: str = ""
    reason: str = ""
    acknowledged: bool | None = None

    def __bool__(self) -> bool:
        return self.counted


class BudgetStatus(msgspec.Struct, frozen=True):
    """What a campaign has spent and may still spend, in micros.

    `spent` includes `overrun`, by which all that is spent or reserved exceeds
    the budget; `today` is what was spent on the campaign's local day. `allowance`
    is what may be spent or reserved today up to this moment (None: all of the
    budget), `room` what one reservation could hold now, were the campaign active.
    """

    spent: int
    reserved: int
    overrun: int
    today: int
    allowance: int | None
    room: int

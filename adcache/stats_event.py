"""What happened to a campaign, checked before anything is written."""

from collections.abc import Mapping
from datetime import date as Day  # noqa: N812  # "date" is a parameter of the seed
from decimal import Decimal

import msgspec

from adcache.errors import InvalidValue, shown
from adcache.keys import encode_id
from adcache.stats_days import HOUR_MS, MINUTE_MS, Moment, place, start_ms
from adcache.stats_numbers import Value, field_and_amount

MAX_METRICS = 50
Metrics = Mapping[str, Value | Decimal]


class Recorded(msgspec.Struct, frozen=True):
    """Was the event counted now? True or False in an ``if``, with the reason.

    `day` is the UTC day it belongs to; `reason` is "" when it was counted,
    ``duplicate`` when that happened before, ``too_old`` when its day is no
    longer kept.
    """

    counted: bool
    day: Day
    reason: str = ""

    def __bool__(self) -> bool:
        return self.counted


class Event(msgspec.Struct, frozen=True):
    """An event as the script takes it; `time_ms` is None where only a day is known."""

    day: Day
    time_ms: int | None
    fields: list[str | int]  # field, amount, field, amount, ...
    user: str

    @property
    def hour(self) -> str:
        """Its hour, as the key of the minutes names it."""
        return f"{self.day}T{(self.time_ms or 0) // HOUR_MS % 24:02}"

    @property
    def minute(self) -> str:
        """Its minute within the hour."""
        return f"{(self.time_ms or 0) // MINUTE_MS % 60:02}"

    def hour_starts_ms(self) -> int:
        """When its hour began, in milliseconds since 1970."""
        time = start_ms(self.day) if self.time_ms is None else self.time_ms
        return time - time % HOUR_MS


def check_event(
    metrics: Metrics, user_id: str | None, moment: Moment, name: str, now_ms: int
) -> Event:
    """Return the event; raises `InvalidValue` for what cannot be counted.

    `moment` and `name` as in `stats_days.place`.
    """
    if not isinstance(metrics, Mapping) or not 0 < len(metrics) <= MAX_METRICS:
        raise InvalidValue(
            f"metrics must be 1 to {MAX_METRICS} values by name, such as "
            f"{{'clicks': 1}}, got {shown(metrics)}"
        )
    day, time_ms = place(moment, now_ms, name)
    fields: list[str | int] = []
    for metric, value in metrics.items():
        fields += field_and_amount(metric, value)
    user = "" if user_id is None else encode_id(user_id, "user_id")
    return Event(day, time_ms, fields, user)

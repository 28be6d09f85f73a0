"""Which day an event belongs to: days are UTC, whatever the machine's time zone.

A campaign's numbers are read by people in many places, so a day has to mean the
same everywhere. UTC has no summer time: each day has 86,400 seconds.
"""

import re
from datetime import UTC, date, datetime

from adcache.clock import to_epoch_ms
from adcache.errors import InvalidValue, shown

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
EPOCH = date(1970, 1, 1).toordinal()
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Moment = datetime | date | str | None


def day_of(ms: int) -> date:
    """Return the UTC day of a time in milliseconds since 1970.

    >>> day_of(86_400_000 - 1), day_of(86_400_000)
    (datetime.date(1970, 1, 1), datetime.date(1970, 1, 2))
    """
    return date.fromordinal(ms // DAY_MS + EPOCH)


def start_ms(day: date) -> int:
    """Return when a UTC day begins, in milliseconds since 1970."""
    return (day.toordinal() - EPOCH) * DAY_MS


def last_days(today: date, count: int) -> list[date]:
    """Return `count` days, the newest (today) first."""
    return [date.fromordinal(today.toordinal() - n) for n in range(count)]


def place(moment: Moment, now_ms: int, name: str = "date") -> tuple[date, int | None]:
    """Return the UTC day of `moment`, and its time in ms where that is known.

    None is now. A datetime is a time (a naive one is local time); a date or a
    text such as '2026-01-31' is a day and tells no time. Raises `InvalidValue`
    for anything else, and for what lies further ahead than tomorrow.
    """
    day, ms = _read(moment, now_ms, name)
    if start_ms(day) > now_ms + DAY_MS:
        raise InvalidValue(
            f"{name} must not lie in the future, got {shown(moment)} on "
            f"{day_of(now_ms)} (UTC)"
        )
    return day, ms


def _read(moment: Moment, now_ms: int, name: str) -> tuple[date, int | None]:
    if moment is None:
        return day_of(now_ms), now_ms
    if isinstance(moment, datetime):
        try:
            ms = to_epoch_ms(moment)
            return day_of(ms), ms
        except (OverflowError, OSError, ValueError):
            raise InvalidValue(f"{name} is out of range: {shown(moment)}") from None
    if isinstance(moment, date):
        return moment, None
    if isinstance(moment, str) and _DAY.fullmatch(moment):
        try:
            return date.fromisoformat(moment), None
        except ValueError:
            pass  # the 31st of February
    raise InvalidValue(
        f"{name} must be a datetime, a date or a text such as '2026-01-31', "
        f"got {shown(moment)}"
    )


def minutes_before(now_ms: int, count: int) -> list[datetime]:
    """Return the starts of the last `count` minutes, oldest first, now's included."""
    last = now_ms // MINUTE_MS
    return [
        datetime.fromtimestamp(minute * 60, UTC)
        for minute in range(last - count + 1, last + 1)
    ]

"""Whose clock decides: the server's, unless a lesson or a test brings its own.

Scripts take an optional ``now_ms``. Without it they ask Redis, so a bidder
whose own clock is wrong neither opens nor prolongs anything. With a
`ManualClock` time moves only when told: a day passes without waiting.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Protocol

from adcache.errors import InvalidValue, shown

Seconds = float | int | timedelta
MAX_SECONDS = 10 * 366 * 86_400  # ten years: longer than any flight


class Clock(Protocol):
    """Anything that tells the time in milliseconds since 1970 (UTC)."""

    def now_ms(self) -> int:
        """Return the time now, milliseconds since 1970."""
        ...


class ManualClock:
    """A clock that stands still until it is moved.

    It decides what is over; Redis removes keys by its own time all the same: a
    key written with a ttl of an hour is gone an hour later by the wall clock.

    >>> clock = ManualClock()
    >>> clock.advance(90)
    >>> clock.now().isoformat()
    '2026-01-01T00:01:30+00:00'
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now_ms = to_epoch_ms(start)

    def now_ms(self) -> int:
        """Return the time now, milliseconds since 1970."""
        return self._now_ms

    def now(self) -> datetime:
        """Return the time now as an aware datetime in UTC."""
        return from_epoch_ms(self._now_ms)

    def advance(self, seconds: Seconds) -> None:
        """Move on by `seconds` (int, float or timedelta).

        Raises `InvalidValue` for a negative or infinite time.
        """
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        if not 0 <= seconds < math.inf:
            raise InvalidValue(f"a clock moves forward only, got {seconds!r} seconds")
        self._now_ms += round(seconds * 1000)


def to_ms(duration: Seconds, name: str = "ttl") -> int:
    """Turn seconds (int, float or timedelta) into whole milliseconds, at least 1.

    Raises `InvalidValue` for zero, negative, NaN, infinite, over ten years, text.
    """
    if type(duration) is int and 0 < duration <= MAX_SECONDS:  # the usual case
        return duration * 1000
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidValue(f"{name} must be seconds (a number), got {shown(duration)}")
    if not 0 < seconds <= MAX_SECONDS:  # False for NaN too
        raise InvalidValue(
            f"{name} must be more than 0 seconds and at most ten years, "
            f"got {shown(duration)}"
        )
    return max(1, round(seconds * 1000))


def to_epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970; a naive datetime is taken as local time."""
    return round(moment.timestamp() * 1000)


def from_epoch_ms(ms: int) -> datetime:
    """Aware UTC datetime for milliseconds since 1970."""
    return datetime.fromtimestamp(ms / 1000, UTC)

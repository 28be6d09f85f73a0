"""Durations are checked at the door; a manual clock moves when it is told."""

from datetime import UTC, datetime, timedelta

import pytest

from adcache import InvalidValue, ManualClock
from adcache.clock import from_epoch_ms, to_epoch_ms, to_ms


@pytest.mark.parametrize(
    ("duration", "ms"),
    [(1, 1000), (0.25, 250), (timedelta(hours=1), 3_600_000), (0.0001, 1)],
)
def test_a_duration_becomes_whole_milliseconds(duration, ms):
    """Ints, floats and timedeltas are taken; a duration is never rounded to none."""
    assert ms == to_ms(duration)


@pytest.mark.parametrize(
    "duration",
    [0, -1, float("nan"), float("inf"), timedelta(0), "60", None, True, 1e12],
)
def test_an_impossible_duration_is_refused(duration):
    """Zero, negative, NaN, infinite, text and over ten years are a ValueError."""
    with pytest.raises(InvalidValue, match="window must be"):
        to_ms(duration, "window")


def test_a_manual_clock_stands_still_until_moved():
    """Time passes by `advance` alone."""
    clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
    clock.advance(timedelta(days=1))
    clock.advance(0.5)

    assert "2026-03-02T00:00:00.500000+00:00" == clock.now().isoformat()


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_manual_clock_never_goes_back(seconds):
    """A negative or endless step is refused."""
    with pytest.raises(InvalidValue, match="forward"):
        ManualClock().advance(seconds)


def test_a_naive_datetime_is_local_time():
    """Naive datetimes are read as local; what comes back is aware UTC."""
    naive = datetime(2026, 5, 1, 12, 0, 0, 250_000)

    back = from_epoch_ms(to_epoch_ms(naive))

    assert naive.astimezone(UTC) == back
    assert UTC == back.tzinfo

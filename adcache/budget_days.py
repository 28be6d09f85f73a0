"""Local days and pacing curves: how a campaign's money is spread over time.

Pure arithmetic, in integers: milliseconds, micros, and millionths of a day's
traffic. `day_offsets` and `pacing_curve` write what the budget scripts need as
text into the campaign's hash; the other functions are the plain twins of
``scripts/parts/local_day.lua``, and tests compare the two.

A day is the advertiser's: midnight to midnight in the campaign's time zone. The
day on which clocks change has 23 or 25 hours; the curve's 24 hours are then
squeezed or stretched, so that an allowance never falls during a day.

Curves, as a share of the day's money allowed when a share t of its traffic has
passed: ``asap`` 1, ``even`` t, ``front_loaded`` 1 - (1 - t)**2 (twice the even
pace in the morning, falling to none at midnight). ``token_bucket`` fills with
the day's money at a constant rate and never holds more than its burst, as in
RFC 2697, section 3 (a single rate, one bucket).
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from zoneinfo import ZoneInfo

from adcache.clock import Seconds, from_epoch_ms, to_epoch_ms, to_ms
from adcache.errors import InvalidValue, shown
from adcache.models import CampaignData

DAY_MS = 86_400_000
MILLION = 1_000_000
DEFAULT_BURST = 3600  # seconds of the even rate that a token bucket may hold
# Clock changes are listed for these years only: 1970 to 2100.
FIRST_MS, LAST_MS = 0, 4_102_444_800_000
MAX_FLIGHT_SECONDS = 10**10  # keeps the scripts' products below 2**53


def day_offsets(campaign: CampaignData) -> str:
    """List the UTC offsets of the campaign's time zone over its flight.

    The text is ``"from_ms offset_ms from_ms offset_ms ..."``: pairs in order of
    time, all in milliseconds. The first holds also before its `from_ms`, the
    last for ever. It covers a week before the flight and a month after it.
    """
    first = to_epoch_ms(campaign.start_date) - 7 * DAY_MS
    last = to_epoch_ms(campaign.end_date) + 31 * DAY_MS
    first, last = (max(FIRST_MS, min(ms, LAST_MS)) for ms in (first, last))
    return _offsets_between(campaign.time_zone, first, last)


def pacing_curve(
    campaign: CampaignData,
    hourly_traffic: Sequence[float] | None = None,
    burst: Seconds | None = None,
) -> str:
    """Write the campaign's pacing as one line for the budget scripts.

    ``"asap"``; ``"even p0 p1 ... p24"`` and ``"front_loaded p0 ... p24"`` with the
    millionths of a day's money allowed at each full hour; ``"token_bucket b"``
    with the burst in millionths of a day's money. Pacing follows the traffic:
    24 weights, from midnight on, in ``targeting["hourly_traffic"]`` (default: all
    equal). A bucket's burst, in seconds of its rate, is ``targeting["burst"]``
    (default an hour). The arguments replace both. Source: the head of this file;
    ``front_loaded`` is the integral of a rate 2 (1 - t).

    Raises `InvalidValue` for other than 24 weights, negative ones, all zero, and
    a burst that is no duration.
    """
    if campaign.pacing == "asap":
        return "asap"
    if campaign.pacing == "token_bucket":
        wanted = campaign.targeting.get("burst", DEFAULT_BURST)
        burst_ms = to_ms(wanted if burst is None else burst, "burst")
        return f"token_bucket {min(MILLION, -(-burst_ms * MILLION // DAY_MS))}"
    weights = campaign.targeting.get("hourly_traffic", [1] * 24)
    passed = _shares(weights if hourly_traffic is None else hourly_traffic)
    if campaign.pacing == "front_loaded":
        passed = [1 - (1 - share) ** 2 for share in passed]
    points = (str(round(share * MILLION)) for share in passed)
    return f"{campaign.pacing} {' '.join(points)}"


def offset_at(offsets: str, ms: int) -> int:
    """UTC offset in ms at a moment; `offsets` as `day_offsets` writes it."""
    numbers = [int(number) for number in offsets.split()]
    found = numbers[1] if numbers else 0
    for start, offset in zip(numbers[::2], numbers[1::2], strict=True):
        if start <= ms:
            found = offset
    return found


def local_day(offsets: str, ms: int) -> int:
    """Number of the local day (days since 1970) at a moment."""
    return (ms + offset_at(offsets, ms)) // DAY_MS


def day_start(offsets: str, day: int) -> int:
    """The moment, in ms since 1970 UTC, at which a local day begins.

    Midnight read as UTC is at most a day off: its offset gives a first guess,
    the guess's own offset the answer. Where clocks leap at midnight that lands
    in the day before, and the guess is the moment of the leap.
    """
    guess = day * DAY_MS - offset_at(offsets, day * DAY_MS)
    start = day * DAY_MS - offset_at(offsets, guess)
    return guess if local_day(offsets, start) < day else start


def share_at(curve: str, elapsed: int, length: int) -> int:
    """Millionths of a day's money allowed after `elapsed` of `length` ms."""
    points = [int(point) for point in curve.split()[1:]]
    hour, rest = divmod(max(0, min(elapsed, length)) * 24, length)
    if hour >= 24:
        return points[24]
    return points[hour] + (points[hour + 1] - points[hour]) * rest // length


def day_allowance(
    curve: str, daily: int, offsets: str, flight: tuple[int, int], day: int, ms: int
) -> int:
    """Micros that may be spent or reserved on `day` up to the moment `ms`.

    `daily` is the day's money in micros, `flight` its first and last ms. A day
    that the flight covers in part spreads its money over that part. A token
    bucket and ``asap`` do not limit the day's sum: all of `daily` is allowed.
    """
    if curve.split()[0] not in ("even", "front_loaded"):
        return daily
    begin, end = day_start(offsets, day), day_start(offsets, day + 1)
    first, last, here = (
        share_at(curve, moment - begin, end - begin)
        for moment in (flight[0], flight[1] + 1, ms)
    )
    if last <= first:  # no traffic is expected in this part: nothing to wait for
        return daily
    return daily * (max(first, min(here, last)) - first) // (last - first)


def day_budget(left: int, offsets: str, flight: tuple[int, int], day: int) -> int:
    """Money for `day` where no daily budget is set: the rest, evenly over time.

    `left` is what was not spent before this day, in micros. The day gets the
    share that it has of the flight's remaining time, so that what one day left
    over is spread over all that follow.
    """
    begin = max(day_start(offsets, day), flight[0])
    end = min(day_start(offsets, day + 1), flight[1] + 1)
    today = -(-(end - begin) // 1000)
    rest = min(-(-(flight[1] + 1 - begin) // 1000), MAX_FLIGHT_SECONDS)
    if today >= rest:
        return max(0, left)
    return max(0, left) * max(0, today) // rest


def bucket_size(curve: str, daily: int, bid: int) -> int:
    """Micros that a token bucket holds: its burst, but one impression at least.

    `bid` is the campaign's CPM in micros.
    """
    return max(daily * int(curve.split()[1]) // MILLION, -(-bid // 1000))


def refill(
    tokens: int, rest: int, elapsed: int, daily: int, size: int
) -> tuple[int, int]:
    """Fill a token bucket for `elapsed` ms; tokens (micros) and a remainder.

    The remainder, in micros times ms of a day, is passed back the next time:
    without it each call would lose up to a micro. Source: RFC 2697, section 3.
    """
    elapsed = max(0, min(elapsed, DAY_MS))
    gained, rest = divmod(elapsed * daily + rest, DAY_MS)
    return (tokens + gained, rest) if tokens + gained < size else (size, 0)


def _shares(weights: object) -> list[float]:
    """Cumulative shares of the day's traffic at 25 full hours, 0 to 1."""
    cure = "24 weights >= 0, not all 0"
    if not isinstance(weights, list | tuple) or len(weights) != 24:
        raise InvalidValue(f"hourly_traffic must be {cure}, got {shown(weights)}")
    for weight in weights:
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 <= weight < 1e300:  # False for NaN too
            raise InvalidValue(f"hourly_traffic must be {cure}, got {shown(weight)}")
    passed = [0.0, *accumulate(float(weight) for weight in weights)]
    if not 0 < passed[-1] < math.inf:
        raise InvalidValue(f"hourly_traffic must be {cure}, got {shown(weights)}")
    return [share / passed[-1] for share in passed]


@lru_cache(maxsize=1024)
def _offsets_between(time_zone: str, first: int, last: int) -> str:
    zone = ZoneInfo(time_zone)
    return " ".join(f"{ms} {offset}" for ms, offset in _changes(zone, first, last))


def _changes(zone: ZoneInfo, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Each moment from which another offset holds, found by halving its day."""
    offset = _offset(zone, first)
    yield first, offset
    for start in range(first, last, DAY_MS):
        low, high = start, start + DAY_MS
        if _offset(zone, high) == offset:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            if _offset(zone, middle) == offset:
                low = middle
            else:
                high = middle
        offset = _offset(zone, high)
        yield high, offset


def _offset(zone: ZoneInfo, ms: int) -> int:
    offset = from_epoch_ms(ms).astimezone(zone).utcoffset()
    return round(offset.total_seconds() * 1000) if offset else 0

# ruff: noqa: S311  (repeatable on purpose: nothing here is a secret)
"""Ad traffic to practise on: seeded, so that everyone sees the same day.

OpenRTB 2.6 bid requests, the moments they arrive, the bids they get. Users
follow Zipf's law, the hours a daily curve, prices a log-normal or uniform
density. Every draw is made of `Random.random()` alone, the one method whose
numbers Python promises to keep from version to version.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from random import Random
from statistics import NormalDist
from typing import Any

from adcache.cast import (
    CAST,
    START,
    campaign_id,
    campaigns,
    creatives,
    home,
    user_id,
    user_profiles,
)
from adcache.errors import InvalidValue
from adcache.sample_requests import SAMPLES, sample_request
from adcache.tcf import write_tc_string

__all__ = [
    "CAST",
    "SAMPLES",
    "arrivals",
    "bid_requests",
    "bids",
    "campaigns",
    "creatives",
    "daily_curve",
    "lognormal",
    "sample_request",
    "user_id",
    "user_profiles",
    "zipf_index",
]

CONSENT = write_tc_string(purposes=range(1, 11))  # to all that ads are made with


def zipf_index(n: int, rng: Random, exponent: float = 1.0) -> int:
    """Draw an index 0..n-1; index k is drawn in proportion to 1/(k+1)**exponent.

    That is Zipf's law: with exponent 1 the first is twice as frequent as the
    second. Raises `InvalidValue` for n < 1.
    """
    return _pick(_zipf_weights(n, exponent), rng)


def daily_curve(hour: float) -> float:
    """Traffic at an hour of the day (0-24) relative to the day's mean, which is 1.

    Two cosines, one a day and one twice a day: lowest at 4 h (0.2), highest
    between 19 and 20 h (1.7).
    """
    day = math.cos(2 * math.pi * (hour - 17) / 24)
    half_day = math.cos(2 * math.pi * (hour - 21) / 12)
    return 1 + 0.6 * day + 0.25 * half_day


def lognormal(median: float, sigma: float, rng: Random) -> float:
    """Draw a price: half are under `median`, and a few are far above it."""
    u = max(rng.random(), 1e-12)  # the inverse distribution function has no value at 0
    return median * math.exp(sigma * NormalDist().inv_cdf(u))


def bids(
    bidders: int | Sequence[str],
    rng: Random,
    density: str = "lognormal",
    scale: float = 1.5,
) -> list[tuple[str, float]]:
    """Let each bidder draw a price: [(bidder, CPM), ...], to a hundredth of a cent.

    `density` is ``lognormal`` (median `scale`, sigma 0.5) or ``uniform`` (from
    0 to `scale`: the case with known theory). A number of bidders stands for
    that many campaigns, the cast first.
    """
    if density not in ("lognormal", "uniform"):
        raise InvalidValue(f"density must be lognormal or uniform, got {density!r}")
    if isinstance(bidders, int):
        bidders = [campaign_id(k) for k in range(bidders)]
    if density == "uniform":
        return [(name, round(scale * rng.random(), 4)) for name in bidders]
    return [(name, round(lognormal(scale, 0.5, rng), 4)) for name in bidders]


def arrivals(n: int, seed: int = 0, start: datetime = START) -> list[datetime]:
    """Draw n moments of the day that begins at `start`, in order, by `daily_curve`."""
    rng = Random(seed)
    minutes = sorted(_pick(_MINUTES, rng) + rng.random() for _ in range(n))
    return [start + timedelta(milliseconds=int(60_000 * m)) for m in minutes]


def bid_requests(
    n: int, seed: int = 0, *, users: int = 1000, at: int = 2
) -> Iterator[dict[str, Any]]:
    """Yield n valid OpenRTB 2.6 bid requests as dicts, ids ``<seed>-1`` onwards.

    Each is one of `SAMPLES` with its floor varied (log-normal) and a Zipf user
    out of `users`. One user in eight limits tracking: no ifa, no user ids.
    `at` is the auction type, 1 first price or 2 second price.
    """
    rng = Random(seed)
    names = tuple(SAMPLES)
    for number in range(1, n + 1):
        request = sample_request(names[_pick(_MIX, rng)])
        request |= {"id": f"{seed}-{number}", "at": at}
        for imp in request["imp"]:
            imp["bidfloor"] = round(lognormal(imp["bidfloor"], 0.3, rng), 2)
        _set_user(request, zipf_index(users, rng))
        yield request


def _set_user(request: dict[str, Any], index: int) -> None:
    place, name, device = home(index), user_id(index), request["device"]
    device["geo"] |= {"country": place.country, "city": place.city}
    device |= {"ip": f"203.0.113.{index % 256}", "language": place.language}
    device["ifa"] = f"{index:08x}-0000-4000-8000-000000000000"
    request["regs"] = {"coppa": 0, "gdpr": place.gdpr}
    request["user"] = {"id": f"x-{name}", "buyeruid": name}
    if place.gdpr:
        request["user"]["consent"] = CONSENT
    if index % 8 == 7:
        device["lmt"] = 1
        for owner, field in (device, "ifa"), (request, "user"):
            del owner[field]


def _pick(cumulative: Sequence[float], rng: Random) -> int:
    """Draw an index whose weight is its step in the cumulative weights."""
    at = bisect_right(cumulative, rng.random() * cumulative[-1])
    return min(at, len(cumulative) - 1)


@lru_cache(maxsize=16)
def _zipf_weights(n: int, exponent: float) -> tuple[float, ...]:
    if n < 1:
        raise InvalidValue(f"n must be at least 1, got {n!r}")
    return tuple(accumulate((k + 1) ** -exponent for k in range(n)))


# accumulate, not sum: the latter rounds differently since Python 3.12.
_MINUTES = tuple(accumulate(daily_curve(m / 60) for m in range(24 * 60)))
_MIX = tuple(accumulate((45, 25, 12, 5, 13)))  # per cent of requests, as in SAMPLES

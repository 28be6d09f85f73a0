"""Ad traffic to practise on: seeded, so that everyone sees the same day.

A few users and campaigns by name, OpenRTB 2.6 bid requests, bids. Popularity
follows Zipf's law, the hours a daily curve, prices a log-normal or uniform
density. Every draw is made of `Random.random()` alone, the one method whose
numbers Python promises to keep from version to version.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from random import Random
from statistics import NormalDist
from typing import Any, NamedTuple

from adcache.errors import InvalidValue
from adcache.models import CampaignData, UserProfile
from adcache.sample_requests import SAMPLES, sample_request

__all__ = [
    "CAST",
    "SAMPLES",
    "arrivals",
    "bid_requests",
    "bids",
    "campaigns",
    "daily_curve",
    "lognormal",
    "sample_request",
    "user_id",
    "user_profiles",
    "zipf_index",
]


class Cast(NamedTuple):
    """The names that the lessons use, campaigns and users."""

    campaigns: tuple[str, ...]
    users: tuple[str, ...]


CAST = Cast(
    campaigns=("sneakers", "coffee", "headphones", "bicycle", "novel", "holiday"),
    users=("ada", "ben", "chloe", "diego", "emi", "femi"),
)
START = datetime(2026, 1, 1, tzinfo=UTC)  # where a ManualClock starts, too
INTERESTS = ("sports", "food", "music", "travel", "books", "tech")
SEGMENTS = ("new", "regular", "high_value")
# What each named campaign bids (CPM, USD), its budget (USD), whom it is for.
_TERMS = (
    (2.40, 500.0, ["sports"]),
    (1.60, 300.0, ["food"]),
    (3.10, 800.0, ["music", "tech"]),
    (2.00, 400.0, ["sports", "travel"]),
    (1.10, 150.0, ["books"]),
    (3.80, 1200.0, ["travel"]),
)
# Users take turns in living here: country, UN/LOCODE of the city, language, GDPR.
_HOMES = (
    ("GBR", "GBLON", "en", 1),
    ("DEU", "DEBER", "de", 1),
    ("FRA", "FRPAR", "fr", 1),
    ("MEX", "MXMEX", "es", 0),
    ("JPN", "JPTYO", "ja", 0),
    ("NGA", "NGLOS", "en", 0),
)


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
        bidders = [_name(CAST.campaigns, "campaign", k) for k in range(bidders)]
    if density == "uniform":
        return [(name, round(scale * rng.random(), 4)) for name in bidders]
    return [(name, round(lognormal(scale, 0.5, rng), 4)) for name in bidders]


def arrivals(n: int, seed: int = 0, start: datetime = START) -> list[datetime]:
    """Draw n moments of the day that begins at `start`, in order, by the daily curve."""
    rng = Random(seed)
    minutes = sorted(_pick(_minute_weights(), rng) + rng.random() for _ in range(n))
    return [start + timedelta(milliseconds=int(m * 60_000)) for m in minutes]


def bid_requests(
    n: int, seed: int = 0, *, users: int = 1000, at: int = 2
) -> Iterator[dict[str, Any]]:
    """Yield n valid OpenRTB 2.6 bid requests as dicts, ids ``<seed>-1`` onwards.

    Each is one of `SAMPLES` with a Zipf user out of `users`, a floor around the
    sample's, and the signals of that user's country. One user in eight limits
    tracking (no ifa, no buyeruid); `at` is 1 (first price) or 2 (second).
    """
    rng = Random(seed)
    for number in range(1, n + 1):
        request = sample_request(tuple(SAMPLES)[_pick(_sample_weights(), rng)])
        request |= {"id": f"{seed}-{number}", "at": at}
        for imp in request["imp"]:
            imp["bidfloor"] = round(lognormal(imp["bidfloor"], 0.3, rng), 2)
        _add_user(request, zipf_index(users, rng), rng)
        yield request


def user_id(index: int) -> str:
    """Name the user of a popularity rank (0 is the most active): ada, ben, ..."""
    return _name(CAST.users, "user", index)


def user_profiles(
    n: int = 6, seed: int = 0, now: datetime = START
) -> list[UserProfile]:
    """Make profiles of the first n users, last seen in the day before `now`."""
    rng = Random(seed)
    return [
        UserProfile(
            user_id=user_id(k),
            interests=sorted({INTERESTS[int(rng.random() * 6)] for _ in range(3)}),
            demographics={
                "age": 18 + int(rng.random() * 50),
                "country": _HOMES[k % 6][0],
            },
            behavior_score=round(100 * rng.random(), 1),
            last_activity=now - timedelta(seconds=int(86_400 * rng.random())),
            segment=SEGMENTS[int(rng.random() * len(SEGMENTS))],
        )
        for k in range(n)
    ]

# ruff: noqa: S311  (repeatable on purpose: nothing here is a secret)
"""The cast of the course: six campaigns and six users that every lesson knows.

Ask for more than six and generated ones follow (user_7, campaign_7, ...).
What is drawn at random depends on the seed alone, on every Python version.
"""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from adcache.models import CampaignData, UserProfile


class Cast(NamedTuple):
    """The ids that the lessons use."""

    campaigns: tuple[str, ...]
    users: tuple[str, ...]


class Home(NamedTuple):
    """Where a user lives: ISO 3166-1 country, UN/LOCODE of the city, its GDPR flag."""

    country: str
    city: str
    language: str
    gdpr: int


CAST = Cast(
    campaigns=("sneakers", "coffee", "headphones", "bicycle", "novel", "holiday"),
    users=("ada", "ben", "chloe", "diego", "emi", "femi"),
)
START = datetime(2026, 1, 1, tzinfo=UTC)  # where a ManualClock starts, too
INTERESTS = ("books", "food", "music", "sports", "tech", "travel")
SEGMENTS = ("new", "regular", "high_value")

# In the order of CAST.campaigns: bid (CPM, USD), budget (USD), interests.
_TERMS = (
    (2.40, 500.0, ["sports"]),
    (1.60, 300.0, ["food"]),
    (3.10, 800.0, ["music", "tech"]),
    (2.00, 400.0, ["sports", "travel"]),
    (1.10, 150.0, ["books"]),
    (3.80, 1200.0, ["travel"]),
)
_HOMES = (
    Home("GBR", "GBLON", "en", 1),
    Home("DEU", "DEBER", "de", 1),
    Home("FRA", "FRPAR", "fr", 1),
    Home("MEX", "MXMEX", "es", 0),
    Home("JPN", "JPTYO", "ja", 0),
    Home("NGA", "NGLOS", "en", 0),
)


def user_id(index: int) -> str:
    """Name the user of a popularity rank, 0 the most active: ada, ben, chloe, ..."""
    return CAST.users[index] if index < len(CAST.users) else f"user_{index + 1}"


def campaign_id(index: int) -> str:
    """Name the campaign of an index: sneakers, coffee, ..., campaign_7, ..."""
    known = CAST.campaigns
    return known[index] if index < len(known) else f"campaign_{index + 1}"


def home(index: int) -> Home:
    """Say where the user of a popularity rank lives; six places take turns."""
    return _HOMES[index % len(_HOMES)]


def user_profiles(
    n: int = 6, seed: int = 0, now: datetime = START
) -> list[UserProfile]:
    """Make profiles of the n most active users, last seen in the day before `now`."""
    rng = Random(seed)
    return [
        UserProfile(
            user_id=user_id(k),
            interests=sorted({INTERESTS[int(6 * rng.random())] for _ in range(3)}),
            demographics={
                "age": 18 + int(50 * rng.random()),
                "country": home(k).country,
            },
            behavior_score=round(100 * rng.random(), 1),
            last_activity=now - timedelta(seconds=int(86_400 * rng.random())),
            segment=SEGMENTS[int(3 * rng.random())],
        )
        for k in range(n)
    ]


def campaigns(
    n: int = 6, seed: int = 0, start: datetime = START, days: int = 30
) -> list[CampaignData]:
    """Make n active campaigns that run for `days` days from `start`.

    The first six are the cast, on fixed terms; those that follow repeat the
    terms with bids up to 30 % lower or higher.
    """
    rng = Random(seed)
    made = []
    for k in range(n):
        cpm, budget, interests = _TERMS[k % len(_TERMS)]
        if k >= len(_TERMS):
            cpm = round(cpm * (0.7 + 0.6 * rng.random()), 2)
        made.append(
            CampaignData(
                campaign_id=campaign_id(k),
                advertiser_id=f"{campaign_id(k)}-maker",
                budget=budget,
                spent=0.0,
                bid_price=cpm,
                targeting={"interests": list(interests), "locations": ["all"]},
                status="active",
                start_date=start,
                end_date=start + timedelta(days=days),
            )
        )
    return made

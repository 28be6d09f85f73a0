# ruff: noqa: S311  (repeatable on purpose: nothing here is a secret)
"""The cast of the course: six campaigns and six users that every lesson knows.

Ask for more than six and generated ones follow (user_7, campaign_7, ...).
What is drawn at random depends on the seed alone, on every Python version.
"""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from adcache.models import CampaignData, Creative, UserProfile


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

# In the order of CAST.campaigns: bid (CPM, USD), budget (USD), interests, and the
# category (IAB Content Taxonomy 1.0, as in OpenRTB's `bcat`).
_TERMS = (
    (2.40, 500.0, ["sports"], "IAB17"),
    (1.60, 300.0, ["food"], "IAB8"),
    (3.10, 800.0, ["music", "tech"], "IAB19"),
    (2.00, 400.0, ["sports", "travel"], "IAB17"),
    (1.10, 150.0, ["books"], "IAB1-1"),
    (3.80, 1200.0, ["travel"], "IAB20"),
)
# Each campaign has an ad for every slot of `adcache.simulate.SAMPLES`:
# name, format, width, height, seconds, MIME types.
_ADS: tuple[tuple[str, str, int, int, int, list[str]], ...] = (
    ("strip", "banner", 320, 50, 0, []),
    ("box", "banner", 300, 250, 0, []),
    ("full", "banner", 320, 480, 0, []),
    ("film", "video", 1920, 1080, 15, ["video/mp4"]),
    ("spot", "audio", 0, 0, 20, ["audio/mpeg"]),
    ("story", "native", 0, 0, 0, []),
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
    terms with bids up to 30 % lower or higher. Each is capped at 3 impressions
    an hour and 10 a day; `creatives` makes the ads that it names.
    """
    rng = Random(seed)
    made = []
    for k in range(n):
        cpm, budget, interests, category = _TERMS[k % len(_TERMS)]
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
                caps=[(3, 3600), (10, 86_400)],
                creatives=[f"{campaign_id(k)}-{name}" for name, *_ in _ADS],
                adomain=[f"{campaign_id(k).replace('_', '-')}.example"],
                cat=[category],
            )
        )
    return made


def creatives(n: int = 6) -> list[Creative]:
    """Make the ads of the first n campaigns: one for each kind of slot."""
    return [
        Creative(
            creative_id=f"{campaign_id(k)}-{name}",
            campaign_id=campaign_id(k),
            format=kind,
            markup=_markup(campaign_id(k), kind),
            w=w,
            h=h,
            duration=seconds,
            mimes=list(mimes),
        )
        for k in range(n)
        for name, kind, w, h, seconds, mimes in _ADS
    ]


def _markup(campaign: str, kind: str) -> str:
    """HTML for a banner, VAST for video and audio, JSON for native: in short."""
    page = f"https://{campaign.replace('_', '-')}.example"
    if kind == "native":
        return f'{{"native":{{"link":{{"url":"{page}"}}}}}}'
    if kind == "banner":
        return f'<a href="{page}"><img src="{page}/ad.png" alt="{campaign}"></a>'
    return f'<VAST version="4.2"><Ad id="{campaign}"/></VAST>'

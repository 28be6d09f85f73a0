"""What the tests of campaigns and of their index share."""

from datetime import UTC, datetime, timedelta
from typing import Any

from adcache import CampaignData, Creative, RedisAdCache

START = datetime(2026, 1, 1, tzinfo=UTC)  # where a ManualClock starts
# Ids, interests and places that a careless key or a script would confuse.
HOSTILE = [
    "a:b",
    "a b",
    "{a}",
    "a\nb",
    "all",
    "any",
    "a,b]",
    '["',
    "🦊",
    "%41",
    "~",
    "-1",
]


def campaign(campaign_id: str = "tea", **changes: Any) -> CampaignData:
    """Make an active campaign that runs for thirty days around now, and from START."""
    fields: dict[str, Any] = {
        "campaign_id": campaign_id,
        "advertiser_id": "tea-maker",
        "budget": 100,
        "spent": 0,
        "bid_price": 2.5,
        "targeting": {},
        "status": "active",
        "start_date": START - timedelta(days=1),
        "end_date": START + timedelta(days=29),
    }
    return CampaignData(**fields | changes)


def running(campaign_id: str = "tea", **changes: Any) -> CampaignData:
    """Make a campaign that is active by the server's clock."""
    now = datetime.now(UTC)
    flight = {
        "start_date": now - timedelta(days=1),
        "end_date": now + timedelta(days=9),
    }
    return campaign(campaign_id, **flight | changes)


def banner(creative_id: str, campaign_id: str = "tea", **changes: Any) -> Creative:
    """Make a banner of 300 x 250."""
    fields: dict[str, Any] = {
        "format": "banner",
        "markup": "<b>ad</b>",
        "w": 300,
        "h": 250,
    }
    return Creative(
        creative_id=creative_id, campaign_id=campaign_id, **fields | changes
    )


def trips_of(cache: RedisAdCache, call: Any) -> int:
    """Count the waits for the network of a call, scripts being known."""
    call()
    trips: list[int] = []
    cache.wire.observer = lambda pairs, _: trips.append(len(pairs))
    call()
    cache.wire.observer = None
    return len(trips)

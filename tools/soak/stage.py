"""What all workers share: users, campaigns, auctions, and how tight the limits are."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from adcache import (
    CampaignCache,
    CampaignData,
    Creative,
    CreativeCache,
    RealTimeBiddingCache,
    RedisAdCache,
    UserProfile,
    UserProfileCache,
)

USERS = [f"user {n}" for n in range(20)]
CAMPAIGNS = [f"campaign:{n}" for n in range(5)]
AUCTIONS = [f"auction {n}" for n in range(40)]
SERVED = [f"served:{n}" for n in range(3)]  # campaigns that the ad server bids for


class Scale(NamedTuple):
    """Limits that about two thirds of a run's operations reach: then they bite."""

    limit: int  # impressions of a user and campaign
    leased_limit: int
    budget: float  # currency units of a campaign

    @classmethod
    def of(cls, operations: int) -> "Scale":
        """Choose them for so many operations of all workers together."""
        pairs = 8 * len(USERS) * len(CAMPAIGNS)
        limit = max(2, operations * 2 // (3 * pairs))
        return cls(limit, max(2, limit * 2 // 3), max(0.01, operations * 0.00002))


def prepare(cache: RedisAdCache, scale: Scale) -> None:
    """Store the campaigns, users and auctions that all processes share."""
    now = datetime.now(UTC)
    for name in CAMPAIGNS + SERVED:
        _store(cache, name, scale, now)
    for name in USERS:
        UserProfileCache(cache).set_user_profile(
            UserProfile(
                user_id=name,
                interests=[],
                demographics={},
                behavior_score=0,
                last_activity=now,
                segment="all",
            )
        )
    for name in AUCTIONS:
        RealTimeBiddingCache(cache).create_auction(name, 0.01, ttl=3600)


def _store(cache: RedisAdCache, name: str, scale: Scale, now: datetime) -> None:
    """Store a campaign; the ad server finds those that it shall bid for."""
    served = name in SERVED
    campaign = CampaignData(
        campaign_id=name,
        advertiser_id="a",
        budget=scale.budget,
        spent=0,
        bid_price=5,
        targeting={},
        status="active",
        start_date=now - timedelta(days=1),
        end_date=now + timedelta(days=1),
        caps=[(scale.leased_limit, 36_000)] if served else [],
        creatives=[name] if served else [],
    )
    CampaignCache(cache).set_campaign(campaign, ttl=36_000)
    if served:
        box = Creative(name, name, "banner", "<b>ad</b>", w=300, h=250)
        CreativeCache(cache).set_creative(box, ttl=36_000)
        CampaignCache(cache).index_campaign_targeting(name, {}, [box])

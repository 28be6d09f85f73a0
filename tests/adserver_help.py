"""The cast of the course on a cache: campaigns, ads and users, ready to be asked."""

from dataclasses import replace
from typing import Any

from adcache import RedisAdCache
from adcache.campaigns import CampaignCache
from adcache.creatives import CreativeCache
from adcache.models import CampaignData
from adcache.profiles import UserProfileCache
from adcache.simulate import campaigns, creatives, sample_request, user_profiles


def stage(cache: RedisAdCache, n: int = 6, users: int = 6, **changes: Any) -> None:
    """Store n campaigns with their ads, and users; `changes` are to every campaign."""
    ads = CreativeCache(cache)
    for creative in creatives(n):
        ads.set_creative(creative)
    for campaign in campaigns(n):
        put(cache, replace(campaign, **changes))
    profiles = UserProfileCache(cache)
    for profile in user_profiles(users):
        profiles.set_user_profile(profile)


def put(cache: RedisAdCache, campaign: CampaignData) -> CampaignData:
    """Store a campaign, and let it be found by its own targeting."""
    store = CampaignCache(cache)
    store.set_campaign(campaign)
    store.index_campaign_targeting(campaign.campaign_id, campaign.targeting)
    return campaign


def request(name: str = "mobile_news", **changes: Any) -> dict[str, Any]:
    """Return a bid request of ada's, from a country without a law that forbids it."""
    made = sample_request(name) | {"regs": {"gdpr": 0}, "tmax": 5000}
    return made | changes

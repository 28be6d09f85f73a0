"""Campaigns for the tests of money: stored as `set_campaign` stores them."""

from datetime import UTC, datetime

from adcache import CampaignData, RedisAdCache
from adcache.budget_days import day_offsets, pacing_curve
from adcache.clock import to_epoch_ms
from adcache.money import to_micros

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2026, 1, 31, tzinfo=UTC)


def campaign(campaign_id="tea", budget=100.0, **fields):
    """Make a campaign of January 2026 that may spend 100, at a CPM of 5."""
    given = {
        "campaign_id": campaign_id,
        "advertiser_id": "adv",
        "budget": budget,
        "spent": 0.0,
        "bid_price": 5.0,
        "targeting": {},
        "status": "active",
        "start_date": START,
        "end_date": END,
    }
    return CampaignData(**(given | fields))


def store(
    cache: RedisAdCache, data: CampaignData, ttl: int = 86400 * 365
) -> CampaignData:
    """Write what the budget scripts read of a campaign, and seed what it spent."""
    key = cache.get_key("campaign", campaign_id=data.campaign_id)
    daily = data.daily_budget
    fields = {
        "record": "{}",
        "status": data.status,
        "start_ms": to_epoch_ms(data.start_date),
        "end_ms": to_epoch_ms(data.end_date),
        "bid": data.bid_price_micros,
        "budget": data.budget_micros,
        "daily": "" if daily is None else to_micros(daily),
        "offsets": day_offsets(data),
        "curve": pacing_curve(data),
        "seeded": 1,
    }
    if cache.clock is not None:
        fields["expires_ms"] = cache.clock.now_ms() + ttl * 1000
    client = cache.redis_client
    client.delete(key)
    client.hset(key, mapping=fields)
    client.expire(key, ttl)
    spend = cache.get_key("campaign_spend", campaign_id=data.campaign_id)
    client.hsetnx(spend, "spent", data.spent_micros)
    return data


def charge(cache, campaign_id, micros, operation=None, horizon_ms=3_600_000):
    """Run the script that charges a cost; its verdict and what is spent after."""
    ids = {"campaign_id": campaign_id}
    ledger = []
    if operation is not None:
        ledger = [cache.get_key("budget_ledger", reservation_id=operation, **ids)]
    verdict, spent, _ = cache.lua_scripts["budget_charge"](
        campaign=cache.get_key("campaign", **ids),
        spend=cache.get_key("campaign_spend", **ids),
        leases=cache.get_key("budget_leases", **ids),
        ledger=ledger,
        now_ms=cache.now_ms(),
        amount=micros,
        horizon_ms=horizon_ms,
        safe=operation is not None,
    )
    return verdict, int(spent)

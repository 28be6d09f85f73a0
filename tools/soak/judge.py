"""Compare what Redis has in the end with what the workers were told."""

from collections import Counter

from adcache import (
    BudgetPacer,
    CacheMonitor,
    FrequencyCapManager,
    PerformanceStatsCache,
    RealTimeBiddingCache,
    RedisAdCache,
    UserProfileCache,
)
from adcache.money import to_micros
from tools.soak.mixed import Report
from tools.soak.stage import AUCTIONS, CAMPAIGNS, SERVED, USERS, Scale


def violations(cache: RedisAdCache, told: Report, scale: Scale) -> dict[str, int]:
    """Compare what Redis has with what the processes were told; all should be 0."""
    found: Counter[str] = Counter()
    _judge_caps(cache, told, scale, found)
    _judge_money(cache, told, scale, found)
    _judge_auctions(cache, told, found)
    _judge_counts(cache, told, found)
    names = (
        *("caps exceeded", "impressions lost or doubled", "budgets overspent"),
        *("micros lost or doubled", "wrong winners", "events lost or doubled"),
        *("scores wrong", "sessions resurrected", "keys without TTL"),
    )
    found["sessions resurrected"] = told["resurrected",]
    found["keys without TTL"] = immortal_keys(cache)
    return {name: found[name] for name in names}


def _judge_caps(
    cache: RedisAdCache, told: Report, scale: Scale, found: Counter[str]
) -> None:
    caps = FrequencyCapManager(cache)
    found["caps exceeded"] += told["over cap",]
    for user in USERS:
        for campaign in SERVED:
            kept = told["confirmed", user, campaign] + told["open", user, campaign]
            found["caps exceeded"] += kept > scale.leased_limit
            counted = caps.peek(user, campaign, 10**6, 36_000).count
            found["impressions lost or doubled"] += abs(counted - kept)
        for campaign in CAMPAIGNS:
            served = told["cap", user, campaign]
            found["caps exceeded"] += served > scale.limit
            counted = caps.peek(user, campaign, 10**6, 36_000).count
            found["impressions lost or doubled"] += abs(counted - served)
            leased = "leased " + campaign
            kept = told["confirmed", user, leased] + told["open", user, leased]
            found["caps exceeded"] += kept > scale.leased_limit
            counted = caps.peek(user, leased, 10**6, 36_000).count
            found["impressions lost or doubled"] += abs(counted - kept)


def _judge_money(
    cache: RedisAdCache, told: Report, scale: Scale, found: Counter[str]
) -> None:
    budget = BudgetPacer(cache)
    for campaign in CAMPAIGNS + SERVED:
        status = budget.status(campaign)
        if status is None:
            found["micros lost or doubled"] += told["thousandths", campaign] // 1000
            continue
        found["budgets overspent"] += (
            status.overrun > 0
            or status.spent + status.reserved > to_micros(scale.budget)
        )
        wanted = told["thousandths", campaign] // 1000
        found["micros lost or doubled"] += abs(status.spent - wanted)
        found["micros lost or doubled"] += abs(
            status.reserved - told["reserved", campaign]
        )


def _judge_auctions(cache: RedisAdCache, told: Report, found: Counter[str]) -> None:
    auctions = RealTimeBiddingCache(cache)
    for name in AUCTIONS:
        bids = {key[2]: n for key, n in told.items() if key[:2] == ("bid", name)}
        won = auctions.close_auction(name)
        if won is None:
            found["wrong winners"] += bool(bids)
            continue
        rest = [price for who, price in bids.items() if who != won["campaign_id"]]
        right = (
            bids[won["campaign_id"]] == max(bids.values())
            and to_micros(won["winning_bid"]) == max(bids.values()) * 100
            and to_micros(won["clearing_price"]) == max(rest, default=100) * 100
        )
        found["wrong winners"] += not right


def _judge_counts(cache: RedisAdCache, told: Report, found: Counter[str]) -> None:
    stats, profiles = PerformanceStatsCache(cache), UserProfileCache(cache)
    for campaign in CAMPAIGNS:
        ids = {key for key in told if key[0] == f"id {campaign}"}
        summary = stats.get_campaign_summary(campaign, days=2)
        impressions, cost = int(summary["impressions"]), to_micros(summary["cost"])
        found["events lost or doubled"] += abs(impressions - len(ids))
        found["events lost or doubled"] += cost != 1000 * impressions
    for user, profile in profiles.get_many(USERS).items():
        wrong = profile is None or profile.behavior_score != told["score", user]
        found["scores wrong"] += wrong


def immortal_keys(cache: RedisAdCache) -> int:
    """Count keys of the namespace that would live for ever, the durable ones aside."""
    return len(CacheMonitor(cache).keys_without_ttl(limit=10**6).keys)
